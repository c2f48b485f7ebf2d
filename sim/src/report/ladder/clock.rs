use std::time::Duration;

use folkmoot_core::base::Time;

use super::rung::Rung;
use super::{MARGIN, TOP};
use crate::report::svg::Svg;

/// From time to height: time in which nothing happens is short.
pub(super) struct Clock {
    marks: Vec<(Time, f64)>,
    pub(super) height: f64,
}

impl Clock {
    pub(super) fn of(rungs: &[Rung]) -> Self {
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

    pub(super) fn y(&self, at: Time) -> f64 {
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

    /// Milliseconds since the first packet.
    pub(super) fn millis(&self, at: Time) -> f64 {
        self.marks.first().map_or(0.0, |(begin, _)| at.saturating_since(*begin).as_secs_f64() * 1e3)
    }

    pub(super) fn draw(&self, svg: &mut Svg, width: f64) {
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
