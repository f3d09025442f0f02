//! A do-file's text as a stream of its non-blank characters, in which echoes are found again.

use std::borrow::Cow;

use crate::stata::lines::{decode::Encoding, without_escapes};

/// Lines searched ahead for an echo; a do-file with more between two echoes has jumped by `if`.
const AHEAD: usize = 5000;
/// An echo this short (`}`, `end`) occurs everywhere; it must come soon.
const SHORT: usize = 6;
const SHORT_AHEAD: usize = 5;

/// The characters of an echo or a source that are compared.
pub(super) fn key(text: &str) -> String {
    text.chars().filter(|c| counts(*c)).collect()
}

/// The same without the marks of continued lines.
pub(super) fn joined_key(text: &str) -> String {
    key(text).replace("///", "")
}

fn counts(c: char) -> bool {
    !c.is_whitespace() && !c.is_control()
}

/// Whether an echo that was not found can be ignored: braces, ends and comments.
pub(super) fn is_trivial(key: &str) -> bool {
    key.len() < SHORT || key.starts_with(['*', '}']) || key.starts_with("//") || key.starts_with("/*")
}

#[derive(Debug)]
pub(super) struct Source {
    flat: String,
    /// Where commands can start in `flat`, with their line: at lines that are not blank, and after `;`.
    starts: Vec<(usize, u32)>,
    next: usize,
}

impl Source {
    pub(super) fn new(bytes: &[u8], encoding: Encoding) -> Self {
        // Line by line, as the log's lines are.
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => bytes
                .split_inclusive(|b| *b == b'\n')
                .map(|line| encoding.decode(line, false))
                .collect::<String>()
                .into(),
        };
        // Cleaned as the log was, or the two would differ.
        let lines = text.split_inclusive('\n').map(without_escapes);
        let text = if text.contains('\u{1b}') { Cow::Owned(lines.collect()) } else { text };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let (mut flat, mut starts) = (String::with_capacity(text.len()), vec![]);
        let mut line = 1;
        let mut fresh = true;
        let mut previous = '\n';
        for c in text.chars() {
            if c == '\n' && previous == '\r' {
                previous = c;
                continue;
            }
            previous = c;
            if c == '\n' || c == '\r' {
                line += 1;
                fresh = true;
            } else if counts(c) {
                if fresh {
                    starts.push((flat.len(), line));
                    fresh = false;
                }
                flat.push(c);
                fresh |= c == ';';
            }
        }
        Self { flat, starts, next: 0 }
    }

    /// Finds the next place where `key` is whole commands; moves behind it and returns its line.
    pub(super) fn find(&mut self, key: &str) -> Option<u32> {
        let ahead = if key.len() < SHORT { SHORT_AHEAD } else { AHEAD };
        let end = self.starts.len().min(self.next + ahead);
        let (i, behind) = (self.next..end).find_map(|i| Some((i, self.stands(i, key)?)))?;
        self.next = behind;
        Some(self.starts[i].1)
    }

    /// The same without moving there.
    pub(super) fn peek(&self, key: &str) -> Option<u32> {
        let ahead = if key.len() < SHORT { SHORT_AHEAD } else { AHEAD };
        let end = self.starts.len().min(self.next + ahead);
        (self.next..end).find(|i| self.stands(*i, key).is_some()).map(|i| self.starts[i].1)
    }

    /// Whether it holds no command.
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Whether it starts with `key`.
    pub(super) fn is_first(&self, key: &str) -> bool {
        self.next == 0 && self.is_at(key)
    }

    /// Whether `key`, however short, is what comes next.
    pub(super) fn is_at(&self, key: &str) -> bool {
        self.stands(self.next, key).is_some()
    }

    /// Whether `key`, long enough not to match by accident, is one of the first commands.
    pub(super) fn is_first_but_for_a_few(&self, key: &str) -> bool {
        self.next == 0 && key.len() >= 2 * SHORT && (0..SHORT_AHEAD).any(|i| self.stands(i, key).is_some())
    }

    /// Whether `key` comes next, with nothing between.
    pub(super) fn is_next(&self, key: &str) -> bool {
        key.len() >= SHORT && self.stands(self.next, key).is_some()
    }

    /// The start after `key`, if it stands at start `i` and ends where a command can end.
    fn stands(&self, i: usize, key: &str) -> Option<usize> {
        let at = self.starts.get(i)?.0;
        let rest = self.flat[at..].strip_prefix(key)?;
        let end = at + key.len();
        if rest.is_empty() || rest == ";" {
            return Some(self.starts.len());
        }
        let end = if rest.starts_with(';') { end + 1 } else { end };
        self.starts[i..].binary_search_by_key(&end, |s| s.0).ok().map(|j| i + j)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_found_in_order() {
        fn check(text: &str, echoes: &[(&str, Option<u32>)]) {
            let mut source = Source::new(text.as_bytes(), Encoding::default());
            for (echo, line) in echoes {
                assert_eq!(source.find(&key(echo)), *line, "{echo} in {text}");
            }
        }
        check("a 1\nb 2\na 1\n", &[("a 1", Some(1)), ("a 1", Some(3)), ("b 2", None)]);
        check("reg y ///\n\tx\r\n\r\n  di 1", &[("reg y ///x", Some(1)), ("di 1", Some(4))]);
        check(
            "#delimit ;\nreg y\nx; di 1;\ndi 2;",
            &[("#delimit ;", Some(1)), ("reg yx;", Some(2)), ("di 1;", Some(3)), ("di 2", Some(4))],
        );
        check("gen xy = 1\n", &[("gen x", None)]);
        check("di 1 // \u{1b}[31mred\u{1}\ndi 2\n", &[("di 1 // red", Some(1)), ("di 2", Some(2))]);
        check("first line\rsecond line", &[("second line", Some(2))]);
        check("a\nb\nc\nd\ne\nf\ng\n}\n", &[("}", None)]);
    }
}
