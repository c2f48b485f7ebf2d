//! `moot dht`: the DHT alone.

mod args;
mod find;
mod guest;
mod items;
mod key;
mod lines;
mod look;
mod serve;

use std::time::Instant;

pub(crate) use args::DhtCommand;

use crate::exit::Exit;

pub(crate) fn run(command: DhtCommand, started: Instant) -> Exit {
    match command {
        DhtCommand::Serve(options) => serve::run(&options, started),
        DhtCommand::Ping { addr, options } => find::ping(&addr, &options, started),
        DhtCommand::Lookup { topic, code, weak_code, scrape, options } => {
            find::lookup(topic, (code.as_deref(), weak_code), scrape, &options, started)
        }
        DhtCommand::Announce { topic, port, options } => find::announce(topic, port, &options, started),
        DhtCommand::Get { target, public_key, salt, options } => {
            items::get(target, public_key, salt, &options, started)
        }
        DhtCommand::Put { value, signing, stay, options } => {
            items::put(&value, &signing, stay, &options, started)
        }
        DhtCommand::Key { file, json } => key::make(&file, json, started),
        DhtCommand::Stats(options) => look::stats(&options, started),
        DhtCommand::Table(options) => look::table(&options, started),
    }
}
