//! The table: a line for each cell, what was wrong, and how to run it again.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{cell::Cell, trial::Came};

/// The results of all trials. Cheap to clone.
#[derive(Clone)]
pub struct Report(Arc<Mutex<Inner>>);

struct Inner {
    rows: Vec<Row>,
    failures: Vec<String>,
    took: Duration,
}

struct Row {
    name: String,
    trials: u64,
    skipped: u64,
    wrong: u64,
    took: Duration,
    longest: Duration,
}

impl Report {
    /// An empty one, with a line for each of these cells.
    pub fn new(cells: &[Cell]) -> Self {
        let row = |cell: &Cell| Row {
            name: cell.name(),
            trials: 0,
            skipped: 0,
            wrong: 0,
            took: Duration::ZERO,
            longest: Duration::ZERO,
        };
        let order: Vec<String> = super::cell::all().iter().map(Cell::name).collect();
        let mut rows: Vec<Row> = cells.iter().map(row).collect();
        rows.sort_by_key(|row| order.iter().position(|name| *name == row.name));
        Self(Arc::new(Mutex::new(Inner { rows, failures: vec![], took: Duration::ZERO })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more trial.
    pub fn add(&self, cell: &Cell, seed: u64, took: Duration, came: Came) {
        let name = cell.name();
        self.with(|inner| {
            let Some(row) = inner.rows.iter_mut().find(|row| row.name == name) else { return };
            match came {
                Came::Skipped => row.skipped += 1,
                Came::Well => row.trials += 1,
                Came::Wrong(wrong, history) => {
                    (row.trials, row.wrong) = (row.trials + 1, row.wrong + 1);
                    let what = wrong.iter().fold(String::new(), |text, line| text + "\n  " + line);
                    let history: String = history.lines().fold(String::new(), |text, line| text + "\n    | " + line);
                    let failure =
                        format!("{name}: again with: longhaul-chaos --only '{name}' --trial {seed}{what}{history}");
                    // At once too, so that an operator who breaks off a long run sees it.
                    eprintln!("{failure}");
                    inner.failures.push(failure);
                }
            }
            (row.took, row.longest) = (row.took + took, row.longest.max(took));
        });
    }

    /// How long all of it took.
    pub fn took(&self, took: Duration) {
        self.with(|inner| inner.took = took);
    }

    /// Whether anything was wrong.
    pub fn failed(&self) -> bool {
        self.with(|inner| !inner.failures.is_empty())
    }

    /// Trials that were judged.
    pub fn trials(&self) -> u64 {
        self.with(|inner| inner.rows.iter().map(|row| row.trials).sum())
    }

    /// Names of cells that this machine cannot run.
    pub fn skipped(&self) -> Vec<String> {
        self.with(|inner| inner.rows.iter().filter(|row| row.skipped > 0).map(|row| row.name.clone()).collect())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|inner| {
            writeln!(f, "| cell | trials | violations | mean s | longest s |\n| --- | ---: | ---: | ---: | ---: |")?;
            for row in &inner.rows {
                let mean = row.took.as_secs_f64() / (row.trials.max(1) as f64);
                let note = if row.skipped > 0 { " (skipped here)" } else { "" };
                writeln!(
                    f,
                    "| {}{note} | {} | {} | {mean:.1} | {:.1} |",
                    row.name,
                    row.trials,
                    row.wrong,
                    row.longest.as_secs_f64()
                )?;
            }
            let (trials, wrong) = inner.rows.iter().fold((0, 0), |(t, w), row| (t + row.trials, w + row.wrong));
            let fewest = inner.rows.iter().map(|row| row.trials).min().unwrap_or(0);
            write!(
                f,
                "{trials} trials in {} cells (at least {fewest} in each), {wrong} with violations, {:.0} s",
                inner.rows.len(),
                inner.took.as_secs_f64()
            )?;
            // Last, where a log that is cut short still has them.
            inner.failures.iter().try_for_each(|failure| write!(f, "\n\n{failure}"))
        })
    }
}
