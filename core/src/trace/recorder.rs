use minicbor::encode::Encoder;
use sha2::{Digest as _, Sha256};

use super::config::Encoded;
use super::glance::Glance;
use super::item::{End, Start, encode_end, encode_input, encode_output, encode_seen, encode_start};
use super::reader::Extent;
use super::redact::Redactor;
use super::{MAGIC, MAX_FRAME, VERSION};
use crate::base::{Time, UnixTime};
use crate::node::{Config, Input, Node, Output};

/// Writes a trace. The shell tells it every input before the node gets it and every output after the node gave it, and puts
/// what [`Recorder::take`] gives into a file.
#[derive(Debug)]
pub struct Recorder {
    extent: Extent,
    redactor: Redactor,
    pending: Vec<u8>,
    /// Bytes so far, and how many there may be.
    written: u64,
    limit: u64,
    digests: Digests,
    is_full: bool,
}

/// What an [`Item::End`](super::Item::End) takes: its frame, and CBOR around 17 bytes.
const END_BYTES: u64 = 40;

impl Recorder {
    /// Makes a node as [`Node::new`] does, and begins its trace, of at most `limit` bytes.
    pub fn start(
        extent: Extent,
        limit: u64,
        config: Config,
        entropy: [u8; 32],
        now: Time,
        unix: UnixTime,
    ) -> (Node, Self) {
        let node = Node::new(config.clone(), entropy, now, unix);
        let mut recorder = Self {
            extent,
            redactor: Redactor::new(extent == Extent::Redacted),
            pending: Vec::new(),
            written: 0,
            limit,
            digests: Digests::default(),
            is_full: false,
        };
        let release = env!("CARGO_PKG_VERSION");
        let head = format!("{MAGIC}{VERSION} {} {release}\n{}\n", extent.name(), extent.warning());
        recorder.written = head.len() as u64;
        recorder.pending = head.into_bytes();
        if extent == Extent::Full {
            let start = Start { config, entropy, now, unix };
            recorder.add(|e| encode_start(e, &start, &node.token()));
        }
        (node, recorder)
    }

    /// The node is about to be given this.
    pub fn input(&mut self, now: Time, input: &Input<'_>) {
        match self.extent {
            Extent::Full => self.add(|e| encode_input(e, now, input)),
            Extent::Redacted => {
                let glance = Glance::of_input(input, &mut self.redactor);
                self.add(|e| encode_seen(e, now, &glance));
            }
        }
    }

    /// The node has said this.
    pub fn output(&mut self, output: &Output) {
        if self.is_full {
            return;
        }
        let mut digests = self.digests.clone();
        let (glance, digest) = (Glance::of_output(output, &mut self.redactor), digests.add(output));
        // A digest of what is small could be guessed back.
        let digest = if self.extent == Extent::Full { digest } else { 0 };
        self.add(|e| encode_output(e, &glance, digest));
        // The end that there was no room for it is over what came before.
        if !self.is_full {
            self.digests = digests;
        }
    }

    /// Nothing may come after this. If something does, the trace goes on.
    pub fn end(&mut self) {
        if !self.is_full {
            self.add_end(false);
        }
    }

    /// What has to be written to the file now.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Whether it has become as large as it may: nothing is added any more.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    fn add(&mut self, encode: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Encoded) {
        if self.is_full {
            return;
        }
        let mut payload = Vec::new();
        // Writing to memory does not fail.
        let _ = encode(&mut Encoder::new(&mut payload));
        if payload.len() > MAX_FRAME || self.written + payload.len() as u64 + 8 + END_BYTES > self.limit {
            self.add_end(true);
            self.is_full = true;
        } else {
            self.frame(&payload);
        }
    }

    fn add_end(&mut self, is_full: bool) {
        let mut payload = Vec::new();
        let hash = if self.extent == Extent::Full { self.digests.hash() } else { [0; 16] };
        let _ = encode_end(&mut Encoder::new(&mut payload), End { is_full, hash });
        self.frame(&payload);
    }

    fn frame(&mut self, payload: &[u8]) {
        self.pending.extend((payload.len() as u32).to_le_bytes());
        self.pending.extend(crc32fast::hash(payload).to_le_bytes());
        self.pending.extend(payload);
        self.written += 8 + payload.len() as u64;
    }
}

/// Digests of outputs, and the hash over all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Digests(Sha256);

impl Digests {
    /// Takes in an output, and gives its digest.
    pub(super) fn add(&mut self, output: &Output) -> u32 {
        let mut hash = Sha256::new();
        match output {
            Output::Transmit(it) => {
                hash.update(format!("{} {:?} {} ", it.socket.0, it.local, it.to));
                hash.update(&it.bytes);
            }
            other => hash.update(format!("{other:?}")),
        }
        let hash = hash.finalize();
        self.0.update(hash);
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// The hash so far.
    pub(super) fn hash(&self) -> [u8; 16] {
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.0.clone().finalize()[..16]);
        hash
    }
}
