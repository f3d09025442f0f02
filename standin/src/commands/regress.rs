//! `regress`: ordinary least squares as Stata computes, prints and stores it; no factor variables, weights or robust
//! errors.

use super::coefficients::{self, Kind};
use super::data::{parts, varlist};
use crate::data::Values;
use crate::expr::format::{Format, with_commas};
use crate::expr::functions::size;
use crate::expr::{MISSING, Value, is_missing};
use crate::interp::{Interp, Outcome, Stop};
use crate::stats;
use crate::stored::{Matrix, Stored};
use crate::text;

/// A pivot below this part of what it was counts as zero: the variable is a sum of the others.
const COLLINEAR: f64 = 1e-11;

/// A fit.
struct Fit {
    names: Vec<String>,
    b: Vec<f64>,
    v: Vec<f64>,
    n: f64,
    rank: f64,
    rss: f64,
    mss: f64,
    constant: bool,
}

/// `regress depvar [indepvars] [if] [in] [, noconstant level(#)]`; without variables it shows the last one again.
pub(crate) fn regress(interp: &mut Interp, s: &str) -> Outcome {
    let parts = parts(s);
    let (mut constant, mut level) = (true, interp.set.level);
    for (option, value) in text::options(parts.options) {
        match (option.as_str(), value) {
            (o, None) if text::abbreviates(o, "noconstant", 5) => constant = false,
            (o, Some(v)) if text::abbreviates(o, "level", 1) => {
                let wanted = interp.eval_number(&v)?;
                level = Some(wanted)
                    .filter(|l| (10.0..=99.99).contains(l))
                    .ok_or_else(|| Stop::new(198, "level() must be between 10 and 99.99 inclusive"))?;
            }
            (o, _) => return Err(Stop::new(198, format!("option {o} not allowed"))),
        }
    }
    if parts.main.is_empty() {
        return Err(Stop::new(301, "last estimates not found"));
    }
    if parts.main.contains(['.', '#', '[']) {
        return Err(Stop::new(101, "factor variables, operators and weights not allowed in the stand-in"));
    }
    let names = varlist(interp, parts.main)?;
    let Some((dependent, regressors)) = names.split_first() else { return Err(Stop::new(100, "varlist required")) };
    let sample = parts.sample(interp)?;
    let mut columns: Vec<&Vec<f64>> = Vec::new();
    for name in &names {
        match interp.data.column(name).map(|c| &c.values) {
            Some(Values::Num(v)) => columns.push(v),
            _ => return Err(Stop::new(109, format!("{name}:  string variables not allowed"))),
        }
    }
    let rows: Vec<usize> =
        (0..interp.data.nobs).filter(|i| sample[*i] && columns.iter().all(|c| !is_missing(c[*i]))).collect();
    if rows.is_empty() {
        return Err(Stop::new(2000, "no observations"));
    }
    let pick = |c: &Vec<f64>| rows.iter().map(|i| c[*i]).collect::<Vec<f64>>();
    let y = pick(columns[0]);
    let x: Vec<Vec<f64>> = columns[1..].iter().map(|c| pick(c)).collect();
    let fit = least_squares(&y, &x, regressors, constant);
    if fit.n < fit.rank {
        return Err(Stop::new(2001, "insufficient observations"));
    }
    let mut text: String = fit
        .names
        .iter()
        .filter_map(|n| n.strip_prefix("o."))
        .map(|n| {
            format!("note: {n} omitted because of collinearity{}\n", if interp.faults.since(17.0) { "." } else { "" })
        })
        .collect();
    let mut used = vec![false; interp.data.nobs];
    rows.iter().for_each(|i| used[*i] = true);
    interp.data.sample = Some(used);
    let command = format!("regress {}", s.trim());
    text.push_str(&store(interp, dependent, &fit, level, &command));
    interp.out.print(&text);
    Ok(())
}

/// Sums of products, centred where there is a constant, swept.
fn least_squares(y: &[f64], x: &[Vec<f64>], names: &[String], constant: bool) -> Fit {
    let n = size(y.len());
    let mean = |v: &[f64]| if constant { v.iter().sum::<f64>() / n } else { 0.0 };
    let means: Vec<f64> = x.iter().map(|v| mean(v)).collect();
    let y_mean = mean(y);
    let product =
        |a: &[f64], am: f64, b: &[f64], bm: f64| a.iter().zip(b).map(|(a, b)| (a - am) * (b - bm)).sum::<f64>();
    let k = x.len();
    // [X'X X'y; y'X y'y], swept on each regressor that is none of the others' sum.
    let side = k + 1;
    let mut a = vec![0.0; side * side];
    for i in 0..side {
        for j in 0..side {
            let of = |i: usize| if i < k { (x[i].as_slice(), means[i]) } else { (y, y_mean) };
            let ((u, um), (v, vm)) = (of(i), of(j));
            a[i * side + j] = product(u, um, v, vm);
        }
    }
    let total = a[side * side - 1];
    let was: Vec<f64> = (0..k).map(|i| a[i * side + i]).collect();
    let mut kept = vec![false; k];
    for p in 0..k {
        let pivot = a[p * side + p];
        if pivot <= COLLINEAR * was[p] || pivot <= 0.0 {
            continue;
        }
        kept[p] = true;
        sweep(&mut a, side, p);
    }
    let rank = size(kept.iter().filter(|kept| **kept).count()) + f64::from(constant);
    let rss = a[side * side - 1].max(0.0);
    let b: Vec<f64> = (0..k).map(|i| if kept[i] { a[i * side + k] } else { 0.0 }).collect();
    let s2 = if n > rank { rss / (n - rank) } else { 0.0 };
    let all = k + usize::from(constant);
    let mut v = vec![0.0; all * all];
    for i in (0..k).filter(|i| kept[*i]) {
        for j in (0..k).filter(|j| kept[*j]) {
            // A sweep leaves the inverse with a minus.
            v[i * all + j] = -a[i * side + j] * s2;
        }
    }
    let mut names: Vec<String> =
        names.iter().zip(&kept).map(|(n, kept)| if *kept { n.clone() } else { format!("o.{n}") }).collect();
    let mut coefficients = b;
    if constant {
        let shift: f64 = (0..k).map(|i| coefficients[i] * means[i]).sum();
        for i in 0..k {
            let covariance: f64 = -(0..k).map(|j| v[i * all + j] * means[j]).sum::<f64>();
            v[i * all + k] = covariance;
            v[k * all + i] = covariance;
        }
        let spread: f64 = (0..k).map(|i| means[i] * (0..k).map(|j| v[i * all + j] * means[j]).sum::<f64>()).sum();
        v[k * all + k] = s2 / n + spread;
        coefficients.push(y_mean - shift);
        names.push("_cons".to_owned());
    }
    Fit { names, b: coefficients, v, n, rank, rss, mss: (total - rss).max(0.0), constant }
}

fn sweep(a: &mut [f64], side: usize, p: usize) {
    let pivot = a[p * side + p];
    for i in (0..side).filter(|i| *i != p) {
        for j in (0..side).filter(|j| *j != p) {
            a[i * side + j] -= a[i * side + p] * a[p * side + j] / pivot;
        }
    }
    for i in (0..side).filter(|i| *i != p) {
        a[i * side + p] /= pivot;
        a[p * side + i] /= pivot;
    }
    a[p * side + p] = -1.0 / pivot;
}

/// Stores `e()` and `r()`, and returns what is printed.
fn store(interp: &mut Interp, dependent: &str, fit: &Fit, level: f64, command: &str) -> String {
    let df_m = fit.rank - f64::from(fit.constant);
    let df_r = fit.n - fit.rank;
    let total = fit.mss + fit.rss;
    let df_t = fit.n - f64::from(fit.constant);
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { MISSING };
    let ms = ratio(fit.rss, df_r);
    let f = if is_missing(ms) || ms <= 0.0 { MISSING } else { ratio(fit.mss / ms, df_m) };
    let p = if is_missing(f) { MISSING } else { stats::f_tail(df_m, df_r, f) };
    let r2 = ratio(fit.mss, total);
    let r2_a = if is_missing(r2) || df_r <= 0.0 { MISSING } else { 1.0 - (1.0 - r2) * df_t / df_r };
    let rmse = if is_missing(ms) { MISSING } else { ms.sqrt() };

    let mut e = Stored::default();
    for (name, x) in [
        ("N", fit.n),
        ("df_m", df_m),
        ("df_r", df_r),
        ("F", f),
        ("r2", r2),
        ("rmse", rmse),
        ("mss", fit.mss),
        ("rss", fit.rss),
        ("r2_a", r2_a),
        ("rank", fit.rank),
    ] {
        e.insert(name.to_owned(), Value::Num(x));
    }
    for (name, s) in [
        ("cmdline", command),
        ("title", "Linear regression"),
        ("properties", "b V"),
        ("depvar", dependent),
        ("model", "ols"),
        ("cmd", "regress"),
    ] {
        e.insert(name.to_owned(), Value::Str(s.to_owned()));
    }
    e.insert_matrix("b", Matrix::new(vec!["y1".into()], fit.names.clone(), fit.b.clone()));
    e.insert_matrix("V", Matrix::new(fit.names.clone(), fit.names.clone(), fit.v.clone()));
    interp.estimates = e;

    let table = coefficients::table(&fit.names, &fit.b, &fit.v, Kind::T(df_r), level);
    interp.results.clear();
    interp.put_result("level", level);
    interp.results.insert_matrix("table", table.clone());

    let number = |x: f64, format: &str| Format::parse(format).map_or_else(String::new, |f| f.number(x));
    let ss = |x: f64| number(x, "%11.0g");
    let row = |name: &str, sum: f64, df: f64, label: &str, value: String| {
        format!("{name:>12} |{:>12}{df:>10} {:>11}   {label:<16}={value:>10}\n", ss(sum), ss(ratio(sum, df)))
    };
    let rule = "-------------+----------------------------------   ";
    let mut text = format!(
        "\n      Source |       SS           df       MS      {:<16}={:>10}\n{rule}{:<16}={:>10}\n",
        "Number of obs",
        with_commas(&format!("{}", fit.n)),
        format!("F({df_m}, {df_r})"),
        number(f, "%9.2f").trim(),
    );
    text.push_str(&row("Model", fit.mss, df_m, "Prob > F", number(p, "%9.4f")));
    text.push_str(&row("Residual", fit.rss, df_r, "R-squared", number(r2, "%9.4f")));
    text.push_str(&format!("{rule}{:<16}={:>10}\n", "Adj R-squared", number(r2_a, "%9.4f")));
    text.push_str(&row("Total", total, df_t, "Root MSE", number(rmse, "%10.5g").trim().to_owned()));
    text + &coefficients::show(interp, dependent, &table, Kind::T(df_r), level)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longley's data as NIST publishes them, with certified values: as hard as ordinary least squares get.
    #[test]
    fn longley_is_certified() {
        let rows: [[f64; 7]; 16] = [
            [60323.0, 83.0, 234_289.0, 2356.0, 1590.0, 107_608.0, 1947.0],
            [61122.0, 88.5, 259_426.0, 2325.0, 1456.0, 108_632.0, 1948.0],
            [60171.0, 88.2, 258_054.0, 3682.0, 1616.0, 109_773.0, 1949.0],
            [61187.0, 89.5, 284_599.0, 3351.0, 1650.0, 110_929.0, 1950.0],
            [63221.0, 96.2, 328_975.0, 2099.0, 3099.0, 112_075.0, 1951.0],
            [63639.0, 98.1, 346_999.0, 1932.0, 3594.0, 113_270.0, 1952.0],
            [64989.0, 99.0, 365_385.0, 1870.0, 3547.0, 115_094.0, 1953.0],
            [63761.0, 100.0, 363_112.0, 3578.0, 3350.0, 116_219.0, 1954.0],
            [66019.0, 101.2, 397_469.0, 2904.0, 3048.0, 117_388.0, 1955.0],
            [67857.0, 104.6, 419_180.0, 2822.0, 2857.0, 118_734.0, 1956.0],
            [68169.0, 108.4, 442_769.0, 2936.0, 2798.0, 120_445.0, 1957.0],
            [66513.0, 110.8, 444_546.0, 4681.0, 2637.0, 121_950.0, 1958.0],
            [68655.0, 112.6, 482_704.0, 3813.0, 2552.0, 123_366.0, 1959.0],
            [69564.0, 114.2, 502_601.0, 3931.0, 2514.0, 125_368.0, 1960.0],
            [69331.0, 115.7, 518_173.0, 4806.0, 2572.0, 127_852.0, 1961.0],
            [70551.0, 116.9, 554_894.0, 4007.0, 2827.0, 130_081.0, 1962.0],
        ];
        let y: Vec<f64> = rows.iter().map(|r| r[0]).collect();
        let x: Vec<Vec<f64>> = (1..7).map(|j| rows.iter().map(|r| r[j]).collect()).collect();
        let names: Vec<String> = (1..7).map(|j| format!("x{j}")).collect();
        let fit = least_squares(&y, &x, &names, true);
        let close = |found: f64, want: f64| assert!((found / want - 1.0).abs() < 1e-8, "{found} and not {want}");
        for (found, want) in fit.b.iter().zip([
            15.061_872_271_373_3,
            -3.581_917_929_259_1e-2,
            -2.020_229_803_816_83,
            -1.033_226_867_173_59,
            -5.110_410_565_359_13e-2,
            1_829.151_464_613_55,
            -3_482_258.634_595_82,
        ]) {
            close(*found, want);
        }
        close(fit.v[0].sqrt(), 84.914_925_774_766_9);
        close(fit.v[48].sqrt(), 890_420.383_607_373);
        close(fit.rss, 836_424.055_505_915);
    }
}
