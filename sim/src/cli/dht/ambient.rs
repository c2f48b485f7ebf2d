//! `moot-sim dht ambient`.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use folkmoot_core::base::InfoHash;
use folkmoot_sim::dht::{Ambient, Law, Looker, Model, Rival, Scene};
use folkmoot_sim::{Chance, Draws, Subject};

use super::super::Done;

/// Lets a production machine look things up among millions of nodes, at eight bytes a node
#[derive(Args)]
pub(super) struct Arguments {
    /// Nodes; a quarter of them are dead
    #[arg(long, default_value_t = 28_000_000, value_parser = clap::value_parser!(u32).range(100..=200_000_000))]
    nodes: u32,
    /// Lookups of the machine, and ten times as many of a modelled one
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    lookups: u32,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { nodes, lookups } = *arguments;
    let mut out = io::stdout().lock();
    let began = Instant::now();
    let (ambient, law) = (Ambient::new(1, nodes, Chance::percent(25)), Law::new(1));
    let (built, bytes) = (began.elapsed().as_secs_f64(), ambient.bytes());
    writeln!(out, "{nodes} nodes in {built:.2} s, {bytes} bytes")?;
    let target = |index: u64| {
        let mut target = [0; 20];
        target.copy_from_slice(&Draws::new(1).bytes(Subject::Scenario(0xca11), index)[..20]);
        target
    };
    let mut looker = Looker::new(Scene::peaceful(&ambient), law, 1);
    looker.join();
    looker.run_for(Duration::from_secs(3_600));
    let began = Instant::now();
    let samples: Vec<_> =
        (0..u64::from(lookups)).filter_map(|index| looker.look_up(InfoHash(target(index)))).collect();
    let each = began.elapsed().as_secs_f64() / f64::from(lookups);
    let found = samples.iter().filter(|sample| sample.first.is_some()).count();
    let recall: u32 = samples.iter().map(|sample| sample.recall).sum();
    let questions: u32 = samples.iter().map(|sample| sample.questions).sum();
    let mean = |sum: u32, count: usize| f64::from(sum) / count.max(1) as f64;
    writeln!(
        out,
        "the production machine: {found} of {} found a holder, {:.1} questions, recall {:.2}; {:.0} lookups a second, with the \
         20 s of rest between them",
        samples.len(),
        mean(questions, samples.len()),
        mean(recall, samples.len()),
        1.0 / each
    )?;
    let table = ambient.table_for(looker.dht().id(true).as_bytes(), |_| 8);
    let began = Instant::now();
    let count = 10 * u64::from(lookups);
    let asked: u32 = (0..count)
        .map(|index| {
            Model::run(Rival::LibtorrentImpatient, (&ambient, law), (1, index), &table, target(index))
                .questions
        })
        .sum();
    let rate = count as f64 / began.elapsed().as_secs_f64();
    writeln!(
        out,
        "a modelled one: {:.1} questions, {rate:.0} lookups a second",
        mean(asked, count as usize)
    )?;
    Ok(true)
}
