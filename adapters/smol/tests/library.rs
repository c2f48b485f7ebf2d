//! The library as an application uses it: nodes on real sockets of the loopback interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use folkmoot::{Builder, DhtNode, Error, Event, Folkmoot, Host, Meeting, StateError, Trouble};
use futures_lite::future;

const CODE: &str = "acid-tulip-seven-camel-proof";
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A node that needs nothing beyond this machine.
fn local() -> Builder {
    Folkmoot::builder().bind(LOOPBACK).bootstrap([]).stun([]).ephemeral()
}

/// Runs a test beside a DHT node, given where that is.
fn beside_a_dht<F: Future<Output = ()>>(test: impl FnOnce(Host) -> F) {
    let mut dht = DhtNode::open(&[LOOPBACK], &[], Vec::new()).unwrap();
    let host = Host::Addr(dht.bound()[0]);
    let serve = async { match dht.run(|_| ()).await {} };
    smol::block_on(future::or(test(host), serve));
}

/// The next event for which `pick` has something.
async fn until<T>(meeting: &Meeting, pick: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = meeting.next().await.expect("the meeting goes on");
        if let Some(picked) = pick(&event) {
            return picked;
        }
    }
}

fn text(event: &Event) -> Option<String> {
    match event {
        Event::Message { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[test]
fn two_nodes_meet_talk_and_part() {
    beside_a_dht(|host| async move {
        let join = |name| local().name(name).bootstrap([host.clone()]).join(CODE);
        let (ada, bea) = future::try_zip(join("ada"), join("bea")).await.unwrap();
        let tag = ada.say("hello").await.unwrap();
        let sent = |event: &Event| matches!(event, Event::Sent { tag: t, .. } if *t == tag).then_some(());
        until(&ada, sent).await;
        assert_eq!(until(&bea, text).await, "hello");
        let bea_id = bea.node().member();
        until(&ada, |event| matches!(event, Event::Delivered { to, .. } if *to == bea_id).then_some(()))
            .await;
        let [there] = &ada.members().await.unwrap()[..] else { panic!("not one member") };
        assert_eq!((there.member, there.name.as_str()), (bea_id, "bea"));
        bea.leave().await;
        until(&ada, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
        ada.start_leaving().await;
        until(&ada, |event| matches!(event, Event::Left { .. }).then_some(())).await;
        assert_eq!(ada.next().await, None);
    });
}

#[test]
fn a_meeting_joined_twice_is_refused_and_ends() {
    smol::block_on(async {
        let node = local().start().await.unwrap();
        let first = node.join(CODE).await.unwrap();
        until(&first, |event| matches!(event, Event::Joined { .. }).then_some(())).await;
        let second = node.join(&CODE.to_uppercase()).await.unwrap();
        let refused = |event: &Event| {
            matches!(event, Event::Trouble { trouble: Trouble::AlreadyJoined, .. }).then_some(())
        };
        until(&second, refused).await;
        assert_eq!(second.next().await, None);
    });
}

#[test]
fn what_cannot_be_said_or_joined_is_told_at_once() {
    smol::block_on(async {
        assert!(matches!(local().join("abc").await, Err(Error::Code(_))));
        let meeting = local().weak_codes(true).join("abc").await.unwrap();
        assert!(matches!(meeting.say("").await, Err(Error::BadMessage(0))));
        assert!(matches!(meeting.say("x".repeat(9_000)).await, Err(Error::BadMessage(9_000))));
    });
}

#[test]
fn a_node_let_go_frees_its_profile_and_comes_back_as_itself() {
    let dir = TempDir(std::env::temp_dir().join(format!("folkmoot-library-{}", std::process::id())));
    let start = || Folkmoot::builder().bootstrap([]).stun([]).state_dir(&dir.0).profile("ada").start();
    smol::block_on(async {
        let node = start().await.unwrap();
        let (device, ports) = (node.device(), ports_of(&node));
        let held = start().await;
        assert!(matches!(&held, Err(Error::State(StateError::InUse(name))) if name == "ada"), "{held:?}");
        drop(node);
        // It is freed by the node's own thread, as soon as that has ended.
        let again = loop {
            match start().await {
                Err(Error::State(StateError::InUse(_))) => future::yield_now().await,
                again => break again.unwrap(),
            }
        };
        assert_eq!((again.device(), ports_of(&again)), (device, ports));
    });
}

fn ports_of(node: &Folkmoot) -> Vec<u16> {
    node.bound().iter().map(SocketAddr::port).collect()
}

struct TempDir(PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
