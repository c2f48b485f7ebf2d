use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use folkmoot_core::base::{DeviceId, Incarnation, MemberId, UnixTime};
use folkmoot_core::meeting::Keyring;
use folkmoot_core::node::Identity;

use crate::error::{Error, StateError};
use crate::state;

/// The profile that is taken if none is named.
const DEFAULT: &str = "default";

/// Profiles tried, `default`, `2`, `3` and so on, before giving up.
const MAX_PROFILES: usize = 99;

/// Hexadecimal words shorter than this are names: `ada` and `bea` are people.
const MIN_ID_DIGITS: usize = 4;

/// Everything lasting of one device: a directory with its identity, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) identity: Identity,
    pub(crate) incarnation: Incarnation,
    /// The profile that would have been taken, had it not been in use.
    pub(crate) instead_of: Option<String>,
    dir: PathBuf,
    _lock: File,
}

impl Profile {
    /// Takes a profile of the state directory `root`: the one that `wanted` names or whose ids begin with it, else the
    /// first that is free. Makes it if there is none.
    ///
    /// # Errors
    ///
    /// If it is in use, unknown, damaged, or the disk does not do what it should.
    pub(crate) fn take(root: &Path, wanted: Option<&str>, now: UnixTime) -> Result<Self, Error> {
        let profiles = root.join("profiles");
        make_dir(&profiles)?;
        match wanted {
            Some(wanted) => {
                let name = find(&profiles, wanted)?;
                Self::open(&profiles, &name, now)?.ok_or_else(|| StateError::InUse(name).into())
            }
            None => Self::first_free(&profiles, now),
        }
    }

    fn first_free(profiles: &Path, now: UnixTime) -> Result<Self, Error> {
        for n in 1..=MAX_PROFILES {
            let name = if n == 1 { DEFAULT.into() } else { n.to_string() };
            if let Some(mut profile) = Self::open(profiles, &name, now)? {
                profile.instead_of = (n > 1).then(|| DEFAULT.into());
                return Ok(profile);
            }
        }
        Err(StateError::AllInUse(MAX_PROFILES).into())
    }

    /// `None` if another process has it.
    fn open(profiles: &Path, name: &str, now: UnixTime) -> Result<Option<Self>, Error> {
        let dir = profiles.join(name);
        make_dir(&dir)?;
        let Some(lock) = lock(&dir.join("lock"))? else { return Ok(None) };
        let identity = match state::load_identity(&dir)? {
            Some(identity) => identity,
            None => {
                let identity = fresh_identity()?;
                state::store_identity(&dir, &identity)?;
                identity
            }
        };
        let incarnation = state::next_incarnation(&dir, now)?;
        Ok(Some(Self { name: name.into(), identity, incarnation, instead_of: None, dir, _lock: lock }))
    }

    /// Where the files of this profile are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The UDP ports of the last run: having them again keeps NAT mappings and makes a restart quick.
    pub(crate) fn ports(&self) -> Vec<u16> {
        state::load_ports(&self.dir)
    }

    /// Remembers the UDP ports of this run.
    pub(crate) fn remember_ports(&self, ports: &[u16]) {
        if ports != self.ports() {
            state::store_ports(&self.dir, ports);
        }
    }
}

/// Where the state is kept if nothing else is said: `folkmoot` in `XDG_STATE_HOME`, else in `~/.local/state` (on Windows, in
/// `LOCALAPPDATA`).
pub(crate) fn default_root() -> Result<PathBuf, StateError> {
    // The XDG specification: a path that is not absolute is to be ignored.
    let var = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || match cfg!(windows) {
        true => var("LOCALAPPDATA"),
        false => var("HOME").map(|home| home.join(".local").join("state")),
    };
    var("XDG_STATE_HOME").or_else(home).map(|dir| dir.join("folkmoot")).ok_or(StateError::Homeless)
}

/// A new identity, from the operating system's randomness.
pub(crate) fn fresh_identity() -> Result<Identity, Error> {
    Ok(Identity { device: entropy()?, member: entropy()? })
}

/// 32 bytes from the operating system.
pub(crate) fn entropy() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::Entropy)?;
    Ok(bytes)
}

/// The public ids of an identity.
pub(crate) fn ids(identity: &Identity) -> (DeviceId, MemberId) {
    let keyring = Keyring::new(&identity.device, &identity.member);
    (keyring.device(), keyring.member())
}

/// The name of the profile that `wanted` means: a profile of that name, an identity whose device or member id begins so, or a new
/// name.
fn find(profiles: &Path, wanted: &str) -> Result<String, StateError> {
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if wanted.is_empty() || wanted.len() > 64 || !wanted.bytes().all(is_name_byte) {
        return Err(StateError::BadName(wanted.into()));
    }
    let is_id = wanted.len() >= MIN_ID_DIGITS && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_id || profiles.join(wanted).join("identity.json").exists() {
        return Ok(wanted.into());
    }
    let mut found = None;
    for entry in fs::read_dir(profiles).map_err(StateError::io("read", profiles))? {
        let entry = entry.map_err(StateError::io("read", profiles))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A damaged one is not asked for by id; it is told of when it is asked for by name.
        let Ok(Some(identity)) = state::load_identity(&entry.path()) else { continue };
        let (device, member) = ids(&identity);
        let begins = |id: String| id.starts_with(&wanted.to_ascii_lowercase());
        if (begins(device.to_string()) || begins(member.to_string())) && found.replace(name).is_some() {
            return Err(StateError::AmbiguousId(wanted.into()));
        }
    }
    found.ok_or_else(|| StateError::UnknownId(wanted.into()))
}

pub(crate) fn make_dir(path: &Path) -> Result<(), StateError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(StateError::io("make the directory", path))
}

/// `None` if another process holds the lock. It is gone with the process, however that ends.
pub(crate) fn lock(path: &Path) -> Result<Option<File>, StateError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(StateError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(StateError::io("lock", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_millis(1_000_000);

    /// A directory of its own for each test, gone when the test ends.
    struct TempDir(PathBuf);

    impl TempDir {
        fn new(test: &str) -> Self {
            let path = env::temp_dir().join(format!("folkmoot-{}-{test}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn take(&self, wanted: Option<&str>) -> Result<Profile, Error> {
            Profile::take(&self.0, wanted, NOW)
        }

        fn file(&self, profile: &str, name: &str) -> PathBuf {
            self.0.join("profiles").join(profile).join(name)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_identity_lasts_and_incarnations_grow() {
        let dir = TempDir::new("lasts");
        let first = dir.take(None).unwrap();
        let (identity, incarnation) = (first.identity, first.incarnation);
        assert_eq!((first.name.as_str(), incarnation), (DEFAULT, Incarnation(NOW.as_millis())));
        drop(first);
        let second = dir.take(None).unwrap();
        assert_eq!(second.identity, identity);
        assert_eq!(second.incarnation, Incarnation(incarnation.0 + 1), "although the clock stands still");
    }

    #[test]
    fn the_next_free_profile_is_taken() {
        let dir = TempDir::new("free");
        let first = dir.take(None).unwrap();
        let second = dir.take(None).unwrap();
        assert_eq!((second.name.as_str(), second.instead_of.as_deref()), ("2", Some(DEFAULT)));
        assert_ne!(first.identity, second.identity);
        drop(first);
        let third = dir.take(None).unwrap();
        assert_eq!((third.name.as_str(), third.instead_of), (DEFAULT, None));
    }

    #[test]
    fn a_named_profile_in_use_is_an_error() {
        let dir = TempDir::new("named");
        let first = dir.take(Some("ada")).unwrap();
        assert_eq!(first.name, "ada");
        assert!(matches!(dir.take(Some("ada")), Err(Error::State(StateError::InUse(name))) if name == "ada"));
    }

    #[test]
    fn node_ids() {
        let dir = TempDir::new("ids");
        let identity = dir.take(Some("ada")).unwrap().identity;
        let (device, _) = ids(&identity);
        for wanted in [&device.to_string(), &device.to_string()[..6], &device.to_string()[..6].to_uppercase()]
        {
            assert_eq!(dir.take(Some(wanted)).unwrap().identity, identity, "{wanted}");
        }
        assert!(matches!(dir.take(Some("deadbeef0123")), Err(Error::State(StateError::UnknownId(_)))));
        for bad in ["", "../up", "a/b", ".", "é", &"x".repeat(65)] {
            assert!(matches!(dir.take(Some(bad)), Err(Error::State(StateError::BadName(_)))), "{bad:?}");
        }
    }

    #[test]
    fn a_damaged_identity_is_never_replaced() {
        let dir = TempDir::new("damaged");
        drop(dir.take(None).unwrap());
        let path = dir.file(DEFAULT, "identity.json");
        let whole = fs::read_to_string(&path).unwrap();
        for damage in ["", "{", "null", &whole[..40], &whole.replace("\"member\":\"", "\"member\":\"zz")] {
            fs::write(&path, damage).unwrap();
            let error = dir.take(None).unwrap_err();
            assert!(matches!(&error, Error::State(StateError::Damaged(p)) if *p == path), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damage);
        }
        fs::write(&path, whole.replace("\"version\":1", "\"version\":2")).unwrap();
        assert!(matches!(dir.take(None), Err(Error::State(StateError::TooNew(_, 2)))));
    }

    #[test]
    fn a_directory_that_is_none_says_so() {
        let dir = TempDir::new("none");
        let file = dir.0.join("file");
        fs::write(&file, "").unwrap();
        let error = Profile::take(&file, None, NOW).unwrap_err().to_string();
        assert!(error.starts_with("cannot make the directory "), "{error}");
        assert!(error.contains("--state-dir"), "{error}");
    }

    #[test]
    fn ports_are_remembered() {
        let dir = TempDir::new("ports");
        let profile = dir.take(None).unwrap();
        assert!(profile.ports().is_empty());
        profile.remember_ports(&[4_000, 4_001]);
        assert_eq!(profile.ports(), [4_000, 4_001]);
        fs::write(dir.file(DEFAULT, "ports.json"), "damaged").unwrap();
        assert!(profile.ports().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = TempDir::new("modes");
        drop(dir.take(None).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.file(DEFAULT, "identity.json")), 0o600);
        assert_eq!(mode(&dir.file(DEFAULT, "")), 0o700);
    }
}
