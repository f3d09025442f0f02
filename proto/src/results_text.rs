//! A run's results as people and models read them: the coefficients as a table, then numbers and texts, matrices by name.

use crate::{
    api::{Coefficient, Matrix, Results, Statistic, StoredResults},
    visible,
};

/// Longest text of a macro that is shown among others, characters.
const TEXT: usize = 200;

/// There is nothing of that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {asked} in the results: there are {there}")]
pub struct NoSuchResult {
    /// What was asked for.
    pub asked: String,
    /// What there is.
    pub there: String,
}

/// All of them, matrices by name and size.
pub fn overview(results: &Results) -> String {
    let mut text = coefficients(results);
    for (class, stored) in classes(results) {
        let part = stored_text(class, stored);
        if !part.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&part);
        }
    }
    for left_out in &results.left_out {
        text.push_str(&format!("not here: {}, {}\n", shown(&left_out.name), shown(&left_out.why)));
    }
    if text.is_empty() {
        text.push_str("nothing in r(), e() and s()\n");
    }
    text
}

/// One of them in full: `e(V)`, `r(mean)`, or the name alone.
///
/// # Errors
/// Names what there is.
pub fn one(results: &Results, asked: &str) -> Result<String, NoSuchResult> {
    let asked = asked.trim();
    if asked == "coefficients" && !results.coefficients.is_empty() {
        return Ok(coefficients(results));
    }
    let mut text = String::new();
    for (class, stored) in classes(results) {
        let Some(name) = name_in(class, asked) else { continue };
        if let Some(number) = stored.scalars.get(name) {
            let missing = stored.missing.get(name).map_or(".", String::as_str);
            let number = number.map_or_else(|| missing.to_owned(), |x| x.to_string());
            text.push_str(&format!("{class}({name}) = {number}\n"));
        }
        if let Some(value) = stored.macros.get(name) {
            text.push_str(&format!("{class}({name}): {}\n", visible::text(value)));
        }
        if let Some(matrix) = stored.matrices.get(name) {
            let size = format!("{} x {}", matrix.rows.len(), matrix.columns.len());
            text.push_str(&format!("{class}({name}), {size}\n{}", matrix_text(matrix)));
        }
    }
    if !text.is_empty() {
        return Ok(text);
    }
    let names = classes(results).into_iter().flat_map(|(class, stored)| {
        let all = stored.matrices.keys().chain(stored.scalars.keys()).chain(stored.macros.keys());
        all.map(move |name| shown(&format!("{class}({name})"))).collect::<Vec<_>>()
    });
    let mut there: Vec<String> = names.take(40).collect();
    if there.is_empty() {
        there.push("none".to_owned());
    }
    Err(NoSuchResult { asked: shown(asked), there: there.join(", ") })
}

/// The results without all but the one that [`one`] shows; the numbers are as they were.
pub fn only(results: &Results, asked: &str) -> Results {
    let asked = asked.trim();
    let of = |class: &str, stored: &StoredResults| {
        let Some(name) = name_in(class, asked) else { return StoredResults::default() };
        let mut kept = stored.clone();
        kept.scalars.retain(|known, _| known == name);
        kept.macros.retain(|known, _| known == name);
        kept.matrices.retain(|known, _| known == name);
        kept.missing.retain(|known, _| known == name);
        kept
    };
    let (r, e, s) = (of("r", &results.r), of("e", &results.e), of("s", &results.s));
    match asked {
        "coefficients" => Results { r, e, s, ..results.clone() },
        _ => Results { r, e, s, ..Results::default() },
    }
}

/// The name that is asked for in this class, `e(V)` or `V` in `e`; `None` = another class is asked for.
fn name_in<'a>(class: &str, asked: &'a str) -> Option<&'a str> {
    match asked.split_once('(').and_then(|(class, rest)| Some((class.trim(), rest.strip_suffix(')')?.trim()))) {
        Some((wanted, name)) => (wanted == class).then_some(name),
        None => Some(asked),
    }
}

fn classes(results: &Results) -> [(&'static str, &StoredResults); 3] {
    [("r", &results.r), ("e", &results.e), ("s", &results.s)]
}

fn shown(text: &str) -> String {
    visible::line(text).into_owned()
}

/// At most seven digits that count.
fn number(x: Option<f64>) -> String {
    let Some(x) = x else { return ".".to_owned() };
    let size = x.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{x:.5e}");
    }
    // Of numbers between these bounds.
    let exponent = size.log10().floor() as i32;
    let text = format!("{x:.*}", usize::try_from(6 - exponent).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn p_value(p: Option<f64>) -> String {
    match p {
        None => ".".to_owned(),
        Some(p) if p < 0.001 => "<0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

/// The table of coefficients; empty = there are none.
fn coefficients(results: &Results) -> String {
    if results.coefficients.is_empty() {
        return String::new();
    }
    let macros = |name: &str| results.e.macros.get(name).map(|text| shown(text)).unwrap_or_default();
    let of = match (macros("cmd"), macros("depvar")) {
        (cmd, depvar) if !cmd.is_empty() && !depvar.is_empty() => format!(" of {cmd} {depvar}"),
        (cmd, _) if !cmd.is_empty() => format!(" of {cmd}"),
        _ => String::new(),
    };
    let observations = results.e.scalars.get("N").copied().flatten().map(|n| format!(", N = {n}")).unwrap_or_default();
    let level = number(results.level.or(Some(95.0)));
    let statistic = if results.statistic == Some(Statistic::Z) { "z" } else { "t" };
    let mut rows =
        vec![["term", "estimate", "std. error", statistic, "p", &format!("{level}% low"), "high"].map(str::to_owned)];
    let mut equation = "";
    for c in &results.coefficients {
        if c.equation != equation {
            equation = &c.equation;
            let mut head: [String; 7] = Default::default();
            head[0] = format!("{}:", shown(equation));
            rows.push(head);
        }
        rows.push(row(c));
    }
    let mut text = format!("coefficients{of}{observations} (from {})\n", results.source);
    if results.coefficients.iter().any(|c| c.exponentiated) {
        text.push_str("(exponentiated)\n");
    }
    text + &table(&rows)
}

fn row(c: &Coefficient) -> [String; 7] {
    let term = shown(&c.term);
    if let Some(mark) = &c.mark {
        return [
            term,
            number(c.estimate),
            format!("({})", shown(mark)),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ];
    }
    let statistic = c.statistic.map_or_else(|| ".".to_owned(), |x| format!("{x:.2}"));
    [term, number(c.estimate), number(c.std_error), statistic, p_value(c.p), number(c.low), number(c.high)]
}

/// Rows in columns: the first to the left, the others to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let wide = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(wide);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, width))| match at {
            0 => format!("{cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

fn stored_text(class: &str, stored: &StoredResults) -> String {
    let mut text = String::new();
    if !stored.scalars.is_empty() {
        let scalar = |(name, x): (&String, &Option<f64>)| {
            let missing = stored.missing.get(name).map_or(".", String::as_str);
            format!("{} = {}", shown(name), x.map_or_else(|| missing.to_owned(), |x| number(Some(x))))
        };
        let all: Vec<String> = stored.scalars.iter().map(scalar).collect();
        text.push_str(&format!("{class}() scalars: {}\n", all.join(", ")));
    }
    for (name, value) in &stored.macros {
        let value = shown(value);
        let mut short: String = value.chars().take(TEXT).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        text.push_str(&format!("{class}({}): {short}\n", shown(name)));
    }
    if !stored.matrices.is_empty() {
        let matrix =
            |(name, m): (&String, &Matrix)| format!("{} ({} x {})", shown(name), m.rows.len(), m.columns.len());
        let all: Vec<String> = stored.matrices.iter().map(matrix).collect();
        text.push_str(&format!("{class}() matrices: {}\n", all.join(", ")));
    }
    text
}

/// A matrix, rows below each other; wide ones in parts.
fn matrix_text(matrix: &Matrix) -> String {
    const SIDE_BY_SIDE: usize = 8;
    let mut text = String::new();
    for from in (0..matrix.columns.len()).step_by(SIDE_BY_SIDE) {
        let to = (from + SIDE_BY_SIDE).min(matrix.columns.len());
        let mut rows: Vec<[String; SIDE_BY_SIDE + 1]> = Vec::new();
        let mut head: [String; SIDE_BY_SIDE + 1] = Default::default();
        for (at, name) in matrix.columns[from..to].iter().enumerate() {
            head[at + 1] = shown(name);
        }
        rows.push(head);
        for (i, name) in matrix.rows.iter().enumerate() {
            let mut row: [String; SIDE_BY_SIDE + 1] = Default::default();
            row[0] = shown(name);
            for j in from..to {
                let cell = matrix.values.get(i).and_then(|row| row.get(j)).copied().flatten();
                let missing = matrix.missing.get(&format!("{},{}", i + 1, j + 1));
                row[j - from + 1] = missing.cloned().unwrap_or_else(|| number(cell));
            }
            rows.push(row);
        }
        text.push_str(&table(&rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_enough() {
        for (x, want) in [
            (0.0, "0"),
            (-2.914_285_714_285_714, "-2.914286"),
            (-0.0, "0"),
            (0.130_012_34, "0.1300123"),
            (0.019_132_653_061, "0.01913265"),
            (41.679_7, "41.6797"),
            (1234567.891, "1234568"),
            (74.0, "74"),
            (1e-7, "1.00000e-7"),
            (-3.5e12, "-3.50000e12"),
        ] {
            assert_eq!(number(Some(x)), want);
        }
        assert_eq!(
            (number(None), p_value(Some(0.0004)), p_value(Some(0.13))),
            (".".into(), "<0.001".into(), "0.130".into())
        );
    }

    #[test]
    fn what_is_not_there_is_said() {
        let mut results = Results::default();
        assert_eq!(overview(&results), "nothing in r(), e() and s()\n");
        results.r.scalars.insert("mean".into(), Some(0.1));
        results.e.scalars.insert("mean".into(), None);
        results.e.missing.insert("mean".into(), ".a".into());
        assert_eq!(one(&results, "mean").unwrap(), "r(mean) = 0.1\ne(mean) = .a\n");
        assert_eq!(one(&results, " r(mean) ").unwrap(), "r(mean) = 0.1\n");
        assert_eq!(
            one(&results, "e(V)").unwrap_err().to_string(),
            "there is no e(V) in the results: there are r(mean), e(mean)"
        );
    }
}
