use super::plot::{Axis, Plot, grouped, short};
use super::svg::Svg;

/// What a meeting of so many members cost: a line of `moot-sim grow --json`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grown {
    /// How many members.
    pub members: f64,
    /// The CPU time it took to simulate, in milliseconds.
    pub cpu_ms: f64,
    /// Events handled.
    pub events: f64,
    /// Packets sent.
    pub packets: f64,
}

/// How costs grow with the members of a meeting, on logarithmic axes: what grows with the number of links rises two decades for each
/// one to the right. Rows without members are left out, and zeros: systems count CPU time in steps of some milliseconds.
pub fn growth(rows: &[Grown]) -> String {
    let mut rows: Vec<_> = rows.iter().copied().filter(|row| row.members >= 1.0).collect();
    rows.sort_by(|a, b| a.members.total_cmp(&b.members));
    let mut svg = Svg::new(820.0);
    let title = "What a meeting costs as it grows";
    svg.text((24.0, 32.0), "title", title);
    svg.text((24.0, 50.0), "soft", "whole nodes, simulated; both axes are logarithmic");
    svg.legend((24.0, 76.0), &CURVES.map(|(colour, name, _)| (colour, name)));
    let most = rows.iter().flat_map(|row| CURVES.map(|curve| curve.2(row))).fold(10.0, f64::max);
    let widest = rows.last().map_or(10.0, |row| row.members.max(10.0));
    let decades = |value: f64| Axis::Decades((value.log10().ceil() as i32).max(1));
    let (x, y) = (decades(widest), decades(most));
    let plot = Plot { left: 76.0, right: 790.0, top: 100.0, bottom: 400.0, x, y };
    plot.rules(&mut svg, 10.0, short);
    for row in &rows {
        svg.text((plot.x(row.members), plot.bottom + 18.0), "small soft mid", row.members);
    }
    svg.text(((plot.left + plot.right) / 2.0, plot.bottom + 38.0), "small soft mid", "members");
    for (colour, name, value) in CURVES {
        let values = rows.iter().map(|row| (row.members, value(row)));
        let values: Vec<_> = values.filter(|(_, value)| *value >= 1.0).collect();
        plot.curve(&mut svg, &values, &colour.replace("f-", "s-"));
        for (members, value) in values {
            let about = format!("{members} members: {} {name}", grouped(value));
            svg.dot((plot.x(members), plot.y(value)), 3.5, colour, &about);
        }
    }
    svg.finish(plot.bottom + 56.0, title)
}

/// Each with its colour, its name, and what it is of a row.
type Value = fn(&Grown) -> f64;
const CURVES: [(&str, &str, Value); 3] = [
    ("f-better", "events", |row| row.events),
    ("f-good", "packets", |row| row.packets),
    ("f-relay", "milliseconds of CPU time", |row| row.cpu_ms),
];
