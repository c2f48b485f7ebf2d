//! The public hosts a node starts from when it is told of none. All the rest of the network it learns from others.

use folkmoot_core::base::Host;

/// Long-lived DHT nodes, of five operators. Any one that answers is enough. The last has only an IPv6 address, and some networks have
/// nothing else.
pub const BOOTSTRAP: [(&str, u16); 5] = [
    ("dht.libtorrent.org", 25401),
    ("dht.transmissionbt.com", 6881),
    ("router.bt.ouinet.work", 6881),
    ("relay.pkarr.org", 6881),
    ("router.silotis.us", 6881),
];

/// STUN servers, of three operators. A meeting works without any; they only tell our public address sooner.
pub const STUN: [(&str, u16); 3] =
    [("stun.l.google.com", 19302), ("stun.cloudflare.com", 3478), ("global.stun.twilio.com", 3478)];

/// [`BOOTSTRAP`] as a node wants it.
pub fn bootstrap() -> Vec<Host> {
    hosts(&BOOTSTRAP)
}

/// [`STUN`] as a node wants it.
pub fn stun() -> Vec<Host> {
    hosts(&STUN)
}

fn hosts(list: &[(&str, u16)]) -> Vec<Host> {
    list.iter().map(|&(name, port)| Host::Name(name.into(), port)).collect()
}
