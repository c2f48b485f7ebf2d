//! `moot-sim dht attack`.

use std::io::{self, Write as _};

use clap::Args;
use folkmoot_sim::dht::{Attack, Outcome, Siege, besiege, poison};

use super::super::Done;
use super::super::subject::seed_of;

/// The published figures.
const PUBLISHED: &str = include_str!("../../../snapshots/attacks.md");

/// Pairs of members that each meet under as many topics.
const PAIRS: u64 = 10;

/// Attacks the production machine, and shows what comes of it
#[derive(Args)]
pub(super) struct Arguments {
    /// Topics in all for each attack on lookups
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    topics: u32,
    /// What the network is like is a function of it
    #[arg(long, default_value_t = 1, value_parser = seed_of)]
    seed: u64,
    /// Fails if anything differs from the published figures (sim/snapshots/attacks.md)
    #[arg(long, conflicts_with_all = ["topics", "seed"])]
    check: bool,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { topics, seed, .. } = *arguments;
    let outcomes = Attack::ALL.map(|attack| (attack, poison(seed, attack, PAIRS, topics / PAIRS as u32)));
    let siege = besiege(seed);
    let text = text(&outcomes, &siege);
    let mut out = io::stdout().lock();
    if arguments.check {
        return super::same_as_published(&mut out, &text, PUBLISHED, ("attack", "sim/snapshots/attacks.md"));
    }
    write!(out, "{text}")?;
    Ok(true)
}

fn text(outcomes: &[(Attack, Outcome)], siege: &Siege) -> String {
    let mut text = String::from(HEAD);
    for (attack, outcome) in outcomes {
        let Outcome { topics, hidden, hijacked, stored, datagrams, to_bystander, from_hostile, memory } =
            *outcome;
        text += &format!(
            "| {attack} | {topics} | {hidden} | {hijacked} | {}.{:02} | {}.{} | {to_bystander} / {from_hostile} | {memory} |\n",
            stored / 100,
            stored % 100,
            datagrams / 10,
            datagrams % 10,
        );
    }
    text += SIEGE_HEAD;
    let Siege { reflected, honest, known, guessed, forged, rightful, stuffed: [any, close], memory, .. } =
        *siege;
    let of = |(part, whole): (u64, u64)| format!("{part} of {whole}");
    let swap = |(whole, part): (u64, u64)| of((part, whole));
    let ratio =
        |part: u64, whole: u64| format!("{}.{:02}", part / whole.max(1), part * 100 / whole.max(1) % 100);
    let rows = [
        ("questions in a bystander's name, bytes", siege.spoofed_bytes.to_string()),
        ("… answered to the bystander, bytes for each", ratio(reflected.answers, siege.spoofed_bytes)),
        ("… asked of the bystander, bytes for each", ratio(reflected.questions, siege.spoofed_bytes)),
        ("questions of 60,000 strangers, bytes", siege.strangers_bytes.to_string()),
        (
            "… all that was sent meanwhile and for 5 min after, bytes for each",
            ratio(siege.strangers_sent, siege.strangers_bytes),
        ),
        ("… somebody honest and unknown was answered", swap(honest)),
        ("… nodes that it knows were answered", swap(known)),
        ("answers with guessed transaction ids believed", swap(guessed)),
        ("forged tokens accepted", swap(forged)),
        ("rightful tokens accepted", swap(rightful)),
        ("announcements of any topics from 40,000 addresses stored", swap(any.announced)),
        ("… topics and peers stored then", format!("{} and {}", any.stored.0, any.stored.1)),
        ("… members of before named after it", swap(any.before)),
        ("… members who came after it named", swap(any.after)),
        ("… members who came after it with topics that belong elsewhere, named", swap(any.elsewhere)),
        ("announcements of topics next to its id from 40,000 addresses stored", swap(close.announced)),
        ("… topics and peers stored then", format!("{} and {}", close.stored.0, close.stored.1)),
        ("… members of before named after it", swap(close.before)),
        ("… members who came after it named", swap(close.after)),
        ("… members who came after it with topics that belong elsewhere, named", swap(close.elsewhere)),
        ("bytes of the machine: before, and at most", format!("{} and {}", memory.0, memory.1)),
    ];
    rows.iter().for_each(|(what, figure)| text += &format!("| {what} | {figure} |\n"));
    let unmet = unmet(outcomes, siege);
    text += "\n### Goals\n\n";
    text += "No topic hidden or hijacked by an attack; at most a byte of our own accord to a bystander for each byte received; no\n\
             forged token and no guessed answer accepted; whom it knows is answered; nine of ten members named, before and after a flood; no\n\
             more than 12 MB.\n\n";
    if unmet.is_empty() {
        text += "All are reached.\n";
    }
    unmet.iter().for_each(|what| text += &format!("- NOT REACHED: {what}\n"));
    text
}

/// What of the goals is not reached, in words.
fn unmet(outcomes: &[(Attack, Outcome)], siege: &Siege) -> Vec<String> {
    let mut unmet = Vec::new();
    let mut want = |holds: bool, what: String| {
        if !holds {
            unmet.push(what);
        }
    };
    for (attack, outcome) in outcomes {
        let Outcome { topics, hidden, hijacked, .. } = outcome;
        want(*hidden == 0, format!("{attack}: {hidden} of {topics} topics hidden"));
        want(*hijacked == 0, format!("{attack}: {hijacked} of {topics} topics hijacked"));
        want(
            outcome.to_bystander <= outcome.from_hostile,
            format!("{attack}: more was sent to a bystander than received"),
        );
    }
    let Siege { reflected, spoofed_bytes, guessed, forged, rightful, known, stuffed, memory, .. } = *siege;
    want(reflected.questions <= spoofed_bytes, "more was asked of a bystander than came in its name".into());
    want(
        2 * reflected.answers <= 7 * spoofed_bytes,
        "more than 3.5 times was answered to a bystander".into(),
    );
    want(forged.1 == 0, format!("{} forged tokens accepted", forged.1));
    want(guessed.1 == 0, format!("{} guessed answers believed", guessed.1));
    want(rightful.0 == rightful.1, "a rightful token was refused".into());
    want(known.0 == known.1, format!("{} of {} questions of nodes it knows answered", known.1, known.0));
    for (flood, of) in [("any topics", stuffed[0]), ("topics next to its id", stuffed[1])] {
        for (who, (all, named)) in [("before", of.before), ("after", of.after)] {
            let what = format!("a flood of {flood}: {named} of {all} members who came {who} it are named");
            want(named * 10 >= all * 9, what);
        }
    }
    want(memory.1 <= 12 << 20, format!("{} bytes of memory", memory.1));
    unmet
}

const HEAD: &str = "\
# Attacks

Made by `moot-sim dht attack`; `.ci/run` checks that it still says the same. Simulated, not measured on the internet.

## On lookups

100,000 nodes of which a quarter are dead, laws as in [lookups.md](lookups.md). One production machine announces a topic, as a
meeting does, then another one; both have been part of the attacked network for ten minutes. *Hidden*: the second is not told of the
first in that round. *Hijacked*: no node that means well stores the first. Hostile nodes answer as fast as others. A machine enters
through four hosts, as many as are well known for IPv4; in a network with hostile nodes three of the four are hostile. If all are, and
nobody is known from an earlier run, a machine never learns of anybody honest, and no rule of its own changes that.

Those around a topic are as well known to honest nodes as an honest node at that place; they take announcements and name only each
other. *For each honest node so many* means at even distances, so that they are not conspicuously close together and take places below
every limit on crowds. *Once it is announced*: the first announced in peace, and they surround whom the second asks. To
have 64 addresses from which ids closer to a given topic than any honest one follow takes some ten million addresses to choose
from, one each in 64 networks; for 64 that are spread among the honest ones some 100,000 suffice.

| attack | topics | hidden | hijacked | honest nodes that stored | datagrams sent | bytes to the bystander / from hostile | memory |
|---|---:|---:|---:|---:|---:|---:|---:|
";

const SIEGE_HEAD: &str = "
## On a node that serves

One production machine in server mode: 500 questions a second in a bystander's name for a minute; 4,000 a second for 15 s, each
in the name of somebody else; 50,000 answers with guessed transaction ids from the addresses of nodes it knows; tokens of another
address, topic or time, random, cut, with a bit flipped, and the exclusive or of three tokens of addresses whose exclusive or is the
victim's, which is the right one where tokens are checksums; and 40,000 announcements from as many addresses, 500 a second, a quarter of
one topic; then as many again, of topics closer to its id than any meeting. Before and after each flood ten meetings of five announce
topics of which it is one of the eight closest nodes, as lookups find them; after it ten more announce topics of which it is not.

| | |
|---|---:|
";
