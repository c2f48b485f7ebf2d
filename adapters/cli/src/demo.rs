//! `moot demo`.

use crate::exit::Exit;

pub(crate) fn run() -> Exit {
    Exit::Failure
}
