//! Text to words, and words to plain values, each with the place where it stands.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::engine::Chance;

/// A seed, in decimal or after `0x`.
pub fn seed_of(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Why a text is no scenario: where, and what was expected there instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {what}")]
pub struct Flaw {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// A clause that says what is wrong.
    pub what: String,
}

/// A scenario as it was written, with the seed if one was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The scenario.
    pub scenario: crate::scenario::Scenario,
    /// The seed it is to be run with.
    pub seed: Option<u64>,
    /// The property that is known to fail with it.
    pub fails: Option<crate::scenario::Property>,
}

/// A word and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The words of one statement, taken from the front.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    words: std::collections::VecDeque<Word<'a>>,
    /// Where the statement ends.
    end: (usize, usize),
}

pub(super) type Read<T> = Result<T, Flaw>;

/// All statements that have words.
pub(super) fn statements(text: &str) -> Vec<Words<'_>> {
    let mut list = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split_once('#').filter(|(before, _)| is_comment(before)).map_or(line, |(it, _)| it);
        let mut column = 1;
        for part in line.split(';') {
            let words = words(part, n + 1, column);
            column += part.chars().count() + 1;
            if !words.is_empty() {
                let end = (n + 1, column - 1);
                list.push(Words { words, end });
            }
        }
    }
    list
}

/// Whether a `#` after this begins a comment: `lose #7` does not.
fn is_comment(before: &str) -> bool {
    !before.trim_end().ends_with("lose")
}

fn words(text: &str, line: usize, first: usize) -> std::collections::VecDeque<Word<'_>> {
    let mut words = std::collections::VecDeque::new();
    let (mut start, mut column) = (None, first);
    for (at, c) in text.char_indices() {
        match (start, c.is_whitespace()) {
            (None, false) => start = Some((at, column)),
            (Some((from, at_column)), true) => {
                words.push_back(Word { text: &text[from..at], line, column: at_column });
                start = None;
            }
            _ => {}
        }
        column += 1;
    }
    if let Some((from, column)) = start {
        words.push_back(Word { text: &text[from..], line, column });
    }
    words
}

impl<'a> Words<'a> {
    /// The next word, which has to be there.
    pub(super) fn next(&mut self, expected: &str) -> Read<Word<'a>> {
        self.words.pop_front().ok_or_else(|| {
            let (line, column) = self.end;
            Flaw { line, column, what: format!("expected {expected}, found the end of the statement") }
        })
    }

    /// Whether the next word is `text`; if so it is taken.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let is = self.words.front().is_some_and(|word| word.text == text);
        if is {
            self.words.pop_front();
        }
        is
    }

    /// The next word, left where it is.
    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.words.front().copied()
    }

    /// Puts a word in front.
    pub(super) fn put_back(&mut self, word: Word<'a>) {
        self.words.push_front(word);
    }

    /// A certain word.
    pub(super) fn keyword(&mut self, text: &str) -> Read<()> {
        let expected = format!("`{text}`");
        let word = self.next(&expected)?;
        if word.text == text { Ok(()) } else { Err(word.not(&expected)) }
    }

    /// All words that are left, with one space between.
    pub(super) fn rest(&mut self) -> String {
        let words: Vec<_> = std::mem::take(&mut self.words).into_iter().map(|word| word.text).collect();
        words.join(" ")
    }

    /// That no word is left.
    pub(super) fn end(&mut self) -> Read<()> {
        self.words.front().map_or(Ok(()), |word| Err(word.not("the end of the statement")))
    }
}

impl<'a> Word<'a> {
    /// That it is something else than expected.
    pub(super) fn not(&self, expected: &str) -> Flaw {
        self.flaw(format!("expected {expected}, found `{}`", self.text))
    }

    pub(super) fn flaw(&self, what: impl fmt::Display) -> Flaw {
        Flaw { line: self.line, column: self.column, what: what.to_string() }
    }

    /// Its parts between a separator, each where it stands.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Word<'a>> {
        let (line, mut column) = (self.line, self.column);
        self.text.split(separator).map(move |text| {
            let at = column;
            column += text.chars().count() + 1;
            Word { text, line, column: at }
        })
    }

    /// What stands before and after the first separator.
    pub(super) fn halves(self, separator: char) -> Option<(Word<'a>, Word<'a>)> {
        let (before, after) = self.text.split_once(separator)?;
        let column = self.column + before.chars().count() + 1;
        Some((Word { text: before, ..self }, Word { text: after, column, ..self }))
    }

    /// A whole number up to `most`.
    pub(super) fn number(&self, most: u64, expected: &str) -> Read<u64> {
        if self.text.is_empty() || !self.text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.not(expected));
        }
        match self.text.parse::<u64>() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(self.flaw(format!("{} is out of range: {expected} is at most {most}", self.text))),
        }
    }

    /// A seed, in decimal or after `0x`.
    pub(super) fn seed(&self) -> Read<u64> {
        seed_of(self.text).ok_or_else(|| self.not(&format!("a seed from 0 to {}", u64::MAX)))
    }

    /// A length of time, such as `12ms` or `1.5s`.
    pub(super) fn duration(&self) -> Read<Duration> {
        const UNITS: [(&str, u128); 7] = [
            ("ns", 1),
            ("µs", 1_000),
            ("us", 1_000),
            ("ms", 1_000_000),
            ("min", 60_000_000_000),
            ("s", 1_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let flaw = || self.not("a length of time such as 12ms, 1.5s or 2min");
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(name, nanos)| Some((self.text.strip_suffix(name)?, *nanos)))
            .ok_or_else(flaw)?;
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |text: &str| text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(rest) || digits.ends_with('.') {
            return Err(flaw());
        }
        let value = |text: &str| text.parse::<u128>().unwrap_or(0);
        let nanos = value(whole) * unit + value(rest) * unit / 10u128.pow(rest.len() as u32);
        let most = Duration::from_secs(3_600 * 24 * 365);
        let time = u64::try_from(nanos).map(Duration::from_nanos).ok().filter(|time| *time <= most);
        time.ok_or_else(|| self.flaw(format!("{} is out of range: at most a year", self.text)))
    }

    /// A probability, such as `5%` or `0.05%`.
    pub(super) fn chance(&self) -> Read<Chance> {
        let flaw = || self.not("a share such as 5% or 0.1%");
        let digits = self.text.strip_suffix('%').ok_or_else(flaw)?;
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || rest.len() > 9 || !is_number(whole) || !is_number(rest) {
            return Err(flaw());
        }
        let number = format!("{whole}{rest}").parse().map_err(|_| flaw())?;
        if number > 100 * 10u64.pow(rest.len() as u32) {
            return Err(self.flaw(format!("{} is out of range: a share is at most 100%", self.text)));
        }
        Ok(Chance::percent_with(number, rest.len() as u32))
    }
}
