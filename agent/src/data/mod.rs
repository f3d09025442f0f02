//! Stata data files (`.dta`) below the agent's folders: described, summed up, tabulated, shown and exported, without Stata
//! and without a seat.
//!
//! ```text
//! path -> find (opened below the roots) -> source (bytes, counted) -> head (what is where)
//!                                             |
//!                                          pass (if, in) -> row -> cell -> actions -> table
//!                                                                       -> export  -> CSV, Parquet
//! ```
//!
//! - [`head`] reads header and variables through the crate `dta`; the observations have one width, so that [`pass`] reads
//!   those that are meant where they are;
//! - [`filter`] is the condition, [`varlist`] the variables that a list means;
//! - [`labels`] and [`long`] are what stands behind the data: value labels, long strings;
//! - [`child`] is all of this as a process of its own, for a file that a gateway keeps;
//! - [`dates`] shows days and times, [`key`] tells values apart.
//!
//! A file may hold anything: no length in it is believed before the file is known to be as long, and every answer is bounded.

mod actions;
mod cell;
pub(crate) mod child;
mod dates;
mod export;
mod filter;
mod find;
mod head;
mod key;
mod labels;
mod long;
mod pass;
mod refused;
mod row;
mod source;
mod table;
mod varlist;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use longhaul_proto::{clock::Clock, wire};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::prepare::Places;
use actions::{Asked, Told};
pub(crate) use refused::Refused;
use source::Source;
pub(crate) use source::Watch;
use wire::data_part::Part;

/// Files that are read at once: reading is for the disk and one core, and runs come first.
const AT_ONCE: usize = 2;
/// How long another waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// How long a file is read for a table, and for an export, which goes at its reader's pace.
const TABLE: Duration = Duration::from_secs(60);
const EXPORT: Duration = Duration::from_secs(600);

/// Reads data files, a few at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct DataReader {
    turns: Arc<Semaphore>,
    clock: Clock,
}

impl DataReader {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), clock }
    }

    /// Waits for a turn; `None` = too many are being read.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(TURN, self.turns.clone().acquire_owned()).await.ok()?.ok()
    }

    /// How long a request may be read for.
    pub(crate) fn watch(&self, request: &wire::DataRequest, gone: impl Fn() -> bool + Send + 'static) -> Watch {
        let limit = if request.format() == wire::DataFormat::Table { TABLE } else { EXPORT };
        Watch::new(self.clock.clone(), limit, gone)
    }
}

/// Which file a path names.
pub(crate) fn find(places: &Places, path: &str) -> wire::DataFile {
    let found = find::open(places, path).and_then(|found| {
        let mark = find::mark(&found).map_err(|refused| crate::prepare::Missing::plain(refused.to_string()))?;
        Ok(wire::DataFile { mark, ..find::told(&found) })
    });
    found.unwrap_or_else(|missing| wire::DataFile {
        problem: missing.problem.text,
        cause: missing.problem.cause.to_wire() as i32,
        near: missing.near.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
        ..Default::default()
    })
}

/// Answers a request in parts. Blocks.
///
/// # Errors
/// See [`Refused`]; what `send` said when nobody takes the parts.
pub(crate) fn answer(
    places: &Places,
    request: &wire::DataRequest,
    watch: Watch,
    send: impl FnMut(Part) -> Result<(), Refused> + Send,
) -> Result<(), Refused> {
    let found = find::open(places, &request.path).map_err(|missing| Refused::Place(missing.problem))?;
    read(found, &format!("{} on {}", request.path, places.host), request, watch, send)
}

/// Answers a request about an open file, which people know by `name`. Blocks.
fn read(
    found: find::Found,
    name: &str,
    request: &wire::DataRequest,
    watch: Watch,
    mut send: impl FnMut(Part) -> Result<(), Refused> + Send,
) -> Result<(), Refused> {
    let mut file = find::told(&found);
    let named = |refused: Refused| match refused {
        Refused::File(why) => Refused::file(format!("{name} cannot be shown: {why}")),
        other => other,
    };
    let mut source = Source::new(found.file, watch)?;
    let head = head::read(&mut source).map_err(named)?;
    file.release = head.release.into();
    file.label.clone_from(&head.label);
    file.saved.clone_from(&head.saved);
    file.observations = head.observations;
    file.variables = u32::try_from(head.variables.len()).unwrap_or(u32::MAX);
    file.sorted_by = head.sorted.iter().map(|n| head.variables[*n].name.clone()).collect();
    if let Some(words) = misfit(request) {
        return Err(Refused::asked(words));
    }
    let asked = Asked {
        variables: varlist::resolve(&head, &request.variables)?,
        selection: pass::Selection::read(&head, &request.condition, &request.range)?,
        head: &head,
        codes: request.codes,
        limit: request.limit,
    };
    let mut told = match (request.action(), request.format()) {
        (wire::DataAction::Describe, wire::DataFormat::Table) => actions::describe(&asked),
        (wire::DataAction::Summarize, wire::DataFormat::Table) => {
            actions::summarize(&mut source, &asked).map_err(named)?
        }
        (wire::DataAction::Codebook, wire::DataFormat::Table) => {
            actions::codebook(&mut source, &asked).map_err(named)?
        }
        (wire::DataAction::Tabulate, wire::DataFormat::Table) => {
            actions::tabulate(&mut source, &asked).map_err(named)?
        }
        (wire::DataAction::Rows, wire::DataFormat::Table) => actions::rows(&mut source, &asked).map_err(named)?,
        (wire::DataAction::Rows, format) => {
            let labels = if asked.codes {
                labels::Labels::default()
            } else {
                labels::Labels::read(&mut source, &head, &asked.variables)?
            };
            let index = pass::index(&mut source, &head, &asked.selection, &asked.variables).map_err(named)?;
            send(Part::File(file))?;
            let (used, notes) = export::export(&source, &asked, &labels, index, format, &mut send).map_err(named)?;
            return send(end(&head, Told { used, notes, ..Told::default() }, &source));
        }
        _ => return Err(Refused::asked("only rows are exported as CSV or Parquet")),
    };
    send(Part::File(file))?;
    send(Part::Table(std::mem::take(&mut told.table)))?;
    send(end(&head, told, &source))
}

/// What a request asks for that its action does not have.
fn misfit(request: &wire::DataRequest) -> Option<&'static str> {
    let narrowed = !request.condition.trim().is_empty() || !request.range.trim().is_empty();
    match request.action() {
        wire::DataAction::Describe if narrowed => Some(
            "describe tells of variables and looks at no observation, so `if` and `in` mean nothing to it: leave them out, or \
             use summarize, codebook, tabulate or rows",
        ),
        wire::DataAction::Tabulate if request.variables.is_empty() => {
            Some("tabulate needs the name of a variable, or of two: describe lists them")
        }
        _ => None,
    }
}

fn end(head: &head::Head, told: Told, source: &Source) -> Part {
    let notes = head.notes.iter().cloned().chain(told.notes).collect();
    Part::End(wire::DataEnd { used: told.used, notes, bytes_read: source.bytes_read() })
}
