//! Macros, scalars and what programs return.

use crate::expr::Value;
use crate::expr::format::display_number;
use crate::interp::{Interp, Outcome, Stop};
use crate::macros::{as_text, function_value};
use crate::text;

/// The value on the right of a macro definition: `= exp`, `: function`, or text with its quotes taken off.
fn definition(interp: &mut Interp, s: &str) -> Outcome<String> {
    let s = s.trim();
    if let Some(exp) = s.strip_prefix('=') {
        return Ok(as_text(&interp.eval(exp)?));
    }
    if let Some(function) = s.strip_prefix(':') {
        return function_value(interp, function.trim());
    }
    let (first, rest) = text::token(s);
    // Text in quotes loses them only if it is all there is.
    Ok(if s.starts_with(['"', '`']) && rest.trim().is_empty() { first } else { s.to_owned() })
}

fn name_of(s: &str) -> Outcome<(&str, &str)> {
    let (name, rest) = text::command_word(s);
    if name.is_empty() || !rest.is_empty() && !rest.starts_with([' ', '=', ':', '"', '\t']) {
        return Err(Stop::new(
            198,
            if s.is_empty() { "invalid syntax".to_owned() } else { format!("{} invalid name", text::word(s).0) },
        ));
    }
    Ok((name, rest))
}

/// `local name …`, `local ++name`.
pub(crate) fn local(interp: &mut Interp, s: &str) -> Outcome {
    for (prefix, step) in [("++", 1.0), ("--", -1.0)] {
        if let Some(name) = s.strip_prefix(prefix) {
            let value = interp.eval_number(interp.local(name.trim()))?;
            interp.set_local(name.trim(), as_text(&Value::Num(value + step)));
            return Ok(());
        }
    }
    let (name, rest) = name_of(s)?;
    let value = definition(interp, rest)?;
    interp.set_local(name, value);
    Ok(())
}

/// `global name …`.
pub(crate) fn global(interp: &mut Interp, s: &str) -> Outcome {
    let (name, rest) = name_of(s)?;
    let value = definition(interp, rest)?;
    if value.is_empty() {
        interp.globals.remove(name);
    } else {
        interp.globals.insert(name.to_owned(), value);
    }
    Ok(())
}

/// `scalar [define] name = exp`, `scalar drop`, `scalar list`.
pub(crate) fn scalar(interp: &mut Interp, s: &str) -> Outcome {
    let (first, rest) = text::command_word(s);
    if first == "drop" {
        for name in rest.split_whitespace() {
            if name == "_all" {
                interp.scalars.clear();
            } else if interp.scalars.remove(name).is_none() {
                return Err(Stop::new(111, format!("{name} not found")));
            }
        }
        return Ok(());
    }
    if s.is_empty() || text::abbreviates(first, "list", 1) || first == "dir" {
        let mut names: Vec<&String> = interp.scalars.keys().collect();
        names.sort();
        let wanted: Vec<&str> = rest.split_whitespace().collect();
        let mut text = String::new();
        for name in names.into_iter().filter(|n| wanted.is_empty() || wanted.contains(&n.as_str())) {
            let value = match &interp.scalars[name] {
                Value::Num(x) => display_number(*x),
                Value::Str(s) => s.clone(),
            };
            text.push_str(&format!("{name:>10} = {value}\n"));
        }
        interp.out.print(&text);
        return Ok(());
    }
    let s = if text::abbreviates(first, "define", 3) && !rest.trim_start().starts_with('=') { rest } else { s };
    let (name, exp) = s.split_once('=').ok_or_else(Stop::syntax)?;
    let name = name.trim();
    if !text::is_name(name) {
        return Err(Stop::new(198, format!("{name} invalid name")));
    }
    let value = interp.eval(exp)?;
    interp.scalars.insert(name.to_owned(), value);
    Ok(())
}

/// `macro drop`, `macro shift`, `macro list`.
pub(crate) fn macro_command(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::command_word(s);
    match verb {
        "drop" => {
            for name in rest.split_whitespace() {
                match name.strip_prefix('_') {
                    _ if name == "_all" => interp.globals.clear(),
                    Some(local) => interp.set_local(local, String::new()),
                    None => interp.globals.retain(|g, _| !crate::expr::functions::wildcard(g, name)),
                }
            }
            Ok(())
        }
        "shift" => {
            let mut i = 1;
            loop {
                let next = interp.local(&(i + 1).to_string()).to_owned();
                interp.set_local(&i.to_string(), next.clone());
                if next.is_empty() {
                    return Ok(());
                }
                i += 1;
            }
        }
        "list" | "dir" => {
            let lines: String = interp
                .globals
                .iter()
                .map(|(k, v)| format!("{k}:{:>w$}{v}\n", "", w = 16usize.saturating_sub(k.len() + 1)))
                .collect();
            interp.out.print(&lines);
            Ok(())
        }
        _ => Err(Stop::syntax()),
    }
}

/// `tokenize "string"`: positional arguments anew.
pub(crate) fn tokenize(interp: &mut Interp, s: &str) -> Outcome {
    let (main, _) = text::split_options(s);
    let words = text::tokens(text::unquote(main));
    let mut i = 1;
    while i <= words.len() || !interp.local(&i.to_string()).is_empty() {
        interp.set_local(&i.to_string(), words.get(i - 1).cloned().unwrap_or_default());
        i += 1;
    }
    Ok(())
}

/// `return scalar|local name = …`, `return list`, `return clear`.
pub(crate) fn return_command(interp: &mut Interp, s: &str) -> Outcome {
    let (kind, rest) = text::command_word(s);
    let rest = rest.trim();
    match kind {
        "clear" => interp.frame().returns.clear(),
        "add" => {
            let more = interp.results.clone();
            interp.frame().returns.extend(more);
        }
        "list" | "li" => interp.out.print(&interp.results.listing("r")),
        "matrix" | "mat" => {
            let (name, from) = rest.split_once('=').ok_or_else(Stop::syntax)?;
            let from = from.trim();
            let matrix = super::matrix::named(interp, from).ok_or_else(|| super::matrix::not_found(from))?;
            interp.matrices.remove(from);
            interp.frame().returns.insert_matrix(name.trim(), matrix);
        }
        "scalar" | "sca" => {
            let (name, exp) = rest.split_once('=').ok_or_else(Stop::syntax)?;
            let value = interp.eval(exp)?;
            interp.frame().returns.insert(name.trim().to_owned(), value);
        }
        "local" | "loc" => {
            let (name, rest) = name_of(rest)?;
            let value = definition(interp, rest)?;
            interp.frame().returns.insert(name.to_owned(), Value::Str(value));
        }
        _ => return Err(Stop::syntax()),
    }
    Ok(())
}

/// The name and value of a macro definition.
pub(crate) fn defined(interp: &mut Interp, s: &str) -> Outcome<(String, String)> {
    let (name, rest) = name_of(s)?;
    let value = definition(interp, rest)?;
    Ok((name.to_owned(), value))
}

/// `tempfile a b`: names of files that go when the do-file or program ends.
pub(crate) fn tempfile(interp: &mut Interp, s: &str) -> Outcome {
    for name in s.split_whitespace() {
        let path = interp.temp_path();
        interp.frame().tempfiles.push(path.clone());
        interp.set_local(name, path);
    }
    Ok(())
}

/// `tempname`, `tempvar`: names that nothing else has; what gets them goes when the do-file or program ends.
pub(crate) fn tempname(interp: &mut Interp, s: &str) -> Outcome {
    for name in s.split_whitespace() {
        interp.temp.1 += 1;
        let value = format!("__{:06}", interp.temp.1);
        interp.frame().tempnames.push(value.clone());
        interp.set_local(name, value);
    }
    Ok(())
}
