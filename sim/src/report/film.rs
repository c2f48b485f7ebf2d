use std::collections::BTreeMap;

use folkmoot_core::base::Time;
use folkmoot_core::node::{Event, Path};

use super::svg::Svg;
use crate::scenario::{Act, Outcome, Played};

/// A whole meeting on a strip: for every member a band with a row for every other, coloured while it is connected to it, with
/// what went wrong marked on the axis. A member is named by its number.
pub fn film(outcome: &Outcome) -> String {
    let strip = Strip::of(outcome);
    let mut svg = Svg::new(WIDTH);
    let name = outcome.scenario.split([';', '\n']).next().unwrap_or_default().trim();
    let title = format!("A meeting of {}", outcome.cast.len());
    svg.text((24.0, 32.0), "title", &title);
    svg.text(
        (24.0, 50.0),
        "soft",
        format!("{name} · seed {} · {:.0} s · simulated", outcome.seed, strip.seconds),
    );
    strip.draw_legend(&mut svg, outcome);
    svg.text((24.0, TOP - 10.0), "small soft", "member, and its network");
    svg.text((LEFT - 6.0, TOP - 10.0), "small soft end", "sees");
    let rows = outcome.cast.len().saturating_sub(1);
    let band = ROW * rows as f64 + GAP;
    let bottom = TOP + band * outcome.cast.len() as f64;
    for (who, role) in outcome.cast.iter().enumerate() {
        strip.draw_band(&mut svg, outcome, who, TOP + band * who as f64);
        let y = TOP + band * who as f64 + 10.0;
        svg.text((24.0, y), "head", who);
        let boxes: Vec<_> = role.boxes.iter().map(|(_, rules)| rules.as_str()).collect();
        let behind = if boxes.is_empty() { "open".to_owned() } else { boxes.join(" in ") };
        let short: String = behind.chars().take(22).collect();
        svg.text((42.0, y), "small soft mono", short);
    }
    strip.draw_axis(&mut svg, bottom);
    let foot = strip.draw_faults(&mut svg, outcome, bottom);
    svg.finish(foot, &title)
}

const WIDTH: f64 = 1_060.0;
const LEFT: f64 = 216.0;
const RIGHT: f64 = 1_030.0;
const TOP: f64 = 122.0;
/// The height of a row, and what is between bands.
const ROW: f64 = 9.0;
const GAP: f64 = 9.0;
/// The most faults that have a line of their own below the strip.
const LISTED: usize = 40;

/// What one member sees of another from a moment on.
type Stretch = (Time, Option<Path>);

struct Strip {
    began: Time,
    seconds: f64,
    /// What each saw of each, in order.
    seen: BTreeMap<(usize, usize), Vec<Stretch>>,
    /// Since when each was away or there, in order.
    there: Vec<Vec<(Time, bool)>>,
}

impl Strip {
    fn of(outcome: &Outcome) -> Self {
        let mut seen: BTreeMap<_, Vec<Stretch>> = BTreeMap::new();
        for noted in &outcome.events {
            let (device, path) = match &noted.event {
                Event::Connected { device, path, .. } => (device, Some(*path)),
                Event::Disconnected { device, .. } => (device, None),
                _ => continue,
            };
            if let Some(to) = outcome.cast.iter().position(|role| role.device == *device) {
                seen.entry((noted.member, to)).or_default().push((noted.at, path));
            }
        }
        let there = (0..outcome.cast.len()).map(|who| presence(who, &outcome.played)).collect();
        let seconds = outcome.ended.saturating_since(outcome.began).as_secs_f64().max(0.001);
        Self { began: outcome.began, seconds, seen, there }
    }

    fn x(&self, at: Time) -> f64 {
        let share = at.saturating_since(self.began).as_secs_f64() / self.seconds;
        LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0)
    }

    /// What the colours mean that are in it.
    fn draw_legend(&self, svg: &mut Svg, outcome: &Outcome) {
        let is_there = |class| {
            self.seen.values().flatten().filter_map(|(_, path)| *path).any(|path| class_of(path) == class)
        };
        let is_away = self.there.iter().any(|there| there.iter().any(|(_, is_there)| !is_there));
        let entries = [
            ("f-good", "connected directly over IPv4", is_there("f-good")),
            ("f-better", "directly over IPv6", is_there("f-better")),
            ("f-warn", "in one network", is_there("f-warn")),
            ("f-relay", "through a member", is_there("f-relay")),
            ("f-none", "not connected", true),
            ("f-off", "itself down, asleep or not in the meeting", is_away),
        ];
        let entries: Vec<_> =
            entries.into_iter().filter(|entry| entry.2).map(|(class, what, _)| (class, what)).collect();
        let end = svg.legend((24.0, 76.0), &entries);
        let mut pairs = outcome.verdicts.iter().enumerate().flat_map(|(who, row)| {
            row.iter().enumerate().filter(move |(to, _)| *to != who).map(|(_, verdict)| verdict)
        });
        if pairs.any(|verdict| !verdict.direct) {
            svg.rect((end, 71.5), (11.0, 2.0), 1.0, "f-none", "");
            svg.text((end + 16.0, 76.0), "small", "cannot connect directly, says the oracle");
        }
    }

    fn draw_band(&self, svg: &mut Svg, outcome: &Outcome, who: usize, top: f64) {
        let others = (0..outcome.cast.len()).filter(|to| *to != who);
        for (row, to) in others.enumerate() {
            let y = top + ROW * row as f64;
            let possible = outcome.verdicts.get(who).and_then(|row| row.get(to));
            let about = possible.map(|verdict| format!("{who} and {to}: {verdict}")).unwrap_or_default();
            if possible.is_some_and(|verdict| !verdict.direct) {
                svg.rect((LEFT, y + 2.5), (RIGHT - LEFT, 2.0), 1.0, "f-none", &about);
            } else {
                svg.rect((LEFT, y), (RIGHT - LEFT, ROW - 1.5), 2.0, "f-none", &about);
            }
            svg.text((LEFT - 6.0, y + 7.0), "tiny soft end", to);
            let stretches = self.seen.get(&(who, to)).map(Vec::as_slice).unwrap_or_default();
            for (n, (from, path)) in stretches.iter().enumerate() {
                let Some(path) = path else { continue };
                let end = stretches.get(n + 1).map_or(outcome.ended, |next| next.0);
                let about = format!("{who} to {to}: {path:?}, {from} to {end}");
                self.draw_stretch(svg, (*from, end), y, class_of(*path), &about);
            }
            self.draw_absence(svg, outcome.ended, who, y);
        }
    }

    fn draw_absence(&self, svg: &mut Svg, ended: Time, who: usize, y: f64) {
        let there = &self.there[who];
        let first = there.first().map_or(ended, |first| first.0);
        self.draw_stretch(svg, (self.began, first), y, "f-off", "");
        for (n, (from, is_there)) in there.iter().enumerate() {
            if !is_there {
                let end = there.get(n + 1).map_or(ended, |next| next.0);
                self.draw_stretch(svg, (*from, end), y, "f-off", "");
            }
        }
    }

    fn draw_stretch(&self, svg: &mut Svg, (from, end): (Time, Time), y: f64, class: &str, about: &str) {
        let (x, right) = (self.x(from), self.x(end));
        if right > x {
            svg.rect((x, y), (right - x, ROW - 1.5), 1.0, class, about);
        }
    }

    fn draw_axis(&self, svg: &mut Svg, bottom: f64) {
        let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];
        let step = steps.into_iter().find(|step| self.seconds / step <= 12.0).unwrap_or(self.seconds / 10.0);
        let mut at = 0.0;
        while at <= self.seconds {
            let x = LEFT + (RIGHT - LEFT) * at / self.seconds;
            svg.line((x, bottom - 4.0), (x, bottom + 2.0), "s-soft");
            let text = if step >= 60.0 { format!("{:.0} min", at / 60.0) } else { format!("{at} s") };
            svg.text((x, bottom + 15.0), "small soft mid", text);
            at += step;
        }
    }

    /// A numbered flag for each fault, and below a list of them.
    fn draw_faults(&self, svg: &mut Svg, outcome: &Outcome, bottom: f64) -> f64 {
        let faults: Vec<_> = outcome.played.iter().filter(|played| played.act.is_fault()).collect();
        // Two rows of numbers; for one that finds no room in either the list is enough.
        let mut ends = [f64::MIN; 2];
        for (n, fault) in (1..).zip(&faults) {
            let x = self.x(fault.at);
            svg.line((x, TOP - 12.0), (x, bottom - 4.0), "s-bad dash faint");
            let half = if n < 10 { 4.0 } else { 7.0 };
            if let Some(row) = ends.iter().position(|end| *end <= x - half) {
                svg.text((x, TOP - 15.0 - 12.0 * row as f64), "tiny f-bad mid halo", n);
                ends[row] = x + half;
            }
        }
        let mut y = bottom + 40.0;
        let columns = [24.0, 370.0, 716.0];
        for (n, fault) in faults.iter().take(LISTED).enumerate() {
            let x = columns[n % columns.len()];
            let since = fault.at.saturating_since(self.began).as_secs_f64();
            let act: String = fault.act.to_string().chars().take(44).collect();
            svg.text((x, y), "small f-bad", n + 1);
            svg.text((x + 20.0, y), "small", format!("{since:.1} s  {act}"));
            if n % columns.len() == columns.len() - 1 {
                y += 15.0;
            }
        }
        y += if faults.is_empty() { -14.0 } else { 15.0 };
        if faults.len() > LISTED {
            svg.text((24.0, y), "small soft", format!("and {} more", faults.len() - LISTED));
            y += 15.0;
        }
        for problem in &outcome.problems.list {
            svg.text((24.0, y), "small f-bad head", format!("broken: {problem}"));
            y += 15.0;
        }
        y + 4.0
    }
}

/// When a member was there: its program runs, is awake and in a meeting.
fn presence(who: usize, played: &[Played]) -> Vec<(Time, bool)> {
    let (mut up, mut awake, mut joined, mut was) = (false, true, 0u32, None);
    let mut there = Vec::new();
    for played in played.iter().filter(|played| played.members.contains(&who)) {
        match played.act {
            Act::Start(_) | Act::StartSaved(_) => (up, awake, joined) = (true, true, 0),
            Act::Join(..) if up => joined += 1,
            Act::Leave(..) => joined = joined.saturating_sub(1),
            Act::Crash(_) => (up, joined) = (false, 0),
            Act::Suspend(_) => awake = false,
            Act::Resume(_) => awake = true,
            _ => continue,
        }
        let is_there = up && awake && joined > 0;
        if was != Some(is_there) {
            there.push((played.at, is_there));
            was = Some(is_there);
        }
    }
    there
}

fn class_of(path: Path) -> &'static str {
    match path {
        Path::Lan => "f-warn",
        Path::V6 => "f-better",
        Path::Relay => "f-relay",
        Path::V4 | Path::Mapped | Path::Predicted => "f-good",
    }
}
