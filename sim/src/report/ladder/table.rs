use folkmoot_core::base::Time;

use super::clock::Clock;
use crate::engine::Entry;
use crate::net::BoxId;
use crate::report::svg::Svg;
use crate::scenario::Role;

/// What the NATs before the two members had in their tables, in words; gives the height below.
pub(super) fn draw(
    svg: &mut Svg,
    clock: &Clock,
    (a, b): (&Role, &Role),
    (entries, until): (&[Entry], Time),
    top: f64,
) -> f64 {
    let mut y = top;
    let mut told: Vec<BoxId> = Vec::new();
    for role in [a, b] {
        for (id, rules) in &role.boxes {
            let entries: Vec<_> =
                entries.iter().filter(|entry| entry.at == *id && entry.made <= until).collect();
            // A box that both are behind is told of once; a firewall has no table of this kind.
            if entries.is_empty() || told.contains(id) {
                continue;
            }
            told.push(*id);
            svg.text((24.0, y), "head", format!("NAT table before {}: {rules}", role.name));
            y += 16.0;
            for entry in entries.iter().take(ROWS) {
                let times =
                    format!("{:.0} ms to {:.1} s", clock.millis(entry.made), clock.millis(entry.until) / 1e3);
                svg.text((24.0, y), "small mono", format!("{} → {}", entry.inside, entry.external));
                svg.text((400.0, y), "small soft", times);
                y += 14.0;
            }
            if entries.len() > ROWS {
                let more =
                    format!("and {} more, one for each endpoint that was sent to", entries.len() - ROWS);
                svg.text((24.0, y), "small soft", more);
                y += 14.0;
            }
            y += 8.0;
        }
    }
    y + 4.0
}

/// The most entries of a table that are listed.
const ROWS: usize = 8;
