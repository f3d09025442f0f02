//! `collapse`: one observation for each group.

use super::data::{parts, varlist};
use super::merge::{Cell, groups};
use crate::data::{Column, Table, Values};
use crate::expr::functions::size;
use crate::expr::{ExprError, MISSING, is_missing};
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// A variable of the result.
struct Target {
    stat: String,
    from: String,
    name: String,
}

/// `collapse [(stat)] varlist … [(stat) new=old …] [if] [in], by(varlist)`.
pub(crate) fn collapse(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    if parts.main.contains('[') {
        return Err(Stop::new(101, "weights not allowed in the stand-in"));
    }
    let (mut by, mut casewise) = (Vec::new(), false);
    for (option, value) in text::options(parts.options) {
        match value {
            Some(list) if option == "by" => by = varlist(interp, &list)?,
            None if option == "cw" => casewise = true,
            None if option == "fast" => {}
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    let targets = targets(interp, parts.main)?;
    for (i, t) in targets.iter().enumerate() {
        if by.contains(&t.name) || targets[..i].iter().any(|u| u.name == t.name) {
            return Err(Stop::new(198, format!("error:\n  name conflict:  variable {} is made twice", t.name)));
        }
        let numeric = matches!(interp.data.column(&t.from).map(|c| &c.values), Some(Values::Num(_)));
        if !numeric && !matches!(t.stat.as_str(), "count" | "first" | "last" | "firstnm" | "lastnm") {
            return Err(ExprError::types().into());
        }
    }
    let mut keep = parts.sample(interp)?;
    if casewise {
        for t in &targets {
            let Some(column) = interp.data.column(&t.from) else { continue };
            keep.iter_mut().enumerate().for_each(|(i, k)| *k &= !absent(column, i));
        }
    }
    let mut data = interp.data.clone();
    data.retain(&keep);
    if data.nobs == 0 {
        return Err(Stop::new(2000, "no observations"));
    }
    interp.data = collapsed(&data, &targets, &by);
    Ok(())
}

fn absent(column: &Column, i: usize) -> bool {
    match &column.values {
        Values::Num(v) => is_missing(v[i]),
        Values::Str(v) => v[i].is_empty(),
    }
}

fn targets(interp: &Interp, main: &str) -> Outcome<Vec<Target>> {
    let mut stat = "mean".to_owned();
    let mut out = Vec::new();
    let mut rest = main.replace('=', " = ");
    // `new = old` as one word, then everything is a word or a statistic in parentheses.
    while rest.contains("  ") {
        rest = rest.replace("  ", " ");
    }
    let rest = rest.replace(" = ", "=");
    for word in rest.replace('(', " (").replace(')', ") ").split_whitespace() {
        if let Some(name) = word.strip_prefix('(').and_then(|w| w.strip_suffix(')')) {
            if !known(name) {
                return Err(Stop::new(198, format!("statistic {name} not allowed in the stand-in")));
            }
            name.clone_into(&mut stat);
            continue;
        }
        let (name, list) = word.split_once('=').map_or((None, word), |(n, l)| (Some(n), l));
        for from in varlist(interp, list)? {
            let name = name.map_or_else(|| from.clone(), str::to_owned);
            if !text::is_name(&name) {
                return Err(Stop::new(198, format!("{name} invalid name")));
            }
            out.push(Target { stat: stat.clone(), from, name });
        }
    }
    if out.is_empty() { Err(Stop::new(100, "varlist required")) } else { Ok(out) }
}

fn known(stat: &str) -> bool {
    const NAMES: &[&str] = &[
        "mean", "sum", "rawsum", "count", "sd", "semean", "min", "max", "median", "iqr", "first", "last", "firstnm",
        "lastnm",
    ];
    NAMES.contains(&stat) || percentile_of(stat).is_some()
}

/// `p25` -> 25.
fn percentile_of(stat: &str) -> Option<f64> {
    let p: u8 = stat.strip_prefix('p')?.parse().ok()?;
    (1..=99).contains(&p).then_some(f64::from(p))
}

fn collapsed(data: &Table, targets: &[Target], by: &[String]) -> Table {
    let mut groups = groups(data, by);
    if by.is_empty() {
        groups = [(Vec::new(), (0..data.nobs).collect())].into();
    }
    let mut columns = Vec::new();
    for (k, name) in by.iter().enumerate() {
        let Some(column) = data.column(name) else { continue };
        let cells = groups.keys().filter_map(|key| key.get(k));
        let values = match &column.values {
            Values::Num(_) => Values::Num(cells.map(|c| if let Cell::Num(x) = c { *x } else { MISSING }).collect()),
            Values::Str(_) => {
                Values::Str(cells.map(|c| if let Cell::Str(s) = c { s.clone() } else { String::new() }).collect())
            }
        };
        columns.push(Column { name: name.clone(), kind: column.kind.clone(), values });
    }
    for target in targets {
        let Some(column) = data.column(&target.from) else { continue };
        let rows = groups.values();
        let picked = |rows: &Vec<usize>| place(&target.stat, column, rows);
        let values = match &column.values {
            Values::Str(v) if target.stat != "count" => {
                Values::Str(rows.map(|r| picked(r).map(|i| v[i].clone()).unwrap_or_default()).collect())
            }
            Values::Num(v) => Values::Num(
                rows.map(|r| match picked(r) {
                    Some(i) => v[i],
                    None => statistic(&target.stat, r.iter().map(|i| v[*i]).filter(|x| !is_missing(*x)).collect()),
                })
                .collect(),
            ),
            Values::Str(_) => {
                Values::Num(rows.map(|r| size(r.iter().filter(|i| !absent(column, **i)).count())).collect())
            }
        };
        columns.push(Column { name: target.name.clone(), kind: kind(&target.stat, &column.kind), values });
    }
    Table { columns, nobs: groups.len(), changed: true, sample: None }
}

/// Which observation a statistic picks, if it picks one.
fn place(stat: &str, column: &Column, rows: &[usize]) -> Option<usize> {
    let mut there = rows.iter().copied().filter(|i| !absent(column, *i));
    match stat {
        "first" => rows.first().copied(),
        "last" => rows.last().copied(),
        "firstnm" => there.next(),
        "lastnm" => there.next_back(),
        _ => None,
    }
}

/// The type of the result.
fn kind(stat: &str, from: &str) -> String {
    match stat {
        "min" | "max" | "first" | "last" | "firstnm" | "lastnm" => from,
        "count" => "long",
        "sum" | "rawsum" => "double",
        _ if matches!(from, "long" | "double") => "double",
        _ => "float",
    }
    .to_owned()
}

/// A statistic of numbers that are there.
fn statistic(stat: &str, mut x: Vec<f64>) -> f64 {
    let n = size(x.len());
    let sum: f64 = x.iter().sum();
    match stat {
        "count" => return n,
        "sum" | "rawsum" => return sum,
        _ if x.is_empty() => return MISSING,
        "mean" => return sum / n,
        "sd" | "semean" => {
            if x.len() < 2 {
                return MISSING;
            }
            let mean = sum / n;
            let sd = (x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0)).sqrt();
            return if stat == "sd" { sd } else { sd / n.sqrt() };
        }
        _ => {}
    }
    x.sort_by(f64::total_cmp);
    match stat {
        "min" => x[0],
        "max" => x[x.len() - 1],
        "iqr" => percentile(&x, 75.0) - percentile(&x, 25.0),
        _ => percentile(&x, percentile_of(stat).unwrap_or(50.0)),
    }
}

/// Stata's definition: the first value past `p` per cent of the weight, or the middle of two where it is met exactly.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let at = size(sorted.len()) * p / 100.0;
    let whole = (at + 1e-9).floor();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below the number of values
    let i = whole as usize;
    let last = sorted.len() - 1;
    if (at - whole).abs() < 1e-9 && i > 0 {
        return f64::midpoint(sorted[(i - 1).min(last)], sorted[i.min(last)]);
    }
    sorted[i.min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_stata() {
        let check = |stat: &str, x: &[f64], want: f64| {
            let found = statistic(stat, x.to_vec());
            assert!((found - want).abs() < 1e-12 || is_missing(want) && is_missing(found), "{stat} {x:?}: {found}");
        };
        check("mean", &[1.0, 2.0, 6.0], 3.0);
        check("sd", &[1.0, 2.0, 6.0], 7f64.sqrt());
        check("semean", &[1.0, 2.0, 6.0], (7.0 / 3.0f64).sqrt());
        check("sd", &[1.0], MISSING);
        check("mean", &[], MISSING);
        check("sum", &[], 0.0);
        check("count", &[], 0.0);
        check("median", &[4.0, 1.0, 2.0], 2.0);
        check("median", &[4.0, 1.0, 2.0, 3.0], 2.5);
        check("p25", &[1.0, 2.0, 3.0, 4.0], 1.5);
        check("p10", &[1.0, 2.0, 3.0, 4.0], 1.0);
        check("p99", &[1.0, 2.0, 3.0, 4.0], 4.0);
        check("iqr", &[1.0, 2.0, 3.0, 4.0], 2.0);
        check("max", &[1.0, 9.0, 3.0], 9.0);
    }
}
