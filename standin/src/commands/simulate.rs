//! `simulate`: a command repeated, and what it returns as the new data.

use super::replicate::{self, Wanted};
use crate::data::{Column, Table, Values, store};
use crate::expr::{MISSING, Value};
use crate::interp::{Interp, Outcome, Stop};
use crate::stored::Stored;

/// Options that there are.
const ALLOWED: &[&str] = &["reps", "seed", "dots", "nodots", "noisily", "nolegend", "saving"];

/// `simulate [explist], reps(#) [options]: command`.
pub(crate) fn simulate(interp: &mut Interp, s: &str) -> Outcome {
    let prefix = replicate::prefix(interp, s, ALLOWED)?;
    let reps = prefix.reps.ok_or_else(|| Stop::new(198, "option reps() required"))?;

    // Once to see whether it works and what it returns; nothing of that counts.
    let (data, random) = (interp.data.clone(), interp.rng.get());
    let estimates = replicate::first(interp, "simulate", &prefix)?;
    let named = names(interp, &prefix.wanted, estimates)?;
    interp.data = data;
    interp.rng.set(random);

    if prefix.legend {
        let explicit = prefix.wanted.iter().any(|w| matches!(w, Wanted::Exp(..))) || prefix.wanted.is_empty();
        let shown = if explicit { named.as_slice() } else { &[] };
        interp.out.print(&replicate::legend(interp, &prefix.command, shown));
    }
    if prefix.dots > 0 {
        interp.out.print("\n");
    }
    let exps: Vec<String> = named.iter().map(|(_, exp)| exp.clone()).collect();
    let rows = replicate::repeat(interp, "Simulations", reps, &prefix, |_| {}, |i| replicate::values(i, &exps))?;
    interp.data = table(named, &rows);
    match &prefix.saving {
        Some(file) => super::dta::save_table(interp, file),
        None => Ok(()),
    }
}

/// Each statistic's variable and expression. Without a list: the coefficients of a command that estimates, else every
/// number in `r()`.
fn names(interp: &Interp, wanted: &[Wanted], estimates: bool) -> Outcome<Vec<(String, String)>> {
    let implied = [Wanted::Coefficients];
    let wanted = if wanted.is_empty() && estimates { &implied } else { wanted };
    let mut named: Vec<(String, String)> = Vec::new();
    let each = |prefix: &str| -> Outcome<Vec<(String, String)>> {
        let b = interp.estimates.matrix("b").ok_or_else(|| Stop::new(301, "last estimates not found"))?;
        let joint = |column: &str| if column.starts_with('_') { "" } else { "_" };
        let one = |c: &String| (format!("{prefix}{}{c}", joint(c)), format!("{prefix}[{c}]"));
        Ok(b.columns.iter().map(one).collect())
    };
    for (i, one) in wanted.iter().enumerate() {
        match one {
            Wanted::Coefficients => named.extend(each("_b")?),
            Wanted::Errors => named.extend(each("_se")?),
            Wanted::Exp(name, exp) => {
                named.push((name.clone().unwrap_or_else(|| format!("_sim_{}", i + 1)), exp.clone()));
            }
        }
    }
    if wanted.is_empty() {
        named = scalars(&interp.results);
    }
    let twice = named.iter().enumerate().find(|(i, (n, _))| named[..*i].iter().any(|(m, _)| m == n));
    match twice {
        Some((_, (name, _))) => Err(Stop::new(110, format!("variable {name} already defined"))),
        None if named.is_empty() => Err(Stop::new(100, "expression list required")),
        None => Ok(named),
    }
}

fn scalars(results: &Stored) -> Vec<(String, String)> {
    let names = results.names("scalars").unwrap_or_default();
    let numbers = names.split(' ').filter(|n| matches!(results.get(n), Some(Value::Num(_))));
    numbers.map(|n| (n.to_owned(), format!("r({n})"))).collect()
}

/// A variable for each statistic and an observation for each repetition; one that failed is missing throughout.
fn table(named: Vec<(String, String)>, rows: &[Option<Vec<f64>>]) -> Table {
    let column = |(j, (name, _)): (usize, (String, String))| Column {
        name,
        kind: "float".to_owned(),
        values: Values::Num(rows.iter().map(|r| r.as_ref().map_or(MISSING, |r| store(r[j], "float"))).collect()),
    };
    let columns = named.into_iter().enumerate().map(column).collect();
    Table { columns, nobs: rows.len(), changed: true, sample: None }
}
