//! Every limit on a queue, table or cache, each with the reason for its value.
//!
//! Limits of protocols (sizes, counts and rates that a standard or our own wire format sets) stand beside the code
//! that implements them; here is what bounds our memory.

/// Datagrams that may wait in a node's outbox. A meeting of 50 that starts at once sends bursts of a few hundred;
/// beyond that a shell that does not drain is broken, and dropping is what the network would do.
pub const OUTBOX: usize = 4_096;
