//! What the verbs of `moot dht` print with `--json`: the fields of each event.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use folkmoot::core::dht::{Counters, Health, Item, Known, Reason, Size, Stats};
use folkmoot::{InfoHash, Pong};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct PongLine {
    addr: String,
    id: String,
    rtt_ms: f64,
    version: Option<String>,
    observed: Option<String>,
}

impl PongLine {
    pub(super) fn new(addr: SocketAddr, pong: &Pong) -> Self {
        Self {
            addr: addr.to_string(),
            id: pong.id.to_string(),
            rtt_ms: ms(pong.rtt),
            version: pong.version.map(|version| software(&version)),
            observed: pong.observed.map(|addr| addr.to_string()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct PeerLine {
    pub(super) addr: String,
}

#[derive(Serialize)]
pub(super) struct SoughtLine {
    pub(super) topic: String,
    pub(super) peers: usize,
    pub(super) answered: Option<usize>,
    /// If it was asked for and the search ended in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scrape: Option<ScrapeLine>,
}

#[derive(Serialize)]
pub(super) struct ScrapeLine {
    pub(super) seeds: u64,
    pub(super) others: u64,
    pub(super) nodes: usize,
}

#[derive(Serialize)]
pub(super) struct AnnouncedLine {
    pub(super) topic: String,
    pub(super) port: u16,
    pub(super) nodes: usize,
}

/// An item; `null` where it has none of it. `value` is `null` where it is no text.
#[derive(Serialize)]
pub(super) struct ItemLine {
    target: String,
    value: Option<String>,
    value_hex: String,
    key: Option<String>,
    salt: Option<String>,
    seq: Option<i64>,
    signature: Option<String>,
}

impl ItemLine {
    pub(super) fn new(item: &Item) -> Self {
        let mutable = match item {
            Item::Immutable(_) => None,
            Item::Mutable(item) => Some(item),
        };
        let value = value(item);
        Self {
            target: item.target().to_string(),
            value: std::str::from_utf8(value).ok().map(str::to_owned),
            value_hex: hex(value),
            key: mutable.map(|item| hex(item.key())),
            salt: mutable.map(|item| String::from_utf8_lossy(item.salt().as_bytes()).into_owned()),
            seq: item.seq(),
            signature: mutable.map(|item| hex(item.signature())),
        }
    }
}

#[derive(Serialize)]
pub(super) struct StoredLine {
    pub(super) target: String,
    pub(super) nodes: usize,
    pub(super) key: Option<String>,
    pub(super) seq: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct KeyLine {
    pub(super) file: String,
    pub(super) public_key: String,
}

#[derive(Serialize)]
pub(super) struct HealthLine {
    health: String,
    reasons: Vec<&'static str>,
}

impl HealthLine {
    pub(super) fn new(health: Health) -> Self {
        Self { health: health.level.to_string(), reasons: health.reasons.iter().map(Reason::name).collect() }
    }
}

#[derive(Serialize)]
pub(super) struct StatsLine {
    #[serde(flatten)]
    health: HealthLine,
    nodes_v4: usize,
    nodes_v6: usize,
    observed: Vec<String>,
    sent: u64,
    responses: u64,
    errors: u64,
    timeouts: u64,
    in_flight: usize,
    queries: u64,
    dropped: u64,
    /// How many of them for which reason; only what there was.
    dropped_by: BTreeMap<&'static str, u64>,
    size_v4: Option<SizeLine>,
    size_v6: Option<SizeLine>,
}

/// How many nodes a network has, by estimate, and the estimate's standard error.
#[derive(Serialize)]
struct SizeLine {
    nodes: u64,
    error: u64,
}

impl SizeLine {
    fn new(Size { nodes, error }: Size) -> Self {
        Self { nodes, error }
    }
}

impl StatsLine {
    pub(super) fn new(stats: &Stats, observed: &[SocketAddr]) -> Self {
        let Counters { sent, responses, errors, timeouts, queries, .. } = stats.counters;
        let dropped_by: BTreeMap<_, _> =
            dropped(&stats.counters).into_iter().map(|(why, _, count)| (why, count)).collect();
        Self {
            health: HealthLine::new(stats.health),
            nodes_v4: stats.nodes_v4,
            nodes_v6: stats.nodes_v6,
            observed: observed.iter().map(ToString::to_string).collect(),
            sent,
            responses,
            errors,
            timeouts,
            in_flight: stats.in_flight,
            queries,
            dropped: dropped_by.values().sum(),
            dropped_by,
            size_v4: stats.size_v4.map(SizeLine::new),
            size_v6: stats.size_v6.map(SizeLine::new),
        }
    }
}

#[derive(Serialize)]
pub(super) struct NodeLine {
    id: String,
    addr: String,
    bucket: usize,
    rtt_ms: f64,
    quiet_ms: u64,
    failures: u8,
}

impl NodeLine {
    pub(super) fn new(known: &Known) -> Self {
        Self {
            id: known.contact.id.to_string(),
            addr: known.contact.addr.to_string(),
            bucket: known.bucket,
            rtt_ms: ms(known.rtt),
            quiet_ms: u64::try_from(known.quiet.as_millis()).unwrap_or(u64::MAX),
            failures: known.failures,
        }
    }
}

#[derive(Serialize)]
pub(super) struct TableLine {
    pub(super) nodes: usize,
}

/// What was dropped, by reason, for machines and for people; only what was.
pub(super) fn dropped(counters: &Counters) -> Vec<(&'static str, &'static str, u64)> {
    let all = [
        ("malformed", "not a message", counters.dropped_malformed),
        ("address", "from an impossible address", counters.dropped_address),
        ("own", "from ourselves", counters.dropped_own),
        ("unknown_tid", "an answer to nothing", counters.dropped_unknown_tid),
        ("wrong_source", "an answer from elsewhere", counters.dropped_wrong_source),
        ("banned", "banned", counters.dropped_banned),
        ("rate_ip", "too much of one address", counters.dropped_rate_ip),
        ("rate_prefix", "too much of one network", counters.dropped_rate_prefix),
        ("rate_global", "too much in all", counters.dropped_rate_global),
        ("read_only", "asked while we only ask", counters.dropped_read_only),
        ("socket", "to a closed socket", counters.dropped_socket),
        ("undrained", "not taken in time", counters.dropped_undrained),
    ];
    all.into_iter().filter(|(.., count)| *count > 0).collect()
}

/// The value's bytes; of one that is no byte string, its bencoding.
pub(super) fn value(item: &Item) -> &[u8] {
    item.value().as_bytes().unwrap_or(item.value().as_bencoded())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two letters and two bytes of version, by convention: `LT 2.1`; else in hexadecimal.
pub(super) fn software(version: &[u8; 4]) -> String {
    match version {
        [a, b, major, minor] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() => {
            format!("{}{} {major}.{minor}", char::from(*a), char::from(*b))
        }
        _ => hex(version),
    }
}

pub(super) fn ms(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

pub(super) fn stored(target: InfoHash, nodes: usize, item: &Item) -> StoredLine {
    let key = match item {
        Item::Immutable(_) => None,
        Item::Mutable(item) => Some(hex(item.key())),
    };
    StoredLine { target: target.to_string(), nodes, key, seq: item.seq() }
}
