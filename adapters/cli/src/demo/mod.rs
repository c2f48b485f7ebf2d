//! `moot demo`: the whole path from a code to a conversation, on this machine, over real sockets of the loopback interface.
//!
//! It asserts all that it shows: it fails if anything did not happen, or happened twice.

mod checks;
mod world;

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use folkmoot::{AddressSource, Event, Folkmoot, Host, Meeting};
use futures_lite::FutureExt as _;
use smol::Timer;

use self::checks::Checks;
use self::world::World;
use crate::exit::Exit;
use crate::{human, json, text};

/// Who meets. The last one is somewhere else.
const NAMES: [&str; 4] = ["ada", "bea", "cyd", "dan"];

/// The first three share a code.
const FRIENDS: usize = 3;

/// After so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(9);

/// After all has happened: how long to listen for what should not.
const SILENCE: Duration = Duration::from_millis(500);

pub(crate) fn run() -> Exit {
    let clock = Clock(Instant::now());
    let played = async {
        let out_of_time = async {
            Timer::after(PATIENCE).await;
            None
        };
        let mut checks = Checks::default();
        let result = async { Some(play(&clock, &mut checks).await) }.or(out_of_time).await;
        match result {
            Some(result) => result,
            None => Err(format!(
                "after {} s there is still missing: {}",
                PATIENCE.as_secs(),
                checks.missing().join("; ")
            )),
        }
    };
    match smol::block_on(played) {
        Ok(()) => {
            clock.say("done: all of it happened, nothing twice, and nothing leaked");
            Exit::Success
        }
        Err(what) => {
            human::failure(format_args!("the demo failed: {what}"), "DEBUG=1 tells more");
            Exit::Failure
        }
    }
}

/// Prints with the time since the start.
struct Clock(Instant);

impl Clock {
    fn say(&self, what: impl std::fmt::Display) {
        println!("{:6.3} s  {what}", self.0.elapsed().as_secs_f64());
    }
}

async fn play(clock: &Clock, checks: &mut Checks) -> Result<(), String> {
    let world = World::start()?;
    clock.say(format_args!(
        "{} DHT nodes, each on a UDP socket of its own, and a STUN responder",
        world::DHT_NODES
    ));
    world.dht_is_up().await?;
    clock.say("every DHT node has found its neighbours");

    let code = folkmoot::generate_code().map_err(|error| error.to_string())?;
    let other = folkmoot::generate_code().map_err(|error| error.to_string())?;
    let mut members = Vec::new();
    for (who, name) in NAMES.into_iter().enumerate() {
        let code = if who < FRIENDS { &code } else { &other };
        members.push(Member::join(name, code.as_str(), &world).await.map_err(|error| error.to_string())?);
        clock.say(format_args!("{name} joins {code}"));
    }
    for (who, member) in members.iter().enumerate() {
        checks.expect(who, member.node.member(), member.node.bound());
    }
    // Nobody may hear this.
    members[FRIENDS].say("is anyone here?").await?;

    let mut greeted = [false; FRIENDS];
    while !checks.is_complete() {
        let (who, event) = next(&members, checks).await?;
        tell(clock, checks, who, &event, world.stun);
        checks.take(who, &event)?;
        if who < FRIENDS && checks.has_met_all(who) && !std::mem::replace(&mut greeted[who], true) {
            members[who].say(greeting(who)).await?;
            clock.say(format_args!("{} says: {}", NAMES[who], greeting(who)));
        }
    }

    quiet(&members, checks).await?;
    clock.say(format_args!("{} heard nothing, and nobody heard {}", NAMES[FRIENDS], NAMES[FRIENDS]));

    for (who, member) in members.iter().enumerate() {
        member.meeting.start_leaving().await;
        while !(checks.has_left(who) && checks.is_missed(who)) {
            let (who, event) = next(&members, checks).await?;
            tell(clock, checks, who, &event, world.stun);
            checks.take(who, &event)?;
        }
    }
    Ok(())
}

/// Takes in what still happens, for a while.
async fn quiet(members: &[Member], checks: &mut Checks) -> Result<(), String> {
    let until = Instant::now() + SILENCE;
    loop {
        let over = async {
            Timer::at(until).await;
            Ok(None)
        };
        let happening = async { next(members, checks).await.map(Some) };
        match happening.or(over).await? {
            Some((who, event)) => checks.take(who, &event)?,
            None => return Ok(()),
        }
    }
}

/// The next thing that happens to anyone who has not left.
async fn next(members: &[Member], checks: &Checks) -> Result<(usize, Event), String> {
    let there = members.iter().enumerate().filter(|(who, _)| !checks.has_left(*who));
    let mut waits: Vec<_> =
        there.map(|(who, m)| Box::pin(async move { (who, m.meeting.next().await) })).collect();
    let (who, event) = poll_fn(|cx| {
        let first = waits.iter_mut().map(|wait| wait.as_mut().poll(cx)).find(Poll::is_ready);
        first.unwrap_or(Poll::Pending)
    })
    .await;
    event.map(|event| (who, event)).ok_or_else(|| format!("the node of {} has stopped", NAMES[who]))
}

fn greeting(who: usize) -> String {
    format!("hello from {}", NAMES[who])
}

/// Shows what is worth showing.
fn tell(clock: &Clock, checks: &Checks, who: usize, event: &Event, stun: SocketAddr) {
    let me = NAMES[who];
    let name = |member| checks.who(member).map_or("a stranger", |other| NAMES[other]);
    match event {
        Event::Address { public, source: AddressSource::Stun(server) } if *server == stun => {
            clock.say(format_args!("{me} is at {public}, says the STUN responder"));
        }
        Event::Connected { member, path, since_join, .. } => {
            let (name, path, ms) = (name(member), json::path(*path), since_join.as_millis());
            clock.say(format_args!("{me} is connected with {name} ({path}, {ms} ms after joining)"));
        }
        Event::Message { from, text, .. } => {
            clock.say(format_args!("{me} hears {}: {}", name(from), text::message(text)));
        }
        Event::Delivered { to, .. } => clock.say(format_args!("{me} knows that {} has it", name(to))),
        Event::Left { .. } => clock.say(format_args!("{me} has left")),
        Event::Trouble { trouble, .. } => clock.say(format_args!("{me}: {trouble}")),
        _ => {}
    }
}

/// One of the four.
struct Member {
    node: Folkmoot,
    meeting: Meeting,
}

impl Member {
    async fn join(name: &str, code: &str, world: &World) -> Result<Self, folkmoot::Error> {
        let node = Folkmoot::builder()
            .name(name)
            .ephemeral()
            .bind(world::LOOPBACK)
            .bootstrap(world.entries.iter().copied().map(Host::Addr))
            .stun([Host::Addr(world.stun)])
            .start()
            .await?;
        let meeting = node.join(code).await?;
        Ok(Self { node, meeting })
    }

    async fn say(&self, text: impl Into<String>) -> Result<(), String> {
        self.meeting.say(text).await.map(|_| ()).map_err(|error| error.to_string())
    }
}
