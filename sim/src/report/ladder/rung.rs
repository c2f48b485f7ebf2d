use folkmoot_core::base::Time;

use super::APART;
use super::clock::Clock;
use super::lanes::Lanes;
use crate::report::svg::Svg;

/// A packet in the picture.
pub(super) struct Rung {
    pub(super) sent: Time,
    pub(super) points: Vec<(usize, Time)>,
    pub(super) dropped: Option<(Time, String)>,
    pub(super) class: &'static str,
    pub(super) what: String,
    pub(super) about: String,
    pub(super) is_dht: bool,
}

impl Rung {
    pub(super) fn draw(&self, svg: &mut Svg, lanes: &Lanes, clock: &Clock, labels: &mut Labels) {
        let mut points: Vec<_> =
            self.points.iter().map(|(lane, at)| (lanes.x(*lane), clock.y(*at))).collect();
        let class = match (&self.dropped, self.is_dht) {
            (Some(_), _) => "s-bad".to_owned(),
            (None, true) => format!("s-{} faint", self.class),
            (None, false) => format!("s-{}", self.class),
        };
        let Some(&(first, _)) = self.points.first() else { return };
        let soft = if self.is_dht { " soft" } else { "" };
        let outwards = if lanes.is_left(first) { -1.0 } else { 1.0 };
        if let (Some((at, _)), [only]) = (&self.dropped, &points[..]) {
            // It was lost on its way to the first hop: drawn into the open.
            points.push((only.0 - outwards * APART * 0.45, clock.y(*at).max(only.1 + 4.0)));
        }
        if let ([(x, top), (_, bottom)], [_, (second, _)]) = (&points[..], &self.points[..])
            && *second == first
        {
            // The other's private address is also its own: it asked itself.
            let corner = (x + outwards * 14.0, (top + bottom) / 2.0);
            let text_at = (corner.0 + outwards * 4.0, corner.1 + 3.0);
            labels.write(text_at, soft, if outwards < 0.0 { " end" } else { "" }, "to itself");
            points.insert(1, corner);
        } else if let [first, second, ..] = points[..] {
            let middle = ((first.0 + second.0) / 2.0, (first.1 + second.1) / 2.0 - 3.0);
            labels.write(middle, soft, " mid", &self.what);
        }
        svg.path(&points, &class);
        if let [.., tail, tip] = points[..] {
            match &self.dropped {
                None => svg.head(tail, tip, &class.replace("s-", "f-")),
                Some((_, why)) => self.draw_drop(svg, lanes, labels, (tail, tip), why),
            }
        }
        if let Some(first) = points.first() {
            svg.dot(*first, 2.0, &class_of(self), &self.about);
        }
    }

    fn draw_drop(
        &self,
        svg: &mut Svg,
        lanes: &Lanes,
        labels: &mut Labels,
        (tail, tip): ((f64, f64), (f64, f64)),
        why: &str,
    ) {
        svg.cross(tip, "s-bad", &format!("{} · {why}", self.about));
        let near_edge = tip.0 > lanes.width() - 220.0;
        let (dx, anchor) = if tip.0 >= tail.0 && !near_edge { (8.0, "") } else { (-8.0, " end") };
        let at = (tip.0 + dx, tip.1 + 11.0);
        labels.write(at, " f-bad", anchor, why);
    }
}

fn class_of(rung: &Rung) -> String {
    if rung.dropped.is_some() { "f-bad".into() } else { format!("f-{}", rung.class) }
}

/// The words on arrows, none over another. They are drawn last, so that no line goes through them.
#[derive(Default)]
pub(super) struct Labels(Vec<Label>);

struct Label {
    left: f64,
    right: f64,
    /// Where it is anchored.
    at: (f64, f64),
    class: String,
    text: String,
}

impl Labels {
    /// Writes a text near a point, if there is room and the same is not said there already.
    fn write(&mut self, (x, y): (f64, f64), colour: &str, anchor: &str, text: &str) {
        let width = 5.0 * text.chars().count() as f64;
        let left = match anchor {
            "" => x,
            " mid" => x - width / 2.0,
            _ => x - width,
        };
        let right = left + width;
        let near =
            |y: f64, other: &Label| left < other.right && other.left < right && (y - other.at.1).abs() < 8.5;
        if self.0.iter().any(|other| near(y, other) && other.text == text) {
            return;
        }
        let mut free = [0.0, 9.0, -9.0].into_iter().map(|by| y + by);
        if let Some(y) = free.find(|y| !self.0.iter().any(|other| near(*y, other))) {
            let class = format!("tiny{colour} halo{anchor}");
            self.0.push(Label { left, right, at: (x, y), class, text: text.into() });
        }
    }

    pub(super) fn draw(&self, svg: &mut Svg) {
        for Label { at, class, text, .. } in &self.0 {
            svg.text(*at, class, text);
        }
    }
}
