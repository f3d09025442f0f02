//! What stands after Stata's `if`: which observations are meant.
//!
//! ```text
//! text -> lex -> parse (names and types are checked here) -> eval, once per observation
//! ```
//!
//! Numbers are doubles, missing values among them ([`super::cell`]), so that comparisons are Stata's: a missing value is
//! larger than any number. Whatever cannot be meant is an error before the first observation is read.

mod eval;
mod functions;
mod lex;
mod parse;

use super::{head::Head, refused::Refused, row::Row};
use parse::Expr;

/// Longest condition, bytes.
const LONGEST: usize = 4_000;

/// A condition on observations.
#[derive(Debug)]
pub(super) struct Filter {
    expr: Expr,
    uses: Vec<usize>,
}

impl Filter {
    /// Reads a condition; `None` = there is none.
    pub(super) fn read(head: &Head, text: &str) -> Result<Option<Self>, Refused> {
        let text = text.trim();
        let text = text.strip_prefix("if ").unwrap_or(text).trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > LONGEST {
            return Err(Refused::asked(format!("the condition is longer than {LONGEST} characters")));
        }
        let (expr, uses) =
            parse::parse(head, text).map_err(|why| Refused::asked(format!("the condition {text}: {why}")))?;
        Ok(Some(Self { expr, uses }))
    }

    /// The variables that it looks at.
    pub(super) fn uses(&self) -> &[usize] {
        &self.uses
    }

    /// Whether an observation is meant: it is not zero, which missing is not either.
    pub(super) fn fits(&self, row: &Row<'_>) -> bool {
        eval::number(&self.expr, row) != 0.0
    }
}
