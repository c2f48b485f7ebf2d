//! What is to be run: a scenario of the library, a line, or a file.

use std::io::ErrorKind;
use std::path::Path;

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, GENERATION, LATEST, Scenario};

use super::Failure;

/// A scenario with a seed, and how a person names the two.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    /// One word or line that is read back as this.
    pub(super) line: String,
}

impl Subject {
    /// Of the library.
    pub(super) fn named(name: &str, seed: u64) -> Result<Self, Failure> {
        Self::drawn(GENERATION, name, seed)
    }

    /// Of the library, as a generation draws it.
    pub(super) fn drawn(generation: u32, name: &str, seed: u64) -> Result<Self, Failure> {
        let scenario = scenario::find_as_of(generation, name, seed)?;
        Ok(Self { scenario, seed, line: format!("g{generation}/{name}/{seed}") })
    }

    /// A scenario that is given whole.
    pub(super) fn whole(scenario: Scenario, seed: u64) -> Self {
        let line = format!("'seed {seed}; {scenario}'").replace("seed 0; ", "");
        Self { scenario, seed, line }
    }

    /// Reads `[g1/]NAME[/SEED][/-faultN…]`, a whole scenario, or the path of a file with one. A seed given apart
    /// overrules the one that is written.
    pub(super) fn read(text: &str, seed: Option<u64>) -> Result<Self, Failure> {
        if Path::new(text).is_file() {
            let content = std::fs::read_to_string(text).map_err(|error| {
                Failure::Input(match error.kind() {
                    ErrorKind::InvalidData => format!("{text} is neither text nor a trace of a node"),
                    _ => format!("cannot read {text}: {error}"),
                })
            })?;
            return Self::parse(&content, seed).map_err(|what| Failure::Input(format!("{text}: {what}")));
        }
        if text.contains([';', ' ', '\n']) {
            return Self::parse(text, seed).map_err(Failure::Input);
        }
        if Path::new(text).is_dir() {
            return Err(Failure::Input(format!("{text} is a directory")));
        }
        if text.ends_with(".scn") || text.starts_with(['/', '.']) {
            return Err(Failure::Input(format!("there is no file {text}")));
        }
        Self::short(text, seed)
    }

    fn parse(text: &str, seed: Option<u64>) -> Result<Self, String> {
        let written = Scenario::parse(text).map_err(|flaw| flaw.to_string())?;
        Ok(Self::whole(written.scenario, seed.or(written.seed).unwrap_or(0)))
    }

    fn short(text: &str, seed: Option<u64>) -> Result<Self, Failure> {
        let mut parts = text.split('/').peekable();
        let is_generation = |part: &&str| {
            part.strip_prefix('g').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let generation = match parts.next_if(is_generation) {
            None => GENERATION,
            Some(part) => {
                let known = part[1..].parse().ok().filter(|known| (1..=LATEST).contains(known));
                known.ok_or_else(|| {
                    let which = &part[1..];
                    Failure::Input(format!(
                        "`{text}` was drawn by generation {which}; this moot-sim draws by 1 to {LATEST}"
                    ))
                })?
            }
        };
        let name = parts.next().unwrap_or_default();
        let written = match parts.next_if(|part| !part.starts_with('-')) {
            Some(part) => Some(seed_of(part).map_err(Failure::Input)?),
            None => None,
        };
        let mut subject = Self::drawn(generation, name, seed.or(written).unwrap_or(0))?;
        for part in parts {
            subject.leave_out(part)?;
        }
        Ok(subject)
    }

    /// Takes a fault out: `-fault7`.
    pub(super) fn leave_out(&mut self, what: &str) -> Result<(), Failure> {
        let number = what.strip_prefix("-fault").and_then(|digits| digits.parse::<u16>().ok());
        let Some(number) = number else {
            return Err(Failure::Input(format!(
                "expected something to leave out, such as -fault7, found `{what}`"
            )));
        };
        let faults = self.scenario.faults();
        if !faults.contains(&number) {
            let what = match &faults[..] {
                [] => "this scenario has no numbered faults".into(),
                list => {
                    let numbers: Vec<_> = list.iter().map(u16::to_string).collect();
                    format!("there is no fault {number}: there are {}", numbers.join(", "))
                }
            };
            return Err(Failure::Input(what));
        }
        self.scenario = self.scenario.without_fault(number);
        if self.line.starts_with('\'') {
            *self = Self::whole(self.scenario.clone(), self.seed);
        } else {
            self.line += &format!("/-fault{number}");
        }
        Ok(())
    }

    /// The one command that does a run again.
    pub(super) fn replay(&self, tier: Tier) -> String {
        format!("moot-sim replay {} --tier {tier}", self.line)
    }

    /// What whoever sees a run fail is told: how to do it again, and how to see it.
    pub(super) fn advice(&self, tier: Tier) -> String {
        let again = self.replay(tier);
        format!("replay with: {again}\ndraw it with: {again} --report report")
    }
}

/// A seed, in decimal or after `0x`.
pub(super) fn seed_of(text: &str) -> Result<u64, String> {
    scenario::seed_of(text).ok_or_else(|| format!("`{text}` is no seed: seeds are 0 to {}", u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match Subject::read(text, None) {
            Err(Failure::Input(what)) => what,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let mut subject = Subject::named("storm", 17).unwrap();
        let fault = subject.scenario.faults()[0];
        subject.leave_out(&format!("-fault{fault}")).unwrap();
        assert_eq!(subject.line, format!("g{GENERATION}/storm/17/-fault{fault}"));
        let again = Subject::read(&subject.line, None).unwrap();
        assert_eq!((again.scenario, again.seed), (subject.scenario.clone(), 17));
        let whole = Subject::whole(subject.scenario, 9);
        let again = Subject::read(whole.line.trim_matches('\''), None).unwrap();
        assert_eq!((again.scenario, again.seed), (whole.scenario, 9));
        assert_eq!(Subject::read("storm/0x10", None).unwrap().seed, 16);
        let [first, second] = [1, 2].map(|n| Subject::read(&format!("g{n}/storm/7"), None).unwrap());
        assert_eq!((&first.line[..], &second.line[..]), ("g1/storm/7", "g2/storm/7"));
        assert_ne!(first.scenario, second.scenario);
        assert_eq!(Subject::read("storm/3", Some(4)).unwrap().seed, 4);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        for (text, expected) in [
            ("nonsense", "there is no scenario `nonsense`"),
            ("storm/x", "`x` is no seed"),
            ("storm/99999999999999999999", "is no seed: seeds are 0 to 18446744073709551615"),
            ("g0/storm/1", "was drawn by generation 0"),
            ("g3/storm/1", "was drawn by generation 3"),
            ("storm/1/-fault9999", "there is no fault 9999: there are 7, "),
            ("open-four/1/-fault1", "has no numbered faults"),
            ("storm/1/-x", "expected something to leave out"),
            ("nowhere.scn", "there is no file nowhere.scn"),
            ("/nowhere/x", "there is no file /nowhere/x"),
            ("..", ".. is a directory"),
            ("members 2 opne; start all", "line 1, column 11: expected"),
        ] {
            let said = refused(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
