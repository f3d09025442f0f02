//! What people and programs read: results on stdout, messages about them on stderr.
//!
//! Names in either that others chose cannot control a terminal: tables and records go through [`Out::text`], messages
//! on stderr through [`say`].
//!
//! With `--json` stdout carries the API's objects, one a line, and nothing else. Without it stdout carries the run's
//! own output, byte for byte, or a table; the verdict and the live status go to stderr, so that
//! `longhaul run x.do > out.txt` keeps exactly what Stata printed.

pub(crate) mod colour;
mod made_with;
mod own_files;
mod record;
mod row;
mod runs;
mod status;
mod table;
mod terminal;
mod verdict;
mod when;

use std::{
    borrow::Cow,
    io::{self, Write},
};

use longhaul_proto::{faults, state::RunState, visible};
use serde::Serialize;

pub(crate) use longhaul_proto::words::{bytes, duration};

pub(crate) use made_with::whole as made_with;
pub(crate) use own_files::OwnFiles;
pub(crate) use record::{About, record};
pub(crate) use runs::RunsTable;
pub(crate) use status::{ShownOn, Status, status_text};
pub(crate) use table::{agents, columns, do_files, files, hosts, invitations, tokens};
pub(crate) use terminal::LineEnd;
pub(crate) use verdict::{no_end, verdict};
pub(crate) use when::When;

/// Writes to stdout. A reader that left (`longhaul log x | head`) is no error: the rest is dropped.
pub(crate) struct Out {
    to: Box<dyn Write + Send>,
    /// The reader has left.
    closed: bool,
}

impl Default for Out {
    fn default() -> Self {
        Self::new(io::stdout())
    }
}

impl Out {
    /// Writes to another writer.
    pub(crate) fn new(to: impl Write + Send + 'static) -> Self {
        Self { to: Box::new(to), closed: false }
    }

    /// Whether its reader has left.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// Any failure, except by a reader that left.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        match self.to.write_all(bytes).and_then(|()| self.to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            done => done,
        }
    }

    /// Writes a text of ours with names that others chose: files, arguments, hosts. It cannot control a terminal.
    ///
    /// # Errors
    /// As [`Out::bytes`].
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.bytes(shown(text).as_bytes())
    }

    /// The same for a text about a run, with the first line in the colour of its state.
    ///
    /// # Errors
    /// As [`Out::bytes`].
    pub(crate) fn text_of(&mut self, state: RunState, text: &str) -> io::Result<()> {
        let wanted = colour::wanted(colour::Stream::Stdout);
        self.bytes(colour::paint_first_line(&shown(text), colour::Tone::of(state), wanted).as_bytes())
    }

    /// Writes a text that is made for this width of a terminal (`None` = there is none), with colours or without. It is
    /// written as it is: its maker has made names harmless.
    ///
    /// # Errors
    /// As [`Out::bytes`].
    pub(crate) fn painted(&mut self, text: impl FnOnce(Option<usize>, bool) -> String) -> io::Result<()> {
        let text = text(terminal::width(io::stdout()), colour::wanted(colour::Stream::Stdout));
        self.bytes(text.as_bytes())
    }

    /// Writes one object as one line.
    ///
    /// # Errors
    /// As [`Out::bytes`].
    pub(crate) fn json(&mut self, object: &impl Serialize) -> io::Result<()> {
        let mut line = harmless(serde_json::to_string(object)?);
        line.push('\n');
        self.bytes(line.as_bytes())
    }
}

pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if faults::bug("terminal_texts_raw") { Cow::Borrowed(text) } else { visible::text(text) }
}

/// The same JSON without a character that could control a terminal: JSON has an escape for each.
fn harmless(json: String) -> String {
    if !json.contains(visible::is_hidden) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 32);
    for c in json.chars() {
        if visible::is_hidden(c) {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Prints how a run ended, or what its state is, on stderr: the first line in the colour of that state.
pub(crate) fn say_of(state: RunState, text: &str) {
    let wanted = colour::wanted(colour::Stream::Stderr);
    let text = colour::paint_first_line(&visible::text(text.trim_end()), colour::Tone::of(state), wanted);
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A word of a command that a person copies into a shell: quoted where a shell would read it otherwise.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:,@+=".contains(c));
    if plain && !text.is_empty() { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Prints a message on stderr, in a stream of JSON as an object of the form that the log's lines have there.
pub(crate) fn say_json(now_ms: i64, level: &str, message: &str) {
    let line = serde_json::json!({
        "timestamp": longhaul_proto::clock::rfc3339(now_ms), "level": level, "target": "longhaul", "message": message,
    });
    let _ = writeln!(io::stderr().lock(), "{}", harmless(line.to_string()));
}

/// Prints a message on stderr. If stderr is closed, that is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", visible::text(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_in_a_shell() {
        for (word, want) in
            [("/d/x-1", "/d/x-1"), ("/a b", "'/a b'"), ("it's", "'it'\\''s'"), ("", "''"), ("$x", "'$x'")]
        {
            assert_eq!(shell_word(word), want);
        }
    }

    #[test]
    fn json_commands_no_terminal() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{e0041}\n\u{e9}";
        let json = harmless(serde_json::to_string(text).unwrap());
        assert_eq!(json, "\"a\\u001b\\u009b\\u202e\\udb40\\udc41\\n\u{e9}\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
