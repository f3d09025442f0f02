//! What people and programs read: results on stdout, messages about them on stderr.
//!
//! Names in either that others chose cannot control a terminal: tables and records go through [`Out::text`], messages
//! on stderr through [`say`].
//!
//! With `--json` stdout carries the API's objects, one a line, and nothing else. Without it stdout carries the run's
//! own output, byte for byte, or a table; the verdict and the live status go to stderr, so that
//! `longhaul run x.do > out.txt` keeps exactly what Stata printed.

mod record;
mod status;
mod table;
mod verdict;

use std::io::{self, Write};

use longhaul_proto::{faults, visible};
use serde::Serialize;

pub(crate) use record::record;
pub(crate) use status::{Status, status_text};
pub(crate) use table::{agents, hosts, runs};
pub(crate) use verdict::{no_end, verdict};

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
    /// Writes to another writer, in tests.
    pub(crate) fn new(to: impl Write + Send + 'static) -> Self {
        Self { to: Box::new(to), closed: false }
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
        if faults::bug("terminal_texts_raw") {
            return self.bytes(text.as_bytes());
        }
        self.bytes(visible::text(text).as_bytes())
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

/// Prints a message on stderr. If stderr is closed, that is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", visible::text(text));
}

/// A length of time as people say it: `0.4 s`, `12 s`, `4 min 10 s`, `2 h 05 min`, `3 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (d, h, min, s) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (d, h, min) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{min} min {s:02} s"),
        (0, _, _) => format!("{h} h {min:02} min"),
        _ => format!("{d} d {h} h"),
    }
}

/// A number of bytes as people say it: `512 B`, `64.0 KiB`, `2.0 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_commands_no_terminal() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{e0041}\n\u{e9}";
        let json = harmless(serde_json::to_string(text).unwrap());
        assert_eq!(json, "\"a\\u001b\\u009b\\u202e\\udb40\\udc41\\n\u{e9}\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn people_read_times_and_sizes() {
        for (seconds, want) in [
            (0.04, "0.0 s"),
            (2.345, "2.3 s"),
            (9.96, "10 s"),
            (59.6, "1 min 00 s"),
            (250.0, "4 min 10 s"),
            (662.9, "11 min 03 s"),
            (7500.0, "2 h 05 min"),
            (273_600.0, "3 d 4 h"),
            (-1.0, "?"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(duration(seconds), want, "{seconds}");
        }
        for (n, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (32 << 20, "32.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(n), want, "{n}");
        }
    }
}
