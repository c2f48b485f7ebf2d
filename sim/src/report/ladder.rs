use std::collections::BTreeMap;
use std::time::Duration;

use folkmoot_core::base::Time;
use folkmoot_core::node::Event;

use self::clock::Clock;
use self::lanes::Lanes;
use self::rung::{Labels, Rung};
use super::svg::Svg;
use crate::scenario::Outcome;

mod clock;
mod lanes;
mod rung;
mod table;

/// One connect as a ladder diagram: two members, the boxes before them, the servers between; time goes down. Arrows are packets,
/// crosses are drops with their reason, bars are entries in NAT tables. It needs the run's
/// [`tape`](crate::scenario::Options::tape); `None` without one, or if there are no such members.
pub fn ladder(outcome: &Outcome, (a, b): (usize, usize)) -> Option<String> {
    let tape = outcome.tape.as_ref()?;
    let roles = (outcome.cast.get(a)?, outcome.cast.get(b).filter(|_| a != b)?);
    let lanes = Lanes::of(&outcome.cast, roles);
    let until = lanes.until(outcome, (a, b));
    let rungs: Vec<_> = tape.flights().filter_map(|flight| lanes.rung(flight, until)).collect();
    let drops = drops(&rungs);
    let shown = Shown::of(rungs);
    let clock = Clock::of(&shown.rungs);
    let mut svg = Svg::new(lanes.width());
    let verdict = outcome.verdicts.get(a).and_then(|row| row.get(b));
    let title = format!("{} meets {}", roles.0.name, roles.1.name);
    svg.text((24.0, 32.0), "title", &title);
    let name = outcome.scenario.split([';', '\n']).next().unwrap_or_default().trim();
    svg.text((24.0, 50.0), "soft", format!("{name} · seed {} · simulated", outcome.seed));
    if let Some(verdict) = verdict {
        svg.text((24.0, 67.0), "soft", format!("oracle: {verdict}"));
    }
    let legend = [
        ("f-teal", "DHT"),
        ("f-better", "STUN and ICE checks"),
        ("f-relay", "DTLS and data"),
        ("f-bad", "dropped, with the reason"),
        ("f-warn", "entry in a NAT's table, from first packet to expiry"),
    ];
    svg.legend((24.0, 92.0), &legend);
    let bottom = TOP + clock.height + 14.0;
    lanes.draw(&mut svg, bottom);
    clock.draw(&mut svg, lanes.width());
    lanes.draw_entries(&mut svg, &clock, tape.entries(), until);
    let mut labels = Labels::default();
    shown.rungs.iter().for_each(|rung| rung.draw(&mut svg, &lanes, &clock, &mut labels));
    labels.draw(&mut svg);
    let mut foot = bottom + 26.0;
    for (who, to, at) in connected(outcome, (a, b)) {
        let after = clock.millis(at);
        let text = format!(
            "{} is connected to {} after {after:.0} ms",
            outcome.cast[who].name, outcome.cast[to].name
        );
        svg.text((24.0, foot), "head", text);
        foot += 17.0;
    }
    if shown.left_out > 0 {
        let text = format!("{} packets, most of them to and from DHT nodes, are not drawn", shown.left_out);
        svg.text((24.0, foot), "soft", text);
        foot += 17.0;
    }
    if tape.missed() > 0 {
        svg.text((24.0, foot), "soft", format!("{} packets were not recorded", tape.missed()));
        foot += 17.0;
    }
    foot = draw_drops(&mut svg, &drops, foot + 10.0);
    foot = table::draw(&mut svg, &clock, roles, (tape.entries(), until), foot + 10.0);
    Some(svg.finish(foot, &title))
}

/// Why packets of this pair were dropped, and how many, drawn or not.
fn drops(rungs: &[Rung]) -> BTreeMap<String, usize> {
    let mut drops = BTreeMap::new();
    for (_, why) in rungs.iter().filter_map(|rung| rung.dropped.as_ref()) {
        *drops.entry(why.clone()).or_default() += 1;
    }
    drops
}

/// Below the ladder, where there is room for each reason.
fn draw_drops(svg: &mut Svg, drops: &BTreeMap<String, usize>, top: f64) -> f64 {
    let all: usize = drops.values().sum();
    svg.text(
        (24.0, top),
        "head",
        if all == 0 { "Nothing was dropped".into() } else { format!("Dropped: {all}") },
    );
    let mut y = top + 16.0;
    let mut reasons: Vec<_> = drops.iter().collect();
    reasons.sort_by_key(|(why, count)| (std::cmp::Reverse(**count), *why));
    for (why, count) in reasons.iter().take(LISTED) {
        svg.text((52.0, y), "small f-bad end", format!("{count} ×"));
        svg.text((58.0, y), "small", why);
        y += 14.0;
    }
    if reasons.len() > LISTED {
        svg.text((58.0, y), "small soft", format!("and for {} other reasons", reasons.len() - LISTED));
        y += 14.0;
    }
    y
}

/// Where the lanes begin, below the heading.
const TOP: f64 = 168.0;
/// Between two lanes.
const APART: f64 = 150.0;
/// Left of the first lane: the times.
const MARGIN: f64 = 124.0;
/// So much is shown after both are connected: the first data.
const AFTER: Duration = Duration::from_millis(120);
/// The most DHT packets that are drawn: those nearest to the first check.
const DHT_SHOWN: usize = 36;
/// The most reasons of drops that are listed.
const LISTED: usize = 12;
/// The most packets in all.
const SHOWN: usize = 220;

/// When each of the two was first told that it is connected to the other.
fn connected(outcome: &Outcome, (a, b): (usize, usize)) -> Vec<(usize, usize, Time)> {
    let first = |who: usize, to: usize| {
        let device = outcome.cast[to].device;
        let is_it = |event: &Event| matches!(event, Event::Connected { device: it, .. } if *it == device);
        let noted = outcome.events.iter().find(|noted| noted.member == who && is_it(&noted.event))?;
        Some((who, to, noted.at))
    };
    [first(a, b), first(b, a)].into_iter().flatten().collect()
}

/// The packets that are drawn: all of the pair and of STUN, and of the DHT a part.
struct Shown {
    rungs: Vec<Rung>,
    left_out: usize,
}

impl Shown {
    fn of(rungs: Vec<Rung>) -> Self {
        let (dht, mut others): (Vec<_>, Vec<_>) = rungs.into_iter().partition(|rung| rung.is_dht);
        let all = dht.len() + others.len();
        others.truncate(SHOWN);
        // The way into the DHT shows at its start, the record of the other at the end of it.
        let first_check = others.iter().find(|rung| rung.what == "STUN check").map(|rung| rung.sent);
        let before = dht.iter().filter(|rung| first_check.is_none_or(|at| rung.sent < at)).count();
        let keep = before.saturating_sub(DHT_SHOWN / 2)..before + DHT_SHOWN / 6;
        let kept = dht.into_iter().enumerate().filter(|(n, _)| *n < DHT_SHOWN / 3 || keep.contains(n));
        others.extend(kept.map(|(_, rung)| rung));
        others.sort_by_key(|rung| rung.sent);
        let left_out = all - others.len();
        Self { rungs: others, left_out }
    }
}
