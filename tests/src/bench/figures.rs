//! Figures and bars.

use std::time::Duration;

/// One line of the table.
#[derive(Debug)]
pub struct Line {
    /// What was measured.
    pub what: String,
    /// With its unit.
    pub measured: String,
    /// The bar; `None` for a floor that only stands beside another figure.
    pub bar: Option<Bar>,
}

/// The required value, and whether it was reached.
#[derive(Debug)]
pub struct Bar {
    /// `<= 5 ms`
    pub text: String,
    /// Reached.
    pub met: bool,
}

/// Nanoseconds of the clock that all processes of this machine share.
pub fn now_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// The value below which a share of the samples lies.
pub fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let at = ((samples.len() as f64 - 1.0) * share).round() as usize;
    samples.get(at).copied().unwrap_or(f64::NAN)
}

/// p50 and p99 of some milliseconds; a bar for each, or none.
pub fn milliseconds(what: &str, samples: &mut [f64], bars: Option<(f64, f64)>) -> Vec<Line> {
    [("p50", 0.5, bars.map(|b| b.0)), ("p99", 0.99, bars.map(|b| b.1))]
        .into_iter()
        .map(|(name, share, bar)| {
            let value = quantile(samples, share);
            Line {
                what: format!("{what}, {name} of {}", samples.len()),
                measured: format!("{value:.2} ms"),
                bar: bar.map(|bar| Bar { text: format!("<= {bar} ms"), met: value <= bar }),
            }
        })
        .collect()
}

/// A rate that should be at least `bar`.
pub fn at_least(what: &str, value: f64, unit: &str, bar: f64) -> Line {
    Line {
        what: what.to_owned(),
        measured: format!("{value:.0} {unit}"),
        bar: Some(Bar { text: format!(">= {bar} {unit}"), met: value >= bar }),
    }
}

/// A size that should be at most `bar`.
pub fn at_most(what: &str, value: f64, unit: &str, bar: f64) -> Line {
    Line {
        what: what.to_owned(),
        measured: format!("{value:.1} {unit}"),
        bar: Some(Bar { text: format!("<= {bar} {unit}"), met: value <= bar }),
    }
}

/// A figure without a bar.
pub fn floor(what: &str, measured: String) -> Line {
    Line { what: what.to_owned(), measured, bar: None }
}

/// Seconds since a stamp of [`now_ns`].
pub fn since(start_ns: u64) -> Duration {
    Duration::from_nanos(now_ns().saturating_sub(start_ns))
}
