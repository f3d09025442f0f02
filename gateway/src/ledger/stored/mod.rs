//! The form in which the rest of a record is stored: JSON that earlier versions read too.
//!
//! It has the shape in which it was first published: what was asked for, the present attempt and the end side by side,
//! and the dead attempts in a list. Fields are added, and none changes its meaning. What the columns of `runs` have is
//! taken from there: the last attempt, its agent and its pool.

mod dead;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use longhaul_proto::{
    api,
    egress::Egress,
    risk::{Confirmed, Risk},
};
use serde::{Deserialize, Serialize};

use self::dead::StoredDead;
use super::LedgerError;
use crate::model::{
    Asked, Attempt, AttemptRecord, Conditions, Detail, Diagnosis, End, Execution, Need, Origin, OutputLengths,
    Placement, Principal, QueueRecord, Urgency,
};

/// The last attempt as the columns have it.
#[derive(Clone, Debug)]
pub(super) struct LastAttempt {
    pub(super) number: Attempt,
    pub(super) at: Placement,
}

/// The stored form of a detail.
///
/// # Errors
/// [`LedgerError::Broken`].
pub(super) fn write(detail: &Detail) -> Result<String, LedgerError> {
    serde_json::to_string(&StoredDetail::from(detail)).map_err(|e| LedgerError::Broken(e.to_string()))
}

/// The detail of a stored form.
///
/// # Errors
/// [`LedgerError::Broken`].
pub(super) fn read(json: &str, last: Option<LastAttempt>) -> Result<Detail, LedgerError> {
    let stored: StoredDetail = serde_json::from_str(json).map_err(|e| LedgerError::Broken(e.to_string()))?;
    Ok(stored.detail(last))
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredDetail {
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_note: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    file_name: String,
    args: Vec<String>,
    need: Need,
    path: Option<String>,
    wanted_dir: String,
    wanted_sha256: String,
    /// Digest of the code as found at submission, where `code_sha256` is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    found_sha256: Option<String>,
    client: String,
    timeout_ms: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    timeout_of: String,
    queue_timeout_ms: u64,
    waited_ms: u64,
    waited_for: String,
    traceparent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tracestate: String,
    queued_ms: i64,
    queue_limit_from_ms: i64,
    running_ms: i64,
    started_ms: i64,
    host_running_ms: i64,
    host_ended_ms: i64,
    rc: Option<i64>,
    message: String,
    command: String,
    location: Option<api::LocationView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<Diagnosis>,
    engine: String,
    engine_note: String,
    working_dir: String,
    code_sha256: String,
    view: Option<api::ViewRange>,
    log_len: u64,
    log_sha256: String,
    console_len: u64,
    console_sha256: String,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<StoredLengths>,
    duration_ms: Option<u64>,
    note: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    conditions: BTreeMap<String, String>,
    leftovers: Vec<String>,
    artifacts: Vec<api::ArtifactView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files_removed: Option<api::FilesRemoved>,
    ended_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<api::ProcessView>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    profile_ran: bool,
    imported: bool,
    unverified: bool,
    claims: Principal,
    contested: Vec<String>,
    retry: api::Retry,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted_cores: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cores: Option<u32>,
    #[serde(skip_serializing_if = "api::Priority::is_normal")]
    priority: api::Priority,
    #[serde(skip_serializing_if = "String::is_empty")]
    priority_reason: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    priority_between: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<Egress>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    risks: Vec<Risk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<Confirmed>,
    earlier: Vec<StoredDead>,
    log_base: u64,
    console_base: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredLengths {
    log_len: u64,
    console_len: u64,
}

impl From<OutputLengths> for StoredLengths {
    fn from(lengths: OutputLengths) -> Self {
        Self { log_len: lengths.log, console_len: lengths.console }
    }
}

impl From<StoredLengths> for OutputLengths {
    fn from(stored: StoredLengths) -> Self {
        Self { log: stored.log_len, console: stored.console_len }
    }
}

impl StoredDetail {
    /// What was asked for.
    fn asked(asked: &Asked) -> Self {
        Self {
            source: asked.source.clone(),
            name: asked.name.clone(),
            user_note: asked.note.clone(),
            file_name: asked.file_name.clone(),
            args: asked.args.clone(),
            need: asked.need.clone(),
            path: asked.path.clone(),
            wanted_dir: asked.working_dir.clone(),
            wanted_sha256: asked.required_sha256.clone(),
            client: asked.client.clone(),
            timeout_ms: asked.timeout_ms,
            timeout_of: asked.timeout_of.clone(),
            priority: asked.urgency.priority,
            priority_reason: asked.urgency.reason.clone(),
            priority_between: asked.urgency.between_principals,
            queue_timeout_ms: asked.queue_timeout_ms,
            traceparent: asked.traceparent.clone(),
            tracestate: asked.tracestate.clone(),
            retry: asked.retry,
            wanted_cores: Some(asked.cores).filter(|cores| *cores > 0),
            risks: asked.risks.clone(),
            confirmed: asked.confirmed.clone(),
            ..Self::default()
        }
    }
}

impl From<&Detail> for StoredDetail {
    fn from(detail: &Detail) -> Self {
        let (asked, queue, end) = (&detail.asked, &detail.queue, &detail.end);
        let present = detail.present();
        let execution = present.map(|attempt| attempt.execution.clone()).unwrap_or_default();
        let code = detail.code_sha256();
        let base = detail.base();
        Self {
            found_sha256: (asked.found_sha256 != code).then(|| asked.found_sha256.clone()),
            waited_ms: queue.waited_ms,
            waited_for: queue.waited_for.clone(),
            queued_ms: queue.since_ms,
            queue_limit_from_ms: queue.limit_from_ms,
            running_ms: execution.running_ms,
            started_ms: execution.started_ms,
            host_running_ms: execution.host_running_ms,
            host_ended_ms: execution.host_ended_ms,
            rc: end.rc,
            message: end.message.clone(),
            command: end.command.clone(),
            location: end.location.clone(),
            diagnosis: Some(end.diagnosis.clone()).filter(|found| *found != Diagnosis::default()),
            engine: execution.engine,
            engine_note: execution.engine_note,
            working_dir: detail.working_dir().to_owned(),
            code_sha256: code.to_owned(),
            view: present.and_then(|attempt| attempt.user_part),
            log_len: end.output.log,
            log_sha256: present.map(|attempt| attempt.log_sha256.clone()).unwrap_or_default(),
            console_len: end.output.console,
            console_sha256: present.map(|attempt| attempt.console_sha256.clone()).unwrap_or_default(),
            complete: end.complete,
            told: present.and_then(|attempt| attempt.recorded).map(StoredLengths::from),
            duration_ms: execution.duration_ms,
            note: end.note.clone(),
            conditions: detail.conditions.names(),
            leftovers: execution.leftovers,
            artifacts: execution.artifacts,
            files_removed: end.files_removed.clone(),
            ended_by: execution.ended_by,
            process: execution.process,
            profile_ran: execution.profile_ran,
            cores: execution.cores,
            egress: execution.egress,
            imported: detail.origin.is_import(),
            unverified: detail.origin.is_unverified(),
            claims: detail.origin.claims(),
            contested: detail.contested.clone(),
            earlier: detail.dead().map(StoredDead::from).collect(),
            log_base: base.log,
            console_base: base.console,
            ..Self::asked(asked)
        }
    }
}

impl StoredDetail {
    fn detail(mut self, last: Option<LastAttempt>) -> Detail {
        let earlier = std::mem::take(&mut self.earlier);
        let mut attempts: Vec<_> = earlier.into_iter().filter_map(StoredDead::entry).collect();
        let died = attempts.last().map(|dead| dead.number);
        match (last, attempts.last_mut()) {
            // The pool of a dead attempt was not stored from the first.
            (Some(last), Some(dead)) if died == Some(last.number) => dead.at.pool = last.at.pool,
            (Some(last), _) => attempts.push(self.present(last)),
            (None, _) => {}
        }
        Detail {
            origin: match (self.unverified, self.imported) {
                (true, _) => Origin::Unverified { claims: self.claims },
                (false, true) => Origin::Imported,
                (false, false) => Origin::Submitted,
            },
            queue: QueueRecord {
                since_ms: self.queued_ms,
                limit_from_ms: self.queue_limit_from_ms,
                waited_ms: self.waited_ms,
                waited_for: self.waited_for,
            },
            attempts,
            end: End {
                rc: self.rc,
                message: self.message,
                command: self.command,
                location: self.location,
                diagnosis: self.diagnosis.unwrap_or_default(),
                note: self.note,
                output: OutputLengths { log: self.log_len, console: self.console_len },
                complete: self.complete,
                files_removed: self.files_removed,
            },
            conditions: Conditions::from_names(self.conditions),
            contested: self.contested,
            asked: Asked {
                source: self.source,
                name: self.name,
                note: self.user_note,
                file_name: self.file_name,
                args: self.args,
                need: self.need,
                path: self.path,
                working_dir: self.wanted_dir,
                required_sha256: self.wanted_sha256,
                found_sha256: self.found_sha256.unwrap_or(self.code_sha256),
                client: self.client,
                timeout_ms: self.timeout_ms,
                timeout_of: self.timeout_of,
                urgency: Urgency {
                    priority: self.priority,
                    reason: self.priority_reason,
                    between_principals: self.priority_between,
                },
                queue_timeout_ms: self.queue_timeout_ms,
                traceparent: self.traceparent,
                tracestate: self.tracestate,
                retry: self.retry,
                cores: self.wanted_cores.unwrap_or(0),
                risks: self.risks,
                confirmed: self.confirmed,
            },
        }
    }

    /// The attempt that is not among the dead ones.
    fn present(&mut self, last: LastAttempt) -> AttemptRecord {
        use std::mem::take;
        AttemptRecord {
            number: last.number,
            at: last.at,
            base: OutputLengths { log: self.log_base, console: self.console_base },
            user_part: self.view,
            recorded: self.told.map(OutputLengths::from),
            log_sha256: take(&mut self.log_sha256),
            console_sha256: take(&mut self.console_sha256),
            execution: Execution {
                started_ms: self.started_ms,
                running_ms: self.running_ms,
                host_running_ms: self.host_running_ms,
                host_ended_ms: self.host_ended_ms,
                duration_ms: self.duration_ms,
                engine: take(&mut self.engine),
                engine_note: take(&mut self.engine_note),
                working_dir: take(&mut self.working_dir),
                code_sha256: self.code_sha256.clone(),
                leftovers: take(&mut self.leftovers),
                artifacts: take(&mut self.artifacts),
                ended_by: take(&mut self.ended_by),
                process: self.process,
                profile_ran: self.profile_ran,
                cores: self.cores,
                egress: self.egress.take(),
            },
            death: None,
        }
    }
}
