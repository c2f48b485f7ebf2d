//! The way of a packet: from a program, through boxes and links, to a program, or not.

use std::net::{IpAddr, SocketAddr};

use super::{Happening, World};
use crate::engine::host::Sending;
use crate::engine::{End, Fate, HostId, Kind, Place, Record};
use crate::net::{BoxId, DropReason, Glance, Next, Passage, RealmId, packet_size};

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    origin: HostId,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    /// Of the bytes, which nothing on the way changes.
    digest: u64,
    /// The address it was sent to, whatever boxes made of it since.
    sent_to: IpAddr,
    /// The largest fragment it may be in, if its sender was told that the whole does not pass. Fragments stay together: they
    /// are delayed, lost and delivered as one.
    fragment: Option<usize>,
}

impl Packet {
    /// The size of what passes a link at once.
    fn passing(&self) -> usize {
        let whole = packet_size(self.to, self.bytes.len());
        self.fragment.map_or(whole, |fragment| fragment.min(whole))
    }

    fn glance(&self) -> Glance {
        Glance { kind: Kind::of(&self.bytes), fragmented: self.fragment.is_some() }
    }
}

impl World {
    /// A program sends a datagram.
    pub(super) fn send(&mut self, origin: HostId, Sending { from, to, bytes }: Sending) {
        let len = bytes.len();
        let known = self.path_mtus.get(&(origin, to.ip())).copied();
        let fragment = known.filter(|mtu| *mtu < packet_size(to, len));
        let digest = Record::digest_of(&bytes);
        let packet = Packet { origin, from, to, bytes, digest, sent_to: to.ip(), fragment };
        let size = packet.passing();
        let counts = &mut self.seats[origin.0 as usize].counts;
        counts.sent[Kind::of(&packet.bytes) as usize] += 1;
        counts.sent_bytes += len as u64;
        self.counts.sent += 1;
        self.handshakes.extend(client_random(&packet.bytes));
        self.record(&packet, None, Fate::Sent);
        if let Some(watch) = &mut self.watch {
            watch.sent(self.now, origin, packet.to, &packet.bytes);
        }
        let handle = self.packets.insert(packet);
        if let Some((tape, packet)) = self.tape.as_mut().zip(self.packets.get(handle)) {
            let sender = (origin, Place::Host(origin));
            tape.sent(handle, self.now, sender, (packet.from, packet.to), &packet.bytes);
        }
        match self.network.leave(self.now, &self.draws, origin, size) {
            Some((realm, passage)) => {
                self.pass(handle, passage, |packet| Happening::AtRealm { packet, realm });
            }
            None => self.drop_packet(handle, DropReason::NoRoute),
        }
    }

    /// Lets a packet arrive, or arrive twice, or not.
    fn pass(&mut self, handle: u32, passage: Passage, happening: impl Fn(u32) -> Happening) {
        match passage {
            Passage::Dropped(reason) => self.drop_packet(handle, reason),
            Passage::TooBig(mtu) => self.refuse_size(handle, mtu),
            Passage::Arrives(at, again) => {
                self.queue.push(at, happening(handle));
                if let Some(at) = again
                    && let Some(packet) = self.packets.get(handle).cloned()
                {
                    self.counts.duplicated += 1;
                    self.record(&packet, None, Fate::Duplicated);
                    let copy = self.packets.insert(packet);
                    self.tape.iter_mut().for_each(|tape| tape.copied(handle, copy));
                    self.queue.push(at, happening(copy));
                }
            }
        }
    }

    /// Drops a packet that is too big, and tells its sender (RFC 1191, RFC 8201), which sends fragments to that address from then
    /// on. The message takes no time.
    fn refuse_size(&mut self, handle: u32, mtu: u16) {
        if let Some(packet) = self.packets.get(handle) {
            self.path_mtus.insert((packet.origin, packet.sent_to), usize::from(mtu));
        }
        self.drop_packet(handle, DropReason::TooBig);
    }

    /// Delivers a packet to everyone in the realm but its sender, each through a link of its own.
    fn multicast(&mut self, handle: u32, realm: RealmId) {
        let Some(packet) = self.packets.get(handle).cloned() else { return };
        let mut hosts = self.network.neighbours(realm, packet.origin).into_iter();
        let Some(first) = hosts.next() else { return self.drop_packet(handle, DropReason::NoRoute) };
        for host in hosts {
            self.counts.duplicated += 1;
            self.record(&packet, None, Fate::Duplicated);
            let copy = self.packets.insert(packet.clone());
            self.tape.iter_mut().for_each(|tape| tape.copied(handle, copy));
            self.deliver(copy, realm, host);
        }
        self.deliver(handle, realm, first);
    }

    fn deliver(&mut self, handle: u32, realm: RealmId, host: HostId) {
        let size = self.packets.get(handle).map_or(0, Packet::passing);
        let passage = self.network.carry(self.now, &self.draws, realm, Next::Host(host), size);
        self.pass(handle, passage, |packet| Happening::AtHost { packet, host });
    }

    pub(super) fn at_realm(&mut self, handle: u32, realm: RealmId) -> Option<HostId> {
        let packet = self.packets.get_mut(handle)?;
        if packet.to.ip().is_multicast() {
            self.multicast(handle, realm);
            return None;
        }
        let way = (packet.from, packet.to);
        if let Some((at, answer)) = self.network.control(self.now, &self.draws, realm, way, &packet.bytes) {
            return self.answer(handle, realm, at, answer);
        }
        let glance = packet.glance();
        let addresses = (&mut packet.from, &mut packet.to);
        let routed = self.network.route(self.now, &self.draws, realm, glance, addresses);
        let (to, size) = (packet.to, packet.passing());
        if self.tape.is_some()
            && let Some(at) = self.network.way_through(realm, routed, to)
        {
            self.note_place(handle, Place::Box(at));
        }
        let next = match routed {
            Ok(next) => next,
            Err(reason) => {
                self.drop_packet(handle, reason);
                return None;
            }
        };
        let passage = self.network.carry(self.now, &self.draws, realm, next, size);
        self.pass(handle, passage, |packet| match next {
            Next::Host(host) => Happening::AtHost { packet, host },
            Next::Box(at) => Happening::AtBox { packet, at },
            Next::Realm(realm) => Happening::AtRealm { packet, realm },
        });
        None
    }

    /// A box takes a packet that is for itself, and answers. It sends in the name of who asked, having no number as a host.
    fn answer(&mut self, handle: u32, realm: RealmId, at: BoxId, bytes: Vec<u8>) -> Option<HostId> {
        self.note_place(handle, Place::Box(at));
        let request = self.packets.remove(handle)?;
        self.tape.iter_mut().for_each(|tape| tape.ended(handle, self.now, End::Taken(at)));
        self.counts.delivered += 1;
        self.record(&request, None, Fate::Delivered);
        let (origin, digest) = (request.origin, Record::digest_of(&bytes));
        let (from, to, sent_to) = (request.to, request.from, request.from.ip());
        let answer = Packet { origin, from, to, bytes, digest, sent_to, fragment: None };
        self.counts.sent += 1;
        self.record(&answer, None, Fate::Sent);
        let handle = self.packets.insert(answer);
        if let Some((tape, packet)) = self.tape.as_mut().zip(self.packets.get(handle)) {
            tape.sent(handle, self.now, (origin, Place::Box(at)), (packet.from, packet.to), &packet.bytes);
        }
        self.at_realm(handle, realm)
    }

    pub(super) fn at_box(&mut self, handle: u32, at: BoxId) -> Option<HostId> {
        self.note_place(handle, Place::Box(at));
        let packet = self.packets.get_mut(handle)?;
        let glance = packet.glance();
        match self.network.enter(self.now, at, glance, (&mut packet.from, &mut packet.to)) {
            Ok(realm) => self.at_realm(handle, realm),
            Err(reason) => {
                self.drop_packet(handle, reason);
                None
            }
        }
    }

    pub(super) fn at_host(&mut self, handle: u32, host: HostId) -> Option<HostId> {
        self.note_place(handle, Place::Host(host));
        let seat = &mut self.seats[host.0 as usize];
        let origin = self.packets.get(handle)?.origin;
        if seat.program.is_none() || seat.asleep {
            self.drop_packet(handle, DropReason::HostDown);
            return None;
        }
        if self.severed.contains(&(origin, host)) {
            self.drop_packet(handle, DropReason::Partitioned);
            return None;
        }
        let packet = self.packets.remove(handle)?;
        self.tape.iter_mut().for_each(|tape| tape.ended(handle, self.now, End::Delivered(host)));
        seat.counts.received += 1;
        seat.counts.received_bytes += packet.bytes.len() as u64;
        self.counts.delivered += 1;
        self.record(&packet, Some(host), Fate::Delivered);
        if let Some(watch) = &mut self.watch {
            watch.delivered(self.now, host, packet.from, &packet.bytes);
        }
        self.turn(host, |program, cx| program.handle_datagram(cx, packet.to, packet.from, &packet.bytes));
        Some(host)
    }

    /// For the tape, if there is one: where a packet is now, and what is in the table of the NAT there.
    fn note_place(&mut self, handle: u32, place: Place) {
        let Some((tape, packet)) = self.tape.as_mut().zip(self.packets.get(handle)) else { return };
        tape.passed(handle, self.now, place, (packet.from, packet.to));
        if let Place::Box(at) = place
            && let Some(nat) = self.network.nat(at)
        {
            tape.look(self.now, at, nat);
        }
    }

    fn drop_packet(&mut self, handle: u32, reason: DropReason) {
        if let Some(packet) = self.packets.remove(handle) {
            self.tape.iter_mut().for_each(|tape| tape.ended(handle, self.now, End::Dropped(reason)));
            self.counts.dropped[reason as usize] += 1;
            self.record(&packet, None, Fate::Dropped(reason));
        }
    }

    fn record(&mut self, packet: &Packet, to: Option<HostId>, fate: Fate) {
        let (kind, len) = (Kind::of(&packet.bytes), packet.bytes.len() as u32);
        let (at, from, digest) = (self.now, packet.origin, packet.digest);
        self.trace.add(Record { at, from, to, kind, fate, len, digest });
    }
}

/// The random of a DTLS ClientHello (RFC 9147, sections 4 and 5): a plaintext handshake record whose first message it is.
fn client_random(payload: &[u8]) -> Option<[u8; 32]> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let is_hello = payload.first() == Some(&HANDSHAKE) && payload.get(13) == Some(&CLIENT_HELLO);
    // After 13 bytes of record header, 12 of message header and 2 of version.
    payload.get(27..59).filter(|_| is_hello)?.try_into().ok()
}
