//! `summarize`: mean, standard deviation and range, in one pass.

use super::{Asked, Told};
use crate::data::{
    cell::is_missing,
    pass::{self, Next, TimeUp},
    refused::Refused,
    source::Source,
    table,
};

/// Most variables at once.
const MOST: usize = 500;

/// Mean and deviation as they come (Welford), so that large numbers lose no digits.
#[derive(Clone, Copy, Default)]
struct Sums {
    n: u64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Sums {
    fn add(&mut self, x: f64) {
        if self.n == 0 {
            (self.min, self.max) = (x, x);
        }
        self.n += 1;
        let off = x - self.mean;
        self.mean += off / self.n as f64;
        self.squares += off * (x - self.mean);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }
}

/// A row for each variable; of text there is nothing to sum up.
pub(in crate::data) fn summarize(source: &mut Source, asked: &Asked<'_>) -> Result<Told, Refused> {
    let mut notes = Vec::new();
    let mut variables = asked.variables.clone();
    if variables.len() > MOST {
        notes.push(format!("The first {MOST} of {} variables: name others to see them.", variables.len()));
        variables.truncate(MOST);
    }
    let head = asked.head;
    let mut sums = vec![Sums::default(); variables.len()];
    let long = pass::index(source, head, &asked.selection, &[])?;
    let source = &*source;
    let through = pass::each(source, head, &asked.selection, &long.of(source, head), TimeUp::Answer, |row| {
        for (n, sums) in variables.iter().zip(&mut sums) {
            if !head.variables[*n].kind.is_text() {
                let x = row.number(*n);
                if !is_missing(x) {
                    sums.add(x);
                }
            }
        }
        Ok(Next::GoOn)
    })?;
    notes.extend(through.cut.clone());
    let row = |(n, sums): (&usize, &Sums)| {
        let variable = &head.variables[*n];
        let name = table::text(&*variable.name);
        if sums.n == 0 {
            let empty = table::text("");
            return vec![name, table::count(0), empty.clone(), empty.clone(), empty.clone(), empty];
        }
        let date =
            |x: f64| variable.shape.shown(x).map_or_else(|| table::number(table::meant(variable, x)), table::text);
        let deviation = if sums.n > 1 { (sums.squares / (sums.n - 1) as f64).sqrt() } else { f64::NAN };
        // The mean of dates is one; their deviation is in the units in which they are stored.
        vec![name, table::count(sums.n), date(sums.mean), table::number(deviation), date(sums.min), date(sums.max)]
    };
    let rows = variables.iter().zip(&sums).map(row).collect();
    let columns = ["Variable", "Obs#", "Mean#", "Std. dev.#", "Min#", "Max#"];
    Ok(Told { table: table::table(&columns, rows), used: through.used, notes })
}
