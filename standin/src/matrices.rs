//! What expressions see of matrices and stored results: `el()`, `rowsof()`, `_b[]` and their kin.

use crate::expr::eval;
use crate::expr::parse::Expr;
use crate::expr::{ExprError, MISSING, Value};
use crate::interp::Interp;
use crate::stored::{Matrix, Stored};

impl Interp {
    /// `r()`, `e()` or `s()`.
    pub(crate) fn stored(&self, class: &str) -> Option<&Stored> {
        match class {
            "r" => Some(&self.results),
            "e" => Some(&self.estimates),
            "s" => Some(&self.sreturns),
            _ => None,
        }
    }

    /// The matrix that an argument of a function names.
    pub(crate) fn matrix_of(&self, arg: &Expr) -> Result<&Matrix, ExprError> {
        let found = match arg {
            Expr::Name(name) => self.matrices.get(name),
            Expr::Result(class, name) => self.stored(class).and_then(|s| s.matrix(name)),
            _ => return Err(ExprError::types()),
        };
        found.ok_or_else(|| ExprError::new(111, "matrix not found"))
    }

    /// `el(M, i, j)`; missing where there is no such cell.
    pub(crate) fn cell(&self, m: &Expr, i: &Expr, j: &Expr) -> Result<Value, ExprError> {
        let m = self.matrix_of(m)?;
        let place = |e: &Expr| match eval::value(self, e, None)? {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked
            Value::Num(x) if (1.0..1e9).contains(&x) => Ok(Some(x as usize - 1)),
            Value::Num(_) => Ok(None),
            Value::Str(_) => Err(ExprError::types()),
        };
        let (i, j) = (place(i)?, place(j)?);
        Ok(Value::Num(i.zip(j).and_then(|(i, j)| m.get(i, j)).unwrap_or(MISSING)))
    }

    /// `_b[x]`, `_se[x]`.
    pub(crate) fn coefficient(&self, which: &str, name: &str) -> Result<Value, ExprError> {
        let unknown = || ExprError::new(111, format!("[{name}] not found"));
        let b = self.estimates.matrix("b").ok_or_else(|| ExprError::new(301, "last estimates not found"))?;
        let at = b.columns.iter().position(|c| c == name).ok_or_else(unknown)?;
        let found = match which {
            "_b" => b.get(0, at),
            _ => self.estimates.matrix("V").and_then(|v| v.get(at, at)).map(f64::sqrt),
        };
        found.map(Value::Num).ok_or_else(unknown)
    }
}
