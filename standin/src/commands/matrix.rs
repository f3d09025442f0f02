//! Matrices: a few ways to make them, their names, and `matrix list`. Others are refused.

use crate::data::Values;
use crate::expr::format::Format;
use crate::expr::{ExprError, Value};
use crate::interp::{Interp, Outcome, Stop};
use crate::stored::Matrix;
use crate::text;

/// Columns that `matrix list` prints side by side.
const SIDE_BY_SIDE: usize = 6;

/// `matrix list|dir|drop|rownames|colnames`, `matrix [define] name = …`.
pub(crate) fn matrix(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::command_word(s);
    let rest = rest.trim();
    if rest.starts_with('=') {
        return define(interp, s);
    }
    match verb {
        "drop" => {
            for name in rest.split_whitespace() {
                if name == "_all" {
                    interp.matrices.clear();
                } else if interp.matrices.remove(name).is_none() {
                    return Err(not_found(name));
                }
            }
            Ok(())
        }
        "dir" => {
            let rows = interp.matrices.iter();
            let text: String = rows.map(|(n, m)| format!("{n:>13}[{},{}]\n", m.rows.len(), m.columns.len())).collect();
            interp.out.print(&text);
            Ok(())
        }
        "rownames" | "colnames" => {
            let (name, names) = rest.split_once('=').ok_or_else(Stop::syntax)?;
            let name = name.trim();
            let names = text::tokens(names);
            let m = interp.matrices.get_mut(name).ok_or_else(|| not_found(name))?;
            let old = if verb == "rownames" { &mut m.rows } else { &mut m.columns };
            let last = names.last().cloned().ok_or_else(Stop::syntax)?;
            for (i, have) in old.iter_mut().enumerate() {
                names.get(i).unwrap_or(&last).clone_into(have);
            }
            Ok(())
        }
        _ if text::abbreviates(verb, "list", 1) => list(interp, rest),
        _ if text::abbreviates(verb, "define", 3) => define(interp, rest),
        _ => Err(Stop::new(198, "the stand-in has only matrix list, dir, drop, define, rownames and colnames")),
    }
}

pub(crate) fn not_found(name: &str) -> Stop {
    Stop::new(111, format!("matrix {name} not found"))
}

fn define(interp: &mut Interp, s: &str) -> Outcome {
    let (name, right) = s.split_once('=').ok_or_else(Stop::syntax)?;
    let (name, right) = (name.trim(), right.trim());
    if !text::is_name(name) {
        return Err(Stop::new(198, format!("{name} invalid name")));
    }
    let made = match right.strip_prefix('(').and_then(|r| r.strip_suffix(')')) {
        Some(cells) if !right.starts_with("r(") && !right.starts_with("e(") => literal(interp, cells)?,
        _ => named(interp, right).ok_or_else(|| {
            Stop::new(111, format!("{right} not found (the stand-in copies matrices and reads (1, 2 \\ 3, 4))"))
        })?,
    };
    interp.matrices.insert(name.to_owned(), made);
    Ok(())
}

/// The matrix that `M`, `r(M)` or `e(M)` names.
pub(crate) fn named(interp: &Interp, s: &str) -> Option<Matrix> {
    let s = s.trim();
    for (class, stored) in [("r", &interp.results), ("e", &interp.estimates)] {
        if let Some(name) = s.strip_prefix(class).and_then(|r| r.strip_prefix('(')).and_then(|r| r.strip_suffix(')')) {
            return stored.matrix(name.trim()).cloned();
        }
    }
    interp.matrices.get(s).cloned()
}

fn literal(interp: &Interp, cells: &str) -> Outcome<Matrix> {
    let mut all = Vec::new();
    let (mut rows, mut columns) = (0, 0);
    for row in cells.split('\\') {
        let before = all.len();
        for cell in row.split(',') {
            all.push(interp.eval_number(cell)?);
        }
        rows += 1;
        if rows == 1 {
            columns = all.len();
        } else if all.len() - before != columns {
            return Err(Stop::new(503, "conformability error"));
        }
    }
    let names = |letter: char, n: usize| (1..=n).map(|i| format!("{letter}{i}")).collect();
    Ok(Matrix::new(names('r', rows), names('c', columns), all))
}

fn list(interp: &mut Interp, s: &str) -> Outcome {
    let (name, _) = text::split_options(s);
    let m = named(interp, name).ok_or_else(|| not_found(name))?;
    let symmetric = m.rows == m.columns
        && (0..m.rows.len()).all(|i| (0..i).all(|j| m.get(i, j).map(f64::to_bits) == m.get(j, i).map(f64::to_bits)));
    let kind = if symmetric && m.rows.len() > 1 { "symmetric " } else { "" };
    let mut text = format!("\n{kind}{name}[{},{}]\n", m.rows.len(), m.columns.len());
    let label = m.rows.iter().map(|r| r.chars().count()).max().unwrap_or(0);
    let format = Format::general(9);
    for from in (0..m.columns.len()).step_by(SIDE_BY_SIDE) {
        let to = (from + SIDE_BY_SIDE).min(m.columns.len());
        let width = |j: usize| {
            let cells = (0..m.rows.len()).map(|i| format.number(m.get(i, j).unwrap_or_default()).trim().len());
            cells.max().unwrap_or(0).max(m.columns[j].chars().count())
        };
        let line = |label_text: &str, cells: Vec<String>| {
            let cells: String =
                cells.iter().enumerate().map(|(k, c)| format!("  {c:>w$}", w = width(from + k))).collect();
            format!("{label_text:>label$}{cells}\n")
        };
        text.push_str(&line("", m.columns[from..to].to_vec()));
        for (i, row) in m.rows.iter().enumerate() {
            let end = if symmetric { to.min(i + 1) } else { to };
            let cell = |j: usize| format.number(m.get(i, j).unwrap_or_default()).trim().to_owned();
            text.push_str(&line(row, (from..end.max(from)).map(cell).collect()));
        }
    }
    interp.out.print(&text);
    Ok(())
}

/// `` `: rowfullnames M' `` and its kin: the names, in quotes where asked or where they hold blanks.
pub(crate) fn names(interp: &Interp, which: &str, s: &str) -> Outcome<String> {
    let (name, options) = text::split_options(s);
    let m = named(interp, name).ok_or_else(|| not_found(name))?;
    let all = if which.starts_with("row") { m.rows } else { m.columns };
    let quoted = text::options(options).iter().any(|(o, _)| o == "quoted");
    let short =
        |n: String| if which.contains("full") { n } else { n.rsplit(':').next().unwrap_or_default().to_owned() };
    let show = |n: String| if quoted { format!("\"{}\"", short(n)) } else { short(n) };
    Ok(all.into_iter().map(show).collect::<Vec<_>>().join(" "))
}

/// `ereturn list|clear|post|scalar|local|matrix`.
pub(crate) fn ereturn(interp: &mut Interp, s: &str) -> Outcome {
    let (kind, rest) = text::command_word(s);
    let rest = rest.trim();
    let assigned = || rest.split_once('=').map(|(n, v)| (n.trim().to_owned(), v.trim())).ok_or_else(Stop::syntax);
    match kind {
        "list" | "li" => interp.out.print(&interp.estimates.listing("e")),
        "clear" => interp.estimates.clear(),
        "post" => {
            let (main, opts) = text::split_options(rest);
            let words: Vec<&str> = main.split_whitespace().collect();
            let marked = text::options(opts).into_iter().find(|(o, _)| text::abbreviates(o, "esample", 1));
            interp.data.sample = match marked.and_then(|(_, name)| name) {
                Some(name) => Some(marks(interp, name.trim())?),
                None => None,
            };
            let take = |name: &str| interp.matrices.get(name).cloned().ok_or_else(|| not_found(name));
            let mut posted = Vec::new();
            for (as_name, name) in ["b", "V"].iter().zip(&words) {
                posted.push((*as_name, take(name)?, (*name).to_owned()));
            }
            interp.estimates.clear();
            for (as_name, matrix, name) in posted {
                interp.estimates.insert_matrix(as_name, matrix);
                interp.matrices.remove(&name);
            }
            interp.estimates.insert("properties".into(), Value::Str(if words.len() > 1 { "b V" } else { "b" }.into()));
        }
        "scalar" | "sca" => {
            let (name, exp) = assigned()?;
            let value = interp.eval(exp)?;
            interp.estimates.insert(name, value);
        }
        "local" | "loc" => {
            let (name, value) = super::macros::defined(interp, rest)?;
            interp.estimates.insert(name, Value::Str(value));
        }
        "matrix" | "mat" => {
            let (name, from) = assigned()?;
            let matrix = named(interp, from).ok_or_else(|| not_found(from))?;
            interp.matrices.remove(from);
            interp.estimates.insert_matrix(&name, matrix);
        }
        _ => return Err(Stop::syntax()),
    }
    Ok(())
}

/// The observations that a variable marks, which goes.
fn marks(interp: &mut Interp, name: &str) -> Outcome<Vec<bool>> {
    let at = interp.data.columns.iter().position(|c| c.name == name);
    let at = at.ok_or_else(|| Stop::new(111, format!("variable {name} not found")))?;
    let Values::Num(values) = interp.data.columns.remove(at).values else { return Err(ExprError::types().into()) };
    Ok(values.into_iter().map(|x| x != 0.0).collect())
}

/// `sreturn list|clear|local`.
pub(crate) fn sreturn(interp: &mut Interp, s: &str) -> Outcome {
    let (kind, rest) = text::command_word(s);
    match kind {
        "list" | "li" => interp.out.print(&interp.sreturns.listing("s")),
        "clear" => interp.sreturns.clear(),
        "local" | "loc" => {
            let (name, value) = super::macros::defined(interp, rest.trim())?;
            interp.sreturns.insert(name, Value::Str(value));
        }
        _ => return Err(Stop::syntax()),
    }
    Ok(())
}

/// `_return hold|restore|drop|dir`: `r()` put aside and back.
pub(crate) fn hold(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::command_word(s);
    let (name, options) = text::split_options(rest);
    let unknown = || Stop::new(111, format!("{name} not found"));
    match verb {
        "hold" if interp.held.contains_key(name) => return Err(Stop::new(110, format!("{name} already defined"))),
        "hold" if text::is_name(name) => {
            let results = std::mem::take(&mut interp.results);
            interp.held.insert(name.to_owned(), results);
        }
        "restore" => {
            let results = interp.held.get(name).cloned().ok_or_else(unknown)?;
            interp.results = results;
            if !text::options(options).iter().any(|(o, _)| o == "hold") {
                interp.held.remove(name);
            }
        }
        "drop" if name == "_all" => interp.held.clear(),
        "drop" => {
            interp.held.remove(name).ok_or_else(unknown)?;
        }
        "dir" => {
            let text: String = interp.held.keys().map(|n| format!("{n}\n")).collect();
            interp.out.print(&text);
        }
        _ => return Err(Stop::syntax()),
    }
    Ok(())
}
