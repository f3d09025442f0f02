//! `stata_log`: the end of an output, a piece from an offset, or the lines that match.

use std::{collections::VecDeque, fmt::Write, time::Duration};

use longhaul_proto::{encoding::Encoding, ids::Ids, visible};
use regex::bytes::{Regex, RegexBuilder};

use super::{
    call::{Call, Reply},
    fence,
    output::ToolOutput,
    result, words,
};
use crate::{
    frontend::{part::Part, reading::Output, utf8},
    model::{RunSnapshot, Stream},
    runs::MAX_READ,
};

/// Lines shown by default.
const TAIL: u64 = 100;

/// Time limit of a search; the answer then says how far it came.
const SEARCH: Duration = Duration::from_secs(20);

/// Longest line looked at as a whole, bytes; the rest of a longer one counts as further lines.
const LINE: usize = 64 * 1024;

/// Longest line shown, characters.
const SHOWN: usize = 400;

/// Most lines of context.
const CONTEXT: u64 = 50;

/// Room kept for the lines around the output, bytes.
const FRAME: usize = 400 + fence::ROOM;

/// The tool.
pub(super) async fn log(call: &Call) -> Reply {
    let args = &call.args;
    let (tail, offset, pattern) = (args.whole("tail"), args.whole("offset"), args.text("pattern"));
    if tail.is_some() && (offset.is_some() || pattern.is_some()) {
        return Err("pass tail alone, or offset, or pattern (with offset to begin there)".into());
    }
    let runs = &call.frontend.core.runs;
    let view = call.asked_run().await?;
    let run = view.run;
    let stream = if args.text("stream").as_deref() == Some("console") { Stream::Console } else { Stream::Log };
    let part = match stream {
        Stream::Log => Part::user(&view),
        Stream::Console => Part::all(&view, stream),
    };
    let (start, end) = (part.start(), part.end());
    // For the log, an offset before or behind the user's part means its start or its end.
    if stream == Stream::Console && offset.is_some_and(|at| at > end) {
        return Err(format!("offset {} is past the end: the output has {end} bytes so far", offset.unwrap_or(0)));
    }
    let output = Output { runs: runs.clone(), who: call.who.clone(), run, stream };
    let from = offset.unwrap_or(start).max(start);
    let budget = call.frontend.options().inline_limit.saturating_sub(FRAME);
    let head = words::message(&view, None, call.now_ms());
    let ids = &call.frontend.core.deps.ids;
    let body = match pattern {
        Some(pattern) => {
            let context = args.whole("context").unwrap_or(2).min(CONTEXT);
            let (encoding, context) = (output.encoding(), usize::try_from(context).unwrap_or(0));
            let search = Search { regex: regex(&pattern)?, encoding, context, budget };
            search.run(ids, &output, &view, &part, from).await?
        }
        None if offset.is_some() => piece(ids, &output, &view, &part, from, budget).await?,
        None => {
            let from = output.tail_start(&part, tail.unwrap_or(TAIL)).await.map_err(|e| e.to_string())?;
            let shown = result::excerpt(&output, &part, from, budget).await.map_err(|e| e.to_string())?;
            let mut text = framed(ids, &shown.text, shown.from, end, (start, end));
            if shown.from > from {
                text.push_str("\nMore lines were asked for than fit; use offset to read those before.");
            }
            text
        }
    };
    let why = view.withheld().filter(|_| stream == Stream::Log);
    Ok(ToolOutput::ok(match why {
        None => format!("{head}\n{body}"),
        Some(why) => format!("{head}\n{body}\n({why})"),
    }))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(1 << 20).build();
    built.map_err(|error| format!("pattern is not a regular expression: {error}. Write for example \"r\\(\\d+\\)\""))
}

fn framed(ids: &Ids, text: &str, from: u64, to: u64, part: (u64, u64)) -> String {
    let (first, last) = part;
    if text.trim().is_empty() {
        return match last.saturating_sub(first) {
            0 => "(no output)".to_owned(),
            _ => format!("(no output from byte {from} on: it is bytes {first} to {last})"),
        };
    }
    let all = if part == (from, to) { "all there is".to_owned() } else { format!("of {first} to {last}") };
    format!("output, bytes {from} to {to} ({all}):\n{}", fence::fenced(ids, text))
}

/// What fits from an offset on, to the end of a line.
async fn piece(
    ids: &Ids,
    output: &Output,
    view: &RunSnapshot,
    part: &Part,
    from: u64,
    budget: usize,
) -> Result<String, String> {
    let (from, end) = part.piece(from).unwrap_or((from, from));
    let bytes = output.range(part, from, end.min(from + budget as u64)).await.map_err(|e| e.to_string())?;
    let mut taken = bytes.len();
    let more = from + (taken as u64) < end;
    // A range that ends at a gap does not grow any more.
    if more || (!view.state.is_end() && end >= part.end()) {
        taken -= utf8::unfinished(&bytes);
    }
    if more && let Some(at) = bytes[..taken].iter().rposition(|b| *b == b'\n') {
        taken = at + 1;
    }
    let shown = |taken: usize| visible::text(&output.encoding().lines(&bytes[..taken]).0).into_owned();
    let mut text = shown(taken);
    // Replaced bytes, and hidden characters written out, take more room than the bytes did; then fewer are shown.
    while text.len() > budget {
        taken -= (text.len() - budget).div_ceil(3).min(taken);
        taken -= utf8::unfinished(&bytes[..taken]);
        text = shown(taken);
    }
    let next = from + taken as u64;
    let mut shown = framed(ids, &text, from, next, (part.start(), part.end()));
    if part.piece(next).is_some() || !view.state.is_end() {
        let _ = write!(shown, "\nNext: stata_log(run: \"{}\", offset: {next}).", view.run.short());
    }
    Ok(shown)
}

struct Search {
    regex: Regex,
    encoding: Encoding,
    context: usize,
    budget: usize,
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
}

impl Search {
    async fn run(
        &self,
        ids: &Ids,
        output: &Output,
        view: &RunSnapshot,
        part: &Part,
        from: u64,
    ) -> Result<String, String> {
        let mut found = Found::default();
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
            let _ = write!(text, "\nThere may be more: stata_log(run: \"{short}\", pattern: …, offset: {at}).");
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
            let search = Search { regex: regex("x").unwrap(), encoding, context, budget: 20_000 };
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
