//! Tables of an answer.

use longhaul_proto::wire;

use super::{
    cell::{self, Cell},
    head::{Kind, Variable},
    labels::Labels,
};

/// Longest text in a cell, characters.
const LONGEST: usize = 1_000;
/// Most cells of a table, and the most characters of text in it.
pub(super) const MOST_CELLS: usize = 50_000;
pub(super) const MOST_TEXT: usize = 4 << 20;

/// A cell of text.
pub(super) fn text(text: impl Into<String>) -> wire::DataCell {
    let mut text: String = text.into();
    if text.is_empty() {
        return wire::DataCell::default();
    }
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    wire::DataCell { value: Some(wire::data_cell::Value::Text(text)) }
}

/// A cell with a number, which may be missing.
pub(super) fn number(x: f64) -> wire::DataCell {
    match cell::letter(x) {
        Some(letter) => text(cell::missing_word(letter)),
        None => wire::DataCell { value: Some(wire::data_cell::Value::Number(x)) },
    }
}

/// A cell with a count.
pub(super) fn count(n: u64) -> wire::DataCell {
    number(n as f64)
}

/// A number as people and programs are to see it: of a `float`, the one that was meant by its shortest digits.
pub(super) fn meant(variable: &Variable, x: f64) -> f64 {
    match variable.kind {
        Kind::Float if !cell::is_missing(x) => (x as f32).to_string().parse().unwrap_or(x),
        _ => x,
    }
}

/// What a value is shown as, if not as a number: its label, or a date.
pub(super) fn words(variable: &Variable, x: f64, labels: &Labels) -> Option<String> {
    labels.of(variable, x).map(str::to_owned).or_else(|| variable.shape.shown(x))
}

/// A value of a variable.
pub(super) fn value(variable: &Variable, cell: &Cell<'_>, labels: &Labels) -> wire::DataCell {
    match cell {
        Cell::Number(x) => words(variable, *x, labels).map_or_else(|| number(meant(variable, *x)), text),
        Cell::Text(own) => text(own.as_ref()),
        Cell::Long(..) => text(""),
    }
}

/// A number in few words, for a list of values within a cell.
pub(super) fn short(x: f64) -> String {
    match cell::letter(x) {
        Some(letter) => cell::missing_word(letter),
        None => longhaul_proto::api::data_number(x),
    }
}

/// A table with these columns; the names of those that hold numbers end with `#`.
pub(super) fn table(columns: &[&str], rows: Vec<Vec<wire::DataCell>>) -> wire::DataTable {
    let column = |name: &&str| match name.strip_suffix('#') {
        Some(name) => wire::DataColumn { name: name.to_owned(), numbers: true },
        None => wire::DataColumn { name: (*name).to_owned(), numbers: false },
    };
    let rows = rows.into_iter().map(|cells| wire::DataRow { cells }).collect();
    wire::DataTable { columns: columns.iter().map(column).collect(), rows }
}
