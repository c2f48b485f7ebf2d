//! The oracle of meetings: who is out of each other's reach, and through whom what they say gets there all the same.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::net::Verdict;

/// What can become of a meeting, given who can connect to whom directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Pairs that cannot connect, the smaller number first.
    apart: BTreeMap<(usize, usize), Apart>,
    /// Who can reach each other, directly or through others.
    parts: Vec<Vec<usize>>,
}

/// Two who cannot connect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Apart {
    verdict: Verdict,
    /// Who is between them on a shortest way, if there is one.
    way: Option<Vec<usize>>,
}

/// Pairs that are named when a company is put in words; the rest is counted.
const NAMED: usize = 4;

impl Company {
    /// The company of members with these verdicts on each other, a row each.
    pub fn of(verdicts: &[Vec<Verdict>]) -> Self {
        let count = verdicts.len();
        let direct = |a: usize, b: usize| a != b && verdicts[a][b].direct;
        let (mut apart, mut parts): (BTreeMap<_, _>, Vec<Vec<usize>>) = Default::default();
        for a in 0..count {
            let before = ways(a, count, direct);
            if before[..a].iter().all(Option::is_none) {
                parts.push((0..count).filter(|b| *b == a || before[*b].is_some()).collect());
            }
            for b in (a + 1..count).filter(|b| !direct(a, *b)) {
                apart.insert((a, b), Apart { verdict: verdicts[a][b], way: between(a, b, &before) });
            }
        }
        Self { apart, parts }
    }

    /// Whether everyone can connect to everyone.
    pub fn is_mesh(&self) -> bool {
        self.apart.is_empty()
    }

    /// Whether what anyone says can reach everyone, directly or through members.
    pub fn is_whole(&self) -> bool {
        self.parts.len() <= 1
    }

    /// How many members what is said has to pass at most; 0 if all can connect, or nothing can reach all.
    pub fn hops(&self) -> usize {
        let ways = self.apart.values().filter_map(|apart| apart.way.as_ref());
        ways.map(Vec::len).max().filter(|_| self.is_whole()).unwrap_or(0)
    }
}

/// From whom each is first reached when `from` starts; `None` is not at all, or `from` itself.
pub(super) fn ways(from: usize, count: usize, direct: impl Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
    let (mut before, mut next) = (vec![None; count], VecDeque::from([from]));
    while let Some(here) = next.pop_front() {
        for (there, before) in before.iter_mut().enumerate() {
            if there != from && before.is_none() && direct(here, there) {
                *before = Some(here);
                next.push_back(there);
            }
        }
    }
    before
}

/// Who is between two, from the first to the second.
fn between(a: usize, b: usize, before: &[Option<usize>]) -> Option<Vec<usize>> {
    let mut way = Vec::new();
    let mut at = before[b]?;
    while at != a {
        way.push(at);
        at = before[at]?;
    }
    way.reverse();
    Some(way)
}

fn list(members: &[usize]) -> String {
    members.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// A sentence.
impl fmt::Display for Company {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_mesh() {
            return f.write_str("whole: everyone can connect to everyone");
        }
        if self.is_whole() {
            f.write_str("whole through members:")?;
        } else {
            let parts: Vec<_> = self.parts.iter().map(|part| list(part)).collect();
            write!(f, "never whole, in parts {}:", parts.join(" | "))?;
        }
        for (n, ((a, b), Apart { verdict, way })) in self.apart.iter().take(NAMED).enumerate() {
            write!(f, "{} {a} and {b} ", if n == 0 { "" } else { ";" })?;
            match way {
                Some(way) => write!(f, "through {}, since {}", list(way), verdict.why)?,
                None => write!(f, "not at all, since {}", verdict.why)?,
            }
        }
        match self.apart.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more pairs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Why;

    /// The company of so many members of whom these pairs can connect.
    fn company(count: usize, direct: &[(usize, usize)]) -> Company {
        let verdict = |a: usize, b: usize| match direct.contains(&(a.min(b), a.max(b))) {
            true => Verdict::yes(Why::BothStable),
            false => Verdict::no(Why::UnknownPort),
        };
        let rows: Vec<Vec<_>> = (0..count).map(|a| (0..count).map(|b| verdict(a, b)).collect()).collect();
        Company::of(&rows)
    }

    #[test]
    fn a_company_is_put_in_words() {
        let port = "one changes its port, and the other admits only ports it has sent to";
        let mesh = company(3, &[(0, 1), (0, 2), (1, 2)]);
        assert!(mesh.is_mesh() && mesh.is_whole() && mesh.hops() == 0);
        assert_eq!(mesh.to_string(), "whole: everyone can connect to everyone");

        let star = company(3, &[(0, 2), (1, 2)]);
        assert!(!star.is_mesh() && star.is_whole() && star.hops() == 1);
        assert_eq!(star.to_string(), format!("whole through members: 0 and 1 through 2, since {port}"));

        let chain = company(4, &[(0, 1), (1, 2), (2, 3)]);
        assert_eq!(chain.hops(), 2);
        assert!(chain.to_string().contains("; 0 and 3 through 1, 2, since"), "{chain}");

        let torn = company(3, &[(0, 1)]);
        assert!(!torn.is_whole() && torn.hops() == 0);
        assert!(
            torn.to_string().starts_with("never whole, in parts 0, 1 | 2: 0 and 2 not at all, since"),
            "{torn}"
        );
        assert!(company(5, &[]).to_string().ends_with("; and 6 more pairs"));
        assert!(company(1, &[]).is_mesh());
    }
}
