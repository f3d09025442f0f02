//! A value as a key, in the order in which Stata sorts: numbers, then missing values; texts by their bytes.

use super::{
    cell::{self, Cell},
    head::Variable,
    labels::Labels,
    table,
};

/// Longest text that is told apart, bytes.
const LONGEST: usize = 2_045;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The bits of a number, changed so that they are in its order.
    Number(u64),
    Text(String),
}

const SIGN: u64 = 1 << 63;

impl Key {
    pub(super) fn of(cell: &Cell<'_>) -> Self {
        match cell {
            Cell::Number(x) => {
                // Both zeros are one.
                let bits = (x + 0.0).to_bits();
                Self::Number(if bits & SIGN == 0 { bits | SIGN } else { !bits })
            }
            Cell::Text(text) => {
                let end = (0..=text.len().min(LONGEST)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                Self::Text(text[..end].to_owned())
            }
            Cell::Long(..) => Self::Text(String::new()),
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(bits) => Some(f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })),
            Self::Text(_) => None,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Number(_) => self.number().is_some_and(cell::is_missing),
            Self::Text(text) => text.is_empty(),
        }
    }

    /// Bytes that it takes.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Number(_) => 0,
            Self::Text(text) => text.len(),
        }
    }

    /// `2 "Foreign"`, `2024-03-05`, `"VW"`.
    pub(super) fn shown(&self, variable: &Variable, labels: &Labels) -> String {
        match self {
            Self::Text(text) => format!("\"{}\"", cut(text)),
            Self::Number(_) => {
                let x = self.number().unwrap_or_default();
                match labels.of(variable, x) {
                    Some(label) => format!("{} \"{}\"", table::short(x), cut(label)),
                    None => variable.shape.shown(x).unwrap_or_else(|| table::short(table::meant(variable, x))),
                }
            }
        }
    }

    /// Its name in a table: the label, the date, the text.
    pub(super) fn named(&self, variable: &Variable, labels: &Labels) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(_) => {
                let x = self.number().unwrap_or_default();
                table::words(variable, x, labels).unwrap_or_else(|| table::short(table::meant(variable, x)))
            }
        }
    }
}

/// In a list of values.
fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_values() {
        let of = |x: f64| Key::of(&Cell::Number(x));
        let all = [-1e300, -1.5, -0.0, 1e-300, 2.0, 8e307, cell::missing(0), cell::missing(1), cell::missing(26)];
        assert!(all.windows(2).all(|pair| of(pair[0]) < of(pair[1])));
        assert_eq!(of(0.0), of(-0.0));
        assert!(all.iter().all(|x| of(*x).number() == Some(*x)));
        assert!(of(cell::missing(3)).is_missing() && !of(2.0).is_missing());
    }
}
