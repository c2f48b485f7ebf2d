//! A scenario, or a part of one, to text. Every field is named here without `..`, so that a new one cannot be forgotten.

use std::fmt;
use std::time::Duration;

use crate::engine::{Chance, Clock};
use crate::hosts::{Lie, Mischief};
use crate::net::{
    Behavior, BoxRules, Full, Gateway, Hairpin, Law, LinkRules, Loss, NatRules, Policy, Pooling, PortControl,
    PortRule, Rate, Shape, Stack,
};
use crate::scenario::script::{
    Act, Disk, Goal, Home, Hostile, Infrastructure, Place, Scenario, Site, Step, Stun, Who,
};

impl Scenario {
    /// The statements that make it, without their ends.
    fn statements(&self) -> Vec<String> {
        let Self { name, note, sites, homes, infrastructure, steps, goals } = self;
        let mut list = Vec::new();
        for (keyword, text) in [("scenario", name), ("note", note)] {
            if !text.is_empty() {
                list.push(format!("{keyword} {text}"));
            }
        }
        list.push(infrastructure.to_string());
        list.extend(sites.iter().map(Site::to_string));
        for group in homes.chunk_by(|a, b| a == b) {
            list.push(match group.len() {
                1 => format!("member {}", group[0]),
                count => format!("members {count} {}", group[0]),
            });
        }
        list.extend(steps.iter().map(Step::to_string));
        list.extend(goals.iter().map(|goal| format!("goal {goal}")));
        list
    }

    /// As text with a statement a line.
    pub fn to_text(&self) -> String {
        self.statements().into_iter().map(|statement| statement + "\n").collect()
    }
}

/// As one line.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.statements().join("; "))
    }
}

impl fmt::Display for Infrastructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dht_nodes, hostile, entries, stun, forged_victims, flood, insiders, link, stack, begins } =
            self;
        let Hostile { silent, lying, slow, walled, sybils, placed } = hostile;
        let usual = Self::usual();
        write!(f, "world dht {dht_nodes}")?;
        let hostile = [
            ("silent", silent),
            ("lying", lying),
            ("slow", slow),
            ("walled", walled),
            ("sybils", sybils),
            ("placed", placed),
        ];
        for (word, count) in hostile {
            if *count > 0 {
                write!(f, " {word} {count}")?;
            }
        }
        if *entries != usual.entries {
            write!(f, " entries {entries}")?;
        }
        f.write_str(if stun.is_empty() { " stun none" } else { " stun " })?;
        for (n, stun) in stun.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { "," }, Server(*stun))?;
        }
        if *forged_victims > 0 {
            write!(f, " forged-victims {forged_victims}")?;
        }
        if *flood > 0 {
            write!(f, " flood {flood}")?;
        }
        for (n, insider) in insiders.iter().enumerate() {
            let word =
                Mischief::ALL.iter().find(|(_, mischief)| mischief == insider).map_or("", |(word, _)| word);
            write!(f, "{}{word}", if n == 0 { " insiders " } else { "," })?;
        }
        if *stack != Stack::V4 {
            write!(f, " {}", family(*stack))?;
        }
        if *begins != usual.begins {
            let (seconds, millis) = (begins.as_secs(), begins.subsec_millis());
            write!(f, " begins {:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
            if millis > 0 {
                write!(f, ".{millis:03}")?;
            }
        }
        write!(f, " link {}", Link(link))
    }
}

/// A STUN server.
struct Server(Stun);

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Stun::Honest => f.write_str("honest"),
            Stun::Dead => f.write_str("dead"),
            Stun::Lying(Lie::Everyone(endpoint)) => write!(f, "everyone={endpoint}"),
            Stun::Lying(Lie::Port(by)) => write!(f, "port={by}"),
            Stun::Lying(Lie::Private) => f.write_str("private"),
            Stun::Lying(Lie::Family) => f.write_str("family"),
            Stun::Lying(Lie::OtherSource) => f.write_str("source"),
            Stun::Lying(Lie::Late(by)) => write!(f, "late={by:?}"),
            Stun::Lying(Lie::Seldom(rate)) => write!(f, "seldom={rate}"),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boxes, link, place, multicast } = self;
        write!(f, "network {}", Gates(boxes))?;
        attached(f, *place)?;
        if !multicast {
            f.write_str(" no-multicast")?;
        }
        if *link != LinkRules::default() {
            write!(f, " link {}", Link(link))?;
        }
        Ok(())
    }
}

/// What something is attached to, if it is not the internet.
fn attached(f: &mut fmt::Formatter<'_>, place: Place) -> fmt::Result {
    match place {
        Place::Internet => Ok(()),
        Place::Site(number) => write!(f, " in {number}"),
    }
}

/// `internet`, `network 3`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet => f.write_str("internet"),
            Self::Site(number) => write!(f, "network {number}"),
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boxes, link, stack, place } = self;
        if boxes.is_empty() {
            f.write_str("open")?;
        }
        write!(f, "{}", Gates(boxes))?;
        attached(f, *place)?;
        if *stack != Stack::V4 {
            write!(f, " {}", family(*stack))?;
        }
        write!(f, " link {}", Link(link))
    }
}

/// Boxes, innermost first.
struct Gates<'a>(&'a [Gateway]);

impl fmt::Display for Gates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, rules) in self.0.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { "/" }, Gate(rules))?;
        }
        Ok(())
    }
}

/// The word for the address families a host wants.
fn family(stack: Stack) -> &'static str {
    match stack {
        Stack::V4 => "ipv4",
        Stack::V6 => "ipv6",
        Stack::Dual => "dual",
    }
}

/// `eim+apdf&v6:firewall+apdf&pool:4`.
struct Gate<'a>(&'a Gateway);

impl fmt::Display for Gate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gateway { v4, v6, nat64, policy, pool } = self.0;
        write!(f, "{}", Box(v4))?;
        if let Some(v6) = v6 {
            write!(f, "&v6:{}", Box(v6))?;
        }
        if *nat64 {
            f.write_str("&nat64")?;
        }
        if *pool != 1 {
            write!(f, "&pool:{pool}")?;
        }
        let Policy { ports, inspects, per_second, fragments } = policy;
        if let Some([a, b]) = ports {
            write!(f, "&only:{a}:{b}")?;
        }
        if let Some(kind) = inspects {
            write!(f, "&no:{kind}")?;
        }
        if let Some(rate) = per_second {
            write!(f, "&per-second:{rate}")?;
        }
        if !fragments {
            f.write_str("&no-fragments")?;
        }
        Ok(())
    }
}

struct Box<'a>(&'a BoxRules);

impl fmt::Display for Box<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            BoxRules::Nat(rules) => nat(f, rules),
            BoxRules::Firewall { filtering, lifetime, unreplied, settles, inbound_refresh } => {
                write!(f, "firewall+{},lifetime={lifetime:?}", filter(*filtering))?;
                write!(f, ",unreplied={unreplied:?},settles={settles:?}")?;
                f.write_str(if *inbound_refresh { ",refresh=both" } else { ",refresh=out" })
            }
            BoxRules::UdpBlocked => f.write_str("udp-blocked"),
            BoxRules::Router => f.write_str("router"),
            BoxRules::Clat => f.write_str("clat"),
        }
    }
}

fn nat(f: &mut fmt::Formatter<'_>, rules: &NatRules) -> fmt::Result {
    let NatRules {
        mapping,
        filtering,
        ports,
        range,
        parity,
        others,
        pooling,
        lifetime,
        unreplied,
        settles,
        filter_age,
        inbound_refresh,
        strangers,
        hairpin,
        capacity,
        per_host,
        full,
        per_second,
        control,
    } = *rules;
    let map = match mapping {
        Behavior::EndpointIndependent => "eim",
        Behavior::AddressDependent => "adm",
        Behavior::AddressAndPortDependent => "apdm",
    };
    write!(f, "{map}+{}", filter(filtering))?;
    let usual = NatRules::new(mapping, filtering);
    if ports != usual.ports {
        match ports {
            PortRule::Preserve => f.write_str(",ports=preserve")?,
            PortRule::Overload => f.write_str(",ports=overload")?,
            PortRule::PerFlow => f.write_str(",ports=per-flow")?,
            PortRule::Sequential(step) => write!(f, ",ports={step:+}")?,
            PortRule::Random => f.write_str(",ports=random")?,
            PortRule::Block(size) => write!(f, ",ports=block:{size}")?,
        }
    }
    if range != usual.range {
        write!(f, ",range={}:{}", range.0, range.1)?;
    }
    if parity {
        f.write_str(",parity=kept")?;
    }
    if others != usual.others {
        write!(f, ",others={others}")?;
    }
    if pooling != usual.pooling {
        f.write_str(match pooling {
            Pooling::Paired => ",pooling=paired",
            Pooling::Arbitrary => ",pooling=arbitrary",
        })?;
    }
    if lifetime != usual.lifetime {
        write!(f, ",lifetime={lifetime:?}")?;
    }
    if unreplied != usual.unreplied {
        write!(f, ",unreplied={unreplied:?}")?;
    }
    if settles != usual.settles {
        write!(f, ",settles={settles:?}")?;
    }
    if let Some(age) = filter_age {
        write!(f, ",filter-age={age:?}")?;
    }
    if strangers {
        f.write_str(",strangers=taken")?;
    }
    if inbound_refresh != usual.inbound_refresh {
        f.write_str(if inbound_refresh { ",refresh=both" } else { ",refresh=out" })?;
    }
    if hairpin != usual.hairpin {
        f.write_str(match hairpin {
            Hairpin::None => ",hairpin=none",
            Hairpin::External => ",hairpin=external",
            Hairpin::Internal => ",hairpin=internal",
        })?;
    }
    if capacity != usual.capacity {
        write!(f, ",capacity={capacity}")?;
    }
    if let Some(count) = per_host {
        write!(f, ",per-host={count}")?;
    }
    if full != usual.full {
        f.write_str(match full {
            Full::Drop => ",full=drop",
            Full::Evict => ",full=evict",
        })?;
    }
    if let Some(rate) = per_second {
        write!(f, ",new-per-second={rate}")?;
    }
    match control {
        PortControl::None => {}
        PortControl::NatPmp => f.write_str(",control=nat-pmp")?,
        PortControl::Pcp => f.write_str(",control=pcp")?,
    }
    Ok(())
}

fn filter(filtering: Behavior) -> &'static str {
    match filtering {
        Behavior::EndpointIndependent => "eif",
        Behavior::AddressDependent => "adf",
        Behavior::AddressAndPortDependent => "apdf",
    }
}

struct Link<'a>(&'a LinkRules);

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LinkRules { up, down } = self.0;
        if up == down {
            law(f, up)
        } else {
            f.write_str("up ")?;
            law(f, up)?;
            f.write_str(" down ")?;
            law(f, down)
        }
    }
}

fn law(f: &mut fmt::Formatter<'_>, law: &Law) -> fmt::Result {
    let Law { delay, jitter, shape, loss, duplicate, reorder, held, mtu, icmp, corrupt, rate } = *law;
    write!(f, "{delay:?}")?;
    let shape = match shape {
        Shape::Uniform => "",
        Shape::Bell => " bell",
        Shape::Tail => " tail",
    };
    if !jitter.is_zero() || !shape.is_empty() {
        write!(f, " jitter {jitter:?}{shape}")?;
    }
    match loss {
        Loss::None => {}
        Loss::Independent(chance) => write!(f, " loss {}", Percent(chance))?,
        Loss::Bursty { enter, leave, inside } => {
            write!(f, " burst {}/{}/{}", Percent(enter), Percent(leave), Percent(inside))?;
        }
        Loss::Nth(nth) => write!(f, " lose #{nth}")?,
        Loss::Periodic { every, run } => write!(f, " lose {run}/{every}")?,
    }
    if duplicate > Chance::NEVER {
        write!(f, " dup {}", Percent(duplicate))?;
    }
    if reorder > Chance::NEVER || held > Duration::ZERO {
        write!(f, " reorder {} by {held:?}", Percent(reorder))?;
    }
    if corrupt > Chance::NEVER {
        write!(f, " corrupt {}", Percent(corrupt))?;
    }
    if icmp {
        f.write_str(" icmp")?;
    }
    if let Some(mtu) = mtu {
        write!(f, " mtu {mtu}")?;
    }
    if let Some(Rate { bits_per_second, queue }) = rate {
        write!(f, " rate {bits_per_second}bit/s queue {queue}B")?;
    }
    Ok(())
}

/// A chance as the shortest decimal that is read back as the same.
struct Percent(Chance);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threshold = u128::from(self.0.threshold());
        for decimals in 0..=9 {
            let scale = 10u128.pow(decimals);
            // The smallest number that is not below it.
            let number = (threshold * 100 * scale).div_ceil(1 << 32);
            if Chance::percent_with(number as u64, decimals) == self.0 {
                let (whole, rest) = (number / scale, number % scale);
                return match decimals as usize {
                    0 => write!(f, "{whole}%"),
                    decimals => write!(f, "{whole}.{rest:0decimals$}%"),
                };
            }
        }
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, fault, act } = self;
        if !after.is_zero() {
            write!(f, "+{after:?} ")?;
        }
        if let Some(fault) = fault {
            write!(f, "fault{fault} ")?;
        }
        write!(f, "{act}")
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meet = |f: &mut fmt::Formatter<'_>, verb: &str, who: &Who, meeting: u8| match meeting {
            0 => write!(f, "{verb} {who}"),
            meeting => write!(f, "{verb} {who} meeting {meeting}"),
        };
        match self {
            Self::Start(who) => write!(f, "start {who}"),
            Self::StartSaved(who) => write!(f, "start {who} saved"),
            Self::Join(who, meeting) => meet(f, "join", who, *meeting),
            Self::Say(who, meeting) => meet(f, "say", who, *meeting),
            Self::Leave(who, meeting) => meet(f, "leave", who, *meeting),
            Self::Crash(who) => write!(f, "crash {who}"),
            Self::Suspend(who) => write!(f, "suspend {who}"),
            Self::Resume(who) => write!(f, "resume {who}"),
            Self::Sever(a, b) => write!(f, "sever {a} from {b}"),
            Self::Mute(a, b) => write!(f, "mute {a} towards {b}"),
            Self::Rejoin(a, b) => write!(f, "rejoin {a} with {b}"),
            Self::Heal => f.write_str("heal"),
            Self::Reboot(who) => write!(f, "reboot {who}"),
            Self::Renumber(who) => write!(f, "renumber {who}"),
            Self::Move(who, place) => write!(f, "move {who} to {place}"),
            Self::GoHome(who) => write!(f, "move {who} home"),
            Self::Unplug(who) => write!(f, "unplug {who}"),
            Self::SetClock(who, clock) => write!(f, "clock {who} {}", Wrong(*clock)),
            Self::Harm(who, disk) => write!(f, "disk {who} {disk}"),
            Self::Twin(who) => write!(f, "twin {who}"),
            Self::Relink(who, link) => write!(f, "relink {who} {}", Link(link)),
            Self::Restore(who) => write!(f, "restore {who}"),
            Self::DhtDown(n) => write!(f, "dht-down {n}"),
            Self::DhtUp(n) => write!(f, "dht-up {n}"),
            Self::StunDown(n) => write!(f, "stun-down {n}"),
            Self::StunUp(n) => write!(f, "stun-up {n}"),
            Self::Settle(within) => write!(f, "settle {within:?}"),
        }
    }
}

/// `right`, `+3600s`, `-5s drift +500ppm`.
struct Wrong(Clock);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clock { ahead_ms, drift_ppm } = self.0;
        let sign = if ahead_ms < 0 { '-' } else { '+' };
        let by = Duration::from_millis(ahead_ms.unsigned_abs());
        match (ahead_ms, drift_ppm) {
            (0, 0) => f.write_str("right"),
            (_, 0) => write!(f, "{sign}{by:?}"),
            (0, _) => write!(f, "drift {drift_ppm:+}ppm"),
            _ => write!(f, "{sign}{by:?} drift {drift_ppm:+}ppm"),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fails => "fails",
            Self::Works => "works",
            Self::Loses => "loses",
            Self::Damages => "damages",
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(n) => write!(f, "{n}"),
            Self::Smaller => f.write_str("smaller"),
            Self::Larger => f.write_str("larger"),
            Self::All => f.write_str("all"),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshakes(n) => write!(f, "handshakes {n}"),
            Self::Victims { each, total } => write!(f, "victims each {each} total {total}"),
            Self::StunWarning => f.write_str("stun-warning"),
            Self::Besieged(n) => write!(f, "besieged {n}"),
            Self::Deeds(n) => write!(f, "deeds {n}"),
            Self::FirstData { to_server, to_client } => {
                write!(f, "first-data to-server {to_server:?} to-client {to_client:?}")
            }
        }
    }
}
