//! Macro expansion: `` `local' ``, `` `=exp' ``, `` `:function' ``, `` `++i' ``, `$global`, `${global}`; innermost first.

use crate::expr::Value;
use crate::expr::format::{Format, macro_number};
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// Macros that expand to macros, at most this deep.
const MAX_DEPTH: usize = 32;

/// Expands all macros of a command.
///
/// # Errors
/// Those of expressions inside.
pub(crate) fn expand(interp: &mut Interp, s: &str) -> Outcome<String> {
    expand_within(interp, s, 0)
}

fn expand_within(interp: &mut Interp, s: &str, depth: usize) -> Outcome<String> {
    if !s.contains(['`', '$', '\\']) {
        return Ok(s.to_owned());
    }
    if depth > MAX_DEPTH {
        return Err(Stop::new(920, "too many macros"));
    }
    let mut out = String::with_capacity(s.len());
    let bytes = s.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if matches!(bytes.get(i + 1), Some(b'`' | b'$')) => {
                out.push(char::from(bytes[i + 1]));
                i += 2;
            }
            b'`' if bytes.get(i + 1) == Some(&b'"') => {
                out.push_str("`\"");
                i += 2;
            }
            b'`' => match closing(s, i) {
                Some(end) => {
                    let inner = expand_within(interp, &s[i + 1..end], depth + 1)?;
                    let value = local_value(interp, &inner)?;
                    out.push_str(&expand_within(interp, &value, depth + 1)?);
                    i = end + 1;
                }
                None => {
                    out.push('`');
                    i += 1;
                }
            },
            b'$' => {
                let (name, next) = global_name(interp, s, i, depth)?;
                if name.is_empty() {
                    out.push('$');
                    i += 1;
                } else {
                    let value = global_value(interp, &name);
                    out.push_str(&expand_within(interp, &value, depth + 1)?);
                    i = next;
                }
            }
            b'\\' => {
                out.push('\\');
                i += 1;
            }
            _ => {
                let next = s[i..].find(['`', '$', '\\']).map_or(s.len(), |n| i + n);
                out.push_str(&s[i..next]);
                i = next;
            }
        }
    }
    Ok(out)
}

/// Position of the quote that closes the macro opened at `at`.
fn closing(s: &str, at: usize) -> Option<usize> {
    let bytes = s.as_bytes();
    let (mut depth, mut i) = (0usize, at);
    let mut strings = 0usize;
    while i < bytes.len() {
        match bytes[i] {
            b'`' if bytes.get(i + 1) == Some(&b'"') => {
                strings += 1;
                i += 1;
            }
            b'`' => depth += 1,
            b'"' if bytes.get(i + 1) == Some(&b'\'') && strings > 0 => {
                strings -= 1;
                i += 1;
            }
            b'\'' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
        i += 1;
    }
    None
}

fn global_name(interp: &mut Interp, s: &str, at: usize, depth: usize) -> Outcome<(String, usize)> {
    let rest = &s[at + 1..];
    if let Some(inner) = rest.strip_prefix('{') {
        let Some(end) = inner.find('}') else { return Ok((String::new(), at + 1)) };
        return Ok((expand_within(interp, &inner[..end], depth + 1)?, at + end + 3));
    }
    let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    Ok((rest[..len].to_owned(), at + 1 + len))
}

fn global_value(interp: &Interp, name: &str) -> String {
    let now = crate::clock::unix_seconds();
    match name {
        "S_DATE" => crate::clock::date_text(now),
        "S_TIME" => crate::clock::time_text(now),
        _ => interp.globals.get(name).cloned().unwrap_or_default(),
    }
}

/// The value of the macro between the quotes, whose inside is already expanded.
fn local_value(interp: &mut Interp, inner: &str) -> Outcome<String> {
    if let Some(exp) = inner.strip_prefix('=') {
        return Ok(as_text(&interp.eval(exp)?));
    }
    if let Some(function) = inner.strip_prefix(':') {
        return function_value(interp, function.trim());
    }
    for (prefix, step) in [("++", 1.0), ("--", -1.0)] {
        if let Some(name) = inner.strip_prefix(prefix) {
            return Ok(add(interp, name, step)?.new);
        }
    }
    for (suffix, step) in [("++", 1.0), ("--", -1.0)] {
        if let Some(name) = inner.strip_suffix(suffix) {
            return Ok(add(interp, name, step)?.old);
        }
    }
    if let Some(name) = inner.strip_prefix("macval(").and_then(|r| r.strip_suffix(')')) {
        return Ok(interp.local(name).to_owned());
    }
    for class in ["c", "r", "e", "s"] {
        let call = inner.strip_prefix(class).and_then(|r| r.strip_prefix('(')).and_then(|r| r.strip_suffix(')'));
        if let Some(name) = call {
            use crate::expr::eval::Env;
            let missing = class != "c" && interp.stored(class).and_then(|s| s.get(name)).is_none();
            return Ok(if missing { String::new() } else { as_text(&interp.result(class, name, None)) });
        }
    }
    Ok(interp.local(inner).to_owned())
}

/// A macro's value before and after a step.
struct Stepped {
    old: String,
    new: String,
}

fn add(interp: &mut Interp, name: &str, step: f64) -> Outcome<Stepped> {
    let old = interp.eval_number(interp.local(name))?;
    let new = macro_number(old + step);
    interp.set_local(name, new.clone());
    Ok(Stepped { old: macro_number(old), new })
}

/// A value as a macro holds it.
pub(crate) fn as_text(v: &Value) -> String {
    match v {
        Value::Num(x) => macro_number(*x),
        Value::Str(s) => s.clone(),
    }
}

/// Functions of `local x : …`.
///
/// # Errors
/// `invalid syntax` for one that is not here.
pub(crate) fn function_value(interp: &mut Interp, s: &str) -> Outcome<String> {
    let (name, rest) = text::command_word(s);
    let rest = rest.trim();
    match name {
        "word" => word_function(rest),
        "r" | "e" | "s" if rest.starts_with('(') => {
            let kind = rest.trim_start_matches('(').split([')', ',']).next().unwrap_or_default().trim();
            interp.stored(name).and_then(|s| s.names(kind)).ok_or_else(Stop::syntax)
        }
        "rownames" | "colnames" | "rowfullnames" | "colfullnames" => crate::commands::matrix::names(interp, name, rest),
        "copy" => {
            let (kind, of) = text::word(rest);
            Ok(if matches!(kind, "global" | "gl") { global_value(interp, of) } else { interp.local(of).to_owned() })
        }
        "length" | "strlen" | "ustrlen" => {
            let (kind, rest) = text::word(rest);
            let n = if matches!(kind, "local" | "loc") { interp.local(rest).len() } else { text::unquote(rest).len() };
            Ok(n.to_string())
        }
        "pwd" => Ok(std::env::current_dir().map(|p| p.display().to_string()).unwrap_or_default()),
        "env" | "environment" => Ok(std::env::var(rest).unwrap_or_default()),
        "upper" => Ok(text::unquote(rest).to_uppercase()),
        "lower" => Ok(text::unquote(rest).to_lowercase()),
        "subinstr" => subinstr(interp, rest),
        "list" => list_function(interp, rest),
        "di" | "dis" | "disp" | "display" => crate::commands::display::to_text(interp, rest),
        "type" => {
            let column =
                interp.data.column(rest).ok_or_else(|| Stop::new(111, format!("variable {rest} not found")))?;
            Ok(column.kind.clone())
        }
        "format" => Ok(Format::parse("%9.0g").map(|_| "%9.0g".to_owned()).unwrap_or_default()),
        _ => Err(Stop::syntax()),
    }
}

fn word_function(rest: &str) -> Outcome<String> {
    let (first, tail) = text::word(rest);
    if first == "count" {
        return Ok(text::tokens(tail).len().to_string());
    }
    let list = tail.trim_start().strip_prefix("of").ok_or_else(Stop::syntax)?;
    let n: i64 = first.parse().map_err(|_| Stop::syntax())?;
    let words = text::tokens(list);
    let at = usize::try_from(n - 1).ok();
    Ok(at.and_then(|i| words.get(i)).cloned().unwrap_or_default())
}

/// `subinstr local name "from" "to", all`.
fn subinstr(interp: &Interp, rest: &str) -> Outcome<String> {
    let (main, opts) = text::split_options(rest);
    let words = text::tokens(main);
    let [kind, name, from, to] = words.as_slice() else { return Err(Stop::syntax()) };
    let value = match kind.as_str() {
        "local" | "loc" => interp.local(name).to_owned(),
        "global" | "gl" => global_value(interp, name),
        _ => return Err(Stop::syntax()),
    };
    Ok(if text::options(opts).iter().any(|(o, _)| o == "all") {
        value.replace(from.as_str(), to)
    } else {
        value.replacen(from.as_str(), to, 1)
    })
}

/// `list sizeof x`, `list a | b`, `list a - b`, `list a & b`, `list uniq a`, `list sort a`, `list posof "x" in a`.
fn list_function(interp: &Interp, rest: &str) -> Outcome<String> {
    let words = text::tokens(rest);
    let get = |n: &str| text::tokens(interp.local(n));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words.as_slice() {
        ["sizeof", a] => get(a).len().to_string(),
        ["uniq", a] => {
            let mut out: Vec<String> = Vec::new();
            for w in get(a) {
                if !out.contains(&w) {
                    out.push(w);
                }
            }
            out.join(" ")
        }
        ["sort", a] => {
            let mut out = get(a);
            out.sort();
            out.join(" ")
        }
        ["posof", x, "in", a] => get(a).iter().position(|w| w == x).map_or(0, |i| i + 1).to_string(),
        [a, "in", b] => u8::from(get(a).iter().all(|w| get(b).contains(w))).to_string(),
        [a, "-", b] => get(a).into_iter().filter(|w| !get(b).contains(w)).collect::<Vec<_>>().join(" "),
        [a, "&", b] => get(a).into_iter().filter(|w| get(b).contains(w)).collect::<Vec<_>>().join(" "),
        [a, "|", b] => {
            let mut out = get(a);
            let more: Vec<String> = get(b).into_iter().filter(|w| !out.contains(w)).collect();
            out.extend(more);
            out.join(" ")
        }
        _ => return Err(Stop::syntax()),
    })
}
