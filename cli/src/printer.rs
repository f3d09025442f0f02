//! Shows a run's output: bytes as they are, or events of JSON.
//!
//! A terminal gets no byte that could control it: control and bidi characters are shown as `\x1b`, unless raw bytes
//! were asked for.

use std::io::{self, IsTerminal};

use longhaul_proto::{
    api::OutputEvent,
    encoding::Encoding,
    stata_log::{
        OutputOnly,
        lines::{Dialect, Line, LineReader},
    },
    visible::{self, Filter},
};

use crate::output::{LineEnd, Out};

/// How bytes are shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTerminal {
    /// As text that cannot control it.
    Harmless,
    /// As they are.
    Raw,
}

impl OnTerminal {
    /// As the flag `--raw` says.
    pub(crate) fn of(raw: bool) -> Self {
        if raw { Self::Raw } else { Self::Harmless }
    }
}

/// Shows output on stdout.
pub(crate) struct Printer {
    out: Out,
    events: Option<TextEvents>,
    filter: Option<Filter>,
    printed: Option<Box<Printed>>,
    /// Bytes go to a terminal as they are.
    raw: bool,
    end: LineEnd,
}

impl Printer {
    /// Bytes as they are, but for what a terminal must not get; it is shown words of this encoding where they are no UTF-8.
    pub(crate) fn bytes_to_stdout(on_terminal: OnTerminal, encoding: Encoding) -> Self {
        let terminal = io::stdout().is_terminal();
        let raw = terminal && on_terminal == OnTerminal::Raw;
        let filter = (terminal && !raw).then(|| Filter::in_encoding(encoding));
        Self { out: Out::default(), events: None, filter, printed: None, raw, end: LineEnd::Closed }
    }

    /// Bytes as they are, to another writer.
    pub(crate) fn bytes_to(out: Out) -> Self {
        Self { out, events: None, filter: None, printed: None, raw: false, end: LineEnd::Closed }
    }

    /// Lines that Stata printed, without the commands that it echoed, each when it is whole.
    pub(crate) fn output_only_to_stdout(encoding: Encoding) -> Self {
        let reader = LineReader::at(0, Dialect::PLAIN).in_encoding(encoding);
        let harmless = io::stdout().is_terminal();
        let printed = Some(Box::new(Printed { reader, encoding, only: OutputOnly::default(), harmless }));
        Self { out: Out::default(), events: None, filter: None, printed, raw: false, end: LineEnd::Closed }
    }

    /// TextEvents, of which the first begins at this offset.
    pub(crate) fn events_to_stdout(at: u64, encoding: Encoding) -> Self {
        let events = Some(TextEvents { at, rest: vec![], encoding });
        Self { out: Out::default(), events, filter: None, printed: None, raw: false, end: LineEnd::Closed }
    }

    /// Shows the next bytes, of which the first is at this offset.
    ///
    /// # Errors
    /// When stdout fails, except by a reader that left.
    pub(crate) fn bytes(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(printed) = &mut self.printed {
            // A line does not go on behind a gap, where another attempt's output begins.
            let before = if printed.reader.position() == at { String::new() } else { printed.jump(at) };
            return self.out.bytes((before + &printed.push(bytes)).as_bytes());
        }
        let Some(events) = &mut self.events else {
            let Some(filter) = &mut self.filter else {
                self.end = match bytes.last() {
                    Some(last) if self.raw && *last != b'\n' => LineEnd::Unknown,
                    Some(_) => LineEnd::Closed,
                    None => self.end,
                };
                return self.out.bytes(bytes);
            };
            let text = filter.push(bytes);
            self.end = self.end.after(&text);
            return self.out.bytes(text.as_bytes());
        };
        // A character does not continue behind a gap.
        let before = if events.end() == at { None } else { events.jump(at) };
        for event in before.into_iter().chain(events.push(bytes)) {
            self.out.json(&event)?;
        }
        Ok(())
    }

    /// Where what was shown ends on a terminal; elsewhere it is [`LineEnd::Closed`], since nothing else is written there.
    pub(crate) fn line_end(&self) -> LineEnd {
        self.end
    }

    /// Shows the rest of a broken character.
    ///
    /// # Errors
    /// As [`Printer::bytes`].
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Some(printed) = &mut self.printed {
            return self.out.bytes(printed.finish().as_bytes());
        }
        if let Some(filter) = &mut self.filter {
            let text = filter.finish();
            self.end = self.end.after(&text);
            self.out.bytes(text.as_bytes())?;
        }
        match self.events.as_mut().and_then(TextEvents::finish) {
            Some(event) => self.out.json(&event),
            None => Ok(()),
        }
    }
}

/// Keeps the lines that Stata printed.
struct Printed {
    reader: LineReader,
    encoding: Encoding,
    only: OutputOnly,
    /// They are shown on a terminal.
    harmless: bool,
}

impl Printed {
    fn push(&mut self, bytes: &[u8]) -> String {
        let mut text = String::new();
        let (only, harmless) = (&mut self.only, self.harmless);
        self.reader.push(bytes, |line| Self::line(only, harmless, &line, &mut text));
        text
    }

    fn finish(&mut self) -> String {
        let mut text = String::new();
        if let Some(last) = self.reader.partial() {
            Self::line(&mut self.only, self.harmless, &last, &mut text);
        }
        self.reader = LineReader::at(self.reader.position(), Dialect::PLAIN);
        text
    }

    /// Continues at another offset; returns the rest from before it.
    fn jump(&mut self, at: u64) -> String {
        let rest = self.finish();
        self.reader = LineReader::at(at, Dialect::PLAIN).in_encoding(self.encoding);
        self.only = OutputOnly::default();
        rest
    }

    fn line(only: &mut OutputOnly, harmless: bool, line: &Line, text: &mut String) {
        if only.shows(&line.text) {
            text.push_str(&if harmless { visible::text(&line.text) } else { line.text.as_str().into() });
            text.push('\n');
        }
    }
}

/// Cuts bytes into texts at whole characters.
#[derive(Debug)]
struct TextEvents {
    at: u64,
    rest: Vec<u8>,
    encoding: Encoding,
}

impl TextEvents {
    fn push(&mut self, bytes: &[u8]) -> Option<OutputEvent> {
        self.rest.extend_from_slice(bytes);
        let open = match std::str::from_utf8(&self.rest) {
            // Only a character that may still become whole waits; lines with invalid bytes are read in the older encoding, and the event says so.
            Err(error) if error.error_len().is_none() => self.rest.len() - error.valid_up_to(),
            Err(_) => self.rest.utf8_chunks().last().map_or(0, |chunk| unfinished(chunk.invalid())),
            Ok(_) => 0,
        };
        let whole = self.rest.drain(..self.rest.len() - open).collect();
        self.event(whole)
    }

    fn finish(&mut self) -> Option<OutputEvent> {
        let rest = std::mem::take(&mut self.rest);
        self.event(rest)
    }

    /// Offset of the byte that should come next.
    fn end(&self) -> u64 {
        self.at + self.rest.len() as u64
    }

    /// Continues at another offset; returns the rest from before it.
    fn jump(&mut self, at: u64) -> Option<OutputEvent> {
        let left = self.finish();
        self.at = at;
        left
    }

    fn event(&mut self, bytes: Vec<u8>) -> Option<OutputEvent> {
        if bytes.is_empty() {
            return None;
        }
        let (offset, next) = (self.at, self.at + bytes.len() as u64);
        self.at = next;
        let (text, lossy) = self.encoding.lines(&bytes);
        Some(OutputEvent { offset, next, text: text.into_owned(), lossy })
    }
}

/// Length of an invalid sequence at the end if more bytes may make it a character.
fn unfinished(invalid: &[u8]) -> usize {
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], want: &[(u64, u64, &str, bool)]) {
        let mut events = TextEvents { at: 5, rest: vec![], encoding: Encoding::default() };
        let mut got: Vec<_> = pieces.iter().filter_map(|p| events.push(p)).collect();
        got.extend(events.finish());
        let got: Vec<_> = got.iter().map(|e| (e.offset, e.next, e.text.as_str(), e.lossy)).collect();
        assert_eq!(got, want, "{pieces:?}");
    }

    #[test]
    fn texts_end_at_whole_characters() {
        let mut events = TextEvents { at: 5, rest: vec![], encoding: Encoding::default() };
        let first = events.push(b"a\xc3").unwrap();
        let (left, next) = (events.jump(20).unwrap(), events.push(b"b").unwrap());
        assert_eq!(
            [(first.offset, first.next), (left.offset, left.next), (next.offset, next.next)],
            [(5, 6), (6, 7), (20, 21)]
        );
        check(&[b"ab", b"c\n"], &[(5, 7, "ab", false), (7, 9, "c\n", false)]);
        check(&[b"a\xc3", b"\xa9b"], &[(5, 6, "a", false), (6, 9, "éb", false)]);
        check(&[b"a\xc3"], &[(5, 6, "a", false), (6, 7, "\u{c3}", true)]);
        check(&[b"a\xffb\xe2\x82", b"\xac"], &[(5, 8, "a\u{ff}b", true), (8, 11, "€", false)]);
    }
}
