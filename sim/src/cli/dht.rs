//! `moot-sim dht`.

mod ambient;
mod attack;
mod join;
mod light;
mod lookups;
mod swarm;
mod threads;

use std::io::Write;

use clap::{Args, Subcommand};

use super::Done;

/// The DHT at scale: as many production machines as one likes, lookups against other implementations, attacks
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    swarm: swarm::Arguments,
}

#[derive(Subcommand)]
enum What {
    Lookups(lookups::Arguments),
    Attack(attack::Arguments),
    Join(join::Arguments),
    Ambient(ambient::Arguments),
    Light(light::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Done {
    match &arguments.what {
        None => swarm::run(&arguments.swarm),
        Some(What::Lookups(arguments)) => lookups::run(arguments),
        Some(What::Attack(arguments)) => attack::run(arguments),
        Some(What::Join(arguments)) => join::run(arguments),
        Some(What::Ambient(arguments)) => ambient::run(arguments),
        Some(What::Light(arguments)) => light::run(arguments),
    }
}

/// Says how a table differs from the published one.
fn same_as_published(out: &mut impl Write, table: &str, published: &str, (name, file): (&str, &str)) -> Done {
    if table == published {
        writeln!(out, "{name}: as published")?;
        return Ok(true);
    }
    for (line, (now, before)) in (1..).zip(lines(table, published)) {
        if now != before {
            writeln!(
                out,
                "line {line}\n  published  {}\n  now        {}",
                before.unwrap_or("-"),
                now.unwrap_or("-")
            )?;
        }
    }
    writeln!(out, "to publish it: moot-sim dht {name} > {file}")?;
    Ok(false)
}

/// The lines of two texts side by side.
fn lines<'a>(a: &'a str, b: &'a str) -> impl Iterator<Item = (Option<&'a str>, Option<&'a str>)> {
    let (mut a, mut b) = (a.lines(), b.lines());
    std::iter::from_fn(move || match (a.next(), b.next()) {
        (None, None) => None,
        both => Some(both),
    })
}
