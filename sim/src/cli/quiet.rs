//! `moot-sim quiet`.

use std::io::{self, Write as _};
use std::time::Duration;

use folkmoot_sim::mesh::{Home, Mesh};
use folkmoot_sim::net::{Behavior, BoxRules, Law, LinkRules};
use folkmoot_sim::quiet::{self, DHT_BUDGET, GROWTH_PERCENT, LINK_BUDGET};

use super::subject::seed_of;
use super::{Done, TierName};

/// Tells what a meeting sends in which nobody says anything, and whether its nodes come to hold more
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How many members, each behind a NAT
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=50))]
    members: u16,
    /// How long they say nothing, in simulated minutes
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// What is drawn is a function of it
    #[arg(long, default_value_t = 1, value_parser = seed_of)]
    seed: u64,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Stub)]
    tier: TierName,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { members, minutes, seed, tier } = arguments;
    let link = LinkRules::both(Law::delay(25));
    let nat = BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);
    let homes: Vec<Home> = vec![(link, Some(nat)); (*members).into()];
    let mut mesh = Mesh::begin(*seed, (*tier).into(), &homes, link);
    let quiet = quiet::watch(&mut mesh, Duration::from_secs(60 * minutes));
    let [before, after] = quiet.weights;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{members} members, {} of {} connections, {minutes} minutes",
        mesh.connections(),
        members * (members - 1)
    )?;
    writeln!(out, "from each end of a link  {:>7.1} packets a minute, budget {LINK_BUDGET}", quiet.link)?;
    writeln!(out, "DHT, from each member    {:>7.1} packets a minute, budget {DHT_BUDGET}", quiet.dht)?;
    writeln!(
        out,
        "a node written down      {before} bytes before, {after} after, budget +{GROWTH_PERCENT} %"
    )?;
    for problem in &quiet.problems {
        writeln!(out, "broken: {problem}")?;
    }
    Ok(quiet.problems.is_empty())
}
