use std::time::Duration;

use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::{DtlsVersion, Fingerprint};
use str0m::net::Protocol;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use super::anchor::Moment;
use super::config::{IceCredentials, LinkConfig, LinkError, Role};
use super::endpoint::Endpoint;
use super::event::MAX_MESSAGE;
use super::paths::Paths;
use crate::limits;

/// The stream of the pulse, beside those of [`super::Channel`].
pub(super) const PULSE: usize = 3;

/// Room that the pulse has beyond [`limits::LINK_SEND_BUFFER`].
const PULSE_ROOM: usize = 4 * 1024;

/// First retransmission of a check. Doubles up to [`Tempo::consent`](super::config::Tempo).
const CHECK_RTO: Duration = Duration::from_millis(100);

/// Retransmissions of a check: a pair that never answers is given up after 36 s, and one that answers no more after about 20 s; in a large
/// meeting, both after about twice as long. The pulse is quicker.
const CHECK_RETRANSMITS: usize = 12;

/// A str0m instance with our timing, our cryptography and our limits.
pub(super) fn new_rtc(endpoint: &Endpoint, config: &LinkConfig, now: Moment) -> Rtc {
    let mut rtc = RtcConfig::new()
        .clear_codecs()
        .clear_extension_map()
        .set_crypto_provider(endpoint.crypto.clone())
        .set_dtls_cert(endpoint.dtls.clone())
        .set_dtls_version(DtlsVersion::Dtls13)
        .set_local_ice_credentials(credentials(&config.local))
        .set_sctp_max_buffered_amount(limits::LINK_SEND_BUFFER.iter().sum::<usize>() + PULSE_ROOM)
        .set_sctp_max_message_size(MAX_MESSAGE as u32);
    rtc.set_initial_stun_rto(CHECK_RTO);
    rtc.set_max_stun_rto(config.tempo.consent);
    rtc.set_max_stun_retransmits(CHECK_RETRANSMITS);
    rtc.build(now)
}

/// Settles what others negotiate: roles, credentials, fingerprint, association, channels.
pub(super) fn start(
    rtc: &mut Rtc,
    endpoint: &Endpoint,
    config: &LinkConfig,
    paths: &Paths,
) -> Result<[ChannelId; 4], LinkError> {
    let client = config.role == Role::Client;
    for stand_in in paths.stand_ins() {
        if let Ok(candidate) = Candidate::host(*stand_in, Protocol::Udp) {
            rtc.add_local_candidate(candidate);
        }
    }
    let mut api = rtc.direct_api();
    api.set_ice_controlling(client);
    api.set_remote_ice_credentials(credentials(&config.remote));
    api.set_remote_fingerprint(Fingerprint {
        hash_func: "sha-256".into(),
        bytes: config.fingerprint.0.to_vec(),
    });
    if !client {
        // A ClientHello that comes before this is lost, and its clock only starts with one.
        api.start_dtls(false).map_err(|_| LinkError::Snap)?;
    }
    let mut sctp = endpoint.sctp.clone();
    sctp.set_remote_init_chunk(config.snap.as_bytes().to_vec());
    api.start_sctp_with_snap(client, sctp).map_err(|_| LinkError::Snap)?;
    let mut stream = |id: u16, reliable: bool| {
        api.create_data_channel(ChannelConfig {
            ordered: reliable,
            reliability: match reliable {
                true => Reliability::Reliable,
                false => Reliability::MaxRetransmits { retransmits: 0 },
            },
            negotiated: Some(id),
            ..ChannelConfig::default()
        })
    };
    Ok([stream(0, true), stream(1, true), stream(2, true), stream(PULSE as u16, false)])
}

fn credentials(credentials: &IceCredentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.pwd.clone() }
}
