//! How the node's randomness reaches code that takes none.
//!
//! str0m and dimpl find their cryptography through static providers, and str0m draws its transaction ids from the
//! thread-local `fastrand`. Neither has a parameter for a generator. So one is lent for the length of each call: a fork
//! of the node's generator lies in a thread-local while a [`Loan`] lives, and `fastrand` is seeded from the same
//! and put back afterwards. In production that makes all of it strong; in a simulation, the seed's.
//!
//! A handshake draws from it, and hardly any other call: only then is the fork more than its seed.

use std::cell::RefCell;

use crate::base::Rng;

thread_local! {
    /// The generator on loan, if a call into str0m is under way on this thread. It never outlives one.
    static LENT: RefCell<Option<Lent>> = const { RefCell::new(None) };
}

/// A generator on loan.
struct Lent {
    seed: [u8; 32],
    /// What the seed gives, once somebody has drawn from it.
    drawn: Option<Box<Rng>>,
}

/// While it lives, [`draw`] gives numbers from the generator it was made of, and so does `fastrand`.
pub(super) struct Loan {
    before: Option<Lent>,
    fastrand: u64,
}

/// Lends a fork of `rng` to the static providers, until the loan is dropped.
#[expect(clippy::disallowed_methods, reason = "this is what makes fastrand's numbers the node's")]
pub(super) fn lend(rng: &mut Rng) -> Loan {
    let fastrand = fastrand::get_seed();
    fastrand::seed(rng.u64());
    let before = LENT.with_borrow_mut(|lent| lent.replace(Lent { seed: rng.array(), drawn: None }));
    Loan { before, fastrand }
}

impl Drop for Loan {
    #[allow(
        clippy::disallowed_methods,
        reason = "whoever else uses fastrand on this thread sees nothing of us"
    )]
    fn drop(&mut self) {
        fastrand::seed(self.fastrand);
        LENT.with_borrow_mut(|lent| *lent = self.before.take());
    }
}

/// Lets `f` draw from the generator on loan; `None` if there is none.
///
/// There is no fallback: a provider that is called outside a loan must fail rather than be weak.
pub(super) fn draw<T>(f: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    LENT.with_borrow_mut(|lent| lent.as_mut().map(|lent| f(lent.rng())))
}

impl Lent {
    fn rng(&mut self) -> &mut Rng {
        self.drawn.get_or_insert_with(|| Box::new(Rng::new(self.seed)))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "to see what others would see")]
mod tests {
    use super::*;

    #[test]
    fn lends_for_the_length_of_a_loan() {
        assert_eq!(draw(Rng::u64), None);
        let numbers = || {
            let mut rng = Rng::new([3; 32]);
            let _loan = lend(&mut rng);
            (draw(Rng::u64), fastrand::u64(..))
        };
        let first = numbers();
        assert!(first.0.is_some());
        assert_eq!(first, numbers());
        assert_eq!(draw(Rng::u64), None);
    }

    #[test]
    fn leaves_fastrand_as_it_was() {
        fastrand::seed(5);
        let expected = fastrand::u64(..);
        fastrand::seed(5);
        drop(lend(&mut Rng::new([1; 32])));
        assert_eq!(fastrand::u64(..), expected);
    }
}
