//! What a terminal shows: how wide it is, what fits into so many cells, and where an open line ends.

use std::os::fd::AsFd;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width where a terminal does not tell, cells.
const USUAL: usize = 80;
/// Stands where a text was cut.
const CUT: char = '…';

/// The present width of this terminal, cells; `None` = it is none.
pub(crate) fn width(of: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(of).ok()?;
    Some(if size.ws_col == 0 { USUAL } else { usize::from(size.ws_col) })
}

/// How many cells a text takes.
pub(crate) fn cells(text: &str) -> usize {
    text.width()
}

/// The text, cut to at most so many cells; where something was cut off, `…` is the last.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if cells(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = c.width().unwrap_or(0);
        if used + next > most.saturating_sub(1) {
            break;
        }
        used += next;
        out.push(c);
    }
    if most > 0 {
        out.push(CUT);
    }
    out
}

/// Where the output that was shown on a terminal ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// At the start of a row.
    #[default]
    Closed,
    /// Inside a line, after so many cells.
    Open(usize),
    /// Inside a line, it is not known where: the terminal got bytes that may have moved its cursor.
    Unknown,
}

impl LineEnd {
    /// After this text, too.
    pub(crate) fn after(self, text: &str) -> Self {
        if text.is_empty() {
            return self;
        }
        let (before, line) = match text.rfind('\n') {
            Some(at) => (Self::Closed, &text[at + 1..]),
            None => (self, text),
        };
        if line.is_empty() {
            return Self::Closed;
        }
        let mut at = match before {
            Self::Closed => 0,
            Self::Open(at) => at,
            Self::Unknown => return Self::Unknown,
        };
        for c in line.chars() {
            at = if c == '\t' { (at / 8 + 1) * 8 } else { at + c.width().unwrap_or(0) };
        }
        Self::Open(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_in_cells() {
        for (text, most, want) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("データ解析", 10, "データ解析"),
            ("データ解析", 9, "データ解…"),
            ("データ解析", 8, "データ…"),
            ("é日😀x", 5, "é日…"),
            ("ab", 1, "…"),
            ("ab", 0, ""),
        ] {
            let cut = cut(text, most);
            assert_eq!(cut, want);
            assert!(cells(&cut) <= most, "{cut}");
        }
    }

    #[test]
    fn an_open_line_is_counted_in_cells() {
        let end = |pieces: &[&str]| pieces.iter().fold(LineEnd::default(), |end, piece| end.after(piece));
        assert_eq!(end(&[]), LineEnd::Closed);
        assert_eq!(end(&["a", "日", ""]), LineEnd::Open(3));
        assert_eq!(end(&["abc\n"]), LineEnd::Closed);
        assert_eq!(end(&["abc\n\tx", "y"]), LineEnd::Open(10));
    }
}
