//! Expressions: numbers with missing values, strings, and the functions that do-files use most.

pub(crate) mod eval;
pub(crate) mod format;
pub(crate) mod functions;
pub(crate) mod parse;

/// Stata's system missing value `.`: 2^1023, larger than every number; `.a` to `.z` follow.
pub(crate) const MISSING: f64 = 8.988_465_674_311_58e307;

/// Whether a number is one of the 27 missing values.
pub(crate) fn is_missing(x: f64) -> bool {
    x >= MISSING || x.is_nan()
}

/// A missing value from its letter's place: 0 = `.`, 1 = `.a`.
pub(crate) fn missing(letter: u8) -> f64 {
    MISSING * (1.0 + f64::from(letter) / 4096.0)
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number, perhaps missing.
    Num(f64),
    /// A string.
    Str(String),
}

impl Value {
    /// True as Stata sees it: not zero, which includes missing.
    pub(crate) fn truth(&self) -> bool {
        matches!(self, Self::Num(x) if *x != 0.0)
    }
}

/// Why an expression cannot be had: a return code and Stata's text for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExprError {
    /// The return code.
    pub(crate) rc: i32,
    /// The message; may be empty.
    pub(crate) msg: String,
}

impl ExprError {
    /// An error with a text.
    pub(crate) fn new(rc: i32, msg: impl Into<String>) -> Self {
        Self { rc, msg: msg.into() }
    }

    /// `invalid syntax`, r(198).
    pub(crate) fn syntax() -> Self {
        Self::new(198, "invalid syntax")
    }

    /// `type mismatch`, r(109).
    pub(crate) fn types() -> Self {
        Self::new(109, "type mismatch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_is_two_to_the_1023() {
        assert!((MISSING - 2f64.powi(1023)).abs() < f64::EPSILON);
        assert!(is_missing(missing(1)) && missing(1) > missing(0) && missing(26).is_finite());
        assert!(!is_missing(1e307));
    }
}
