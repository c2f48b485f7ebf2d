//! Words to what stands around the members.

use std::net::SocketAddr;
use std::time::Duration;

use super::links::link;
use super::parse::most;
use super::read::{Read, Word, Words};
use crate::hosts::{Lie, Mischief};
use crate::net::Stack;
use crate::scenario::script::{Infrastructure, Place, Stun};

pub(super) fn world(words: &mut Words<'_>) -> Read<Infrastructure> {
    const EXPECTED: &str = "`dht`, `silent`, `lying`, `slow`, `walled`, `sybils`, `placed`, `entries`, `stun`, `forged-victims`, `flood`, `insiders`, `ipv4`, `ipv6`, \
                            `dual`, `begins` or `link`";
    let mut world = Infrastructure::usual();
    while let Some(word) = words.peek() {
        let _ = words.next("")?;
        let mut count = |most: u64, what: &str| -> Read<u32> {
            Ok(words.next(what)?.number(most, &format!("the {what}"))? as u32)
        };
        match word.text {
            "dht" => world.dht_nodes = count(most::DHT, "number of DHT nodes")?,
            "silent" => world.hostile.silent = count(most::HOSTILE, "number of silent nodes")?,
            "lying" => world.hostile.lying = count(most::HOSTILE, "number of lying nodes")?,
            "slow" => world.hostile.slow = count(most::HOSTILE, "number of slow nodes")?,
            "walled" => world.hostile.walled = count(most::HOSTILE, "number of walled nodes")?,
            "sybils" => world.hostile.sybils = count(most::HOSTILE, "number of sybils")?,
            "placed" => world.hostile.placed = count(most::PLACED, "number of placed nodes")?,
            "entries" => world.entries = count(most::DHT, "number of nodes that everyone is told of")?,
            "stun" => world.stun = stun(words.next("`none`, or a list such as honest,dead")?)?,
            "forged-victims" => world.forged_victims = count(most::VICTIMS, "number of victims")?,
            "flood" => world.flood = count(most::FLOOD, "number of datagrams a second")?,
            "insiders" => world.insiders = insiders(words.next(&format!("a list of {INSIDERS}"))?)?,
            "begins" => world.begins = time_of_day(words.next("a time of day such as 23:59:50")?)?,
            "link" => world.link = link(words)?,
            _ => {
                words.put_back(word);
                world.stack = stack(words).ok_or_else(|| word.not(EXPECTED))?;
            }
        }
    }
    Ok(world)
}

/// `internet`, or `network 3`; with the word that names it.
pub(super) fn place<'a>(words: &mut Words<'a>) -> Read<(Place, Word<'a>)> {
    let word = words.next("`internet`, or `network` with its number")?;
    match word.text {
        "internet" => Ok((Place::Internet, word)),
        "network" => {
            let word = words.next("the number of a network")?;
            let number = word.number(u64::from(u16::MAX), "the number of a network")?;
            Ok((Place::Site(number as u16), word))
        }
        _ => Err(word.not("`internet`, or `network` with its number")),
    }
}

fn time_of_day(word: Word<'_>) -> Read<Duration> {
    let flaw = || word.not("a time of day such as 23:59:50");
    let parts: Vec<_> = word.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else { return Err(flaw()) };
    let (whole, millis) = seconds.halves('.').map_or((seconds, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |word: Word<'_>, count: usize, most: u64| -> Read<u64> {
        let number = if word.text.len() == count { word.text.parse().ok() } else { None };
        number.filter(|number| *number <= most).ok_or_else(flaw)
    };
    let seconds = digits(hours, 2, 23)? * 3_600 + digits(minutes, 2, 59)? * 60 + digits(whole, 2, 59)?;
    let millis = millis.map_or(Ok(0), |millis| digits(millis, 3, 999))?;
    Ok(Duration::from_millis(seconds * 1_000 + millis))
}

/// The word for the address families a host wants, if one is there.
pub(super) fn stack(words: &mut Words<'_>) -> Option<Stack> {
    let all = [("ipv4", Stack::V4), ("ipv6", Stack::V6), ("dual", Stack::Dual)];
    all.into_iter().find_map(|(word, stack)| words.take(word).then_some(stack))
}

const INSIDERS: &str = "`hammer`, `giant`, `crowd`, `two-faced` or `liar`";

fn insiders(word: Word<'_>) -> Read<Vec<Mischief>> {
    let mischief = |word: Word<'_>| {
        let named = Mischief::ALL.into_iter().find(|(name, _)| *name == word.text);
        named.map(|(_, mischief)| mischief).ok_or_else(|| word.not(INSIDERS))
    };
    let list: Vec<_> = word.split(',').map(mischief).collect::<Result<_, _>>()?;
    if list.len() > most::INSIDERS {
        return Err(word.flaw(format!("there are more than {} insiders", most::INSIDERS)));
    }
    Ok(list)
}

fn stun(word: Word<'_>) -> Read<Vec<Stun>> {
    if word.text == "none" {
        return Ok(Vec::new());
    }
    let list: Vec<_> = word
        .split(',')
        .map(|word| match (word.text, word.halves('=')) {
            ("honest", _) => Ok(Stun::Honest),
            ("dead", _) => Ok(Stun::Dead),
            (_, value) => lie(word, value).map(Stun::Lying),
        })
        .collect::<Result<_, _>>()?;
    if list.len() > most::STUN {
        return Err(word.flaw(format!("there are more than {} STUN servers", most::STUN)));
    }
    Ok(list)
}

fn lie<'a>(word: Word<'a>, value: Option<(Word<'a>, Word<'a>)>) -> Read<Lie> {
    const EXPECTED: &str = "`honest`, `dead`, or a lie: everyone=30.0.0.9:9, port=3, private, family, source, late=2s or \
                            seldom=5";
    Ok(match (word.text, value) {
        ("private", _) => Lie::Private,
        ("family", _) => Lie::Family,
        ("source", _) => Lie::OtherSource,
        (_, Some((Word { text: "everyone", .. }, endpoint))) => {
            let expected = "an endpoint such as 30.0.0.9:9";
            Lie::Everyone(endpoint.text.parse::<SocketAddr>().map_err(|_| endpoint.not(expected))?)
        }
        (_, Some((Word { text: "port", .. }, by))) => {
            Lie::Port(by.number(65_535, "a number of ports")? as u16)
        }
        (_, Some((Word { text: "late", .. }, by))) => Lie::Late(by.duration()?),
        (_, Some((Word { text: "seldom", .. }, rate))) => {
            Lie::Seldom(rate.number(u64::from(u32::MAX), "the number of answers a second")? as u32)
        }
        _ => return Err(word.not(EXPECTED)),
    })
}
