//! Files and folders: `file`, `erase`, `confirm`, `cd` and their like.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::expr::format::{Format, display_number};
use crate::expr::{Value, eval, parse};
use crate::interp::{Handle, Interp, Outcome, Stop};
use crate::text;

/// `file open|write|read|close|sersetread…`.
pub(crate) fn file(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::command_word(s);
    let rest = rest.trim();
    match verb {
        "open" => open(interp, rest),
        "write" => write(interp, rest),
        "read" => read(interp, rest),
        "close" if rest == "_all" => {
            interp.files.clear();
            Ok(())
        }
        "close" => match interp.files.remove(rest) {
            Some(_) => Ok(()),
            None => Err(no_handle(rest)),
        },
        _ => Err(Stop::syntax()),
    }
}

fn no_handle(name: &str) -> Stop {
    Stop::new(601, format!("file handle {name} not found"))
}

/// `file open h using "path", read|write [text] [replace|append]`.
fn open(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let (name, rest) = text::word(main);
    let path = text::unquote(rest.trim().strip_prefix("using").ok_or_else(Stop::syntax)?).to_owned();
    let opts = text::options(opts);
    let has = |full, min| opts.iter().any(|(o, _)| text::abbreviates(o, full, min));
    if interp.files.contains_key(name) {
        return Err(Stop::new(110, format!("file handle {name} already exists")));
    }
    let refused = || Stop::new(603, format!("file {path} could not be opened"));
    let handle = if has("read", 1) && !has("replace", 3) {
        let mut content = Vec::new();
        let mut file = File::open(&path).map_err(|_| Stop::no_file(&path))?;
        file.read_to_end(&mut content).map_err(|_| refused())?;
        let lines: Vec<String> = String::from_utf8_lossy(&content).lines().map(str::to_owned).collect();
        Handle { file, lines: Some(lines.into_iter()) }
    } else if has("append", 1) {
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(|_| refused())?;
        Handle { file, lines: None }
    } else {
        let exists = Path::new(&path).exists();
        if exists && !has("replace", 3) {
            return Err(Stop::new(602, format!("file {path} already exists")));
        }
        let file = File::create(&path).map_err(|_| refused())?;
        if !exists && has("replace", 3) {
            interp.out.note(&format!("(file {path} not found)"));
        }
        Handle { file, lines: None }
    };
    interp.files.insert(name.to_owned(), handle);
    Ok(())
}

/// `file write h "text" (exp) %fmt (exp) _n _tab`.
fn write(interp: &mut Interp, s: &str) -> Outcome {
    let (name, rest) = text::word(s);
    let mut out = String::new();
    let mut rest = rest.trim_start();
    let mut format: Option<Format> = None;
    while !rest.is_empty() {
        let (word, after) = text::command_word(rest);
        if word.starts_with('_') {
            let (count, tail) = directive_count(interp, after)?;
            let piece = match word {
                _ if text::abbreviates(word, "_newline", 2) => "\n",
                _ if text::abbreviates(word, "_tab", 2) => "\t",
                _ if text::abbreviates(word, "_skip", 2) => " ",
                _ => return Err(Stop::syntax()),
            };
            out.push_str(&piece.repeat(count));
            rest = tail;
        } else if rest.starts_with('%') {
            let end = rest.find(|c: char| c.is_whitespace() || c == '(' || c == '"').unwrap_or(rest.len());
            format = Some(Format::parse(&rest[..end]).ok_or_else(Stop::syntax)?);
            rest = rest[end..].trim_start();
        } else {
            let (expr, used) = parse::parse_prefix(rest)?;
            match (eval::value(interp, &expr, None)?, format.take()) {
                (Value::Str(s), None) => out.push_str(&s),
                (Value::Str(s), Some(f)) => out.push_str(&f.string(&s)),
                (Value::Num(x), None) => out.push_str(&display_number(x)),
                (Value::Num(x), Some(f)) => out.push_str(&f.number(x)),
            }
            rest = rest[used..].trim_start();
        }
    }
    let handle = interp.files.get_mut(name).ok_or_else(|| no_handle(name))?;
    handle.file.write_all(out.as_bytes()).map_err(|_| Stop::new(693, "I/O error"))
}

fn directive_count<'a>(interp: &Interp, after: &'a str) -> Outcome<(usize, &'a str)> {
    let Some(inner) = after.strip_prefix('(') else { return Ok((1, after.trim_start())) };
    let end = inner.find(')').ok_or_else(Stop::syntax)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    let n = interp.eval_number(&inner[..end])?.clamp(0.0, 10_000.0) as usize;
    Ok((n, inner[end + 1..].trim_start()))
}

/// `file read h local`: `r(eof)` says when there is no more.
fn read(interp: &mut Interp, s: &str) -> Outcome {
    let (name, local) = text::word(s);
    let handle = interp.files.get_mut(name).ok_or_else(|| no_handle(name))?;
    let line = handle.lines.as_mut().and_then(Iterator::next);
    interp.results.clear();
    interp.put_result("eof", f64::from(line.is_none()));
    interp.set_local(local.trim(), line.unwrap_or_default());
    Ok(())
}

/// `erase`, `rm`.
pub(crate) fn erase(_: &mut Interp, s: &str) -> Outcome {
    let path = text::unquote(s);
    fs::remove_file(path).map_err(|_| Stop::no_file(path))
}

/// `cd path`: prints the new folder.
pub(crate) fn cd(interp: &mut Interp, s: &str) -> Outcome {
    let path = text::unquote(s);
    if !path.is_empty() {
        std::env::set_current_dir(path).map_err(|_| Stop::new(170, format!("unable to change to {path}")))?;
    }
    pwd(interp, "")
}

/// `pwd`.
pub(crate) fn pwd(interp: &mut Interp, _: &str) -> Outcome {
    let path = std::env::current_dir().map(|p| p.display().to_string()).unwrap_or_default();
    interp.out.println(&path);
    Ok(())
}

/// `mkdir`.
pub(crate) fn mkdir(_: &mut Interp, s: &str) -> Outcome {
    let path = text::unquote(text::split_options(s).0);
    fs::create_dir(path).map_err(|_| Stop::new(693, format!("could not create directory {path}")))
}

/// `rmdir`.
pub(crate) fn rmdir(_: &mut Interp, s: &str) -> Outcome {
    let path = text::unquote(s);
    fs::remove_dir(path).map_err(|_| Stop::new(693, format!("could not remove directory {path}")))
}

/// `copy from to [, replace]`: local files.
pub(crate) fn copy(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let words = text::tokens(main);
    let [from, to] = words.as_slice() else { return Err(Stop::syntax()) };
    let replace = text::options(opts).iter().any(|(o, _)| o == "replace");
    if !Path::new(from).exists() {
        return Err(Stop::no_file(from));
    }
    if Path::new(to).exists() && !replace {
        return Err(Stop::new(602, format!("file {to} already exists")));
    }
    if !Path::new(to).exists() && replace {
        interp.out.note(&format!("(file {to} not found)"));
    }
    fs::copy(from, to).map(drop).map_err(|_| Stop::new(603, format!("file {to} could not be opened")))
}

/// `type file`.
pub(crate) fn type_command(interp: &mut Interp, s: &str) -> Outcome {
    let path = text::unquote(s);
    let bytes = fs::read(path).map_err(|_| Stop::no_file(path))?;
    interp.out.print(&String::from_utf8_lossy(&bytes));
    if interp.out.column() > 0 {
        interp.out.print("\n");
    }
    Ok(())
}

/// `confirm [new] file|variable|number|integer|names|existence|scalar …`.
pub(crate) fn confirm(interp: &mut Interp, s: &str) -> Outcome {
    let (first, rest) = text::word(s);
    let rest = rest.trim();
    let value = text::unquote(rest);
    match first {
        "file" if Path::new(value).is_file() => Ok(()),
        "file" => Err(Stop::no_file(value)),
        "new" => {
            let (kind, tail) = text::word(rest);
            let value = text::unquote(tail);
            if text::abbreviates(kind, "variable", 1) {
                return match interp.data.column(value) {
                    Some(_) => Err(Stop::new(110, format!("variable {value} already defined"))),
                    None => Ok(()),
                };
            }
            if Path::new(value).exists() { Err(Stop::new(602, format!("file {value} already exists"))) } else { Ok(()) }
        }
        "integer" | "number" => {
            let value = text::unquote(value.strip_prefix("number").unwrap_or(value).trim());
            let x: Option<f64> = value.parse().ok();
            match x {
                Some(x) if first == "number" || x.fract() == 0.0 => Ok(()),
                _ => {
                    let noun = if first == "integer" { "an integer" } else { "a number" };
                    Err(Stop::new(
                        7,
                        format!(
                            "'{value}' found where {} expected",
                            noun.trim_start_matches("an ").trim_start_matches("a ")
                        ),
                    ))
                }
            }
        }
        "names" => match value.split_whitespace().find(|w| !text::is_name(w)) {
            Some(bad) => Err(Stop::new(7, format!("'{bad}' found where name expected"))),
            None => Ok(()),
        },
        "existence" => {
            if value.is_empty() {
                Err(Stop::new(6, "nothing found where something expected"))
            } else {
                Ok(())
            }
        }
        "scalar" => match interp.scalars.get(value) {
            Some(_) => Ok(()),
            None => Err(Stop::new(111, format!("scalar {value} not found"))),
        },
        "numeric" | "string" => {
            let (kind, tail) = text::word(rest);
            let list = if text::abbreviates(kind, "variable", 1) { tail } else { rest };
            confirm_variables(interp, list, Some(first))
        }
        _ if text::abbreviates(first, "variable", 1) => confirm_variables(interp, rest, None),
        _ => confirm_variables(interp, s, None),
    }
}

fn confirm_variables(interp: &Interp, list: &str, kind: Option<&str>) -> Outcome {
    let (list, _) = text::split_options(list);
    for name in super::data::varlist(interp, list)? {
        let is_string = matches!(interp.data.column(&name).map(|c| &c.values), Some(crate::data::Values::Str(_)));
        if kind.is_some_and(|k| (k == "string") != is_string) {
            return Err(Stop::new(7, format!("'{name}' found where {} variable expected", kind.unwrap_or_default())));
        }
    }
    Ok(())
}
