//! `moot dht key`: a file with the key of an author of items.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use folkmoot::core::dht::Author;

use super::args;
use super::guest::{Failure, Report};
use super::lines::{KeyLine, hex};
use crate::exit::Exit;

/// More than any key file has.
const MAX_BYTES: u64 = 1_024;

pub(super) fn make(file: &Path, is_json: bool, started: Instant) -> Exit {
    let report = Report::with(is_json, started);
    let made = create(file).and_then(|author| {
        let public_key = hex(&author.public());
        let line = KeyLine { file: file.display().to_string(), public_key: public_key.clone() };
        report.result("key", line, public_key)
    });
    match made {
        Ok(()) => Exit::Success,
        Err(failure) => report.fail(&failure),
    }
}

/// Makes a key in a new file that only its owner may read.
pub(super) fn create(path: &Path) -> Result<Author, Failure> {
    let secret = folkmoot::generate_secret()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        writeln!(file, "{}", hex(&secret))?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(Author::new(secret)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::machine(
            format!("there is a file {} already", path.display()),
            "use it as it is, or name another; a key is never overwritten",
        )),
        Err(error) => Err(failed("made", path, &error)),
    }
}

/// The author whose key is in a file.
pub(super) fn load(path: &Path) -> Result<Author, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
        .map_err(|error| failed("read", path, &error))?;
    let secret = args::hex(&String::from_utf8_lossy(&bytes), "a key");
    secret.map(Author::new).map_err(|why| {
        let what = format!("there is no key in {}: {why}", path.display());
        Failure::usage(what, "make one with `moot dht key FILE`")
    })
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::NotFound if what == "read" => "check the name, or make a key with `moot dht key FILE`",
        _ => "check the name, who owns it and its permissions",
    };
    Failure::machine(format!("the key file {} cannot be {what}: {error}", path.display()), hint)
}
