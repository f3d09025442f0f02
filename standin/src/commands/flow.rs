//! Commands that decide what runs next: do-files, loops, exits, sleeping.

use crate::clock;
use crate::exec;
use crate::expr::{Value, is_missing};
use crate::interp::{Interp, Outcome, Stop};
use crate::macros::expand;
use crate::out::Level;
use crate::run::{self, Kind};
use crate::source::Statement;
use crate::text;

fn file_arguments(s: &str) -> Outcome<(String, Vec<String>, String)> {
    let (path, rest) = text::token(s);
    if path.is_empty() {
        return Err(Stop::new(198, "invalid file specification"));
    }
    // The only option is nostop, and it does not change what is an error.
    let raw = rest.trim().to_owned();
    Ok((path, text::tokens(&raw), raw))
}

/// `do`.
pub(crate) fn do_file(interp: &mut Interp, s: &str) -> Outcome {
    let (path, args, raw) = file_arguments(s)?;
    run::run_file(interp, &path, &args, &raw, Kind::Do)
}

/// `run`: `do` that echoes and prints nothing.
pub(crate) fn run(interp: &mut Interp, s: &str) -> Outcome {
    let (path, args, raw) = file_arguments(s)?;
    let level = interp.out.level;
    interp.out.level = level.min(Level::Quiet);
    let outcome = run::run_file(interp, &path, &args, &raw, Kind::Do);
    interp.out.level = level;
    outcome
}

/// `include`: in the caller's macros, without an end of its own.
pub(crate) fn include(interp: &mut Interp, s: &str) -> Outcome {
    let (path, args, raw) = file_arguments(s)?;
    run::run_file(interp, &path, &args, &raw, Kind::Include)
}

/// `exit`, `exit #`, `exit [#], STATA|clear`.
pub(crate) fn exit(interp: &mut Interp, s: &str) -> Outcome {
    let (code, opts) = text::split_options(s);
    let code = if code.is_empty() { 0.0 } else { interp.eval_number(code.trim_start_matches('='))? };
    let opts: Vec<String> = opts.split_whitespace().map(str::to_owned).collect();
    #[allow(clippy::cast_possible_truncation)] // codes are small; a huge one saturates
    let code = if is_missing(code) { 0 } else { code as i32 };
    if opts.iter().any(|o| o == "STATA") {
        let status = if interp.faults.exit_zero { 0 } else { code.rem_euclid(256).try_into().unwrap_or(1) };
        return Err(Stop::Leave(status));
    }
    if opts.iter().any(|o| text::abbreviates(o, "clear", 3)) {
        interp.data = crate::data::Table::default();
        if interp.depth == 0 {
            return Err(Stop::Leave(0));
        }
    }
    if code == 0 { Err(Stop::Exit) } else { Err(Stop::silent(code)) }
}

/// `error #`: the standard text of a return code.
pub(crate) fn error(interp: &mut Interp, s: &str) -> Outcome {
    #[allow(clippy::cast_possible_truncation)] // codes are small
    let rc = interp.eval_number(s)? as i32;
    let msg = match rc {
        0 => return Ok(()),
        4 => "no; dataset in memory has changed since last saved",
        7 => "type mismatch",
        9 => "assertion is false",
        100 => "varlist required",
        101 => "varlist not allowed",
        102 => "too few variables specified",
        103 => "too many variables specified",
        109 => "type mismatch",
        111 => "variable not found",
        198 => "invalid syntax",
        199 => "unrecognized command",
        301 => "last estimates not found",
        459 => "something that should be true of your data is not",
        498 => "error",
        601 => "file not found",
        602 => "file already exists",
        603 => "file could not be opened",
        2000 => "no observations",
        2001 => "insufficient observations",
        _ => return Err(Stop::silent(rc)),
    };
    Err(Stop::new(rc, msg))
}

/// `continue [, break]`.
pub(crate) fn continue_loop(_: &mut Interp, s: &str) -> Outcome {
    Err(Stop::Continue(s.trim_start_matches([',', ' ']) == "break"))
}

/// `sleep #`: milliseconds, times the scale factor; an interrupt ends it.
pub(crate) fn sleep(interp: &mut Interp, s: &str) -> Outcome {
    let millis = interp.eval_number(s)?;
    if is_missing(millis) || millis < 0.0 {
        return Err(Stop::syntax());
    }
    if clock::sleep(interp.faults.scaled(millis), &interp.signals) {
        return Ok(());
    }
    interp.signals.take_break();
    Err(Stop::silent(1))
}

/// `args a b c`: names for the positional arguments.
pub(crate) fn args(interp: &mut Interp, s: &str) -> Outcome {
    for (i, name) in s.split_whitespace().enumerate() {
        if !text::is_name(name) {
            return Err(Stop::syntax());
        }
        let value = interp.local(&(i + 1).to_string()).to_owned();
        interp.set_local(name, value);
    }
    Ok(())
}

/// `while`, `forvalues`, `foreach`: `head` with its brace, macros not expanded.
pub(crate) fn repeat(interp: &mut Interp, head: &str, body: &[Statement]) -> Outcome {
    let head = head.trim().strip_suffix('{').ok_or_else(Stop::syntax)?.trim();
    let (word, rest) = text::command_word(head);
    if word == "while" {
        loop {
            let condition = expand(interp, rest)?;
            if !interp.eval(&condition)?.truth() || once(interp, body)? {
                return Ok(());
            }
        }
    }
    let rest = expand(interp, rest)?;
    let rest = rest.trim();
    if word == "foreach" {
        let (name, items) = foreach_items(interp, rest)?;
        for item in items {
            interp.set_local(&name, item);
            if once(interp, body)? {
                break;
            }
        }
        interp.set_local(&name, String::new());
        return Ok(());
    }
    let (name, range) = rest.split_once('=').ok_or_else(Stop::syntax)?;
    let (from, step, to) = parse_range(interp, range.trim())?;
    let mut x = from;
    while if step >= 0.0 { x <= to + step.abs() * 1e-9 } else { x >= to - step.abs() * 1e-9 } {
        interp.set_local(name.trim(), crate::macros::as_text(&Value::Num(x)));
        if once(interp, body)? {
            break;
        }
        x += step;
    }
    interp.set_local(name.trim(), String::new());
    Ok(())
}

/// Runs the body once; true = leave the loop.
fn once(interp: &mut Interp, body: &[Statement]) -> Outcome<bool> {
    if interp.signals.take_break() {
        return Err(Stop::silent(1));
    }
    match exec::list(interp, body) {
        Ok(()) | Err(Stop::Continue(false)) => Ok(false),
        Err(Stop::Continue(true)) => Ok(true),
        Err(stop) => Err(stop),
    }
}

/// `a/b`, `a(d)b`, `a b to c`, `a b: c`.
fn parse_range(interp: &Interp, s: &str) -> Outcome<(f64, f64, f64)> {
    let number = |t: &str| {
        let x = interp.eval_number(t.trim())?;
        if is_missing(x) { Err(Stop::syntax()) } else { Ok(x) }
    };
    let out = if let Some((a, rest)) = s.split_once('(') {
        let (d, b) = rest.split_once(')').ok_or_else(Stop::syntax)?;
        (number(a)?, number(d)?, number(b)?)
    } else if let Some((a, b)) = s.split_once('/') {
        (number(a)?, 1.0, number(b)?)
    } else {
        let normalized = s.replace(':', " ");
        let words: Vec<&str> = normalized.split_whitespace().filter(|w| *w != "to").collect();
        let [a, b, c] = words.as_slice() else { return Err(Stop::syntax()) };
        let a = number(a)?;
        (a, number(b)? - a, number(c)?)
    };
    if out.1 == 0.0 { Err(Stop::syntax()) } else { Ok(out) }
}

fn foreach_items(interp: &Interp, s: &str) -> Outcome<(String, Vec<String>)> {
    let (name, rest) = text::word(s);
    let (kind, rest) = text::word(rest);
    if kind == "in" {
        return Ok((name.to_owned(), text::tokens(rest)));
    }
    if kind != "of" {
        return Err(Stop::syntax());
    }
    let (class, list) = text::word(rest);
    let items = match class {
        "local" | "loc" => text::tokens(interp.local(list.trim())),
        "global" | "glo" => text::tokens(interp.globals.get(list.trim()).map_or("", String::as_str)),
        "varlist" | "var" => super::data::varlist(interp, list)?,
        "newlist" | "any" => text::tokens(list),
        "numlist" | "num" => numlist(interp, list)?,
        _ => return Err(Stop::syntax()),
    };
    Ok((name.to_owned(), items))
}

/// `1 2/5 10(5)30 3 to …`: the forms that do-files use.
fn numlist(interp: &Interp, list: &str) -> Outcome<Vec<String>> {
    let mut out = Vec::new();
    for part in list.split_whitespace() {
        if part.contains('/') || part.contains('(') {
            let (from, step, to) = parse_range(interp, part).map_err(|_| Stop::new(121, "invalid numlist"))?;
            let step = if to < from && step > 0.0 { -step } else { step };
            let mut x = from;
            while if step > 0.0 { x <= to + 1e-9 } else { x >= to - 1e-9 } {
                out.push(crate::macros::as_text(&Value::Num(x)));
                x += step;
            }
        } else {
            let x: f64 = part.parse().map_err(|_| Stop::new(121, "invalid numlist"))?;
            out.push(crate::macros::as_text(&Value::Num(x)));
        }
    }
    Ok(out)
}
