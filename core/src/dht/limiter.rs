use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::rate::{Bucket, Rate};
use super::source::Source;
use crate::base::Time;
use crate::limits;

/// Questions from one address.
const PER_IP: Rate = Rate::new(10, 50);

/// Questions from one network, so that many addresses of one owner gain little.
const PER_PREFIX: Rate = Rate::new(50, 100);

/// Questions in all.
const GLOBAL: Rate = Rate::new(2_000, 4_000);

/// And on top of that, of those who have shown that they receive what we send: a flood in made-up names does not keep them out.
const PROVEN: Rate = Rate::new(500, 1_000);

/// This many refused ones in a row, and the address is banned.
const REFUSALS_TO_BAN: u16 = 200;

const BAN: Duration = Duration::from_secs(5 * 60);

/// So few sources are not worth forgetting.
const CROWD: usize = 8;

/// Who may ask how much. Local addresses are not to be put before it.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    sources: BTreeMap<Source, Asker>,
    networks: BTreeMap<Source, Bucket>,
    global: Bucket,
    proven: Bucket,
    bans: BTreeMap<Source, Time>,
    /// With so many sources it is time to forget some.
    crowd: usize,
}

#[derive(Debug, Default)]
struct Asker {
    bucket: Bucket,
    refused: u16,
}

/// Why a question is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Banned,
    Ip,
    Prefix,
    Global,
}

impl Limiter {
    /// Accounts for a question from `ip`. `is_proven`: whether it has shown that it receives what we send; asked only if it matters.
    pub(super) fn admit(
        &mut self,
        now: Time,
        ip: IpAddr,
        is_proven: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        let source = Source::of(ip);
        if let Some(&until) = self.bans.get(&source) {
            if now < until {
                return Err(Refusal::Banned);
            }
            self.bans.remove(&source);
        }
        if let Some(asker) = self.sources.get_mut(&source)
            && !asker.bucket.has(PER_IP, now)
        {
            asker.refused += 1;
            if asker.refused >= REFUSALS_TO_BAN {
                self.sources.remove(&source);
                self.ban(now, source);
            }
            return Err(Refusal::Ip);
        }
        let network = source.network();
        if self.networks.get(&network).is_some_and(|bucket| !bucket.has(PER_PREFIX, now)) {
            return Err(Refusal::Prefix);
        }
        if self.global.has(GLOBAL, now) {
            self.global.take(GLOBAL, now);
        } else if self.proven.has(PROVEN, now) && is_proven() {
            self.proven.take(PROVEN, now);
        } else {
            return Err(Refusal::Global);
        }
        // Only now, when the global rate bounds how many come this far, is anything remembered of a stranger.
        self.make_room(now);
        let asker = self.sources.entry(source).or_default();
        asker.bucket.take(PER_IP, now);
        asker.refused = 0;
        self.networks.entry(network).or_default().take(PER_PREFIX, now);
        Ok(())
    }

    /// How many addresses are banned.
    pub(super) fn banned(&self) -> usize {
        self.bans.len()
    }

    /// The memory taken, in bytes. A tree is taken to be two thirds full.
    pub(super) fn footprint(&self) -> usize {
        let asker = size_of::<(Source, Asker)>() * self.sources.len();
        let others = size_of::<(Source, Bucket)>() * (self.networks.len() + self.bans.len());
        (asker + others) * 3 / 2
    }

    /// Who has not asked for so long that there is nothing to be remembered is forgotten: whenever those remembered have
    /// become twice as many. At the global rate there is always room for a newcomer after that.
    fn make_room(&mut self, now: Time) {
        if self.sources.len() < self.crowd.clamp(CROWD, limits::DHT_RATE_SOURCES) {
            return;
        }
        self.sources.retain(|_, asker| !asker.bucket.is_full(now));
        self.networks.retain(|_, bucket| !bucket.is_full(now));
        self.crowd = self.sources.len() * 2;
    }

    fn ban(&mut self, now: Time, source: Source) {
        if self.bans.len() >= limits::DHT_BANS {
            self.bans.retain(|_, until| *until > now);
        }
        if self.bans.len() >= limits::DHT_BANS
            && let Some((&soonest, _)) = self.bans.iter().min_by_key(|(_, until)| **until)
        {
            self.bans.remove(&soonest);
        }
        self.bans.insert(source, now + BAN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0800_0000 + n).into()
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn admit(limiter: &mut Limiter, now: Time, ip: IpAddr) -> Result<(), Refusal> {
        limiter.admit(now, ip, || false)
    }

    #[test]
    fn one_address_is_slowed_then_banned_then_forgiven() {
        let mut limiter = Limiter::default();
        let admitted = (0..60).filter(|_| admit(&mut limiter, at(0), ip(1)).is_ok()).count();
        assert_eq!(admitted, 50);
        assert_eq!(admit(&mut limiter, at(0), ip(1)), Err(Refusal::Ip));
        assert_eq!(admit(&mut limiter, at(100), ip(1)), Ok(()));
        assert!((0..400).all(|_| admit(&mut limiter, at(100), ip(1)).is_err()));
        assert_eq!(admit(&mut limiter, at(60_000), ip(1)), Err(Refusal::Banned));
        assert_eq!(admit(&mut limiter, at(60_000), ip(2)), Ok(()));
        assert_eq!(admit(&mut limiter, at(301_000), ip(1)), Ok(()));
        assert_eq!(limiter.banned(), 0);
    }

    #[test]
    fn one_network_is_slowed() {
        let mut limiter = Limiter::default();
        let admitted = (0..200).filter(|&n| admit(&mut limiter, at(0), ip(n)).is_ok()).count();
        assert_eq!(admitted, 100);
        assert_eq!(admit(&mut limiter, at(0), ip(1 << 8)), Ok(()));
    }

    #[test]
    fn who_asks_rarely_takes_no_memory() {
        let mut limiter = Limiter::default();
        for n in 0..100_000 {
            admit(&mut limiter, at(u64::from(n) * 1_000), ip(n << 8)).unwrap();
            assert!(limiter.sources.len() <= CROWD && limiter.networks.len() <= CROWD);
        }
        assert!(limiter.footprint() < 1_024);
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded() {
        let mut limiter = Limiter::default();
        let mut admitted = 0;
        for n in 0..200_000_u32 {
            admitted += u32::from(
                admit(&mut limiter, at(u64::from(n) / 50), ip(n << 8 & 0xff_ffff | n >> 16)).is_ok(),
            );
            assert!(limiter.sources.len() <= limits::DHT_RATE_SOURCES);
        }
        assert!((11_990..=12_000).contains(&admitted), "4,000 at once and four seconds of 2,000: {admitted}");
    }

    #[test]
    fn a_flood_in_made_up_names_leaves_room_for_the_proven() {
        let mut limiter = Limiter::default();
        let mut answered = 0;
        for n in 0..50_000_u32 {
            let now = at(u64::from(n) / 10);
            let _ = admit(&mut limiter, now, ip(n << 8));
            if n % 1_000 == 0 {
                answered += u32::from(limiter.admit(now, ip(0xff_0000 + n / 1_000), || true).is_ok());
            }
        }
        assert_eq!(answered, 50);
        let at_once = (0..9_000).filter(|n| limiter.admit(at(60_000), ip(n << 8), || true).is_ok()).count();
        assert_eq!(at_once, 5_000, "theirs, and what all have");
    }

    #[test]
    fn the_ban_list_is_bounded() {
        let mut limiter = Limiter::default();
        (0..2 * limits::DHT_BANS as u32).for_each(|n| limiter.ban(at(n.into()), Source::of(ip(n))));
        assert_eq!(limiter.banned(), limits::DHT_BANS);
        assert_eq!(admit(&mut limiter, at(5_000), ip(0)), Ok(()));
        assert_eq!(admit(&mut limiter, at(5_000), ip(2 * limits::DHT_BANS as u32 - 1)), Err(Refusal::Banned));
    }
}
