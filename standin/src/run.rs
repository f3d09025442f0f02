//! Running a do-file line by line, with the echo, the empty lines and the endings that make up a log.
//!
//! The echo's rules were taken from real logs: a prompt, then the raw line; a body of a loop or program is numbered,
//! and comments inside it do not use up a number; the lines of an `if` block are echoed one by one as they run, without
//! empty lines between; after a command at the top there is one empty line, after a comment none.

use crate::faults;
use crate::interp::{Frame, Interp, MAX_NESTING, Outcome, Stop};
use crate::out::{Level, Style};
use crate::source::{Echo, Feed, Source, Statement, expand_tabs};
use crate::{clock, exec};

/// How a file is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `do`: an end of its own.
    Do,
    /// `include`: the caller's macros, no end.
    Include,
    /// Standard input.
    Console,
}

/// `do file args`: finds and runs a do-file.
///
/// # Errors
/// The file's own, or `file … not found`.
pub(crate) fn run_file(interp: &mut Interp, path: &str, args: &[String], raw_args: &str, kind: Kind) -> Outcome {
    let base = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let path = if base.contains('.') { path.to_owned() } else { format!("{path}.do") };
    let bytes = std::fs::read(&path).map_err(|_| Stop::no_file(&path))?;
    if interp.depth >= MAX_NESTING {
        return Err(Stop::new(1000, "system limit exceeded - see manual"));
    }
    let echo = if interp.out.level == Level::Noisy { Echo::On } else { Echo::Off };
    let mut source = Source::new(path, Feed::from_bytes(&bytes), echo);
    if echo == Echo::On {
        interp.out.put("\n");
    }
    if kind == Kind::Include {
        return nested(interp, |i| run_source(i, &mut source, kind));
    }
    let mut frame = Frame::default();
    exec::set_arguments(&mut frame, args, raw_args);
    interp.frames.push(frame);
    let outcome = nested(interp, |i| run_source(i, &mut source, kind));
    exec::drop_frame(interp);
    outcome
}

fn nested<T>(interp: &mut Interp, f: impl FnOnce(&mut Interp) -> T) -> T {
    let level = interp.out.level;
    interp.depth += 1;
    let out = f(interp);
    interp.depth -= 1;
    interp.out.level = level;
    out
}

/// Runs a source to its end.
///
/// # Errors
/// What stopped it.
pub(crate) fn run_source(interp: &mut Interp, source: &mut Source, kind: Kind) -> Outcome {
    interp.decided.push(None);
    let outcome = lines(interp, source, kind);
    interp.decided.pop();
    let finished = if kind == Kind::Do { "end of do-file\n" } else { "" };
    match outcome {
        Err(Stop::Exit) => {
            put(interp, source, "\n");
            put(interp, source, finished);
            Ok(())
        }
        Err(Stop::Error { rc, .. }) if kind == Kind::Do => {
            put(interp, source, "\n");
            put(interp, source, finished);
            interp.ended_do = source.echo == Echo::On;
            Err(Stop::silent(rc))
        }
        Ok(()) => {
            put(interp, source, finished);
            Ok(())
        }
        other => other,
    }
}

fn lines(interp: &mut Interp, source: &mut Source, kind: Kind) -> Outcome {
    loop {
        let Some(statement) = read(interp, source, ". ") else {
            if kind == Kind::Console {
                interp.out.flush_partial();
            } else {
                put(interp, source, "\n");
            }
            return Ok(());
        };
        let outcome = top(interp, source, &statement);
        match outcome {
            Ok(()) => {
                if !statement.text.is_empty() && !silent_end(&statement) {
                    rmsg(interp, source);
                    put(interp, source, "\n");
                }
            }
            Err(Stop::Error { rc, .. }) if kind != Kind::Include => {
                if kind == Kind::Console && interp.ended_do {
                    interp.out.put("\n");
                }
                if source.echo == Echo::On {
                    report(interp, rc);
                }
                if kind == Kind::Console {
                    interp.rc = rc;
                    interp.out.put("\n");
                } else {
                    return Err(Stop::silent(rc));
                }
            }
            Err(Stop::Continue(_)) => return Err(Stop::silent(198)),
            Err(Stop::Exit) if kind == Kind::Console => {
                if interp.data.changed {
                    interp.out.put("no; dataset in memory has changed since last saved\nr(4);\n\n");
                } else {
                    return Err(Stop::Leave(0));
                }
            }
            Err(stop) => return Err(stop),
        }
    }
}

/// Commands after which no empty line follows: an included file has its own.
fn silent_end(statement: &Statement) -> bool {
    let word = statement.text.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
    matches!(word, "inc" | "incl" | "inclu" | "includ" | "include") || word.starts_with("#d")
}

/// `r(N);`, after `--Break--` if N is 1, with the time if `set rmsg` is on.
pub(crate) fn report(interp: &mut Interp, rc: i32) {
    if rc == 1 {
        interp.out.put_as(Style::Error, "--Break--\n");
    } else if interp.out.column() > 0 {
        interp.out.put("\n");
    }
    let time = if interp.set.rmsg { time_message(interp) } else { String::new() };
    interp.out.code(rc, &time);
}

fn rmsg(interp: &mut Interp, source: &Source) {
    if interp.set.rmsg {
        let time = time_message(interp);
        put(interp, source, &format!("r;{time}\n"));
    }
}

fn time_message(interp: &Interp) -> String {
    let (_, _, _, h, m, s) = clock::civil(clock::unix_seconds());
    format!(" t={:.2} {h}:{m:02}:{s:02}", interp.took)
}

fn echo(interp: &mut Interp, source: &Source, text: &str) {
    if source.echo == Echo::On {
        interp.out.echo(text);
    }
}

fn put(interp: &mut Interp, source: &Source, text: &str) {
    if source.echo == Echo::On {
        interp.out.put(text);
    }
}

/// Prompts, reads and echoes a statement.
fn read(interp: &mut Interp, source: &mut Source, prompt: &str) -> Option<Statement> {
    echo(interp, source, prompt);
    if interp.set.terminal && source.echo == Echo::On {
        interp.out.flush_partial();
    }
    if let Some(delimiter) = interp.delimit.take() {
        source.delimit(delimiter);
    }
    let statement = source.next_statement()?;
    if interp.set.terminal && interp.depth == 0 {
        interp.out.typed_line();
    } else {
        for (i, line) in statement.raw.iter().enumerate() {
            let lead = if i == 0 { "" } else { "> " };
            echo(interp, source, &format!("{lead}{}\n", expand_tabs(line)));
        }
    }
    Some(statement)
}

/// Runs one statement read from a source, reading more of it if it opens a block.
fn top(interp: &mut Interp, source: &mut Source, statement: &Statement) -> Outcome {
    let start = clock::now();
    interp.ended_do = false;
    let outcome = faults::strike(interp, &source.name, statement.line, &statement.raw)
        .and_then(|()| top_inner(interp, source, statement));
    interp.took = start.elapsed().as_secs_f64();
    exec::announce(interp, outcome)
}

fn top_inner(interp: &mut Interp, source: &mut Source, statement: &Statement) -> Outcome {
    if exec::defines_program(&statement.text) {
        let body = program_body(interp, source);
        return exec::define_program(interp, &statement.text, body);
    }
    if !statement.opens() {
        return exec::statement(interp, statement);
    }
    match exec::block_head(&statement.text) {
        exec::Head::Loop => {
            let body = loop_body(interp, source);
            exec::run_loop(interp, statement, &body)
        }
        exec::Head::Branch => stream(interp, source, statement),
    }
}

/// Runs an `if`, `else`, `capture` or `quietly` block whose lines are still to be read.
fn stream(interp: &mut Interp, source: &mut Source, statement: &Statement) -> Outcome {
    let head = exec::enter_branch(interp, &statement.text);
    let (run, prefix) = match head {
        Ok(head) => head,
        Err(stop) => {
            let stop = exec::announce(interp, Err(stop));
            return fail_block(interp, source, stop.err());
        }
    };
    if !run {
        drain(interp, source);
        return Ok(());
    }
    let level = interp.out.level;
    interp.decided.push(None);
    let outcome = exec::with_prefix(interp, prefix, |i| stream_lines(i, source));
    interp.decided.pop();
    interp.out.level = level;
    outcome
}

fn stream_lines(interp: &mut Interp, source: &mut Source) -> Outcome {
    loop {
        let Some(statement) = read(interp, source, ". ") else {
            put(interp, source, "\n");
            return Err(Stop::new(612, "unexpected end of file"));
        };
        if statement.closes() {
            return exec::after_close(&statement.text);
        }
        if let Err(stop) = top(interp, source, &statement) {
            return fail_block(interp, source, Some(stop));
        }
        if interp.set.rmsg && !statement.text.is_empty() {
            rmsg(interp, source);
        }
    }
}

/// An error inside a block: prints its code and the rest of the block's lines, and passes it up.
fn fail_block(interp: &mut Interp, source: &mut Source, stop: Option<Stop>) -> Outcome {
    let stop = stop.unwrap_or_else(|| Stop::silent(198));
    if let Stop::Error { rc, .. } = stop
        && source.echo == Echo::On
        && interp.out.level != Level::Silent
    {
        report(interp, rc);
    }
    if !matches!(stop, Stop::Leave(_)) {
        drain(interp, source);
    }
    Err(stop)
}

/// Reads to the end of the open block without running anything.
fn drain(interp: &mut Interp, source: &mut Source) {
    let mut depth = 1usize;
    while depth > 0 {
        let Some(statement) = read(interp, source, ". ") else { return };
        if statement.closes() {
            depth -= 1;
        }
        if statement.opens() {
            depth += 1;
        }
    }
}

/// Reads a loop's body up to its closing brace, numbering from 2.
fn loop_body(interp: &mut Interp, source: &mut Source) -> Vec<Statement> {
    let mut depth = 1usize;
    numbered(interp, source, 2, |s| {
        if s.closes() {
            depth -= 1;
        }
        if s.opens() {
            depth += 1;
        }
        depth == 0
    })
}

/// Reads a program's body up to `end`, numbering from 1; `end` is dropped.
fn program_body(interp: &mut Interp, source: &mut Source) -> Vec<Statement> {
    let mut body = numbered(interp, source, 1, |s| s.text == "end");
    body.pop();
    body
}

fn numbered(
    interp: &mut Interp,
    source: &mut Source,
    first: usize,
    mut done: impl FnMut(&Statement) -> bool,
) -> Vec<Statement> {
    let mut body = Vec::new();
    let mut number = first;
    let mut fresh = true;
    loop {
        let prompt = if fresh { format!("{number:>3}. ") } else { ". ".to_owned() };
        let Some(statement) = read(interp, source, &prompt) else {
            put(interp, source, "\n");
            return body;
        };
        // A comment shows a number without using it up.
        fresh = !statement.text.is_empty();
        number += usize::from(fresh);
        let last = done(&statement);
        body.push(statement);
        if last {
            return body;
        }
    }
}

/// Runs `profile.do` of the current folder, if there is one: its output is shown, its lines are not.
pub(crate) fn profile(interp: &mut Interp) -> Outcome {
    let Ok(path) = std::env::current_dir().map(|d| d.join("profile.do")) else { return Ok(()) };
    let Ok(bytes) = std::fs::read(&path) else { return Ok(()) };
    let path = path.display().to_string();
    interp.out.put(&format!("\nRunning {path} ...\n"));
    let mut source = Source::new(path, Feed::from_bytes(&bytes), Echo::Off);
    interp.frames.push(Frame::default());
    let outcome = nested(interp, |i| run_source(i, &mut source, Kind::Do));
    exec::drop_frame(interp);
    if let Err(Stop::Error { rc, .. }) = outcome {
        report(interp, rc);
    }
    interp.out.put("\n");
    if let Err(Stop::Leave(status)) = outcome { Err(Stop::Leave(status)) } else { Ok(()) }
}

/// Runs the command of the command line and says how it ended.
pub(crate) fn command_line(interp: &mut Interp, command: &str) -> Outcome {
    let statement = Statement { text: command.trim().to_owned(), raw: Vec::new(), line: 0 };
    let start = clock::now();
    let outcome = exec::statement(interp, &statement);
    interp.took = start.elapsed().as_secs_f64();
    let outcome = exec::announce(interp, outcome);
    let console = !interp.set.batch;
    match outcome {
        Err(Stop::Error { rc, .. }) => {
            if console && interp.ended_do {
                interp.out.put("\n");
            }
            report(interp, rc);
            interp.rc = rc;
        }
        Err(Stop::Leave(status)) => return Err(Stop::Leave(status)),
        _ if interp.set.rmsg => {
            let time = time_message(interp);
            interp.out.put(&format!("r;{time}\n"));
        }
        _ => {}
    }
    if console {
        interp.out.put("\n\n");
    }
    Ok(())
}
