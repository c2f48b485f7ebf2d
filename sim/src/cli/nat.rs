use std::io::{self, Write as _};
use std::path::PathBuf;

use folkmoot_sim::net::{PRESETS, probe_kernel_box};

use super::{Done, Failure};

/// Shows the kinds of networks there are, or asks boxes what they do
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which boxes to ask
    #[arg(requires = "probes")]
    boxes: Vec<String>,
    /// What to ask them, as in interop/nat_probes.txt; their mappings live 3 s, and 6 s once settled
    #[arg(long, value_name = "FILE", requires = "boxes")]
    probes: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let mut out = io::stdout().lock();
    let Some(path) = &arguments.probes else {
        for (name, about) in PRESETS {
            writeln!(out, "{name:<24} {about}")?;
        }
        return Ok(true);
    };
    let script = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))?;
    for name in &arguments.boxes {
        let probed = probe_kernel_box(name, &script).map_err(|error| Failure::Input(error.to_string()))?;
        for probe in probed {
            writeln!(out, "box {name} probe {}\n{}\n", probe.name, probe.lines.join("\n"))?;
        }
    }
    Ok(true)
}
