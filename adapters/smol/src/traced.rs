//! A node, and the file to which it is traced if somebody asked for that.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use folkmoot_core::base::{Time, UnixTime};
use folkmoot_core::node::{Config, Input, Node, Output, Trouble};
use folkmoot_core::trace::{Extent, LIMIT, Recorder};

use crate::error::Error;

/// What is to be traced, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) path: PathBuf,
    pub(crate) extent: Extent,
}

/// A [`Node`] that may be traced. Nothing else may hand it an input or take an output.
#[derive(Debug)]
pub(crate) struct Traced {
    node: Node,
    tape: Option<Tape>,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Tape {
    recorder: Recorder,
    file: File,
}

impl Traced {
    /// Makes a node as [`Node::new`] does, and the file that was wished for, which must not be there yet.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub(crate) fn start(
        wish: Option<&Wish>,
        config: Config,
        entropy: [u8; 32],
        now: Time,
        unix: UnixTime,
    ) -> Result<Self, Error> {
        let Some(Wish { path, extent }) = wish else {
            return Ok(Self { node: Node::new(config, entropy, now, unix), tape: None, trouble: None });
        };
        let file = create(path).map_err(|error| Error::Trace(path.clone(), error))?;
        let (node, recorder) = Recorder::start(*extent, LIMIT, config, entropy, now, unix);
        Ok(Self { node, tape: Some(Tape { recorder, file }), trouble: None })
    }

    /// [`Node::handle`].
    pub(crate) fn handle(&mut self, now: Time, input: Input<'_>) {
        if let Some(tape) = &mut self.tape {
            tape.recorder.input(now, &input);
        }
        self.node.handle(now, input);
    }

    /// [`Node::poll`].
    pub(crate) fn poll(&mut self) -> Output {
        let output = self.node.poll();
        if let Some(tape) = &mut self.tape {
            tape.recorder.output(&output);
            if let Output::Idle(_) = output {
                self.write();
            }
        }
        output
    }

    /// Ends the trace, unless more is to come. Whoever knows that a meeting is left may end the process at once.
    pub(crate) fn end(&mut self) {
        if let Some(tape) = &mut self.tape {
            tape.recorder.end();
            self.write();
        }
    }

    /// The node, to be looked at.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Why the trace does not go on, told once.
    pub(crate) fn trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    fn write(&mut self) {
        let Some(tape) = &mut self.tape else { return };
        let why = match tape.file.write_all(&tape.recorder.take()) {
            Err(error) => error.to_string(),
            Ok(()) if tape.recorder.is_full() => format!("it has {} MiB", LIMIT / (1024 * 1024)),
            Ok(()) => return,
        };
        (self.tape, self.trouble) = (None, Some(Trouble::NotTraced(why)));
    }
}

/// A new file that nobody else may read.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
