//! The file in which a DHT node keeps whom it knows, so that the next run finds the network without being told where.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_channel::{Receiver, Sender};
use folkmoot_core::base::{Host, UnixTime};
use folkmoot_core::dht::Snapshot;
use folkmoot_core::node::Trouble;

use crate::defaults;
use crate::error::StateError;
use crate::profile;
use crate::state;

/// The first time soon, in case the process is killed; from then on every few minutes.
const FIRST: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(6 * 60);

/// Files of so many networks are kept, those used last. Nobody has more, and a test makes a new one every time.
const MAX_FILES: usize = 8;

const EXTENSION: &str = "snapshot";

/// Where a node keeps its snapshots.
#[derive(Debug)]
pub(crate) struct Kept {
    file: Arc<File>,
    due: Instant,
    troubles: Receiver<Trouble>,
    _lock: Option<fs::File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Held while it is written; whether that failed before, which is told of once.
    failed: Mutex<bool>,
    troubles: Sender<Trouble>,
}

impl Kept {
    /// The file in `dir` for the DHT that `hosts` lead into, and what is in it. Each such list has a file of its own, because a
    /// private DHT must not leak into another. Without any host, the file written last is read.
    ///
    /// A file that is damaged is set aside, and `dir` may be of no use: both is told in [`Kept::trouble`], and it goes on.
    pub(crate) fn open(dir: &Path, hosts: &[Host], now: UnixTime) -> (Self, Option<Snapshot>) {
        let (told, troubles) = async_channel::unbounded();
        let path = dir.join(name(hosts));
        let file = File { path, failed: Mutex::new(false), troubles: told };
        let read_from = if hosts.is_empty() { latest(dir) } else { None };
        if let Err(error) = profile::make_dir(dir).and_then(|()| file.probe()) {
            file.tell_failure(&error);
            *file.failed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
        let snapshot = file.load(read_from.as_deref().unwrap_or(&file.path), now);
        prune(dir);
        (Self { file: Arc::new(file), due: Instant::now() + FIRST, troubles, _lock: None }, snapshot)
    }

    /// Holds a lock for as long as the file is written to.
    pub(crate) fn locked_by(self, lock: Option<fs::File>) -> Self {
        Self { _lock: lock, ..self }
    }

    /// When the next snapshot is to be written.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Writes a snapshot on a thread that may block, if it is time.
    pub(crate) fn save_if_due(&mut self, snapshot: impl FnOnce() -> Snapshot) {
        if Instant::now() >= self.due {
            self.due = Instant::now() + EVERY;
            let (file, snapshot) = (Arc::clone(&self.file), snapshot());
            smol::unblock(move || file.save(&snapshot)).detach();
        }
    }

    /// Writes a snapshot before this returns: at the end.
    pub(crate) fn save(&self, snapshot: &Snapshot) {
        self.file.save(snapshot);
    }

    /// What does not work, each only once.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.troubles.try_recv().ok()
    }
}

impl File {
    fn load(&self, path: &Path, now: UnixTime) -> Option<Snapshot> {
        let bytes = match state::read(path) {
            Ok(bytes) => bytes?,
            // Where nothing can be written, that is told already.
            Err(error) => {
                tracing::warn!(%error, "the known DHT nodes cannot be read");
                return None;
            }
        };
        match Snapshot::decode(&bytes) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "set aside");
                let aside = path.with_extension(format!("{EXTENSION}.corrupt-{}", now.as_millis() / 1_000));
                match fs::rename(path, &aside) {
                    Ok(()) => self.tell(Trouble::SetAside(aside.display().to_string())),
                    Err(error) => self.tell_failure(&StateError::io("rename", path)(error)),
                }
                None
            }
        }
    }

    /// Whether a file can be written there at all: better told at the start than found at the end.
    fn probe(&self) -> Result<(), StateError> {
        let path = self.path.with_extension("new");
        fs::File::create(&path).and_then(|_| fs::remove_file(&path)).map_err(StateError::io("write", &path))
    }

    /// One that knows nobody does not replace one that does: who is offline for a day wants to come back.
    fn save(&self, snapshot: &Snapshot) {
        if snapshot.is_empty() {
            return;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match state::write_whole(&self.path, &snapshot.encode()) {
            Ok(()) => *failed = false,
            Err(error) if !*failed => {
                *failed = true;
                drop(failed);
                self.tell_failure(&error);
            }
            Err(_) => {}
        }
    }

    fn tell_failure(&self, error: &StateError) {
        tracing::warn!(%error, "the known DHT nodes are not kept");
        self.tell(Trouble::NotKept(error.to_string()));
    }

    fn tell(&self, trouble: Trouble) {
        let _ = self.troubles.try_send(trouble);
    }
}

/// Leaves out of a snapshot whom a node bound to these addresses cannot reach, or should not: one that listens on loopback alone
/// is kept from the rest of the world.
pub(crate) fn within_reach(bind: &[IpAddr], snapshot: Snapshot) -> Snapshot {
    if bind.is_empty() || !bind.iter().all(IpAddr::is_loopback) {
        return snapshot;
    }
    snapshot.only(|node| node.addr.ip().is_loopback())
}

/// The file's name for the network that these hosts lead into.
fn name(hosts: &[Host]) -> String {
    if hosts.is_empty() {
        return format!("dht-none.{EXTENSION}");
    }
    if hosts == defaults::bootstrap() {
        return format!("dht.{EXTENSION}");
    }
    let mut listed: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    listed.sort_unstable();
    format!("dht-{:016x}.{EXTENSION}", fnv1a(listed.join(" ").as_bytes()))
}

/// The FNV-1a hash, which is the same in every release.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The file written last.
fn latest(dir: &Path) -> Option<PathBuf> {
    files(dir).pop().map(|(_, path)| path)
}

fn prune(dir: &Path) {
    let files = files(dir);
    for (_, path) in files.iter().take(files.len().saturating_sub(MAX_FILES)) {
        if let Err(error) = fs::remove_file(path) {
            tracing::debug!(path = %path.display(), %error, "not removed");
        }
    }
}

/// The files in `dir`, the one written last at the end.
fn files(dir: &Path) -> Vec<(SystemTime, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let ours = paths.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    let mut files: Vec<_> = ours
        .filter_map(|path| Some((fs::metadata(&path).and_then(|data| data.modified()).ok()?, path)))
        .collect();
    files.sort_unstable();
    files
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use folkmoot_core::base::{Cx, Outbox, Rng, SocketId, SocketInfo, Time};
    use folkmoot_core::dht::{Config, Dht};

    use super::*;

    const NOW: UnixTime = UnixTime::from_millis(1_790_000_000_000);

    /// A directory of its own for each test, gone when the test ends.
    struct TempDir(PathBuf);

    impl TempDir {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("folkmoot-kept-{}-{test}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn open(&self, hosts: &[Host]) -> (Kept, Option<Snapshot>) {
            Kept::open(&self.0, hosts, NOW)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// What two nodes on loopback know of each other.
    fn snapshot() -> Snapshot {
        let addrs = [6_001, 6_002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut rng = Rng::new([7; 32]);
        let mut out = Outbox::default();
        let mut cx = Cx { now: Time::ZERO, unix: NOW, rng: &mut rng, out: &mut out };
        let mut nodes = addrs.map(|bound| {
            let mut dht = Dht::new(Config::default(), &mut cx);
            dht.set_sockets(&mut cx, &[SocketInfo { id: SocketId(0), bound, addrs: vec![bound.ip()] }]);
            dht
        });
        let [first, second] = &mut nodes;
        first.bootstrap(&mut cx, &addrs[1..]);
        for _ in 0..9 {
            while let Some(sent) = cx.out.pop() {
                let (to, from) =
                    if sent.to == addrs[0] { (&mut *first, addrs[1]) } else { (&mut *second, addrs[0]) };
                to.handle_datagram(&mut cx, SocketId(0), None, from, &sent.bytes);
            }
        }
        first.snapshot()
    }

    fn hosts(list: &[&str]) -> Vec<Host> {
        list.iter().map(|host| host.parse().unwrap()).collect()
    }

    #[test]
    fn each_network_has_its_own_file() {
        let dir = TempDir::new("own");
        let (one, other) = (hosts(&["127.0.0.1:1", "b.example:2"]), hosts(&["127.0.0.1:3"]));
        let (kept, before) = dir.open(&one);
        assert_eq!(before, None);
        kept.save(&snapshot());
        assert_eq!(dir.open(&one).1, Some(snapshot()));
        assert_eq!(dir.open(&hosts(&["b.example:2", "127.0.0.1:1"])).1, Some(snapshot()), "in any order");
        assert_eq!(dir.open(&other).1, None, "a private DHT must not leak into another");
        assert_eq!(dir.open(&defaults::bootstrap()).1, None);
        let (nowhere, latest) = dir.open(&[]);
        assert_eq!(latest, Some(snapshot()), "without hosts there is only what was");
        nowhere.save(&snapshot());
        assert_eq!(dir.names().len(), 2);
        assert_eq!(name(&one), "dht-2cd428e2e66f466d.snapshot", "the name never changes");
    }

    #[test]
    fn nobody_does_not_replace_somebody() {
        let dir = TempDir::new("nobody");
        let (kept, _) = dir.open(&[]);
        kept.save(&snapshot());
        kept.save(&Snapshot::default());
        assert_eq!(dir.open(&[]).1, Some(snapshot()));
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = TempDir::new("damaged");
        let list = defaults::bootstrap();
        dir.open(&list).0.save(&snapshot());
        let path = dir.0.join("dht.snapshot");
        let whole = fs::read(&path).unwrap();
        for damage in [&b""[..], &whole[..whole.len() - 1], &[b'x'; 99]] {
            fs::write(&path, damage).unwrap();
            let (kept, snapshot) = dir.open(&list);
            assert_eq!(snapshot, None);
            let aside = dir.0.join("dht.snapshot.corrupt-1790000000");
            assert_eq!(kept.trouble(), Some(Trouble::SetAside(aside.display().to_string())));
            assert_eq!(kept.trouble(), None);
            assert_eq!(fs::read(&aside).unwrap(), damage);
            assert_eq!(dir.names(), ["dht.snapshot.corrupt-1790000000"], "a fresh start");
        }
    }

    #[test]
    fn a_directory_that_is_none_is_told_of_once() {
        let dir = TempDir::new("none");
        let file = dir.0.join("file");
        fs::write(&file, "").unwrap();
        let (kept, snapshot_then) = Kept::open(&file, &[], NOW);
        assert_eq!(snapshot_then, None);
        let Some(Trouble::NotKept(what)) = kept.trouble() else { panic!("no word") };
        assert!(what.starts_with("cannot make the directory "), "{what}");
        kept.save(&snapshot());
        assert_eq!(kept.trouble(), None, "once is enough");
    }

    #[test]
    fn old_networks_are_forgotten() {
        let dir = TempDir::new("prune");
        for n in 1..=MAX_FILES + 3 {
            dir.open(&hosts(&[&format!("127.0.0.1:{n}")])).0.save(&snapshot());
        }
        drop(dir.open(&[]));
        assert_eq!(dir.names().len(), MAX_FILES);
    }

    #[test]
    fn who_listens_on_loopback_stays_there() {
        let snapshot = snapshot();
        let [loopback, outside] = ["127.0.0.1", "0.0.0.0"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(within_reach(&[loopback], snapshot.clone()).nodes().count(), 1);
        assert_eq!(within_reach(&[outside], snapshot.clone()), snapshot);
        assert_eq!(within_reach(&[], snapshot.clone()), snapshot);
    }
}
