//! `codebook`: what values variables take.

use std::collections::BTreeMap;

use super::{Asked, Told};
use crate::data::{
    cell::{self, Cell},
    head::Variable,
    key::Key,
    labels::Labels,
    pass::{self, Next, TimeUp},
    refused::Refused,
    source::Source,
    table,
};

/// Most variables at once.
const MOST: usize = 100;
/// Most different values of a variable that are counted.
const DIFFERENT: usize = 10_000;
/// Characters of text that all different values together take.
const TEXT: usize = 32 << 20;
/// Most values that are all told, and examples told of more.
const ALL: usize = 9;
const EXAMPLES: usize = 4;

#[derive(Default)]
struct Values {
    known: BTreeMap<Key, u64>,
    /// There are more than are counted.
    more: bool,
    missing: u64,
    /// By letter.
    letters: BTreeMap<u8, u64>,
    longest: usize,
    range: Option<(f64, f64)>,
}

/// A row for each variable.
pub(in crate::data) fn codebook(source: &mut Source, asked: &Asked<'_>) -> Result<Told, Refused> {
    let mut notes = Vec::new();
    let mut variables = asked.variables.clone();
    if variables.len() > MOST {
        notes.push(format!("The first {MOST} of {} variables: name others to see them.", variables.len()));
        variables.truncate(MOST);
    }
    let head = asked.head;
    let labels = asked.labels(source, &variables)?;
    let long = pass::index(source, head, &asked.selection, &variables)?;
    let source = &*source;
    let mut all: Vec<Values> = variables.iter().map(|_| Values::default()).collect();
    let mut room = TEXT;
    let through = pass::each(source, head, &asked.selection, &long.of(source, head), TimeUp::Answer, |row| {
        for (n, values) in variables.iter().zip(&mut all) {
            values.add(&row.cell(*n), &mut room);
        }
        Ok(Next::GoOn)
    })?;
    notes.extend(through.cut.clone());
    let row = |(n, values): (&usize, &Values)| {
        let variable = &head.variables[*n];
        let different = values.known.len() as u64;
        vec![
            table::text(&*variable.name),
            table::text(variable.kind.word()),
            table::text(&*variable.label),
            if values.more { table::text(format!("over {different}")) } else { table::count(different) },
            table::text(values.missing()),
            table::text(values.told(variable, &labels)),
        ]
    };
    let rows = variables.iter().zip(&all).map(row).collect();
    let columns = ["Variable", "Type", "Label", "Different#", "Missing#", "Values (and how often)"];
    Ok(Told { table: table::table(&columns, rows), used: through.used, notes })
}

impl Values {
    fn add(&mut self, cell: &Cell<'_>, room: &mut usize) {
        match cell {
            Cell::Number(x) => {
                if let Some(letter) = cell::letter(*x) {
                    self.missing += 1;
                    *self.letters.entry(letter).or_default() += 1;
                    return;
                }
                let (min, max) = self.range.unwrap_or((*x, *x));
                self.range = Some((min.min(*x), max.max(*x)));
            }
            Cell::Text(text) => {
                self.longest = self.longest.max(text.len());
                if text.is_empty() {
                    self.missing += 1;
                    return;
                }
            }
            Cell::Long(..) => return,
        }
        let key = Key::of(cell);
        if let Some(count) = self.known.get_mut(&key) {
            *count += 1;
        } else if self.known.len() < DIFFERENT && key.room() <= *room {
            *room -= key.room();
            self.known.insert(key, 1);
        } else {
            self.more = true;
        }
    }

    /// `3`, or `5 (. 2, .a 3)`.
    fn missing(&self) -> String {
        if self.letters.keys().all(|letter| *letter == 0) {
            return self.missing.to_string();
        }
        let each = self.letters.iter().map(|(letter, n)| format!("{} {n}", cell::missing_word(*letter)));
        format!("{} ({})", self.missing, each.collect::<Vec<_>>().join(", "))
    }

    fn told(&self, variable: &Variable, labels: &Labels) -> String {
        let shown = |key: &Key| key.shown(variable, labels);
        if !self.more && self.known.len() <= ALL {
            let each = self.known.iter().map(|(key, count)| format!("{} ({count})", shown(key)));
            return each.collect::<Vec<_>>().join(", ");
        }
        if let Some((min, max)) = self.range {
            let one = |x: f64| variable.shape.shown(x).unwrap_or_else(|| table::short(table::meant(variable, x)));
            return format!("{} to {}", one(min), one(max));
        }
        let some: Vec<String> = self.known.keys().take(EXAMPLES).map(shown).collect();
        format!("{}, … (up to {} bytes long)", some.join(", "), self.longest)
    }
}
