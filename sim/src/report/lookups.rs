use std::time::Duration;

use super::plot::{Axis, Plot, grouped, round};
use super::svg::Svg;
use crate::dht::{Step, Walk};

/// Lookups in a network.
#[derive(Clone, Debug)]
pub struct Lookups {
    /// How many of a hundred entries in its nodes' tables are dead.
    pub dead: u32,
    /// How many nodes it has.
    pub nodes: u32,
    /// The lookups.
    pub walks: Vec<Walk>,
}

/// Lookups of the production DHT machine: how they close in on the target, how long they take, over how many hops, and the round
/// trips that they are made of.
pub fn lookups(networks: &[Lookups]) -> String {
    let mut svg = Svg::new(940.0);
    let title = "DHT lookups";
    svg.text((24.0, 32.0), "title", title);
    let nodes = networks.first().map_or(0, |network| network.nodes);
    let about = "a production machine that has been there for half an hour; random targets; simulated";
    svg.text((24.0, 50.0), "soft", format!("among {} nodes, {about}", grouped(nodes)));
    for (n, (network, colour)) in networks.iter().zip(COLOURS).enumerate() {
        let text = format!("{} % of table entries dead, {} lookups", network.dead, network.walks.len());
        svg.legend((24.0 + 270.0 * n as f64, 76.0), &[(&format!("f-{colour}"), &text)]);
    }
    draw_approach(&mut svg, networks);
    draw_times(&mut svg, networks);
    draw_hops(&mut svg, networks);
    draw_trips(&mut svg, networks);
    svg.finish(720.0, title)
}

const COLOURS: [&str; 2] = ["better", "warn"];
/// So many lookups of a network have a line of their own.
const LINES: usize = 30;

/// The distance of the closest node that has answered, against time.
fn draw_approach(svg: &mut Svg, networks: &[Lookups]) {
    let deepest = networks.iter().flat_map(all_steps).map(|step| step.shared).max().unwrap_or(0).max(1);
    let slowest = networks.iter().flat_map(|network| times(network, |walk| walk.sample.first)).max();
    let to = slowest.map_or(1.0, |slowest| slowest.as_secs_f64().max(0.1));
    let (x, y) = (Axis::Linear(0.0, to), Axis::Linear(160.0 - f64::from(deepest), 160.0));
    let plot = Plot { left: 76.0, right: 910.0, top: 126.0, bottom: 360.0, x, y };
    plot.title(svg, "The distance to the target of the closest node that has answered: thin is one lookup, thick the median");
    plot.rules(svg, 6.0, |bits| format!("2^{bits}"));
    plot.scale(svg, 12.0, |at| format!("{} s", round(at)));
    for (network, colour) in networks.iter().zip(COLOURS) {
        for walk in network.walks.iter().take(LINES) {
            let (mut best, mut values) = (0, vec![(0.0, 160.0)]);
            for step in walk.steps.iter().filter(|step| step.at.as_secs_f64() <= to) {
                if step.shared > best {
                    values.push((step.at.as_secs_f64(), 160.0 - f64::from(best)));
                    best = step.shared;
                    values.push((step.at.as_secs_f64(), 160.0 - f64::from(best)));
                }
            }
            plot.curve(svg, &values, &format!("s-{colour} ghost"));
        }
    }
    for (network, colour) in networks.iter().zip(COLOURS) {
        let values = (0..=SAMPLES).map(|n| to * f64::from(n) / f64::from(SAMPLES));
        let values: Vec<_> = values.map(|at| (at, 160.0 - median_shared(network, at))).collect();
        plot.curve(svg, &values, &format!("s-{colour} thick"));
    }
}

/// How many points a median has.
const SAMPLES: u32 = 120;

fn median_shared(network: &Lookups, at: f64) -> f64 {
    let best = |walk: &Walk| {
        walk.steps
            .iter()
            .filter(|step| step.at.as_secs_f64() <= at)
            .map(|step| step.shared)
            .max()
            .unwrap_or(0)
    };
    let mut all: Vec<_> = network.walks.iter().map(best).collect();
    all.sort_unstable();
    all.get(all.len() / 2).map_or(0.0, |shared| f64::from(*shared))
}

fn draw_times(svg: &mut Svg, networks: &[Lookups]) {
    let ends = networks.iter().flat_map(|network| times(network, |walk| Some(walk.sample.end)));
    let to = ends.max().map_or(1.0, |end| (end.as_secs_f64() * 2.0).ceil() / 2.0);
    let (x, y) = (Axis::Linear(0.0, to), Axis::Linear(0.0, 100.0));
    let plot = Plot { left: 76.0, right: 330.0, top: 436.0, bottom: 640.0, x, y };
    plot.title(svg, "Time to the first holder, and to the end (dashed)");
    plot.rules(svg, 5.0, |percent| format!("{percent} %"));
    plot.scale(svg, 6.0, |at| format!("{} s", round(at)));
    for (n, (network, colour)) in networks.iter().zip(COLOURS).enumerate() {
        let first: Vec<_> = times(network, |walk| walk.sample.first).collect();
        let end: Vec<_> = times(network, |walk| Some(walk.sample.end)).collect();
        plot.draw_ended(svg, &first, network.walks.len(), &format!("s-{colour}"));
        plot.draw_ended(svg, &end, network.walks.len(), &format!("s-{colour} dash"));
        let text = format!("medians {} and {} ms", median(first), median(end));
        note(svg, &plot, n, colour, &text);
    }
}

fn draw_hops(svg: &mut Svg, networks: &[Lookups]) {
    let most = networks.iter().flat_map(|network| network.walks.iter().map(|walk| walk.sample.hops)).max();
    let most = most.unwrap_or(1).max(1);
    let (x, y) = (Axis::Linear(0.5, f64::from(most) + 0.5), Axis::Linear(0.0, 100.0));
    let plot = Plot { left: 400.0, right: 620.0, top: 436.0, bottom: 640.0, x, y };
    plot.title(svg, "Hops to the first holder");
    plot.rules(svg, 5.0, |percent| format!("{percent} %"));
    let slot = plot.x(1.5) - plot.x(0.5);
    let width = slot * 0.8 / networks.len().max(1) as f64;
    for (n, (network, colour)) in networks.iter().zip(COLOURS).enumerate() {
        for hops in 1..=most {
            let count = network.walks.iter().filter(|walk| walk.sample.hops == hops).count();
            let percent = 100.0 * count as f64 / network.walks.len().max(1) as f64;
            let x = plot.x(f64::from(hops) - 0.5) + 0.1 * slot + width * n as f64;
            let about = format!("{hops} hops: {count} lookups");
            svg.rect(
                (x, plot.y(percent)),
                (width - 1.0, plot.bottom - plot.y(percent)),
                1.5,
                &format!("f-{colour}"),
                &about,
            );
        }
        let all: u32 = network.walks.iter().map(|walk| walk.sample.hops).sum();
        let mean = f64::from(all) / network.walks.len().max(1) as f64;
        note(svg, &plot, n, colour, &format!("{mean:.1} on average"));
    }
    for hops in 1..=most {
        svg.text((plot.x(f64::from(hops)), plot.bottom + 16.0), "small soft mid", hops);
    }
}

fn draw_trips(svg: &mut Svg, networks: &[Lookups]) {
    let (x, y) = (Axis::Linear(0.0, 0.6), Axis::Linear(0.0, 100.0));
    let plot = Plot { left: 690.0, right: 910.0, top: 436.0, bottom: 640.0, x, y };
    plot.title(svg, "Round trips of the nodes that answered");
    plot.rules(svg, 5.0, |percent| format!("{percent} %"));
    plot.scale(svg, 4.0, |at| format!("{:.0} ms", at * 1e3));
    for (n, (network, colour)) in networks.iter().zip(COLOURS).enumerate() {
        let mut trips: Vec<_> = all_steps(network).map(|step| step.rtt).collect();
        trips.sort_unstable();
        // A line of hundreds of points says no more than one of fifty.
        let thinned: Vec<_> =
            (1..=50).filter_map(|n| trips.get((trips.len() * n / 50).max(1) - 1).copied()).collect();
        plot.draw_ended(svg, &thinned, thinned.len(), &format!("s-{colour}"));
        let text = format!("median {} ms, {} answers", median(trips.clone()), trips.len());
        note(svg, &plot, n, colour, &text);
    }
}

/// What is to be said of a network below a panel.
fn note(svg: &mut Svg, plot: &Plot, n: usize, colour: &str, text: &str) {
    svg.legend((plot.left, plot.bottom + 42.0 + 17.0 * n as f64), &[(&format!("f-{colour}"), text)]);
}

fn all_steps(network: &Lookups) -> impl Iterator<Item = &Step> {
    network.walks.iter().flat_map(|walk| &walk.steps)
}

fn times(network: &Lookups, which: fn(&Walk) -> Option<Duration>) -> impl Iterator<Item = Duration> {
    network.walks.iter().filter_map(which)
}

/// In milliseconds; of nothing it is 0.
fn median(mut times: Vec<Duration>) -> u128 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0, Duration::as_millis)
}
