//! `display` with its directives, a little SMCL, and the dots that count replications.

use crate::expr::format::{Format, display_number};
use crate::expr::{ExprError, Value, eval, parse};
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// `display`.
pub(crate) fn display(interp: &mut Interp, s: &str) -> Outcome {
    let column = interp.out.column();
    let (text, error) = compose(interp, s, column)?;
    if error {
        interp.out.error(&text)
    } else {
        interp.out.print(&text)
    }
    Ok(())
}

/// What `display` would print, without the newline: `` `: display …' ``.
pub(crate) fn to_text(interp: &mut Interp, s: &str) -> Outcome<String> {
    let (text, _) = compose(interp, s, 0)?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// The text, and whether it is error text.
fn compose(interp: &Interp, s: &str, column: usize) -> Outcome<(String, bool)> {
    let mut line = Line { text: String::new(), start: column, size: interp.out.linesize };
    let mut error = false;
    let mut newline = true;
    let mut rest = s.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') && !line.text.is_empty() {
                line.text.push(' ');
            }
            continue;
        }
        let (word, after) = text::command_word(rest);
        if matches!(word, "as" | "in") && after.starts_with(char::is_whitespace) {
            let (style, tail) = text::command_word(after);
            error = text::abbreviates(style, "error", 3) || style == "red";
            rest = tail.trim_start();
            continue;
        }
        if word.starts_with('_')
            && let Some(tail) = directive(interp, word, after, &mut line, &mut newline)?
        {
            rest = tail;
            continue;
        }
        rest = if rest.starts_with('%') {
            formatted(interp, rest, &mut line)?
        } else {
            value(interp, rest, None, &mut line)?
        };
    }
    if newline {
        line.text.push('\n');
    }
    Ok((line.text, error))
}

/// The line being composed.
struct Line {
    text: String,
    start: usize,
    size: usize,
}

impl Line {
    fn column(&self) -> usize {
        match self.text.rfind('\n') {
            Some(at) => self.text[at + 1..].chars().count(),
            None => self.start + self.text.chars().count(),
        }
    }

    fn fill_to(&mut self, column: usize) {
        let now = self.column();
        self.text.extend(std::iter::repeat_n(' ', column.saturating_sub(now)));
    }
}

/// `_continue`, `_newline(#)`, `_skip(#)`, `_column(#)`, `_dup(#)`; `None` if the word is something else.
fn directive<'a>(
    interp: &Interp,
    word: &str,
    after: &'a str,
    line: &mut Line,
    newline: &mut bool,
) -> Outcome<Option<&'a str>> {
    let is = |full, min| text::abbreviates(word, full, min);
    if is("_continue", 2) && !is("_column", 4) {
        *newline = false;
        return Ok(Some(after.trim_start()));
    }
    let (count, tail) = match after.strip_prefix('(') {
        Some(inner) => {
            let end = inner.find(')').ok_or_else(Stop::syntax)?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
            let n = interp.eval_number(&inner[..end])?.clamp(0.0, 10_000.0) as usize;
            (n, inner[end + 1..].trim_start())
        }
        None => (1, after.trim_start()),
    };
    if is("_newline", 2) {
        line.text.push_str(&"\n".repeat(count));
    } else if is("_skip", 2) {
        line.text.push_str(&" ".repeat(count));
    } else if is("_column", 4) {
        line.fill_to(count.saturating_sub(1));
    } else if is("_dup", 4) {
        let (piece, tail) = text::token(tail);
        line.text.push_str(&smcl(&piece, line.column(), line.size).repeat(count));
        return Ok(Some(tail.trim_start()));
    } else {
        return Ok(None);
    }
    Ok(Some(tail))
}

/// `%9.2f exp`.
fn formatted<'a>(interp: &Interp, s: &'a str, line: &mut Line) -> Outcome<&'a str> {
    let end = s.find(|c: char| c.is_whitespace() || c == '(' || c == '"').unwrap_or(s.len());
    let format =
        Format::parse(&s[..end]).ok_or_else(|| Stop::new(120, format!("invalid %format \"{}\"", &s[..end])))?;
    value(interp, s[end..].trim_start(), Some(&format), line)
}

/// An expression, as far as it goes.
fn value<'a>(interp: &Interp, s: &'a str, format: Option<&Format>, line: &mut Line) -> Outcome<&'a str> {
    let (expr, used) = parse::parse_prefix(s)?;
    let value = eval::value(interp, &expr, None)?;
    let text = match (&value, format) {
        (Value::Num(x), None) => display_number(*x),
        (Value::Num(_), Some(f)) if f.is_string() => return Err(ExprError::types().into()),
        (Value::Num(x), Some(f)) => f.number(*x),
        (Value::Str(s), None) => smcl(s, line.column(), line.size),
        (Value::Str(s), Some(f)) => f.string(&smcl(s, line.column(), line.size)),
    };
    line.text.push_str(&text);
    Ok(s[used..].trim_start())
}

/// Turns the SMCL that do-files print into text; unknown braces stay.
pub(crate) fn smcl(s: &str, column: usize, size: usize) -> String {
    let mut out = String::new();
    let mut rest = s;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else { break };
        let tag = &rest[at + 1..at + end];
        match tag_text(tag, column + out.chars().count(), size) {
            Some(text) => {
                out.push_str(&text);
                rest = &rest[at + end + 1..];
            }
            None => {
                out.push('{');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn tag_text(tag: &str, column: usize, size: usize) -> Option<String> {
    if let Some((style, inner)) = tag.split_once(':') {
        let style = style.trim();
        if let Some(n) = style.strip_prefix("dup ") {
            return Some(inner.repeat(n.trim().parse().ok()?));
        }
        return is_style(style).then(|| inner.to_owned());
    }
    let (name, arg) = text::word(tag);
    let number = || arg.trim().parse::<usize>().ok();
    Some(match (name, arg) {
        (".-", "") => "-".repeat(size),
        ("hline", "") => "-".repeat(size.saturating_sub(column)),
        ("hline", _) => "-".repeat(number()?),
        ("space", _) => " ".repeat(number()?),
        ("col", _) => " ".repeat(number()?.saturating_sub(column + 1)),
        ("break", "") => "\n".to_owned(),
        ("c", "|") => "|".to_owned(),
        ("c", "-(") => "{".to_owned(),
        ("c", ")-") => "}".to_owned(),
        ("c", "+" | "TT" | "BT" | "LT" | "RT" | "TLC" | "TRC" | "BLC" | "BRC") => "+".to_owned(),
        ("ul", "on" | "off") => String::new(),
        _ if arg.is_empty() && is_style(name) => String::new(),
        _ => return None,
    })
}

fn is_style(name: &str) -> bool {
    matches!(
        name,
        "txt"
            | "text"
            | "res"
            | "result"
            | "err"
            | "error"
            | "inp"
            | "input"
            | "com"
            | "cmd"
            | "bf"
            | "it"
            | "sf"
            | "ul"
            | "reset"
            | "smcl"
    )
}

/// `_dots 0, title(...) reps(#)` and `_dots # #`.
pub(crate) fn dots(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let words: Vec<&str> = main.split_whitespace().collect();
    let number = |w: &str| interp.eval_number(w);
    let count = words.first().map_or(Ok(0.0), |w| number(w))?;
    let status = words.get(1).map_or(Ok(0.0), |w| number(w))?;
    if count <= 0.0 {
        let opts = text::options(opts);
        let get = |name: &str| opts.iter().find(|(o, _)| o == name).and_then(|(_, a)| a.clone());
        if let Some(title) = get("title") {
            let reps = get("reps").map_or_else(String::new, |r| format!(" ({})", r.trim()));
            interp.out.println(&format!("{}{reps}", text::unquote(&title)));
        }
        interp.out.println("----+--- 1 ---+--- 2 ---+--- 3 ---+--- 4 ---+--- 5 ");
        interp.dots = 0;
        return Ok(());
    }
    interp.out.print(match status {
        0.0 => ".",
        -1.0 => "s",
        2.0 => "e",
        3.0 => "n",
        1.0 => "x",
        _ => "?",
    });
    interp.dots += 1;
    if count % 50.0 == 0.0 {
        interp.out.println(&format!("{count:>6}"));
        interp.dots = 0;
    }
    Ok(())
}
