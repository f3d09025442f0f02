//! Logs that a program saved again with a mark at their start (PowerShell's `>` and some editors do): UTF-16 in either byte
//! order, or UTF-8. Stata itself writes none.

use super::{LineReader, MAX_LINE, Taker};

/// The mark of UTF-16.
const MARK: u16 = 0xfeff;
/// The mark of UTF-8.
const UTF8: &[u8] = b"\xef\xbb\xbf";

/// Which byte of a UTF-16 unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The low one: the mark is FF FE.
    Little,
    /// The high one: the mark is FE FF.
    Big,
}

impl ByteOrder {
    /// What the first bytes say; none if they are no such mark.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xfe, ..] => Some(Self::Little),
            [0xfe, 0xff, ..] => Some(Self::Big),
            _ => None,
        }
    }

    /// The text of such bytes, a mark at their start left out; what is no UTF-16 becomes U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> String {
        let pairs = bytes.chunks_exact(2);
        let torn = (!pairs.remainder().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        let mut units = pairs.map(|pair| self.unit(pair[0], pair[1])).peekable();
        units.next_if_eq(&MARK);
        let chars = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER));
        chars.chain(torn).collect()
    }

    /// Where the first line behind a line end starts.
    pub fn after_line_end(self, bytes: &[u8]) -> Option<usize> {
        let at = bytes.chunks_exact(2).position(|pair| self.unit(pair[0], pair[1]) == u16::from(b'\n'))?;
        Some(2 * at + 2)
    }

    fn unit(self, first: u8, second: u8) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes([first, second]),
            Self::Big => u16::from_be_bytes([first, second]),
        }
    }
}

/// Whether the start of the log was looked at for a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Marked {
    /// No byte has come.
    #[default]
    Unread,
    /// The first byte may begin a mark.
    Half,
    /// It was, or need not be.
    Known,
}

/// A first line without the mark of UTF-8.
pub(super) fn without_mark(raw: &[u8], start: u64) -> &[u8] {
    if start == 0 { raw.strip_prefix(UTF8).unwrap_or(raw) } else { raw }
}

impl LineReader {
    /// Takes the mark of UTF-16 from the start of the log; returns the bytes that are left to read.
    pub(super) fn look_for_mark<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(&next) = bytes.first() else { return bytes };
        match self.marked {
            Marked::Unread if matches!(next, 0xfe | 0xff) => {
                self.marked = Marked::Half;
                self.kept.push(next);
                self.pos += 1;
                self.look_for_mark(&bytes[1..])
            }
            Marked::Half => {
                self.marked = Marked::Known;
                let Some(order) = self.kept.first().and_then(|first| ByteOrder::of(&[*first, next])) else {
                    return bytes;
                };
                self.dialect.wide = Some(order);
                self.kept.push(next);
                self.pos += 1;
                &bytes[1..]
            }
            _ => {
                self.marked = Marked::Known;
                bytes
            }
        }
    }

    /// As [`LineReader::push_to`], of UTF-16.
    pub(super) fn push_wide(&mut self, bytes: &[u8], taker: &mut impl Taker) {
        let Some(order) = self.dialect.wide else { return };
        for &byte in bytes {
            let Some(first) = self.half.take() else {
                self.half = Some(byte);
                self.pos += 1;
                continue;
            };
            let unit = order.unit(first, byte);
            if std::mem::take(&mut self.after_cr) {
                let is_end = unit == u16::from(b'\n');
                // Of the next line its first byte was counted already.
                self.pos = if is_end { self.pos + 1 } else { self.pos - 1 };
                taker.line(self.cut());
                if is_end {
                    continue;
                }
                self.pos += 1;
            }
            self.pos += 1;
            match u8::try_from(unit) {
                Ok(b'\n') => taker.line(self.cut()),
                Ok(b'\r') => self.after_cr = true,
                _ if self.kept.len() + 2 <= MAX_LINE => self.kept.extend([first, byte]),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Line, LineReader, for_each_line};
    use proptest::prelude::*;

    fn wide(text: &str, little: bool) -> Vec<u8> {
        let unit = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
    }

    fn lines(log: &[u8], size: usize) -> Vec<Line> {
        let (mut reader, mut all) = (LineReader::default(), vec![]);
        log.chunks(size).for_each(|chunk| reader.push(chunk, |line| all.push(line)));
        all.extend(reader.partial());
        all
    }

    #[test]
    fn a_log_saved_again_reads_as_before() {
        let text = "{smcl}\r\n{com}. di \"\u{e4}\u{6570}\u{1f600}\u{a0a}\u{d0d}\"\r\n\u{e4}\rlast";
        let want: Vec<String> = lines(text.as_bytes(), usize::MAX).into_iter().map(|line| line.text).collect();
        let with_mark = [super::UTF8, text.as_bytes()].concat();
        for log in [wide(text, true), wide(text, false), with_mark] {
            let found = lines(&log, usize::MAX);
            assert_eq!(found.iter().map(|line| line.text.clone()).collect::<Vec<_>>(), want);
            assert_eq!(found.last().map(|line| line.end), Some(log.len() as u64));
        }
        for no_mark in [&b"\xff\n\xfe"[..], b"\xfe", b"\xff"] {
            assert_eq!(lines(no_mark, 1).iter().map(|line| line.text.chars().count()).max(), Some(1), "{no_mark:?}");
        }
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            text in "(\n|\r|\r\n|\\. x|\u{e4}|\u{a0a}|\u{d0d}|\u{1f600}|r\\(1\\);){0,30}",
            torn in proptest::collection::vec(any::<u8>(), 0..4), little: bool, size in 1usize..9,
        ) {
            let log = [wide(&text, little), torn].concat();
            let whole = lines(&log, usize::MAX);
            prop_assert_eq!(&whole, &lines(&log, size));
            let mut each = vec![];
            for_each_line(&log, |line| each.push(line));
            prop_assert_eq!(&whole, &each);
            // No byte is in no line.
            let ends: Vec<u64> = whole.iter().map(|line| line.end).collect();
            let starts: Vec<u64> = whole.iter().map(|line| line.start).collect();
            prop_assert_eq!(&starts[1..], &ends[..ends.len() - 1]);
            prop_assert_eq!((starts[0], ends.last().copied()), (0, Some(log.len() as u64)));
        }
    }
}
