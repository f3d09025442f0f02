//! Commands that change the data in memory.

use crate::data::{Column, Values, store};
use crate::expr::eval::{self, Env};
use crate::expr::format::with_commas;
use crate::expr::functions::wildcard;
use crate::expr::parse::{self, Expr};
use crate::expr::{ExprError, Value, is_missing};
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// The names a list of variables means: wildcards, ranges, `_all`, abbreviations.
pub(crate) fn varlist(interp: &Interp, s: &str) -> Outcome<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    let missing = |n: &str| Stop::new(111, format!("variable {n} not found"));
    for word in s.split_whitespace() {
        let columns = &interp.data.columns;
        if word == "_all" || word.contains(['*', '?']) {
            let pattern = if word == "_all" { "*" } else { word };
            let hits: Vec<String> = columns.iter().map(|c| c.name.clone()).filter(|n| wildcard(n, pattern)).collect();
            if hits.is_empty() && word != "_all" && word != "*" {
                return Err(missing(word));
            }
            out.extend(hits);
        } else if let Some((a, b)) = word.split_once('-') {
            let at = |n: &str| columns.iter().position(|c| c.name == n).ok_or_else(|| missing(n));
            let (a, b) = (at(a)?, at(b)?);
            out.extend(columns.get(a..=b).unwrap_or_default().iter().map(|c| c.name.clone()));
        } else {
            let column = interp.named_column(word).ok_or_else(|| missing(word))?;
            out.push(column.name.clone());
        }
    }
    Ok(out)
}

/// A command's parts: what comes first, `if`, `in`, options.
pub(crate) struct Parts<'a> {
    /// Before the qualifiers.
    pub(crate) main: &'a str,
    condition: Option<&'a str>,
    range: Option<&'a str>,
    /// After the comma.
    pub(crate) options: &'a str,
}

/// Takes a command apart.
pub(crate) fn parts(s: &str) -> Parts<'_> {
    let (head, options) = text::split_options(s);
    let at_if = text::find_word(head, "if");
    let at_in = text::find_word(head, "in");
    let end = at_if.unwrap_or(head.len()).min(at_in.unwrap_or(head.len()));
    let cut = |at: Option<usize>, other: Option<usize>| {
        at.map(|at| {
            let stop = other.filter(|o| *o > at).unwrap_or(head.len());
            head[at + 2..stop].trim()
        })
    };
    Parts { main: head[..end].trim(), condition: cut(at_if, at_in), range: cut(at_in, at_if), options }
}

impl Parts<'_> {
    /// Whether there is an `if` or `in`.
    pub(crate) fn qualified(&self) -> bool {
        self.condition.is_some() || self.range.is_some()
    }

    /// Which observations are meant.
    pub(crate) fn sample(&self, interp: &Interp) -> Outcome<Vec<bool>> {
        let n = interp.data.nobs;
        let mut keep = vec![true; n];
        if let Some(range) = self.range {
            let (from, to) = in_range(interp, range)?;
            for (i, k) in keep.iter_mut().enumerate() {
                *k = (from..=to).contains(&(i + 1));
            }
        }
        if let Some(condition) = self.condition {
            let expr = parse::parse(condition)?;
            check_names(interp, &expr)?;
            for (i, k) in keep.iter_mut().enumerate().filter(|(_, k)| **k) {
                match eval::value(interp, &expr, Some(i))? {
                    Value::Str(_) => return Err(ExprError::types().into()),
                    v => *k = v.truth(),
                }
            }
        }
        Ok(keep)
    }
}

/// An empty table evaluates nothing, but an unknown name is still an error.
fn check_names(interp: &Interp, expr: &Expr) -> Outcome {
    if interp.data.nobs == 0 {
        eval::value(interp, expr, Some(0))?;
    }
    Ok(())
}

fn in_range(interp: &Interp, s: &str) -> Outcome<(usize, usize)> {
    let n = i64::try_from(interp.data.nobs).unwrap_or(i64::MAX);
    let place = |t: &str| -> Outcome<i64> {
        let t = t.trim();
        Ok(match t {
            "f" | "F" => 1,
            "l" | "L" => n,
            _ => match t.parse::<i64>().map_err(|_| Stop::syntax())? {
                x if x < 0 => n + 1 + x,
                x => x,
            },
        })
    };
    let (a, b) = match s.split_once('/') {
        Some((a, b)) => (place(a)?, place(b)?),
        None => (place(s)?, place(s)?),
    };
    if a < 1 || b > n || a > b {
        return Err(Stop::new(198, "observation numbers out of range"));
    }
    Ok((usize::try_from(a).unwrap_or(1), usize::try_from(b).unwrap_or(0)))
}

/// `1 real change made`, `1,141 observations deleted`.
fn counted(n: usize, noun: &str, verb: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("({} {noun}{s} {verb})", with_commas(&n.to_string()))
}

const TYPES: [&str; 5] = ["byte", "int", "long", "float", "double"];

fn is_string_type(s: &str) -> bool {
    s == "strL" || s.strip_prefix("str").is_some_and(|n| n.is_empty() || n.chars().all(|c| c.is_ascii_digit()))
}

/// `generate [type] name = exp [if] [in]`.
pub(crate) fn generate(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    let (left, exp) = split_assignment(parts.main)?;
    let words: Vec<&str> = left.split_whitespace().collect();
    let (kind, name) = match words.as_slice() {
        [name] => (None, *name),
        [kind, name] if TYPES.contains(kind) || is_string_type(kind) => (Some(*kind), *name),
        _ => return Err(Stop::syntax()),
    };
    if !text::is_name(name) {
        return Err(Stop::new(198, format!("{name} invalid name")));
    }
    if interp.data.column(name).is_some() {
        return Err(Stop::new(110, format!("variable {name} already defined")));
    }
    let expr = parse::parse(exp)?;
    let sample = parts.sample(interp)?;
    let wants_string = matches!(eval::value(interp, &expr, Some(0))?, Value::Str(_));
    if kind.is_some_and(|k| is_string_type(k) != wants_string) {
        return Err(ExprError::types().into());
    }
    let n = interp.data.nobs;
    let column = if wants_string {
        let mut values = vec![String::new(); n];
        for i in (0..n).filter(|i| sample[*i]) {
            if let Value::Str(s) = eval::value(interp, &expr, Some(i))? {
                values[i] = s;
            }
        }
        let blank = values.iter().filter(|v| v.is_empty()).count();
        note(interp, blank, "missing value", "generated");
        let longest = values.iter().map(String::len).max().unwrap_or(1).max(1);
        // A width that was given cuts what is longer.
        let width = kind.and_then(|k| k.strip_prefix("str")?.parse().ok()).unwrap_or(longest);
        for value in &mut values {
            let end = (0..=width.min(value.len())).rev().find(|i| value.is_char_boundary(*i));
            value.truncate(end.unwrap_or(0));
        }
        let kind = if kind == Some("strL") { "strL".to_owned() } else { format!("str{width}") };
        Column { name: name.to_owned(), kind, values: Values::Str(values) }
    } else {
        let kind = kind.unwrap_or(&interp.set.kind).to_owned();
        let mut values = vec![crate::expr::MISSING; n];
        for i in (0..n).filter(|i| sample[*i]) {
            if let Value::Num(x) = eval::value(interp, &expr, Some(i))? {
                values[i] = store(x, &kind);
            }
        }
        let blank = values.iter().filter(|v| is_missing(**v)).count();
        note(interp, blank, "missing value", "generated");
        Column { name: name.to_owned(), kind, values: Values::Num(values) }
    };
    interp.data.columns.push(column);
    interp.data.changed = true;
    Ok(())
}

fn note(interp: &mut Interp, n: usize, noun: &str, verb: &str) {
    if n > 0 {
        interp.out.println(&counted(n, noun, verb));
    }
}

/// Splits `name = exp` at the assignment, not at a comparison.
fn split_assignment(s: &str) -> Outcome<(&str, &str)> {
    let at = s.find('=').filter(|at| !s[at + 1..].starts_with('=')).ok_or_else(Stop::syntax)?;
    Ok((s[..at].trim(), s[at + 1..].trim()))
}

/// `replace name = exp [if] [in]`.
pub(crate) fn replace(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    let (name, exp) = split_assignment(parts.main)?;
    let name = varlist(interp, name)?.first().cloned().ok_or_else(Stop::syntax)?;
    let expr = parse::parse(exp)?;
    let sample = parts.sample(interp)?;
    check_names(interp, &expr)?;
    let at = interp.data.columns.iter().position(|c| c.name == name).ok_or_else(Stop::syntax)?;
    let (mut changes, mut blanked) = (0, 0);
    for i in (0..interp.data.nobs).filter(|i| sample[*i]) {
        let new = eval::value(interp, &expr, Some(i))?;
        let old = interp.name(&name, Some(i));
        let column = &mut interp.data.columns[at];
        match (&mut column.values, new) {
            (Values::Num(v), Value::Num(x)) => {
                // Replacing never overflows a type: Stata promotes it.
                let wanted = store(x, &column.kind);
                let fits =
                    is_missing(x) || column.kind == "float" || !is_missing(wanted) && (wanted - x).abs() < f64::EPSILON;
                if !fits {
                    "double".clone_into(&mut column.kind);
                }
                v[i] = if fits { wanted } else { x };
                let changed = old != Some(Value::Num(v[i]));
                changes += usize::from(changed);
                blanked += usize::from(changed && is_missing(v[i]));
            }
            (Values::Str(v), Value::Str(s)) => {
                changes += usize::from(v[i] != s);
                blanked += usize::from(v[i] != s && s.is_empty());
                v[i] = s;
            }
            _ => return Err(ExprError::types().into()),
        }
    }
    widen(interp, at);
    interp.data.changed |= changes > 0;
    let verb =
        if blanked > 0 { format!("made, {} to missing", with_commas(&blanked.to_string())) } else { "made".into() };
    interp.out.println(&counted(changes, "real change", &verb));
    Ok(())
}

/// A string variable grows with its longest value, and says so.
fn widen(interp: &mut Interp, at: usize) {
    let column = &mut interp.data.columns[at];
    let Values::Str(v) = &column.values else { return };
    let width = v.iter().map(String::len).max().unwrap_or(1).max(1);
    let now: usize = column.kind.trim_start_matches("str").parse().unwrap_or(usize::MAX);
    if width > now {
        let text = format!("variable {} was {} now str{width}", column.name, column.kind);
        column.kind = format!("str{width}");
        interp.out.println(&text);
    }
}

/// `drop varlist`, `drop if`, `drop in`.
pub(crate) fn drop_command(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    if parts.main.is_empty() && !parts.qualified() {
        return Err(Stop::new(198, "varlist or if exp or in range required"));
    }
    if parts.qualified() {
        let keep: Vec<bool> = parts.sample(interp)?.into_iter().map(|k| !k).collect();
        return retain(interp, &keep);
    }
    let names = varlist(interp, parts.main)?;
    interp.data.columns.retain(|c| !names.contains(&c.name));
    tidy(interp);
    Ok(())
}

/// `keep varlist`, `keep if`, `keep in`.
pub(crate) fn keep(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    if parts.main.is_empty() && !parts.qualified() {
        return Err(Stop::new(198, "varlist or if exp or in range required"));
    }
    if parts.qualified() {
        let keep = parts.sample(interp)?;
        return retain(interp, &keep);
    }
    let names = varlist(interp, parts.main)?;
    interp.data.columns.retain(|c| names.contains(&c.name));
    tidy(interp);
    Ok(())
}

fn retain(interp: &mut Interp, keep: &[bool]) -> Outcome {
    let gone = interp.data.retain(keep);
    interp.out.println(&counted(gone, "observation", "deleted"));
    Ok(())
}

/// A table without variables has no observations either.
fn tidy(interp: &mut Interp) {
    interp.data.changed = true;
    if interp.data.columns.is_empty() {
        interp.data.nobs = 0;
    }
}

/// `rename old new`.
pub(crate) fn rename(interp: &mut Interp, s: &str) -> Outcome {
    let words: Vec<&str> = s.split_whitespace().collect();
    let [old, new] = words.as_slice() else { return Err(Stop::syntax()) };
    let old = varlist(interp, old)?.remove(0);
    if !text::is_name(new) {
        return Err(Stop::new(198, format!("{new} invalid name")));
    }
    if interp.data.column(new).is_some() {
        return Err(Stop::new(110, format!("variable {new} already defined")));
    }
    for c in interp.data.columns.iter_mut().filter(|c| c.name == old) {
        (*new).clone_into(&mut c.name);
    }
    Ok(())
}

/// `sort varlist`: stable, missing values last.
pub(crate) fn sort(interp: &mut Interp, s: &str) -> Outcome {
    let names = varlist(interp, text::split_options(s).0)?;
    if names.is_empty() {
        return Err(Stop::new(100, "varlist required"));
    }
    let mut order: Vec<usize> = (0..interp.data.nobs).collect();
    let columns: Vec<&Values> = names.iter().filter_map(|n| interp.data.column(n)).map(|c| &c.values).collect();
    order.sort_by(|a, b| {
        for c in &columns {
            let by = match c {
                Values::Num(v) => v[*a].total_cmp(&v[*b]),
                Values::Str(v) => v[*a].cmp(&v[*b]),
            };
            if by.is_ne() {
                return by;
            }
        }
        std::cmp::Ordering::Equal
    });
    interp.data.reorder(&order);
    Ok(())
}

/// `preserve`.
pub(crate) fn preserve(interp: &mut Interp, _: &str) -> Outcome {
    let depth = interp.frames.len();
    if interp.preserved.last().is_some_and(|(_, d)| *d == depth) {
        return Err(Stop::new(621, "already preserved"));
    }
    interp.preserved.push((interp.data.clone(), depth));
    Ok(())
}

/// `restore [, not preserve]`.
pub(crate) fn restore(interp: &mut Interp, s: &str) -> Outcome {
    let here = interp.frames.len();
    let nothing = || Stop::new(622, "nothing to restore");
    let (table, depth) = interp.preserved.pop_if(|(_, depth)| *depth == here).ok_or_else(nothing)?;
    let opts = text::options(s);
    if opts.iter().any(|(o, _)| o == "not") {
        return Ok(());
    }
    if opts.iter().any(|(o, _)| o == "preserve") {
        interp.preserved.push((table.clone(), depth));
    }
    interp.data = table;
    Ok(())
}
