use std::time::Duration;

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

/// What was measured in the field: the share of success, how far it may be off, who measured, and what of.
pub const PUBLISHED: [(f64, f64, &str, &str); 4] = [
    (70.0, 7.1, "Trautwein et al., arXiv 2510.27500", "hole punching between peers of IPFS, 4.4 M attempts"),
    (78.0, 0.0, "callstats.io, 2015-16", "WebRTC conferences that need no TURN server (22 % do)"),
    (82.0, 0.0, "Ford, Srisuresh and Kegel, 2005", "NAT devices that support UDP hole punching"),
    (90.0, 0.0, "Tailscale and iroh", "direct connections, \"around\" and \"over\" 90 %, in their own words"),
];

/// Join times as curves, one for each loss: how many of the runs were connected after so long. Below them what was measured in the
/// field, which is other people on another network: it is there to see of what order things are.
pub fn joins(curves: &[Joins]) -> String {
    let mut svg = Svg::new(940.0);
    let title = "From join to connection";
    svg.text((24.0, 32.0), "title", title);
    svg.text((24.0, 50.0), "soft", "share of runs that are connected after so long, by loss; simulated");
    let slowest = curves.iter().flat_map(|curve| curve.times.iter().max()).max();
    let seconds = slowest.map_or(1.0, |slowest| slowest.as_secs_f64().max(0.5).ceil());
    let x = |at: f64| LEFT + (RIGHT - LEFT) * at / seconds;
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
        svg.line((LEFT, y(tenth)), (RIGHT, y(tenth)), "rule");
        svg.text((LEFT - 8.0, y(tenth) + 4.0), "small soft end", format!("{:.0} %", tenth * 100.0));
    }
    let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0].into_iter().find(|step| seconds / step <= 10.0).unwrap_or(10.0);
    let mut at = 0.0;
    while at <= seconds {
        svg.text((x(at), BOTTOM + 18.0), "small soft mid", format!("{at} s"));
        at += step;
    }
    let colours = ["good", "better", "relay", "warn", "bad", "teal"];
    for (n, (curve, colour)) in curves.iter().zip(colours.iter().cycle()).enumerate() {
        let mut times: Vec<_> = curve.times.iter().map(Duration::as_secs_f64).collect();
        times.sort_by(f64::total_cmp);
        let (mut points, mut share) = (vec![(x(0.0), y(0.0))], 0.0);
        for (done, at) in (1..).zip(&times) {
            points.push((x(*at), y(share)));
            share = f64::from(done) / curve.runs.max(1) as f64;
            points.push((x(*at), y(share)));
        }
        points.push((x(seconds), y(share)));
        svg.path(&points, &format!("s-{colour}"));
        let line = 96.0 + 19.0 * n as f64;
        svg.rect((RIGHT + 18.0, line - 9.0), (11.0, 11.0), 2.5, &format!("f-{colour}"), "");
        let median = times.get(times.len() / 2).map_or("never".into(), |it| format!("{it:.2} s"));
        let text = format!("{} % loss: median {median}, {} of {}", curve.loss, times.len(), curve.runs);
        svg.text((RIGHT + 34.0, line), "small", text);
    }
    let mut at = BOTTOM + 62.0;
    svg.text(
        (24.0, at),
        "head",
        "What was measured in the field, without relays; each study counts something else",
    );
    for (share, off, who, what) in PUBLISHED {
        at += 30.0;
        let width = |share: f64| 300.0 * share / 100.0;
        svg.rect((24.0, at - 11.0), (300.0, 15.0), 4.0, "f-none", "");
        svg.rect((24.0, at - 11.0), (width(share), 15.0), 4.0, "f-teal", "");
        if off > 0.0 {
            let (left, right) = (24.0 + width(share - off), 24.0 + width(share + off));
            svg.line((left, at - 3.5), (right, at - 3.5), "s-warn");
            svg.line((left, at - 8.0), (left, at + 1.0), "s-warn");
            svg.line((right, at - 8.0), (right, at + 1.0), "s-warn");
        }
        let figure = if off > 0.0 { format!("{share} ± {off} %") } else { format!("{share} %") };
        svg.text((336.0, at), "head", figure);
        svg.text((424.0, at), "small", format!("{who}: {what}"));
    }
    svg.finish(at + 28.0, title)
}

const LEFT: f64 = 76.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 330.0;
