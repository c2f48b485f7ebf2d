//! Words to links.

use super::read::{Read, Word, Words};
use crate::net::{Law, LinkRules, Loss, Rate, Shape};

pub(super) fn link(words: &mut Words<'_>) -> Read<LinkRules> {
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
