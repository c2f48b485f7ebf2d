//! How much a node holds, as seen from outside: as much as it takes to write all of it down.

use std::fmt::{self, Write as _};

use folkmoot_core::node::Node;

/// The bytes of a node's `Debug`, which names every entry of every queue, table and cache of the core; of a link's inside it
/// names nothing, and how many links there are. It is no measure of memory, but whatever grows, it grows with it.
pub(crate) fn weight(node: &Node) -> usize {
    let mut count = Count(0);
    // Counting does not fail.
    let _ = write!(count, "{node:?}");
    count.0
}

/// The most that a node of a scenario may come to: its DHT's tables full and forty messages said in a meeting of fifty, with room.
pub(super) const HEAVIEST: usize = 4 << 20;

struct Count(usize);

impl fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}
