//! The event loop, a thin one: it hands the node what happens, does what the node says, and sleeps.

use std::future::{pending, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_io::Timer;
use folkmoot_core::base::Wake;
use folkmoot_core::meeting::Code;
use folkmoot_core::node::{
    Answer, Command, Event, Input, MeetingHandle, MemberView, Network, Output, Request, RequestId,
    RequestKind, Tag,
};
use futures_lite::FutureExt as _;

use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::derive;
use crate::kept::Kept;
use crate::resolve;
use crate::sockets::{Datagram, Sockets};
use crate::traced::Traced;

/// Calls that may wait for the loop; beyond that the callers wait.
pub(crate) const MAX_CALLS: usize = 64;

/// Batches of datagrams read from one socket before the other inputs have their turn.
const BATCHES_PER_TURN: usize = 8;

/// How long a datagram waits for room in the kernel's buffer before it is given up, as a network would.
const SEND_PATIENCE: Duration = Duration::from_millis(100);

/// How often the clocks are compared, to notice a sleep or a step.
const CHECK_CLOCK: Duration = Duration::from_secs(5);

/// How often the machine's addresses are read again.
const CHECK_INTERFACES: Duration = Duration::from_secs(10);

/// How long a node that nobody holds any more may take to tell the others that it leaves.
const LINGER: Duration = Duration::from_secs(2);

/// What the handles ask of the loop.
#[derive(Debug)]
pub(crate) enum Call {
    Join { meeting: MeetingHandle, code: Code, events: Sender<Event> },
    Say { meeting: MeetingHandle, tag: Tag, text: String },
    Leave { meeting: MeetingHandle },
    Members { meeting: MeetingHandle, reply: Sender<Vec<MemberView>> },
}

/// A node and everything it is driven with.
pub(crate) struct Driver {
    node: Traced,
    clock: Clock,
    sockets: Sockets,
    /// Open for as long as anyone holds the node.
    calls: Receiver<Call>,
    answer: Sender<(RequestId, Answer)>,
    answered: Receiver<(RequestId, Answer)>,
    delivery: Delivery,
    /// What the node said and is to be done once what waits to be sent is sent.
    said: Option<Output>,
    /// Since when the kernel has no room for what waits to be sent.
    blocked: Option<Instant>,
    wake: Option<Wake>,
    check_clock: Instant,
    check_interfaces: Instant,
    /// Where the DHT nodes that are known are kept for the next run.
    kept: Option<Kept>,
    /// Set once nobody holds the node any more: when to stop waiting for the goodbyes.
    closing: Option<Instant>,
}

/// Where a drain ended.
enum Drained {
    /// The node has nothing left.
    Idle,
    /// An application must read first.
    Undelivered,
    /// The kernel must send first.
    Unsent,
}

/// What ended a wait.
enum Woken {
    /// Something is due, or there is something to read.
    Ready,
    Call(Call),
    Answer(RequestId, Answer),
    /// There will be no more calls.
    Released,
}

impl Driver {
    pub(crate) fn new(
        node: Traced,
        clock: Clock,
        sockets: Sockets,
        calls: Receiver<Call>,
        kept: Option<Kept>,
    ) -> Self {
        let now = Instant::now();
        let (answer, answered) = async_channel::unbounded();
        Self {
            node,
            clock,
            sockets,
            calls,
            answer,
            answered,
            delivery: Delivery::default(),
            said: None,
            blocked: None,
            wake: None,
            check_clock: now + CHECK_CLOCK,
            check_interfaces: now + CHECK_INTERFACES,
            kept,
            closing: None,
        }
    }

    /// Runs until nobody holds the node any more and the others know.
    pub(crate) async fn run(mut self) {
        self.tell_sockets();
        loop {
            let drained = self.drain();
            let woken = match drained {
                Drained::Idle if self.is_over() => return self.conclude(),
                Drained::Idle => self.sleep().await,
                // Calls are taken meanwhile: someone who leaves need not read what came before.
                Drained::Undelivered => self.next_call().or(ready(self.delivery.room())).await,
                Drained::Unsent => ready(self.room_to_send()).await,
            };
            match woken {
                Woken::Call(call) => self.take_call(call),
                Woken::Answer(id, answer) => self.handle(Input::Answer(id, answer)),
                Woken::Released => self.closing = Some(Instant::now() + LINGER),
                Woken::Ready => {}
            }
            // Whatever the reason to wake: an application that calls without end must not keep the sockets unread.
            if let Drained::Idle = drained {
                self.read();
                self.check();
                self.handle(Input::Tick);
            }
            while let Some(meeting) = self.delivery.abandoned() {
                self.command(Command::Leave { meeting });
            }
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.clock.now(), input);
    }

    fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    fn tell_sockets(&mut self) {
        self.handle(Input::Network(Network::Sockets(self.sockets.infos())));
    }

    /// Does all that the node says, until it has no more to say or must be kept from saying more.
    fn drain(&mut self) -> Drained {
        loop {
            if !self.delivery.deliver() {
                return Drained::Undelivered;
            }
            let output = match self.said.take().unwrap_or_else(|| self.node.poll()) {
                Output::Transmit(transmit) => match self.sockets.join(transmit) {
                    Ok(()) => continue,
                    Err(transmit) => Output::Transmit(transmit),
                },
                output => output,
            };
            // All in the order in which it was said.
            if self.flush().is_pending() {
                self.said = Some(output);
                return Drained::Unsent;
            }
            match output {
                Output::Transmit(_) => self.said = Some(output),
                Output::Request(request) => self.ask(request),
                Output::Event(event) => {
                    log(&event);
                    // Who hears that it is out may end the process at once.
                    if let Event::Left { .. } = event {
                        self.conclude();
                    }
                    self.delivery.push(event);
                }
                Output::Idle(wake) => {
                    self.wake = wake;
                    return Drained::Idle;
                }
            }
        }
    }

    /// Sends what waits, unless the kernel has no room and it has not waited too long.
    fn flush(&mut self) -> Poll<()> {
        if self.sockets.flush().is_pending() {
            if self.blocked.get_or_insert_with(Instant::now).elapsed() < SEND_PATIENCE {
                return Poll::Pending;
            }
            self.sockets.give_up();
        }
        self.blocked = None;
        Poll::Ready(())
    }

    /// Has a thread that may block do what the node asks for.
    fn ask(&self, Request { id, kind }: Request) {
        let answer_to = self.answer.clone();
        let work = move || {
            let answer = match kind {
                RequestKind::Resolve(name, port) => Answer::Resolved(resolve::resolve(&name, port)),
                RequestKind::Derive(code) => match derive::stretch(&code) {
                    Ok(master) => Answer::Derived(master),
                    Err(error) => return tracing::error!(%error, "the code cannot be stretched"),
                },
            };
            // If nobody waits for it any more, so be it.
            let _ = answer_to.try_send((id, answer));
        };
        smol::unblock(work).detach();
    }

    /// Sleeps until something is due or comes in.
    async fn sleep(&self) -> Woken {
        let wake = self.wake.map(|wake| self.clock.instant(wake.at));
        let due = [wake, self.sockets.rested(), self.closing, self.kept.as_ref().map(Kept::due)];
        let due = due.into_iter().flatten();
        let until = due.fold(self.check_clock.min(self.check_interfaces), Instant::min);
        let timer = async {
            Timer::at(until).await;
        };
        let readable = poll_fn(|cx| self.sockets.poll_readable(cx));
        self.next_call().or(self.next_answer()).or(ready(readable.or(timer))).await
    }

    /// The next call. Pends forever once there will be none.
    async fn next_call(&self) -> Woken {
        if self.closing.is_some() {
            return pending().await;
        }
        self.calls.recv().await.map_or(Woken::Released, Woken::Call)
    }

    async fn next_answer(&self) -> Woken {
        match self.answered.recv().await {
            Ok((id, answer)) => Woken::Answer(id, answer),
            Err(_) => pending().await,
        }
    }

    async fn room_to_send(&self) {
        let Some(since) = self.blocked else { return };
        let patience = async {
            Timer::at(since + SEND_PATIENCE).await;
        };
        poll_fn(|cx| self.sockets.poll_writable(cx)).or(patience).await;
    }

    fn take_call(&mut self, call: Call) {
        match call {
            Call::Join { meeting, code, events } => {
                self.delivery.add(meeting, events);
                self.command(Command::Join { meeting, code });
            }
            Call::Say { meeting, tag, text } => self.command(Command::Say { meeting, tag, text }),
            Call::Leave { meeting } => self.command(Command::Leave { meeting }),
            Call::Members { meeting, reply } => {
                let _ = reply.try_send(self.node.node().members(meeting));
            }
        }
    }

    /// Reads what the sockets have, within bounds. The node is not drained in between: it bounds its own queues, and what a
    /// few batches make it say fits.
    fn read(&mut self) {
        let Self { node, clock, sockets, .. } = self;
        for n in 0..sockets.len() {
            for _ in 0..BATCHES_PER_TURN {
                let now = clock.now();
                let more = sockets.receive(n, |Datagram { socket, local, from, bytes }| {
                    node.handle(now, Input::Datagram { socket, local, from, bytes });
                });
                if !more {
                    break;
                }
            }
        }
    }

    /// Looks now and then whether the machine slept, its clock was set, or its addresses changed.
    fn check(&mut self) {
        let now = Instant::now();
        let mut woke = false;
        if now >= self.check_clock {
            self.check_clock = now + CHECK_CLOCK;
            let changes = self.clock.check();
            woke = changes.woke;
            if changes.woke {
                tracing::info!("the machine slept");
                self.handle(Input::Network(Network::Woke));
            }
            if changes.set {
                tracing::info!("the wall clock was set");
                self.handle(Input::Clock(self.clock.unix()));
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.save_if_due(|| self.node.node().dht().snapshot());
            while let Some(trouble) = kept.trouble() {
                self.delivery.push(Event::Trouble { meeting: None, trouble });
            }
        }
        if let Some(trouble) = self.node.trouble() {
            self.delivery.push(Event::Trouble { meeting: None, trouble });
        }
        if woke || now >= self.check_interfaces {
            self.check_interfaces = now + CHECK_INTERFACES;
            if self.sockets.refresh() {
                self.tell_sockets();
            }
        }
    }

    /// Writes the DHT nodes that are known and the end of the trace, before this returns.
    fn conclude(&mut self) {
        self.node.end();
        if let Some(kept) = &self.kept {
            kept.save(&self.node.node().dht().snapshot());
        }
    }

    fn is_over(&self) -> bool {
        self.closing.is_some_and(|until| self.delivery.is_empty() || Instant::now() >= until)
    }
}

async fn ready(wait: impl Future<Output = ()>) -> Woken {
    wait.await;
    Woken::Ready
}

/// Logs an event, but not what people say to each other.
fn log(event: &Event) {
    match event {
        Event::Message { from, seq, text, history, .. } => {
            tracing::debug!(?from, seq, bytes = text.len(), history, "message");
        }
        event => tracing::debug!(?event),
    }
}
