//! `moot dht serve`: a node of the DHT and nothing else.

use std::io;
use std::time::{Duration, Instant};

use folkmoot::core::dht::{Event, Reason};
use folkmoot::core::node::{Progress, Trouble};
use folkmoot::{DhtNode, Error, Stage, defaults};
use futures_lite::FutureExt as _;
use smol::Timer;

use super::args::ServeOptions;
use super::lines::HealthLine;
use crate::exit::Exit;
use crate::json;
use crate::signals;
use crate::ui;

/// The port of DHT nodes, by custom; taken if it is free and no other is asked for.
const PORT: u16 = 6881;

/// How often the node is asked what does not work with its state directory.
const CHECK_TROUBLE: Duration = Duration::from_secs(5);

pub(super) fn run(ServeOptions { net: options, state_dir }: &ServeOptions, started: Instant) -> Exit {
    let ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let fail = |exit, stage, what: &str, hint: &str| {
        ui::fail(options.json, ms(), stage, what, hint);
        exit
    };
    // A node on loopback reaches nobody outside.
    let is_local = !options.bind.is_empty() && options.bind.iter().all(|addr| addr.ip().is_loopback());
    let default = if is_local { Vec::new() } else { defaults::bootstrap() };
    let hosts = match options.bootstrap(default) {
        Ok(hosts) => hosts,
        Err(what) => return fail(Exit::Usage, Stage::Io, &what, ""),
    };
    let has_hosts = !hosts.is_empty();
    let builder = options.bind.iter().fold(DhtNode::builder(), |builder, &addr| builder.bind(addr));
    let mut builder = builder.ports([PORT]).bootstrap(hosts);
    if options.no_lan {
        builder = builder.lan(false);
    }
    // A DHT on loopback is for a try, and keeps nothing unless told to.
    let default_dir = || folkmoot::default_state_dir().ok().filter(|_| !is_local);
    if let Some(dir) = state_dir.clone().or_else(default_dir) {
        builder = builder.state_dir(dir.join("dht"));
    }
    let mut node = match builder.open() {
        Ok(node) => node,
        Err(error) => return fail(Exit::Failure, error.stage(), &error.what(), Error::hint(&error)),
    };
    let interrupts = signals::start();
    let (bound, remembered) = (node.bound(), node.remembered());
    let told = match options.json {
        true => ui::print(&json::serving(ms(), &bound)),
        false => {
            tell(&bound, remembered);
            Ok(())
        }
    };
    if let Err(error) = told {
        return fail(Exit::Failure, Stage::Io, &format!("the output cannot be written: {error}"), "");
    }
    let (is_json, handle) = (options.json, node.handle());
    smol::block_on(async {
        let run = async {
            node.run(|event| on_event(&event, has_hosts, is_json, ms())).await;
        };
        let interrupted = async {
            let _ = interrupts.recv().await;
        };
        let watch = async {
            loop {
                while let Ok(Some(trouble)) = handle.trouble().await {
                    warn(&trouble, is_json, ms());
                }
                Timer::after(CHECK_TROUBLE).await;
            }
        };
        interrupted.or(watch).or(run).await;
    });
    Exit::Success
}

fn tell(bound: &[std::net::SocketAddr], remembered: usize) {
    let listed = bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    eprintln!("A DHT node, on UDP {listed}; Ctrl-C ends it.");
    if remembered > 0 {
        eprintln!("  asking {remembered} nodes that were known before");
    }
    if let Some(addr) = bound.first() {
        let host = if addr.ip().is_unspecified() { "ADDRESS".into() } else { addr.ip().to_string() };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        eprintln!("Others enter the DHT by it with:  moot CODE --bootstrap {host}:{}", addr.port());
    }
}

fn warn(trouble: &Trouble, is_json: bool, ms: u64) {
    if is_json {
        // If nobody reads it, there is nobody to tell.
        let _ = ui::print(&json::error(ms, trouble.stage(), trouble.to_string(), trouble.hint()));
    } else {
        eprintln!("! {trouble}");
        eprintln!("  {}", trouble.hint());
    }
}

fn on_event(event: &Event, has_hosts: bool, is_json: bool, ms: u64) {
    let told = match (event, is_json) {
        (&Event::Bootstrapped { nodes }, is_json) => {
            let progress = Progress::Bootstrapped { nodes };
            if is_json {
                ui::print(&json::status(ms, progress.stage(), progress.to_string()))
            } else {
                eprintln!("  {progress}");
                Ok(())
            }
        }
        // It waits to be found, as it was told to.
        (Event::BootstrapSilent { asked: 0, remembered: 0 }, _) => Ok(()),
        (&Event::BootstrapSilent { asked: hosts, remembered: nodes }, false) => {
            eprintln!("! {}", Trouble::BootstrapSilent { hosts, nodes });
            Ok(())
        }
        (&Event::Health(health), true) => ui::print(&json::line("health", ms, HealthLine::new(health))),
        // Where to enter it is about to be told, or nowhere: then it is the others who come.
        (Event::Health(health), false) if health.reasons.iter().eq([Reason::NoEntry]) => {
            if !has_hosts {
                eprintln!("  nobody is known; others may enter by this node");
            }
            Ok(())
        }
        (Event::Health(health), false) => {
            eprintln!("  {health}");
            Ok(())
        }
        (Event::Observed { public }, false) => {
            eprintln!("  other nodes see it at {public}");
            Ok(())
        }
        _ => io::Result::Ok(()),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "nobody reads the output");
    }
}
