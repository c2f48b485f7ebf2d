//! Each device's append-only signed log of messages: delivery, acknowledgement, catch-up.

/// The longest message, in bytes of UTF-8. Larger things are files.
pub const MAX_TEXT: usize = 8 * 1024;
