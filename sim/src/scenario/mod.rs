//! Scenarios: what stands in the world, what happens in it, and what must come of it. A scenario is data; a run of it
//! is a function of the scenario and a seed.

mod check;
mod company;
mod library;
mod marks;
pub mod matrix;
mod property;
mod record;
mod run;
mod script;
mod shrink;
mod stage;
mod storm;
mod strangers;
mod text;
mod timeline;
mod twice;
mod waits;
mod weight;
mod wire;

pub use check::{Problem, Problems};
pub use company::Company;
pub use library::{NAMES, UnknownScenario, about, find, find_as_of};
pub use marks::{MARKS, Marks};
pub use property::Property;
pub use record::{Class, Record};
pub use run::{Figure, Noted, Options, Outcome, Played, Role, run, run_traced};
pub use script::{Act, Disk, Goal, Home, Hostile, Infrastructure, Place, Scenario, Site, Step, Stun, Who};
pub use shrink::shrink;
pub use storm::{GENERATION, LATEST};
pub use strangers::strangers;
pub use text::{Flaw, Written, seed_of};
pub use twice::{Parting, play_twice};
pub use waits::Sample;
pub(crate) use weight::weight;
