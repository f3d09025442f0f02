//! `describe`: the variables, from the head of the file alone.

use super::{Asked, Told};
use crate::data::table;

/// Most variables told at once.
const MOST: usize = 2_000;

/// A row for each variable.
pub(in crate::data) fn describe(asked: &Asked<'_>) -> Told {
    let of = |n: &usize| {
        let v = &asked.head.variables[*n];
        vec![
            table::text(&*v.name),
            table::text(v.kind.word()),
            table::text(&*v.format),
            table::text(&*v.labels),
            table::text(&*v.label),
        ]
    };
    let rows: Vec<_> = asked.variables.iter().take(MOST).map(of).collect();
    let mut told =
        Told { table: table::table(&["Variable", "Type", "Format", "Value label", "Label"], rows), ..Told::default() };
    if asked.variables.len() > MOST {
        told.notes.push(format!("The first {MOST} of {} variables: name others to see them.", asked.variables.len()));
    }
    told
}
