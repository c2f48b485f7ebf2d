use super::plot::{Axis, Plot, grouped};
use super::svg::Svg;

/// A share of successes that was measured in the field.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// In per cent.
    pub share: f64,
    /// How far that may be off, as its authors say; 0 if they do not.
    pub off: f64,
    /// Who measured.
    pub who: &'static str,
    /// What of.
    pub what: &'static str,
}

/// Hole punching through NATs, as it was measured.
pub const PUNCHING: [Published; 1] = [Published {
    share: 70.0,
    off: 7.1,
    who: "Trautwein et al., arXiv 2510.27500",
    what: "hole punching between IPFS peers, 4.4 million attempts",
}];

/// The same between homes.
pub const HOMES: [Published; 2] = [
    Published {
        share: 82.0,
        off: 0.0,
        who: "Ford et al., arXiv cs/0603074",
        what: "NAT devices that support UDP hole punching",
    },
    Published {
        share: 80.0,
        off: 0.0,
        who: "Halkes and Pouwelse, Networking 2011",
        what: "“over 80 %” of attempts, where both boxes should allow it",
    },
];

/// Calls with both address families.
pub const CALLS: [Published; 1] = [Published {
    share: 78.0,
    off: 0.0,
    who: "callstats.io, 2015–16, as quoted by others",
    what: "WebRTC conferences that need no relay",
}];

/// What those say who do all that can be done.
pub const ALL_MEANS: [Published; 1] = [Published {
    share: 90.0,
    off: 0.0,
    who: "Tailscale; iroh",
    what: "“over” and “around 90 %” direct; they map ports too",
}];

/// A share of simulated pairs that connect.
#[derive(Clone, Debug)]
pub struct Share {
    /// Which pairs, and how it was found.
    pub what: String,
    /// How many connected.
    pub good: u64,
    /// Of how many.
    pub tries: u64,
    /// Between which shares, in per cent, the true one lies with 95 % confidence.
    pub range: (f64, f64),
}

/// Shares that have to do with each other.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they have in common.
    pub title: String,
    /// From the field.
    pub published: &'static [Published],
    /// From the simulator.
    pub simulated: Vec<Share>,
}

/// Simulated shares of success below published ones. `caveat` says what their agreement is worth, and is always drawn.
pub fn success(groups: &[Group], caveat: &str) -> String {
    let mut svg = Svg::new(940.0);
    let title = "How many pairs connect directly";
    svg.text((24.0, 32.0), "title", title);
    svg.text((24.0, 50.0), "soft", "simulated strangers beside the field, without relays; whiskers are what the authors give, or 95 % confidence");
    svg.legend((24.0, 76.0), &[("f-teal", "measured in the field"), ("f-off", "simulated")]);
    let (x, y) = (Axis::Linear(0.0, 100.0), Axis::Linear(0.0, 1.0));
    let mut plot = Plot { left: 24.0, right: 324.0, top: 0.0, bottom: 0.0, x, y };
    let mut at = 96.0;
    for group in groups {
        at += 20.0;
        svg.text((24.0, at), "head", &group.title);
        for Published { share, off, who, what } in group.published {
            at += LINE;
            let range = (*off > 0.0).then_some((share - off, share + off));
            bar(&mut svg, &plot, at, "f-teal", (*share, range));
            let figure = if *off > 0.0 { format!("{share} ± {off} %") } else { format!("{share} %") };
            svg.text((336.0, at), "small head", figure);
            svg.text((412.0, at), "small", format!("{who}: {what}"));
        }
        for Share { what, good, tries, range } in &group.simulated {
            at += LINE;
            let share = 100.0 * *good as f64 / (*tries).max(1) as f64;
            bar(&mut svg, &plot, at, "f-off", (share, Some(*range)));
            svg.text((336.0, at), "small head", format!("{share:.1} %"));
            svg.text((412.0, at), "small", format!("{what}, {} of {}", grouped(*good), grouped(*tries)));
        }
        at += 6.0;
    }
    plot.bottom = at + 6.0;
    plot.scale(&mut svg, 5.0, |percent| format!("{percent} %"));
    let foot = svg.paragraph((24.0, at + 48.0), "small soft", 175, caveat);
    svg.finish(foot + 6.0, title)
}

/// Between two bars.
const LINE: f64 = 21.0;

fn bar(svg: &mut Svg, plot: &Plot, at: f64, class: &str, (share, range): (f64, Option<(f64, f64)>)) {
    svg.rect((plot.left, at - 11.0), (plot.right - plot.left, 15.0), 3.0, "f-none", "");
    svg.rect((plot.left, at - 11.0), (plot.x(share) - plot.left, 15.0), 3.0, class, "");
    if let Some((low, high)) = range {
        let (left, right) = (plot.x(low), plot.x(high));
        svg.path(&[(left, at - 3.5), (right, at - 3.5)], "whisker");
        svg.path(&[(left, at - 8.0), (left, at + 1.0)], "whisker");
        svg.path(&[(right, at - 8.0), (right, at + 1.0)], "whisker");
    }
}
