//! `moot-sim world`.

mod joins;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use folkmoot_sim::net::{Access, Endpoint, Mix, Outcome, Stack, Technique, judge, predicts};
use folkmoot_sim::scenario::{self, Options, strangers};
use folkmoot_sim::{Draws, Subject};
use folkmoot_sim_entropy::seeded;
use serde_json::json;

use super::Done;
use super::progress::Progress;
use super::subject::seed_of;
use joins::{Join, Joins};

/// Lets strangers of a mix of networks meet: what can be expected, what packets can do, and what nodes do
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which mix
    #[arg(long, default_value = "world", value_parser = parse_mix)]
    pub(super) mix: Mix,
    /// How many pairs to judge
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) pairs: u64,
    /// For how many of them to let nodes try
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub(super) nodes: u64,
    /// What is drawn is a function of it
    #[arg(long, default_value_t = 1, value_parser = seed_of)]
    pub(super) seed: u64,
    /// How many runs at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: u16,
    /// One JSON object a row
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) const CAVEAT: &str = "\
No study says how mapping, filtering, port rule and access go together. The shares of `world` were moved until their sum came near
published rates of success, and `kind` and `harsh` written around it: agreement with those rates is by construction and proves
nothing about the world. What this shows is whether nodes do what is possible in it.";

/// What pairs are told apart by.
pub(super) type Group = (&'static str, fn(&Pair) -> bool);
pub(super) const GROUPS: [Group; 7] = [
    ("all", |_| true),
    ("both NATed", |pair| pair.ends.iter().all(Endpoint::is_natted)),
    ("home-home", |pair| pair.is(Access::Home, Access::Home)),
    ("home-mobile", |pair| pair.is(Access::Home, Access::Mobile)),
    ("mobile-mobile", |pair| pair.is(Access::Mobile, Access::Mobile)),
    ("home-office", |pair| pair.is(Access::Home, Access::Office)),
    ("office-office", |pair| pair.is(Access::Office, Access::Office)),
];

/// What a packet-level run of `world` must lie within, in percent: the row, the group, from, to.
const WINDOWS: [(&str, &str, f64, f64); 3] = [
    ("packets, IPv4", "both NATed", 62.9, 77.1),
    ("packets, IPv4", "home-home", 79.0, 87.0),
    ("packets, + IPv6", "both NATed", 75.0, 83.0),
];

/// So many of the pairs with nodes are played a second time.
const AGAIN: u64 = 50;

pub(super) struct Pair {
    number: u64,
    ends: [Endpoint; 2],
}

impl Pair {
    fn draw(mix: Mix, draws: &Draws, number: u64) -> Self {
        Self { number, ends: [2 * number, 2 * number + 1].map(|n| mix.endpoint(draws, n)) }
    }

    fn both(&self) -> [&Endpoint; 2] {
        [&self.ends[0], &self.ends[1]]
    }

    fn is(&self, a: Access, b: Access) -> bool {
        let [x, y] = [self.ends[0].access, self.ends[1].access];
        (x, y) == (a, b) || (y, x) == (a, b)
    }

    /// How far each is from the middle of the internet.
    fn delays(&self, draws: &Draws) -> [Duration; 2] {
        [0, 1].map(|n| {
            let most = Duration::from_millis(145);
            Duration::from_millis(5)
                + draws.duration(Subject::Scenario(0x4d49_5801), 2 * self.number + n, most)
        })
    }
}

/// Successes of tries, by group.
#[derive(Default)]
pub(super) struct Row {
    pub(super) tries: [u64; GROUPS.len()],
    pub(super) good: [u64; GROUPS.len()],
}

impl Row {
    fn add(&mut self, pair: &Pair, good: bool) {
        for (n, (_, belongs)) in GROUPS.iter().enumerate() {
            if belongs(pair) {
                self.tries[n] += 1;
                self.good[n] += u64::from(good);
            }
        }
    }

    /// In percent: the share, and where it lies with 95 % confidence (Wilson's interval).
    pub(super) fn share(&self, group: usize) -> Option<(f64, f64, f64)> {
        let (n, good) = (self.tries[group] as f64, self.good[group] as f64);
        if n == 0.0 {
            return None;
        }
        const Z: f64 = 1.96;
        let (share, z2) = (good / n, Z * Z);
        let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        Some((100.0 * share, 100.0 * (middle - half), 100.0 * (middle + half)))
    }
}

/// What can be expected of pairs, what packets can do and what nodes do; and where nodes and oracle disagree.
pub(super) struct Found {
    pub(super) rows: Vec<(String, Row)>,
    joins: Joins,
    disagreements: BTreeMap<u64, String>,
}

/// Lets the pairs try.
pub(super) fn find(arguments: &Arguments) -> Found {
    let draws = Draws::new(arguments.seed);
    let pairs: Vec<_> = (0..arguments.pairs).map(|n| Pair::draw(arguments.mix, &draws, n)).collect();
    let mut rows: Vec<(String, Row)> = Vec::new();
    for technique in Technique::ALL {
        let mut row = Row::default();
        pairs.iter().for_each(|pair| row.add(pair, predicts(technique, &pair.ends[0], &pair.ends[1])));
        rows.push((format!("fit, {technique}"), row));
    }
    for (name, stack) in [("packets, IPv4", Stack::V4), ("packets, + IPv6", Stack::Dual)] {
        let mut row = Row::default();
        for pair in &pairs {
            row.add(pair, judge(&draws, pair.both(), stack).packets == Outcome::Always);
        }
        rows.push((name.into(), row));
    }
    let (row, joins, disagreements) = nodes(arguments, &draws, &pairs);
    rows.push(("nodes, + IPv6".into(), row));
    Found { rows, joins, disagreements }
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Found { rows, joins, disagreements } = find(arguments);
    let mut out = io::stdout().lock();
    if arguments.json {
        tell_json(&mut out, arguments, &rows)?;
        writeln!(out, "{}", joins.json())?;
    } else {
        tell(&mut out, arguments, &rows)?;
        writeln!(out, "\n{joins}")?;
    }
    let mut is_good = true;
    for what in joins.broken() {
        eprintln!("{what}");
        is_good = false;
    }
    for (number, what) in disagreements {
        eprintln!("pair {number}: {what}");
        is_good = false;
    }
    let windows = WINDOWS.iter().filter(|_| arguments.mix == Mix::World && arguments.pairs >= 1_000);
    for (name, group, from, to) in windows {
        let row = rows.iter().find(|(row, _)| row == name).map(|(_, row)| row);
        let at = GROUPS.iter().position(|(it, _)| it == group);
        let share = row.zip(at).and_then(|(row, at)| row.share(at)).map(|(share, ..)| share);
        if !share.is_some_and(|share| (*from..=*to).contains(&share)) {
            eprintln!("{name} of {group}: {share:.1?} %, which is not within {from} to {to} %");
            is_good = false;
        }
    }
    Ok(is_good)
}

/// Lets nodes try: how many connected, and where that is not what the oracle says.
fn nodes(arguments: &Arguments, draws: &Draws, pairs: &[Pair]) -> (Row, Joins, BTreeMap<u64, String>) {
    let pairs = &pairs[..pairs.len().min(usize::try_from(arguments.nodes).unwrap_or(usize::MAX))];
    let (next, mut progress) = (AtomicUsize::new(0), Progress::new());
    let (mut row, mut joins, mut wrong) = (Row::default(), Joins::default(), BTreeMap::new());
    std::thread::scope(|scope| {
        let (results, received) = mpsc::channel();
        for _ in 0..arguments.jobs {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                while let Some(pair) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scenario = strangers(pair.both(), pair.delays(draws));
                    let seed = arguments.seed.wrapping_add(pair.number);
                    let play =
                        |entropy| seeded(entropy, || scenario::run(&scenario, seed, Options::default()));
                    let outcome = play(seed);
                    let join = Join::of(&outcome, pair.delays(draws));
                    // The same under another order of all hash tables: nothing of it may follow from that.
                    let again = join.filter(|_| pair.number < AGAIN).map(|_| play(!seed));
                    let again = again.and_then(|again| Join::of(&again, pair.delays(draws)));
                    let connected = join.is_some();
                    let join = join.map(|join| (pair.number, join, again));
                    if results.send((pair, connected, join, scenario.to_string())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (done, (pair, connected, join, scenario)) in (1..).zip(received) {
            let all = pairs.len();
            progress.show(done, all as u64, format_args!("{done} of {all} pairs of nodes"));
            row.add(pair, connected);
            let judgement = judge(draws, pair.both(), Stack::Dual);
            // Who may connect by being quick, or by chance, owes nothing.
            let owed = judgement.packets == Outcome::Always && judgement.verdict.direct;
            if let Some((number, join, again)) = join.filter(|_| owed) {
                joins.add(number, join, again);
            }
            let excluded = judgement.packets == Outcome::Never;
            if owed && !connected || excluded && connected {
                let did = if connected { "connected" } else { "did not connect" };
                let what = format!(
                    "nodes {did}; table {}, packets {}: {scenario}",
                    judgement.verdict, judgement.packets
                );
                wrong.insert(pair.number, what);
            }
        }
    });
    (row, joins, wrong)
}

fn tell(out: &mut impl Write, arguments: &Arguments, rows: &[(String, Row)]) -> io::Result<()> {
    let Arguments { mix, pairs, nodes, seed, .. } = arguments;
    writeln!(
        out,
        "{mix}: {pairs} pairs of strangers, {} of them with nodes, seed {seed}\n",
        nodes.min(pairs)
    )?;
    writeln!(out, "{CAVEAT}\n")?;
    write!(out, "{:<24}", "percent that connect")?;
    for (name, _) in GROUPS {
        write!(out, " {name:>14}")?;
    }
    writeln!(out)?;
    for (name, row) in rows {
        write!(out, "{name:<24}")?;
        for group in 0..GROUPS.len() {
            match row.share(group) {
                Some((share, ..)) => write!(out, " {share:>14.1}")?,
                None => write!(out, " {:>14}", "")?,
            }
        }
        writeln!(out)?;
        if name.starts_with("nodes") {
            write!(out, "{:<24}", "  with 95 % confidence")?;
            for group in 0..GROUPS.len() {
                let range = row.share(group).map(|(_, low, high)| format!("{low:.0} to {high:.0}"));
                write!(out, " {:>14}", range.unwrap_or_default())?;
            }
            writeln!(out)?;
        }
    }
    writeln!(
        out,
        "\n`fit` goes by classes alone; `packets` sends them through boxes that also age, are stacked and draw ports. Nodes can do\n\
         what is up to `+ IPv6`; the rest is not in them yet."
    )
}

fn tell_json(out: &mut impl Write, arguments: &Arguments, rows: &[(String, Row)]) -> io::Result<()> {
    let (mix, seed) = (arguments.mix.to_string(), arguments.seed);
    for (name, row) in rows {
        for (n, (group, _)) in GROUPS.iter().enumerate() {
            let line = json!({
                "event": "share", "mix": mix, "seed": seed, "row": name, "group": group,
                "pairs": row.tries[n], "connected": row.good[n],
            });
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "{}", json!({"event": "done", "caveat": CAVEAT}))
}

fn parse_mix(text: &str) -> Result<Mix, String> {
    let found = Mix::ALL.iter().find(|(name, _)| *name == text).map(|(_, mix)| *mix);
    found.ok_or_else(|| "the mixes are kind, world and harsh".into())
}
