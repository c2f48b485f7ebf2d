//! Bugs that can be planted, to see whether the simulator finds them: who watches the watchmen.
//!
//! They are there only in a build with `--cfg mutants`, which `sim/mutants` makes and nothing else; in every other build
//! `is_planted` is the constant `false`, and nothing of them is compiled.

/// A bug. Each breaks one promise, somewhere in the middle of what keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// Every message is told to the application twice.
    TellTwice,
    /// Every fifth message is taken in, acknowledged, and not told to the application.
    SwallowMessage,
    /// A message is told of as its bearer's, and not its author's.
    WrongAuthor,
    /// A message is told of in another meeting that the two share.
    WrongMeeting,
    /// A message counts as delivered once the link has taken it.
    EarlyDelivered,
    /// The number of a message is that of the one before.
    RepeatNumber,
    /// Who has left a meeting is still there.
    KeepDeparted,
    /// A device that has been restarted is taken for the run it was.
    OldRun,
    /// A knock is repeated for ever.
    KnockForever,
    /// Checks count for nothing from addresses that nobody told of.
    ForgetReflexive,
    /// What others said is not passed on.
    KeepToItself,
    /// A knock names the password of the day.
    TellPassword,
    /// An answer of the DHT is as long as it gets, whoever asks.
    LongAnswers,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::TellTwice,
        Self::SwallowMessage,
        Self::WrongAuthor,
        Self::WrongMeeting,
        Self::EarlyDelivered,
        Self::RepeatNumber,
        Self::KeepDeparted,
        Self::OldRun,
        Self::KnockForever,
        Self::ForgetReflexive,
        Self::KeepToItself,
        Self::TellPassword,
        Self::LongAnswers,
    ];
}

/// Whether this bug is planted: no.
#[cfg(not(mutants))]
pub(crate) const fn is_planted(_: Mutant) -> bool {
    false
}

#[cfg(mutants)]
pub(crate) use planting::is_planted;
#[cfg(mutants)]
pub use planting::plant;

#[cfg(mutants)]
mod planting {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a bug in all that runs on this thread, or takes it out.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    pub(crate) fn is_planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}
