use folkmoot_core::wire::frame;
use folkmoot_core::wire::frame::control::{Control, MAX_DIGESTS, MAX_LIST};
use folkmoot_core::wire::frame::log::{Frame, MAX_ADMITS, MAX_BODY, MAX_HAVES, MAX_TEXT};

/// Parses a frame of the control channel; what parses is encoded to what parses as the same.
pub fn frame_control(bytes: &[u8]) {
    let Some((meeting, body)) = frame::open(bytes) else { return };
    let Ok(control) = Control::parse(body) else { return };
    let listed = match &control {
        Control::Members(list) | Control::Departed(list) => list.len(),
        Control::Addresses(list) => list.len(),
        Control::Known(list) | Control::Want(list) => {
            assert!(list.len() <= MAX_DIGESTS);
            0
        }
        _ => 0,
    };
    assert!(listed <= MAX_LIST);
    let encoded = frame::enclose(meeting, &control.encode());
    let Some((again, body)) = frame::open(&encoded) else { panic!("a frame that cannot be opened") };
    assert_eq!((again, Control::parse(body)), (meeting, Ok(control)));
}

/// Parses a frame of the log channel; what parses keeps to the limits, and is encoded to what parses as the same.
pub fn frame_log(bytes: &[u8]) {
    let Some((meeting, body)) = frame::open(bytes) else { return };
    let Ok(log) = Frame::parse(body) else { return };
    match &log {
        Frame::Have(haves) => assert!(haves.logs.len() <= MAX_HAVES),
        Frame::Entries(entries) => {
            assert!(entries.from.checked_add(entries.entries.len() as u64).is_some());
            for entry in &entries.entries {
                assert!((1..=MAX_TEXT).contains(&entry.text.len()) && entry.admits.len() <= MAX_ADMITS);
            }
        }
        Frame::Admission(_, admission) => assert!(admission.admits.len() <= MAX_ADMITS),
        Frame::Unknown(_) => {}
    }
    let encoded = frame::enclose(meeting, &log.encode());
    assert!(encoded.len() <= MAX_BODY + 3, "{} bytes from {}", encoded.len(), bytes.len());
    let Some((again, body)) = frame::open(&encoded) else { panic!("a frame that cannot be opened") };
    assert_eq!((again, Frame::parse(body)), (meeting, Ok(log)));
}
