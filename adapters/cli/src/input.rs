//! What comes in on stdin: lines, and with `--json` commands.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::thread;

use async_channel::Receiver;
use serde::Deserialize;
use serde_json::Value;

use crate::text;

/// The longest line that is read whole: a message of the greatest length, escaped as wastefully as JSON allows, and its id.
const MAX_LINE: usize = 64 * 1024;

/// Lines that may wait; then stdin does.
const MAX_WAITING: usize = 16;

/// What a person or a program wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    Say {
        text: String,
        id: Value,
    },
    Peers,
    Leave,
    /// A line that cannot be said or done.
    Bad {
        what: String,
        hint: &'static str,
    },
    /// There will be no more.
    End,
}

#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
enum JsonCommand {
    Say {
        text: String,
        #[serde(default)]
        id: Value,
    },
    Peers,
    Leave,
}

/// Reads stdin on a thread of its own: it cannot be read without blocking everywhere.
pub(crate) fn start(json: bool) -> Receiver<Input> {
    let (inputs, receiver) = async_channel::bounded(MAX_WAITING);
    let read = move || {
        let mut stdin = io::stdin().lock();
        loop {
            let input = match read_line(&mut stdin) {
                Ok(Some(line)) => parse(line, json),
                Ok(None) => Some(Input::End),
                Err(error) => {
                    tracing::warn!(%error, "stdin cannot be read");
                    Some(Input::End)
                }
            };
            let is_end = input == Some(Input::End);
            if input.is_some_and(|input| inputs.send_blocking(input).is_err()) || is_end {
                return;
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("stdin".into()).spawn(read) {
        tracing::error!(%error, "stdin is not read");
    }
    receiver
}

/// Asks for the meeting's code on a terminal.
///
/// # Errors
///
/// If stdin is no terminal, or ends.
pub(crate) fn ask_for_code() -> Result<String, String> {
    const HOW: &str = "give it as an argument or in MEETING_CODE, or make one with `moot new`";
    if !io::stdin().is_terminal() {
        return Err(format!("there is no meeting code, and no terminal to ask on; {HOW}"));
    }
    eprint!("Meeting code: ");
    match read_line(&mut io::stdin().lock()) {
        Ok(Some(Line::Whole(bytes))) => Ok(text::lossy(&bytes).into_owned()),
        Ok(Some(Line::TooLong)) => Err("that is too long for a meeting code".into()),
        Ok(None) | Err(_) => {
            eprintln!();
            Err(format!("there is no meeting code; {HOW}"))
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line without its end; of one that is too long, only that it is. `None` at the end of the input.
fn read_line(stdin: &mut impl io::BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    stdin.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() > MAX_LINE && line.last() != Some(&b'\n') {
        skip_line(stdin)?;
        return Ok(Some(Line::TooLong));
    }
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(Some(Line::Whole(line)))
}

fn skip_line(stdin: &mut impl io::BufRead) -> io::Result<()> {
    loop {
        let buffer = stdin.fill_buf()?;
        let end = buffer.iter().position(|&b| b == b'\n');
        let (len, is_over) = (end.map_or(buffer.len(), |end| end + 1), end.is_some() || buffer.is_empty());
        stdin.consume(len);
        if is_over {
            return Ok(());
        }
    }
}

/// What a line means; `None` if it is empty.
fn parse(line: Line, json: bool) -> Option<Input> {
    let Line::Whole(bytes) = line else {
        let what = format!("a line of more than {MAX_LINE} bytes was not said");
        return Some(Input::Bad { what, hint: "write something shorter, or several messages" });
    };
    let line = text::lossy(&bytes);
    if line.trim().is_empty() {
        return None;
    }
    if !json || !line.starts_with('{') {
        return Some(Input::Say { text: line.into_owned(), id: Value::Null });
    }
    Some(match serde_json::from_str(&line) {
        Ok(JsonCommand::Say { text, id }) => Input::Say { text, id },
        Ok(JsonCommand::Peers) => Input::Peers,
        Ok(JsonCommand::Leave) => Input::Leave,
        Err(error) => Input::Bad {
            what: format!("not a command: {error}"),
            hint: r#"a command is {"cmd":"say","text":…}, {"cmd":"peers"} or {"cmd":"leave"}"#,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8], json: bool) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(line) = read_line(&mut bytes).unwrap() {
            inputs.extend(parse(line, json));
        }
        inputs
    }

    fn said(text: &str) -> Input {
        Input::Say { text: text.into(), id: Value::Null }
    }

    #[test]
    fn without_json_all_is_said() {
        let input = b"hello\r\n\n  \n{\"cmd\":\"leave\"}\n\xff\nlast";
        assert_eq!(
            all(input, false),
            [said("hello"), said("{\"cmd\":\"leave\"}"), said("\u{fffd}"), said("last")]
        );
    }

    #[test]
    fn json_commands() {
        let input = br#"{"cmd":"say","text":"a","id":7}
{"cmd":"say","text":"b","id":{"x":[1]}}
{"cmd":"say","text":"c"}
 {"cmd":"peers"}
{"cmd":"peers"}
{"cmd":"leave"}
plain"#;
        let say = |text: &str, id| Input::Say { text: text.into(), id };
        let expected = [
            say("a", 7.into()),
            say("b", serde_json::json!({"x": [1]})),
            said("c"),
            said(" {\"cmd\":\"peers\"}"),
            Input::Peers,
            Input::Leave,
            said("plain"),
        ];
        assert_eq!(all(input, true), expected);
    }

    #[test]
    fn what_begins_like_a_command_and_is_none_is_never_said() {
        for line in [
            "{",
            "{}",
            "{\"cmd\":\"shout\",\"text\":\"x\"}",
            "{\"cmd\":\"say\"}",
            "{\"cmd\":\"say\",\"text\":1}",
            "{hello}",
        ] {
            let inputs = all(line.as_bytes(), true);
            assert!(matches!(&inputs[..], [Input::Bad { .. }]), "{line}: {inputs:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_whole() {
        let mut input = vec![b'x'; 3 * MAX_LINE];
        input.extend(b"\nnext\n");
        let inputs = all(&input, false);
        assert!(
            matches!(&inputs[..], [Input::Bad { .. }, next] if *next == said("next")),
            "{}",
            inputs.len()
        );
        let mut input = vec![b'x'; MAX_LINE];
        input.push(b'\n');
        assert!(matches!(&all(&input, false)[..], [Input::Say { .. }]));
    }
}
