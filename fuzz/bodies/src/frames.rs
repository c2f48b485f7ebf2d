use folkmoot_core::wire::frame;
use folkmoot_core::wire::frame::control::{Control, MAX_LIST};

/// Parses a frame of the control channel; what parses is encoded to what parses as the same.
pub fn frame_control(bytes: &[u8]) {
    let Some((meeting, body)) = frame::open(bytes) else { return };
    let Ok(control) = Control::parse(body) else { return };
    let listed = match &control {
        Control::Members(list) | Control::Departed(list) => list.len(),
        Control::Addresses(list) => list.len(),
        _ => 0,
    };
    assert!(listed <= MAX_LIST);
    let encoded = frame::enclose(meeting, &control.encode());
    let Some((again, body)) = frame::open(&encoded) else { panic!("a frame that cannot be opened") };
    assert_eq!((again, Control::parse(body)), (meeting, Ok(control)));
}
