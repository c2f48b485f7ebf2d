use std::net::SocketAddr;

use super::rpc::LookupId;
use super::{Item, ItemError, ItemId, NotStored};
use crate::base::InfoHash;
use crate::wire::krpc::{Contact, ErrorCode, Response};

const CAS: i64 = ErrorCode::CasMismatch as i64;
const SEQ: i64 = ErrorCode::SeqTooLow as i64;

/// The name of an errand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ErrandId(pub(super) u64);

/// The search for an item, or the storing of one (BEP 44): a lookup in each address family, and then what is to be put
/// to the nodes that it ended with. Of a search that is the newest version, to those who hold an older one.
#[derive(Debug)]
pub(super) struct Errand {
    id: ItemId,
    target: InfoHash,
    pub(super) task: Task,
    pub(super) lookups: Vec<LookupId>,
    holders: Vec<Holder>,
    /// The newest version seen.
    newest: Option<Item>,
    /// The nodes that answered.
    answered: usize,
    /// Whether the lookups are over.
    is_putting: bool,
    /// The last reason that a node gave for not storing.
    refusal: Option<i64>,
    /// How many hold something that stands in the way.
    conflicts: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Task {
    Get {
        /// Only versions above this are of interest.
        newer_than: Option<i64>,
    },
    Put {
        item: Item,
        /// The sequence number that must be stored so far.
        cas: Option<i64>,
    },
}

/// A node that gave a token.
#[derive(Debug)]
struct Holder {
    contact: Contact,
    token: Vec<u8>,
    /// The sequence number that it holds, by its own word.
    seq: Option<i64>,
    is_closest: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Due,
    Sent,
    Accepted,
}

/// How an errand ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Sought { found: bool, answered: usize },
    Stored { nodes: usize },
    NotStored(NotStored),
}

impl Errand {
    /// The memory taken, in bytes, but for values.
    pub(super) fn footprint(&self) -> usize {
        let tokens: usize = self.holders.iter().map(|holder| holder.token.capacity()).sum();
        let lookups = self.lookups.capacity() * size_of::<LookupId>();
        size_of::<Self>() + self.holders.capacity() * size_of::<Holder>() + tokens + lookups
    }

    pub(super) fn new(id: ItemId, task: Task) -> Self {
        Self {
            target: id.target(),
            id,
            task,
            lookups: Vec::new(),
            holders: Vec::new(),
            newest: None,
            answered: 0,
            is_putting: false,
            refusal: None,
            conflicts: 0,
        }
    }

    pub(super) fn target(&self) -> InfoHash {
        self.target
    }

    /// The `seq` of a `get`: a node that holds nothing above it need not send what it holds. Who is to put a version wants
    /// to see whatever would stand in its way.
    pub(super) fn seq(&self) -> Option<i64> {
        match &self.task {
            Task::Get { newer_than } => *newer_than,
            Task::Put { item, .. } => item.seq().and_then(|seq| seq.checked_sub(1)),
        }
    }

    /// Begins anew: whatever was under way is not answered any more.
    pub(super) fn restart(&mut self, lookups: Vec<LookupId>) {
        *self = Self {
            lookups,
            newest: self.newest.take(),
            is_putting: false,
            ..Self::new(self.id.clone(), self.task.clone())
        };
    }

    /// We store it ourselves.
    pub(super) fn on_own(&mut self, item: Item) {
        self.newest = Some(item);
    }

    /// A node answered a `get`. Returns the item that it holds if that is news.
    ///
    /// # Errors
    ///
    /// If what it sent is not the item.
    pub(super) fn on_answer(
        &mut self,
        contact: Contact,
        response: &Response<'_>,
    ) -> Result<Option<Item>, ItemError> {
        self.answered += 1;
        let checked = response.item.value.map(|_| self.id.check(&response.item)).transpose();
        let item = checked.as_ref().ok().cloned().flatten();
        if let Some(token) = response.token
            && !self.is_putting
        {
            self.holders.retain(|holder| holder.contact.addr != contact.addr);
            self.holders.push(Holder {
                contact,
                token: token.to_vec(),
                seq: response.item.seq,
                is_closest: false,
                state: State::Idle,
            });
        }
        checked?;
        let is_news = |item: &Item| match &self.newest {
            None => item.seq().is_none() || item.seq() > self.seq(),
            Some(newest) => item.seq() > newest.seq(),
        };
        let news = item.filter(is_news);
        self.newest = news.clone().or(self.newest.take());
        Ok(news)
    }

    /// Whether nothing newer can be found.
    pub(super) fn is_satisfied(&self) -> bool {
        matches!((&self.task, &self.newest), (Task::Get { .. }, Some(Item::Immutable(_))))
    }

    /// A lookup ended with these nodes.
    pub(super) fn on_lookup_done(&mut self, id: LookupId, closest: &[Contact]) {
        self.lookups.retain(|lookup| *lookup != id);
        let is_closest = |holder: &Holder| closest.iter().any(|contact| contact.addr == holder.contact.addr);
        self.holders.iter_mut().for_each(|holder| holder.is_closest |= is_closest(holder));
    }

    /// Once the lookups are over: decides what to put to whom. Of a search this is the end, as far as its owner is
    /// concerned.
    pub(super) fn turn(&mut self) -> Option<Outcome> {
        if self.is_putting || !self.lookups.is_empty() {
            return None;
        }
        self.is_putting = true;
        let newest = self.newest.as_ref();
        match &self.task {
            Task::Get { .. } => {
                let seq = newest.and_then(Item::seq);
                for holder in self.holders.iter_mut().filter(|holder| holder.is_closest) {
                    // Only to those who have it in an older version: the others may have their reasons.
                    if holder.seq.is_some() && holder.seq < seq {
                        holder.state = State::Due;
                    }
                }
                Some(Outcome::Sought { found: newest.is_some(), answered: self.answered })
            }
            Task::Put { item, .. } => {
                let is_other = |newest: &&Item| newest.seq() > item.seq() || newest.value() != item.value();
                if let Some(seq) = newest.filter(is_other).and_then(Item::seq) {
                    return Some(Outcome::NotStored(NotStored::Superseded { by: Some(seq) }));
                }
                let closest = self.holders.iter_mut().filter(|holder| holder.is_closest);
                closest.for_each(|holder| holder.state = State::Due);
                None
            }
        }
    }

    /// The next node to put to; to be confirmed by [`Errand::on_sent`].
    pub(super) fn due(&self) -> Option<SocketAddr> {
        self.holders.iter().find(|holder| holder.state == State::Due).map(|holder| holder.contact.addr)
    }

    /// What to put to a node: its id, its token, the item, and the sequence number to compare with.
    pub(super) fn put_for(&self, addr: SocketAddr) -> Option<(Contact, &[u8], &Item, Option<i64>)> {
        let holder = self.holders.iter().find(|holder| holder.contact.addr == addr)?;
        let (item, cas) = match &self.task {
            Task::Get { .. } => (self.newest.as_ref()?, holder.seq),
            // A node that holds nothing has nothing to compare with.
            Task::Put { item, cas } => (item, cas.filter(|_| holder.seq.is_some())),
        };
        Some((holder.contact, &holder.token, item, cas))
    }

    pub(super) fn on_sent(&mut self, addr: SocketAddr) {
        self.set(addr, State::Sent, |_| true);
    }

    pub(super) fn on_stored(&mut self, addr: SocketAddr) {
        self.set(addr, State::Accepted, |_| true);
    }

    /// A node refused (`code`), or did not answer.
    pub(super) fn on_refused(&mut self, addr: SocketAddr, code: Option<i64>, again: bool) {
        let own = match &self.task {
            Task::Get { .. } => self.newest.as_ref().and_then(Item::seq),
            Task::Put { item, .. } => item.seq(),
        };
        // Some nodes say that the number is too low to a repetition of what they hold.
        let held =
            self.holders.iter().find(|holder| holder.contact.addr == addr).and_then(|holder| holder.seq);
        if code == Some(SEQ) && own.is_some() && (again || held == own) {
            return self.on_stored(addr);
        }
        self.refusal = code.or(self.refusal);
        self.conflicts += usize::from(matches!(code, Some(CAS | SEQ)));
        self.set(addr, State::Idle, |state| state != State::Accepted);
    }

    /// Whether nothing is open any more.
    pub(super) fn is_over(&self) -> bool {
        let open = |holder: &Holder| matches!(holder.state, State::Due | State::Sent);
        self.is_putting && !self.holders.iter().any(open)
    }

    /// How it ended, if that is to be told only at the end.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let Task::Put { .. } = &self.task else { return None };
        let nodes = self.holders.iter().filter(|holder| holder.state == State::Accepted).count();
        Some(match self.refusal {
            // One node that came late and has nothing to compare with does not outweigh those who do.
            _ if nodes > 0 && nodes >= self.conflicts => Outcome::Stored { nodes },
            None => Outcome::NotStored(NotStored::Unanswered),
            Some(CAS) => Outcome::NotStored(NotStored::Conflict),
            Some(SEQ) => Outcome::NotStored(NotStored::Superseded { by: None }),
            Some(code) => Outcome::NotStored(NotStored::Refused { code }),
        })
    }

    fn set(&mut self, addr: SocketAddr, to: State, from: impl Fn(State) -> bool) {
        let holder = self.holders.iter_mut().find(|holder| holder.contact.addr == addr);
        if let Some(holder) = holder.filter(|holder| from(holder.state)) {
            holder.state = to;
        }
    }
}
