//! Frames: what members say to each other on the channels of a link.
//!
//! A frame is a CBOR sequence (RFC 8742): a number by which its sender names the meeting, then the body, whose maps
//! have integer keys. Unknown keys and unknown kinds are ignored, so that versions can meet.

pub mod control;
pub mod log;

use minicbor::{Decoder, Encoder};

/// Bytes that the sender's number for the meeting takes at most.
pub const ENVELOPE: usize = 3;

/// Puts the sender's number for the meeting before a body.
pub fn enclose(meeting: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ENVELOPE + body.len());
    // Writing to a vector cannot fail.
    let _ = Encoder::new(&mut frame).u16(meeting);
    frame.extend_from_slice(body);
    frame
}

/// Takes a frame apart into the sender's number for the meeting and the body; `None` if there is no such number.
pub fn open(frame: &[u8]) -> Option<(u16, &[u8])> {
    let mut decoder = Decoder::new(frame);
    let meeting = decoder.u16().ok()?;
    Some((meeting, frame.get(decoder.position()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for meeting in [0, 23, 24, 255, 256, u16::MAX] {
            assert_eq!(open(&enclose(meeting, b"body")), Some((meeting, &b"body"[..])));
        }
        assert_eq!(open(b""), None);
        assert_eq!(open(&[0x1a, 0, 1, 0, 0]), None, "70000 is no meeting");
    }
}
