//! One node in two meetings: says hello in each, and leaves each once it was answered. Start it twice, with two names.
//!
//!     cargo run -p folkmoot --example two_meetings -- NAME BOOTSTRAP CODE CODE
//!
//! Both meetings of the two share one link between them.

use std::error::Error;

use folkmoot::{Event, Folkmoot, Meeting};
use futures_lite::future;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, bootstrap, first, second] = &arguments[..] else {
        return Err("give a name, the HOST:PORT of a DHT node, and two codes".into());
    };
    smol::block_on(async {
        let builder = Folkmoot::builder().name(name).ephemeral().bootstrap([bootstrap.parse()?]).stun([]);
        let node = builder.start().await?;
        let (first, second) = (node.join(first).await?, node.join(second).await?);
        future::try_zip(converse("first", first), converse("second", second)).await?;
        Ok(())
    })
}

async fn converse(label: &str, meeting: Meeting) -> Result<(), folkmoot::Error> {
    // Kept until someone is there to hear it.
    meeting.say(format!("hello in the {label}")).await?;
    let (mut has_heard, mut was_heard) = (false, false);
    while !(has_heard && was_heard) {
        match meeting.next().await.ok_or(folkmoot::Error::Closed)? {
            Event::Message { name, text, .. } => {
                println!("{label}: {name} says {text:?}");
                has_heard = true;
            }
            Event::Delivered { .. } => was_heard = true,
            // Who leaves first may not wait to confirm the last thing it heard.
            Event::Disconnected { .. } if has_heard => break,
            _ => {}
        }
    }
    meeting.leave().await;
    Ok(())
}
