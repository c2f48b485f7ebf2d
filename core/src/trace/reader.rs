use thiserror::Error;

use super::item::Item;
use super::{MAGIC, MAX_FRAME, VERSION};

/// How much a trace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything, secrets too.
    Full,
    /// What can be shown to strangers.
    Redacted,
}

/// Why bytes are no trace, or how it goes wrong further on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Flaw {
    /// The file does not begin as one.
    #[error("this is no trace of a node")]
    NotATrace,
    /// The format is another.
    #[error(
        "this trace is in version {0} of the format, and version {VERSION} is read here; take the moot-sim of its release"
    )]
    Version(u32),
    /// A frame is not what its checksum says, or makes no sense.
    #[error("this trace is damaged at byte {at}: {why}")]
    Damaged {
        /// Where the frame begins.
        at: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// A trace, to be read item by item.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    extent: Extent,
    release: &'a str,
    bytes: &'a [u8],
    at: usize,
    is_broken: bool,
    is_cut: bool,
    has_ended: bool,
}

impl Extent {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Redacted => "redacted",
        }
    }

    /// What its reader, and whoever is about to send it to somebody, should know.
    pub(super) const fn warning(self) -> &'static str {
        match self {
            Self::Full => {
                "SECRET: holds the meeting codes, the keys of this device for this run, all addresses, and all that was said and heard."
            }
            Self::Redacted => {
                "Holds no code, key, text, name or true address: only what kind of thing came and went when."
            }
        }
    }
}

impl<'a> Trace<'a> {
    /// Whether bytes begin like a trace, of whatever version.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC.as_bytes())
    }

    /// Reads how a trace begins.
    ///
    /// # Errors
    ///
    /// If it is none, or one in another version of the format.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let line = |from: usize| {
            let end = bytes.get(from..)?.iter().take(300).position(|byte| *byte == b'\n')?;
            Some((std::str::from_utf8(&bytes[from..from + end]).ok()?, from + end + 1))
        };
        let (first, second) = line(0).ok_or(Flaw::NotATrace)?;
        let mut words = first.strip_prefix(MAGIC).ok_or(Flaw::NotATrace)?.split(' ');
        let version = words.next().and_then(|word| word.parse().ok()).ok_or(Flaw::NotATrace)?;
        if version != VERSION {
            return Err(Flaw::Version(version));
        }
        let extent = words
            .next()
            .and_then(|word| [Extent::Full, Extent::Redacted].into_iter().find(|it| it.name() == word));
        let (extent, release) = extent.zip(words.next()).ok_or(Flaw::NotATrace)?;
        let (_, at) = line(second).ok_or(Flaw::NotATrace)?;
        Ok(Self { extent, release, bytes, at, is_broken: false, is_cut: false, has_ended: false })
    }

    /// How much it holds.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The release that wrote it. Another one may decide otherwise.
    pub fn release(&self) -> &'a str {
        self.release
    }

    /// Whether what was read so far stops before its end: the process was killed, or the file was cut. A node may have more to say
    /// after its last goodbye, so outputs may follow an end; inputs may not.
    pub fn is_cut(&self) -> bool {
        !self.has_ended
    }

    fn frame(&mut self) -> Option<Result<Item<'a>, Flaw>> {
        let at = self.at;
        let rest = &self.bytes[at..];
        if rest.is_empty() {
            return None;
        }
        let word =
            |at: usize| rest.get(at..at + 4).map(|it| u32::from_le_bytes([it[0], it[1], it[2], it[3]]));
        let Some((length, sum)) = word(0).zip(word(4)) else {
            self.is_cut = true;
            return None;
        };
        let damaged = |why: &str| Some(Err(Flaw::Damaged { at, why: why.into() }));
        if length as usize > MAX_FRAME {
            return damaged("a frame that is too long");
        }
        let Some(payload) = rest.get(8..8 + length as usize) else {
            self.is_cut = true;
            return None;
        };
        if crc32fast::hash(payload) != sum {
            return damaged("the checksum is another");
        }
        self.at += 8 + payload.len();
        match Item::decode(payload) {
            Ok(item) => Some(Ok(item)),
            Err(error) => damaged(&error.to_string()),
        }
    }
}

impl<'a> Iterator for Trace<'a> {
    type Item = Result<Item<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken || self.is_cut {
            return None;
        }
        let next = self.frame();
        match &next {
            Some(Err(_)) => self.is_broken = true,
            Some(Ok(Item::End(_))) => self.has_ended = true,
            Some(Ok(Item::Input(..) | Item::Seen(..))) => self.has_ended = false,
            _ => {}
        }
        next
    }
}
