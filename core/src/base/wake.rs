use super::Time;

/// When a machine wants to be called again, and why: the reason is for traces and for the hot-loop assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The moment.
    pub at: Time,
    /// A short name of what is due then, such as `"dht.refresh"`.
    pub why: &'static str,
}

impl Wake {
    /// A wake at `at`, for the reason `why`.
    pub const fn new(at: Time, why: &'static str) -> Self {
        Self { at, why }
    }

    /// The earlier of two optional wakes.
    pub fn earliest(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}
