//! The lines of an output that match a regular expression, with the lines around them.
//!
//! A search reads the output from an offset on, piece by piece and at most for [`TIME`], and hands each line that is to be shown to
//! its caller, who says when there are enough. It then tells how far it came, so that the next one goes on there.

use std::{collections::VecDeque, time::Duration};

use longhaul_proto::{encoding::Encoding, stata_log::OutputOnly, visible, words::cut};
use regex::bytes::{Regex, RegexBuilder};

use crate::{
    frontend::{part::Part, reading::Output},
    runs::{MAX_READ, ReadError},
};

/// Time limit of a search; the answer then says how far it came.
const TIME: Duration = Duration::from_secs(20);

/// Longest line looked at as a whole, bytes; the rest of a longer one counts as further lines.
const LINE: usize = 64 * 1024;

/// Longest line shown, characters.
pub(crate) const SHOWN: usize = 400;

/// Most lines of context.
pub(crate) const CONTEXT: u64 = 50;

/// Makes the expression.
///
/// # Errors
/// In words.
pub(crate) fn regex(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(1 << 20).build();
    built.map_err(|error| format!("pattern is not a regular expression: {error}. Write for example \"r\\(\\d+\\)\""))
}

/// What is looked for.
pub(crate) struct Search {
    pub(crate) regex: Regex,
    pub(crate) encoding: Encoding,
    /// Lines of context.
    pub(crate) context: usize,
    /// Most lines that match; the search then ends with the lines behind the last of them.
    pub(crate) most: u64,
    /// Commands that Stata echoed count too.
    pub(crate) echo: bool,
}

/// A line that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Which line it is, from the number that the search was given on.
    pub(crate) line: u64,
    /// Offset of its first byte.
    pub(crate) offset: u64,
    /// It matches; else it is near one that does.
    pub(crate) matches: bool,
    /// Lines before it that are near a match, and this one, are apart from what was shown before.
    pub(crate) apart: bool,
    /// Its text, cut.
    pub(crate) text: String,
}

/// Where a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Offset of the next line.
    pub(crate) offset: u64,
    /// Its number.
    pub(crate) line: u64,
}

/// How a search ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Searched {
    /// Where the next one goes on.
    pub(crate) next: Place,
    /// Lines that matched.
    pub(crate) matches: u64,
    /// All that there is was looked at.
    pub(crate) all: bool,
}

/// Who takes the lines that are shown; `true` = there are enough.
type Taker<'a> = dyn FnMut(Shown) -> bool + Send + 'a;

/// What is known of the lines so far.
struct Seen {
    at: Place,
    matches: u64,
    before: VecDeque<Shown>,
    after: usize,
    shown_to: Option<u64>,
    full: bool,
    /// Leaves the echo out.
    only: Option<OutputOnly>,
}

impl Search {
    /// Searches from a place on.
    ///
    /// # Errors
    /// When the output cannot be read.
    pub(crate) async fn run(
        &self,
        output: &Output,
        part: &Part,
        from: Place,
        take: &mut Taker<'_>,
    ) -> Result<Searched, ReadError> {
        let mut seen = self.begin(from);
        let looking = async {
            for piece in part.pieces(from.offset, u64::MAX) {
                seen.at.offset = piece.0;
                self.piece(output, piece, &mut seen, take).await?;
                if seen.full {
                    break;
                }
            }
            Ok::<(), ReadError>(())
        };
        let in_time = match tokio::time::timeout(TIME, looking).await {
            Ok(done) => done.map(|()| true)?,
            Err(_) => false,
        };
        Ok(Searched { next: seen.at, matches: seen.matches, all: in_time && !seen.full })
    }

    fn begin(&self, at: Place) -> Seen {
        let only = (!self.echo).then(OutputOnly::default);
        Seen { at, matches: 0, before: VecDeque::new(), after: 0, shown_to: None, full: false, only }
    }

    /// The lines of one piece.
    async fn piece(
        &self,
        output: &Output,
        (mut read, end): (u64, u64),
        seen: &mut Seen,
        take: &mut Taker<'_>,
    ) -> Result<(), ReadError> {
        let mut rest: Vec<u8> = Vec::new();
        while read < end && !seen.full {
            let bytes = output.chunk(read, end, MAX_READ).await?;
            if bytes.is_empty() {
                break;
            }
            read += bytes.len() as u64;
            rest.extend_from_slice(&bytes);
            let mut used = 0;
            while let Some(len) = next_line(&rest[used..], read >= end) {
                self.line(&rest[used..used + len], seen, take);
                used += len;
                if seen.full {
                    break;
                }
            }
            rest.drain(..used);
            // A long search yields to other tasks.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn line(&self, line: &[u8], seen: &mut Seen, take: &mut Taker<'_>) {
        let at = seen.at;
        seen.at = Place { offset: at.offset + line.len() as u64, line: at.line + 1 };
        let trimmed = line.trim_ascii_end();
        let printed = |only: &mut OutputOnly| only.shows(&self.encoding.lines(trimmed).0);
        if !seen.only.as_mut().is_none_or(printed) {
            return;
        }
        let matches = self.regex.is_match(trimmed);
        if seen.matches >= self.most && (matches || seen.after == 0) {
            (seen.at, seen.full) = (at, true);
            return;
        }
        if !matches && seen.after == 0 && self.context == 0 {
            return;
        }
        let text = cut(&visible::text(&self.encoding.lines(trimmed).0).replace('\n', "\\r"), SHOWN);
        let mut shown = Shown { line: at.line, offset: at.offset, matches, apart: false, text };
        if matches {
            seen.matches += 1;
            let mut before: Vec<_> = seen.before.drain(..).collect();
            let first = before.first().map_or(at.offset, |first| first.offset);
            let apart = seen.shown_to.is_some_and(|to| first > to);
            before.first_mut().unwrap_or(&mut shown).apart = apart;
            for near in before {
                seen.full |= take(near);
            }
            seen.after = self.context;
        } else if seen.after > 0 {
            seen.after -= 1;
        } else {
            if seen.before.len() == self.context {
                seen.before.pop_front();
            }
            seen.before.push_back(shown);
            return;
        }
        seen.full |= take(shown);
        seen.shown_to = Some(seen.at.offset);
    }
}

/// Length of the first line, with its line break; `None` when its end is not there yet.
fn next_line(bytes: &[u8], last: bool) -> Option<usize> {
    let window = &bytes[..bytes.len().min(LINE)];
    match window.iter().position(|b| *b == b'\n') {
        Some(at) => Some(at + 1),
        None if bytes.len() >= LINE => Some(LINE),
        None if last && !bytes.is_empty() => Some(bytes.len()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn matches_with_context() {
        let check_most = |text: &str, context: usize, most: u64, want: &str| {
            let encoding = Encoding::default();
            let search = Search { regex: regex("x").unwrap(), encoding, context, most, echo: true };
            let mut told = String::new();
            let mut seen = search.begin(Place { offset: 0, line: 1 });
            while let Some(len) = next_line(&text.as_bytes()[seen.at.offset as usize..], true) {
                let at = seen.at.offset as usize;
                search.line(&text.as_bytes()[at..at + len], &mut seen, &mut |shown| {
                    let (apart, mark) = (if shown.apart { "--\n" } else { "" }, if shown.matches { ':' } else { '-' });
                    let _ = writeln!(told, "{apart}{}/{}{mark} {}", shown.line, shown.offset, shown.text);
                    false
                });
                if seen.full {
                    let _ = write!(told, "next {}/{}", seen.at.line, seen.at.offset);
                    break;
                }
            }
            assert_eq!(told, want);
        };
        let check = |text: &str, context: usize, want: &str| check_most(text, context, u64::MAX, want);
        check_most("x\na\nb\nx\n", 1, 1, "1/0: x\n2/2- a\nnext 3/4");
        check_most("x\nx\nx\n", 1, 2, "1/0: x\n2/2: x\nnext 3/4");
        check("a\nx\nb\n", 0, "2/2: x\n");
        check("a\nb\nx\nc\nd\n", 1, "2/2- b\n3/4: x\n4/6- c\n");
        check("x\na\nb\nc\nx", 1, "1/0: x\n2/2- a\n--\n4/6- c\n5/8: x\n");
        check("x\na\nx\n", 1, "1/0: x\n2/2- a\n3/4: x\n");
    }

    #[test]
    fn patterns_are_explained() {
        assert!(regex("(").unwrap_err().contains("not a regular expression"));
    }

    #[test]
    fn long_lines_do_not_stop_a_search() {
        assert_eq!(next_line(&[b'a'; LINE + 5], false), Some(LINE));
        assert_eq!(next_line(b"abc", false), None);
        assert_eq!(next_line(b"abc", true), Some(3));
    }
}
