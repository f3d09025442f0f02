//! Cuts the bytes of a log, in any chunks, into clean lines with their offsets.
//!
//! A line ends at LF, CRLF or a lone CR (a terminal would overwrite the line, so what follows is a new one). Bytes that
//! are no UTF-8 are read in an older encoding ([`decode`]); terminal escapes are removed; SMCL tags become what they
//! show ([`smcl`]); time stamps that a job runner put before every line are removed. A log that some program saved again as
//! UTF-16, or as UTF-8 with a mark at its start, is read as what it says ([`wide`]). Offsets are always those of the raw bytes.

pub mod decode;
mod smcl;
pub mod wide;

use std::borrow::Cow;

use decode::Encoding;
pub use smcl::Paragraph;
use wide::{ByteOrder, Marked};

/// Bytes kept of one line; the rest is skipped but counted. Stata wraps at 255 columns at most, longer lines are data.
pub const MAX_LINE: usize = 64 * 1024;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset after its line end (equal to the end of the bytes for a last line without one).
    pub end: u64,
    /// Clean text without line end.
    pub text: String,
    /// The bytes as they came, without line end, at most [`MAX_LINE`].
    pub raw: Vec<u8>,
    /// In SMCL: this line closes the log (`{txt}{sf}{ul off}`).
    pub smcl_close: bool,
    /// In SMCL: it shows text that is marked as an error (`{err}`).
    pub error: bool,
    /// In SMCL: whether it belongs to a paragraph that the viewer would fill.
    pub paragraph: Paragraph,
}

/// The format of the bytes, decided by the first line that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    /// Not known before the first line.
    pub known: bool,
    /// Stata's markup language.
    pub smcl: bool,
    /// Every line begins with a job runner's RFC 3339 time stamp; lines without one are the runner's own.
    pub stamped: bool,
    /// The banner is that of a release before 14, which knew no UTF-8.
    pub before_unicode: bool,
    /// It is UTF-16.
    pub wide: Option<ByteOrder>,
}

impl Dialect {
    /// Plain text, as Stata's own batch log always is.
    pub const PLAIN: Self = Self { known: true, smcl: false, stamped: false, before_unicode: false, wide: None };

    fn learn(&mut self, raw: &[u8], start: u64) {
        self.before_unicode |= start < BANNER && decode::is_before_unicode(raw);
        if self.known || raw.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.known = true;
        self.smcl = raw.starts_with(b"{smcl}");
        self.stamped = stamp_len(raw).is_some();
    }
}

/// Bytes from the start in which a banner may be.
const BANNER: u64 = 4 * 1024;

/// Begins a terminal escape.
const ESCAPE: u8 = 0x1b;

/// Receives lines.
pub trait Taker {
    /// A line.
    fn line(&mut self, line: Line);

    /// A line whose text is its bytes from `start`, decoded; `end` is after its line end. A taker that wants it as a
    /// [`Line`] instead answers `false` before it does anything with it.
    fn plain(&mut self, raw: &[u8], start: u64, end: u64) -> bool;
}

struct Each<F>(F);

impl<F: FnMut(Line)> Taker for Each<F> {
    fn line(&mut self, line: Line) {
        (self.0)(line);
    }

    fn plain(&mut self, _: &[u8], _: u64, _: u64) -> bool {
        false
    }
}

/// Cuts pushed bytes into [`Line`]s; holds one partial line, at most [`MAX_LINE`] bytes of it.
#[derive(Debug, Clone, Default)]
pub struct LineReader {
    start: u64,
    pos: u64,
    kept: Vec<u8>,
    after_cr: bool,
    dialect: Dialect,
    smcl: smcl::Mode,
    encoding: Encoding,
    marked: Marked,
    /// The first byte of a UTF-16 unit whose second is to come.
    half: Option<u8>,
}

impl LineReader {
    /// The same, for a log whose bytes are in this encoding where they are no UTF-8.
    #[must_use]
    pub fn in_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// A reader whose first byte has offset `start`, in a dialect already known (for reading the tail of a file).
    pub fn at(start: u64, dialect: Dialect) -> Self {
        Self { start, pos: start, dialect, marked: Marked::Known, ..Self::default() }
    }

    /// The dialect as far as known.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Offset after the last pushed byte.
    pub fn position(&self) -> u64 {
        self.pos
    }

    /// Takes bytes and hands every line they complete to `each`.
    pub fn push(&mut self, bytes: &[u8], each: impl FnMut(Line)) {
        self.push_to(bytes, &mut Each(each));
    }

    /// Takes bytes and hands every line they complete to `taker`: as raw bytes where the taker accepts that, which
    /// costs a tenth.
    pub fn push_to(&mut self, bytes: &[u8], taker: &mut impl Taker) {
        let mut rest = bytes;
        if self.marked != Marked::Known {
            rest = self.look_for_mark(rest);
        }
        if self.dialect.wide.is_some() {
            return self.push_wide(rest, taker);
        }
        let as_it_is = self.dialect == Dialect::PLAIN && memchr::memchr(ESCAPE, bytes).is_none();
        while let Some(&first) = rest.first() {
            if self.after_cr {
                self.after_cr = false;
                if first == b'\n' {
                    self.pos += 1;
                    rest = &rest[1..];
                }
                taker.line(self.cut());
                continue;
            }
            let at = memchr::memchr2(b'\n', b'\r', rest);
            if let Some(at) = at.filter(|&at| as_it_is && self.start == self.pos && at <= MAX_LINE && rest[at] == b'\n')
            {
                let end = self.pos + at as u64 + 1;
                if taker.plain(&rest[..at], self.pos, end) {
                    (self.start, self.pos) = (end, end);
                    rest = &rest[at + 1..];
                    continue;
                }
            }
            let body = &rest[..at.unwrap_or(rest.len())];
            let room = MAX_LINE.saturating_sub(self.kept.len()).min(body.len());
            self.kept.extend_from_slice(&body[..room]);
            self.pos += body.len() as u64;
            let Some(at) = at else { return };
            self.pos += 1;
            if rest[at] == b'\n' {
                taker.line(self.cut());
            } else {
                self.after_cr = true;
            }
            rest = &rest[at + 1..];
        }
    }

    /// The line that is not complete yet, as it would read if it ended here; none when nothing is pending.
    pub fn partial(&self) -> Option<Line> {
        if self.start == self.pos {
            return None;
        }
        let mut copy = Self { kept: self.kept.clone(), ..*self };
        copy.kept.extend(self.half);
        Some(copy.cut())
    }

    fn cut(&mut self) -> Line {
        match self.dialect.wide {
            Some(order) => self.dialect.learn(order.decode(&self.kept).as_bytes(), self.start),
            None => self.dialect.learn(wide::without_mark(&self.kept, self.start), self.start),
        }
        let raw = std::mem::take(&mut self.kept);
        let line = self.line(raw);
        self.start = self.pos;
        line
    }

    fn line(&mut self, raw: Vec<u8>) -> Line {
        let whole: Cow<'_, [u8]> = match self.dialect.wide {
            Some(order) => Cow::Owned(order.decode(&raw).into_bytes()),
            None => Cow::Borrowed(wide::without_mark(&raw, self.start)),
        };
        let shown = match (self.dialect.stamped, stamp_len(&whole)) {
            (true, Some(stamp)) => whole.get(stamp..).unwrap_or_default(),
            (true, None) => &[],
            (false, _) => &whole,
        };
        let before_unicode = self.dialect.before_unicode && self.dialect.wide.is_none();
        let text = without_escapes(&self.encoding.decode(shown, before_unicode));
        let (start, end) = (self.start, self.pos);
        if !self.dialect.smcl {
            let paragraph = Paragraph::None;
            return Line { start, end, text, raw, smcl_close: false, error: false, paragraph };
        }
        let smcl_close = smcl::closes_log(&text);
        let smcl::Shown { text, error, paragraph } = self.smcl.show(&text);
        Line { start, end, text, raw, smcl_close, error, paragraph }
    }
}

/// Hands every line of `log` to `each`, a last one without line end included.
pub fn for_each_line(log: &[u8], mut each: impl FnMut(Line)) {
    let mut reader = LineReader::default();
    reader.push(log, &mut each);
    if let Some(last) = reader.partial() {
        each(last);
    }
}

/// Length of a leading `2021-01-20T15:34:14.365151100Z ` including its blank.
fn stamp_len(raw: &[u8]) -> Option<usize> {
    let digits_at = |range: std::ops::Range<usize>| raw.get(range).is_some_and(|s| s.iter().all(u8::is_ascii_digit));
    let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.')];
    if !fixed.iter().all(|&(i, b)| raw.get(i) == Some(&b)) {
        return None;
    }
    if ![0..4, 5..7, 8..10, 11..13, 14..16, 17..19].into_iter().all(digits_at) {
        return None;
    }
    let fraction = raw[20..].iter().take_while(|b| b.is_ascii_digit()).count();
    let z = 20 + fraction;
    (raw.get(z) == Some(&b'Z')).then(|| if raw.get(z + 1) == Some(&b' ') { z + 2 } else { z + 1 })
}

/// Takes out terminal escapes: CSI (`ESC [ … letter`), OSC (`ESC ] … BEL`) and two-character ones (`ESC =`).
pub fn without_escapes(text: &str) -> String {
    if !text.contains('\u{1b}') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
            Some(']') => while chars.next().is_some_and(|c| c != '\u{7}') {},
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(log: &[u8]) -> Vec<String> {
        let mut all = vec![];
        for_each_line(log, |l| all.push(l.text));
        all
    }

    #[test]
    fn line_ends_and_dress() {
        fn check(log: &[u8], expected: &[&str]) {
            assert_eq!(texts(log), expected, "{}", String::from_utf8_lossy(log));
        }
        check(b"a\nb", &["a", "b"]);
        check(b"a\r\n\r\nb\r\n", &["a", "", "b"]);
        check(b"10%\r20%\rend", &["10%", "20%", "end"]);
        check(b"\x1b[?1h\x1b=. di 1\n1\n. \x1b[?1l\x1b>", &[". di 1", "1", ". "]);
        check(b"caf\xe9\n", &["caf\u{e9}"]);
        check(
            b"{smcl}\n{com}. x\n{err}bad {bf:x}\n{search r(198):r(198);}\n{txt}{hline 3}{c |}\n",
            &["", ". x", "bad x", "r(198);", "---|"],
        );
        check(b"2021-01-20T15:34:14.365151100Z r(198);\n\nstate: failed\n", &["r(198);", "", ""]);
        check(b"{not smcl}\n", &["{not smcl}"]);
    }

    #[test]
    fn a_long_line_is_cut_in_text_but_not_in_offsets() {
        let mut log = vec![b'x'; 1 << 20];
        log.extend_from_slice(b"\nnext\n");
        let mut all = vec![];
        for_each_line(&log, |l| all.push((l.start, l.end, l.text.len())));
        assert_eq!(all, [(0, (1 << 20) + 1, MAX_LINE), ((1 << 20) + 1, (1 << 20) + 6, 4)]);
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(log in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'{'), Just(b'}'), Just(0x1b), any::<u8>()], 0..200),
            size in 1usize..9)
        {
            let mut whole = vec![];
            for_each_line(&log, |l| whole.push(l));
            let (mut reader, mut parts) = (LineReader::default(), vec![]);
            for chunk in log.chunks(size) { reader.push(chunk, |l| parts.push(l)); }
            parts.extend(reader.partial());
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(whole.last().map_or(0, |l| l.end), log.len() as u64);
        }
    }
}
