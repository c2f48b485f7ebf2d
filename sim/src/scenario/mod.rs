//! Scenarios: what stands in the world, what happens in it, and what must come of it. A scenario is data; a run of it
//! is a function of the scenario and a seed.

mod check;
mod library;
mod run;
mod script;
mod stage;
mod storm;
mod strangers;
mod twice;

pub use check::{Problem, Problems};
pub use library::{NAMES, UnknownScenario, about, find};
pub use run::{Figure, Noted, Options, Outcome, run, run_traced};
pub use script::{Act, Goal, Home, Infrastructure, Scenario, Step, Stun, Who};
pub use strangers::strangers;
pub use twice::{Parting, play_twice};
