//! Events as JSON, one object a line.

use folkmoot::{
    AddressSource, DisconnectReason, Event, Folkmoot, MemberState, MemberView, Path, Stage, Time,
};
use serde::Serialize;
use serde_json::Value;

use crate::pending::Said;

/// The version of the format: it grows when something changes that a reader could trip over.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct Line<F> {
    v: u8,
    event: &'static str,
    ms: u64,
    #[serde(flatten)]
    fields: F,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Fields {
    Started { device: String, member: String, bind: Vec<String> },
    Serving { bind: Vec<String> },
    Status { stage: &'static str, detail: String },
    Address { public: String, source: &'static str },
    Joined { topic: String },
    Connected { member: String, name: String, path: &'static str, ms_since_join: u64 },
    Disconnected { member: String, reason: &'static str },
    Message { from: String, name: String, seq: u64, text: String, history: bool },
    Sent { id: Value, seq: u64 },
    Delivered { seq: u64, to: String },
    Peers { peers: Vec<Peer> },
    Error { stage: &'static str, message: String, hint: String },
}

#[derive(Serialize)]
struct Peer {
    member: String,
    device: String,
    name: String,
    state: &'static str,
    path: Option<&'static str>,
    rtt_ms: Option<f64>,
    last_seen_ms: Option<u64>,
}

/// The node runs.
pub(crate) fn started(ms: u64, node: &Folkmoot) -> String {
    let bind = strings(node.bound());
    line(
        "started",
        ms,
        Fields::Started { device: node.device().to_string(), member: node.member().to_string(), bind },
    )
}

/// A DHT node runs.
pub(crate) fn serving(ms: u64, bound: &[std::net::SocketAddr]) -> String {
    line("started", ms, Fields::Serving { bind: strings(bound) })
}

/// What is going on.
pub(crate) fn status(ms: u64, at: Stage, detail: String) -> String {
    line("status", ms, Fields::Status { stage: stage(at), detail })
}

/// Something does not work.
pub(crate) fn error(ms: u64, at: Stage, message: String, hint: &str) -> String {
    line("error", ms, Fields::Error { stage: stage(at), message, hint: hint.into() })
}

/// Who is there. `start_ms` is how long after our start the node's clock began.
pub(crate) fn peers(ms: u64, start_ms: u64, members: &[MemberView]) -> String {
    let since_start = |time: Time| start_ms + time.as_millis();
    let peer = |view: &MemberView| Peer {
        member: view.member.to_string(),
        device: view.device.to_string(),
        name: view.name.clone(),
        state: match view.state {
            MemberState::Connecting => "connecting",
            MemberState::Connected => "connected",
            MemberState::Away => "away",
        },
        path: view.path.map(path),
        rtt_ms: view.rtt.map(|rtt| (rtt.as_secs_f64() * 1e6).round() / 1e3),
        last_seen_ms: view.last_seen.map(since_start),
    };
    line("peers", ms, Fields::Peers { peers: members.iter().map(peer).collect() })
}

/// What a node told us; `said` is what belongs to an [`Event::Sent`]. `None` if the format has nothing for it.
pub(crate) fn event(ms: u64, event: &Event, said: &Said) -> Option<String> {
    let (kind, fields) = match event {
        Event::Status { progress, .. } => return Some(status(ms, progress.stage(), progress.to_string())),
        Event::Trouble { trouble, .. } => {
            return Some(error(ms, trouble.stage(), trouble.to_string(), trouble.hint()));
        }
        Event::Address { public, source } => {
            let source = match source {
                AddressSource::Stun(_) => "stun",
                AddressSource::Dht => "dht",
            };
            ("address", Fields::Address { public: public.to_string(), source })
        }
        Event::Joined { topic, .. } => ("joined", Fields::Joined { topic: topic.to_string() }),
        Event::Connected { member, name, path: by, since_join, .. } => {
            let ms_since_join = u64::try_from(since_join.as_millis()).unwrap_or(u64::MAX);
            let (member, name, path) = (member.to_string(), name.clone(), path(*by));
            ("connected", Fields::Connected { member, name, path, ms_since_join })
        }
        Event::Disconnected { member, reason, .. } => (
            "disconnected",
            Fields::Disconnected { member: member.to_string(), reason: self::reason(*reason) },
        ),
        Event::Message { from, name, seq, text, history, .. } => {
            let (from, name, text) = (from.to_string(), name.clone(), text.clone());
            ("message", Fields::Message { from, name, seq: *seq, text, history: *history })
        }
        Event::Sent { seq, .. } => ("sent", Fields::Sent { id: said.id.clone(), seq: *seq }),
        Event::Delivered { seq, to, .. } => {
            ("delivered", Fields::Delivered { seq: *seq, to: to.to_string() })
        }
        Event::Left { .. } => return None,
    };
    Some(line(kind, ms, fields))
}

/// Any event, with these fields.
pub(crate) fn line(event: &'static str, ms: u64, fields: impl Serialize) -> String {
    // Only maps with keys that are no strings can fail, and there is none.
    serde_json::to_string(&Line { v: VERSION, event, ms, fields }).unwrap_or_default()
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}

pub(crate) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Code => "code",
        Stage::Bootstrap => "bootstrap",
        Stage::Announce => "announce",
        Stage::Knock => "knock",
        Stage::Candidates => "candidates",
        Stage::Checks => "checks",
        Stage::Dtls => "dtls",
        Stage::Hello => "hello",
        Stage::Io => "io",
    }
}

pub(crate) fn path(path: Path) -> &'static str {
    match path {
        Path::Lan => "lan",
        Path::V4 => "v4",
        Path::V6 => "v6",
        Path::Mapped => "mapped",
        Path::Predicted => "predicted",
        Path::Relay => "relay",
    }
}

fn reason(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::Left => "left",
        DisconnectReason::Silent => "silent",
        DisconnectReason::Restarted => "restarted",
        DisconnectReason::Closed => "closed",
        DisconnectReason::Misbehaved => "misbehaved",
        DisconnectReason::Ours => "ours",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use folkmoot::{DeviceId, InfoHash, MeetingHandle, MemberId, Progress, Tag, Trouble, UnixTime};

    use super::*;

    const M: MeetingHandle = MeetingHandle(0);

    fn shown(event: &Event) -> String {
        let said = Said { id: serde_json::json!("a1"), text: "hello".into() };
        super::event(1234, event, &said).unwrap_or_default()
    }

    /// 64 digits, written short.
    fn hex(byte: &str) -> String {
        byte.repeat(32)
    }

    #[test]
    fn every_event() {
        let (member, device) = (MemberId([0xab; 32]), DeviceId([0xcd; 32]));
        let name = "Ada \"A\"".to_owned();
        let cases = [
            (
                Event::Status { meeting: None, progress: Progress::Bootstrapped { nodes: 8 } },
                r#"{"v":1,"event":"status","ms":1234,"stage":"bootstrap","detail":"in the DHT with 8 nodes"}"#.into(),
            ),
            (
                Event::Address {
                    public: "[2001:db8::1]:9".parse().unwrap(),
                    source: AddressSource::Stun(([192, 0, 2, 1], 3478).into()),
                },
                r#"{"v":1,"event":"address","ms":1234,"public":"[2001:db8::1]:9","source":"stun"}"#.into(),
            ),
            (
                Event::Joined { meeting: M, topic: InfoHash([0x0f; 20]) },
                format!(r#"{{"v":1,"event":"joined","ms":1234,"topic":"{}"}}"#, "0f".repeat(20)),
            ),
            (
                Event::Connected {
                    meeting: M,
                    member,
                    device,
                    name: name.clone(),
                    path: Path::Lan,
                    since_join: Duration::from_micros(456_789),
                },
                format!(
                    r#"{{"v":1,"event":"connected","ms":1234,"member":"{}","name":"Ada \"A\"","path":"lan","ms_since_join":456}}"#,
                    hex("ab")
                ),
            ),
            (
                Event::Disconnected { meeting: M, member, device, reason: DisconnectReason::Silent },
                format!(r#"{{"v":1,"event":"disconnected","ms":1234,"member":"{}","reason":"silent"}}"#, hex("ab")),
            ),
            (
                Event::Message {
                    meeting: M,
                    from: member,
                    device,
                    name,
                    seq: 3,
                    at: UnixTime::from_millis(5),
                    text: "a\n\u{1b}[1mé".into(),
                    history: true,
                },
                format!(
                    r#"{{"v":1,"event":"message","ms":1234,"from":"{}","name":"Ada \"A\"","seq":3,"text":"a\n\u001b[1mé","history":true}}"#,
                    hex("ab")
                ),
            ),
            (
                Event::Sent { meeting: M, tag: Tag(9), seq: 4 },
                r#"{"v":1,"event":"sent","ms":1234,"id":"a1","seq":4}"#.into(),
            ),
            (
                Event::Delivered { meeting: M, seq: 4, to: member },
                format!(r#"{{"v":1,"event":"delivered","ms":1234,"seq":4,"to":"{}"}}"#, hex("ab")),
            ),
            (
                Event::Trouble { meeting: Some(M), trouble: Trouble::NoBootstrap },
                r#"{"v":1,"event":"error","ms":1234,"stage":"bootstrap","message":"no way into the DHT is configured","hint":"give one with --bootstrap HOST:PORT"}"#.into(),
            ),
            (Event::Left { meeting: M }, String::new()),
        ];
        for (event, expected) in cases {
            assert_eq!(shown(&event), expected);
        }
    }

    #[test]
    fn peers_and_the_rest() {
        let view = MemberView {
            member: MemberId([1; 32]),
            device: DeviceId([2; 32]),
            name: "bea".into(),
            state: MemberState::Connected,
            path: Some(Path::V4),
            rtt: Some(Duration::from_micros(12_345)),
            last_seen: Some(Time::from_millis(900)),
        };
        let away =
            MemberView { state: MemberState::Away, path: None, rtt: None, last_seen: None, ..view.clone() };
        let (m, d) = (hex("01"), hex("02"));
        assert_eq!(
            peers(1234, 50, &[view, away]),
            format!(
                r#"{{"v":1,"event":"peers","ms":1234,"peers":[{{"member":"{m}","device":"{d}","name":"bea","state":"connected","path":"v4","rtt_ms":12.345,"last_seen_ms":950}},{{"member":"{m}","device":"{d}","name":"bea","state":"away","path":null,"rtt_ms":null,"last_seen_ms":null}}]}}"#
            )
        );
        assert_eq!(
            serving(1, &[([127, 0, 0, 1], 6881).into()]),
            r#"{"v":1,"event":"started","ms":1,"bind":["127.0.0.1:6881"]}"#
        );
        assert_eq!(
            error(1, Stage::Io, "it broke".into(), "mend it"),
            r#"{"v":1,"event":"error","ms":1,"stage":"io","message":"it broke","hint":"mend it"}"#
        );
    }
}
