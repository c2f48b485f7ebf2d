use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_io::Timer;
use folkmoot_core::base::{DeviceId, MemberId, Time};
use folkmoot_core::log::MAX_TEXT;
use folkmoot_core::node::{Event, MeetingHandle, MemberView, Tag};
use futures_lite::FutureExt as _;

use crate::builder::Builder;
use crate::clock::Clock;
use crate::code::parse_code;
use crate::delivery::MAX_EVENTS;
use crate::driver::Call;
use crate::error::Error;

/// How long [`Meeting::leave`] waits for the others to be told.
const GOODBYE: Duration = Duration::from_secs(2);

/// A running node. Cheap to clone; it stops when the last clone and the last meeting are dropped.
#[derive(Clone, Debug)]
pub struct Folkmoot {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    about: About,
    calls: Sender<Call>,
    next_meeting: AtomicU32,
    next_tag: AtomicU64,
}

/// What does not change while a node runs.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) device: DeviceId,
    pub(crate) member: MemberId,
    pub(crate) name: String,
    pub(crate) bound: Vec<SocketAddr>,
    pub(crate) clock: Clock,
    pub(crate) profile: Option<String>,
    pub(crate) instead_of: Option<String>,
    pub(crate) weak_codes: bool,
}

impl Folkmoot {
    /// Sets up a node.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(about: About, calls: Sender<Call>) -> Self {
        let shared = Shared { about, calls, next_meeting: AtomicU32::new(0), next_tag: AtomicU64::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Joins the meeting of a code. Returns at once; [`Event::Joined`] and [`Event::Connected`] tell how it goes.
    ///
    /// # Errors
    ///
    /// If the text is no code, or the node has stopped.
    pub async fn join(&self, code: &str) -> Result<Meeting, Error> {
        let code = parse_code(code, self.shared.about.weak_codes)?;
        let handle = MeetingHandle(self.shared.next_meeting.fetch_add(1, Ordering::Relaxed));
        let (events, from_node) = async_channel::bounded(MAX_EVENTS);
        self.call(Call::Join { meeting: handle, code, events }).await?;
        Ok(Meeting { node: self.clone(), handle, events: from_node })
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.shared.about.device
    }

    /// This member.
    pub fn member(&self) -> MemberId {
        self.shared.about.member
    }

    /// The name that the others see.
    pub fn name(&self) -> &str {
        &self.shared.about.name
    }

    /// What the sockets are bound to.
    pub fn bound(&self) -> &[SocketAddr] {
        &self.shared.about.bound
    }

    /// The profile of the state directory in use; `None` of an ephemeral node.
    pub fn profile(&self) -> Option<&str> {
        self.shared.about.profile.as_deref()
    }

    /// The profile that would have been taken, had no other process used it.
    pub fn instead_of(&self) -> Option<&str> {
        self.shared.about.instead_of.as_deref()
    }

    /// The node's clock, which began when the node started: [`MemberView::last_seen`] is a moment of it.
    pub fn now(&self) -> Time {
        self.shared.about.clock.now()
    }

    async fn call(&self, call: Call) -> Result<(), Error> {
        self.shared.calls.send(call).await.map_err(|_| Error::Closed)
    }
}

/// A meeting that this node is in. Dropping it leaves.
#[derive(Debug)]
pub struct Meeting {
    node: Folkmoot,
    handle: MeetingHandle,
    events: Receiver<Event>,
}

impl Meeting {
    /// The next thing that happens; `None` once the meeting is left. What happens is buffered, not dropped, so read on.
    ///
    /// May be cancelled: no event is lost by it. Of several that wait at once, one gets it.
    pub async fn next(&self) -> Option<Event> {
        self.events.recv().await.ok()
    }

    /// Says something to everyone: at most [`MAX_TEXT`] bytes. Members who are away hear it when they are back, and if nobody
    /// is here yet, whoever comes first; someone who joins later does not. [`Event::Sent`] with the tag returned gives it a
    /// number, [`Event::Delivered`] tells of each member whose node accepted it.
    ///
    /// # Errors
    ///
    /// If it is empty or too long, or the node has stopped.
    pub async fn say(&self, text: impl Into<String>) -> Result<Tag, Error> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(Error::BadMessage(text.len()));
        }
        let tag = Tag(self.node.shared.next_tag.fetch_add(1, Ordering::Relaxed));
        self.node.call(Call::Say { meeting: self.handle, tag, text }).await?;
        Ok(tag)
    }

    /// Everyone else who is known here.
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn members(&self) -> Result<Vec<MemberView>, Error> {
        let (reply, answer) = async_channel::bounded(1);
        self.node.call(Call::Members { meeting: self.handle, reply }).await?;
        answer.recv().await.map_err(|_| Error::Closed)
    }

    /// Leaves, and waits until the others have been told, two seconds at most. What has not been read by then is not read.
    pub async fn leave(self) {
        self.start_leaving().await;
        let told = async { while self.next().await.is_some() {} };
        let patience = async {
            Timer::after(GOODBYE).await;
        };
        told.or(patience).await;
    }

    /// Begins to leave; [`Meeting::next`] goes on until [`Event::Left`] and then ends.
    pub async fn start_leaving(&self) {
        // If the node has stopped, it has left.
        let _ = self.node.call(Call::Leave { meeting: self.handle }).await;
    }

    /// The node that is in this meeting.
    pub fn node(&self) -> &Folkmoot {
        &self.node
    }

    /// The node's name for the meeting, as its events have it.
    pub fn handle(&self) -> MeetingHandle {
        self.handle
    }
}
