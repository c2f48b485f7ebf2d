use super::{Health, Size};

/// What has happened so far, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What has happened so far.
    pub counters: Counters,
    /// Nodes in the IPv4 routing table.
    pub nodes_v4: usize,
    /// Nodes in the IPv6 routing table.
    pub nodes_v6: usize,
    /// How many nodes the IPv4 network has, if that can be told.
    pub size_v4: Option<Size>,
    /// How many nodes the IPv6 network has, if that can be told.
    pub size_v6: Option<Size>,
    /// Questions without an answer yet.
    pub in_flight: usize,
    /// Lookups that are under way.
    pub lookups: usize,
    /// Topics that are kept announced.
    pub topics: usize,
    /// Topics that others announced to us.
    pub stored_topics: usize,
    /// Peers that others announced to us.
    pub stored_peers: usize,
    /// Items that others put here.
    pub stored_items: usize,
    /// Addresses that are ignored for asking too much.
    pub banned: usize,
    /// Whether we answer everybody.
    pub server: bool,
    /// How well we are part of the network.
    pub health: Health,
}

/// What has happened so far. Every datagram that arrives counts exactly once among `queries`, `responses`, `errors`
/// and those that begin with `dropped_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Questions answered, with an answer or an error.
    pub queries: u64,
    /// Answers to questions of ours.
    pub responses: u64,
    /// Errors in answer to questions of ours.
    pub errors: u64,
    /// Those of both that came after their question had been given up.
    pub late: u64,
    /// Questions sent.
    pub sent: u64,
    /// Questions that remained without an answer.
    pub timeouts: u64,
    /// Lookups begun.
    pub lookups: u64,
    /// Peers and items stored, new or again.
    pub stored: u64,

    /// Not a message.
    pub dropped_malformed: u64,
    /// From an address that nobody can have, or from port 0.
    pub dropped_address: u64,
    /// From our own address, or with our own id.
    pub dropped_own: u64,
    /// An answer to nothing that is pending.
    pub dropped_unknown_tid: u64,
    /// An answer from elsewhere than the question went to.
    pub dropped_wrong_source: u64,
    /// From an address that is banned for a while.
    pub dropped_banned: u64,
    /// More questions than one address may ask.
    pub dropped_rate_ip: u64,
    /// More questions than one network may ask.
    pub dropped_rate_prefix: u64,
    /// More questions than are answered in all.
    pub dropped_rate_global: u64,
    /// A question while we answer nobody, or not that address.
    pub dropped_read_only: u64,
    /// It came to a socket that is not ours any more.
    pub dropped_socket: u64,
    /// The owner does not take its events.
    pub dropped_undrained: u64,

    /// Announcements, and items put, with a token we did not give for that address and topic.
    pub bad_tokens: u64,
    /// Announcements, and items put, that exceeded a limit of the storage.
    pub store_full: u64,
    /// Answers that would have been longer than their question allows.
    pub answers_withheld: u64,
    /// Tokens not given, because what they allow would be refused.
    pub tokens_withheld: u64,
    /// Bytes of answers.
    pub answered_bytes: u64,
    /// Bytes of questions of ours.
    pub sent_bytes: u64,
    /// Bytes that arrived, of whatever kind.
    pub received_bytes: u64,
    /// Items that were not sent, because the address that asked had not proven that it receives what we send.
    pub items_withheld: u64,
    /// Items in answers that are not valid, or not what was asked for.
    pub bad_items: u64,
    /// Answers with another id than the one expected at that address.
    pub id_changes: u64,
    /// Nodes named to us at addresses that we will not contact.
    pub refused_contacts: u64,
    /// Lookups of topics whose closest nodes are closer together than chance puts them.
    pub alarms: u64,
    /// Votes on our address that cannot be true.
    pub refused_votes: u64,
}
