//! An attempt that ended without the run, as it is stored.

use longhaul_proto::api;
use serde::{Deserialize, Serialize};

use super::StoredLengths;
use crate::model::{Attempt, AttemptRecord, Death, Execution, OutputLengths, Placement};

/// An attempt that is proven dead.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoredDead {
    attempt: u32,
    agent_id: String,
    host: String,
    how: String,
    log_len: u64,
    log_sha256: String,
    console_len: u64,
    console_sha256: String,
    complete: bool,
    view: Option<api::ViewRange>,
    /// Added later, as are the next two: earlier versions kept nothing else of a dead attempt.
    #[serde(skip_serializing_if = "String::is_empty")]
    pool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<StoredLengths>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<Execution>,
}

impl From<&AttemptRecord> for StoredDead {
    fn from(attempt: &AttemptRecord) -> Self {
        let recorded = attempt.recorded.unwrap_or_default();
        Self {
            attempt: attempt.number.number(),
            agent_id: attempt.at.agent_id.clone(),
            host: attempt.at.host.clone(),
            how: attempt.death.as_ref().map(|death| death.how.clone()).unwrap_or_default(),
            log_len: recorded.log,
            log_sha256: attempt.log_sha256.clone(),
            console_len: recorded.console,
            console_sha256: attempt.console_sha256.clone(),
            complete: attempt.died_complete(),
            view: attempt.user_part,
            pool: attempt.at.pool.clone(),
            base: Some(attempt.base).filter(|base| *base != OutputLengths::default()).map(StoredLengths::from),
            execution: Some(attempt.execution.clone()).filter(|execution| *execution != Execution::default()),
        }
    }
}

impl StoredDead {
    /// The entry; `None` = it has no number, which no version wrote.
    pub(super) fn entry(self) -> Option<AttemptRecord> {
        Some(AttemptRecord {
            number: Attempt::known(self.attempt)?,
            at: Placement { agent_id: self.agent_id, host: self.host, pool: self.pool },
            base: self.base.unwrap_or_default().into(),
            user_part: self.view,
            recorded: Some(OutputLengths { log: self.log_len, console: self.console_len }),
            log_sha256: self.log_sha256,
            console_sha256: self.console_sha256,
            execution: self.execution.unwrap_or_default(),
            death: Some(Death { how: self.how, complete: self.complete }),
        })
    }
}
