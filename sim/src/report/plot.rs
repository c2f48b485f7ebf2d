//! Fields with axes, in which values have places.

use std::fmt::Display;
use std::time::Duration;

use super::svg::Svg;

/// A rectangle whose width and height stand for values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

/// Which values lie between the ends of an axis.
#[derive(Clone, Copy, Debug)]
pub(super) enum Axis {
    /// From one value to another.
    Linear(f64, f64),
    /// From 1 to so many powers of ten.
    Decades(i32),
}

impl Axis {
    /// How far along a value lies, 0 to 1; what is outside lies at an end.
    fn share(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear(from, to) => (value - from) / (to - from),
            Self::Decades(decades) => value.max(1.0).log10() / f64::from(decades),
        };
        share.clamp(0.0, 1.0)
    }

    /// Round values along it, no more than about `most`.
    fn ticks(self, most: f64) -> Vec<f64> {
        let (from, to) = match self {
            Self::Linear(from, to) => (from, to),
            Self::Decades(decades) => return (0..=decades).map(|power| 10f64.powi(power)).collect(),
        };
        let rough = (to - from).max(1e-9) / most;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0].map(|by| by * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        let first = (from / step).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

impl Plot {
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * self.x.share(value)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.y.share(value)
    }

    pub(super) fn title(&self, svg: &mut Svg, title: &str) {
        svg.text((self.left, self.top - 12.0), "head", title);
    }

    /// Lines across at round values of y, with their names.
    pub(super) fn rules<T: Display>(&self, svg: &mut Svg, most: f64, name: impl Fn(f64) -> T) {
        for value in self.y.ticks(most) {
            let y = self.y(value);
            svg.line((self.left, y), (self.right, y), "rule");
            svg.text((self.left - 8.0, y + 3.5), "small soft end", name(value));
        }
    }

    /// Names of round values of x, below.
    pub(super) fn scale<T: Display>(&self, svg: &mut Svg, most: f64, name: impl Fn(f64) -> T) {
        for value in self.x.ticks(most) {
            let x = self.x(value);
            svg.line((x, self.bottom), (x, self.bottom + 4.0), "s-soft");
            svg.text((x, self.bottom + 16.0), "small soft mid", name(value));
        }
    }

    /// A line through values.
    pub(super) fn curve(&self, svg: &mut Svg, values: &[(f64, f64)], class: &str) {
        let points: Vec<_> = values.iter().map(|(x, y)| (self.x(*x), self.y(*y))).collect();
        svg.path(&points, class);
    }

    /// How many of `all`, in per cent, were over after so long, against seconds on a linear axis; what lies beyond it is not drawn.
    pub(super) fn draw_ended(&self, svg: &mut Svg, times: &[Duration], all: usize, class: &str) {
        let mut seconds: Vec<_> = times.iter().map(Duration::as_secs_f64).collect();
        seconds.sort_by(f64::total_cmp);
        let Axis::Linear(_, to) = self.x else { return };
        let (mut values, mut share) = (vec![(0.0, 0.0)], 0.0);
        for (done, at) in (1..).zip(seconds.iter().take_while(|at| **at <= to)) {
            values.push((*at, share));
            share = 100.0 * f64::from(done) / all.max(1) as f64;
            values.push((*at, share));
        }
        values.push((to, share));
        self.curve(svg, &values, class);
    }
}

/// A number, short: thousands as k, millions as M.
pub(super) fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value => round(value),
    }
}

/// A whole number, with a comma before every third digit from the end.
pub(super) fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with no more digits than a tick needs.
pub(super) fn round(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Axis::Linear(0.0, 14.0).ticks(8.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
        assert_eq!(Axis::Linear(0.0, 100.0).ticks(5.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Axis::Linear(140.0, 160.0).ticks(4.0), [140.0, 145.0, 150.0, 155.0, 160.0]);
        assert_eq!(Axis::Decades(2).ticks(1.0), [1.0, 10.0, 100.0]);
        assert!(Axis::Linear(0.0, 0.0).ticks(5.0).len() <= 6, "an axis without length");
        assert_eq!(
            Axis::Linear(0.0, 0.3).ticks(3.0).into_iter().map(round).collect::<Vec<_>>(),
            ["0", "0.1", "0.2", "0.3"]
        );
        assert_eq!([7, 1_234, 123_456, 1_234_567].map(grouped), ["7", "1,234", "123,456", "1,234,567"]);
        assert_eq!(short(10e6) + &short(2_000.0) + &short(0.5), "10 M2 k0.5");
    }
}
