//! How long a pair takes from the code to being connected: in virtual time, printed, and how long the simulator takes to
//! find out, measured.
//!
//! A run is a whole world: sixteen DHT nodes that find each other for ten seconds, then two nodes that derive keys, enter,
//! announce, look up, knock, and connect with real DTLS.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use folkmoot_sim::net::{Behavior, BoxRules, Law};
use folkmoot_sim::scenario::{self, Act, Home, Options, Scenario};

/// Two members who meet; what the scenario does after that is left out.
fn pair(homes: [Home; 2]) -> Scenario {
    let mut scenario = scenario::find("first-data", 0).expect("a scenario of the library");
    let meet = scenario.steps.iter().position(|step| matches!(step.act, Act::Settle(_)));
    scenario.steps.truncate(meet.map_or(0, |at| at + 1));
    scenario.homes = homes.into();
    scenario.goals.clear();
    scenario
}

fn connect(c: &mut Criterion) {
    const ANY: Behavior = Behavior::EndpointIndependent;
    const PORT: Behavior = Behavior::AddressAndPortDependent;
    let usual = || Home::behind([BoxRules::nat(ANY, PORT)], Law::delay(25));
    let open = || Home::open(Law::delay(25));
    let mut group = c.benchmark_group("connect");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, homes) in [("open-open", [open(), open()]), ("home-home", [usual(), usual()])] {
        let scenario = pair(homes);
        let mut times: Vec<u64> = (0..20)
            .map(|seed| {
                let outcome = scenario::run(&scenario, seed, Options::default());
                assert!(outcome.is_good(), "{scenario}, seed {seed}:\n{outcome}");
                outcome.figure("settled_1_ms").unwrap_or(0)
            })
            .collect();
        times.sort_unstable();
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "connect/{name}: {median} ms of virtual time from the code to connected (median of 20 seeds, at most {most}), 100 ms round trip"
        );
        let mut seed = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                seed += 1;
                black_box(scenario::run(&scenario, seed, Options::default())).is_good()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, connect);
criterion_main!(benches);
