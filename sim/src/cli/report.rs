//! `moot-sim report`.

mod pairs;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use folkmoot_sim::dht::{Conditions, walks};
use folkmoot_sim::net::Mix;
use folkmoot_sim::report::{
    ALL_MEANS, CALLS, Group, Grown, HOMES, Joins, Lookups, PUNCHING, Published, Section, Share, grid, growth,
    joins, lookups, page, success,
};

use super::picture::write;
use super::world::{self, CAVEAT, GROUPS};
use super::{Done, Failure};

/// Draws who can connect to whom, how often and how soon, and how DHT lookups go
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where index.html and the pictures go
    directory: PathBuf,
    /// How many runs for each pair of networks, and ten times as many for each loss
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    seeds: u32,
    /// For how many pairs of strangers of the world to let nodes try
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    nodes: u64,
    /// How many lookups, in each of two networks
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    lookups: u32,
    /// Also draws what `moot-sim grow --json` printed
    #[arg(long, value_name = "FILE")]
    grow: Option<PathBuf>,
}

/// The networks of the first grid.
const IPV4: [&str; 10] = [
    "open",
    "firewall",
    "home-cone",
    "home-restricted",
    "home",
    "home-symmetric",
    "home-cgn",
    "mobile",
    "mobile-symmetric",
    "hotel",
];
/// Of the second: both address families, one of them, and ways from one to the other.
const BOTH: [&str; 10] = [
    "open-dual",
    "home-dual",
    "ds-lite",
    "mobile-dual",
    "mobile-464xlat",
    "mobile-v6",
    "home",
    "home-symmetric",
    "mobile-symmetric",
    "hotel",
];
/// The losses of the curves, in per cent.
const LOSSES: [u32; 4] = [0, 5, 10, 20];
/// So many of a hundred entries in the tables of DHT nodes are dead.
const DEAD: [u32; 2] = [25, 45];

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { directory, seeds, nodes, lookups, grow } = arguments;
    let grown = grow.as_deref().map(read_growth).transpose()?;
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::Input(format!("cannot make {}: {error}", directory.display())))?;
    let mut pictures = vec![
        ("grid.svg", draw_grid(("NAT × NAT, IPv4", "Who can connect to whom, over IPv4"), &IPV4, *seeds)?),
        (
            "dual.svg",
            draw_grid(
                ("NAT × NAT, IPv6 too", "Who can connect to whom, where there is IPv6"),
                &BOTH,
                *seeds,
            )?,
        ),
        ("success.svg", draw_success(*nodes)),
        ("joins.svg", draw_joins(seeds * 10)?),
        ("lookups.svg", draw_lookups(*lookups)),
    ];
    let growth = grown.map(|rows| Section {
        title: "Growth".into(),
        about: "Everyone is connected to everyone, so links grow with the square of the members.".into(),
        picture: growth(&rows),
    });
    pictures.extend(growth.map(|section| ("growth.svg", section)));
    for (name, section) in &pictures {
        write(&directory.join(name), &section.picture)?;
    }
    let sections: Vec<_> = pictures.into_iter().map(|(_, section)| section).collect();
    let about = "Simulated: whole nodes, with the stand-in for DTLS. The same seeds give the same pictures.";
    write(&directory.join("index.html"), page("How members connect", about, &sections))?;
    writeln!(io::stdout(), "{}", directory.join("index.html").display())?;
    Ok(true)
}

fn draw_grid((title, heading): (&str, &str), networks: &[&str], seeds: u32) -> Result<Section, Failure> {
    let names: Vec<_> = networks.iter().map(|name| (*name).to_owned()).collect();
    let picture = grid(heading, &names, &pairs::cells(networks, seeds)?);
    let about = "Two members, each behind its network; moot-sim nat says what those are. Pointing at a cell shows the oracle's reason.";
    Ok(Section { title: title.into(), about: about.into(), picture })
}

fn draw_joins(runs: u32) -> Result<Section, Failure> {
    let curves: Result<Vec<Joins>, Failure> = LOSSES.iter().map(|loss| pairs::curve(*loss, runs)).collect();
    Ok(Section {
        title: "Join times".into(),
        about: "Two members behind home routers, with loss on both links in both directions; each run has twenty seconds."
            .into(),
        picture: joins(&curves?),
    })
}

fn draw_lookups(count: u32) -> Section {
    let network = |dead| {
        let stay = Duration::from_secs(1_800);
        let conditions = Conditions { lookers: 4, targets: count / 4, stay, ..Conditions::published(dead) };
        Lookups { dead, nodes: conditions.nodes, walks: walks(conditions) }
    };
    Section {
        title: "DHT lookups".into(),
        about: "Beside other implementations they stand in sim/snapshots/lookups.md.".into(),
        picture: lookups(&DEAD.map(network)),
    }
}

fn draw_success(nodes: u64) -> Section {
    let mixes: Vec<_> = Mix::ALL
        .iter()
        .map(|(_, mix)| {
            // Nodes try in the middle one only.
            let nodes = if *mix == Mix::World { nodes } else { 0 };
            (
                *mix,
                world::find(&world::Arguments {
                    mix: *mix,
                    pairs: 10_000,
                    nodes,
                    seed: 1,
                    jobs: 2,
                    json: false,
                }),
            )
        })
        .collect();
    let group = |title: &str, published: &'static [Published], row: &str, pairs: &str| {
        let simulated =
            mixes.iter().flat_map(|(mix, found)| share(found, row, pairs, &format!("mix “{mix}”"))).collect();
        Group { title: title.into(), published, simulated }
    };
    let mut all = group("All pairs, IPv4 and IPv6", &ALL_MEANS, "packets, + IPv6", "all");
    let in_world = mixes.iter().filter(|(mix, _)| *mix == Mix::World);
    all.simulated.extend(
        in_world.flat_map(|(_, found)| share(found, "nodes, + IPv6", "all", "whole nodes in mix “world”")),
    );
    let groups = [
        group("Both behind a NAT, IPv4", &PUNCHING, "packets, IPv4", "both NATed"),
        group("Both at home, IPv4", &HOMES, "packets, IPv4", "home-home"),
        group("Both behind a NAT, IPv4 and IPv6", &CALLS, "packets, + IPv6", "both NATed"),
        all,
    ];
    let caveat = CAVEAT.replace('`', "\"");
    let caveat =
        format!("{caveat} The published studies count different things, of other people, in other years.");
    Section {
        title: "Success".into(),
        about:
            "Strangers drawn from three mixes of networks; packets are sent through copies of their boxes."
                .into(),
        picture: success(&groups, &caveat),
    }
}

/// How many pairs of a group connected, by a row of `moot-sim world`.
fn share(found: &world::Found, row: &str, pairs: &str, what: &str) -> Option<Share> {
    let row = found.rows.iter().find(|(name, _)| name == row).map(|(_, row)| row)?;
    let group = GROUPS.iter().position(|(name, _)| *name == pairs)?;
    let (_, low, high) = row.share(group)?;
    Some(Share { what: what.into(), good: row.good[group], tries: row.tries[group], range: (low, high) })
}

/// Reads NDJSON as `moot-sim grow` prints it.
fn read_growth(path: &Path) -> Result<Vec<Grown>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))?;
    let row = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let field = |name| value.get(name).and_then(serde_json::Value::as_f64);
        Some(Grown {
            members: field("members")?,
            // Where the system does not tell it, wall time is what there is.
            cpu_ms: field("cpu_ms").or_else(|| field("wall_ms"))?,
            events: field("events")?,
            packets: field("packets")?,
        })
    };
    let lines = text.lines().enumerate();
    lines
        .map(|(n, line)| {
            let what = || format!("{}, line {}: no line of moot-sim grow --json", path.display(), n + 1);
            row(line).ok_or_else(|| Failure::Input(what()))
        })
        .collect()
}
