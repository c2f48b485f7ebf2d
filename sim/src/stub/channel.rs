use std::collections::VecDeque;

use folkmoot_core::base::{Rng, Time};
use folkmoot_core::peer::{Refused, SecureChannel, SecureOutput};
use sha2::{Digest as _, Sha256};

use super::record::{self, Content, Epoch, OVERHEAD, Raw, Seal, Unseal};
use super::timers::Timers;

/// One end of a stand-in for DTLS 1.3: see the [module](super).
///
/// Each of the four flights is one datagram, as those of real links are: a ClientHello that is padded to the MTU, the server's six
/// records, the client's three, and the acknowledgement of those. A test holds their sizes against DTLS's.
#[derive(Debug)]
pub struct SimDtls {
    certificate: Box<[u8]>,
    mtu: usize,
    timers: Timers,
    is_client: bool,
    /// When the timers ran last; like DTLS's, this end knows no other time.
    now: Time,
    state: State,
    /// Which of our flights would be sent again.
    flight: Flight,
    /// The random of our hello.
    random: [u8; 32],
    /// How many unprotected records were sent.
    plain_sent: u64,
    /// SHA-256 of the ClientHello.
    hello: [u8; 32],
    handshake: Option<Keys>,
    data: Option<Keys>,
    peer_certificate: Vec<u8>,
    /// What was to be sent before it could be.
    queued: Vec<Vec<u8>>,
    said_goodbye: bool,
    heard_goodbye: bool,
    events: VecDeque<Event>,
    received: VecDeque<Vec<u8>>,
    datagrams: VecDeque<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The client has not said hello yet, or the server has not heard one.
    Start,
    /// One flight has been sent.
    Shaking,
    /// Data can be sent.
    Open,
    /// Given up.
    Aborted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Flight {
    None,
    ClientHello,
    Server,
    /// The client's last, with the numbers of all records that it ever was.
    Client(Vec<u64>),
    /// Names the records that it acknowledges.
    Ack(Vec<u64>),
}

#[derive(Debug)]
struct Keys {
    secret: [u8; 32],
    seal: Seal,
    unseal: Unseal,
}

#[derive(Debug)]
enum Event {
    Certificate,
    Secured,
    Goodbye,
}

/// Handshake messages (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const CERTIFICATE_REQUEST: u8 = 13;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;

/// The header of a handshake message, in bytes (RFC 9147 §5.2).
const MESSAGE_HEADER: usize = 12;
/// How much precedes a certificate in its message, and follows it.
const AROUND_CERTIFICATE: (usize, usize) = (7, 2);
/// More packets than this wait for no handshake, and for nobody to take them: SCTP starts with a window of four.
const QUEUED: usize = 64;

impl SecureChannel for SimDtls {
    fn new(certificate: &[u8], mtu: usize, rng: Rng, now: Time) -> Self {
        Self {
            certificate: certificate.into(),
            mtu,
            timers: Timers::new(rng),
            is_client: false,
            now,
            state: State::Start,
            flight: Flight::None,
            random: [0; 32],
            plain_sent: 0,
            hello: [0; 32],
            handshake: None,
            data: None,
            peer_certificate: Vec::new(),
            queued: Vec::new(),
            said_goodbye: false,
            heard_goodbye: false,
            events: VecDeque::new(),
            received: VecDeque::new(),
            datagrams: VecDeque::new(),
        }
    }

    fn set_client(&mut self, client: bool) {
        self.is_client = client;
        self.random = self.timers.rng().array();
    }

    fn handle_datagram(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        while !rest.is_empty() && self.state != State::Aborted && !self.heard_goodbye {
            let (raw, after) = record::split(rest).ok_or(Refused::Malformed)?;
            rest = after;
            match raw {
                Raw::Plain(message) => self.plain(message),
                Raw::Sealed { epoch, low, body } => self.sealed(epoch, low, body),
                Raw::Other => {}
            }
        }
        Ok(())
    }

    fn on_wake(&mut self, now: Time) -> Result<(), Refused> {
        self.now = now;
        if self.timers.on_wake(now)? {
            self.send_flight();
        }
        if self.is_client && self.state == State::Start {
            self.state = State::Shaking;
            self.begin_flight(Flight::ClientHello);
        }
        Ok(())
    }

    fn poll<'a>(&mut self, buffer: &'a mut [u8]) -> SecureOutput<'a> {
        match self.events.pop_front() {
            Some(Event::Certificate) => {
                return SecureOutput::Certificate(copy(buffer, &self.peer_certificate));
            }
            Some(Event::Secured) => return SecureOutput::Secured,
            Some(Event::Goodbye) => return SecureOutput::Goodbye,
            None => {}
        }
        if self.state == State::Open
            && let Some(packet) = self.received.pop_front()
        {
            return SecureOutput::Packet(copy(buffer, &packet));
        }
        if let Some(datagram) = self.datagrams.pop_front() {
            if self.is_client {
                self.timers.begin_handshake(self.now);
            }
            self.timers.sent(self.now);
            return SecureOutput::Datagram(copy(buffer, &datagram));
        }
        // A client that has not begun wants to at once.
        let at =
            if self.is_client && self.state == State::Start { Some(self.now) } else { self.timers.next() };
        SecureOutput::Idle(at)
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Refused> {
        if self.said_goodbye || self.state == State::Aborted {
            return Err(Refused::Closed);
        }
        match &mut self.data {
            Some(_) if self.state == State::Open => self.send_record(Content::Data, packet),
            _ if self.queued.len() < QUEUED => self.queued.push(packet.to_vec()),
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) {
        if self.said_goodbye || self.state == State::Aborted {
            return;
        }
        if self.state != State::Open {
            // There is nobody yet to say goodbye to.
            self.datagrams.clear();
            self.state = State::Aborted;
        } else {
            self.send_record(Content::Alert, &[1, 0]);
            self.said_goodbye = true;
        }
        self.flight = Flight::None;
        self.timers.stop_flight();
        self.timers.end_handshake();
    }

    fn is_client(&self) -> bool {
        self.is_client
    }

    fn is_closed(&self) -> bool {
        let is_over = self.state == State::Aborted || (self.said_goodbye && self.heard_goodbye);
        is_over && self.events.is_empty() && self.datagrams.is_empty()
    }
}

impl SimDtls {
    /// An unprotected handshake message.
    fn plain(&mut self, message: &[u8]) {
        match message.first() {
            Some(&CLIENT_HELLO) if !self.is_client && self.state == State::Start => {
                self.timers.begin_handshake(self.now);
                self.hello = Sha256::digest(message).into();
                let answer = server_hello(&self.random);
                self.share(&answer);
                // What overtakes the client's last flight can be read already, and is kept until that has come.
                self.share_data(&self.certificate.clone());
                self.state = State::Shaking;
                self.begin_flight(Flight::Server);
            }
            // It has not heard our answer.
            Some(&CLIENT_HELLO) if !self.is_client => self.repeat_flight(),
            Some(&SERVER_HELLO) if self.is_client && self.handshake.is_none() => self.share(message),
            _ => {}
        }
    }

    /// The secret of the handshake is a function of both hellos, to the last bit.
    fn share(&mut self, server_hello: &[u8]) {
        let secret = Sha256::new().chain_update(self.hello).chain_update(server_hello).finalize().into();
        self.handshake = Some(Keys::new(secret, Epoch::Handshake, self.is_client));
    }

    /// The secret of what follows is also one of who the server is. Who the client is shows in its flight, before which
    /// nothing is let through.
    fn share_data(&mut self, server: &[u8]) {
        let Some(handshake) = &self.handshake else { return };
        let secret = Sha256::new()
            .chain_update(handshake.secret)
            .chain_update(Sha256::digest(server))
            .finalize()
            .into();
        self.data = Some(Keys::new(secret, Epoch::Data, self.is_client));
    }

    fn sealed(&mut self, epoch: Epoch, low: u16, body: &[u8]) {
        let keys = match epoch {
            // A client is done with these once it has answered them.
            Epoch::Handshake if self.is_client && self.state == State::Open => return,
            Epoch::Handshake => &mut self.handshake,
            Epoch::Data => &mut self.data,
        };
        let Some((number, content, message)) = keys.as_mut().and_then(|keys| keys.unseal.open(low, body))
        else {
            return;
        };
        match content {
            Content::Handshake => self.handshake(number, &message),
            Content::Ack => self.acknowledged(&message),
            Content::Data if self.received.len() < QUEUED => self.received.push_back(message),
            Content::Alert if self.state == State::Open && !self.heard_goodbye => {
                self.heard_goodbye = true;
                self.events.push_back(Event::Goodbye);
            }
            Content::Data | Content::Alert => {}
        }
    }

    /// A message of the other end's one protected flight.
    fn handshake(&mut self, number: u64, message: &[u8]) {
        let Some((header, body)) = message.split_at_checked(MESSAGE_HEADER) else { return };
        if self.state == State::Open {
            // The client has not heard our acknowledgement.
            if !self.is_client && header[0] == FINISHED {
                self.repeat_flight();
            }
            return;
        }
        if let Flight::Ack(numbers) = &mut self.flight {
            numbers.push(number);
        } else if !self.is_client && self.state == State::Shaking {
            self.flight = Flight::Ack(vec![number]);
            self.timers.stop_flight();
        }
        match header[0] {
            CERTIFICATE => {
                let (before, after) = AROUND_CERTIFICATE;
                self.peer_certificate =
                    body.get(before..body.len().saturating_sub(after)).unwrap_or_default().to_vec();
                self.events.push_back(Event::Certificate);
            }
            FINISHED if !self.peer_certificate.is_empty() => self.open(),
            _ => {}
        }
    }

    /// The other end's flight is complete: the last flight answers it, and data follows.
    fn open(&mut self) {
        if self.is_client {
            self.share_data(&self.peer_certificate.clone());
            self.begin_flight(Flight::Client(Vec::new()));
        } else {
            self.send_flight();
        }
        self.timers.end_handshake();
        self.state = State::Open;
        self.events.push_back(Event::Secured);
        for packet in std::mem::take(&mut self.queued) {
            self.send_record(Content::Data, &packet);
        }
    }

    /// The numbers of the records that the other end has.
    fn acknowledged(&mut self, message: &[u8]) {
        let Flight::Client(sent) = &self.flight else { return };
        let had: Vec<u64> =
            message.get(2..).unwrap_or_default().chunks_exact(16).map(record_number).collect();
        // The flight is one datagram: whoever has a record of it has it all.
        if had.iter().any(|number| sent.contains(number)) {
            self.flight = Flight::None;
            self.timers.stop_flight();
        }
    }

    fn begin_flight(&mut self, flight: Flight) {
        self.timers.begin_flight();
        self.flight = flight;
        self.send_flight();
    }

    /// The other end repeats itself, so what answered it was lost.
    fn repeat_flight(&mut self) {
        if self.flight != Flight::None && self.timers.may_repeat() {
            self.send_flight();
        }
    }

    fn send_flight(&mut self) {
        let mut out = Vec::with_capacity(self.mtu);
        let mut flight = std::mem::replace(&mut self.flight, Flight::None);
        match &mut flight {
            Flight::None => {}
            Flight::ClientHello => {
                let message = client_hello(&self.random, self.mtu);
                self.hello = Sha256::digest(&message).into();
                record::write_plain(&mut out, self.plain_sent, &message);
                self.plain_sent += 1;
            }
            Flight::Server => {
                record::write_plain(&mut out, self.plain_sent, &server_hello(&self.random));
                self.plain_sent += 1;
                self.send_messages(
                    &mut out,
                    1,
                    &[
                        (ENCRYPTED_EXTENSIONS, 11),
                        (CERTIFICATE_REQUEST, 13),
                        (CERTIFICATE, 0),
                        (CERTIFICATE_VERIFY, 75),
                        (FINISHED, 32),
                    ],
                );
            }
            Flight::Client(sent) => {
                let messages = [(CERTIFICATE, 0), (CERTIFICATE_VERIFY, 75), (FINISHED, 32)];
                let first = self.handshake.as_ref().map_or(0, |keys| keys.seal.number());
                sent.extend((0..).take(messages.len()).map(|n| first + n));
                self.send_messages(&mut out, 1, &messages);
            }
            Flight::Ack(numbers) => {
                let mut message = (numbers.len() as u16 * 16).to_be_bytes().to_vec();
                for number in numbers {
                    message.extend(u64::to_be_bytes(Epoch::Handshake as u64));
                    message.extend(number.to_be_bytes());
                }
                if let Some(keys) = &mut self.data {
                    keys.seal.write(&mut out, Content::Ack, &message);
                }
            }
        }
        self.flight = flight;
        debug_assert!(out.len() <= self.mtu, "a flight is one datagram");
        if !out.is_empty() {
            self.datagrams.push_back(out);
        }
    }

    /// Protected handshake messages, each in a record of its own: their types and how long they are, which for a certificate
    /// goes without saying.
    fn send_messages(&mut self, out: &mut Vec<u8>, first: u16, messages: &[(u8, usize)]) {
        let Some(keys) = &mut self.handshake else { return };
        for (sequence, &(kind, length)) in (first..).zip(messages) {
            let (before, after) = AROUND_CERTIFICATE;
            let length = if kind == CERTIFICATE { before + self.certificate.len() + after } else { length };
            let mut message = Vec::with_capacity(MESSAGE_HEADER + length);
            write_message_header(&mut message, kind, sequence, length);
            if kind == CERTIFICATE {
                message.extend([0; AROUND_CERTIFICATE.0]);
                message.extend_from_slice(&self.certificate);
            }
            message.resize(MESSAGE_HEADER + length, 0);
            keys.seal.write(out, Content::Handshake, &message);
        }
    }

    fn send_record(&mut self, content: Content, message: &[u8]) {
        let Some(keys) = &mut self.data else { return };
        let mut out = Vec::with_capacity(message.len() + OVERHEAD);
        keys.seal.write(&mut out, content, message);
        self.datagrams.push_back(out);
    }
}

impl Keys {
    fn new(secret: [u8; 32], epoch: Epoch, is_client: bool) -> Self {
        let seal = Seal::new(epoch, &secret, is_client);
        Self { secret, seal, unseal: Unseal::new(&secret, !is_client) }
    }
}

/// A ClientHello that fills a datagram, so that the answer is no amplification.
fn client_hello(random: &[u8; 32], mtu: usize) -> Vec<u8> {
    const RECORD_HEADER: usize = 13;
    let length = mtu.saturating_sub(RECORD_HEADER + MESSAGE_HEADER).max(200);
    hello(CLIENT_HELLO, random, length)
}

fn server_hello(random: &[u8; 32]) -> Vec<u8> {
    hello(SERVER_HELLO, random, 86)
}

fn hello(kind: u8, random: &[u8; 32], length: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(MESSAGE_HEADER + length);
    write_message_header(&mut message, kind, 0, length);
    message.extend([0xfe, 0xfd]);
    message.extend_from_slice(random);
    message.resize(MESSAGE_HEADER + length, 0);
    message
}

/// Type, length, number, and that the message is whole.
fn write_message_header(out: &mut Vec<u8>, kind: u8, sequence: u16, length: usize) {
    let length = &(length as u32).to_be_bytes()[1..];
    out.push(kind);
    out.extend_from_slice(length);
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend([0; 3]);
    out.extend_from_slice(length);
}

/// The second half of what an acknowledgement says of a record: its epoch, its number.
fn record_number(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(0, |number| u64::from_be_bytes(*number))
}

/// As much of `bytes` as there is room for, which is all.
fn copy<'a>(buffer: &'a mut [u8], bytes: &[u8]) -> &'a [u8] {
    let length = bytes.len().min(buffer.len());
    let buffer = &mut buffer[..length];
    buffer.copy_from_slice(&bytes[..length]);
    buffer
}
