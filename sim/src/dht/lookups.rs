use std::fmt;
use std::time::Duration;

use folkmoot_core::base::InfoHash;

use super::ambient::{Ambient, Place};
use super::law::Law;
use super::looker::Looker;
use super::rival::{Model, Rival};
use super::sample::{Sample, Summary};
use super::scene::Scene;
use crate::engine::{Chance, Draws, Subject};

/// How many lookups are compared, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// What the first network is like is a function of it, and what the others are like of the numbers after it.
    pub seed: u64,
    /// In how many networks.
    pub networks: u32,
    /// Nodes in the network, dead ones too.
    pub nodes: u32,
    /// How many of a hundred are dead.
    pub dead: u32,
    /// How many of a hundred have ids that do not follow from their addresses (BEP 42).
    pub unbound: u32,
    /// Machines in each that look things up, each with an id and a routing table of its own.
    pub lookers: u32,
    /// Random targets that each looks up.
    pub targets: u32,
    /// How long each has been part of the network before.
    pub stay: Duration,
}

impl Conditions {
    /// Those of the published table: 6,400 lookups, 800 in each of eight networks of 100,000 nodes.
    pub fn published(dead: u32) -> Self {
        let stay = Duration::from_secs(3_600);
        Self { seed: 1, networks: 8, nodes: 100_000, dead, unbound: 0, lookers: 8, targets: 100, stay }
    }

    /// The network of a seed.
    pub(super) fn network(&self, seed: u64) -> Ambient {
        Ambient::with_unbound(seed, self.nodes, Chance::percent(self.dead), Chance::percent(self.unbound))
    }

    /// Target number `index` of a looker in a network.
    pub(super) fn target(seed: u64, looker: u64, index: u64) -> [u8; 20] {
        let mut target = [0; 20];
        target.copy_from_slice(&Draws::new(seed).bytes(TARGET, looker << 32 | index)[..20]);
        target
    }
}

const TARGET: Subject = Subject::Scenario(0x1007);

/// Where a rival's lookups start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The nodes that our machine knows at that moment.
    Same,
    /// A complete routing table in the rival's own shape, of live nodes only.
    Own,
}

/// One policy under the same conditions as the others.
#[derive(Clone, Debug)]
pub struct Row {
    /// `None` is ours.
    pub rival: Option<(Rival, Start)>,
    /// What came of it.
    pub summary: Summary,
}

/// Our lookups and the rivals', of the same targets, through the same network.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Where.
    pub conditions: Conditions,
    /// How many nodes our machines knew before the first lookup, on average.
    pub known: usize,
    /// Lookups of ours left out because the machine looked for the nodes around it at the same time.
    pub disturbed: usize,
    /// Ours first.
    pub rows: Vec<Row>,
}

/// What we want to reach.
#[derive(Clone, Copy, Debug)]
pub struct Goals {
    /// Milliseconds to the first holder, median.
    pub first: u64,
    /// Milliseconds to the end, median.
    pub end: u64,
    /// Questions, in tenths.
    pub questions: u64,
    /// Recall, in hundredths.
    pub recall: u64,
}

impl Goals {
    /// At 25 or 45 % dead.
    pub fn at(dead: u32) -> Self {
        let (first, end, questions) = if dead <= 25 { (380, 750, 550) } else { (450, 1_000, 650) };
        Self { first, end, questions, recall: 750 }
    }
}

/// Looks up random targets with the production machine, and then the same with every rival.
pub fn compare(conditions: Conditions) -> Comparison {
    let cases: Vec<(Rival, Start)> =
        Rival::ALL.into_iter().flat_map(|rival| [(rival, Start::Same), (rival, Start::Own)]).collect();
    let mut all = Samples { theirs: vec![Vec::new(); cases.len()], ..Samples::default() };
    let seeds = conditions.seed..conditions.seed.saturating_add(conditions.networks.into());
    seeds.for_each(|seed| all.gather(seed, conditions, &cases));
    let ours = Row { rival: None, summary: Summary::of(&all.ours) };
    let theirs = cases.into_iter().zip(&all.theirs);
    let theirs = theirs.map(|(case, samples)| Row { rival: Some(case), summary: Summary::of(samples) });
    let known = all.known / (conditions.networks * conditions.lookers).max(1) as usize;
    let rows = std::iter::once(ours).chain(theirs).collect();
    Comparison { conditions, known, disturbed: all.disturbed, rows }
}

/// What was seen of all networks.
#[derive(Debug, Default)]
struct Samples {
    known: usize,
    disturbed: usize,
    ours: Vec<Sample>,
    theirs: Vec<Vec<Sample>>,
}

impl Samples {
    fn gather(&mut self, seed: u64, conditions: Conditions, cases: &[(Rival, Start)]) {
        let ambient = conditions.network(seed);
        let law = Law::new(seed);
        for number in 1..=u64::from(conditions.lookers) {
            let mut looker = Looker::new(Scene::peaceful(&ambient), law, number);
            looker.join();
            looker.run_for(conditions.stay);
            let table = looker.known();
            self.known += table.len();
            let id = looker.dht().id(true);
            let own = |rival: Rival| ambient.table_for(id.as_bytes(), |index| rival.bucket(index));
            let tables: Vec<Vec<Place>> = cases
                .iter()
                .map(|(rival, start)| if *start == Start::Same { table.clone() } else { own(*rival) })
                .collect();
            for index in 0..u64::from(conditions.targets) {
                let target = Conditions::target(seed, number, index);
                match looker.look_up(InfoHash(target)) {
                    Some(sample) => self.ours.push(sample),
                    None => self.disturbed += 1,
                }
                for ((rival, _), (table, samples)) in cases.iter().zip(tables.iter().zip(&mut self.theirs)) {
                    let draws = (number, number << 16 | index);
                    samples.push(Model::run(*rival, (&ambient, law), draws, table, target));
                }
            }
        }
    }
}

impl Comparison {
    /// What of the goals is not reached, in words.
    pub fn unmet(&self) -> Vec<String> {
        let goals = Goals::at(self.conditions.dead);
        let Some((ours, theirs)) = self.rows.split_first() else { return Vec::new() };
        let ours = &ours.summary;
        let mut unmet = Vec::new();
        let mut want = |holds: bool, what: String| {
            if !holds {
                unmet.push(what);
            }
        };
        let dead = self.conditions.dead;
        let (first, end) = (ours.first.0, ours.end.0);
        want(
            first <= goals.first,
            format!("{dead} % dead: {first} ms to the first holder, not {}", goals.first),
        );
        want(end <= goals.end, format!("{dead} % dead: {end} ms to the end, not {}", goals.end));
        let (asked, goal) = (Tenths(ours.questions), Tenths(goals.questions));
        want(ours.questions <= goals.questions, format!("{dead} % dead: {asked} questions, not {goal}"));
        let (recall, goal) = (Hundredths(ours.recall), Hundredths(goals.recall));
        want(ours.recall >= goals.recall, format!("{dead} % dead: recall {recall}, not {goal}"));
        for Row { rival, summary } in theirs {
            // Only with equal starts: who starts from more and better nodes than anybody has is faster anyhow.
            let Some((rival, Start::Same)) = rival else { continue };
            let (to_first, to_end) = (summary.questions_to_first, summary.questions);
            want(
                summary.first.0 >= first || to_first >= ours.questions_to_first,
                format!("{dead} % dead: {rival} is both faster and cheaper to the first holder"),
            );
            want(
                summary.end.0 >= end || to_end >= ours.questions,
                format!("{dead} % dead: {rival} is both faster and cheaper to the end"),
            );
        }
        unmet
    }
}

/// As a table in Markdown.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conditions { networks, nodes, dead, unbound, lookers, targets, .. } = self.conditions;
        let which = if unbound > 0 { format!(", {unbound} % with made-up ids") } else { String::new() };
        writeln!(
            f,
            "### {dead} % dead{which}\n\n{networks} networks of {nodes} nodes, {lookers} machines in each, {targets} random targets for each. Ours knew {} nodes at the start.\n",
            self.known
        )?;
        writeln!(
            f,
            "| policy | starts from | first holder, ms | questions until then | end, ms | questions | recall of 8 | hops |"
        )?;
        writeln!(f, "|---|---|---:|---:|---:|---:|---:|---:|")?;
        for Row { rival, summary } in &self.rows {
            match rival {
                None => write!(f, "| **Folkmoot** | its table ")?,
                Some((rival, start)) => write!(f, "| {rival} | {start} ")?,
            }
            let Summary { first, questions_to_first, end, questions, recall, hops, .. } = *summary;
            let (to_first, questions) = (Tenths(questions_to_first), Tenths(questions));
            let (recall, hops) = (Hundredths(recall), Tenths(hops));
            writeln!(
                f,
                "| {} / {} | {to_first} | {} / {} | {questions} | {recall} | {hops} |",
                first.0, first.1, end.0, end.1
            )?;
        }
        if self.disturbed > 0 {
            let disturbed = self.disturbed;
            writeln!(f, "\n{disturbed} lookups of ours left out: another of the machine's fell into them.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "our table",
            Self::Own => "its own, complete",
        })
    }
}

/// A number in tenths, written with its point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenths(pub(crate) u64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// A number in hundredths, written with its point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hundredths(pub(crate) u64);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everybody finds what is there, in a network where nobody is dead and little is lost.
    #[test]
    fn all_policies_find_the_closest_and_a_seed_is_a_table() {
        let stay = Duration::from_secs(60);
        let conditions = Conditions {
            seed: 3,
            networks: 2,
            nodes: 2_000,
            dead: 0,
            unbound: 50,
            lookers: 2,
            targets: 10,
            stay,
        };
        let comparison = compare(conditions);
        assert_eq!(comparison.rows.len(), 1 + 2 * Rival::ALL.len());
        for Row { rival, summary } in &comparison.rows {
            let asked = summary.lookups + if rival.is_none() { comparison.disturbed } else { 0 };
            assert_eq!((asked, summary.failed), (40, 0), "{rival:?}");
            assert!(summary.recall >= 750, "{rival:?}: {summary:?}");
            assert!(summary.first.0 <= summary.end.0, "{rival:?}: {summary:?}");
            assert!(
                summary.questions_to_first <= summary.questions && summary.questions >= 80,
                "{rival:?}: {summary:?}"
            );
        }
        assert_eq!(comparison.to_string(), compare(conditions).to_string());
    }

    #[test]
    fn goals_are_compared_with_what_is() {
        let summary = Summary {
            lookups: 1,
            failed: 0,
            first: (300, 0),
            questions_to_first: 200,
            end: (700, 0),
            questions: 400,
            recall: 780,
            hops: 0,
        };
        let row = |rival, first, questions_to_first| {
            let summary = Summary { first: (first, 0), questions_to_first, ..summary };
            Row { rival, summary }
        };
        let rival = |start| Some((Rival::KRpc, start));
        let unmet = |ours, theirs| {
            let (conditions, rows) = (Conditions::published(25), vec![ours, theirs]);
            Comparison { conditions, known: 0, disturbed: 0, rows }.unmet().len()
        };
        let (same, own) = (rival(Start::Same), rival(Start::Own));
        assert_eq!(unmet(row(None, 300, 400), row(same, 301, 100)), 0, "cheaper, and slower");
        assert_eq!(unmet(row(None, 300, 400), row(same, 200, 400)), 0, "faster, and as expensive");
        assert_eq!(unmet(row(None, 300, 400), row(same, 299, 399)), 1, "faster and cheaper to the first");
        assert_eq!(unmet(row(None, 300, 400), row(own, 299, 399)), 0, "from better starts");
        let mut ended = row(same, 400, 900);
        (ended.summary.end.0, ended.summary.questions) = (699, 399);
        assert_eq!(unmet(row(None, 300, 400), ended), 1, "faster and cheaper to the end");
        assert_eq!(unmet(row(None, 381, 400), row(same, 400, 900)), 1);
    }
}
