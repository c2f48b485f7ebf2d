//! A picture under construction. Coordinates are pixels, from the top left.

use std::fmt::{Display, Write as _};

/// An SVG that grows downwards: its height is known when it is finished.
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    body: String,
}

/// The colours of all pictures, on light and on dark paper. They are told apart by those too who see red and green alike: green
/// leans to blue and red to orange, and nothing is said by colour alone. Colours mean the same everywhere: see the legends.
const STYLE: &str = "\
svg{--paper:#fcfbf8;--ink:#23262e;--soft:#646a79;--rule:#dedad0;--lane:#efece4;--good:#0d8562;--better:#2467cf;--bad:#c9421b;\
--warn:#b97a00;--relay:#8a50c4;--teal:#0a8fa3;--none:#e6e2d9;--off:#a9a59b;--on:#fff;\
font-family:'Inter','Segoe UI','Helvetica Neue',Arial,sans-serif;font-size:12px}\
@media(prefers-color-scheme:dark){svg{--paper:#16181d;--ink:#e6e7ea;--soft:#a3a9b6;--rule:#32353d;--lane:#22252c;--good:#3fc59a;\
--better:#6ba4f8;--bad:#f5794f;--warn:#e3a63a;--relay:#b794f3;--teal:#4cc9dc;--none:#30343d;--off:#565b66;--on:#0c110f}}\
.paper{fill:var(--paper)}text{fill:var(--ink)}.soft{fill:var(--soft)}.title{font-size:17px;font-weight:600}.head{font-weight:600}\
.small{font-size:10.5px}.tiny{font-size:9.5px}.mono{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}\
.mid{text-anchor:middle}.end{text-anchor:end}.rule{stroke:var(--rule);fill:none}.lane{stroke:var(--off);stroke-width:1.5}\
.on{fill:var(--on);font-weight:600}\
.f-good{fill:var(--good)}.f-better{fill:var(--better)}.f-bad{fill:var(--bad)}.f-warn{fill:var(--warn)}.f-relay{fill:var(--relay)}\
.f-teal{fill:var(--teal)}.f-none{fill:var(--none)}.f-off{fill:var(--off)}.f-soft{fill:var(--soft)}.f-lane{fill:var(--lane)}\
.s-good,.s-better,.s-bad,.s-warn,.s-relay,.s-teal,.s-soft{fill:none;stroke-width:1.6}\
.s-good{stroke:var(--good)}.s-better{stroke:var(--better)}.s-bad{stroke:var(--bad)}.s-warn{stroke:var(--warn)}\
.s-relay{stroke:var(--relay)}.s-teal{stroke:var(--teal)}.s-soft{stroke:var(--soft);stroke-width:1}.dash{stroke-dasharray:4 3}\
.whisker{stroke:var(--ink);stroke-width:1.3;fill:none}.thick{stroke-width:2.8}.faint{opacity:.45}.ghost{opacity:.16}\
.halo{paint-order:stroke;stroke:var(--paper);stroke-width:3.5px;stroke-linejoin:round}";

impl Svg {
    pub(super) fn new(width: f64) -> Self {
        Self { width, body: String::new() }
    }

    /// A text that begins at, is centred on, or ends at a point, as its classes say.
    pub(super) fn text(&mut self, (x, y): (f64, f64), class: &str, text: impl Display) {
        let text = escape(&text.to_string());
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>");
    }

    /// The same, turned about its point by degrees.
    pub(super) fn turned(&mut self, (x, y): (f64, f64), degrees: f64, class: &str, text: impl Display) {
        let text = escape(&text.to_string());
        let _ = writeln!(
            self.body,
            "<text transform=\"translate({x:.1} {y:.1}) rotate({degrees:.0})\" class=\"{class}\">{text}</text>"
        );
    }

    /// A rectangle; `about` is shown when it is pointed at.
    pub(super) fn rect(
        &mut self,
        (x, y): (f64, f64),
        (w, h): (f64, f64),
        round: f64,
        class: &str,
        about: &str,
    ) {
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{round}\" class=\"{class}\""
        );
        let _ = match about {
            "" => writeln!(self.body, "/>"),
            about => writeln!(self.body, "><title>{}</title></rect>", escape(about)),
        };
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        );
    }

    /// A line through points.
    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(self.body, "<polyline points=\"{}\" class=\"{class}\"/>", points.join(" "));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str, about: &str) {
        let about =
            if about.is_empty() { String::new() } else { format!("<title>{}</title>", escape(about)) };
        let _ = writeln!(
            self.body,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" class=\"{class}\">{about}</circle>"
        );
    }

    /// An arrow's head at `tip`, coming from `tail`.
    pub(super) fn head(&mut self, tail: (f64, f64), tip: (f64, f64), class: &str) {
        let (dx, dy) = (tip.0 - tail.0, tip.1 - tail.1);
        let length = dx.hypot(dy).max(0.1);
        let (ux, uy) = (dx / length, dy / length);
        let base = (tip.0 - 7.0 * ux, tip.1 - 7.0 * uy);
        let _ = writeln!(
            self.body,
            "<polygon points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" class=\"{class}\"/>",
            tip.0,
            tip.1,
            base.0 - 3.0 * uy,
            base.1 + 3.0 * ux,
            base.0 + 3.0 * uy,
            base.1 - 3.0 * ux
        );
    }

    /// A cross; `about` is shown when it is pointed at.
    pub(super) fn cross(&mut self, (x, y): (f64, f64), class: &str, about: &str) {
        let (left, right, top, bottom) = (x - 4.0, x + 4.0, y - 4.0, y + 4.0);
        let _ = writeln!(
            self.body,
            "<path d=\"M{left:.1} {top:.1}L{right:.1} {bottom:.1}M{left:.1} {bottom:.1}L{right:.1} {top:.1}\" class=\"{class}\">\
             <title>{}</title></path>",
            escape(about)
        );
    }

    /// A row of coloured squares with what they mean; gives where it ends.
    pub(super) fn legend(&mut self, (mut x, y): (f64, f64), entries: &[(&str, &str)]) -> f64 {
        for (class, what) in entries {
            self.rect((x, y - 9.0), (11.0, 11.0), 2.5, class, "");
            self.text((x + 16.0, y), "small", what);
            x += 36.0 + 5.3 * what.chars().count() as f64;
        }
        x
    }

    /// A paragraph, broken between words into lines of about so many characters; gives the height below it.
    pub(super) fn paragraph(&mut self, (x, mut y): (f64, f64), class: &str, most: usize, text: &str) -> f64 {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= most {
                self.text((x, y), class, std::mem::take(&mut line));
                y += 15.0;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        self.text((x, y), class, line);
        y + 15.0
    }

    /// The picture, with what it shows for those who do not see it.
    pub(super) fn finish(self, height: f64, title: &str) -> String {
        let Self { width, body } = self;
        let title = escape(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n{body}</svg>\n"
        )
    }
}

/// Text as XML and HTML want it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // No control character is allowed in XML, not even escaped.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
