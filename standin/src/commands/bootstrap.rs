//! `bootstrap`: standard errors from resampling, over the stand-in's own least squares, summaries and the do-file's
//! programs.

use super::coefficients::{self, Kind};
use super::replicate::{self, Prefix, Wanted};
use crate::expr::format::{Format, with_commas};
use crate::expr::functions::size;
use crate::expr::{MISSING, Value};
use crate::interp::{Interp, Outcome, Stop};
use crate::stats;
use crate::stored::{Matrix, Stored};

/// Options that there are.
const ALLOWED: &[&str] = &["reps", "seed", "dots", "nodots", "noisily", "nolegend", "level", "size"];

/// Repetitions where the do-file does not say.
const REPS: u32 = 50;

/// What is estimated, from the data as they are.
struct Observed {
    /// Names of the statistics.
    names: Vec<String>,
    /// Their expressions; none for the coefficients of an estimation.
    exps: Vec<String>,
    b: Vec<f64>,
    /// What the command left in `e()`.
    estimates: Stored,
}

/// `bootstrap [explist] [, options]: command`.
pub(crate) fn bootstrap(interp: &mut Interp, s: &str) -> Outcome {
    let prefix = replicate::prefix(interp, s, ALLOWED)?;
    let command = replicate::first_word(&prefix.command).to_owned();
    if prefix.dots > 0 {
        interp.out.println(&format!("(running {command} on estimation sample)"));
    }
    interp.data.sample = None;
    let original = interp.data.clone();
    let random = interp.rng.get();
    let estimates = replicate::first(interp, "bootstrap", &prefix)?;
    interp.rng.set(random);
    let observed = observe(interp, &prefix.wanted, estimates)?;

    let all = || (0..original.nobs).collect::<Vec<usize>>();
    let sample: Vec<usize> = match interp.data.sample.take() {
        Some(flags) if flags.len() == original.nobs => all().into_iter().filter(|i| flags[*i]).collect(),
        _ => {
            if prefix.dots > 0 {
                let text = replicate::hanging(&unmarked(&command), 9, interp.out.linesize);
                interp.out.print(&format!("\n{text}"));
            }
            all()
        }
    };
    if sample.is_empty() {
        return Err(Stop::new(2000, "no observations"));
    }
    if prefix.dots > 0 {
        interp.out.print("\n");
    }
    let drawn = prefix.size.unwrap_or(sample.len());
    let outcome = replicate::repeat(
        interp,
        "Bootstrap replications",
        prefix.reps.unwrap_or(REPS),
        &prefix,
        |i| {
            let rows: Vec<usize> = (0..drawn).map(|_| sample[draw(i, sample.len())]).collect();
            i.data = original.resample(&rows);
        },
        |i| again(i, &observed),
    );
    // Also after a break the data are those from before.
    interp.data = original;
    let rows = outcome?;
    let failed = rows.iter().filter(|r| r.is_none()).count();
    let rows: Vec<Vec<f64>> = rows.into_iter().flatten().collect();
    if rows.len() < 2 {
        return Err(Stop::new(
            2000,
            "insufficient observations to compute bootstrap standard errors\nno results will be saved",
        ));
    }
    let shown = post(interp, &prefix, observed, &rows, sample.len());
    interp.out.print(&shown);
    if failed > 0 {
        let s = if failed == 1 { "" } else { "s" };
        let note = format!(
            "Note: One or more parameters could not be estimated in {failed} bootstrap replicate{s}; standard-error \
             estimates include only complete replications."
        );
        let note = replicate::hanging(&note, 6, interp.out.linesize);
        interp.out.print(&note);
    }
    Ok(())
}

fn unmarked(command: &str) -> String {
    format!(
        "warning: {command} does not set e(sample), so no observations will be excluded from the resampling because of \
         missing values or other reasons. To exclude observations, press Break, save the data, drop any observations \
         that are to be excluded, and rerun bootstrap."
    )
}

/// A place from 0 to `n - 1`, each as likely as another.
fn draw(interp: &Interp, n: usize) -> usize {
    use crate::expr::eval::Env;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at least 0 and below n
    let at = (interp.uniform() * size(n)) as usize;
    at.min(n - 1)
}

/// The statistics in the data as they are.
fn observe(interp: &Interp, wanted: &[Wanted], estimates: bool) -> Outcome<Observed> {
    let coefficients = matches!(wanted, [Wanted::Coefficients]) || wanted.is_empty() && estimates;
    if coefficients {
        let b = interp.estimates.matrix("b").ok_or_else(|| Stop::new(301, "last estimates not found"))?;
        let (names, b) = (b.columns.clone(), b.cells.clone());
        return Ok(Observed { names, exps: Vec::new(), b, estimates: interp.estimates.clone() });
    }
    let (mut names, mut exps) = (Vec::new(), Vec::new());
    for (i, one) in wanted.iter().enumerate() {
        let Wanted::Exp(name, exp) = one else {
            return Err(Stop::new(198, "_b and _se not allowed beside expressions in the stand-in"));
        };
        names.push(name.clone().unwrap_or_else(|| format!("_bs_{}", i + 1)));
        exps.push(exp.clone());
    }
    if exps.is_empty() {
        return Err(Stop::new(100, "expression list required"));
    }
    let mut b = Vec::new();
    for (exp, name) in exps.iter().zip(&names) {
        let x = interp.eval_number(exp)?;
        if crate::expr::is_missing(x) {
            return Err(Stop::new(322, format!("'{exp}' evaluated to missing in full sample ({name})")));
        }
        b.push(x);
    }
    Ok(Observed { names, exps, b, estimates: Stored::default() })
}

/// The same statistics in a resample; of coefficients only if they are the same ones.
fn again(interp: &Interp, observed: &Observed) -> Option<Vec<f64>> {
    if observed.exps.is_empty() {
        return interp.estimates.matrix("b").filter(|b| b.columns == observed.names).map(|b| b.cells.clone());
    }
    replicate::values(interp, &observed.exps)
}

/// Stores the results and returns what is printed.
fn post(interp: &mut Interp, prefix: &Prefix, observed: Observed, rows: &[Vec<f64>], n: usize) -> String {
    let k = observed.b.len();
    let v = covariance(rows, k);
    let regression = matches!(observed.estimates.get("cmd"), Some(Value::Str(cmd)) if cmd == "regress");
    let mut e = observed.estimates;
    for name in ["df_r", "F"] {
        e.remove(name);
    }
    e.insert("N".into(), Value::Num(size(n)));
    e.insert("N_reps".into(), Value::Num(size(rows.len())));
    let words = [("vcetype", "Bootstrap"), ("vce", "bootstrap"), ("prefix", "bootstrap"), ("command", &prefix.command)];
    for (name, text) in words {
        e.insert(name.into(), Value::Str(text.to_owned()));
    }
    let mut facts = vec![
        ("Number of obs".to_owned(), with_commas(&n.to_string())),
        ("Replications".to_owned(), with_commas(&rows.len().to_string())),
    ];
    let title = if regression { "Linear regression" } else { "Bootstrap results" };
    if e.get("cmd").is_none() {
        e.insert("cmd".into(), Value::Str("bootstrap".into()));
    }
    if regression {
        let slopes: Vec<usize> = (0..k).filter(|j| observed.names[*j] != "_cons" && v[j * k + j] > 0.0).collect();
        let chi2 = wald(&observed.b, &v, k, &slopes);
        let p = chi2.map_or(MISSING, |x| stats::chi2_tail(size(slopes.len()), x));
        e.insert("chi2".into(), Value::Num(chi2.unwrap_or(MISSING)));
        e.insert("p".into(), Value::Num(p));
        let number = |x: f64, f: &str| Format::parse(f).map_or_else(String::new, |f| f.number(x).trim().to_owned());
        let stored = |name: &str| match e.get(name) {
            Some(Value::Num(x)) => *x,
            _ => MISSING,
        };
        facts.push((format!("Wald chi2({})", slopes.len()), number(chi2.unwrap_or(MISSING), "%9.2f")));
        facts.push(("Prob > chi2".into(), number(p, "%6.4f")));
        facts.push(("R-squared".into(), number(stored("r2"), "%6.4f")));
        facts.push(("Adj R-squared".into(), number(stored("r2_a"), "%6.4f")));
        facts.push(("Root MSE".into(), number(stored("rmse"), "%9.4f")));
    }
    e.insert_matrix("b", Matrix::new(vec!["y1".into()], observed.names.clone(), observed.b.clone()));
    e.insert_matrix("V", Matrix::new(observed.names.clone(), observed.names.clone(), v.clone()));
    let dependent = match e.get("depvar") {
        Some(Value::Str(name)) => name.clone(),
        _ => String::new(),
    };
    interp.estimates = e;

    let table = coefficients::table(&observed.names, &observed.b, &v, Kind::Normal, prefix.level);
    interp.results.clear();
    interp.put_result("level", prefix.level);
    interp.results.insert_matrix("table", table.clone());
    let mut text = format!("\n{}", coefficients::facts(interp, title, &facts));
    if prefix.legend && !observed.exps.is_empty() {
        let named: Vec<_> = observed.names.iter().cloned().zip(observed.exps.iter().cloned()).collect();
        text.push_str(&replicate::legend(interp, &prefix.command, &named));
    }
    text + &coefficients::show(interp, &dependent, &table, Kind::Bootstrap, prefix.level)
}

/// The covariances of the rows, with one degree of freedom less than there are.
fn covariance(rows: &[Vec<f64>], k: usize) -> Vec<f64> {
    let n = size(rows.len());
    let mean: Vec<f64> = (0..k).map(|j| rows.iter().map(|r| r[j]).sum::<f64>() / n).collect();
    let mut v = vec![0.0; k * k];
    for i in 0..k {
        for j in 0..k {
            v[i * k + j] = rows.iter().map(|r| (r[i] - mean[i]) * (r[j] - mean[j])).sum::<f64>() / (n - 1.0);
        }
    }
    v
}

/// `b'V^-1 b` for some of the coefficients; `None` where their covariances have no inverse.
fn wald(b: &[f64], v: &[f64], k: usize, of: &[usize]) -> Option<f64> {
    let m = of.len();
    // [V | b], brought to [I | x] by rows.
    let mut a: Vec<Vec<f64>> = of.iter().map(|i| of.iter().map(|j| v[i * k + j]).chain([b[*i]]).collect()).collect();
    for p in 0..m {
        let best = (p..m).max_by(|x, y| a[*x][p].abs().total_cmp(&a[*y][p].abs()))?;
        a.swap(p, best);
        let row = a[p].clone();
        if row[p].abs() < 1e-300 {
            return None;
        }
        for other in a.iter_mut().enumerate().filter(|(i, _)| *i != p).map(|(_, other)| other) {
            let factor = other[p] / row[p];
            other.iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
        }
    }
    (m > 0).then(|| (0..m).map(|p| b[of[p]] * a[p][m] / a[p][p]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covariances_and_wald_are_those_of_the_books() {
        let rows = [vec![1.0, 2.0], vec![2.0, 1.0], vec![3.0, 6.0]];
        let v = covariance(&rows, 2);
        assert_eq!(v, [1.0, 2.0, 2.0, 7.0]);
        // The inverse of [[1, 2], [2, 7]] is [[7, -2], [-2, 1]] / 3.
        let chi2 = wald(&[1.0, 2.0], &v, 2, &[0, 1]).unwrap();
        assert!((chi2 - (7.0 - 8.0 + 4.0) / 3.0).abs() < 1e-12, "{chi2}");
        assert_eq!(wald(&[1.0], &[0.0], 1, &[0]), None);
    }
}
