use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use folkmoot_core::base::{SocketId, Transmit};

/// Datagrams sent at once, at most. More would be a burst that queues on the way do not like, and there is little left to save.
const DATAGRAMS: usize = 32;

/// Only what is no longer is sent together with others: a message that is to be cut into more than the path takes at once is
/// refused as a whole, and then the library takes the kernel for one that cannot cut.
const DATAGRAM_BYTES: usize = 1_200;

/// Datagrams that leave with one system call: from one address to one other, of one length, but for the last, which may be shorter.
/// That is what a kernel can cut out of one message (Linux: GSO, Windows: USO). They are sent in the order in which they joined.
#[derive(Debug)]
pub(crate) struct Run {
    /// From where to where, if any wait.
    route: Option<Route>,
    bytes: Vec<u8>,
    /// The length of each but the last.
    segment: usize,
    /// How many wait.
    count: usize,
    /// The last is shorter, so that it is the last.
    is_closed: bool,
    /// Together they were refused.
    is_apart: bool,
}

/// What datagrams have in common if one message can hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) socket: SocketId,
    pub(crate) local: Option<IpAddr>,
    pub(crate) to: SocketAddr,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self { route: None, bytes: Vec::new(), segment: 0, count: 0, is_closed: false, is_apart: false }
    }

    /// From where to where those that wait go; `None` if there are none.
    pub(crate) fn route(&self) -> Option<Route> {
        self.route
    }

    /// Takes a datagram, if it can travel with those that wait; the kernel cuts a message into at most `segments`.
    pub(crate) fn join(&mut self, transmit: &Transmit, segments: usize) -> bool {
        self.join_up_to(transmit, segments.min(DATAGRAMS), DATAGRAM_BYTES)
    }

    fn join_up_to(&mut self, transmit: &Transmit, most: usize, longest: usize) -> bool {
        let Transmit { socket, local, to, ref bytes } = *transmit;
        let route = Some(Route { socket, local, to });
        if self.route.is_some() {
            let fits = self.route == route && (1..=self.segment).contains(&bytes.len());
            if !fits || self.is_closed || self.count >= most {
                return false;
            }
            self.is_closed = bytes.len() < self.segment;
        } else {
            self.route = route;
            self.segment = bytes.len();
            self.is_closed = bytes.len() > longest;
        }
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
        true
    }

    /// Takes what one message cannot hold, too.
    #[cfg(test)]
    pub(crate) fn join_any(&mut self, transmit: &Transmit) -> bool {
        self.join_up_to(transmit, usize::MAX, usize::MAX)
    }

    /// Has `send` send those that wait: all at once, or, if that is refused, one by one. Those that cannot be sent are forgotten
    /// and added to `refused`. Pending if there is no room now, and then those that are left still wait.
    pub(crate) fn send(
        &mut self,
        refused: &mut u64,
        mut send: impl FnMut(&quinn_udp::Transmit<'_>) -> io::Result<()>,
    ) -> Poll<()> {
        let mut from = 0;
        let Some(Route { local, to, .. }) = self.route else { return Poll::Ready(()) };
        while self.count > 0 {
            let is_one = self.is_apart || self.count == 1;
            let rest = self.bytes.get(from..).unwrap_or_default();
            let contents = if self.is_apart { rest.get(..self.segment).unwrap_or(rest) } else { rest };
            let message = quinn_udp::Transmit {
                destination: to,
                ecn: None,
                contents,
                segment_size: (!is_one).then_some(self.segment),
                src_ip: local,
            };
            match send(&message) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.bytes.drain(..from);
                    return Poll::Pending;
                }
                Err(_) if !is_one => {
                    self.is_apart = true;
                    continue;
                }
                Err(error) => {
                    *refused += 1;
                    tracing::trace!(%to, ?local, len = contents.len(), %error, "not sent");
                }
                Ok(()) => {}
            }
            from += contents.len();
            self.count -= if is_one { 1 } else { self.count };
        }
        self.clear();
        Poll::Ready(())
    }

    /// Forgets those that wait; how many they were.
    pub(crate) fn clear(&mut self) -> u64 {
        let count = self.count;
        self.bytes.clear();
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::new() };
        count as u64
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// The contents and the segment size of each message that was handed over.
    type Calls = Vec<(Vec<u8>, Option<usize>)>;

    fn transmit(bytes: &[u8]) -> Transmit {
        let to = "192.0.2.1:6881".parse().unwrap();
        Transmit { socket: SocketId(0), local: None, to, bytes: bytes.into() }
    }

    fn run_of(datagrams: &[&[u8]]) -> Run {
        let mut run = Run::new();
        for bytes in datagrams {
            assert!(run.join(&transmit(bytes), 64), "{bytes:?}");
        }
        run
    }

    /// What was handed over in each call, when the first calls fail like this; and whether nothing is left, and how many were refused.
    fn send(run: &mut Run, fails: &[Option<ErrorKind>]) -> (Calls, Poll<()>, u64) {
        let (mut calls, mut refused) = (Vec::new(), 0);
        let done = run.send(&mut refused, |message| {
            calls.push((message.contents.to_vec(), message.segment_size));
            fails.get(calls.len() - 1).copied().flatten().map_or(Ok(()), |kind| Err(kind.into()))
        });
        (calls, done, refused)
    }

    #[test]
    fn equal_ones_and_a_shorter_last_one_leave_in_one_call() {
        let mut run = run_of(&[b"aaa", b"bbb", b"cc"]);
        assert!(!run.join(&transmit(b"dd"), 64), "a shorter one is the last");
        assert_eq!(send(&mut run, &[]), (vec![(b"aaabbbcc".to_vec(), Some(3))], Poll::Ready(()), 0));
        assert_eq!(run.route(), None);
        assert_eq!(send(&mut run, &[]), (vec![], Poll::Ready(()), 0));
        assert_eq!(send(&mut run_of(&[b"one"]), &[]).0, [(b"one".to_vec(), None)]);
        assert_eq!(send(&mut run_of(&[b""]), &[]).0, [(b"".to_vec(), None)]);
    }

    #[test]
    fn others_have_to_wait() {
        let other = |change: fn(&mut Transmit)| {
            let mut transmit = transmit(b"bbb");
            change(&mut transmit);
            transmit
        };
        let others = [
            other(|t| t.socket = SocketId(1)),
            other(|t| t.local = Some([192, 0, 2, 2].into())),
            other(|t| t.to.set_port(6_882)),
            other(|t| t.bytes.push(b'b')),
            other(|t| t.bytes.clear()),
        ];
        for other in others {
            assert!(!run_of(&[b"aaa"]).join(&other, 64), "{other:?}");
        }
        assert!(!run_of(&[b""]).join(&transmit(b""), 64));
        assert!(!run_of(&[b"aaa"]).join(&transmit(b"bbb"), 1), "a kernel that cannot cut");
        assert!(!run_of(&[&[0; DATAGRAM_BYTES + 1]]).join(&transmit(b"bbb"), 64));
        assert!(!run_of(&[&b"aaa"[..]; DATAGRAMS]).join(&transmit(b"bbb"), 64));
    }

    #[test]
    fn what_is_refused_together_is_sent_apart() {
        const NO: Option<ErrorKind> = Some(ErrorKind::InvalidInput);
        let mut run = run_of(&[b"aaa", b"bbb", b"cc"]);
        let (calls, done, refused) = send(&mut run, &[NO, None, NO]);
        let apart = [b"aaabbbcc", &b"aaa"[..], b"bbb", b"cc"];
        assert_eq!(calls.iter().map(|(bytes, _)| &bytes[..]).collect::<Vec<_>>(), apart);
        assert_eq!(calls.iter().map(|(_, size)| *size).collect::<Vec<_>>(), [Some(3), None, None, None]);
        assert_eq!((done, refused), (Poll::Ready(()), 1));
        assert!(run.join(&transmit(b"later"), 64) && run.join(&transmit(b"again"), 64));
        assert_eq!(send(&mut run, &[]).0, [(b"lateragain".to_vec(), Some(5))], "the next go together again");
    }

    #[test]
    fn what_there_is_no_room_for_waits() {
        const FULL: Option<ErrorKind> = Some(ErrorKind::WouldBlock);
        let mut run = run_of(&[b"aaa", b"bbb"]);
        assert_eq!(send(&mut run, &[FULL]).1, Poll::Pending);
        assert!(run.join(&transmit(b"cc"), 64), "more may join meanwhile");
        assert_eq!(send(&mut run, &[]).0, [(b"aaabbbcc".to_vec(), Some(3))]);

        // In the midst of what goes one by one.
        let mut run = run_of(&[b"aaa", b"bbb", b"cc"]);
        let refused = Some(ErrorKind::Other);
        let (calls, done, refused) = send(&mut run, &[refused, refused, None, FULL]);
        assert_eq!((calls.len(), done, refused), (4, Poll::Pending, 1));
        assert_eq!(send(&mut run, &[]), (vec![(b"cc".to_vec(), None)], Poll::Ready(()), 0));

        let mut run = run_of(&[b"aaa", b"bbb", b"cc"]);
        assert_eq!(send(&mut run, &[FULL]).1, Poll::Pending);
        assert_eq!(run.clear(), 3);
        assert_eq!(run.route(), None);
    }
}
