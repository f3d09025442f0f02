//! The text of an ended run: verdict first, then the failure, then the end of the log, then where the rest is.
//!
//! Text, because a client that finds structured content may show the model nothing else: only an error has some beside it
//! (`output/structured.rs`), and its text is complete all the same; short enough to be shown whole.

use std::fmt::Write;

use longhaul_proto::{
    encoding::Encoding,
    files::{self, Files},
    ids::Ids,
    risk,
    state::{Cause, RunState},
    visible,
};

use super::{call::Caller, fence, graph, output::ToolOutput, words};
use crate::{
    frontend::{part::Part, reading::Output, run_view::note as note_of, utf8},
    model::{RunSnapshot, Stream},
    runs::ReadError,
};

/// Most of the console that is shown, bytes.
const CONSOLE: usize = 2_000;

/// Longest message or command shown, characters.
const FIELD: usize = 2_000;

/// Room kept for the lines that say where the rest is, bytes.
const FOOT: usize = 400 + 2 * fence::ROOM;

/// Room for an answer that is an error, bytes. Claude Code 2.1.330 shows the model 10,000 characters of one: it cuts
/// out the middle of a call's and the end of a task's, and the end is what explains an error.
const ERROR_ROOM: usize = 9_500;

/// The end of a range of output, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The text; lines that are no UTF-8 are read in the older encoding.
    pub(super) text: String,
    /// Offset of the first byte shown.
    pub(super) from: u64,
    /// Offset of the first byte that could have been shown.
    pub(super) start: u64,
    /// Bytes of the part between those two offsets, which are not shown.
    pub(super) left_out: u64,
    /// Offset just after the last byte shown.
    pub(super) end: u64,
}

/// The end of a part's bytes from `start` on, at most `budget` bytes of text, from the beginning of a line where one is
/// near.
pub(super) async fn excerpt(output: &Output, part: &Part, start: u64, budget: usize) -> Result<Excerpt, ReadError> {
    let start = start.max(part.start()).min(part.end());
    let from = start.max(part.last(budget as u64));
    let bytes = output.range(part, from, part.end()).await?;
    let cut = trim(&bytes, from, start, budget, output.encoding());
    // There may have been a gap in the bytes that were trimmed away.
    let from = part.advance(from, cut.from - from);
    Ok(Excerpt { text: cut.text, from, start, left_out: part.count(start, from), end: part.end() })
}

/// Makes an excerpt of the bytes that begin at offset `from`.
fn trim(bytes: &[u8], mut from: u64, start: u64, budget: usize, encoding: Encoding) -> Excerpt {
    let end = from + bytes.len() as u64;
    let mut bytes = bytes;
    let skip = |bytes: &mut &[u8], from: &mut u64, n: usize| {
        *bytes = &bytes[n..];
        *from += n as u64;
    };
    if from > start {
        let line = bytes.iter().take(budget / 2).position(|b| *b == b'\n').map(|at| at + 1);
        let n = line.unwrap_or_else(|| utf8::torn(bytes));
        skip(&mut bytes, &mut from, n);
    }
    // Replaced bytes, and hidden characters written out, take more room than the bytes did.
    let shown = |bytes| visible::text(&encoding.lines(bytes).0).into_owned();
    let mut text = shown(bytes);
    while text.len() > budget && !bytes.is_empty() {
        let over = (text.len() - budget).div_ceil(3).min(bytes.len());
        let n = over + utf8::torn(&bytes[over..]);
        skip(&mut bytes, &mut from, n);
        text = shown(bytes);
    }
    Excerpt { text, from, start, left_out: from - start, end }
}

/// Whether an answer that reports a run in this state is an error.
pub(super) fn is_error(state: RunState) -> bool {
    state.meaning().is_some_and(|m| m.is_error)
}

/// The room for this answer, bytes, of the `limit` for any answer.
pub(super) fn room(is_error: bool, limit: usize) -> usize {
    if is_error { limit.min(ERROR_ROOM) } else { limit }
}

/// Text and error mark of an ended run. The reader has everything before `offset`; `limit` is the room for all of it,
/// bytes, of which an error takes less.
pub(super) async fn of(
    caller: &Caller,
    view: &RunSnapshot,
    offset: Option<u64>,
    note: Option<&str>,
    limit: usize,
) -> ToolOutput {
    let output = |stream| caller.output(view, stream);
    let is_error = is_error(view.state);
    let limit = room(is_error, limit);
    let head = head(view, note);
    let console = if needs_console(view) {
        let part = Part::all(view, Stream::Console);
        excerpt(&output(Stream::Console), &part, 0, CONSOLE).await.unwrap_or_default()
    } else {
        Excerpt::default()
    };
    let budget = limit.saturating_sub(head.len() + console.text.len() + FOOT);
    let log = excerpt(&output(Stream::Log), &Part::user(view), offset.unwrap_or_default(), budget).await;
    let text = layout(&head, view, &log, &console, &caller.frontend.core.deps.ids);
    ToolOutput { is_error, ..ToolOutput::ok(text) }.about(view)
}

/// The console is worth showing where the log cannot explain the end.
fn needs_console(view: &RunSnapshot) -> bool {
    matches!(view.state, RunState::Errored | RunState::Lost) && view.console_len > 0
}

/// The first lines: the verdict, and what a person needs to act on it.
pub(super) fn head(view: &RunSnapshot, note: Option<&str>) -> String {
    let mut text = verdict(view);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(text, "\n{name}: {}", words::cut(&words::plain(value), FIELD));
        }
    };
    line("note", note.unwrap_or_default());
    let hint = view.process.zip(view.duration).and_then(|(process, took)| process.hint(took.as_secs_f64()));
    line("hint", hint.as_deref().unwrap_or_default());
    line("warning", &risk::summary(&view.risks));
    line("queued because", view.queued_behind.as_deref().unwrap_or_default());
    if view.state != RunState::Succeeded {
        line("message", view.message.as_deref().unwrap_or_default());
        line("command", view.command.as_deref().unwrap_or_default());
        if let Some(at) = &view.location {
            line("at", &words::place(at));
        }
        for (name, value) in words::error(view) {
            line(name, &value);
        }
    }
    line("note", &note_of(view).unwrap_or_default());
    if !view.leftovers.is_empty() {
        line("processes that outlived Stata and were ended", &view.leftovers.join(", "));
    }
    line("graphs", &graph::named(view));
    if let Some(files) = files::words(&left(view)).filter(|_| view.state.is_end()) {
        let _ = write!(text, "\n{}", words::cut(&words::plain(&files), FIELD));
        if view.files_removed.is_none() {
            let _ = write!(text, "; to read one: stata_files(run: \"{}\")", view.run.short());
        }
    }
    text
}

fn left(run: &RunSnapshot) -> Files<'_> {
    Files {
        host: run.host.as_deref(),
        folder: run.working_dir.as_deref(),
        artifacts: &run.artifacts,
        removed: run.files_removed.as_ref(),
    }
}

/// `failed: r(111) after 3.2 s on stata1 · fit.do 2024 · queued 12 s · run 7f3a9c21 · stand-in, not Stata`.
fn verdict(view: &RunSnapshot) -> String {
    let mut text = match view.state {
        RunState::Failed => match view.rc {
            Some(rc) => format!("failed: r({rc})"),
            None => "failed".to_owned(),
        },
        RunState::Succeeded if view.cause == Cause::CompletedUnconfirmed => "succeeded (unconfirmed)".to_owned(),
        RunState::Succeeded | RunState::Cancelled => view.state.to_string(),
        state => {
            let (state, cause) = (state.as_str().replace('_', " "), view.cause.as_str().replace('_', " "));
            format!("{state}: {cause}")
        }
    };
    // The state's own word is already in the line; what `head` says after it is when and where.
    let plain = view.state.as_str().replace('_', " ");
    let after = words::head(view, 0);
    text.push_str(after.strip_prefix(&plain).unwrap_or_default());
    let _ = write!(text, " · {}", words::named(view));
    if let Some(queued) = view.queued_for {
        let _ = write!(text, " · queued {}", words::took(queued));
    }
    let _ = write!(text, " · run {}", view.run.short());
    if view.engine.as_deref() == Some("standin") {
        text.push_str(" · stand-in, not Stata");
    }
    text
}

/// The verdict in one line, with the message of what went wrong.
pub(super) fn line(view: &RunSnapshot) -> String {
    let message = view.message.as_deref().filter(|_| view.state != RunState::Succeeded).map(words::plain);
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{} · {message}", verdict(view)),
        None => verdict(view),
    }
}

fn layout(head: &str, view: &RunSnapshot, log: &Result<Excerpt, ReadError>, console: &Excerpt, ids: &Ids) -> String {
    let mut text = head.to_owned();
    let run = view.run.short();
    if !console.text.trim().is_empty() {
        let _ = write!(text, "\n\nconsole:\n{}", fence::fenced(ids, &console.text));
    }
    match log {
        _ if view.kept_in.is_some() => {
            let _ = write!(text, "\n\n({})", view.kept_in.as_deref().unwrap_or_default());
        }
        Err(error) => {
            let _ = write!(text, "\n\n(log not shown: {error}. Try stata_log(run: \"{run}\", tail: 100).)");
        }
        Ok(log) if log.text.trim().is_empty() && log.left_out == 0 => text.push_str("\n\n(no output)"),
        Ok(log) => {
            let left_out = log.left_out;
            if log.text.is_empty() {
                let _ = write!(text, "\n\n(the log, {left_out} bytes, has no room here)");
            } else if left_out > 0 {
                let _ = write!(text, "\n\nend of the log ({left_out} bytes before it are left out):\n");
            } else {
                text.push_str("\n\nlog:\n");
            }
            if !log.text.is_empty() {
                text.push_str(&fence::fenced(ids, &log.text));
            }
            if left_out > 0 {
                let _ = write!(
                    text,
                    "\n\nThe rest: stata_log(run: \"{run}\", offset: {}), or with pattern. The user's part of the log is bytes {} to {}.",
                    log.start, log.start, log.end
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::words::tests::view, *};

    fn shown(fields: Value, note: Option<&str>, log: &str, from: u64) -> String {
        let view = view(fields);
        let end = from + log.len() as u64;
        let log = Excerpt { text: log.into(), from, start: 0, left_out: from, end };
        layout(&head(&view, note), &view, &Ok(log), &Excerpt::default(), &fence::tests::counted())
    }

    #[test]
    fn layouts() {
        let check = |fields: Value, note: Option<&str>, log: &str, from: u64, want: &str| {
            assert_eq!(shown(fields, note, log, from), want);
        };
        check(
            json!({"state": "succeeded", "cause": "completed", "duration": 662.9, "rc": 0}),
            None,
            "\n. display 1\n1\n\n",
            0,
            "succeeded after 11 min 3 s on stata1 · a.do · run 7f3a9c21\n\nlog:\n\
             --- begin output 000000000001 ---\n. display 1\n1\n--- end output 000000000001 ---",
        );
        check(
            json!({
                "state": "failed", "cause": "stata_error", "rc": 111, "duration": 3.2, "message": "bad_var not found",
                "command": "gen y = bad_var + 1", "engine": "standin", "trace_id": "ab",
                "location": {"file": "/p/sub.do", "line": 12, "callers": ["/p/main.do:3"]}
            }),
            None,
            "bad_var not found\nr(111);\n",
            100,
            "failed: r(111) after 3.2 s on stata1 · a.do · run 7f3a9c21 · stand-in, not Stata\n\
             message: bad_var not found\n\
             command: gen y = bad_var + 1\n\
             at: /p/sub.do:12 (called from /p/main.do:3)\n\n\
             end of the log (100 bytes before it are left out):\n\
             --- begin output 000000000001 ---\n\
             bad_var not found\nr(111);\n\
             --- end output 000000000001 ---\n\n\
             The rest: stata_log(run: \"7f3a9c21\", offset: 0), or with pattern. The user's part of the log is bytes 0 to 126.",
        );
        let place = json!({"file": "/p/a.do", "line": 2, "callers": []});
        check(
            json!({
                "state": "failed", "cause": "stata_error", "rc": 602, "duration": 1.0, "message": "file a.dta already exists",
                "error": {
                    "kind": "file_exists", "code": 602, "message": null, "command": null, "place": null, "advice": "do this",
                    "suppressed": [{"code": 111, "message": "z not found", "command": "cap noi su z", "place": place}],
                    "try_again": "cannot_help"
                }
            }),
            None,
            "",
            0,
            "failed: r(602) after 1.0 s on stata1 · a.do · run 7f3a9c21\n\
             message: file a.dta already exists\n\
             kind: file_exists; trying again unchanged cannot help\n\
             next: do this\n\
             errors before it that ended nothing: r(111) z not found (/p/a.do:2)\n\n\
             (no output)",
        );
        check(
            json!({"state": "timed_out", "cause": "run_timeout", "duration": 60.0, "leftovers": ["4711 python"]}),
            Some("joined"),
            "",
            0,
            "timed out: run timeout after 1 min 0 s on stata1 · a.do · run 7f3a9c21\n\
             note: joined\n\
             processes that outlived Stata and were ended: 4711 python\n\n\
             (no output)",
        );
        check(
            json!({"state": "succeeded", "cause": "completed", "duration": 1.0}),
            None,
            "",
            7,
            "succeeded after 1.0 s on stata1 · a.do · run 7f3a9c21\n\n(the log, 7 bytes, has no room here)\n\n\
             The rest: stata_log(run: \"7f3a9c21\", offset: 0), or with pattern. The user's part of the log is bytes 0 to 7.",
        );
    }

    #[test]
    fn errors_are_short_enough_to_be_shown_whole() {
        let check = |state, limit, want| assert_eq!(room(is_error(state), limit), want);
        check(RunState::Succeeded, 20_000, 20_000);
        check(RunState::Failed, 20_000, ERROR_ROOM);
        check(RunState::Errored, 5_000, 5_000);
    }

    #[test]
    fn excerpts_are_bounded_and_begin_with_a_line() {
        let check = |bytes: &[u8], from: u64, budget: usize, want: (&str, u64)| {
            let got = trim(bytes, from, 0, budget, Encoding::default());
            assert_eq!((got.text.as_str(), got.from), want);
            assert_eq!(got.end, from + bytes.len() as u64);
        };
        check(b"one\ntwo\n", 0, 100, ("one\ntwo\n", 0));
        check(b"ne\ntwo\n", 1, 100, ("two\n", 4));
        check(b"without any line break", 5, 8, ("ne break", 19));
        check(&"aé".as_bytes()[2..], 7, 100, ("", 8));
        let bad = trim(&[0xff; 300], 0, 0, 30, Encoding::default());
        assert!(bad.text.len() <= 30 && !bad.text.is_empty(), "{}", bad.text.len());
        assert_eq!(bad.end, 300);
    }
}
