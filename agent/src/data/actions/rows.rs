//! `rows`: observations as they are.

use longhaul_proto::wire;

use super::{Asked, Told};
use crate::data::{
    cell,
    long::{self, Index},
    pass::{self, Next, TimeUp},
    refused::Refused,
    row::Row,
    source::Source,
    table::{self, MOST_CELLS, MOST_TEXT},
};

/// Observations by default, and at most.
const DEFAULT: u32 = 50;
const MOST: u32 = 10_000;
/// Bytes of observations that are held at once.
const HELD: usize = 16 << 20;

/// A row for each observation.
pub(in crate::data) fn rows(source: &mut Source, asked: &Asked<'_>) -> Result<Told, Refused> {
    let head = asked.head;
    let mut notes = Vec::new();
    let limit = if asked.limit == 0 { DEFAULT } else { asked.limit.min(MOST) };
    let variables = &asked.variables;
    let most = (MOST_CELLS / (variables.len() + 1)).min(HELD / head.row.max(1)).max(1);
    let limit = most.min(usize::try_from(limit).unwrap_or(usize::MAX));
    let labels = asked.labels(source, variables)?;
    let filters = pass::index(source, head, &asked.selection, &[])?;
    let mut held: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut more = false;
    let shared = &*source;
    let through = pass::each(shared, head, &asked.selection, &filters.of(shared, head), TimeUp::Answer, |row| {
        if held.len() == limit {
            more = true;
            return Ok(Next::Stop);
        }
        held.push((row.n, row.bytes.to_vec()));
        let is_last =
            held.len() == limit && (asked.selection.filter.is_none() || row.n + 1 == asked.selection.range.end);
        more |= is_last && row.n + 1 < asked.selection.range.end;
        Ok(if is_last { Next::Stop } else { Next::GoOn })
    })?;
    notes.extend(through.cut.clone());
    if more && let Some((last, _)) = held.last() {
        let next = last + 2;
        notes.push(format!("Observations after {} were not looked at: the next ones are in {next}/l.", last + 1));
    }
    // Only the long strings of these observations are looked for.
    let cells = held.iter().flat_map(|(_, row)| variables.iter().map(|n| cell::cell(head, &head.variables[*n], row)));
    let wanted = long::keys(cells);
    let texts = Index::read(source, head, Some(&wanted))?;
    let source = &*source;
    let texts = texts.of(source, head);
    let mut rows = Vec::with_capacity(held.len());
    let mut room = MOST_TEXT;
    for (n, bytes) in &held {
        let row = Row { head, bytes, n: *n, long: &texts };
        let cells = variables.iter().map(|n| table::value(&head.variables[*n], &row.cell(*n), &labels));
        let cells: Vec<_> = std::iter::once(table::count(row.observation())).chain(cells).collect();
        let text = cells.iter().map(|cell| match &cell.value {
            Some(wire::data_cell::Value::Text(text)) => text.len(),
            _ => 0,
        });
        let Some(left) = room.checked_sub(text.sum()) else {
            notes.push(format!("Only {} observations are shown, for their texts are long.", rows.len()));
            break;
        };
        room = left;
        rows.push(cells);
    }
    texts.whole()?;
    let mut table = table::table(&["Obs#"], rows);
    table.columns.extend(variables.iter().map(|n| {
        let variable = &head.variables[*n];
        let labelled = !asked.codes && !variable.labels.is_empty();
        wire::DataColumn { name: variable.name.clone(), numbers: !variable.kind.is_text() && !labelled }
    }));
    Ok(Told { table, used: through.used.min(held.len() as u64), notes })
}
