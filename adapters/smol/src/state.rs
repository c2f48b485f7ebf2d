//! The files of a profile: what is in them, and how they are written so that a crash leaves the old or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use folkmoot_core::base::{DeviceId, Incarnation, UnixTime};
use folkmoot_core::node::Identity;
use serde::{Deserialize, Serialize};

use crate::error::StateError;

const VERSION: u64 = 1;

/// No file of ours is longer; what is longer is none.
const MAX_BYTES: u64 = 64 * 1024;

/// The ports remembered are those of one run; nobody binds more sockets than this.
const MAX_PORTS: usize = 16;

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    version: u64,
    device: String,
    member: String,
}

#[derive(Serialize, Deserialize)]
struct RunFile {
    version: u64,
    incarnation: u64,
}

#[derive(Serialize, Deserialize)]
struct PortsFile {
    version: u64,
    ports: Vec<u16>,
}

/// The identity kept in `dir`, if there is one.
///
/// # Errors
///
/// If the file cannot be read, or does not hold an identity.
pub(crate) fn load_identity(dir: &Path) -> Result<Option<Identity>, StateError> {
    let path = dir.join("identity.json");
    let Some(bytes) = read(&path)? else { return Ok(None) };
    let damaged = || StateError::Damaged(path.clone());
    let versioned: Versioned = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if versioned.version != VERSION {
        return Err(StateError::TooNew(path, versioned.version));
    }
    let file: IdentityFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    let (device, member) = (seed(&file.device).ok_or_else(damaged)?, seed(&file.member).ok_or_else(damaged)?);
    Ok(Some(Identity { device, member }))
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// Keeps a new identity in `dir`.
pub(crate) fn store_identity(dir: &Path, identity: &Identity) -> Result<(), StateError> {
    let file = IdentityFile {
        version: VERSION,
        device: DeviceId(identity.device).to_string(),
        member: DeviceId(identity.member).to_string(),
    };
    write(&dir.join("identity.json"), &file)
}

/// The next incarnation of the identity in `dir`: greater than every one before, and on the disk once this returns.
pub(crate) fn next_incarnation(dir: &Path, now: UnixTime) -> Result<Incarnation, StateError> {
    let path = dir.join("run.json");
    let last = read(&path)?.and_then(|bytes| serde_json::from_slice::<RunFile>(&bytes).ok());
    let next = now.as_millis().max(last.map_or(0, |run| run.incarnation.saturating_add(1)));
    write(&path, &RunFile { version: VERSION, incarnation: next })?;
    Ok(Incarnation(next))
}

/// The UDP ports of the last run. They matter little, so whatever is wrong with them is as if there were none.
pub(crate) fn load_ports(dir: &Path) -> Vec<u16> {
    let bytes = read(&dir.join("ports.json")).ok().flatten().unwrap_or_default();
    let mut ports =
        serde_json::from_slice::<PortsFile>(&bytes).map_or_else(|_| Vec::new(), |file| file.ports);
    ports.retain(|&port| port != 0);
    ports.truncate(MAX_PORTS);
    ports
}

/// Remembers the UDP ports of this run.
pub(crate) fn store_ports(dir: &Path, ports: &[u16]) {
    if let Err(error) = write(&dir.join("ports.json"), &PortsFile { version: VERSION, ports: ports.into() }) {
        tracing::debug!(%error, "the ports are not remembered");
    }
}

fn seed(hex: &str) -> Option<[u8; 32]> {
    hex.parse::<DeviceId>().ok().map(|id| id.0)
}

/// The content of a file, or `None` if there is no such file. Of what is longer than any file of ours, only the beginning.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    use io::Read as _;
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(StateError::io("read", path))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(StateError::io("read", path))?;
    Ok(Some(bytes))
}

fn write(path: &Path, content: &impl Serialize) -> Result<(), StateError> {
    let mut bytes =
        serde_json::to_vec(content).map_err(|error| StateError::io("write", path)(error.into()))?;
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// Writes a file whole: a new one beside it, synced, then renamed over it, and the directory synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let beside: PathBuf = path.with_extension("new");
    let whole = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_parent(path)
    };
    whole().map_err(StateError::io("write", path))
}

/// On Unix a rename lasts once its directory is synced. Not every file system can; then nothing more can be done.
fn sync_parent(path: &Path) -> io::Result<()> {
    if cfg!(unix)
        && let Some(parent) = path.parent()
    {
        let _ = File::open(parent)?.sync_all();
    }
    Ok(())
}
