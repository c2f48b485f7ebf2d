use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use folkmoot::{Backoff, Builder, Folkmoot, Host, defaults};

use crate::dht::DhtCommand;
use crate::env::Env;

const AFTER_HELP: &str = "\
Without CODE, MEETING_CODE is taken, or on a terminal you are asked. What you type is said to all. Ctrl-C leaves and tells \
the others; a second one ends at once. At the end of the input a terminal leaves once all is delivered, within 10 s at \
most; anything else stays in the meeting.

Environment (a flag comes before it, and an empty variable counts as none):
  MEETING_CODE  the code
  STUN_SERVERS  as --stun, separated by commas, or `none`
  NODE_ID       which identity to be: a device or member id or at least its
                first four digits, or the name of a profile, which is made
                if there is none; else the first profile that is not in use
  DEBUG         true, 1, yes or on: log to stderr what happens

Exit codes:
  0    left after having met someone; or did what was asked
  1    this machine is in the way: a socket, the state directory, an identity
  2    the command line or the code cannot be understood
  3    left without having met anyone
  5    left without having met anyone: someone was found, but no path worked
  130  ended by a second Ctrl-C";

/// Type a code and be in the meeting.
///
/// People who share a meeting code find each other over the BitTorrent DHT and talk directly, with no server between.
#[derive(Debug, Parser)]
#[command(name = "moot", version, after_help = AFTER_HELP, subcommand_precedence_over_arg = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The meeting's code, as the others type it. Capitals, spaces, `-` and `_` make no difference.
    #[arg(value_name = "CODE")]
    pub(crate) code: Vec<String>,

    #[command(flatten)]
    pub(crate) options: JoinOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new code, to be given to the others.
    New {
        /// No QR code, even on a terminal.
        #[arg(long)]
        no_qr: bool,
    },
    /// Join the meeting of a code (`moot CODE` does the same).
    #[command(after_help = AFTER_HELP)]
    Join {
        /// The meeting's code, as the others type it. Capitals, spaces, `-` and `_` make no difference.
        #[arg(value_name = "CODE")]
        code: Vec<String>,
        #[command(flatten)]
        options: JoinOptions,
    },
    /// Show all of it on this machine: a small DHT, three members who meet, and a stranger who hears nothing.
    Demo,
    /// Ask the DHT, or serve it.
    #[command(subcommand)]
    Dht(DhtCommand),
}

/// What every node needs.
#[derive(Clone, Debug, Default, Args, PartialEq)]
pub(crate) struct NetOptions {
    /// Listen here and nowhere else; may be given more than once; port 0 is any that is free.
    #[arg(long, value_name = "ADDR:PORT", value_parser = bind_addr)]
    pub(crate) bind: Vec<SocketAddr>,

    /// Enter the DHT here, instead of at well-known public nodes; may be given more than once; `none` turns it off.
    #[arg(long, value_name = "HOST:PORT", value_parser = server, value_delimiter = ',')]
    pub(crate) bootstrap: Vec<Server>,

    /// Do not enter the DHT by nodes of the local network, and do not let others there enter by this one.
    #[arg(long)]
    pub(crate) no_lan: bool,

    /// Print events as JSON on stdout, one object a line; in a meeting, also read commands from stdin.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Default, Args, PartialEq)]
pub(crate) struct JoinOptions {
    #[command(flatten)]
    pub(crate) net: NetOptions,

    /// The name that the others see.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Ask this STUN server for our public address, instead of well-known ones; may be given more than once; `none` asks none.
    #[arg(long, value_name = "HOST:PORT", value_parser = server, value_delimiter = ',')]
    pub(crate) stun: Vec<Server>,

    /// Where identities are kept [default: $XDG_STATE_HOME/folkmoot, or ~/.local/state/folkmoot].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Allow a code of fewer than 6 characters, and do not warn of a weak one.
    #[arg(long)]
    pub(crate) weak_code: bool,

    /// When to try again to reach a member who was lost: `3x5s` is three times, five seconds apart; `1-2-4s` after 1, 2 and 4
    /// seconds; `none` never [default: 3x5s].
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    pub(crate) reconnect: Option<Backoff>,

    /// How long one attempt to connect to a member may take [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Write all that comes and goes into a new file, for `moot-sim replay`. It holds the code and all that is said; the keys are
    /// of a device made for this run.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// The same without codes, keys, texts, names and true addresses: to be read, and not replayed.
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    pub(crate) trace_redacted: Option<PathBuf>,
}

/// A server on the command line, or that there is to be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    None,
    At(Host),
}

impl JoinOptions {
    /// These options, and where they say nothing, `others`: `moot --json join` is `moot join --json`.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            net: self.net.or(others.net),
            name: self.name.or(others.name),
            stun: non_empty(self.stun, others.stun),
            state_dir: self.state_dir.or(others.state_dir),
            weak_code: self.weak_code || others.weak_code,
            reconnect: self.reconnect.or(others.reconnect),
            connect_timeout: self.connect_timeout.or(others.connect_timeout),
            trace: self.trace.or(others.trace),
            trace_redacted: self.trace_redacted.or(others.trace_redacted),
        }
    }

    /// Sets a node up: flag before environment before default.
    ///
    /// # Errors
    ///
    /// A sentence about what contradicts itself or cannot be understood.
    pub(crate) fn builder(&self, env: &Env) -> Result<Builder, String> {
        let mut builder = Folkmoot::builder()
            .bootstrap(self.net.bootstrap(defaults::bootstrap())?)
            .weak_codes(self.weak_code);
        for &addr in &self.net.bind {
            builder = builder.bind(addr);
        }
        if self.net.no_lan {
            builder = builder.lan(false);
        }
        builder = builder.stun(self.stun(env)?);
        if let Some(name) = self.name.as_ref().filter(|name| !name.trim().is_empty()) {
            builder = builder.name(name.trim());
        }
        if let Some(dir) = self.state_dir.as_ref().filter(|dir| !dir.as_os_str().is_empty()) {
            builder = builder.state_dir(dir);
        }
        if let Some(id) = &env.node_id {
            builder = builder.profile(id);
        }
        if let Some(policy) = &self.reconnect {
            builder = builder.reconnect(policy.clone());
        }
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(path) = &self.trace_redacted {
            builder = builder.trace_redacted(path);
        }
        if let Some(path) = &self.trace {
            builder = builder.trace(path);
        }
        Ok(builder)
    }

    fn stun(&self, env: &Env) -> Result<Vec<Host>, String> {
        let listed = match &env.stun_servers {
            Some(list) if self.stun.is_empty() => {
                let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
                items
                    .map(server)
                    .collect::<Result<_, _>>()
                    .map_err(|error| format!("STUN_SERVERS: {error}"))?
            }
            _ => self.stun.clone(),
        };
        servers("--stun", &listed, defaults::stun())
    }
}

impl NetOptions {
    fn or(self, others: Self) -> Self {
        Self {
            bind: non_empty(self.bind, others.bind),
            bootstrap: non_empty(self.bootstrap, others.bootstrap),
            no_lan: self.no_lan || others.no_lan,
            json: self.json || others.json,
        }
    }

    /// Where to enter the DHT.
    pub(crate) fn bootstrap(&self, default: Vec<Host>) -> Result<Vec<Host>, String> {
        servers("--bootstrap", &self.bootstrap, default)
    }
}

fn non_empty<T>(a: Vec<T>, b: Vec<T>) -> Vec<T> {
    if a.is_empty() { b } else { a }
}

fn servers(flag: &str, listed: &[Server], default: Vec<Host>) -> Result<Vec<Host>, String> {
    match listed {
        [] => Ok(default),
        [Server::None] => Ok(Vec::new()),
        _ => listed
            .iter()
            .map(|server| match server {
                Server::At(host) => Ok(host.clone()),
                Server::None => Err(format!("{flag} cannot be `none` and a server at once")),
            })
            .collect(),
    }
}

fn bind_addr(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "write an IP address of this machine and a port, as in 0.0.0.0:0, 192.0.2.7:4000 or [::]:4000"
            .to_owned()
    })
}

fn server(text: &str) -> Result<Server, String> {
    match text.trim() {
        "none" => Ok(Server::None),
        text => text.parse().map(Server::At).map_err(|error: folkmoot::HostError| error.to_string()),
    }
}

/// More attempts than this, or further apart than an hour, are not what anyone means.
const MAX_ATTEMPTS: usize = 100;

fn policy(text: &str) -> Result<Backoff, String> {
    let wrong = || {
        "write 3x5s for three attempts five seconds apart, 1-2-4s for one after 1, 2 and 4 s, or none"
            .to_owned()
    };
    let text = text.trim();
    let delays: Vec<Duration> = if text == "none" {
        Vec::new()
    } else if let Some((times, delay)) = text.split_once('x') {
        let times: usize = times.parse().map_err(|_| wrong())?;
        vec![duration(delay).ok_or_else(wrong)?; times.min(MAX_ATTEMPTS + 1)]
    } else {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        let numbers = text[..text.len() - unit.len()].split('-');
        numbers.map(|number| duration(&format!("{number}{unit}"))).collect::<Option<_>>().ok_or_else(wrong)?
    };
    if delays.len() > MAX_ATTEMPTS {
        return Err(format!("{MAX_ATTEMPTS} attempts are the most"));
    }
    Ok(delays.into_iter().collect())
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time such as 30s, 1500ms or 1m".to_owned();
    duration(text.trim()).filter(|timeout| !timeout.is_zero()).ok_or_else(wrong)
}

/// `5s`, `1.5s`, `200ms`, `1m`, at most an hour; a bare number is seconds.
fn duration(text: &str) -> Option<Duration> {
    let (number, scale) = match text {
        _ if text.ends_with("ms") => (text.strip_suffix("ms")?, 0.001),
        _ if text.ends_with('s') => (text.strip_suffix('s')?, 1.0),
        _ if text.ends_with('m') => (text.strip_suffix('m')?, 60.0),
        _ => (text, 1.0),
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let duration = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()?;
    (duration <= Duration::from_secs(3_600)).then_some(duration)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("moot").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_code_joins_and_a_command_is_a_command() {
        let cli = parse("acid tulip --json").unwrap();
        assert!(cli.command.is_none() && cli.options.net.json);
        assert_eq!(cli.code, ["acid", "tulip"]);
        assert!(matches!(parse("new").unwrap().command, Some(Command::New { no_qr: false })));
        assert!(matches!(parse("demo").unwrap().command, Some(Command::Demo)));
        assert!(matches!(parse("dht serve").unwrap().command, Some(Command::Dht(DhtCommand::Serve(_)))));
        let Some(Command::Join { code, .. }) = parse("join demo").unwrap().command else {
            panic!("not a join")
        };
        assert_eq!(code, ["demo"]);
        assert!(parse("").unwrap().code.is_empty());
    }

    #[test]
    fn options_may_stand_before_the_command() {
        let cli = parse("--json --name ada join acid --stun none").unwrap();
        let Some(Command::Join { code, options }) = cli.command else { panic!("not a join") };
        let options = options.or(cli.options);
        assert_eq!(code, ["acid"]);
        assert!(options.net.json);
        assert_eq!((options.name.as_deref(), options.stun), (Some("ada"), vec![Server::None]));
    }

    #[test]
    fn what_is_malformed_is_refused_with_a_way_out() {
        for (line, way_out) in [
            ("x --bind nonsense", "0.0.0.0:0"),
            ("x --bind 127.0.0.1", "0.0.0.0:0"),
            ("x --bind 127.0.0.1:99999", "0.0.0.0:0"),
            ("x --bootstrap host", "HOST:PORT"),
            ("x --stun 1.2.3.4:0", "1 to 65535"),
            ("x --reconnect often", "3x5s"),
            ("x --reconnect 1--2s", "3x5s"),
            ("x --connect-timeout 0", "30s"),
            ("x --connect-timeout 2h", "30s"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(way_out), "{line}: {error}");
        }
    }

    #[test]
    fn flag_before_environment_before_default() {
        let host = |text: &str| text.parse::<Host>().unwrap();
        let env = Env { stun_servers: Some("a.example:1, b.example:2".into()), ..Env::default() };
        let stun = |line: &str, env: &Env| parse(line).unwrap().options.stun(env);
        assert_eq!(stun("x", &Env::default()), Ok(defaults::stun()));
        assert_eq!(stun("x", &env), Ok(vec![host("a.example:1"), host("b.example:2")]));
        assert_eq!(stun("x --stun c.example:3", &env), Ok(vec![host("c.example:3")]));
        assert_eq!(stun("x --stun none", &env), Ok(Vec::new()));
        assert!(stun("x --stun none --stun c.example:3", &env).is_err());
        let none = Env { stun_servers: Some("none".into()), ..Env::default() };
        assert_eq!(stun("x", &none), Ok(Vec::new()));
        let wrong = Env { stun_servers: Some("what".into()), ..Env::default() };
        assert!(stun("x", &wrong).unwrap_err().starts_with("STUN_SERVERS: `what` has no port"));
    }

    #[test]
    fn policies() {
        let secs = |text: &str| {
            let policy = policy(text).unwrap();
            (0..policy.attempts())
                .filter_map(|n| policy.delay(n))
                .map(|d| d.as_secs_f64())
                .collect::<Vec<_>>()
        };
        assert_eq!(secs("3x5s"), [5.0, 5.0, 5.0]);
        assert_eq!(secs("1-2-4s"), [1.0, 2.0, 4.0]);
        assert_eq!(secs("250-500ms"), [0.25, 0.5]);
        assert_eq!(secs("7"), [7.0]);
        assert!(secs("none").is_empty());
        assert!(policy("1000000000x1s").is_err());
    }
}
