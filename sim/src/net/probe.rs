//! Asks a box what it does, by a script that a kernel can be asked with as well. The language is that of `interop/nat_probes.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::Wake;
use thiserror::Error;

use super::{Gate, Gateway, Law, LinkRules, RealmId};
use crate::engine::{Host, HostCx, HostId, World};

/// A probe that was run: its name, and its lines with ` -> ` and the answer where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The name.
    pub name: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// A line of a script that says nothing that can be done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line} of the probes, `{text}`: {what}")]
pub struct ProbeError {
    /// Which line, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// How many servers there are outside.
const SERVERS: usize = 8;
/// How long a packet may take to arrive.
const PATIENCE: Duration = Duration::from_millis(20);

/// Runs the probes of `script` against a box, each against one that has seen nothing. `prepare` may change the box before, for
/// example open a port; it is given the address of the inside host a.
///
/// # Errors
///
/// The first line that is not understood.
pub fn probe(
    seed: u64,
    gateway: Gateway,
    script: &str,
    prepare: impl Fn(&mut Gate, IpAddr),
) -> Result<Vec<Probed>, ProbeError> {
    let mut done: Vec<Probed> = Vec::new();
    let mut bench = None;
    for (line, text) in (1..).zip(script.lines().map(str::trim)) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let wrong = |what| ProbeError { line, text: text.into(), what };
        if let Some(name) = text.strip_prefix("probe ") {
            done.push(Probed { name: name.into(), lines: Vec::new() });
            bench = Some(Bench::new(seed.wrapping_add(line as u64), gateway, &prepare));
            continue;
        }
        let (Some(bench), Some(probed)) = (&mut bench, done.last_mut()) else {
            return Err(wrong("it comes before the first `probe NAME`"));
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        probed.lines.push(match bench.line(&words).map_err(wrong)? {
            Some(answer) => format!("{text} -> {answer}"),
            None => text.into(),
        });
    }
    Ok(done)
}

/// Two hosts behind a box, and servers outside.
struct Bench {
    world: World,
    inside: [HostId; 2],
    servers: Vec<HostId>,
    sent: u64,
    /// Where those that were given a name were seen.
    names: BTreeMap<String, Option<SocketAddr>>,
    /// External ports and addresses in the order in which they were first seen.
    ports: Vec<u16>,
    addresses: Vec<IpAddr>,
}

/// Remembers what came last.
#[derive(Default)]
struct Ear {
    last: Option<(u64, SocketAddr, SocketAddr)>,
}

/// A datagram that arrived.
struct Arrival {
    at: SocketAddr,
    from: SocketAddr,
}

type Answer = Result<Option<String>, &'static str>;

impl Bench {
    fn new(seed: u64, gateway: Gateway, prepare: &impl Fn(&mut Gate, IpAddr)) -> Self {
        let mut world = World::new(seed);
        let link = LinkRules::both(Law::delay(1));
        let (id, lan) = world.add_box(RealmId::INTERNET, gateway, LinkRules::default());
        let inside = ["a", "b"].map(|name| world.add_host(name, lan, link));
        let servers: Vec<_> =
            (0..SERVERS).map(|n| world.add_host(format!("s{n}"), RealmId::INTERNET, link)).collect();
        inside.iter().chain(&servers).for_each(|host| world.start(*host, Ear::default()));
        let a = world.addrs(inside[0]).first().copied();
        if let Some((gate, a)) = world.network().gate(id).zip(a) {
            prepare(gate, a);
        }
        let (names, ports, addresses) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { world, inside, servers, sent: 0, names, ports, addresses }
    }

    fn line(&mut self, words: &[&str]) -> Answer {
        match words {
            ["wait", ms] => {
                let ms = ms.parse().map_err(|_| "it wants a number of milliseconds")?;
                self.world.run_for(Duration::from_millis(ms));
                Ok(None)
            }
            ["send", from, to, rest @ ..] => {
                let (from, to) = (self.place(from)?, self.place(to)?);
                let seen = self.send(from, to);
                match rest {
                    [] => {}
                    ["as", name] => drop(self.names.insert((*name).into(), seen)),
                    _ => return Err("after the server comes nothing, or `as NAME`"),
                }
                Ok(Some(self.word(seen, from.1)))
            }
            ["back", server, name] => {
                let server = self.place(server)?;
                let heard = self.named(name)?.and_then(|external| self.deliver(server, external));
                Ok(Some(heard.map_or("-".into(), |arrival| self.who(arrival.at))))
            }
            ["hairpin", from, name] => {
                let from = self.place(from)?;
                let heard = self.named(name)?.and_then(|external| self.deliver(from, external));
                let own = SocketAddr::new(self.address(from.0)?, from.1);
                let word = heard.map_or("-", |arrival| match arrival.from == own {
                    true => "from inside",
                    false => "from outside",
                });
                Ok(Some(word.into()))
            }
            ["many", from, to, count] => {
                let (from, to) = (self.place(from)?, self.place(to)?);
                let seen: Vec<_> = (0..number(count)?).map(|n| self.send(from, (to.0, to.1 + n))).collect();
                Ok(Some(in_common(&seen.iter().map(|it| it.map(|it| it.port())).collect::<Vec<_>>(), from.1)))
            }
            ["fill", from, to, count] => {
                let (from, to, count) = (self.place(from)?, self.place(to)?, number(count)?);
                let passed = (0..count).filter(|n| self.send((from.0, from.1 + n), to).is_some()).count();
                Ok(Some(format!("{passed} of {count} pass")))
            }
            [verb @ ("hosts" | "spread"), from, count] => {
                let (from, count) = (self.place(from)?, number(count)?.min(SERVERS as u16));
                let step = u16::from(*verb == "spread");
                let servers: Vec<_> = self.servers[..usize::from(count)].to_vec();
                let seen =
                    (0..).zip(servers).map(|(n, to)| self.send((from.0, from.1 + n * step), (to, 100)));
                let seen: BTreeSet<_> = seen.map(|it| it.map(|it| it.ip())).collect();
                Ok(Some(if seen.len() == 1 { "one address" } else { "several addresses" }.into()))
            }
            _ => Err("there is no such verb, or it has not these words"),
        }
    }

    fn named(&self, name: &str) -> Result<Option<SocketAddr>, &'static str> {
        self.names.get(name).copied().ok_or("no `send` has given that name")
    }

    /// `a:5000`, `s2:100`.
    fn place(&self, text: &str) -> Result<(HostId, u16), &'static str> {
        let (host, port) = text.split_once(':').ok_or("it wants HOST:PORT")?;
        let port = port.parse().map_err(|_| "that is no port")?;
        let server = || host.strip_prefix('s')?.parse::<usize>().ok()?.checked_sub(1);
        let host = match host {
            "a" => Some(self.inside[0]),
            "b" => Some(self.inside[1]),
            _ => server().and_then(|n| self.servers.get(n).copied()),
        };
        Ok((host.ok_or("hosts are a and b, and s1 to s8")?, port))
    }

    fn address(&self, host: HostId) -> Result<IpAddr, &'static str> {
        self.world.addrs(host).first().copied().ok_or("that host has no address behind this box")
    }

    fn send(&mut self, from: (HostId, u16), to: (HostId, u16)) -> Option<SocketAddr> {
        let ip = self.address(to.0).ok()?;
        self.deliver(from, SocketAddr::new(ip, to.1)).map(|arrival| arrival.from)
    }

    /// Sends one datagram, and tells where it came to.
    fn deliver(&mut self, from: (HostId, u16), to: SocketAddr) -> Option<Arrival> {
        self.sent += 1;
        let number = self.sent;
        let from = (from.0, SocketAddr::new(self.address(from.0).ok()?, from.1));
        self.world.with::<Ear, _>(from.0, |_, cx| cx.send(from.1, to, number.to_be_bytes().to_vec()));
        self.world.run_for(PATIENCE);
        let hosts = self.inside.iter().chain(&self.servers);
        let lasts = hosts.filter_map(|host| self.world.program::<Ear>(*host)?.last);
        lasts.filter(|(got, ..)| *got == number).map(|(_, at, from)| Arrival { at, from }).next()
    }

    fn who(&self, at: SocketAddr) -> String {
        let names = self.inside.iter().zip(["a", "b"]);
        let name = names
            .filter(|(host, _)| self.world.addrs(**host).contains(&at.ip()))
            .map(|(_, name)| name)
            .next();
        format!("{}:{}", name.unwrap_or("?"), at.port())
    }

    /// An external endpoint in words that do not depend on chance.
    fn word(&mut self, seen: Option<SocketAddr>, inside: u16) -> String {
        let Some(seen) = seen else { return "-".into() };
        let address = place_of(&mut self.addresses, seen.ip());
        if seen.port() == inside {
            return format!("x{address}:=");
        }
        format!("x{address}:p{}", place_of(&mut self.ports, seen.port()))
    }
}

impl Host for Ear {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, _: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if let Ok(number) = bytes.try_into() {
            self.last = Some((u64::from_be_bytes(number), to, from));
        }
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

fn number(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|n| (1..=100).contains(n)).ok_or("it wants a number from 1 to 100")
}

/// Where `it` stands in the list, from 1; at the end if it was not in there.
fn place_of<T: PartialEq>(list: &mut Vec<T>, it: T) -> usize {
    let at = list.iter().position(|known| *known == it).unwrap_or(list.len());
    if at == list.len() {
        list.push(it);
    }
    at + 1
}

/// What the external ports of one internal port have in common.
fn in_common(seen: &[Option<u16>], inside: u16) -> String {
    let ports: Vec<u16> = seen.iter().flatten().copied().collect();
    let distinct: BTreeSet<_> = ports.iter().collect();
    let steps: BTreeSet<_> = ports.windows(2).map(|pair| i32::from(pair[1]) - i32::from(pair[0])).collect();
    if ports.len() < seen.len() {
        return format!("{} of {} pass", ports.len(), seen.len());
    }
    match (distinct.len(), steps.iter().next()) {
        (1, _) if ports[0] == inside => "all kept".into(),
        (1, _) => "all the same, another".into(),
        (_, Some(step)) if steps.len() == 1 => format!("in steps of {step}"),
        (n, _) if n == ports.len() => "all different, scattered".into(),
        _ => "some the same".into(),
    }
}
