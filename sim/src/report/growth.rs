use super::svg::Svg;

/// What a meeting of so many members cost: a line of `moot-sim grow --json`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grown {
    /// How many members.
    pub members: f64,
    /// The time it took to simulate, in milliseconds.
    pub wall_ms: f64,
    /// Events handled.
    pub events: f64,
    /// Packets sent.
    pub packets: f64,
}

/// How costs grow with the members of a meeting, on logarithmic axes: what grows with the number of links rises two decades for each
/// one to the right. Rows without members are left out; zeros are drawn as one.
pub fn growth(rows: &[Grown]) -> String {
    let mut rows: Vec<_> = rows.iter().copied().filter(|row| row.members >= 1.0).collect();
    rows.sort_by(|a, b| a.members.total_cmp(&b.members));
    let mut svg = Svg::new(820.0);
    let title = "What a meeting costs as it grows";
    svg.text((24.0, 32.0), "title", title);
    svg.text((24.0, 50.0), "soft", "whole nodes, simulated; both axes are logarithmic");
    svg.legend((24.0, 76.0), &CURVES.map(|(colour, name, _)| (colour, name)));
    let most = rows.iter().flat_map(|row| CURVES.map(|curve| curve.2(row))).fold(10.0, f64::max);
    let (decades, widest) = (most.log10().ceil(), rows.last().map_or(10.0, |row| row.members.max(10.0)));
    let x = |members: f64| LEFT + (RIGHT - LEFT) * members.log10() / widest.log10();
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value.max(1.0).log10() / decades;
    for decade in 0..=decades as i32 {
        let value = 10f64.powi(decade);
        svg.line((LEFT, y(value)), (RIGHT, y(value)), "rule");
        svg.text((LEFT - 8.0, y(value) + 4.0), "small soft end", short(value));
    }
    for row in &rows {
        svg.text((x(row.members), BOTTOM + 18.0), "small soft mid", row.members);
    }
    svg.text(((LEFT + RIGHT) / 2.0, BOTTOM + 38.0), "small soft mid", "members");
    for (colour, name, value) in CURVES {
        let points: Vec<_> = rows.iter().map(|row| (x(row.members), y(value(row)))).collect();
        svg.path(&points, &colour.replace("f-", "s-"));
        for (row, point) in rows.iter().zip(&points) {
            let about = format!("{} members: {} {name}", row.members, value(row));
            svg.dot(*point, 3.5, colour, &about);
        }
    }
    svg.finish(BOTTOM + 56.0, title)
}

const LEFT: f64 = 76.0;
const RIGHT: f64 = 790.0;
const TOP: f64 = 100.0;
const BOTTOM: f64 = 400.0;

/// Each with its colour, its name, and what it is of a row.
type Value = fn(&Grown) -> f64;
const CURVES: [(&str, &str, Value); 3] = [
    ("f-better", "events", |row| row.events),
    ("f-good", "packets", |row| row.packets),
    ("f-relay", "milliseconds of wall time", |row| row.wall_ms),
];

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value => value.to_string(),
    }
}
