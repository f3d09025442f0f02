//! Commands that look at the data: `count`, `summarize`, `list`, `assert`.

use super::data::{parts, varlist};
use crate::data::Values;
use crate::expr::eval;
use crate::expr::format::{Format, with_commas};
use crate::expr::functions::size;
use crate::expr::parse;
use crate::expr::{Value, is_missing};
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// `count [if] [in]`.
pub(crate) fn count(interp: &mut Interp, s: &str) -> Outcome {
    let n = parts(s).sample(interp)?.iter().filter(|k| **k).count();
    interp.results.clear();
    interp.put_result("N", size(n));
    interp.out.println(&format!("  {}", with_commas(&n.to_string())));
    Ok(())
}

/// `assert exp`: of each observation, or of none if there is no data.
pub(crate) fn assert(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    let expr = parse::parse(parts.main)?;
    let n = interp.data.nobs;
    if n == 0 {
        return if eval::value(interp, &expr, None)?.truth() {
            Ok(())
        } else {
            Err(Stop::new(9, "assertion is false"))
        };
    }
    let sample = parts.sample(interp)?;
    let (mut wrong, mut total) = (0usize, 0usize);
    for i in (0..n).filter(|i| sample[*i]) {
        total += 1;
        wrong += usize::from(!eval::value(interp, &expr, Some(i))?.truth());
    }
    if wrong == 0 {
        return Ok(());
    }
    let msg = if uses_data(interp, parts.main) && total > 1 {
        let noun = if wrong == 1 { "contradiction" } else { "contradictions" };
        format!(
            "{} {noun} in {} observations\nassertion is false",
            with_commas(&wrong.to_string()),
            with_commas(&total.to_string())
        )
    } else {
        "assertion is false".to_owned()
    };
    Err(Stop::new(9, msg))
}

/// Whether any variable's name stands in the text.
fn uses_data(interp: &Interp, s: &str) -> bool {
    s.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == "_n" || interp.data.column(w).is_some())
}

/// `summarize [varlist] [if] [in] [, meanonly]`.
pub(crate) fn summarize(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    let names = varlist(interp, if parts.main.is_empty() { "_all" } else { parts.main })?;
    let sample = parts.sample(interp)?;
    let opts = text::options(parts.options);
    if let Some((bad, _)) = opts.iter().find(|(o, _)| !text::abbreviates(o, "meanonly", 4)) {
        return Err(Stop::new(198, format!("option {bad} not allowed")));
    }
    let deviation = if interp.faults.since(17.0) { "Std. dev." } else { "Std. Dev." };
    let mut text = format!(
        "\n    Variable |        Obs        Mean    {deviation}       Min        Max\n\
         -------------+---------------------------------------------------------\n",
    );
    for (i, name) in names.iter().enumerate() {
        if i > 0 && i % 5 == 0 {
            text.push_str("-------------+---------------------------------------------------------\n");
        }
        let values: Vec<f64> = match interp.data.column(name).map(|c| &c.values) {
            Some(Values::Num(v)) => {
                v.iter().zip(&sample).filter(|(x, k)| **k && !is_missing(**x)).map(|(x, _)| *x).collect()
            }
            _ => Vec::new(),
        };
        text.push_str(&summary_row(interp, name, &values));
    }
    if opts.is_empty() {
        interp.out.print(&text);
    }
    Ok(())
}

/// One row; also leaves the variable's numbers in `r()`.
fn summary_row(interp: &mut Interp, name: &str, values: &[f64]) -> String {
    let n = size(values.len());
    let sum: f64 = values.iter().sum();
    interp.results.clear();
    for (key, x) in [("N", n), ("sum_w", n)] {
        interp.put_result(key, x);
    }
    let label = abbreviate(name, 12);
    let count = with_commas(&values.len().to_string());
    if values.is_empty() {
        interp.put_result("sum", sum);
        return format!("{label:>12} | {count:>10}\n");
    }
    let mean = sum / n;
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    let var = if values.len() > 1 { squares / (n - 1.0) } else { 0.0 };
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for (key, x) in [("mean", mean), ("Var", var), ("sd", var.sqrt()), ("min", min), ("max", max), ("sum", sum)] {
        interp.put_result(key, x);
    }
    let g = |x: f64| Format::general(9).number(x);
    let sd = if values.len() > 1 { g(var.sqrt()) } else { ".".to_owned() };
    format!("{label:>12} | {count:>10}  {:>10}  {sd:>10}  {:>9}  {:>9}\n", g(mean), g(min), g(max))
}

/// `pw_beta_covered` in 12 columns: `pw_beta_co~d`.
pub(crate) fn abbreviate(name: &str, width: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    match chars.split_last() {
        Some((last, _)) if chars.len() > width => {
            format!("{}~{last}", chars[..width - 2].iter().collect::<String>())
        }
        _ => name.to_owned(),
    }
}

/// `list [varlist] [if] [in]`: the boxed table.
pub(crate) fn list(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    let names = varlist(interp, if parts.main.is_empty() { "_all" } else { parts.main })?;
    let sample = parts.sample(interp)?;
    let look = Look::read(parts.options)?;
    let rows: Vec<usize> = (0..interp.data.nobs).filter(|i| sample[*i]).collect();
    if rows.is_empty() || names.is_empty() {
        return Ok(());
    }
    let cells: Vec<Vec<String>> = names.iter().map(|n| cells(interp, n, &rows)).collect();
    let widths: Vec<usize> = names
        .iter()
        .zip(&cells)
        .map(|(n, c)| c.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(n.chars().count()))
        .collect();
    let number = interp.data.nobs.to_string().len().max(3);
    if look.clean {
        let text = clean(&look, &names, &cells, &widths, &rows, number);
        interp.out.print(&text);
        return Ok(());
    }
    let number = if look.noobs { 0 } else { number };
    let indent = " ".repeat(number + 2);
    let inner: usize = widths.iter().map(|w| w + 3).sum::<usize>() - 1;
    let rule = |c: char| format!("{indent}{c}{}{c}\n", "-".repeat(inner));
    let row = |values: Vec<&str>| {
        let cells: Vec<String> = values.iter().zip(&widths).map(|(v, w)| format!("{v:>w$}")).collect();
        format!("| {} |", cells.join("   "))
    };
    let mut text = format!("\n{}", rule('+'));
    if !look.noheader {
        text.push_str(&format!("{indent}{}\n{}", row(names.iter().map(String::as_str).collect()), rule('|')));
    }
    for (k, obs) in rows.iter().enumerate() {
        if k > 0 && k % 5 == 0 {
            text.push_str(&rule('|'));
        }
        let values = cells.iter().map(|c| c[k].as_str()).collect();
        match look.noobs {
            true => text.push_str(&format!("{indent}{}\n", row(values))),
            false => text.push_str(&format!("{:>number$}. {}\n", obs + 1, row(values))),
        }
    }
    text.push_str(&rule('+'));
    interp.out.print(&text);
    Ok(())
}

/// The options of `list`.
#[derive(Default)]
struct Look {
    clean: bool,
    noheader: bool,
    noobs: bool,
}

impl Look {
    /// What it does not have is refused, and not left out silently.
    fn read(options: &str) -> Outcome<Self> {
        let mut look = Self::default();
        for (option, value) in text::options(options) {
            let wanted = match option.as_str() {
                o if text::abbreviates(o, "clean", 1) => &mut look.clean,
                o if text::abbreviates(o, "noheader", 3) => &mut look.noheader,
                o if text::abbreviates(o, "noobs", 3) => &mut look.noobs,
                other => {
                    let shown = if value.is_some() { format!("{other}()") } else { other.to_owned() };
                    return Err(Stop::new(198, format!("option {shown} not allowed")));
                }
            };
            if value.is_some() {
                return Err(Stop::new(198, format!("option {option}() not allowed")));
            }
            *wanted = true;
        }
        Ok(look)
    }
}

/// Without lines around it.
fn clean(
    look: &Look,
    names: &[String],
    cells: &[Vec<String>],
    widths: &[usize],
    rows: &[usize],
    number: usize,
) -> String {
    let line = |first: String, values: Vec<&str>| {
        let values: Vec<String> = values.iter().zip(widths).map(|(v, w)| format!("{v:>w$}")).collect();
        format!("{first}{}  \n", values.join("   "))
    };
    let margin = || " ".repeat(if look.noobs { 4 } else { number + 4 });
    let mut text = "\n".to_owned();
    if !look.noheader {
        text.push_str(&line(margin(), names.iter().map(String::as_str).collect()));
    }
    for (k, obs) in rows.iter().enumerate() {
        let first = if look.noobs { margin() } else { format!("{:>number$}.   ", obs + 1) };
        text.push_str(&line(first, cells.iter().map(|c| c[k].as_str()).collect()));
    }
    text
}

fn cells(interp: &Interp, name: &str, rows: &[usize]) -> Vec<String> {
    let format = Format::general(9);
    match interp.data.column(name).map(|c| &c.values) {
        Some(Values::Num(v)) => rows.iter().map(|i| format.number(v[*i]).trim().to_owned()).collect(),
        Some(Values::Str(v)) => rows.iter().map(|i| v[*i].clone()).collect(),
        None => rows.iter().map(|_| crate::macros::as_text(&Value::Str(String::new()))).collect(),
    }
}
