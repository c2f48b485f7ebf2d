//! `moot dht ping`, `lookup` and `announce`.

use std::net::SocketAddr;
use std::time::Instant;

use folkmoot::core::dht::Headcount;
use folkmoot::{Code, DhtError, Error, Host, InfoHash};

use super::args::GuestOptions;
use super::guest::{self, Failure, Guest, Report};
use super::lines::{AnnouncedLine, PeerLine, PongLine, ScrapeLine, SoughtLine, ms, software};
use crate::exit::Exit;

pub(super) fn ping(host: &Host, options: &GuestOptions, started: Instant) -> Exit {
    guest::run_alone(options, started, async |guest| {
        let mut silent = None;
        for addr in resolve(host).await? {
            match guest.must(InfoHash::default(), guest.dht.ping(addr)).await {
                Ok(pong) => {
                    let version = pong.version.map_or_else(|| "unnamed".into(), |v| software(&v));
                    let text = format!(
                        "{addr} is there: {:.1} ms, software {version}, id {}",
                        ms(pong.rtt),
                        pong.id
                    );
                    guest.report.result("pong", PongLine::new(addr, &pong), text)?;
                    if let Some(observed) = pong.observed {
                        guest.report.note(format_args!("it sees this machine at {observed}"));
                    }
                    return Ok(Exit::Success);
                }
                Err(failure) => silent = Some(failure),
            }
        }
        Err(silent.unwrap_or_else(|| DhtError::Unresolved(vec![host.to_string()]).into()))
    })
}

async fn resolve(host: &Host) -> Result<Vec<SocketAddr>, Failure> {
    match host {
        Host::Addr(addr) => Ok(vec![*addr]),
        Host::Name(name, port) => smol::net::resolve((name.as_str(), *port))
            .await
            .map_err(|_| DhtError::Unresolved(vec![name.clone()]).into()),
    }
}

pub(super) fn lookup(
    topic: Option<InfoHash>,
    (code, weak_code): (Option<&str>, bool),
    scrape: bool,
    options: &GuestOptions,
    started: Instant,
) -> Exit {
    let code =
        match code.map(|code| if weak_code { Code::new_weak(code) } else { Code::new(code) }).transpose() {
            Ok(code) => code,
            Err(error) => return Report::new(options, started).fail(&Error::from(error).into()),
        };
    guest::run(options, started, async |guest| {
        let topic = match &code {
            Some(code) => {
                let topic = folkmoot::todays_topic(code).await?;
                guest.report.note(format_args!("the topic of today is {topic}"));
                topic
            }
            None => topic.unwrap_or_default(),
        };
        find(guest, topic, scrape).await
    })
}

async fn find(guest: &Guest, topic: InfoHash, scrape: bool) -> Result<Exit, Failure> {
    let mut search = match scrape {
        true => guest.dht.count_peers(topic).await?,
        false => guest.dht.find_peers(topic).await?,
    };
    let mut peers = 0;
    let listed = async {
        while let Some(peer) = search.next().await {
            peers += 1;
            guest.report.result("peer", PeerLine { addr: peer.to_string() }, peer)?;
        }
        Ok::<(), Failure>(())
    };
    let in_time = guest.in_time(topic, listed).await.transpose()?.is_some();
    let (answered, count) = (search.answered(), search.count());
    if guest.report.is_json() {
        let scrape = count.map(|Headcount { seeds, others, nodes }| ScrapeLine { seeds, others, nodes });
        let sought = SoughtLine { topic: topic.to_string(), peers, answered, scrape };
        guest.report.result("sought", sought, "")?;
    }
    match count {
        Some(Headcount { nodes: 0, .. }) => guest.report.note("no node told how many there are"),
        Some(Headcount { seeds, others, nodes }) => guest.report.note(format_args!(
            "about {} announced it, {seeds} of them with all there is of it, say {nodes} nodes",
            seeds + others
        )),
        None => {}
    }
    let nodes = answered.map_or_else(String::new, |answered| format!(" {answered} nodes answered."));
    match (peers, in_time) {
        (0, true) if answered == Some(0) => Err(Failure::nobody(
            "no node answered",
            "try again; if it goes on, check whether a firewall blocks UDP",
        )),
        (0, true) => Err(Failure::nothing(
            format!("no peer of {topic} was found.{nodes}"),
            "nobody announced it within the last half hour, or it is another topic",
        )),
        (0, false) => Err(Failure::nothing("time is up, and no peer was found", "allow more with --timeout")),
        _ => {
            let end = if in_time { "" } else { " Time is up; there may be more." };
            let found = if peers == 1 { "1 peer".into() } else { format!("{peers} peers") };
            guest.report.note(format_args!("{found} in {:.1} s.{nodes}{end}", guest.report.seconds()));
            Ok(Exit::Success)
        }
    }
}

pub(super) fn announce(topic: InfoHash, port: u16, options: &GuestOptions, started: Instant) -> Exit {
    guest::run(options, started, async |guest| {
        let nodes = guest.must(topic, guest.dht.announce(topic, port)).await?;
        let announced = AnnouncedLine { topic: topic.to_string(), port, nodes };
        let s = if nodes == 1 { "" } else { "s" };
        guest.report.result(
            "announced",
            announced,
            format_args!("{nodes} node{s} took port {port} for {topic}"),
        )?;
        guest.report.note("they forget it after half an hour or so; announce it again before");
        Ok(Exit::Success)
    })
}
