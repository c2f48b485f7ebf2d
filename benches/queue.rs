//! The simulator's event queue against [`BinaryHeap`]: the hold model (take one event, add one), with the delays of a
//! network: most 20 to 200 ms, some up to 5 s, a few up to 15 min.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use folkmoot_core::base::Time;
use folkmoot_sim::engine::{Draws, EventQueue, Subject};

/// As much as an event of the world.
type Event = [u32; 3];

fn delay(draws: &Draws, index: u64) -> u64 {
    let draw = draws.at(Subject::Scenario(0), index);
    let (kind, amount) = (draw % 10, draw >> 8);
    match kind {
        0..=6 => 20_000 + amount % 180_000,
        7..=8 => amount % 5_000_000,
        _ => amount % 900_000_000,
    }
}

fn hold(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    let draws = Draws::new(1);
    for pending in [1_000u64, 100_000, 1_000_000, 5_000_000] {
        let mut ours: EventQueue<Event> = EventQueue::new();
        let mut heap: BinaryHeap<Reverse<(u64, u64, Event)>> = BinaryHeap::new();
        for index in 0..pending {
            let at = delay(&draws, index);
            ours.push(Time::from_micros(at), [0; 3]);
            heap.push(Reverse((at, index, [0; 3])));
        }
        let mut index = pending;
        group.bench_with_input(BenchmarkId::new("ours", pending), &(), |b, ()| {
            b.iter(|| {
                if let Some((at, event)) = black_box(ours.pop()) {
                    ours.push(at + Duration::from_micros(delay(&draws, index)), event);
                }
                index += 1;
            });
        });
        let mut index = pending;
        group.bench_with_input(BenchmarkId::new("BinaryHeap", pending), &(), |b, ()| {
            b.iter(|| {
                if let Some(Reverse((at, _, event))) = black_box(heap.pop()) {
                    heap.push(Reverse((at + delay(&draws, index), index, event)));
                }
                index += 1;
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hold);
criterion_main!(benches);
