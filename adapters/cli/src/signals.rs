use std::thread;

use async_channel::Receiver;
use async_signal::{Signal, Signals};
use futures_lite::{StreamExt as _, future};

use crate::exit::Exit;

/// Tells of the first Ctrl-C, SIGTERM or SIGHUP. A second one ends the process at once, whatever it is doing: the thread
/// that waits for it does nothing else.
pub(crate) fn start() -> Receiver<()> {
    let (told, receiver) = async_channel::bounded(1);
    let wait = move || {
        let mut signals = match Signals::new(ENDS) {
            Ok(signals) => signals,
            // Then they do what they do to every program.
            Err(error) => return tracing::error!(%error, "signals cannot be handled"),
        };
        future::block_on(async {
            signals.next().await;
            let _ = told.try_send(());
            signals.next().await;
        });
        std::process::exit(Exit::Interrupted.number().into());
    };
    if let Err(error) = thread::Builder::new().name("signals".into()).spawn(wait) {
        tracing::error!(%error, "signals cannot be handled");
    }
    receiver
}

#[cfg(unix)]
const ENDS: [Signal; 3] = [Signal::Int, Signal::Term, Signal::Hup];
#[cfg(not(unix))]
const ENDS: [Signal; 1] = [Signal::Int];
