use std::collections::BTreeMap;

use folkmoot_core::base::Time;

use super::clock::Clock;
use super::rung::Rung;
use super::{AFTER, APART, MARGIN, TOP, connected};
use crate::engine::{End, Entry, Flight, HostId, Kind, Place};
use crate::net::{BoxId, DropReason};
use crate::report::label::label;
use crate::report::svg::Svg;
use crate::scenario::{Outcome, Role};

/// The vertical lines, from left to right: member, its boxes, DHT, STUN, the other's boxes, the other.
pub(super) struct Lanes {
    places: BTreeMap<Place, usize>,
    heads: Vec<(String, String)>,
    dht: usize,
    members: [HostId; 2],
    /// Members who are not in the picture.
    third: Vec<HostId>,
}

impl Lanes {
    /// Those of two of the members.
    pub(super) fn of(cast: &[Role], (a, b): (&Role, &Role)) -> Self {
        let members = [a.host, b.host];
        let third = cast.iter().map(|role| role.host).filter(|host| !members.contains(host)).collect();
        let mut lanes = Self { places: BTreeMap::new(), heads: Vec::new(), dht: 0, members, third };
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

    pub(super) fn width(&self) -> f64 {
        (MARGIN + APART * (self.heads.len() - 1) as f64 + 150.0).max(780.0)
    }

    pub(super) fn is_left(&self, lane: usize) -> bool {
        lane * 2 < self.heads.len()
    }

    pub(super) fn x(&self, lane: usize) -> f64 {
        MARGIN + 54.0 + APART * lane as f64
    }

    /// When the picture ends.
    pub(super) fn until(&self, outcome: &Outcome, pair: (usize, usize)) -> Time {
        let both = connected(outcome, pair);
        match both[..] {
            [a, b] => a.2.max(b.2) + AFTER,
            _ => outcome.ended,
        }
    }

    /// A packet of this pair, or `None`.
    pub(super) fn rung(&self, flight: &Flight, until: Time) -> Option<Rung> {
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

    pub(super) fn draw(&self, svg: &mut Svg, bottom: f64) {
        for (lane, (name, rules)) in self.heads.iter().enumerate() {
            let x = self.x(lane);
            svg.rect((x - 58.0, TOP - 56.0), (116.0, 38.0), 7.0, "f-lane", "");
            let y = if rules.is_empty() { TOP - 33.0 } else { TOP - 40.0 };
            svg.text((x, y), "head mid", name);
            svg.text((x, TOP - 26.0), "tiny soft mid mono", shorten(rules, 20));
            svg.line((x, TOP - 18.0), (x, bottom), "lane");
        }
    }

    pub(super) fn draw_entries(&self, svg: &mut Svg, clock: &Clock, entries: &[Entry], until: Time) {
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
