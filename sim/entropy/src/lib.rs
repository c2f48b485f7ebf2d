//! Makes the system randomness of a thread a function of a seed, so that a simulated run is the same to the last byte.
//!
//! Folkmoot's own code takes all its randomness as a parameter. Two things below str0m do not: the SCTP library draws
//! the tags of its associations from the operating system, and hash tables take their order from it. Both ask by the
//! C function `getrandom`. A program that links this crate **and names it** has one of its own, which gives numbers of a
//! seed to a thread that [`seeded`] started, and those of the system to every other.
//!
//! On Linux; elsewhere [`seeded`] only starts a thread, and runs agree in what is sent when and how long it is, but not in
//! every byte.

use std::cell::Cell;
use std::panic::resume_unwind;

thread_local! {
    /// The state of this thread's generator, if it has one.
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Whether the randomness of a thread can be seeded here.
pub const SUPPORTED: bool = cfg!(target_os = "linux");

/// Runs `f` on a thread of its own whose system randomness is a function of `seed`, and waits for it. If it panics, so does this.
///
/// The thread has to be new: the keys of a thread's hash tables are drawn once.
#[expect(clippy::disallowed_methods, reason = "a new thread is the point of it")]
pub fn seeded<T: Send>(seed: u64, f: impl FnOnce() -> T + Send) -> T {
    let run = || {
        STATE.set(Some(seed));
        f()
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(target_os = "linux")]
fn is_seeded() -> bool {
    STATE.try_with(|state| state.get().is_some()).unwrap_or(false)
}

/// The next 64 bits of a seeded thread: SplitMix64 (Steele, Lea and Flood, 2014).
#[cfg(target_os = "linux")]
fn next() -> Option<u64> {
    let state = STATE.try_with(|state| {
        let next = state.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(Some(next));
        Some(next)
    });
    let mut x = state.ok()??;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(x ^ (x >> 31))
}

#[cfg(target_os = "linux")]
mod symbol {
    use std::ffi::{c_uint, c_void};
    use std::io::Read as _;

    use super::{is_seeded, next};

    /// `getrandom(2)` of this program, in place of libc's.
    ///
    /// # Safety
    ///
    /// As libc's: `buffer` must be valid for writes of `length` bytes.
    // A symbol of C's can only be defined so, and its arguments are a pointer and a length.
    #[allow(unsafe_code)]
    #[unsafe(no_mangle)]
    pub(crate) unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
        if buffer.is_null() || length == 0 {
            return 0;
        }
        // SAFETY: the caller's promise, and the buffer is not null. It is made of initialised bytes before it is read from.
        let buffer = unsafe {
            buffer.cast::<u8>().write_bytes(0, length);
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length)
        };
        if fill(buffer) { length as isize } else { -1 }
    }

    fn fill(buffer: &mut [u8]) -> bool {
        if !is_seeded() {
            return from_system(buffer);
        }
        for (chunk, number) in buffer.chunks_mut(8).zip(std::iter::from_fn(next)) {
            chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
        }
        true
    }

    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "what the system call would give"
    )]
    fn from_system(buffer: &mut [u8]) -> bool {
        std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(buffer)).is_ok()
    }
}

#[cfg(all(test, target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "threads and hash tables have to be tamed"
)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    fn order() -> u64 {
        RandomState::new().hash_one(7)
    }

    #[test]
    fn hash_keys_are_the_seeds() {
        assert_eq!(seeded(1, order), seeded(1, order));
        assert_ne!(seeded(1, order), seeded(2, order));
    }

    #[test]
    fn a_thread_without_a_seed_has_the_systems() {
        let unseeded = || std::thread::scope(|scope| scope.spawn(order).join().unwrap());
        assert_ne!(unseeded(), unseeded());
        seeded(1, order);
        assert_ne!(unseeded(), unseeded());
    }

    #[test]
    #[should_panic(expected = "as it should")]
    fn a_panic_passes_through() {
        seeded(1, || panic!("as it should"));
    }
}
