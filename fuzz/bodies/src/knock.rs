use std::sync::LazyLock;

use folkmoot_core::base::UnixTime;
use folkmoot_core::meeting::knock::{self, KnockError, RECORD};
use folkmoot_core::meeting::{Epoch, EpochKeys, Keys, Master, Roster, Ufrag};
use folkmoot_core::wire::stun::{Builder, Class, Message, Method};

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::derive(&Master([3; 32])));
static EPOCHS: LazyLock<[EpochKeys; 2]> =
    LazyLock::new(|| [KEYS.epoch(Epoch(20_000)), KEYS.epoch(Epoch(20_001))]);

/// A stranger's message is no knock; a member's is one, whatever its record. USERNAMEs of checks come back as they went.
pub fn knock(bytes: &[u8]) {
    if let Ok(message) = Message::parse(bytes) {
        assert!(knock::verify_request(EPOCHS.as_slice(), &message).is_err());
        assert!(knock::verify_answer(&KEYS, &EPOCHS[0], &Roster::default(), &message).is_err());

        // The same, said by who knows the code.
        let mut member = Builder::new(message.class(), message.method(), message.transaction_id());
        member = member.username(&EPOCHS[1].knock_ufrag);
        for attribute in message.attributes() {
            member = member.attribute(attribute.kind, attribute.value);
        }
        check(&member.integrity_sha256(EPOCHS[1].knock_pwd.as_bytes()).finish(), &message);
    }
    if let Some(ufrag) = Ufrag::parse(bytes) {
        assert_eq!(Ufrag::parse(ufrag.to_string().as_bytes()), Some(ufrag));
    }
    if let Some((recipient, sender)) = Ufrag::parse_username(bytes) {
        let again = format!("{recipient}:{sender}");
        assert_eq!(Ufrag::parse_username(again.as_bytes()), Some((recipient, sender)));
    }
}

fn check(knock: &[u8], original: &Message<'_>) {
    let knock = Message::parse(knock).expect("what is built parses");
    match knock::verify_request(EPOCHS.as_slice(), &knock) {
        Ok(verified) => {
            assert_eq!(verified.epoch, EPOCHS[1].epoch);
            assert!(
                verified.open(&KEYS, &Roster::default(), UnixTime::from_millis(0)).is_err(),
                "nobody guesses a seal"
            );
        }
        Err(error) => assert!(match error {
            KnockError::Other => (original.class(), original.method()) != (Class::Request, Method::BINDING),
            KnockError::Incomplete => knock.attribute(RECORD).is_none(),
            KnockError::Integrity | KnockError::Record(_) | KnockError::Old => false,
        }),
    }
    assert!(knock::verify_answer(&KEYS, &EPOCHS[1], &Roster::default(), &knock).is_err());
}
