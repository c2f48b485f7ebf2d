//! What of a run is drawn and captured.

use std::path::{Path, PathBuf};

use folkmoot_sim::report::{Section, film, ladder, page, pcapng};
use folkmoot_sim::scenario::Outcome;

use super::Failure;

/// What of a run is kept in files.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Pictures {
    /// Draws the run into this directory: index.html, and each picture as SVG
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Which two members the ladder is of, such as 0,2; 0,1 if not given
    #[arg(long, value_name = "A,B", requires = "report", value_parser = pair)]
    pair: Option<(usize, usize)>,
    /// Writes what the members sent and received to a file that Wireshark reads
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

impl Pictures {
    /// Whether packets must be recorded.
    pub(super) fn need_tape(&self) -> bool {
        self.report.is_some() || self.pcap.is_some()
    }

    /// Writes what was asked for.
    pub(super) fn write(&self, outcome: &Outcome) -> Result<(), Failure> {
        if let Some(path) = &self.pcap {
            write(path, pcapng(outcome).unwrap_or_default())?;
        }
        let Some(directory) = &self.report else { return Ok(()) };
        std::fs::create_dir_all(directory)
            .map_err(|error| Failure::Input(format!("cannot make {}: {error}", directory.display())))?;
        let members = outcome.cast.len();
        let pair = self.pair.unwrap_or((0, 1));
        let ladder = ladder(outcome, pair);
        if self.pair.is_some() && ladder.is_none() {
            let what = format!("there are no members {} and {}: there are {members}, from 0", pair.0, pair.1);
            return Err(Failure::Input(what));
        }
        let mut sections = vec![Section {
            title: "The meeting".into(),
            about: "Every band is what one member sees, a row for each of the others; red flags are faults."
                .into(),
            picture: film(outcome),
        }];
        write(&directory.join("film.svg"), &sections[0].picture)?;
        if let Some(picture) = ladder {
            write(&directory.join("ladder.svg"), &picture)?;
            let (title, about) = (
                format!("How {} and {} connect", pair.0, pair.1),
                "Time goes down, and is short where nothing happens. Pointing at the beginning of an arrow shows its addresses.",
            );
            sections.push(Section { title, about: about.into(), picture });
        }
        let name = outcome.scenario.split([';', '\n']).next().unwrap_or_default().trim();
        let about =
            format!("{name}, seed {}. Simulated: the same seed gives the same pictures.", outcome.seed);
        write(&directory.join("index.html"), page("A simulated meeting", &about, &sections))
    }
}

/// Writes a file, or says in a sentence why not.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Failure> {
    std::fs::write(path, content)
        .map_err(|error| Failure::Input(format!("cannot write {}: {error}", path.display())))
}

fn pair(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once(',').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.filter(|(a, b)| a != b).ok_or_else(|| "expected two different members, such as 0,2".into())
}
