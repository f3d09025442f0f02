//! What is in a data file on a host, or in one that a run left. Agents read what is on their hosts, and nothing of it is
//! kept here; what is kept here is read by a child of the gateway ([`super::kept_data`]).
//!
//! Only agents that take the caller's runs are asked: a caller who may run code there can read the file by a run.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use longhaul_proto::{
    api::{DataColumnView, DataView},
    clock::rfc3339,
    faults,
    visible::Foreign,
    wire::{self, data_cell::Value as Cell, data_part::Part},
};
use serde_json::Value;

use super::{
    ArtifactError, FindError, Runs, SubmitError,
    kept_data::KeptData,
    lookup,
    not_there::{MissingOn, NotThere},
};
use crate::{
    fleet::{
        DataOn,
        agent_port::{AgentError, DataParts, Failure, Port},
    },
    model::Identity,
};

/// How long an answer may take: as long as an agent reads for one, and the way; and the next piece of a file.
const ANSWER: Duration = Duration::from_secs(80);
const PIECE: Duration = Duration::from_secs(60);
/// Most characters of a condition, a range, or all names of variables.
const LONGEST: usize = 16_000;

/// What is asked of a data file.
#[derive(Clone, Debug, Default)]
pub struct DataAsk {
    /// The file, as its host has it, or relative to an agent's folder; of a run's, as its list of files names it.
    pub path: String,
    /// The run that left it, by any of its names; empty = it is found by its path alone.
    pub run: String,
    /// The agent; empty = the first that has the file.
    pub host: String,
    /// `describe`, `summarize`, `codebook`, `tabulate` or `rows`; empty = the first.
    pub action: String,
    /// Names, patterns and ranges; none = all.
    pub variables: Vec<String>,
    /// As after Stata's `if`.
    pub condition: String,
    /// As after Stata's `in`.
    pub range: String,
    /// Show numbers instead of their value labels.
    pub codes: bool,
    /// Most observations shown; 0 = the agent's own limit.
    pub limit: u32,
}

/// Why a data file is not shown.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no such host.
    #[error(transparent)]
    Host(#[from] SubmitError),
    /// There is no such run.
    #[error(transparent)]
    Run(#[from] FindError),
    /// The run left no such file, or it is not to be had.
    #[error(transparent)]
    File(#[from] ArtifactError),
    /// The request cannot be meant.
    #[error("{words}")]
    Asked {
        /// In words.
        words: String,
    },
    /// No agent has it.
    #[error("{0}")]
    NotThere(NotThere),
    /// Hosts have different files there.
    #[error("{0}")]
    Different(String),
    /// What its reader says, which may tell of what is in it.
    #[error("{words}")]
    OfFile {
        /// In words.
        words: String,
        /// Another request can be meant.
        asked: bool,
    },
    /// It is not shown.
    #[error("{words}")]
    Refused {
        /// In words.
        words: String,
    },
    /// The agents that could be asked are older than this call.
    #[error("the agent of {0} is too old to read data files: install the gateway's version there")]
    TooOld(String),
    /// No agent can be asked.
    #[error(
        "no host that takes your runs can be asked now: `longhaul hosts` (stata_hosts) says which there are and how they are"
    )]
    NoAgent,
    /// It did not answer.
    #[error("host {host} did not answer ({reason}): ask again in a few seconds")]
    Unanswered {
        /// The host.
        host: String,
        /// What happened.
        reason: String,
    },
}

/// Where a data file is read.
struct DataSource {
    host: String,
    path: String,
    at: At,
}

enum At {
    Host(Port),
    Here(KeptData),
}

impl DataSource {
    /// Begins to read.
    async fn parts(&self, mut request: wire::DataRequest) -> Result<DataParts, AgentError> {
        request.path.clone_from(&self.path);
        match &self.at {
            At::Host(port) => port.data_file(request).await,
            At::Here(kept) => kept.parts(&request).await,
        }
    }

    /// The run that left the file, of a file that is kept here.
    fn run(&self) -> Option<String> {
        match &self.at {
            At::Here(kept) => Some(kept.run.to_string()),
            At::Host(_) => None,
        }
    }
}

/// Observations of a data file as another file, as they come. It is whole when the stream ends without an error.
pub struct DataBytes {
    /// The host that sends it.
    pub host: String,
    /// Where the data file is there.
    pub path: String,
    /// The pieces.
    pub bytes: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, DataError>> + Send>>,
}

fn action(word: &str) -> Result<wire::DataAction, DataError> {
    Ok(match word {
        "" | "describe" => wire::DataAction::Describe,
        "summarize" => wire::DataAction::Summarize,
        "codebook" => wire::DataAction::Codebook,
        "tabulate" => wire::DataAction::Tabulate,
        "rows" => wire::DataAction::Rows,
        other => {
            let words =
                format!("there is no action `{other}`: there are describe, summarize, codebook, tabulate and rows");
            return Err(DataError::Asked { words });
        }
    })
}

impl Runs {
    /// A table about a data file.
    ///
    /// # Errors
    /// See [`DataError`].
    pub async fn data(&self, who: &Identity, ask: DataAsk) -> Result<DataView, DataError> {
        let request = request(who, &ask, action(&ask.action)?, wire::DataFormat::Table)?;
        let on = self.data_source(who, &ask).await?;
        let word = if ask.action.is_empty() { "describe".to_owned() } else { ask.action };
        let answer = async {
            let parts = on.parts(request).await?;
            parts.try_collect::<Vec<_>>().await
        };
        let parts = match tokio::time::timeout(ANSWER, answer).await {
            Ok(parts) => parts.map_err(|error| refused(&on.host, error))?,
            Err(_) => return Err(DataError::Unanswered { host: on.host, reason: "it took too long".to_owned() }),
        };
        let mut view = DataView { host: on.host.clone(), run: on.run(), action: word, ..DataView::default() };
        let mut whole = false;
        for mut part in parts {
            part.make_harmless();
            match part.part {
                Some(Part::File(file)) => about(&mut view, file),
                Some(Part::Table(table)) => fill(&mut view, table),
                Some(Part::End(end)) => {
                    (view.used, view.notes, view.bytes_read) = (end.used, end.notes, end.bytes_read);
                    whole = true;
                }
                Some(Part::Bytes(_)) | None => {}
            }
        }
        if let At::Here(kept) = &on.at {
            view.modified = rfc3339(kept.modified_ms).filter(|_| kept.modified_ms > 0);
        }
        if whole { Ok(view) } else { Err(broke_off(on.host)) }
    }

    /// The observations of a data file as CSV, or as Parquet.
    ///
    /// # Errors
    /// See [`DataError`].
    pub async fn data_bytes(&self, who: &Identity, ask: DataAsk, parquet: bool) -> Result<DataBytes, DataError> {
        if !matches!(ask.action.as_str(), "" | "rows") {
            let words = format!("CSV and Parquet are of the observations: leave the action `{}` out", ask.action);
            return Err(DataError::Asked { words });
        }
        let format = if parquet { wire::DataFormat::Parquet } else { wire::DataFormat::Csv };
        let request = request(who, &ask, wire::DataAction::Rows, format)?;
        let on = self.data_source(who, &ask).await?;
        let host = on.host.clone();
        let begin = async {
            let mut parts = on.parts(request).await?;
            // What is wrong with the request is said before the first piece.
            let first = parts.try_next().await?;
            Ok((parts, first))
        };
        let (parts, first) = match tokio::time::timeout(ANSWER, begin).await {
            Ok(begun) => begun.map_err(|error: AgentError| refused(&host, error))?,
            Err(_) => return Err(DataError::Unanswered { host, reason: "it took too long".to_owned() }),
        };
        let Some(wire::DataPart { part: Some(Part::File(file)) }) = first else { return Err(broke_off(host)) };
        let bytes = Box::pin(pieces(host.clone(), parts));
        Ok(DataBytes { host, path: file.path, bytes })
    }

    /// Where the file is read: a file that a run left may be here, or where that run was.
    async fn data_source(&self, who: &Identity, ask: &DataAsk) -> Result<DataSource, DataError> {
        let mut ask = ask.clone();
        if !ask.run.is_empty() {
            let file = match KeptData::find(self, who, &ask).await? {
                Ok(kept) => {
                    let (host, path) = (kept.host.clone(), kept.name.clone());
                    return Ok(DataSource { host, path, at: At::Here(kept) });
                }
                Err(elsewhere) => elsewhere,
            };
            (ask.host, ask.path) = (file.host, file.path);
        }
        let on = self.data_on(who, &ask).await?;
        Ok(DataSource { host: on.host, path: ask.path, at: At::Host(on.connection) })
    }

    /// The agent that has the file.
    async fn data_on(&self, who: &Identity, ask: &DataAsk) -> Result<DataOn, DataError> {
        let inner = &self.0;
        let need = who.need(&ask.host);
        lookup::known(inner, &need).await?;
        let mut all = inner.fleet.find_data(&need, &who.principal, &ask.path).await;
        let has = |on: &DataOn| on.file.as_ref().is_some_and(|file| file.problem.is_empty());
        let there: Vec<&DataOn> = all.iter().filter(|on| has(on)).collect();
        if let Some(first) = there.first() {
            let at = first.file.as_ref().map(|file| file.path.as_str()).unwrap_or_default();
            if !who.limits.allows_path(at) && !faults::bug("token_limits_ignored") {
                let words = format!(
                    "your token is limited to {}, and {} is not below: ask the operator for another token",
                    who.limits.roots.join(", "),
                    ask.path
                );
                return Err(DataError::Refused { words });
            }
            let mark = |on: &DataOn| on.file.as_ref().map(|file| file.mark.clone());
            if there.iter().any(|on| mark(on) != mark(first)) {
                return Err(DataError::Different(different(&ask.path, &there)));
            }
            let at = all.iter().position(has).unwrap_or_default();
            return Ok(all.swap_remove(at));
        }
        let missing: Vec<MissingOn> = all
            .iter()
            .filter_map(|on| {
                let file = on.file.as_ref()?;
                Some(MissingOn {
                    host: on.host.clone(),
                    problem: file.problem.clone(),
                    mapped: None,
                    near: file.near.iter().filter(|path| who.limits.allows_path(path)).cloned().collect(),
                    roots: inner.fleet.roots(&on.agent_id),
                })
            })
            .collect();
        match (missing.is_empty(), all.first()) {
            (false, _) => Err(DataError::NotThere(NotThere { folder: true, on: missing })),
            (true, Some(on)) => Err(DataError::TooOld(on.host.clone())),
            (true, None) => Err(DataError::NoAgent),
        }
    }
}

/// Hosts and their files, which are not the same.
fn different(path: &str, there: &[&DataOn]) -> String {
    let one = |on: &&DataOn| {
        let file = on.file.clone().unwrap_or_default();
        let at = rfc3339(file.modified_ms).unwrap_or_default();
        format!("{} has one of {} bytes, changed {at}", on.host, file.bytes)
    };
    let all: Vec<String> = there.iter().take(5).map(one).collect();
    format!("{path} is not the same on every host: {}; pass host", all.join("; "))
}

fn request(
    who: &Identity,
    ask: &DataAsk,
    action: wire::DataAction,
    format: wire::DataFormat,
) -> Result<wire::DataRequest, DataError> {
    if ask.path.trim().is_empty() {
        return Err(DataError::Asked { words: "the path of a data file is missing".to_owned() });
    }
    let names: usize = ask.variables.iter().map(String::len).sum();
    if names > LONGEST || ask.condition.len() > LONGEST || ask.range.len() > LONGEST {
        return Err(DataError::Asked { words: format!("the request is longer than {LONGEST} characters") });
    }
    Ok(wire::DataRequest {
        path: ask.path.clone(),
        action: action.into(),
        variables: ask.variables.clone(),
        condition: ask.condition.clone(),
        range: ask.range.clone(),
        codes: ask.codes,
        limit: ask.limit,
        format: format.into(),
        principal_issuer: who.principal.issuer().to_owned(),
        principal: who.principal.subject().to_owned(),
    })
}

fn broke_off(host: String) -> DataError {
    DataError::Unanswered { host, reason: "its answer broke off".to_owned() }
}

fn refused(host: &str, error: AgentError) -> DataError {
    let words = error.words;
    match error.failure {
        Failure::Refused => DataError::OfFile { words, asked: true },
        Failure::NotFound | Failure::Unmet => DataError::OfFile { words, asked: false },
        Failure::TooOld => DataError::TooOld(host.to_owned()),
        _ => DataError::Unanswered { host: host.to_owned(), reason: words },
    }
}

/// The pieces of a file; an error where it does not come to its end.
fn pieces(host: String, parts: DataParts) -> impl Stream<Item = Result<Bytes, DataError>> + Send {
    stream::try_unfold((host, parts, false), |(host, mut parts, whole)| async move {
        loop {
            let next = match tokio::time::timeout(PIECE, parts.next()).await {
                Ok(next) => next,
                Err(_) => return Err(DataError::Unanswered { host, reason: "it took too long".to_owned() }),
            };
            match next {
                None if whole => return Ok(None),
                None => return Err(broke_off(host)),
                Some(Err(error)) => return Err(refused(&host, error)),
                Some(Ok(wire::DataPart { part: Some(Part::Bytes(bytes)) })) => {
                    return Ok(Some((bytes, (host, parts, whole))));
                }
                Some(Ok(wire::DataPart { part: Some(Part::End(_)) })) => return Ok(None),
                Some(Ok(_)) => {}
            }
        }
    })
}

fn about(view: &mut DataView, file: wire::DataFile) {
    let words = |text: String| Some(text).filter(|text| !text.is_empty());
    view.path = file.path;
    view.bytes = file.bytes;
    view.modified = rfc3339(file.modified_ms).filter(|_| file.modified_ms > 0);
    view.release = file.release;
    view.label = words(file.label);
    view.saved = words(file.saved);
    view.observations = file.observations;
    view.variables = file.variables;
    view.sorted_by = file.sorted_by;
}

fn fill(view: &mut DataView, table: wire::DataTable) {
    view.columns = table.columns.into_iter().map(|c| DataColumnView { name: c.name, numbers: c.numbers }).collect();
    let cell = |cell: wire::DataCell| match cell.value {
        None => Value::Null,
        Some(Cell::Text(text)) => Value::String(text),
        // Whole numbers are written without a fraction.
        Some(Cell::Number(x)) if x.fract() == 0.0 && x.abs() < 9e15 => Value::from(x as i64),
        Some(Cell::Number(x)) => Value::from(x),
    };
    let row = |row: wire::DataRow| row.cells.into_iter().map(cell).collect();
    view.rows = table.rows.into_iter().map(row).collect();
}
