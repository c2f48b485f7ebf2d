//! One node in two meetings at once: it greets whoever comes, in each, and ends when it was greeted in both.
//!
//!     cargo run -p folkmoot-cli -- dht serve --bind 127.0.0.1:6881
//!     cargo run -p folkmoot --example two_meetings -- ada 127.0.0.1:6881 first-code second-code
//!     cargo run -p folkmoot --example two_meetings -- bo 127.0.0.1:6881 first-code second-code

use std::error::Error;

use folkmoot::{Event, Folkmoot, Host, Meeting};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, bootstrap, first, second] = args.as_slice() else {
        return Err("usage: two_meetings NAME HOST:PORT CODE CODE".into());
    };
    let host: Host = bootstrap.parse()?;
    smol::block_on(async {
        let node = Folkmoot::builder().name(name).bootstrap([host]).stun([]).ephemeral().start().await?;
        let (mut first, mut second) = (node.join(first).await?, node.join(second).await?);
        let (one, two) =
            futures_lite::future::zip(greet("first", &mut first), greet("second", &mut second)).await;
        one?;
        two?;
        first.leave().await;
        second.leave().await;
        Ok(())
    })
}

/// Greets whoever comes, until it was greeted and its greeting has arrived.
async fn greet(label: &str, meeting: &mut Meeting) -> Result<(), folkmoot::Error> {
    let (mut heard, mut delivered) = (false, false);
    while let Some(event) = meeting.next().await {
        match event {
            Event::Connected { name, path, .. } => {
                println!("{label}: {name} is here ({path:?})");
                meeting.say(format!("hello in the {label}")).await?;
            }
            Event::Message { name, text, .. } => {
                println!("{label}: {name} says {text:?}");
                heard = true;
            }
            Event::Delivered { .. } => delivered = true,
            _ => {}
        }
        if heard && delivered {
            break;
        }
    }
    Ok(())
}
