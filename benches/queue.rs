//! The simulator's event queue against [`BinaryHeap`]: the hold model (take one event, add one), with the delays of a
//! network: most 20 to 200 ms, some up to 5 s, a few up to 15 min. At the end both are run in turns, and the bench fails if
//! the ratio is below what is asked of it, which depends less on the machine than the times do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use folkmoot_core::base::Time;
use folkmoot_sim::engine::{Draws, EventQueue, Subject};

/// As much as an event of the world.
type Event = [u32; 3];
type Heap = BinaryHeap<Reverse<(u64, u64, Event)>>;

fn delay(draws: &Draws, index: u64) -> u64 {
    let draw = draws.at(Subject::Scenario(0), index);
    let (kind, amount) = (draw % 10, draw >> 8);
    match kind {
        0..=6 => 20_000 + amount % 180_000,
        7..=8 => amount % 5_000_000,
        _ => amount % 900_000_000,
    }
}

/// How many events are pending, the ratio that is asked for, and the events a second that are meant to be reached on one core.
const GOALS: [(u64, f64, f64); 2] = [(100_000, 1.5, 8e6), (5_000_000, 4.0, 5e6)];

fn filled(draws: &Draws, pending: u64) -> (EventQueue<Event>, Heap) {
    let (mut ours, mut heap) = (EventQueue::new(), Heap::new());
    for index in 0..pending {
        let at = delay(draws, index);
        ours.push(Time::from_micros(at), [0; 3]);
        heap.push(Reverse((at, index, [0; 3])));
    }
    (ours, heap)
}

fn hold_ours(queue: &mut EventQueue<Event>, draws: &Draws, index: u64) {
    if let Some((at, event)) = black_box(queue.pop()) {
        queue.push(at + Duration::from_micros(delay(draws, index)), event);
    }
}

fn hold_heap(heap: &mut Heap, draws: &Draws, index: u64) {
    if let Some(Reverse((at, _, event))) = black_box(heap.pop()) {
        heap.push(Reverse((at + delay(draws, index), index, event)));
    }
}

fn hold(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    let draws = Draws::new(1);
    for pending in [1_000u64, 100_000, 1_000_000, 5_000_000] {
        let (mut ours, mut heap) = filled(&draws, pending);
        let mut index = pending;
        group.bench_with_input(BenchmarkId::new("ours", pending), &(), |b, ()| {
            b.iter(|| {
                hold_ours(&mut ours, &draws, index);
                index += 1;
            });
        });
        let mut index = pending;
        group.bench_with_input(BenchmarkId::new("BinaryHeap", pending), &(), |b, ()| {
            b.iter(|| {
                hold_heap(&mut heap, &draws, index);
                index += 1;
            });
        });
    }
    group.finish();
}

fn ratios(_: &mut Criterion) {
    const TURN: u64 = 200_000;
    let draws = Draws::new(1);
    for (pending, least, goal) in GOALS {
        let (mut ours, mut heap) = filled(&draws, pending);
        let (mut spent_ours, mut spent_heap) = (Duration::ZERO, Duration::ZERO);
        let turns = (2 * pending / TURN).max(10);
        for turn in 0..turns {
            let indices = pending + turn * TURN..pending + (turn + 1) * TURN;
            let began = Instant::now();
            indices.clone().for_each(|index| hold_ours(&mut ours, &draws, index));
            spent_ours += began.elapsed();
            let began = Instant::now();
            indices.for_each(|index| hold_heap(&mut heap, &draws, index));
            spent_heap += began.elapsed();
        }
        let rate = |spent: Duration| (turns * TURN) as f64 / spent.as_secs_f64();
        let (ours, heap) = (rate(spent_ours), rate(spent_heap));
        println!(
            "{pending} pending: {:.1} M events/s, BinaryHeap {:.1} M, ratio {:.1}; the goal of {:.0} M is {}",
            ours / 1e6,
            heap / 1e6,
            ours / heap,
            goal / 1e6,
            if ours >= goal { "reached" } else { "NOT reached" }
        );
        assert!(ours / heap >= least, "at {pending} pending the ratio is meant to be {least} at least");
    }
}

criterion_group!(benches, hold, ratios);
criterion_main!(benches);
