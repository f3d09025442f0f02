//! The lines of an output that match a regular expression, with their offsets and the lines around them.

use std::{collections::VecDeque, fmt::Write, time::Duration};

use longhaul_proto::{encoding::Encoding, ids::Ids, stata_log::OutputOnly, visible};
use regex::bytes::{Regex, RegexBuilder};

use crate::{
    frontend::{part::Part, reading::Output},
    mcp::{fence, words},
    model::RunSnapshot,
    runs::MAX_READ,
};

/// Time limit of a search; the answer then says how far it came.
const SEARCH: Duration = Duration::from_secs(20);

/// Longest line looked at as a whole, bytes; the rest of a longer one counts as further lines.
const LINE: usize = 64 * 1024;

/// Longest line shown, characters.
const SHOWN: usize = 400;

/// Makes the expression.
///
/// # Errors
/// In words for the model.
pub(super) fn regex(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(1 << 20).build();
    built.map_err(|error| format!("pattern is not a regular expression: {error}. Write for example \"r\\(\\d+\\)\""))
}

/// What is looked for, and how it is shown.
pub(super) struct Search {
    pub(super) regex: Regex,
    pub(super) encoding: Encoding,
    /// Lines of context.
    pub(super) context: usize,
    /// Most of the answer, bytes.
    pub(super) budget: usize,
    /// Commands that Stata echoed count too.
    pub(super) echo: bool,
}

/// What a search found so far.
#[derive(Default)]
struct Found {
    text: String,
    matches: u64,
    before: VecDeque<(u64, String)>,
    after: usize,
    shown_to: Option<u64>,
    full: bool,
    /// Leaves the echo out.
    only: Option<OutputOnly>,
}

impl Search {
    /// Searches from an offset on, and puts what it found into words.
    pub(super) async fn run(
        &self,
        ids: &Ids,
        output: &Output,
        view: &RunSnapshot,
        part: &Part,
        from: u64,
    ) -> Result<String, String> {
        let mut found = Found { only: (!self.echo).then(OutputOnly::default), ..Found::default() };
        let mut at = from;
        let looking = async {
            for (start, end) in part.pieces(from, u64::MAX) {
                at = start;
                self.piece(output, (start, end), &mut at, &mut found).await?;
                if found.full {
                    break;
                }
            }
            Ok::<(), String>(())
        };
        let in_time = match tokio::time::timeout(SEARCH, looking).await {
            Ok(done) => done.map(|()| true)?,
            Err(_) => false,
        };
        let mut text = match found.matches {
            0 => format!("no match in bytes {from} to {at}"),
            1 => format!("1 match in bytes {from} to {at} (byte offset first):\n{}", fence::fenced(ids, &found.text)),
            n => {
                format!("{n} matches in bytes {from} to {at} (byte offset first):\n{}", fence::fenced(ids, &found.text))
            }
        };
        if found.full || !in_time {
            let short = view.run.short();
            let _ = write!(
                text,
                "\nThere may be more: stata_log(run: \"{short}\", pattern: …, offset: {at}{}).",
                super::same(output, self.echo)
            );
        }
        Ok(text)
    }

    /// The lines of one piece; `at` is where the next line begins.
    async fn piece(
        &self,
        output: &Output,
        (mut read, end): (u64, u64),
        at: &mut u64,
        found: &mut Found,
    ) -> Result<(), String> {
        let mut rest: Vec<u8> = Vec::new();
        while read < end && !found.full {
            let bytes = output.chunk(read, end, MAX_READ).await.map_err(|e| e.to_string())?;
            if bytes.is_empty() {
                break;
            }
            read += bytes.len() as u64;
            rest.extend_from_slice(&bytes);
            let mut used = 0;
            while let Some(len) = next_line(&rest[used..], read >= end) {
                self.line(&rest[used..used + len], *at, found);
                used += len;
                *at += len as u64;
                if found.full {
                    break;
                }
            }
            rest.drain(..used);
            // A long search yields to other tasks.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn line(&self, line: &[u8], at: u64, found: &mut Found) {
        let trimmed = line.trim_ascii_end();
        let printed = |only: &mut OutputOnly| only.shows(&self.encoding.lines(trimmed).0);
        if !found.only.as_mut().is_none_or(printed) {
            return;
        }
        let hit = self.regex.is_match(trimmed);
        let shown = || words::cut(&visible::text(&self.encoding.lines(trimmed).0).replace('\n', "\\r"), SHOWN);
        if hit {
            found.matches += 1;
            let before: Vec<_> = found.before.drain(..).collect();
            if found.shown_to.is_some_and(|to| before.first().map_or(at, |b| b.0) > to) {
                found.text.push_str("--\n");
            }
            for (at, text) in before {
                let _ = writeln!(found.text, "{at}- {text}");
            }
            let _ = writeln!(found.text, "{at}: {}", shown());
            found.after = self.context;
            found.shown_to = Some(at + line.len() as u64);
        } else if found.after > 0 {
            found.after -= 1;
            let _ = writeln!(found.text, "{at}- {}", shown());
            found.shown_to = Some(at + line.len() as u64);
        } else if self.context > 0 {
            if found.before.len() == self.context {
                found.before.pop_front();
            }
            found.before.push_back((at, shown()));
        }
        found.full = found.text.len() > self.budget.saturating_sub(2 * SHOWN);
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
    use super::*;

    #[test]
    fn matches_with_context() {
        let check = |text: &str, context: usize, want: &str| {
            let encoding = Encoding::default();
            let search = Search { regex: regex("x").unwrap(), encoding, context, budget: 20_000, echo: true };
            let mut found = Found::default();
            let mut at = 0;
            while let Some(len) = next_line(&text.as_bytes()[at..], true) {
                search.line(&text.as_bytes()[at..at + len], at as u64, &mut found);
                at += len;
            }
            assert_eq!(found.text, want);
        };
        check("a\nx\nb\n", 0, "2: x\n");
        check("a\nb\nx\nc\nd\n", 1, "2- b\n4: x\n6- c\n");
        check("x\na\nb\nc\nx", 1, "0: x\n2- a\n--\n6- c\n8: x\n");
        check("x\na\nx\n", 1, "0: x\n2- a\n4: x\n");
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
