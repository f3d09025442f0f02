//! `tabulate`: how often the values of a variable occur, or those of two together.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_proto::wire;

use super::{Asked, Told};
use crate::data::{
    key::Key,
    pass::{self, Next, TimeUp},
    refused::Refused,
    source::Source,
    table,
};

/// Most different values that are counted, and rows that are told.
const DIFFERENT: usize = 10_000;
const ROWS: usize = 200;
/// Most columns of a table of two variables.
const COLUMNS: usize = 20;

/// A table of one or two variables.
pub(in crate::data) fn tabulate(source: &mut Source, asked: &Asked<'_>) -> Result<Told, Refused> {
    let head = asked.head;
    let (first, second) = match asked.variables.as_slice() {
        [one] => (*one, None),
        [one, two] => (*one, Some(*two)),
        other => {
            return Err(Refused::asked(format!(
                "tabulate takes one or two variables, not {}: name them in vars",
                other.len()
            )));
        }
    };
    let labels = asked.labels(source, &asked.variables)?;
    let long = pass::index(source, head, &asked.selection, &asked.variables)?;
    let source = &*source;
    let mut counts: BTreeMap<(Key, Option<Key>), u64> = BTreeMap::new();
    let mut missing = 0;
    let through = pass::each(source, head, &asked.selection, &long.of(source, head), TimeUp::Answer, |row| {
        let key = (Key::of(&row.cell(first)), second.map(|n| Key::of(&row.cell(n))));
        if key.0.is_missing() || key.1.as_ref().is_some_and(Key::is_missing) {
            missing += 1;
            return Ok(Next::GoOn);
        }
        *counts.entry(key).or_default() += 1;
        if counts.len() > DIFFERENT {
            let name = &head.variables[first].name;
            return Err(Refused::asked(format!(
                "{name} takes more than {DIFFERENT} values, too many to tabulate: summarize it, or narrow the observations \
                 with a condition"
            )));
        }
        Ok(Next::GoOn)
    })?;
    let mut notes: Vec<String> = through.cut.into_iter().collect();
    if missing > 0 {
        notes.push(match missing {
            1 => "1 observation with a missing value is left out.".to_owned(),
            n => format!("{n} observations with missing values are left out."),
        });
    }
    let named = |variable: usize, key: &Key| key.named(&head.variables[variable], &labels);
    let table = match second {
        None => one(&head.variables[first].name, &counts, |key| named(first, key), &mut notes),
        Some(second) => {
            let columns: BTreeSet<&Key> = counts.keys().filter_map(|(_, key)| key.as_ref()).collect();
            if columns.len() > COLUMNS {
                return Err(Refused::asked(format!(
                    "{} takes {} values, too many for columns (at most {COLUMNS}): put it first, or narrow the observations \
                     with a condition",
                    head.variables[second].name,
                    columns.len()
                )));
            }
            let corner = format!("{} \\ {}", head.variables[first].name, head.variables[second].name);
            let names = columns.iter().map(|key| (*key, named(second, key))).collect();
            two(&corner, &counts, names, |key| named(first, key), &mut notes)
        }
    };
    Ok(Told { table, used: through.used, notes })
}

fn one(
    name: &str,
    counts: &BTreeMap<(Key, Option<Key>), u64>,
    named: impl Fn(&Key) -> String,
    notes: &mut Vec<String>,
) -> wire::DataTable {
    let total: u64 = counts.values().sum();
    let percent = |n: u64| table::number((n as f64 * 10_000.0 / total.max(1) as f64).round() / 100.0);
    let mut sum = 0;
    let mut rows = Vec::new();
    for ((key, _), n) in counts.iter().take(ROWS) {
        sum += n;
        rows.push(vec![table::text(named(key)), table::count(*n), percent(*n), percent(sum)]);
    }
    cut(counts.len(), notes);
    rows.push(vec![table::text("Total"), table::count(total), percent(total), table::text("")]);
    table::table(&[name, "Freq.#", "Percent#", "Cum.#"], rows)
}

fn two(
    corner: &str,
    counts: &BTreeMap<(Key, Option<Key>), u64>,
    columns: Vec<(&Key, String)>,
    named: impl Fn(&Key) -> String,
    notes: &mut Vec<String>,
) -> wire::DataTable {
    let keys: BTreeSet<&Key> = counts.keys().map(|(key, _)| key).collect();
    cut(keys.len(), notes);
    let of = |row: &Key, column: &Key| counts.get(&(row.clone(), Some(column.clone()))).copied().unwrap_or_default();
    let line = |name: String, cells: Vec<u64>| {
        let total = cells.iter().sum();
        let numbers = cells.into_iter().chain([total]).map(table::count);
        std::iter::once(table::text(name)).chain(numbers).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = keys
        .iter()
        .take(ROWS)
        .map(|key| line(named(key), columns.iter().map(|(column, _)| of(key, column)).collect()))
        .collect();
    let sums = columns.iter().map(|(column, _)| keys.iter().map(|key| of(key, column)).sum()).collect();
    rows.push(line("Total".to_owned(), sums));
    let mut table = table::table(&[corner], rows);
    let names = columns.into_iter().map(|(_, name)| name).chain(["Total".to_owned()]);
    table.columns.extend(names.map(|name| wire::DataColumn { name, numbers: true }));
    table
}

fn cut(values: usize, notes: &mut Vec<String>) {
    if values > ROWS {
        notes.push(format!("The first {ROWS} of {values} values are shown; the totals are of all."));
    }
}
