//! The table in memory: named columns of numbers or strings, all of one length.

use crate::expr::{MISSING, is_missing};

/// A column's values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Numbers, with missing values.
    Num(Vec<f64>),
    /// Strings.
    Str(Vec<String>),
}

/// A variable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its storage type, such as `float` or `str5`.
    pub(crate) kind: String,
    /// Its values.
    pub(crate) values: Values,
}

/// The data in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    /// The variables, in order.
    pub(crate) columns: Vec<Column>,
    /// The number of observations.
    pub(crate) nobs: usize,
    /// Whether it changed since it was read or cleared.
    pub(crate) changed: bool,
    /// `e(sample)`: the observations that the last estimation used.
    pub(crate) sample: Option<Vec<bool>>,
}

impl Table {
    /// The variable of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The only variable that `name` abbreviates.
    pub(crate) fn abbreviated(&self, name: &str) -> Option<&Column> {
        let mut hits = self.columns.iter().filter(|c| c.name.starts_with(name));
        let first = hits.next().filter(|_| !name.is_empty());
        if hits.next().is_some() { None } else { first }
    }

    /// Grows to `n` observations; new ones are missing or empty.
    pub(crate) fn grow(&mut self, n: usize) {
        for c in &mut self.columns {
            match &mut c.values {
                Values::Num(v) => v.resize(n, MISSING),
                Values::Str(v) => v.resize(n, String::new()),
            }
        }
        if let Some(sample) = &mut self.sample {
            sample.resize(n, false);
        }
        self.nobs = n;
        self.changed = true;
    }

    /// A table of these observations, which may come more than once.
    pub(crate) fn resample(&self, rows: &[usize]) -> Self {
        let mut table = Self { sample: None, ..self.clone() };
        table.reorder(rows);
        table.nobs = rows.len();
        table
    }

    /// Keeps the observations for which `keep` is true; returns how many went.
    pub(crate) fn retain(&mut self, keep: &[bool]) -> usize {
        fn filter<T>(v: &mut Vec<T>, keep: &[bool]) {
            let mut flags = keep.iter();
            v.retain(|_| flags.next().copied().unwrap_or(false));
        }
        for c in &mut self.columns {
            match &mut c.values {
                Values::Num(v) => filter(v, keep),
                Values::Str(v) => filter(v, keep),
            }
        }
        if let Some(sample) = &mut self.sample {
            filter(sample, keep);
        }
        let gone = keep.iter().filter(|k| !**k).count();
        self.nobs -= gone;
        self.changed |= gone > 0;
        gone
    }

    /// Puts the observations in the given order.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        if let Some(sample) = &mut self.sample {
            *sample = order.iter().map(|i| sample[*i]).collect();
        }
        for c in &mut self.columns {
            match &mut c.values {
                Values::Num(v) => *v = order.iter().map(|i| v[*i]).collect(),
                Values::Str(v) => *v = order.iter().map(|i| v[*i].clone()).collect(),
            }
        }
    }
}

/// Rounds a number to what a storage type can hold; what does not fit is missing.
pub(crate) fn store(x: f64, kind: &str) -> f64 {
    if is_missing(x) {
        return x;
    }
    let within = |lo: f64, hi: f64| if (lo..=hi).contains(&x.trunc()) { x.trunc() } else { MISSING };
    match kind {
        "byte" => within(-127.0, 100.0),
        "int" => within(-32_767.0, 32_740.0),
        "long" => within(-2_147_483_647.0, 2_147_483_620.0),
        #[allow(clippy::cast_possible_truncation)] // single precision is what the type is
        "float" => f64::from(x as f32),
        _ => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_round_and_overflow() {
        let check = |x: f64, kind: &str, want: f64| {
            assert!(
                (store(x, kind) - want).abs() < 1e-12 || is_missing(want) && is_missing(store(x, kind)),
                "{x} {kind}"
            )
        };
        check(100.0, "byte", 100.0);
        check(101.0, "byte", MISSING);
        check(2.7, "int", 2.0);
        check(0.1, "double", 0.1);
        check(0.1, "float", f64::from(0.1f32));
    }

    #[test]
    fn observations_come_and_go() {
        let mut t = Table::default();
        t.grow(3);
        t.columns.push(Column { name: "x".into(), kind: "float".into(), values: Values::Num(vec![1.0, 2.0, 3.0]) });
        assert_eq!(t.retain(&[true, false, true]), 1);
        t.reorder(&[1, 0]);
        assert_eq!(t.columns[0].values, Values::Num(vec![3.0, 1.0]));
        assert_eq!(t.nobs, 2);
        assert!(t.abbreviated("x").is_some() && t.abbreviated("").is_none());
    }
}
