//! `stata_files`: what a run left, and the text of one of the files.

use std::fmt::Write;

use longhaul_proto::{
    MAX_ARTIFACT_READ,
    encoding::Encoding,
    files::{media_type, within},
    stata_log::{self, DisplayedSmcl},
    visible,
    words::bytes,
};

use super::{
    call::{Call, Reply},
    fence,
    output::ToolOutput,
    words,
};
use crate::{
    frontend::utf8,
    ledger::RunFile,
    model::RunSnapshot,
    runs::{Listed, OpenFile},
};

/// Files in one answer.
const LISTED: usize = 100;
/// Longest name shown, characters.
const NAME: usize = 120;
/// Room kept for the lines around the text, bytes.
const FRAME: usize = 900 + fence::ROOM;
/// Bytes of a file that are looked at to tell text from other bytes.
const LOOK: usize = 8_000;
/// Bytes of a file's beginning that tell SMCL from other text.
const SMCL_HEAD: u64 = 64;

/// The tool.
pub(super) async fn files(call: &Call) -> Reply {
    let view = call.asked_run().await?;
    let run = view.run;
    let head = words::message(&view, None, call.now_ms());
    if !view.state.is_end() {
        let short = run.short();
        let text = format!("{head}\nIts files are known when it has ended: call stata_wait(runs: \"{short}\") first.");
        return Ok(ToolOutput::ok(text).about(&view));
    }
    let body = match call.args.text("name") {
        None => list(&view, &call.listed(&view).await?),
        Some(name) => {
            let asked = name.trim().trim_start_matches("./");
            let file = call.file_of(&view, asked).await?;
            one(call, &view, &file).await?
        }
    };
    Ok(ToolOutput::ok(format!("{head}\n{body}")).about(&view))
}

fn shown(name: &str) -> String {
    words::cut(&words::plain(name), NAME)
}

/// The list, a line each.
fn list(view: &RunSnapshot, listed: &Listed) -> String {
    let files = &listed.left.files;
    let note = visible::line(&listed.left.note);
    if files.is_empty() {
        let folder = if listed.folder.is_empty() { String::new() } else { format!(" in {}", shown(&listed.folder)) };
        return if note.is_empty() { format!("The run left no file{folder}.") } else { format!("No files: {note}.") };
    }
    let mut text = format!("{} in {}:{}", count(files.len()), listed.host, shown(&listed.folder));
    for file in files.iter().take(LISTED) {
        let _ = write!(text, "\n- {} ({}, {})", shown(listed.name(file)), bytes(file.bytes), what(file));
    }
    if files.len() > LISTED {
        let _ = write!(text, "\nand {} more", files.len() - LISTED);
    }
    if !note.is_empty() {
        let _ = write!(text, "\n({note})");
    }
    if !listed.left.shared_with.is_empty() {
        let ids = listed.left.shared_with.iter().take(5).map(|id| id[id.len().saturating_sub(8)..].to_owned());
        let ids = ids.collect::<Vec<_>>().join(", ");
        let _ = write!(text, "\nRun {ids} ran in the same folder meanwhile: these may be its files.");
    }
    let run = view.run.short();
    let _ = write!(text, "\nText: stata_files(run: \"{run}\", name: …). Images: stata_graph(run: \"{run}\").");
    let _ = write!(text, " In a terminal: longhaul get {run}");
    text
}

fn count(n: usize) -> String {
    if n == 1 { "1 file".to_owned() } else { format!("{n} files") }
}

/// What is said of a file beside its name and size.
fn what(file: &RunFile) -> String {
    let mut said = vec![if file.changed { "changed" } else { "created" }.to_owned()];
    said.push(if file.kept { "kept with the run" } else { "on its host" }.to_owned());
    if file.perhaps_changed {
        said.push("written to after the run's end".to_owned());
    }
    if !file.why_not.is_empty() {
        said.push(words::cut(&words::plain(&file.why_not), NAME));
    }
    said.join(", ")
}

/// The text of one file, from an offset.
async fn one(call: &Call, view: &RunSnapshot, file: &OpenFile) -> Result<String, String> {
    let (len, run) = (file.len(), view.run.short());
    let name = shown(called(view, file));
    let from = call.args.whole("offset").unwrap_or(0);
    if from > len {
        return Err(format!("offset {from} is past the end: the file has {len} bytes"));
    }
    let budget = call.frontend.options().inline_limit.saturating_sub(FRAME);
    let most = (budget as u64).min(MAX_ARTIFACT_READ);
    let piece = file.read(from, most).await.map_err(|e| e.to_string())?;
    let about = format!("{name} ({}, {})", bytes(len), media_type(&file.file.path));
    if piece.is_empty() {
        return Ok(format!("{about}: {}", if len == 0 { "it is empty" } else { "that is its end" }));
    }
    if piece.iter().take(LOOK).any(|byte| *byte == 0) || is_picture(&piece) {
        return Ok(format!("{about}: no text. {}", elsewhere(view, file)));
    }
    let encoding = call.frontend.core.runs.log_encoding();
    let first = if from == 0 { piece.clone() } else { file.read(0, SMCL_HEAD).await.map_err(|e| e.to_string())? };
    let smcl = stata_log::is_smcl(&first);
    let text = |taken: usize| {
        let bytes = &piece[..taken];
        let text = if smcl { displayed(bytes, from, encoding) } else { encoding.lines(bytes).0.into_owned() };
        visible::text(&text).into_owned()
    };
    let mut taken = piece.len();
    if from + (taken as u64) < len {
        taken -= utf8::unfinished(&piece);
        if let Some(at) = piece[..taken].iter().rposition(|byte| *byte == b'\n') {
            taken = at + 1;
        }
    }
    // Hidden characters written out, and tags as what they show, take more room than the bytes did; then fewer are shown.
    let mut shown = text(taken);
    while shown.len() > budget && taken > 1 {
        taken = fewer(&piece[..taken], taken * budget / shown.len());
        shown = text(taken);
    }
    let next = from + taken as u64;
    let about = if smcl { format!("{about}, SMCL shown as text") } else { about };
    let part = if (from, next) == (0, len) { "whole".to_owned() } else { format!("bytes {from} to {next}") };
    let fenced = fence::fenced(&call.frontend.core.deps.ids, &shown);
    let mut said = format!("{about}, {part}:\n{fenced}");
    if next < len {
        let name = quoted(called(view, file));
        let _ = write!(said, "\nNext: stata_files(run: \"{run}\", name: {name}, offset: {next}).");
    }
    Ok(said)
}

/// How many of these bytes are tried next, where all are too many: to the end of a line, or at least of a character.
fn fewer(bytes: &[u8], fit: usize) -> usize {
    let fit = fit.min(bytes.len() - 1);
    let line = bytes[..fit].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    line.unwrap_or_else(|| fit - utf8::unfinished(&bytes[..fit])).max(1)
}

/// A part of a SMCL file as Stata's viewer shows it.
fn displayed(bytes: &[u8], at: u64, encoding: Encoding) -> String {
    let (mut shown, mut text) = (DisplayedSmcl::at(at).in_encoding(encoding), String::new());
    shown.push(bytes, &mut text);
    shown.finish(&mut text);
    text
}

/// What people call the file: its path below the run's folder.
fn called<'a>(view: &RunSnapshot, file: &'a OpenFile) -> &'a str {
    within(&file.file.path, view.working_dir.as_deref().unwrap_or_default())
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(words::plain(name)).to_string()
}

fn is_picture(bytes: &[u8]) -> bool {
    [&b"\x89PNG"[..], b"\xff\xd8\xff", b"GIF8", b"%PDF", b"PK\x03\x04"].iter().any(|start| bytes.starts_with(start))
}

/// How bytes that are no text are had.
fn elsewhere(view: &RunSnapshot, file: &OpenFile) -> String {
    let run = view.run.short();
    let get = format!("In a terminal: longhaul get {run} {}", quoted(called(view, file)));
    match media_type(&file.file.path) {
        "image/png" | "image/jpeg" | "image/gif" => {
            format!("To see it: stata_graph(run: \"{run}\", name: {}). {get}", quoted(called(view, file)))
        }
        _ => get,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::words::tests::view, *};
    use crate::ledger::RunFiles;

    fn listed(files: Vec<RunFile>, note: &str) -> Listed {
        let left = RunFiles { files, note: note.to_owned(), ..RunFiles::default() };
        Listed { left, complete: true, host: "stata1".to_owned(), folder: "/p".to_owned() }
    }

    #[test]
    fn a_list_says_where_each_file_is() {
        let run = view(json!({"state": "succeeded", "cause": "completed", "working_dir": "/p"}));
        assert_eq!(list(&run, &listed(vec![], "")), "The run left no file in /p.");
        assert_eq!(list(&run, &listed(vec![], "the host is away")), "No files: the host is away.");
        let file = |path: &str| RunFile { path: path.to_owned(), bytes: 2_048, ..RunFile::default() };
        let kept = RunFile { kept: true, ..file("/p/a.csv") };
        let changed = RunFile { changed: true, perhaps_changed: true, ..file("/p/\u{1b}b") };
        let why = RunFile { why_not: "it was removed".to_owned(), ..file("/else/c") };
        let mut all = listed(vec![kept, changed, why], "");
        all.left.shared_with = vec!["019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c22".to_owned()];
        let text = list(&run, &all);
        for line in [
            "3 files in stata1:/p",
            "- a.csv (2.0 KiB, created, kept with the run)",
            "- \\x1bb (2.0 KiB, changed, on its host, written to after the run's end)",
            "- /else/c (2.0 KiB, created, on its host, it was removed)",
            "Run 7f3a9c22 ran in the same folder meanwhile: these may be its files.",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }

    #[test]
    fn fewer_bytes_are_tried_and_always_some() {
        let check = |bytes: &[u8], fit: usize, want: usize| assert_eq!(fewer(bytes, fit), want, "{bytes:?} {fit}");
        check(b"one\ntwo\n", 6, 4);
        check(b"one\ntwo\n", 8, 4);
        check(b"{hline}", 0, 1);
        check("a\u{e9}b".as_bytes(), 2, 1);
    }

    #[test]
    fn text_is_told_from_other_bytes() {
        assert!(is_picture(b"\x89PNG\r\n") && is_picture(b"%PDF-1.7") && !is_picture(b"a,b\n"));
    }
}
