//! What others wrote, made safe to print on a terminal.

use std::borrow::Cow;

/// A name on one line: no control characters, no marks that turn the direction of what follows.
pub(crate) fn name(name: &str) -> String {
    let name: String = name.chars().filter(|&c| !is_unsafe(c)).collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() { "someone".into() } else { name }
}

/// A message. Its further lines are indented, so that none of them looks like someone else's.
pub(crate) fn message(text: &str) -> String {
    let lines = text.lines().map(|line| line.replace('\t', "    "));
    let safe =
        |line: String| line.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect::<String>();
    lines.map(safe).collect::<Vec<_>>().join("\n    ")
}

/// The beginning of a message, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS: usize = 40;
    let line = name(text);
    let short: String = line.chars().take(CHARS).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

/// The bytes of a line of input as text.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Control characters, which a terminal would obey, and Unicode's marks of direction, with which text can be made to look as
/// what it is not.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\t' && c != '\n')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(name("\x1b[31mada\x07\n\u{202e}"), "[31mada");
        assert_eq!(name(" \r\n\x00 "), "someone");
        assert_eq!(message("hi\x1b]0;title\x07"), "hi\u{fffd}]0;title\u{fffd}");
        assert_eq!(message("\u{9b}2J"), "\u{fffd}2J");
        assert_eq!(message("one\r\nbob: two\tthree"), "one\n    bob: two    three");
    }

    #[test]
    fn other_scripts_stay() {
        assert_eq!(name("Ωmega Ünal 日本 👋"), "Ωmega Ünal 日本 👋");
        assert_eq!(message("שלום 👩‍👧"), "שלום 👩‍👧");
    }

    #[test]
    fn excerpts() {
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"é".repeat(50)), format!("{}…", "é".repeat(40)));
    }
}
