use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use folkmoot::core::dht::{MAX_SALT, Salt};
use folkmoot::{Host, InfoHash};

use crate::args::{NetOptions, timeout};

const AFTER_HELP: &str = "\
Exit codes:
  0  did what was asked
  1  this machine is in the way: a socket, a file, a directory
  2  the command line, a value or a key cannot be understood
  3  nothing was found
  4  nobody answers: no way into the DHT, or not the node that was asked
  6  refused: a newer version is there, not the version expected, or no node accepts it";

#[derive(Debug, Subcommand)]
pub(crate) enum DhtCommand {
    /// Run a DHT node, for others to enter the DHT by.
    ///
    /// Bound to loopback addresses only, it enters no DHT but the one that is made by those who come, and keeps nothing unless
    /// --state-dir says where.
    Serve(ServeOptions),

    /// Ask a node whether it is there. Enters no DHT.
    #[command(after_help = AFTER_HELP)]
    Ping {
        /// The node.
        #[arg(value_name = "HOST:PORT", value_parser = host)]
        addr: Host,
        #[command(flatten)]
        options: GuestOptions,
    },

    /// Search the peers of a topic, and print each as it is found. Announces nothing.
    #[command(after_help = AFTER_HELP)]
    Lookup {
        /// The topic: 40 hexadecimal digits.
        #[arg(value_name = "INFOHASH", value_parser = info_hash, required_unless_present = "code")]
        topic: Option<InfoHash>,
        /// The topic of today of this meeting code instead.
        #[arg(long, value_name = "CODE", conflicts_with = "topic")]
        code: Option<String>,
        /// Allow a code of fewer than 6 characters.
        #[arg(long, requires = "code")]
        weak_code: bool,
        /// Also ask how many peers there are (BEP 33). Not every node tells.
        #[arg(long)]
        scrape: bool,
        #[command(flatten)]
        options: GuestOptions,
    },

    /// Announce once that there is a peer of a topic on this machine. The nodes forget it after half an hour or so.
    #[command(after_help = AFTER_HELP)]
    Announce {
        /// The topic: 40 hexadecimal digits.
        #[arg(value_name = "INFOHASH", value_parser = info_hash)]
        topic: InfoHash,
        /// The port that the peer listens on.
        #[arg(long, value_name = "PORT", value_parser = port)]
        port: u16,
        #[command(flatten)]
        options: GuestOptions,
    },

    /// Search an item (BEP 44) and print its value: as it is, if the output is no terminal.
    #[command(after_help = AFTER_HELP)]
    Get {
        /// The item's target, of 40 hexadecimal digits, as `put` told it. Of a mutable item give the key instead.
        #[arg(value_name = "TARGET", value_parser = target, required_unless_present = "public_key")]
        target: Option<InfoHash>,
        /// The author's public key, of 64 hexadecimal digits.
        #[arg(long, value_name = "KEY", value_parser = public_key, conflicts_with = "target")]
        public_key: Option<Key>,
        /// Which of the author's items; without, the one that has no salt.
        #[arg(long, value_name = "TEXT", value_parser = salt, requires = "public_key")]
        salt: Option<Salt>,
        #[command(flatten)]
        options: GuestOptions,
    },

    /// Store an item (BEP 44): without a key one that never changes, with a key one that its author can replace. It is kept for
    /// about two hours; with --stay for as long as you stay.
    #[command(after_help = AFTER_HELP)]
    Put {
        /// The value, of at most 996 bytes; `-` reads it from stdin, to the end.
        #[arg(value_name = "VALUE")]
        value: String,
        #[command(flatten)]
        signing: Signing,
        /// Stay, and store it again every hour, until a newer version is there. Ctrl-C ends it.
        #[arg(long, conflicts_with = "cas")]
        stay: bool,
        #[command(flatten)]
        options: GuestOptions,
    },

    /// Make a key for `put --key`: a file with 64 hexadecimal digits, to be read by you only. Prints the public key.
    Key {
        /// The file, which must not be there yet.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },

    /// Enter the DHT for a moment and tell how it went.
    #[command(after_help = AFTER_HELP)]
    Stats(GuestOptions),

    /// Enter the DHT for a moment and print the routing table.
    #[command(after_help = AFTER_HELP)]
    Table(GuestOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) net: NetOptions,

    /// Where the known nodes are kept for the next time, in a folder `dht`
    /// [default: $XDG_STATE_HOME/folkmoot, or ~/.local/state/folkmoot].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What every node that is gone in a moment needs.
#[derive(Clone, Debug, Args)]
pub(crate) struct GuestOptions {
    #[command(flatten)]
    pub(crate) net: NetOptions,

    /// Where the known nodes are kept for the next time, in a folder `dht-client`
    /// [default: $XDG_STATE_HOME/folkmoot, or ~/.local/state/folkmoot].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// How long it may take in all.
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "30s")]
    pub(crate) timeout: Duration,
}

/// How an item is signed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Signing {
    /// The file with the author's key, as `moot dht key FILE` makes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Make the key first, in the file that --key names.
    #[arg(long, requires = "key")]
    pub(crate) new_key: bool,

    /// Tells items of one author apart: at most 64 bytes.
    #[arg(long, value_name = "TEXT", value_parser = salt, requires = "key")]
    pub(crate) salt: Option<Salt>,

    /// The version, greater than the one stored [default: milliseconds since 1970].
    #[arg(long, value_name = "N", value_parser = seq, requires = "key", allow_negative_numbers = true)]
    pub(crate) seq: Option<i64>,

    /// Store it only where the version stored is this one.
    #[arg(long, value_name = "N", value_parser = seq, requires = "key", allow_negative_numbers = true)]
    pub(crate) cas: Option<i64>,
}

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) [u8; 32]);

fn host(text: &str) -> Result<Host, String> {
    text.trim().parse().map_err(|error: folkmoot::HostError| error.to_string())
}

fn info_hash(text: &str) -> Result<InfoHash, String> {
    hex(text, "an info-hash").map(InfoHash)
}

fn target(text: &str) -> Result<InfoHash, String> {
    hex(text, "a target").map(InfoHash)
}

fn public_key(text: &str) -> Result<Key, String> {
    hex(text, "a public key").map(Key)
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.trim().parse().ok().filter(|&port| port != 0);
    port.ok_or_else(|| "a port is a number from 1 to 65535".into())
}

fn seq(text: &str) -> Result<i64, String> {
    let seq = text.trim().parse().ok().filter(|&seq| seq >= 0);
    seq.ok_or_else(|| format!("a sequence number is a whole number from 0 to {}", i64::MAX))
}

fn salt(text: &str) -> Result<Salt, String> {
    Salt::new(text.as_bytes())
        .map_err(|_| format!("it has {} bytes; a salt has at most {MAX_SALT}", text.len()))
}

/// The bytes that `N` pairs of hexadecimal digits stand for.
pub(super) fn hex<const N: usize>(text: &str, what: &str) -> Result<[u8; N], String> {
    let text = text.trim();
    let expected = format!("{what} has {} hexadecimal digits", 2 * N);
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("{odd:?} is no hexadecimal digit; {expected}"));
    }
    if text.len() != 2 * N {
        return Err(format!("it has {} digits; {expected}", text.len()));
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).map_err(|_| expected.clone())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal() {
        assert_eq!(hex("00fF", "it"), Ok([0, 255]));
        assert_eq!(hex::<2>("00f", "a key").unwrap_err(), "it has 3 digits; a key has 4 hexadecimal digits");
        assert_eq!(
            hex::<2>("00fg", "a key").unwrap_err(),
            "'g' is no hexadecimal digit; a key has 4 hexadecimal digits"
        );
        assert!(hex::<2>("", "a key").is_err() && hex::<1>("+1", "a key").is_err());
        assert!(hex::<2>("éé", "a key").is_err());
    }

    #[test]
    fn numbers() {
        assert_eq!((port("1"), port(" 65535 ")), (Ok(1), Ok(65535)));
        assert!(["0", "65536", "-1", "", "x"].iter().all(|text| port(text).is_err()));
        assert_eq!(seq("9223372036854775807"), Ok(i64::MAX));
        assert!(["-1", "9223372036854775808", "1.5", ""].iter().all(|text| seq(text).is_err()));
        assert!(salt(&"x".repeat(64)).is_ok());
        assert_eq!(salt(&"x".repeat(65)).unwrap_err(), "it has 65 bytes; a salt has at most 64");
    }
}
