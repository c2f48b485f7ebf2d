use std::collections::BTreeMap;
use std::time::Duration;

use folkmoot_core::base::Time;
use folkmoot_core::node::Event;

use super::label::label;
use super::svg::Svg;
use crate::engine::{End, Flight, HostId, Kind, Place};
use crate::net::{BoxId, DropReason};
use crate::scenario::{Outcome, Role};

/// One connect as a ladder diagram: two members, the boxes before them, the servers between; time goes down. Arrows are packets,
/// crosses are drops with their reason, bars are entries in NAT tables. It needs the run's
/// [`tape`](crate::scenario::Options::tape); `None` without one, or if there are no such members.
pub fn ladder(outcome: &Outcome, (a, b): (usize, usize)) -> Option<String> {
    let tape = outcome.tape.as_ref()?;
    let roles = (outcome.cast.get(a)?, outcome.cast.get(b).filter(|_| a != b)?);
    let mut lanes = Lanes::of(roles);
    lanes.third =
        outcome.cast.iter().map(|role| role.host).filter(|host| !lanes.members.contains(host)).collect();
    let until = lanes.until(outcome, (a, b));
    let rungs: Vec<_> = tape.flights().filter_map(|flight| lanes.rung(flight, until)).collect();
    let shown = Shown::of(rungs);
    let clock = Clock::of(&shown.rungs);
    let mut svg = Svg::new(lanes.width());
    let verdict = outcome.verdicts.get(a).and_then(|row| row.get(b));
    let title = format!("{} meets {}", roles.0.name, roles.1.name);
    svg.text((24.0, 32.0), "title", &title);
    let name = outcome.scenario.split([';', '\n']).next().unwrap_or_default().trim();
    svg.text((24.0, 50.0), "soft", format!("seed {} · {name}", outcome.seed));
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
    lanes.draw_tables(&mut svg, &clock, tape.entries(), until);
    let mut labels = Labels::default();
    shown.rungs.iter().for_each(|rung| rung.draw(&mut svg, &lanes, &clock, &mut labels));
    let mut foot = bottom + 22.0;
    for (who, to, at) in connected(outcome, (a, b)) {
        let text = format!("{} is connected to {} at {at}", outcome.cast[who].name, outcome.cast[to].name);
        svg.text((24.0, foot), "head", text);
        foot += 17.0;
    }
    if shown.left_out > 0 {
        svg.text(
            (24.0, foot),
            "soft",
            format!("{} packets to and from DHT nodes are not drawn", shown.left_out),
        );
        foot += 17.0;
    }
    if tape.missed() > 0 {
        svg.text((24.0, foot), "soft", format!("{} packets were not recorded", tape.missed()));
        foot += 17.0;
    }
    Some(svg.finish(foot + 6.0, &title))
}

/// Where the lanes begin, below the heading.
const TOP: f64 = 168.0;
/// Between two lanes.
const APART: f64 = 150.0;
/// Left of the first lane: the times.
const MARGIN: f64 = 96.0;
/// So much is shown after both are connected: the first data.
const AFTER: Duration = Duration::from_millis(120);
/// The most DHT packets that are drawn: those nearest to the first check.
const DHT_SHOWN: usize = 36;
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

/// The vertical lines, from left to right: member, its boxes, DHT, STUN, the other's boxes, the other.
struct Lanes {
    places: BTreeMap<Place, usize>,
    heads: Vec<(String, String)>,
    dht: usize,
    members: [HostId; 2],
    /// Members who are not in the picture.
    third: Vec<HostId>,
}

impl Lanes {
    fn of((a, b): (&Role, &Role)) -> Self {
        let mut lanes = Self {
            places: BTreeMap::new(),
            heads: Vec::new(),
            dht: 0,
            members: [a.host, b.host],
            third: Vec::new(),
        };
        lanes.add(Some(Place::Host(a.host)), &a.name, "");
        a.boxes.iter().for_each(|(id, rules)| lanes.add(Some(Place::Box(*id)), "NAT", rules));
        lanes.dht = lanes.heads.len();
        lanes.add(None, "DHT", "all its nodes");
        lanes.add(None, "STUN", "both servers");
        // A box that both are behind has one lane.
        for (id, rules) in b.boxes.iter().rev() {
            if !lanes.places.contains_key(&Place::Box(*id)) {
                lanes.add(Some(Place::Box(*id)), "NAT", rules);
            }
        }
        lanes.add(Some(Place::Host(b.host)), &b.name, "");
        lanes
    }

    fn add(&mut self, place: Option<Place>, name: &str, rules: &str) {
        if let Some(place) = place {
            self.places.insert(place, self.heads.len());
        }
        let name = if rules.starts_with("firewall") { "firewall" } else { name };
        self.heads.push((name.into(), rules.into()));
    }

    fn width(&self) -> f64 {
        (MARGIN + APART * (self.heads.len() - 1) as f64 + 110.0).max(780.0)
    }

    fn x(&self, lane: usize) -> f64 {
        MARGIN + 30.0 + APART * lane as f64
    }

    /// When the picture ends.
    fn until(&self, outcome: &Outcome, pair: (usize, usize)) -> Time {
        let both = connected(outcome, pair);
        match both[..] {
            [a, b] => a.2.max(b.2) + AFTER,
            _ => outcome.ended,
        }
    }

    /// A packet of this pair, or `None`.
    fn rung(&self, flight: &Flight, until: Time) -> Option<Rung> {
        let first = flight.hops.first().filter(|hop| hop.at <= until)?;
        let of_pair = self.members.contains(&flight.origin);
        let kind = Kind::of(&flight.bytes);
        let server = if kind == Kind::Krpc { self.dht } else { self.dht + 1 };
        let mut points = Vec::new();
        for hop in &flight.hops {
            match (self.places.get(&hop.place), hop.place) {
                (Some(lane), _) => points.push((*lane, hop.at)),
                // Somebody else's box: not of this pair.
                (None, Place::Box(_)) => return None,
                (None, Place::Host(host)) if self.third.contains(&host) => return None,
                (None, Place::Host(_)) => points.push((server, hop.at)),
            }
        }
        let others = |host: &HostId| !self.members.contains(host);
        let end = flight.end;
        let receiver = flight.hops.last().and_then(|hop| match hop.place {
            Place::Host(host) if flight.hops.len() > 1 => Some(host),
            _ => None,
        });
        let to_other = receiver.as_ref().is_some_and(others);
        let with_server = !of_pair || to_other;
        if !of_pair && !points.iter().any(|(lane, _)| *lane != server) {
            return None;
        }
        // Of what goes to third members nothing is shown: only servers have lanes of their own.
        let is_check = with_server && matches!(kind, Kind::Dtls | Kind::Channel | Kind::Other);
        if is_check || (with_server && kind == Kind::Stun && is_ice(&flight.bytes)) {
            return None;
        }
        let mut dropped = None;
        if let Some((at, End::Dropped(reason))) = end {
            let hop = flight.hops.last()?;
            dropped = Some((at, why(reason, hop.from.to_string(), hop.to.to_string())));
        }
        let (class, what) = label(&flight.bytes, with_server);
        let about = format!("{} · {} → {} · {} bytes", first.at, first.from, first.to, flight.bytes.len());
        Some(Rung { sent: first.at, points, dropped, class, what, about, is_dht: kind == Kind::Krpc })
    }

    fn draw(&self, svg: &mut Svg, bottom: f64) {
        for (lane, (name, rules)) in self.heads.iter().enumerate() {
            let x = self.x(lane);
            svg.rect((x - 58.0, TOP - 56.0), (116.0, 38.0), 7.0, "f-lane", "");
            let y = if rules.is_empty() { TOP - 33.0 } else { TOP - 40.0 };
            svg.text((x, y), "head mid", name);
            svg.text((x, TOP - 26.0), "tiny soft mid mono", shorten(rules, 20));
            svg.line((x, TOP - 18.0), (x, bottom), "lane");
        }
    }

    fn draw_tables(&self, svg: &mut Svg, clock: &Clock, entries: &[crate::engine::Entry], until: Time) {
        let mut taken: BTreeMap<BoxId, usize> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.made <= until) {
            let Some(&lane) = self.places.get(&Place::Box(entry.at)) else { continue };
            let column = taken.entry(entry.at).or_default();
            // Symmetric NATs make one for every remote: beside the lane there is room for so many.
            if *column >= 9 {
                continue;
            }
            let x = self.x(lane) + 5.0 + 7.0 * *column as f64;
            *column += 1;
            let (top, bottom) = (clock.y(entry.made), clock.y(entry.until.min(until)));
            let about = format!("{} → {}, {} to {}", entry.inside, entry.external, entry.made, entry.until);
            svg.rect((x, top), (4.5, (bottom - top).max(3.0)), 2.0, "f-warn faint", &about);
            if *column <= 2 {
                svg.turned(
                    (x + 9.0, top + 4.0),
                    90.0,
                    "tiny mono soft",
                    format!(":{}", entry.external.port()),
                );
            }
        }
    }
}

/// Whether a STUN message is a connectivity check: it has a USERNAME first (RFC 8445, section 7.2.2), or answers one and has a
/// MESSAGE-INTEGRITY.
fn is_ice(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(20..).unwrap_or_default();
    while let [kind_high, kind_low, len_high, len_low, tail @ ..] = rest {
        let kind = u16::from_be_bytes([*kind_high, *kind_low]);
        if matches!(kind, 0x0006 | 0x0008) {
            return true;
        }
        let len = usize::from(u16::from_be_bytes([*len_high, *len_low])).next_multiple_of(4);
        rest = tail.get(len..).unwrap_or_default();
    }
    false
}

fn why(reason: DropReason, from: String, to: String) -> String {
    match reason {
        DropReason::Filtered => format!("filtered: nothing was sent to {from}"),
        DropReason::NoMapping => format!("no entry for {to}"),
        DropReason::NoRoute => format!("no route to {to}"),
        other => other.to_string(),
    }
}

fn shorten(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.into(),
    }
}

/// A packet in the picture.
struct Rung {
    sent: Time,
    points: Vec<(usize, Time)>,
    dropped: Option<(Time, String)>,
    class: &'static str,
    what: String,
    about: String,
    is_dht: bool,
}

impl Rung {
    fn draw(&self, svg: &mut Svg, lanes: &Lanes, clock: &Clock, labels: &mut Labels) {
        let points: Vec<_> = self.points.iter().map(|(lane, at)| (lanes.x(*lane), clock.y(*at))).collect();
        let class = match (&self.dropped, self.is_dht) {
            (Some(_), _) => "s-bad".to_owned(),
            (None, true) => format!("s-{} faint", self.class),
            (None, false) => format!("s-{}", self.class),
        };
        let mut points = points;
        if let (Some((at, _)), [only]) = (&self.dropped, &points[..]) {
            // It was lost on its way to the first hop: drawn into the open.
            let inwards = if self.points[0].0 * 2 < lanes.heads.len() { 1.0 } else { -1.0 };
            points.push((only.0 + inwards * APART * 0.45, clock.y(*at).max(only.1 + 4.0)));
        }
        // A private address that is also one's own: the packet never left.
        if let [(x, top), (_, bottom)] = points[..]
            && self.points[0].0 == self.points[points.len().min(self.points.len()) - 1].0
            && self.points.len() == 2
        {
            points.insert(1, (x - 22.0, (top + bottom) / 2.0));
        }
        svg.path(&points, &class);
        if let [.., tail, tip] = points[..] {
            match &self.dropped {
                None => svg.head(tail, tip, &class.replace("s-", "f-")),
                Some((_, why)) => {
                    svg.cross(tip, "s-bad");
                    let leans_right = tip.0 >= tail.0;
                    let near_edge = tip.0 > lanes.width() - 220.0;
                    let (dx, anchor) = match leans_right && !near_edge {
                        true => (8.0, ""),
                        false => (-8.0, " end"),
                    };
                    let width = 4.8 * why.chars().count() as f64;
                    let left = if anchor.is_empty() { tip.0 + dx } else { tip.0 + dx - width };
                    if let Some(y) = labels.place((left, left + width), tip.1 + 11.0, why) {
                        svg.text((tip.0 + dx, y), &format!("tiny f-bad halo{anchor}"), why);
                    }
                }
            }
        }
        if let [first, second, ..] = points[..] {
            let middle = ((first.0 + second.0) / 2.0, (first.1 + second.1) / 2.0 - 3.0);
            let class = if self.is_dht { "tiny mid soft halo" } else { "tiny mid halo" };
            let half = 2.5 * self.what.chars().count() as f64;
            if let Some(y) = labels.place((middle.0 - half, middle.0 + half), middle.1, &self.what) {
                svg.text((middle.0, y), class, &self.what);
            }
            svg.dot(first, 2.0, &class_of(self), &self.about);
        }
    }
}

fn class_of(rung: &Rung) -> String {
    if rung.dropped.is_some() { "f-bad".into() } else { format!("f-{}", rung.class) }
}

/// Where words are already, so that none is written over another.
#[derive(Default)]
struct Labels(Vec<(f64, f64, f64, String)>);

impl Labels {
    /// The height at which there is room for a text that should stand at `y`; `None` if there is none near, or if the same
    /// is said there already.
    fn place(&mut self, (left, right): (f64, f64), y: f64, text: &str) -> Option<f64> {
        let near = |at: f64, other: &(f64, f64, f64, String)| {
            left < other.1 && other.0 < right && (at - other.2).abs() < 8.5
        };
        if self.0.iter().any(|other| near(y, other) && other.3 == text) {
            return None;
        }
        let free = [0.0, 9.0, -9.0].into_iter().map(|by| y + by);
        let y = free.into_iter().find(|at| !self.0.iter().any(|other| near(*at, other)))?;
        self.0.push((left, right, y, text.into()));
        Some(y)
    }
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

/// From time to height: time in which nothing happens is short.
struct Clock {
    marks: Vec<(Time, f64)>,
    height: f64,
}

impl Clock {
    fn of(rungs: &[Rung]) -> Self {
        let points = rungs.iter().flat_map(|rung| {
            let ends = rung.dropped.iter().map(|(at, _)| *at);
            rung.points.iter().map(|(_, at)| *at).chain(ends)
        });
        let mut times: Vec<Time> = points.collect();
        times.sort_unstable();
        times.dedup();
        let (mut marks, mut y) = (Vec::new(), 0.0);
        for (n, at) in times.iter().enumerate() {
            if let Some(last) = n.checked_sub(1).and_then(|n| times.get(n)) {
                let millis = at.saturating_since(*last).as_secs_f64() * 1e3;
                y += (2.2 * millis).clamp(1.5, 30.0);
            }
            marks.push((*at, TOP + y));
        }
        Self { marks, height: y }
    }

    fn y(&self, at: Time) -> f64 {
        let after = self.marks.partition_point(|(mark, _)| *mark <= at);
        let before = after.checked_sub(1).and_then(|n| self.marks.get(n));
        match (before, self.marks.get(after)) {
            (Some(&(t0, y0)), Some(&(t1, y1))) => {
                let share = at.saturating_since(t0).as_secs_f64() / t1.saturating_since(t0).as_secs_f64();
                y0 + share * (y1 - y0)
            }
            (Some(&(_, y)), None) => y,
            (None, Some(&(_, y))) => y,
            (None, None) => TOP,
        }
    }

    fn draw(&self, svg: &mut Svg, width: f64) {
        let (mut last, Some(&(begin, _))) = (f64::MIN, self.marks.first()) else { return };
        let mut before: Option<(Time, f64)> = None;
        for &(at, y) in &self.marks {
            if let Some((then, was)) = before
                && at.saturating_since(then) > Duration::from_millis(150)
            {
                let gap = at.saturating_since(then).as_secs_f64();
                let middle = (was + y) / 2.0;
                svg.line((MARGIN - 6.0, middle), (width - 20.0, middle), "rule dash");
                svg.text((MARGIN - 12.0, middle + 3.0), "tiny soft end", format!("{gap:.1} s pass"));
                last = middle;
            }
            if y - last >= 22.0 {
                let since = at.saturating_since(begin).as_secs_f64() * 1e3;
                svg.text((MARGIN - 12.0, y + 3.0), "small soft end", format!("{since:.0} ms"));
                svg.line((MARGIN - 8.0, y), (width - 20.0, y), "rule");
                last = y;
            }
            before = Some((at, y));
        }
    }
}
