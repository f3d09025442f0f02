//! What callers may read of what a run left in r(), e() and s().

use bytes::Bytes;
use longhaul_proto::{MAX_DO_FILE, ids::RunId, state::RunState};

use super::{DoFileError, fetch};
use crate::{
    blobs::BlobError,
    model::{Identity, Record},
    runs::{FindError, Look, Runs},
};

/// Why an ended run that was noted by an earlier version has none.
const EARLIER: &str = "not gathered: its record is of an earlier version, which gathered no results";

/// The results of a run, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Whether this is all that will ever be known.
    pub complete: bool,
    /// [`longhaul_proto::api::Results`] as JSON; `None` = there is none.
    pub json: Option<Bytes>,
    /// Why there is none, in words.
    pub why_not: String,
}

impl Left {
    fn none(complete: bool, why_not: impl Into<String>) -> Self {
        Self { complete, json: None, why_not: why_not.into() }
    }
}

impl Runs {
    /// What a run left in r(), e() and s(). Where that has not come from its host yet, it is asked for now.
    ///
    /// # Errors
    /// As [`Runs::do_file`].
    pub async fn results(&self, who: &Identity, run: RunId) -> Result<Left, DoFileError> {
        let record = match self.look(who, run).await? {
            Look::Live(active) if !active.snapshot.borrow().state.is_end() => {
                return Ok(Left::none(
                    false,
                    "the run goes on: its results are gathered when its code has come to its end",
                ));
            }
            Look::Live(_) => self.record(run).await?.ok_or_else(|| FindError::Unknown(run.to_string()))?,
            Look::Ended(record) => *record,
        };
        let noted = self.0.ledger.do_files(run).await?;
        let noted = match noted {
            Some(noted) => noted,
            None if record.agent_id().is_empty() => {
                return Ok(Left::none(true, "the run was given to no host, so it left none"));
            }
            None => {
                let fetched = Box::pin(fetch(&self.0, run)).await;
                match (self.0.ledger.do_files(run).await?, fetched) {
                    (Some(noted), _) => noted,
                    (None, Err(error)) => return Ok(Left::none(false, coming(&record, &error.to_string()))),
                    (None, Ok(())) => return Ok(Left::none(false, coming(&record, "they come when it is connected"))),
                }
            }
        };
        let Some(results) = noted.results else { return Ok(Left::none(true, EARLIER)) };
        let Some(digest) = results.kept() else { return Ok(Left::none(true, results.missing)) };
        let most = usize::try_from(MAX_DO_FILE).unwrap_or(usize::MAX);
        let json = self.0.blobs.held(run).await?.open(digest).await?.read(0, most).await.map_err(BlobError::Disk)?;
        Ok(Left { complete: true, json: Some(json), why_not: String::new() })
    }
}

fn coming(record: &Record, why: &str) -> String {
    let host = record.host();
    match record.state {
        RunState::Lost => format!("the run is lost: its results come if host {host} returns with it"),
        _ => format!("its results have not come from host {host} yet: {why}"),
    }
}
