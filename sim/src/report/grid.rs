use std::time::Duration;

use super::svg::Svg;

/// What became of the runs of a pair, against what the oracle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// As the oracle says.
    Right,
    /// They connected where the oracle thinks it impossible.
    Better,
    /// They did not connect where they can.
    Bug,
}

/// A pair of networks, and how two members there fared.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// In how many runs they connected.
    pub connected: u32,
    /// How many runs there were.
    pub runs: u32,
    /// The median time from the join to the connection.
    pub median: Option<Duration>,
    /// How they connected: `direct`, `v6`, `lan`, `relay`.
    pub technique: String,
    /// Whether they can, by the oracle, and why.
    pub oracle: (bool, String),
}

impl Cell {
    /// Against the oracle. Runs that all connect, or none, are as it says; else the worse counts.
    pub fn judged(&self) -> Judged {
        match self.oracle.0 {
            true if self.connected < self.runs => Judged::Bug,
            false if self.connected > 0 => Judged::Better,
            _ => Judged::Right,
        }
    }
}

/// NAT against NAT: a cell for each pair, coloured by the oracle. `cells` has a row for each of `names`, and each row as many cells.
pub fn grid(title: &str, names: &[String], cells: &[Vec<Cell>]) -> String {
    let side = names.len() as f64;
    let mut svg = Svg::new(LEFT + SIDE.0 * side + 24.0);
    svg.text((24.0, 32.0), "title", title);
    let about = "in each cell: runs that connected, median time from join to connection, and how; simulated";
    svg.text((24.0, 50.0), "soft", about);
    let legend = [
        ("f-good", "connected, as the oracle says"),
        ("f-none", "not connected, as the oracle says"),
        ("f-better", "connected by luck, not promised"),
        ("f-bad", "bug: they can, and did not"),
    ];
    svg.legend((24.0, 76.0), &legend);
    for (n, name) in names.iter().enumerate() {
        let (x, y) = (LEFT + SIDE.0 * n as f64, TOP + SIDE.1 * n as f64);
        svg.turned((x + SIDE.0 / 2.0 - 6.0, TOP - 8.0), -40.0, "small mono", name);
        svg.text((LEFT - 8.0, y + SIDE.1 / 2.0 + 3.0), "small mono end", name);
    }
    for (row, cells) in cells.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate().take(names.len()) {
            draw(&mut svg, cell, (LEFT + SIDE.0 * column as f64, TOP + SIDE.1 * row as f64));
        }
    }
    svg.finish(TOP + SIDE.1 * side + 24.0, title)
}

const LEFT: f64 = 150.0;
const TOP: f64 = 190.0;
const SIDE: (f64, f64) = (68.0, 50.0);

fn draw(svg: &mut Svg, cell: &Cell, (x, y): (f64, f64)) {
    let (class, ink) = match (cell.judged(), cell.connected) {
        (Judged::Right, 0) => ("f-none", "soft"),
        (Judged::Right, _) => ("f-good", "on"),
        (Judged::Better, _) => ("f-better", "on"),
        (Judged::Bug, _) => ("f-bad", "on"),
    };
    svg.rect((x + 1.5, y + 1.5), (SIDE.0 - 3.0, SIDE.1 - 3.0), 5.0, class, &cell.oracle.1);
    // Nothing is said by colour alone.
    let mark = match cell.judged() {
        Judged::Right => "",
        Judged::Better => " luck",
        Judged::Bug => " bug",
    };
    let mut lines = vec![format!("{}/{}{mark}", cell.connected, cell.runs)];
    lines.extend(cell.median.map(|median| format!("{:.2} s", median.as_secs_f64())));
    lines.extend((cell.connected > 0).then(|| cell.technique.clone()));
    let first = y + SIDE.1 / 2.0 + 4.0 - 6.5 * (lines.len() - 1) as f64;
    for (n, line) in lines.iter().enumerate() {
        let size = if n == 0 { "small" } else { "tiny" };
        svg.text((x + SIDE.0 / 2.0, first + 12.5 * n as f64), &format!("{size} mid {ink}"), line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_judged_by_the_oracle() {
        let judged = |direct, connected| {
            Cell { connected, runs: 3, oracle: (direct, String::new()), ..Cell::default() }.judged()
        };
        assert_eq!(judged(true, 3), Judged::Right);
        assert_eq!(judged(true, 2), Judged::Bug);
        assert_eq!(judged(false, 0), Judged::Right);
        assert_eq!(judged(false, 1), Judged::Better);
    }
}
