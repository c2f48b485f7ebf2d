//! `moot dht get` and `put`: items of BEP 44.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Read as _};
use std::time::{Instant, SystemTime};

use folkmoot::InfoHash;
use folkmoot::core::dht::{Author, Item, ItemError, ItemId, MutableItem, Salt, Value};

use super::args::{GuestOptions, Key, Signing};
use super::guest::{self, Failure, Report};
use super::key;
use super::lines::{self, ItemLine, hex};
use crate::exit::Exit;
use crate::text;

/// The longest byte string whose bencoding has at most 1000 bytes.
const MAX_BYTES: usize = 996;

pub(super) fn get(
    target: Option<InfoHash>,
    key: Option<Key>,
    salt: Option<Salt>,
    options: &GuestOptions,
    started: Instant,
) -> Exit {
    let id = match key {
        Some(Key(key)) => ItemId::Mutable { key, salt: salt.unwrap_or_default() },
        None => ItemId::Immutable(target.unwrap_or_default()),
    };
    guest::run(options, started, async |guest| {
        let target = id.target();
        let mut search = guest.dht.get(id.clone()).await?;
        let mut newest = None;
        let found = async {
            while let Some(item) = search.next().await {
                newest = Some(item);
            }
        };
        let in_time = guest.in_time(target, found).await.is_some();
        let Some(item) = newest else {
            return Err(missing(&id, in_time, search.answered()));
        };
        show(&guest.report, &item)?;
        if !in_time && item.seq().is_some() {
            guest.report.note("time is up; there may be a newer version");
        }
        Ok(Exit::Success)
    })
}

fn missing(id: &ItemId, in_time: bool, answered: Option<usize>) -> Failure {
    match (answered, id) {
        _ if !in_time => Failure::nothing("time is up, and no item was found", "allow more with --timeout"),
        (Some(0) | None, _) => Failure::nobody("no node answered", "try again in a moment"),
        (Some(answered), ItemId::Immutable(target)) => Failure::nothing(
            format!("no item is stored at {target}. {answered} nodes answered."),
            "items are gone two hours after they were put; one with a key is found by --public-key",
        ),
        (Some(answered), ItemId::Mutable { .. }) => Failure::nothing(
            format!("no item of that key and salt is stored. {answered} nodes answered."),
            "items are gone two hours after they were put; check the key and --salt",
        ),
    }
}

fn show(report: &Report, item: &Item) -> Result<(), Failure> {
    let value = lines::value(item);
    if report.is_json() {
        return report.result("item", ItemLine::new(item), "");
    }
    if io::stdout().is_terminal() {
        report.result("item", (), text::message(&text::lossy(value)))?;
    } else {
        report.raw(value)?;
    }
    if let Item::Mutable(item) = item {
        report.note(format_args!("number {}, signed by {}", item.seq(), hex(item.key())));
    }
    Ok(())
}

pub(super) fn put(
    value: &str,
    signing: &Signing,
    stay: bool,
    options: &GuestOptions,
    started: Instant,
) -> Exit {
    let item = match item(value, signing) {
        Ok(item) => item,
        Err(failure) => return Report::new(options, started).fail(&failure),
    };
    guest::run(options, started, async |guest| {
        let target = item.target();
        if stay {
            let tell = |outcome| match outcome {
                // If nobody reads it, it is kept all the same.
                Ok(nodes) => drop(guest.report.result("stored", lines::stored(target, nodes, &item), target)),
                Err(why) => {
                    guest.report.note(format_args!("not stored this time: {why}; trying again in a minute"))
                }
            };
            guest.report.note("storing it again every hour; Ctrl-C ends that");
            return Err(guest.dht.keep(item.clone(), tell).await.into());
        }
        let nodes = guest.must(target, guest.dht.put(item.clone(), signing.cas)).await?;
        guest.report.result("stored", lines::stored(target, nodes, &item), target)?;
        let s = if nodes == 1 { "" } else { "s" };
        match &item {
            Item::Immutable(_) => guest.report.note(format_args!(
                "stored at {nodes} node{s} for about two hours; read it with  moot dht get {target}"
            )),
            Item::Mutable(mutable) => {
                let salt = mutable.salt().as_bytes();
                let salt = match salt.is_empty() {
                    true => String::new(),
                    false => format!(" --salt '{}'", text::name(&text::lossy(salt))),
                };
                guest.report.note(format_args!(
                    "number {} stored at {nodes} node{s} for about two hours; read it with  moot dht get --public-key {}{salt}",
                    mutable.seq(),
                    hex(mutable.key())
                ));
            }
        }
        Ok(Exit::Success)
    })
}

/// The item that is to be put.
fn item(value: &str, signing: &Signing) -> Result<Item, Failure> {
    let (bytes, is_all) = match value {
        "-" => (Cow::Owned(read_stdin()?), false),
        value => (Cow::Borrowed(value.as_bytes()), true),
    };
    let value = Value::bytes(&bytes).map_err(|_| too_long(bytes.len(), is_all))?;
    let Some(path) = &signing.key else { return Ok(Item::Immutable(value)) };
    let author: Author = if signing.new_key { key::create(path)? } else { key::load(path)? };
    let seq = signing.seq.unwrap_or_else(milliseconds);
    let signed = MutableItem::sign(&author, signing.salt.clone().unwrap_or_default(), seq, value);
    signed.map(Item::from).map_err(|error: ItemError| Failure::usage(error.to_string(), ""))
}

fn too_long(len: usize, is_all: bool) -> Failure {
    let at_least = if is_all { "" } else { " or more" };
    Failure::usage(
        format!("the value has {len} bytes{at_least}; an item has at most {MAX_BYTES} (1000 when bencoded)"),
        "shorten it, or put several items",
    )
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    io::stdin()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::machine(format!("the input cannot be read: {error}"), ""))?;
    Ok(bytes)
}

fn milliseconds() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
