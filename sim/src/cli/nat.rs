use std::io::{self, Write as _};
use std::path::PathBuf;

use folkmoot_sim::World;
use folkmoot_sim::net::{LinkRules, PRESETS, Preset, RealmId, UnknownPreset, preset, probe_kernel_box};

use super::{Done, Failure};

/// Shows the kinds of networks there are, says who of them can connect to whom and why, or asks boxes what they do
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which networks: one host behind each, and what the oracle says of every two of them
    networks: Vec<String>,
    /// What to ask the box of each instead, as in interop/nat_probes.txt; their mappings live 3 s, and 6 s once settled
    #[arg(long, value_name = "FILE", requires = "networks")]
    probes: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let mut out = io::stdout().lock();
    let Arguments { networks, probes } = arguments;
    if networks.is_empty() {
        for (name, about) in PRESETS {
            writeln!(out, "{name:<24} {about}")?;
        }
        return Ok(true);
    }
    let Some(path) = probes else {
        write!(out, "{}", explain(networks)?)?;
        return Ok(true);
    };
    let script = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))?;
    for name in networks {
        let probed = probe_kernel_box(name, &script).map_err(|error| Failure::Input(error.to_string()))?;
        for probe in probed {
            writeln!(out, "box {name} probe {}\n{}\n", probe.name, probe.lines.join("\n"))?;
        }
    }
    Ok(true)
}

/// What the oracle says of every two hosts, each behind a network of its own; of one network, of two who each have such a one.
fn explain(names: &[String]) -> Result<String, Failure> {
    let presets: Result<Vec<Preset>, UnknownPreset> = names.iter().map(|name| preset(name)).collect();
    let mut presets = presets.map_err(|error| Failure::Input(error.to_string()))?;
    if let [only] = &presets[..] {
        presets.push(only.clone());
    }
    let mut world = World::new(0);
    let mut hosts = Vec::new();
    for (home, name) in presets.iter().zip(names.iter().cycle()) {
        let link = LinkRules::default;
        let outwards = home.boxes.iter().rev();
        let realm = outwards.fold(RealmId::INTERNET, |realm, rules| world.add_box(realm, *rules, link()).1);
        hosts.push(world.add_stacked(name.as_str(), realm, link(), home.stack));
    }
    let mut text = String::new();
    for host in &hosts {
        text += &format!("{host} is behind: {}\n", world.name(*host));
    }
    for (n, a) in hosts.iter().enumerate() {
        for b in &hosts[n + 1..] {
            text += &world.explain(*a, *b);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_two_are_explained() {
        let names = ["home", "home-symmetric", "hotel"].map(String::from);
        let text = explain(&names).unwrap();
        for sentence in [
            "h0 and h1: not directly: one changes its port, and the other admits only ports it has sent to\n",
            "h0 and h2: not directly: one of them lets no UDP pass\n",
            "h1 and h2: not directly: ",
        ] {
            assert!(text.contains(sentence), "{text}");
        }
        assert!(explain(&names[..1]).unwrap().contains("\nh0 and h1: direct"), "two with the same");
        let Err(Failure::Input(what)) = explain(&["nowhere".into()]) else { panic!() };
        assert!(what.contains("nowhere"), "{what}");
    }
}
