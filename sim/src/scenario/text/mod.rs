//! Scenarios as text: written by hand, kept in files, pasted into a command line. Statements end with the line or with a
//! semicolon; `#` begins a comment. What a value of the usual kind would be need not be written.
//!
//! ```text
//! scenario corner-cafe
//! note     a restart behind an ordinary NAT, while packets are lost
//! world    dht 16 stun honest,dead link 20ms jitter 5ms
//! members  2 open
//! member   eim+apdf,lifetime=30s/eim+eif link 12ms loss 5%
//! start all
//! join all
//! settle 10s
//! +500ms fault1 crash 2
//! +3s fault1 start 2
//! fault1 join 2
//! settle 20s
//! goal handshakes 4
//! ```

mod around;
mod boxes;
mod links;
mod parse;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Flaw, Written, seed_of};
