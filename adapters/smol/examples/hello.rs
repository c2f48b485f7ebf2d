//! Two nodes in one process meet over a DHT of their own on the loopback interface, and greet each other.
//!
//!     cargo run -p folkmoot --example hello

use std::net::{Ipv4Addr, SocketAddr};

use folkmoot::{DhtNode, Error, Event, Folkmoot, Host, generate_code};
use futures_lite::future;

fn main() -> Result<(), Error> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut dht = DhtNode::open(&[loopback], &[], Vec::new())?;
    let entry = Host::Addr(dht.bound()[0]);
    let code = generate_code()?;
    let meet = |name| {
        // On the internet, none of these four lines is needed.
        let local = Folkmoot::builder().bind(loopback).bootstrap([entry.clone()]).stun([]).ephemeral();
        greet(local.name(name), code.as_str())
    };
    let serve = async { match dht.run(|_| ()).await {} };
    let conversation = async { future::try_zip(meet("ada"), meet("bea")).await.map(|_| ()) };
    smol::block_on(future::or(conversation, serve))
}

/// Joins, greets whoever comes, and leaves once greeted back and heard.
async fn greet(node: folkmoot::Builder, code: &str) -> Result<(), Error> {
    let meeting = node.join(code).await?;
    let me = meeting.node().name().to_owned();
    let (mut was_greeted, mut was_heard) = (false, false);
    while !(was_greeted && was_heard) {
        match meeting.next().await.ok_or(Error::Closed)? {
            Event::Connected { name, path, .. } => {
                println!("{me} is connected with {name} ({path:?})");
                meeting.say(format!("hello {name}, this is {me}")).await?;
            }
            Event::Message { name, text, .. } => {
                println!("{me} hears {name}: {text}");
                was_greeted = true;
            }
            Event::Delivered { .. } => was_heard = true,
            // Who leaves first may not wait to confirm the last thing it heard.
            Event::Disconnected { .. } => break,
            _ => {}
        }
    }
    meeting.leave().await;
    println!("{me} has left");
    Ok(())
}
