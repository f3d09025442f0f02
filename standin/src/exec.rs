//! Executing statements: prefixes, blocks, programs, and the way an error's message gets printed once.

use crate::commands;
use crate::expr::parse;
use crate::expr::{ExprError, Value, eval};
use crate::faults;
use crate::interp::{Frame, Interp, MAX_NESTING, Outcome, Program, Stop};
use crate::macros;
use crate::out::Level;
use crate::source::Statement;
use crate::text;

/// What kind of block a statement opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// `forvalues`, `foreach`, `while`: read to its end, then run.
    Loop,
    /// `if`, `else`, a prefix, or nothing: run line by line.
    Branch,
}

/// `capture`, `quietly`, `noisily` in front of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefix {
    capture: bool,
    level: Option<Level>,
}

/// Prints an error's message, unless it was printed already.
pub(crate) fn announce(interp: &mut Interp, outcome: Outcome) -> Outcome {
    match outcome {
        Err(Stop::Error { rc, msg: Some(msg) }) => {
            if interp.out.column() > 0 {
                interp.out.error("\n");
            }
            for line in msg.split('\n') {
                interp.out.error_paragraph(line);
            }
            Err(Stop::silent(rc))
        }
        other => other,
    }
}

/// Which of Stata's block words a statement begins with.
pub(crate) fn block_head(s: &str) -> Head {
    let (_, rest) = split_prefix(s);
    let (word, _) = text::command_word(rest);
    let is_loop = word == "while" || text::abbreviates(word, "forvalues", 4) || word == "foreach";
    if is_loop { Head::Loop } else { Head::Branch }
}

/// Takes prefixes off.
fn split_prefix(s: &str) -> (Prefix, &str) {
    let mut prefix = Prefix::default();
    let mut rest = s.trim_start();
    loop {
        let (word, after) = text::command_word(rest);
        if after.trim_start().starts_with('=') {
            return (prefix, rest);
        }
        if text::abbreviates(word, "capture", 3) {
            prefix.capture = true;
            prefix.level = Some(Level::Silent);
        } else if text::abbreviates(word, "quietly", 3) {
            // Only `noisily` makes captured output louder.
            if prefix.level != Some(Level::Silent) {
                prefix.level = Some(Level::Quiet);
            }
        } else if text::abbreviates(word, "noisily", 1) && word.len() != 2 {
            prefix.level = Some(Level::Noisy);
        } else {
            return (prefix, rest);
        }
        rest = after.trim_start();
        rest = rest.strip_prefix(':').unwrap_or(rest).trim_start();
    }
}

/// Runs `f` under a prefix.
pub(crate) fn with_prefix(interp: &mut Interp, prefix: Prefix, f: impl FnOnce(&mut Interp) -> Outcome) -> Outcome {
    let level = interp.out.level;
    if let Some(wanted) = prefix.level {
        interp.out.level = match wanted {
            Level::Quiet => level.min(Level::Quiet),
            other => other,
        };
    }
    let outcome = f(interp);
    let outcome = announce(interp, outcome);
    interp.out.level = level;
    if !prefix.capture {
        return outcome;
    }
    match outcome {
        Ok(()) => interp.rc = 0,
        Err(Stop::Error { rc, .. }) => interp.rc = rc,
        Err(other) => return Err(other),
    }
    Ok(())
}

/// Runs one statement that opens no block.
pub(crate) fn statement(interp: &mut Interp, statement: &Statement) -> Outcome {
    if interp.signals.take_break() {
        return Err(Stop::silent(1));
    }
    if statement.text.is_empty() {
        return Ok(());
    }
    let expanded = macros::expand(interp, &statement.text)?;
    command(interp, expanded.trim())?;
    if interp.signals.take_break() { Err(Stop::silent(1)) } else { Ok(()) }
}

/// Runs a command whose macros are expanded.
pub(crate) fn command(interp: &mut Interp, s: &str) -> Outcome {
    let (prefix, rest) = split_prefix(s);
    if prefix != Prefix::default() {
        return with_prefix(interp, prefix, |i| command(i, rest));
    }
    if rest.is_empty() || rest.starts_with('*') {
        return Ok(());
    }
    let (word, after) = text::command_word(rest);
    match word {
        "if" => {
            let (holds, then) = condition(interp, after)?;
            decide(interp, Some(holds));
            if holds { command(interp, then) } else { Ok(()) }
        }
        "else" => match last_decision(interp) {
            Some(true) => Ok(()),
            Some(false) => command(interp, after.trim_start()),
            None => Err(Stop::new(199, "command else is unrecognized")),
        },
        _ => {
            if let Some(program) = interp.programs.get(word).cloned() {
                return call(interp, &program, after);
            }
            commands::dispatch(interp, word, after)
        }
    }
}

fn decide(interp: &mut Interp, decision: Option<bool>) {
    if let Some(last) = interp.decided.last_mut() {
        *last = decision;
    }
}

fn last_decision(interp: &Interp) -> Option<bool> {
    interp.decided.last().copied().flatten()
}

/// Evaluates the condition at the start of `s`; returns it and the rest.
fn condition<'a>(interp: &Interp, s: &'a str) -> Outcome<(bool, &'a str)> {
    let (expr, used) = parse::parse_prefix(s)?;
    let value = eval::value(interp, &expr, None)?;
    if let Value::Str(_) = value {
        return Err(ExprError::types().into());
    }
    Ok((value.truth(), s[used..].trim_start()))
}

/// Decides about a block opened by `if`, `else` or a prefix: whether to run it, and under which prefix.
pub(crate) fn enter_branch(interp: &mut Interp, head: &str) -> Outcome<(bool, Prefix)> {
    let expanded = macros::expand(interp, head)?;
    let body = expanded.trim().strip_suffix('{').ok_or_else(Stop::syntax)?.trim();
    let (prefix, rest) = split_prefix(body);
    let run = branch(interp, rest)?;
    Ok((run, prefix))
}

fn branch(interp: &mut Interp, rest: &str) -> Outcome<bool> {
    let (word, after) = text::command_word(rest);
    match word {
        "" if rest.is_empty() => Ok(true),
        "if" => {
            let (holds, left) = condition(interp, after)?;
            if !left.is_empty() {
                return Err(Stop::syntax());
            }
            decide(interp, Some(holds));
            Ok(holds)
        }
        "else" => match last_decision(interp) {
            Some(true) => Ok(false),
            Some(false) if after.trim().is_empty() => {
                decide(interp, None);
                Ok(true)
            }
            Some(false) => branch(interp, after.trim_start()),
            None => Err(Stop::new(199, "command else is unrecognized")),
        },
        _ => Err(Stop::new(199, format!("command {word} is unrecognized"))),
    }
}

/// Stata allows nothing but a comment after a closing brace.
pub(crate) fn after_close(s: &str) -> Outcome {
    if s.trim() == "}" {
        return Ok(());
    }
    Err(Stop::new(198, "program error:  code follows on the same line as close brace"))
}

/// Runs a list of statements, blocks included.
pub(crate) fn list(interp: &mut Interp, statements: &[Statement]) -> Outcome {
    interp.decided.push(None);
    let outcome = list_inner(interp, statements);
    interp.decided.pop();
    outcome
}

fn list_inner(interp: &mut Interp, statements: &[Statement]) -> Outcome {
    let mut at = 0;
    while let Some(s) = statements.get(at) {
        faults::strike(interp, "", s.line, &s.raw)?;
        if defines_program(&s.text) {
            let len = statements[at + 1..].iter().position(|s| s.text == "end").unwrap_or(statements.len() - at - 1);
            define_program(interp, &s.text, statements[at + 1..at + 1 + len].to_vec())?;
            at += len + 2;
            continue;
        }
        if !s.opens() {
            let outcome = statement(interp, s);
            announce(interp, outcome)?;
            at += 1;
            continue;
        }
        let len = block_length(&statements[at + 1..])?;
        let body = &statements[at + 1..at + 1 + len];
        let outcome = block(interp, s, body);
        announce(interp, outcome)?;
        after_close(&statements[at + 1 + len].text)?;
        at += len + 2;
    }
    Ok(())
}

/// Runs a loop whose body, closing brace included, has just been read.
pub(crate) fn run_loop(interp: &mut Interp, head: &Statement, body: &[Statement]) -> Outcome {
    let Some((close, body)) = body.split_last().filter(|(close, _)| close.closes()) else {
        return Err(Stop::new(612, "unexpected end of file"));
    };
    let outcome = block(interp, head, body);
    announce(interp, outcome)?;
    after_close(&close.text)
}

/// Number of statements before the brace that closes the block.
fn block_length(rest: &[Statement]) -> Outcome<usize> {
    let mut depth = 1usize;
    for (i, s) in rest.iter().enumerate() {
        if s.closes() {
            depth -= 1;
            if depth == 0 {
                return Ok(i);
            }
        }
        if s.opens() {
            depth += 1;
        }
    }
    Err(Stop::new(612, "unexpected end of file"))
}

fn block(interp: &mut Interp, head: &Statement, body: &[Statement]) -> Outcome {
    if interp.signals.take_break() {
        return Err(Stop::silent(1));
    }
    if block_head(&head.text) == Head::Branch {
        let (run, prefix) = enter_branch(interp, &head.text)?;
        if !run {
            return Ok(());
        }
        return with_prefix(interp, prefix, |i| list(i, body));
    }
    let (prefix, rest) = split_prefix(&head.text);
    let rest = rest.to_owned();
    with_prefix(interp, prefix, |i| commands::flow::repeat(i, &rest, body))
}

/// Whether a statement begins a program's definition.
pub(crate) fn defines_program(s: &str) -> bool {
    let (_, rest) = split_prefix(s);
    let (word, rest) = text::command_word(rest);
    if !text::abbreviates(word, "program", 2) {
        return false;
    }
    let (first, _) = text::command_word(rest);
    !first.is_empty() && !matches!(first, "drop" | "list" | "dir" | "l" | "di")
}

/// `program define name, options`.
pub(crate) fn define_program(interp: &mut Interp, head: &str, body: Vec<Statement>) -> Outcome {
    let expanded = macros::expand(interp, head)?;
    let (prefix, rest) = split_prefix(&expanded);
    let (_, rest) = text::command_word(rest);
    let (main, opts) = text::split_options(rest);
    let mut names = main.split_whitespace();
    let mut name = names.next().unwrap_or_default().to_owned();
    if text::abbreviates(&name, "define", 2)
        && let Some(second) = names.next()
    {
        second.clone_into(&mut name);
    }
    let rclass = text::options(opts).iter().any(|(o, _)| text::abbreviates(o, "rclass", 1));
    with_prefix(interp, prefix, |i| {
        if !text::is_name(&name) {
            return Err(Stop::new(198, format!("{name} invalid name")));
        }
        if i.programs.contains_key(&name) {
            return Err(Stop::new(110, format!("program {name} already defined")));
        }
        i.programs.insert(name, Program { body, rclass });
        Ok(())
    })
}

/// Calls a program with its arguments as typed.
fn call(interp: &mut Interp, program: &Program, args: &str) -> Outcome {
    if interp.depth >= MAX_NESTING {
        return Err(Stop::new(1000, "system limit exceeded - see manual"));
    }
    let mut frame = Frame::default();
    set_arguments(&mut frame, &text::tokens(args), args.trim());
    interp.frames.push(frame);
    interp.depth += 1;
    let level = interp.out.level;
    let outcome = list(interp, &program.body);
    interp.out.level = level;
    interp.depth -= 1;
    let frame = drop_frame(interp);
    if program.rclass {
        interp.results = frame.returns;
    }
    match outcome {
        Err(Stop::Exit) => Ok(()),
        Err(Stop::Continue(_)) => Err(Stop::silent(198)),
        other => other,
    }
}

/// Sets `` `0' ``, `` `1' `` and so on.
pub(crate) fn set_arguments(frame: &mut Frame, args: &[String], raw: &str) {
    frame.locals.insert("0".to_owned(), raw.to_owned());
    frame.locals.insert("*".to_owned(), raw.to_owned());
    for (i, a) in args.iter().enumerate() {
        frame.locals.insert((i + 1).to_string(), a.clone());
    }
}

/// Ends a frame: data it preserved comes back, and what is temporary goes.
pub(crate) fn drop_frame(interp: &mut Interp) -> Frame {
    let depth = interp.frames.len();
    while interp.preserved.last().is_some_and(|(_, d)| *d >= depth) {
        if let Some((table, _)) = interp.preserved.pop() {
            interp.data = table;
        }
    }
    let frame = interp.frames.pop().unwrap_or_default();
    for path in &frame.tempfiles {
        let _ = std::fs::remove_file(path);
    }
    for name in &frame.tempnames {
        interp.data.columns.retain(|c| c.name != *name);
        interp.scalars.remove(name);
        interp.matrices.remove(name);
    }
    frame
}
