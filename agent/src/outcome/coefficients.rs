//! The table of coefficients: from r(table) where that belongs to e(b), else from e(b), e(V) and e(df_r) as Stata does it.

use longhaul_proto::api::{Coefficient, Statistic};
use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};

use crate::stata::gathered::{Gathered, Matrix, Number};

/// Two numbers are one estimate when they differ by less, relatively.
const SAME: f64 = 1e-9;

/// The table, and what its numbers are.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) coefficients: Vec<Coefficient>,
    pub(super) statistic: Option<Statistic>,
    pub(super) level: Option<f64>,
    pub(super) source: String,
}

/// The table of the last estimation; empty where there was none.
pub(super) fn table(found: &Gathered) -> Table {
    let Some(b) = found.e.matrices.get("b").filter(|b| b.cells.len() == 1) else { return Table::default() };
    found.r.matrices.get("table").and_then(|r| of_table(found, b, r)).unwrap_or_else(|| computed(found, b))
}

fn number(found: &Gathered, class: char, name: &str) -> Option<f64> {
    let class = if class == 'r' { &found.r } else { &found.e };
    class.scalars.get(name).and_then(|n| n.value())
}

fn level(found: &Gathered, class: char) -> f64 {
    let sound = |level: &f64| (10.0..100.0).contains(level);
    number(found, class, "level").or(found.level).filter(sound).unwrap_or(95.0)
}

/// Of r(table), if it is about these estimates.
fn of_table(found: &Gathered, b: &Matrix, table: &Matrix) -> Option<Table> {
    let row = |name: &str| table.rows.iter().position(|row| row == name).map(|at| &table.cells[at]);
    let statistic = match (row("t"), row("z")) {
        (Some(t), _) => (Statistic::T, t),
        (None, Some(z)) => (Statistic::Z, z),
        (None, None) => return None,
    };
    let (estimates, errors, p) = (row("b")?, row("se")?, row("pvalue")?);
    let (low, high, eform) = (row("ll")?, row("ul")?, row("eform"));
    if table.columns != b.columns {
        return None;
    }
    let exponentiated = |at: usize| eform.is_some_and(|row| row[at].value().is_some_and(|x| x != 0.0));
    for (at, (shown, held)) in estimates.iter().zip(&b.cells[0]).enumerate() {
        let (Some(shown), Some(held)) = (shown.value(), held.value()) else { continue };
        let same = |a: f64| (a - shown).abs() <= SAME * shown.abs().max(a.abs());
        if !(same(held) || exponentiated(at) && same(held.exp())) {
            return None;
        }
    }
    let coefficients = b.columns.iter().enumerate().map(|(at, name)| {
        let value = |row: &[Number]| row[at].value();
        let mut c = named(name);
        c.estimate = value(estimates);
        c.exponentiated = exponentiated(at);
        if c.mark.is_none() {
            (c.std_error, c.statistic, c.p) = (value(errors), value(statistic.1), value(p));
            (c.low, c.high) = (value(low), value(high));
        }
        c
    });
    Some(Table {
        coefficients: coefficients.collect(),
        statistic: Some(statistic.0),
        level: Some(level(found, 'r')),
        source: "r(table)".to_owned(),
    })
}

/// Of e(b) and e(V).
fn computed(found: &Gathered, b: &Matrix) -> Table {
    let variances: Vec<Option<f64>> = match found.e.matrices.get("V") {
        Some(v) => v.cells.iter().enumerate().map(|(i, row)| row.get(i).and_then(|n| n.value())).collect(),
        None => found.variances.iter().map(|n| n.value()).collect(),
    };
    let fits = variances.len() == b.columns.len();
    let df = number(found, 'e', "df_r").filter(|df| *df > 0.0);
    let level = level(found, 'e');
    let against = Reference::new(df);
    let critical = against.quantile(0.5 + level / 200.0);
    let coefficients = b.columns.iter().enumerate().map(|(at, name)| {
        let mut c = named(name);
        c.estimate = b.cells[0][at].value();
        let error = variances.get(at).copied().flatten().filter(|_| fits).map(f64::sqrt);
        if let (Some(estimate), Some(error), None) = (c.estimate, error.filter(|e| *e > 0.0), &c.mark) {
            let statistic = estimate / error;
            c.std_error = Some(error);
            c.statistic = Some(statistic);
            c.p = Some(2.0 * against.below(-statistic.abs()));
            c.low = Some(estimate - critical * error);
            c.high = Some(estimate + critical * error);
        }
        c
    });
    Table {
        coefficients: coefficients.collect(),
        statistic: Some(if df.is_some() { Statistic::T } else { Statistic::Z }),
        level: Some(level),
        source: if fits { "e(b) and e(V)" } else { "e(b)" }.to_owned(),
    }
}

/// What a test statistic is compared with.
enum Reference {
    T(StudentsT),
    Z(Normal),
}

impl Reference {
    /// Student's of so many degrees of freedom; without them the normal distribution.
    fn new(df: Option<f64>) -> Self {
        match df.and_then(|df| StudentsT::new(0.0, 1.0, df).ok()) {
            Some(t) => Self::T(t),
            None => Self::Z(Normal::standard()),
        }
    }

    fn below(&self, x: f64) -> f64 {
        match self {
            Self::T(t) => t.cdf(x),
            Self::Z(_) if x < 0.0 => normal_tail(-x),
            Self::Z(_) => 1.0 - normal_tail(x),
        }
    }

    /// The quantile, made exact by two of Newton's steps.
    fn quantile(&self, p: f64) -> f64 {
        let mut x = match self {
            Self::T(t) => t.inverse_cdf(p),
            Self::Z(z) => z.inverse_cdf(p),
        };
        for _ in 0..2 {
            let density = match self {
                Self::T(t) => t.pdf(x),
                Self::Z(z) => z.pdf(x),
            };
            // From the other side, where small differences count.
            let step = ((1.0 - p) - self.below(-x)) / density;
            if step.is_finite() {
                x -= step;
            }
        }
        x
    }
}

/// The normal distribution's part above `x`, which is not negative, to the last digits (the library's has eleven).
fn normal_tail(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x < 3.0 {
        // The part between 0 and x: a series of positive terms.
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > sum * 1e-17 {
            n += 2.0;
            term *= x * x / n;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // A continued fraction, from its end.
    let below = (1..=200).rev().fold(x, |below, n| x + f64::from(n) / below);
    density / below
}

/// A coefficient of this full name: `equation:1b.group#o.x`.
fn named(full: &str) -> Coefficient {
    let (equation, term) = full.split_once(':').unwrap_or(("", full));
    // `1b.` is a base level, `o.` and `2o.` are left out; `1bn.` says that there is no base.
    let operators = term.split('#').filter_map(|part| part.split_once('.')).map(|(before, _)| before);
    let letters = |before: &str| before.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    let all: Vec<String> = operators.map(letters).collect();
    let mark = if all.iter().any(|o| matches!(o.as_str(), "o" | "co" | "oc")) {
        Some("omitted")
    } else if all.iter().any(|o| o == "b") {
        Some("base")
    } else {
        None
    };
    Coefficient {
        term: term.to_owned(),
        equation: if equation == "_" { String::new() } else { equation.to_owned() },
        mark: mark.map(str::to_owned),
        ..Coefficient::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles_and_tails() {
        let close = |found: f64, want: f64| assert!((found / want - 1.0).abs() < 1e-12, "{found} and not {want}");
        for (df, p, want) in [
            (Some(10.0), 0.975, 2.228_138_851_986_273_5),
            (Some(1.0), 0.975, 12.706_204_736_174_7),
            (Some(71.0), 0.975, 1.993_943_367_845_627),
            (None, 0.975, 1.959_963_984_540_054),
            (None, 0.995, 2.575_829_303_548_901),
        ] {
            close(Reference::new(df).quantile(p), want);
            close(Reference::new(df).below(-want), 1.0 - p);
        }
        close(2.0 * Reference::new(None).below(-10.0), 1.523_970_604_832_105e-23);
    }

    #[test]
    fn terms_are_marked() {
        let check = |full: &str, equation: &str, term: &str, mark: Option<&str>| {
            let found = named(full);
            assert_eq!((&*found.equation, &*found.term, found.mark.as_deref()), (equation, term, mark), "{full}");
        };
        check("price", "", "price", None);
        check("1b.rep78", "", "1b.rep78", Some("base"));
        check("1bn.rep78", "", "1bn.rep78", None);
        check("o.x", "", "o.x", Some("omitted"));
        check("foreign:2.rep78#co.x", "foreign", "2.rep78#co.x", Some("omitted"));
        check("_:_cons", "", "_cons", None);
        check("/:lnsigma", "/", "lnsigma", None);
        check("L.b", "", "L.b", None);
    }
}
