//! One observation, while it is looked at.

use std::borrow::Cow;

use super::{
    cell::{self, Cell, missing},
    head::Head,
    long::LongTexts,
};

/// An observation.
pub(super) struct Row<'a> {
    pub(super) head: &'a Head,
    pub(super) bytes: &'a [u8],
    /// From 0.
    pub(super) n: u64,
    pub(super) long: &'a LongTexts<'a>,
}

impl Row<'_> {
    /// Its number, from 1.
    pub(super) fn observation(&self) -> u64 {
        self.n + 1
    }

    pub(super) fn cell(&self, variable: usize) -> Cell<'_> {
        match cell::cell(self.head, &self.head.variables[variable], self.bytes) {
            Cell::Long(of, observation) => Cell::Text(Cow::Owned(self.long.text((of, observation)))),
            other => other,
        }
    }

    /// The number of a variable that holds numbers.
    pub(super) fn number(&self, variable: usize) -> f64 {
        match self.cell(variable) {
            Cell::Number(x) => x,
            _ => missing(0),
        }
    }

    /// The text of a variable that holds text.
    pub(super) fn text(&self, variable: usize) -> Cow<'_, str> {
        match self.cell(variable) {
            Cell::Text(text) => text,
            _ => Cow::Borrowed(""),
        }
    }
}
