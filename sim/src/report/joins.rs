use std::time::Duration;

use super::plot::{Axis, Plot, round};
use super::svg::Svg;

/// How long joining took at some loss.
#[derive(Clone, Debug)]
pub struct Joins {
    /// Per cent of packets, in each direction of each member's link.
    pub loss: u32,
    /// From the join to the connection, of the runs that connected.
    pub times: Vec<Duration>,
    /// All runs.
    pub runs: usize,
}

/// Join times as curves, one for each loss: how many of the runs were connected after so long.
pub fn joins(curves: &[Joins]) -> String {
    let mut svg = Svg::new(940.0);
    let title = "From join to connection";
    svg.text((24.0, 32.0), "title", title);
    svg.text((24.0, 50.0), "soft", "share of runs that are connected after so long, by loss; simulated");
    let slowest = curves.iter().flat_map(|curve| curve.times.iter().max()).max();
    let seconds = slowest.map_or(1.0, |slowest| slowest.as_secs_f64().max(0.5).ceil());
    let (x, y) = (Axis::Linear(0.0, seconds), Axis::Linear(0.0, 100.0));
    let plot = Plot { left: 76.0, right: 690.0, top: 80.0, bottom: 330.0, x, y };
    plot.rules(&mut svg, 5.0, |percent| format!("{percent} %"));
    plot.scale(&mut svg, 10.0, |at| format!("{} s", round(at)));
    for (n, (curve, colour)) in curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
        plot.draw_ended(&mut svg, &curve.times, curve.runs, &format!("s-{colour}"));
        let mut times = curve.times.clone();
        times.sort_unstable();
        let median =
            times.get(times.len() / 2).map_or("never".into(), |it| format!("{:.2} s", it.as_secs_f64()));
        let text = format!("{} % loss: median {median}, {} of {}", curve.loss, times.len(), curve.runs);
        svg.legend((plot.right + 18.0, 96.0 + 19.0 * n as f64), &[(&format!("f-{colour}"), &text)]);
    }
    svg.finish(plot.bottom + 34.0, title)
}

const COLOURS: [&str; 5] = ["good", "better", "relay", "warn", "bad"];
