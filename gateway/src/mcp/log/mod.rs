//! `stata_log`: the end of an output, a piece from an offset, its beginning and end, or the lines that match; with or
//! without the commands that Stata echoed.

mod budget;
mod lines;
mod search;

use std::fmt::Write;

use longhaul_proto::{ids::Ids, visible};

use self::lines::{Limit, Lines};
use super::{
    call::{Call, Reply},
    fence,
    output::ToolOutput,
    result, words,
};
use crate::{
    frontend::{
        part::Part,
        reading::Output,
        search::{CONTEXT, Search, regex},
        utf8,
    },
    model::{RunSnapshot, Stream},
};

/// Lines shown by default.
const TAIL: u64 = 100;

/// Room kept for the lines around the output, bytes.
const FRAME: usize = 400 + fence::ROOM;

/// The tool.
pub(super) async fn log(call: &Call) -> Reply {
    let args = &call.args;
    let (tail, offset, pattern) = (args.whole("tail"), args.whole("offset"), args.text("pattern"));
    if tail.is_some() && (offset.is_some() || pattern.is_some()) {
        return Err("pass tail alone, or offset, or pattern (with offset to begin there)".into());
    }
    let (tokens, echo) = (args.whole("tokens"), args.flag("echo").unwrap_or(true));
    if tokens.is_some() && (tail.is_some() || offset.is_some() || pattern.is_some()) {
        return Err("pass tokens without tail, offset and pattern: it shows the beginning and the end".into());
    }
    let view = call.asked_run().await?;
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
    let output = call.output(&view, stream);
    let from = offset.unwrap_or(start).max(start);
    let budget = call.frontend.options().inline_limit.saturating_sub(FRAME);
    let head = words::message(&view, None, call.now_ms());
    let ids = &call.frontend.core.deps.ids;
    let lines = Lines { output: &output, part: &part, echo, live: !view.state.is_end() };
    let body = match pattern {
        None if tokens.is_some() => budget::ends(ids, &lines, &view, tokens.unwrap_or_default(), budget).await?,
        Some(pattern) => {
            let context = args.whole("context").unwrap_or(2).min(CONTEXT);
            let (encoding, context) = (output.encoding(), usize::try_from(context).unwrap_or(0));
            let search = Search { regex: regex(&pattern)?, encoding, context, most: u64::MAX, echo };
            search::found(&search, ids, &output, (&view, &part), from, budget).await?
        }
        None if !echo => printed(ids, &lines, &view, offset, tail.unwrap_or(TAIL), budget).await?,
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

/// What a call that goes on must say again.
fn same(output: &Output, echo: bool) -> String {
    let stream = if output.stream == Stream::Console { ", stream: \"console\"" } else { "" };
    let echo = if echo { "" } else { ", echo: false" };
    format!("{stream}{echo}")
}

/// Without the echo: what fits from an offset on, or the last lines.
async fn printed(
    ids: &Ids,
    lines: &Lines<'_>,
    view: &RunSnapshot,
    offset: Option<u64>,
    tail: u64,
    budget: usize,
) -> Result<String, String> {
    let (part, limit) = (lines.part, Limit::bytes(budget));
    let bounds = (part.start(), part.end());
    let Some(from) = offset else {
        let last = lines.back(tail, limit, part.start()).await.map_err(|e| e.to_string())?;
        return Ok(framed(ids, &last.text, last.from, part.end(), bounds));
    };
    let piece = lines.forward(from.max(part.start()), limit).await.map_err(|e| e.to_string())?;
    let mut shown = framed(ids, &piece.text, piece.from, piece.next, bounds);
    if piece.text.is_empty() && piece.next > piece.from {
        shown = format!("(nothing but commands in bytes {} to {})", piece.from, piece.next);
    }
    if part.piece(piece.next).is_some() || lines.live {
        let short = view.run.short();
        let same = same(lines.output, lines.echo);
        let _ = write!(shown, "\nNext: stata_log(run: \"{short}\", offset: {}{same}).", piece.next);
    }
    Ok(shown)
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
        let (short, same) = (view.run.short(), same(output, true));
        let _ = write!(shown, "\nNext: stata_log(run: \"{short}\", offset: {next}{same}).");
    }
    Ok(shown)
}
