//! Words to a scenario.

use std::str::FromStr;
use std::time::Duration;

use super::read::{Flaw, Read, Word, Words, Written, statements};
use crate::engine::Kind;
use crate::net::{
    Behavior, BoxRules, Full, Gateway, Hairpin, Law, LinkRules, Loss, NatRules, Pooling, PortRule, Rate,
    Shape, Stack,
};
use crate::scenario::Property;
use crate::scenario::script::{Act, Goal, Home, Infrastructure, Scenario, Step, Stun, Who};

/// What no scenario has more of.
mod most {
    /// Members.
    pub(super) const MEMBERS: u64 = 1_000;
    /// Nodes of the DHT.
    pub(super) const DHT: u64 = 100_000;
    /// STUN servers.
    pub(super) const STUN: usize = 64;
    /// Addresses that a forger names.
    pub(super) const VICTIMS: u64 = 10_000;
    /// Boxes between a member and the internet.
    pub(super) const BOXES: usize = 8;
    /// Meetings: their numbers are below it.
    pub(super) const MEETINGS: u64 = 16;
}

impl Scenario {
    /// Reads a scenario from text: [`Scenario::to_text`], or the one line it prints as, or what a person wrote.
    ///
    /// # Errors
    ///
    /// The first place where the text is no scenario.
    pub fn parse(text: &str) -> Result<Written, Flaw> {
        let mut draft = Draft::default();
        for mut statement in statements(text) {
            draft.statement(&mut statement)?;
            statement.end()?;
        }
        draft.finish()
    }
}

impl FromStr for Scenario {
    type Err = Flaw;

    fn from_str(text: &str) -> Result<Self, Flaw> {
        Self::parse(text).map(|written| written.scenario)
    }
}

/// A scenario so far, with the places to complain about once all is known.
#[derive(Default)]
struct Draft<'a> {
    name: String,
    note: String,
    seed: Option<u64>,
    fails: Option<Property>,
    infrastructure: Option<Infrastructure>,
    homes: Vec<Home>,
    steps: Vec<Step>,
    goals: Vec<(Word<'a>, Goal)>,
    /// Where a member, a DHT node or a STUN server is named by number.
    named: Vec<(Word<'a>, Named)>,
}

#[derive(Clone, Copy)]
enum Named {
    Member(u16),
    /// Needs two members.
    OfPair,
    Dht(u16),
    Stun(u16),
}

impl<'a> Draft<'a> {
    fn statement(&mut self, words: &mut Words<'a>) -> Read<()> {
        let word = words.next("a statement")?;
        match word.text {
            "scenario" => self.name = words.next("a name")?.text.into(),
            "note" => self.note = words.rest(),
            "seed" => self.seed = Some(words.next("a seed")?.seed()?),
            "fails" => {
                let word = words.next("the id of a property, such as L1-connect")?;
                let ids = || Property::ALL.map(Property::id).join(", ");
                self.fails =
                    Some(Property::of(word.text).ok_or_else(|| word.not(&format!("one of {}", ids())))?);
            }
            "world" if self.infrastructure.is_none() => self.infrastructure = Some(world(words)?),
            "world" => return Err(word.flaw("there is a `world` already")),
            "member" => self.members(word, words, 1)?,
            "members" => {
                let count =
                    words.next("a number of members")?.number(most::MEMBERS, "a number of members")?;
                self.members(word, words, count as usize)?;
            }
            "goal" => self.goals.push((word, goal(words)?)),
            _ => {
                words.put_back(word);
                let step = self.step(words)?;
                self.steps.push(step);
            }
        }
        Ok(())
    }

    fn members(&mut self, word: Word<'a>, words: &mut Words<'a>, count: usize) -> Read<()> {
        let boxes = boxes(words.next("`open` or what stands before the member, such as eim+apdf")?)?;
        let stack = stack(words).unwrap_or_default();
        let link = if words.take("link") { link(words)? } else { LinkRules::both(usual()) };
        if self.homes.len() + count > most::MEMBERS as usize {
            return Err(word.flaw(format!("there are more than {} members", most::MEMBERS)));
        }
        self.homes.extend(std::iter::repeat_n(Home { boxes, link, stack }, count));
        Ok(())
    }

    fn step(&mut self, words: &mut Words<'a>) -> Read<Step> {
        let mut after = Duration::ZERO;
        if let Some(word) = words.peek().filter(|word| word.text.starts_with('+')) {
            let _ = words.next("")?;
            let time = Word { text: &word.text[1..], column: word.column + 1, ..word };
            after = time.duration()?;
        }
        let mut fault = None;
        if let Some(word) = words.peek()
            && let Some(digits) = word.text.strip_prefix("fault")
        {
            let _ = words.next("")?;
            let number = Word { text: digits, column: word.column + 5, ..word };
            fault = Some(number.number(u64::from(u16::MAX), "the number of a fault")? as u16);
        }
        Ok(Step { after, fault, act: self.act(words)? })
    }

    fn act(&mut self, words: &mut Words<'a>) -> Read<Act> {
        const EXPECTED: &str = "a statement (scenario, note, seed, fails, world, member, members, goal) or an act (start, \
                                join, say, leave, crash, suspend, resume, sever, rejoin, heal, reboot, relink, restore, \
                                dht-down, dht-up, stun-down, stun-up, settle)";
        let word = words.next("an act")?;
        Ok(match word.text {
            "start" => Act::Start(self.who(words)?),
            "join" => Act::Join(self.who(words)?, meeting(words)?),
            "say" => Act::Say(self.who(words)?, meeting(words)?),
            "leave" => Act::Leave(self.who(words)?, meeting(words)?),
            "crash" => Act::Crash(self.who(words)?),
            "suspend" => Act::Suspend(self.who(words)?),
            "resume" => Act::Resume(self.who(words)?),
            "sever" => {
                let one = self.who(words)?;
                words.keyword("from")?;
                Act::Sever(one, self.who(words)?)
            }
            "rejoin" => {
                let one = self.who(words)?;
                words.keyword("with")?;
                Act::Rejoin(one, self.who(words)?)
            }
            "heal" => Act::Heal,
            "reboot" => Act::Reboot(self.who(words)?),
            "relink" => Act::Relink(self.who(words)?, link(words)?),
            "restore" => Act::Restore(self.who(words)?),
            "dht-down" => Act::DhtDown(self.server(words, "a DHT node's number", Named::Dht)?),
            "dht-up" => Act::DhtUp(self.server(words, "a DHT node's number", Named::Dht)?),
            "stun-down" => Act::StunDown(self.server(words, "a STUN server's number", Named::Stun)?),
            "stun-up" => Act::StunUp(self.server(words, "a STUN server's number", Named::Stun)?),
            "settle" => Act::Settle(words.next("a length of time")?.duration()?),
            _ => return Err(word.not(EXPECTED)),
        })
    }

    fn who(&mut self, words: &mut Words<'a>) -> Read<Who> {
        let word = words.next("a member's number, or all")?;
        let (who, named) = match word.text {
            "all" => return Ok(Who::All),
            "smaller" => (Who::Smaller, Named::OfPair),
            "larger" => (Who::Larger, Named::OfPair),
            _ => {
                let number = word
                    .number(u64::from(u16::MAX), "a member's number, `all`, `smaller` or `larger`")?
                    as u16;
                (Who::One(number), Named::Member(number))
            }
        };
        self.named.push((word, named));
        Ok(who)
    }

    fn server(&mut self, words: &mut Words<'a>, what: &str, named: fn(u16) -> Named) -> Read<u16> {
        let word = words.next(what)?;
        let number = word.number(u64::from(u16::MAX), what)? as u16;
        self.named.push((word, named(number)));
        Ok(number)
    }

    /// What can be said only once all is read.
    fn finish(self) -> Result<Written, Flaw> {
        let Self { name, note, seed, fails, infrastructure, homes, steps, goals, named } = self;
        let infrastructure = infrastructure.unwrap_or_else(Infrastructure::usual);
        if homes.is_empty() {
            let what = "there are no members: a world without anyone cannot be run".into();
            return Err(Flaw { line: 1, column: 1, what });
        }
        for (word, named) in named {
            let (count, what, number) = match named {
                Named::Member(number) => (homes.len(), "member", number),
                Named::OfPair if homes.len() < 2 => {
                    return Err(word.flaw(format!("`{}` needs two members, and there is one", word.text)));
                }
                Named::OfPair => continue,
                Named::Dht(number) => (infrastructure.dht_nodes as usize, "DHT node", number),
                Named::Stun(number) => (infrastructure.stun.len(), "STUN server", number),
            };
            if usize::from(number) >= count {
                let what = match count {
                    0 => format!("there is no {what}"),
                    1 => format!("there is no {what} {number}: the only one is number 0"),
                    _ => format!("there is no {what} {number}: they are 0 to {}", count - 1),
                };
                return Err(word.flaw(what));
            }
        }
        let needs_two = |goal: &Goal| matches!(goal, Goal::FirstData { .. });
        if let Some((word, _)) = goals.iter().find(|(_, goal)| needs_two(goal) && homes.len() < 2) {
            return Err(word.flaw("this goal needs two members, and there is one"));
        }
        let goals = goals.into_iter().map(|(_, goal)| goal).collect();
        Ok(Written { scenario: Scenario { name, note, homes, infrastructure, steps, goals }, seed, fails })
    }
}

/// The link of a home if nothing is said of it.
fn usual() -> Law {
    Law { jitter: Duration::from_millis(4), ..Law::delay(12) }
}

fn world(words: &mut Words<'_>) -> Read<Infrastructure> {
    let mut world = Infrastructure::usual();
    while let Some(word) = words.peek() {
        let _ = words.next("")?;
        match word.text {
            "dht" => {
                let number = words.next("a number of DHT nodes")?;
                world.dht_nodes = number.number(most::DHT, "the number of DHT nodes")? as u32;
            }
            "stun" => world.stun = stun(words.next("`none`, or a list of `honest` and `dead`")?)?,
            "forged-victims" => {
                let number = words.next("a number of victims")?;
                world.forged_victims = number.number(most::VICTIMS, "the number of victims")? as u32;
            }
            "link" => world.link = link(words)?,
            _ => {
                words.put_back(word);
                let expected = "`dht`, `stun`, `forged-victims`, `ipv4`, `ipv6`, `dual` or `link`";
                world.stack = stack(words).ok_or_else(|| word.not(expected))?;
            }
        }
    }
    Ok(world)
}

/// The word for the address families a host wants, if one is there.
fn stack(words: &mut Words<'_>) -> Option<Stack> {
    let all = [("ipv4", Stack::V4), ("ipv6", Stack::V6), ("dual", Stack::Dual)];
    all.into_iter().find_map(|(word, stack)| words.take(word).then_some(stack))
}

fn stun(word: Word<'_>) -> Read<Vec<Stun>> {
    if word.text == "none" {
        return Ok(Vec::new());
    }
    let list: Vec<_> = word
        .split(',')
        .map(|word| match word.text {
            "honest" => Ok(Stun::Honest),
            "dead" => Ok(Stun::Dead),
            _ => Err(word.not("`honest` or `dead`")),
        })
        .collect::<Result<_, _>>()?;
    if list.len() > most::STUN {
        return Err(word.flaw(format!("there are more than {} STUN servers", most::STUN)));
    }
    Ok(list)
}

fn boxes(word: Word<'_>) -> Read<Vec<Gateway>> {
    if word.text == "open" {
        return Ok(Vec::new());
    }
    let list: Vec<_> = word.split('/').map(gateway).collect::<Result<_, _>>()?;
    if list.len() > most::BOXES {
        return Err(word.flaw(format!("there are more than {} boxes before a member", most::BOXES)));
    }
    Ok(list)
}

fn gateway(word: Word<'_>) -> Read<Gateway> {
    const EXPECTED: &str =
        "v6:RULES, nat64, pool:4, only:53:443, no:KIND, per-second:100 or no-fragments after an `&`";
    let mut parts = word.split('&');
    let v4 = parts.next().map_or_else(|| Err(word.not("what stands before the member")), a_box)?;
    let mut gateway = Gateway::new(v4);
    for part in parts {
        match (part.text, part.halves(':')) {
            ("nat64", _) => gateway.nat64 = true,
            ("no-fragments", _) => gateway.policy.fragments = false,
            (_, Some((Word { text: "v6", .. }, rules))) => gateway.v6 = Some(a_box(rules)?),
            (_, Some((Word { text: "pool", .. }, count))) => {
                gateway.pool = count.number(255, "the number of addresses")? as u8;
            }
            (_, Some((Word { text: "per-second", .. }, rate))) => {
                let rate = rate.number(u64::from(u32::MAX), "the number of packets a second")?;
                gateway.policy.per_second = Some(rate as u32);
            }
            (_, Some((Word { text: "no", .. }, kind))) => {
                let found = Kind::ALL.into_iter().find(|it| it.to_string() == kind.text);
                let expected = "a kind of packet: stun, dtls, channel, krpc or other";
                gateway.policy.inspects = Some(found.ok_or_else(|| kind.not(expected))?);
            }
            (_, Some((Word { text: "only", .. }, ports))) => {
                let (a, b) = ports.halves(':').ok_or_else(|| ports.not("two ports, such as 53:443"))?;
                let port = |word: Word<'_>| word.number(65_535, "a port").map(|port| port as u16);
                gateway.policy.ports = Some([port(a)?, port(b)?]);
            }
            _ => return Err(part.not(EXPECTED)),
        }
    }
    Ok(gateway)
}

fn a_box(word: Word<'_>) -> Read<BoxRules> {
    const EXPECTED: &str =
        "`open`, `firewall`, `udp-blocked` or a NAT by mapping and filtering, such as eim+apdf";
    let mut parts = word.split(',');
    let Some(kind) = parts.next() else { return Err(word.not(EXPECTED)) };
    let mut rules = match (kind.text, kind.halves('+')) {
        ("firewall", _) => BoxRules::FIREWALL,
        ("udp-blocked", _) => BoxRules::UdpBlocked,
        ("router", _) => BoxRules::Router,
        ("clat", _) => BoxRules::Clat,
        (_, Some((Word { text: "firewall", .. }, filter))) => {
            let mut rules = BoxRules::FIREWALL;
            if let BoxRules::Firewall { filtering: by, .. } = &mut rules {
                *by = filtering(filter)?;
            }
            rules
        }
        (_, Some((map, filter))) => {
            let mapping = match map.text {
                "eim" => Behavior::EndpointIndependent,
                "adm" => Behavior::AddressDependent,
                "apdm" => Behavior::AddressAndPortDependent,
                _ => return Err(map.not("a mapping: eim, adm or apdm")),
            };
            BoxRules::nat(mapping, filtering(filter)?)
        }
        (_, None) => return Err(kind.not(EXPECTED)),
    };
    for option in parts {
        let Some((key, value)) = option.halves('=') else {
            return Err(option.not("an option such as lifetime=30s"));
        };
        match &mut rules {
            BoxRules::Nat(nat) => nat_option(nat, key, value)?,
            BoxRules::Firewall { lifetime, unreplied, settles, inbound_refresh, .. } => match key.text {
                "lifetime" => *lifetime = value.duration()?,
                "unreplied" => *unreplied = value.duration()?,
                "settles" => *settles = value.duration()?,
                "refresh" => *inbound_refresh = refresh(value)?,
                _ => return Err(key.not("lifetime, unreplied, settles or refresh")),
            },
            BoxRules::UdpBlocked | BoxRules::Router | BoxRules::Clat => {
                return Err(key.flaw(format!("`{}` has no options", kind.text)));
            }
        }
    }
    Ok(rules)
}

fn filtering(word: Word<'_>) -> Read<Behavior> {
    Ok(match word.text {
        "eif" => Behavior::EndpointIndependent,
        "adf" => Behavior::AddressDependent,
        "apdf" => Behavior::AddressAndPortDependent,
        _ => return Err(word.not("a filtering: eif, adf or apdf")),
    })
}

fn nat_option(nat: &mut NatRules, key: Word<'_>, value: Word<'_>) -> Read<()> {
    match key.text {
        "ports" => {
            nat.ports = match (value.text, value.halves(':')) {
                ("preserve", _) => PortRule::Preserve,
                ("overload", _) => PortRule::Overload,
                ("per-flow", _) => PortRule::PerFlow,
                ("random", _) => PortRule::Random,
                (_, Some((Word { text: "block", .. }, size))) => {
                    PortRule::Block(size.number(65_535, "the size of a block")? as u16)
                }
                (step, _) if step.starts_with(['+', '-']) => {
                    let expected = "a step between ports, such as +1 or -2";
                    PortRule::Sequential(step.parse().map_err(|_| value.not(expected))?)
                }
                _ => {
                    let expected =
                        "`preserve`, `overload`, `per-flow`, `random`, `block:1024` or a step such as +1";
                    return Err(value.not(expected));
                }
            }
        }
        "range" => {
            let (low, high) = value.halves(':').ok_or_else(|| value.not("two ports, such as 1024:65535"))?;
            let port = |word: Word<'_>| word.number(65_535, "a port").map(|port| port as u16);
            nat.range = (port(low)?, port(high)?);
            if nat.range.0 > nat.range.1 {
                return Err(value.flaw("that range of ports is empty"));
            }
        }
        "parity" if value.text == "kept" => nat.parity = true,
        "parity" => return Err(value.not("`kept`")),
        "strangers" if value.text == "taken" => nat.strangers = true,
        "strangers" => return Err(value.not("`taken`")),
        "others" => nat.others = value.number(65_535, "the number of mappings a second")? as u16,
        "settles" => nat.settles = value.duration()?,
        "filter-age" => nat.filter_age = Some(value.duration()?),
        "per-host" => nat.per_host = Some(value.number(65_535, "the number of mappings")? as usize),
        "full" => {
            nat.full = match value.text {
                "drop" => Full::Drop,
                "evict" => Full::Evict,
                _ => return Err(value.not("`drop` or `evict`")),
            }
        }
        "new-per-second" => {
            nat.per_second = Some(value.number(1 << 31, "the number of mappings a second")? as u32);
        }
        "pooling" => {
            nat.pooling = match value.text {
                "paired" => Pooling::Paired,
                "arbitrary" => Pooling::Arbitrary,
                _ => return Err(value.not("`paired` or `arbitrary`")),
            }
        }
        "lifetime" => nat.lifetime = value.duration()?,
        "unreplied" => nat.unreplied = value.duration()?,
        "refresh" => nat.inbound_refresh = refresh(value)?,
        "hairpin" => {
            nat.hairpin = match value.text {
                "none" => Hairpin::None,
                "external" => Hairpin::External,
                "internal" => Hairpin::Internal,
                _ => return Err(value.not("`none`, `external` or `internal`")),
            }
        }
        "capacity" => nat.capacity = value.number(65_535, "the number of mappings")? as usize,
        _ => {
            let expected = "ports, range, parity, others, pooling, lifetime, unreplied, settles, filter-age, refresh, \
                            strangers, hairpin, capacity, per-host, full or new-per-second";
            return Err(key.not(expected));
        }
    }
    Ok(())
}

fn refresh(value: Word<'_>) -> Read<bool> {
    match value.text {
        "out" => Ok(false),
        "both" => Ok(true),
        _ => Err(value.not("`out` or `both`")),
    }
}

fn link(words: &mut Words<'_>) -> Read<LinkRules> {
    if words.take("up") {
        let up = law(words)?;
        words.keyword("down")?;
        return Ok(LinkRules { up, down: law(words)? });
    }
    law(words).map(LinkRules::both)
}

fn law(words: &mut Words<'_>) -> Read<Law> {
    let mut law = Law { delay: words.next("a delay such as 12ms, or `up`")?.duration()?, ..Law::PERFECT };
    while let Some(word) = words.peek() {
        let _ = words.next("")?;
        match word.text {
            "jitter" => {
                law.jitter = words.next("how much jitter")?.duration()?;
                let shapes = [("bell", Shape::Bell), ("tail", Shape::Tail)];
                let shape = shapes.into_iter().find(|(name, _)| words.take(name));
                law.shape = shape.map_or(Shape::Uniform, |(_, shape)| shape);
            }
            "loss" => law.loss = Loss::Independent(words.next("a share of packets")?.chance()?),
            "burst" => law.loss = burst(words.next("three shares, such as 0.5%/20%/60%")?)?,
            "lose" => {
                law.loss = lose(words.next("the number of a packet, such as #0, or a share such as 3/100")?)?
            }
            "corrupt" => law.corrupt = words.next("a share of packets")?.chance()?,
            "icmp" => law.icmp = true,
            "dup" => law.duplicate = words.next("a share of packets")?.chance()?,
            "reorder" => {
                law.reorder = words.next("a share of packets")?.chance()?;
                words.keyword("by")?;
                law.held = words.next("a length of time")?.duration()?;
            }
            "mtu" => {
                let number = words.next("a number of bytes")?;
                law.mtu = Some(number.number(u64::from(u16::MAX), "an MTU")? as u16);
            }
            "rate" => law.rate = Some(rate(words)?),
            _ => {
                words.put_back(word);
                break;
            }
        }
    }
    Ok(law)
}

fn lose(word: Word<'_>) -> Read<Loss> {
    const EXPECTED: &str = "the number of a packet, such as #0, or so many of so many, such as 3/100";
    if let Some((run, every)) = word.halves('/') {
        let number = |word: Word<'_>| word.number(u64::from(u32::MAX), "a number of packets");
        return Ok(Loss::Periodic { run: number(run)? as u32, every: number(every)? as u32 });
    }
    let number = word.halves('#').filter(|(before, _)| before.text.is_empty());
    let (_, number) = number.ok_or_else(|| word.not(EXPECTED))?;
    Ok(Loss::Nth(number.number(u64::MAX, "the number of a packet")?))
}

fn burst(word: Word<'_>) -> Read<Loss> {
    let shares: Vec<_> = word.split('/').collect();
    let [enter, leave, inside] = shares[..] else {
        return Err(word.not("three shares, such as 0.5%/20%/60%"));
    };
    Ok(Loss::Bursty { enter: enter.chance()?, leave: leave.chance()?, inside: inside.chance()? })
}

fn rate(words: &mut Words<'_>) -> Read<Rate> {
    let unit = |word: Word<'_>, unit: &str, expected: &str| match word.text.strip_suffix(unit) {
        Some(digits) => Word { text: digits, ..word }.number(1 << 50, expected),
        None => Err(word.not(expected)),
    };
    let bits_per_second = unit(words.next("bits a second")?, "bit/s", "a rate such as 1000000bit/s")?;
    words.keyword("queue")?;
    Ok(Rate {
        bits_per_second,
        queue: unit(words.next("bytes that may wait")?, "B", "a queue such as 16000B")?,
    })
}

fn meeting(words: &mut Words<'_>) -> Read<u8> {
    if !words.take("meeting") {
        return Ok(0);
    }
    Ok(words.next("a meeting's number")?.number(most::MEETINGS - 1, "a meeting's number")? as u8)
}

fn goal(words: &mut Words<'_>) -> Read<Goal> {
    let word = words.next("a goal")?;
    Ok(match word.text {
        "handshakes" => Goal::Handshakes(words.next("a number")?.number(u64::MAX, "a number")?),
        "victims" => {
            words.keyword("each")?;
            let each = words.next("a number of packets")?.number(u64::MAX, "a number of packets")?;
            words.keyword("total")?;
            Goal::Victims {
                each,
                total: words.next("a number of packets")?.number(u64::MAX, "a number of packets")?,
            }
        }
        "stun-warning" => Goal::StunWarning,
        "first-data" => {
            words.keyword("to-server")?;
            let to_server = words.next("a length of time")?.duration()?;
            words.keyword("to-client")?;
            Goal::FirstData { to_server, to_client: words.next("a length of time")?.duration()? }
        }
        _ => return Err(word.not("a goal: handshakes, victims, stun-warning or first-data")),
    })
}
