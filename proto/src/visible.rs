//! Text from outside, made harmless before it is shown.
//!
//! What a program prints may command a terminal (escapes, OSC), turn the reading direction round (bidi controls) or
//! imitate lines of our own. Here every such character is replaced by its notation in a program: `\x1b`, `\u{202e}`.
//! Nothing else is changed, and text that is already harmless stays as it is. Bytes that are no UTF-8 are read in an older
//! encoding ([`crate::encoding`]).
//!
//! - [`line`]: a name, a message, a field of a log line: no line break is left;
//! - [`text`]: several lines: tab and newline stay;
//! - [`Filter`]: output as bytes, in any pieces, for a terminal.

mod errors;

use std::{borrow::Cow, fmt::Write};

use crate::{encoding::Encoding, faults, wire};

/// Whether a character acts on what shows it instead of being displayed: C0, DEL, C1, line and paragraph separators,
/// bidi controls, interlinear marks, and the invisible tag characters that repeat ASCII.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes it in a program's notation.
fn escape(c: char, out: &mut String) {
    let code = u32::from(c);
    // Writing to a String cannot fail.
    let _ = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        _ if code < 0x100 => write!(out, "\\x{code:02x}"),
        _ => write!(out, "\\u{{{code:x}}}"),
    };
}

/// One line: every hidden character is written out, line breaks too.
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Words on one line with blanks between, cut after `most` characters.
pub fn shortened<'a>(words: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let mut out = String::new();
    for word in words {
        let blank = if out.is_empty() { "" } else { " " };
        let room = most.saturating_sub(out.chars().count() + blank.len());
        // One more, so that a cut is seen; the rest of a long word is not looked at.
        let head: String = word.chars().take(room + 1).collect();
        out = format!("{out}{blank}{}", line(&head));
        if out.chars().count() > most {
            let cut: String = out.chars().take(most).collect();
            return format!("{cut}…");
        }
    }
    out
}

/// Several lines: tab and newline stay, CRLF and a lone CR (which would let what follows overwrite the line) become
/// newlines, all other hidden characters are written out.
pub fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_hidden(c) && !matches!(c, '\t' | '\n')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut previous = '\0';
    for c in text.chars() {
        match c {
            '\n' if previous == '\r' => {}
            '\n' | '\r' => out.push('\n'),
            '\t' => out.push(c),
            c if is_hidden(c) => escape(c, &mut out),
            c => out.push(c),
        }
        previous = c;
    }
    Cow::Owned(out)
}

/// Most bytes of a line that wait for its end.
const WAITING: usize = 64 * 1024;

/// As [`text`], of output that arrives in pieces. A line with bytes that are not UTF-8 is read in the older encoding as a
/// whole, so from its first byte that is not ASCII on a line waits for its end.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    encoding: Encoding,
    /// The waiting part of a line.
    open: Vec<u8>,
    after_cr: bool,
}

impl Filter {
    /// Of output in this encoding where it is no UTF-8.
    pub fn in_encoding(encoding: Encoding) -> Self {
        Self { encoding, ..Self::default() }
    }

    /// What can be shown of the bytes so far.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut out = String::with_capacity(bytes.len());
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let ascii = if self.open.is_empty() { part.iter().take_while(|byte| byte.is_ascii()).count() } else { 0 };
            let (now, later) = part.split_at(ascii);
            self.shown(now, &mut out);
            self.open.extend_from_slice(later);
            while self.open.len() > WAITING {
                let whole = match std::str::from_utf8(&self.open[..WAITING]) {
                    Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
                    _ => WAITING,
                };
                let head: Vec<u8> = self.open.drain(..whole).collect();
                self.shown(&head, &mut out);
            }
            if self.open.ends_with(b"\n") || self.open.ends_with(b"\r") {
                out.push_str(&self.finish());
            }
        }
        out
    }

    /// What waited for the end of a line that did not come.
    pub fn finish(&mut self) -> String {
        let (open, mut out) = (std::mem::take(&mut self.open), String::new());
        self.shown(&open, &mut out);
        out
    }

    fn shown(&mut self, bytes: &[u8], out: &mut String) {
        if bytes.is_empty() {
            return;
        }
        let decoded = self.encoding.decode(bytes, false);
        let mut line = &*decoded;
        if std::mem::take(&mut self.after_cr) {
            line = line.strip_prefix('\n').unwrap_or(line);
        }
        out.push_str(&text(line));
        self.after_cr = line.ends_with('\r');
    }
}

/// A value from another process with texts that are shown to people, models and logs.
pub trait Foreign {
    /// Makes every shown text harmless: names as [`line`], texts that may have several lines as [`text`].
    fn make_harmless(&mut self);
}

/// The deliberate bug that switches all of it off.
fn off() -> bool {
    faults::bug("agents_texts_raw")
}

fn one(field: &mut String) {
    if off() {
        return;
    }
    if let Cow::Owned(shown) = line(field) {
        *field = shown;
    }
}

fn many(field: &mut String) {
    if off() {
        return;
    }
    if let Cow::Owned(shown) = text(field) {
        *field = shown;
    }
}

impl Foreign for wire::Engine {
    fn make_harmless(&mut self) {
        [&mut self.kind, &mut self.program, &mut self.edition, &mut self.version].into_iter().for_each(one);
    }
}

impl Foreign for wire::AgentInfo {
    fn make_harmless(&mut self) {
        let texts = [
            &mut self.agent_id,
            &mut self.incarnation,
            &mut self.boot_id,
            &mut self.name,
            &mut self.advertise,
            &mut self.version,
            &mut self.os_user,
            &mut self.hostname,
            &mut self.pool,
            &mut self.problem,
            &mut self.cluster_id,
            &mut self.licence,
        ];
        texts.into_iter().chain(&mut self.roots).for_each(one);
        self.engines.iter_mut().for_each(Foreign::make_harmless);
        if off() {
            return;
        }
        let labels = std::mem::take(&mut self.labels);
        self.labels = labels.into_iter().map(|(k, v)| (line(&k).into_owned(), line(&v).into_owned())).collect();
    }
}

impl Foreign for wire::HeartbeatRequest {
    fn make_harmless(&mut self) {
        [&mut self.agent_id, &mut self.incarnation, &mut self.problem, &mut self.licence].into_iter().for_each(one);
        self.engines.iter_mut().for_each(Foreign::make_harmless);
        self.foreign.iter_mut().for_each(|foreign| one(&mut foreign.user));
    }
}

impl Foreign for wire::Outcome {
    fn make_harmless(&mut self) {
        many(&mut self.message);
        many(&mut self.command);
        many(&mut self.note);
        one(&mut self.ended_by);
        self.leftovers.iter_mut().for_each(one);
        self.location.iter_mut().for_each(Foreign::make_harmless);
        self.diagnosis.iter_mut().for_each(Foreign::make_harmless);
    }
}

impl Foreign for wire::Progress {
    fn make_harmless(&mut self) {
        one(&mut self.text);
    }
}

impl Foreign for wire::Snapshot {
    fn make_harmless(&mut self) {
        [&mut self.engine, &mut self.engine_note, &mut self.working_dir].into_iter().for_each(one);
        self.artifacts.iter_mut().for_each(|a| one(&mut a.path));
        self.progress.iter_mut().for_each(Foreign::make_harmless);
        self.outcome.iter_mut().for_each(Foreign::make_harmless);
    }
}

impl Foreign for wire::RunSummary {
    fn make_harmless(&mut self) {
        let texts =
            [&mut self.run_id, &mut self.cluster_id, &mut self.principal, &mut self.principal_issuer, &mut self.key];
        texts.into_iter().for_each(one);
        self.outcome.iter_mut().for_each(Foreign::make_harmless);
    }
}

impl Foreign for wire::InspectReply {
    fn make_harmless(&mut self) {
        let texts = [&mut self.problem, &mut self.resolved, &mut self.working_dir];
        texts.into_iter().chain(&mut self.near).for_each(one);
        self.risks.iter_mut().for_each(|risk| [&mut risk.file, &mut risk.command].into_iter().for_each(one));
    }
}

impl Foreign for wire::HelpReply {
    fn make_harmless(&mut self) {
        one(&mut self.topic);
        one(&mut self.place);
        one(&mut self.problem);
        self.sections.iter_mut().for_each(|section| one(&mut section.title));
        for found in &mut self.topics {
            [&mut found.topic, &mut found.about, &mut found.place].into_iter().for_each(one);
        }
        // The offsets of its sections stay true: what shows the text makes it harmless.
    }
}

impl Foreign for wire::DataPart {
    fn make_harmless(&mut self) {
        use wire::data_part::Part;
        match &mut self.part {
            Some(Part::File(file)) => {
                let texts = [&mut file.path, &mut file.mark, &mut file.label, &mut file.saved, &mut file.problem];
                texts.into_iter().chain(&mut file.sorted_by).chain(&mut file.near).for_each(one);
            }
            Some(Part::Table(table)) => {
                table.columns.iter_mut().for_each(|column| one(&mut column.name));
                for cell in table.rows.iter_mut().flat_map(|row| &mut row.cells) {
                    if let Some(wire::data_cell::Value::Text(text)) = &mut cell.value {
                        one(text);
                    }
                }
            }
            Some(Part::End(end)) => end.notes.iter_mut().for_each(one),
            Some(Part::Bytes(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WILD: &str = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}x\u{2066}\u{e0041}\0\u{7f}\u{2028}é日😀\\x1b";

    #[test]
    fn hidden_characters_are_written_out() {
        let want = "a\\x1b[2J\\x07\\x9b31m\\u{202e}x\\u{2066}\\u{e0041}\\x00\\x7f\\u{2028}é日😀\\x1b";
        assert_eq!(line(WILD), want);
        assert_eq!(text(WILD), want);
        assert_eq!(line("a\tb\r\nc"), "a\\tb\\r\\nc");
        assert_eq!(text("a\tb\r\nc\rd\n"), "a\tb\nc\nd\n");
        assert!(matches!(line("plain é"), Cow::Borrowed(_)));
        assert!(matches!(text("plain\n\té"), Cow::Borrowed(_)));
    }

    fn filtered(bytes: &[u8], size: usize) -> String {
        let mut filter = Filter::default();
        let mut out: String = bytes.chunks(size).map(|piece| filter.push(piece)).collect();
        out += &filter.finish();
        out
    }

    #[test]
    fn output_is_shown_in_any_pieces() {
        fn check(bytes: &[u8], want: &str) {
            for size in 1..=bytes.len() {
                assert_eq!(filtered(bytes, size), want, "{size}");
            }
        }
        check("é日😀\r\n10%\r20%\r\n\tx\n".as_bytes(), "é日😀\n10%\n20%\n\tx\n");
        check("\u{1b}]0;t\u{7}\u{9b}2J\u{202e}".as_bytes(), "\\x1b]0;t\\x07\\x9b2J\\u{202e}");
        check(b"\x9b31m caf\xe9\n\xf0\x9f\r\n\x81", "\u{203a}31m caf\u{e9}\n\u{f0}\u{178}\n\\x81");
        check(b"\r\r\n\xe2\x82", "\n\n\u{e2}\u{201a}");
        // The whole line is in the older encoding, also where some of it would be UTF-8.
        check(b"\xc3\xa9 \xe9\n\xc3\xa9\n", "\u{c3}\u{a9} \u{e9}\n\u{e9}\n");
        let gbk = "\u{6570}\u{636e} \u{5bb6}.dta\n".to_owned();
        let bytes = b"\xca\xfd\xbe\xdd \xbc\xd2.dta\n";
        for size in 1..=bytes.len() {
            let mut filter = Filter::in_encoding("gbk".parse().unwrap());
            let shown: String = bytes.chunks(size).map(|piece| filter.push(piece)).collect();
            assert_eq!(shown + &filter.finish(), gbk, "{size}");
        }
        let endless = "\u{e9}".repeat(WAITING);
        assert_eq!(filtered(endless.as_bytes(), 1000), endless);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_nothing_hidden_is_left(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), size in 1usize..9,
        ) {
            let shown = filtered(&bytes, size);
            proptest::prop_assert!(!shown.contains(|c| is_hidden(c) && !matches!(c, '\t' | '\n')), "{shown:?}");
            proptest::prop_assert_eq!(&shown, &filtered(&bytes, bytes.len().max(1)));
            let lossy = String::from_utf8_lossy(&bytes);
            proptest::prop_assert!(!line(&lossy).contains(is_hidden));
            let once = line(&lossy);
            proptest::prop_assert_eq!(line(&once), once.clone(), "twice is once");
        }
    }

    #[test]
    fn what_another_process_says_is_made_harmless() {
        let wild = || WILD.to_owned();
        let mut info = wire::AgentInfo {
            advertise: "http://h:1\n2026-11-26T00:00:00Z INFO forged".into(),
            labels: [(wild(), wild())].into(),
            roots: vec![wild()],
            engines: vec![wire::Engine { program: wild(), ..Default::default() }],
            ..Default::default()
        };
        info.make_harmless();
        let mut snapshot = wire::Snapshot {
            working_dir: wild(),
            artifacts: vec![wire::Artifact { path: wild(), bytes: 1 }],
            progress: Some(wire::Progress { text: wild(), ..Default::default() }),
            outcome: Some(wire::Outcome {
                message: format!("two\nlines {WILD}"),
                location: Some(wire::Location { file: wild(), line: 1, callers: vec![wild()] }),
                ..Default::default()
            }),
            ..Default::default()
        };
        snapshot.make_harmless();
        // Debug output escapes line breaks itself; the other hidden characters would show.
        let (info, snapshot) = (format!("{info:?}"), format!("{snapshot:?}"));
        assert!(info.contains("http://h:1\\\\n2026"), "{info}");
        assert!(snapshot.contains("two\\nlines"), "{snapshot}");
        for all in [info, snapshot] {
            assert!(!all.contains("\\u{1b}") && !all.contains("\\u{202e}\"") && all.contains("\\\\x1b"), "{all}");
        }
    }
}
