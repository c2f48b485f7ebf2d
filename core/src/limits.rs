//! Every limit on a queue, table or cache, each with the reason for its value.
//!
//! Limits of protocols (sizes, counts and rates that a standard or our own wire format sets) stand beside the code
//! that implements them; here is what bounds our memory.

/// Datagrams that may wait in a node's outbox. A meeting of 50 that starts at once sends bursts of a few hundred;
/// beyond that a shell that does not drain is broken, and dropping is what the network would do.
pub const OUTBOX: usize = 4_096;

// stun

/// Outcomes that a STUN client may owe or hold: transactions and rounds under way, and events not yet taken. Eight rounds
/// of sixteen servers; a probe for which there is no room asks fewer.
pub const STUN_OUTCOMES: usize = 128;

/// STUN servers of which health and round-trip time are remembered. Nobody configures more than a handful; redirections
/// can add some.
pub const STUN_SERVERS: usize = 32;

// peer: what one link may hold. It takes some 50 kB while idle, 100 kB after it was busy, and 2 MB at most.

/// Sockets that a link uses: two address families, and room for a machine with a few addresses bound one by one.
pub const LINK_SOCKETS: usize = 8;

/// Addresses of the other end that a link is told of. A record holds ten, and a knock may show one or two more.
pub const LINK_REMOTES: usize = 12;

/// Addresses of the other end altogether, with those that showed themselves as the source of a proven check. A NAT that
/// changes its mapping adds one each time; after so many changes a new link is due.
pub const LINK_SOURCES: usize = 32;

/// Fresh checks on a hint of life, over the life of a link: str0m remembers every candidate it ever had.
pub const LINK_KICKS: u16 = 96;

/// Bytes a channel of a link accepts and has not seen acknowledged: control, log, bulk. Enough for a round trip of
/// 100 ms at 20 Mbit/s; a frame waits behind everything accepted before it, so more would make chat wait for files.
pub const LINK_SEND_BUFFER: [usize; 3] = [64 * 1024, 64 * 1024, 256 * 1024];

/// Bytes received that the composer has not taken from a link. Beyond it datagrams are dropped, as a full socket buffer
/// would, and SCTP slows the sender down. SCTP itself holds up to 1 MiB more.
pub const LINK_BACKLOG: usize = 512 * 1024;

// meeting

/// Transaction ids of knocks answered that a node remembers, to tell replays. Members who are alone knock every half
/// second at first; this is an hour of a busy meeting. Who knows the code can push it out, and gains a sealed record.
pub const KNOCKS_SEEN: usize = 2_048;

/// Answers to knocks kept for retransmissions, of 600 bytes each. A retransmission comes within seconds.
pub const KNOCK_ANSWERS: usize = 128;

/// Addresses that one meeting remembers having heard of. A meeting of 50 with a day of restarts behind it leaves about
/// as many; the longest quiet is forgotten first.
pub const DOORS: usize = 256;

/// Devices known in one meeting: ten times the largest meeting that a full mesh carries, so that a member who makes up
/// devices cannot fill memory.
pub const ROSTER: usize = 512;

// node

/// Events and requests that may wait for the shell. While more wait, datagrams are dropped unread and counted: a network
/// would drop them too, and their senders repeat what matters.
pub const EVENTS: usize = 4_096;

/// Links that are being formed at once on this node's own initiative; more only when the other end already tries.
/// At about ten checks a second for each address pair this keeps a forming node within 200 packets a second.
pub const FORMING: usize = 8;

/// Links in all: every other member of the largest meeting that a full mesh carries, with room for a second.
pub const LINKS: usize = 256;

/// Bytes of the log channel kept for a link whose HELLO has not arrived yet: the two channels are not ordered among
/// each other, so under loss the log can overtake the HELLO by a round trip or two. Twice what a sender has under way.
pub const EARLY_BYTES: usize = 128 * 1024;

/// Devices that one member may be the first to tell of, over one link: everyone of the largest meeting, and those who
/// have left it. Anyone with the code can make devices up.
pub const INTRODUCTIONS: usize = 128;

/// Meetings joined at once, and logs kept of meetings that were left: each announces up to three topics, and the DHT node
/// keeps [`DHT_TOPICS`].
pub const MEETINGS: usize = 20;

/// Addresses at which we met ourselves: one for each public address and each loop of the network.
pub const OWN_ADDRESSES: usize = 16;

// dht: together some 12 MB when every one of them is reached; a node at rest needs far below 1 MB.

/// Events of the DHT that may wait. While this many do, its datagrams are dropped: the owner does not read them anyway.
pub const DHT_EVENTS: usize = 1_024;

/// Questions of the DHT that may be without an answer. A lookup has 6 under way; this is room for 40 lookups.
pub const DHT_IN_FLIGHT: usize = 256;

/// Questions of the DHT that were given up and may still be answered: those of two lookups in which everybody is silent, or
/// of five seconds of asking as much as the pace allows where a quarter is dead.
pub const DHT_GIVEN_UP: usize = 64;

/// Lookups that may be under way at once: every topic and every item in both address families, and upkeep.
pub const DHT_LOOKUPS: usize = 2 * DHT_TOPICS + 2 * DHT_ERRANDS + 2 * DHT_SEARCHES + 8;

/// Topics that one node keeps announced: 20 meetings with the topics of three days each.
pub const DHT_TOPICS: usize = 64;

/// Items that are searched or put at once.
pub const DHT_ERRANDS: usize = 32;

/// Items that are stored again every hour.
pub const DHT_KEPT_ITEMS: usize = 32;

/// Topics whose peers are searched at once without being announced.
pub const DHT_SEARCHES: usize = 32;

/// Nodes that one lookup considers, and asks. It takes some 50 questions; where a crowd surrounds the target, or many lead
/// elsewhere, up to this.
pub const DHT_CANDIDATES: usize = 200;

/// Addresses at which to enter the network: those configured, and as many again as were remembered.
pub const DHT_BOOTSTRAP: usize = 128;

/// Nodes of each family that are kept for the next run: a whole table. After a week most home addresses are others', so
/// many are needed for some to answer.
pub const DHT_SAVED: usize = 200;

/// Nodes remembered that can do something beyond the BEPs, in each address family: enough to find a relay among.
pub const DHT_CAPABLE: usize = 64;

/// Nodes met by their question, waiting to be asked something themselves.
pub const DHT_UNVERIFIED: usize = 128;

/// Addresses that lately answered us, or announced with a valid token; only they get answers of full length.
pub const DHT_PROVEN: usize = 2_048;

/// Addresses that we lately sent a question to: a question of theirs does not prove that we are reachable.
pub const DHT_CONTACTED: usize = 2_048;

/// Addresses whose rate of questions is remembered: at most 4,000 + 2,000/s are admitted, and each is forgotten 5 s
/// after its last one, so this suffices against a flood from everywhere.
pub const DHT_RATE_SOURCES: usize = 16_384;

/// Addresses banned at once.
pub const DHT_BANS: usize = 1_024;

/// Topics that others may announce to us.
pub const DHT_STORED_TOPICS: usize = 2_000;

/// Peers stored for one topic. A reader gets 50 at most.
pub const DHT_PEERS_PER_TOPIC: usize = 200;

/// Peers stored for one topic at one address: a household.
pub const DHT_PEERS_PER_TOPIC_AND_IP: usize = 8;

/// The same for one network: with half of what an answer names, the rest of a topic's peers can be seen beside it.
pub const DHT_PEERS_PER_TOPIC_AND_NETWORK: usize = 32;

/// Peers stored of one network in all: a provider's customers behind one /24.
pub const DHT_PEERS_PER_NETWORK: usize = 256;

/// Peers stored at one address in all.
pub const DHT_PEERS_PER_IP: usize = 64;

/// Items that others may put here: with their keys some 1300 bytes each at most.
pub const DHT_STORED_ITEMS: usize = 500;

/// Items stored for one address, so that nobody fills all of it.
pub const DHT_ITEMS_PER_IP: usize = 32;

/// Items stored for one network.
pub const DHT_ITEMS_PER_NETWORK: usize = 64;

/// Networks that lately got an item without proof that they receive what we send. At most 16 do within the second after
/// which each is forgotten.
pub const DHT_GIFTS: usize = 64;

/// Peers stored in all: some 170 bytes each.
pub const DHT_STORED_PEERS: usize = 60_000;

// log: what one meeting may hold. Entries take some 9 MB at most; authors who admit all the devices they can, in all
// their logs, can make it 20 MB more.

/// Entries held in one meeting, ours and others': a busy day of a meeting of 50.
pub const LOG_ENTRIES: usize = 8_192;

/// Bytes that those entries may take: 8192 ordinary ones take about 2 MB; this leaves room for long ones.
pub const LOG_BYTES: usize = 8 * 1024 * 1024;

/// Entries that the application has not drained; beyond it nothing is taken in. A member who returns after a day
/// fetches thousands, in frames of a hundred.
pub const LOG_UNREAD: usize = 1_024;

/// Bytes of those entries.
pub const LOG_UNREAD_BYTES: usize = 2 * 1024 * 1024;

/// Messages of ours that someone has not confirmed; beyond it nothing more can be said. They are never dropped.
pub const LOG_UNDELIVERED: usize = 1_024;

/// Bytes of those messages.
pub const LOG_UNDELIVERED_BYTES: usize = 2 * 1024 * 1024;

/// Logs held in one meeting; each run of each device is one.
pub const LOGS: usize = 512;

/// Logs held of one device: runs before them are of interest to nobody who is still there.
pub const LOG_RUNS: usize = 4;

/// Logs that a linked device may speak of over the life of a link.
pub const LOGS_OF_PEER: usize = 2_048;

/// Devices that may be members' during one run, and devices that a log may admit.
pub const LOG_DEVICES: usize = 512;
