//! What stands around the members, by the record about the whole.

use std::time::Duration;

use super::{Class, Classes, Record};
use crate::net::Stack;
use crate::scenario::script::{Hostile, Infrastructure, LIES, Stun};

impl Record {
    pub(super) fn infrastructure(&self, classes: Classes) -> Infrastructure {
        let mut all = Infrastructure::usual();
        if classes.has(Class::Hostile) {
            let some = |by: u8| u32::from(self.0[12] / by % 4);
            let sybils = [0, 4, 8, 16][some(64) as usize];
            all.hostile =
                Hostile { silent: some(1), lying: some(4), slow: some(16), sybils, ..Hostile::default() };
        }
        if classes.has(Class::Liar) {
            // One of three tells the truth, and may be silent for a while like any other.
            let lie = |byte: u8| LIES.get(usize::from(byte % 16)).map_or(Stun::Dead, |lie| Stun::Lying(*lie));
            all.stun = vec![Stun::Honest, lie(self.0[13]), lie(self.0[13] / 16)];
        }
        if classes.has(Class::Families) {
            all.stack = Stack::Dual;
        }
        if classes.has(Class::Midnight) {
            let before = Duration::from_millis((600_000 * self.word(14)) >> 16);
            all.begins = Duration::from_secs(86_400) - before - Duration::from_millis(1);
        }
        all
    }
}
