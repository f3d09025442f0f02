//! Where a run stands, as followers see it.

use std::sync::Arc;

use longhaul_proto::{faults, ids::RunId, principal::Principal, state::RunState, wire};

use crate::{
    spool::{OutcomeRecord, Plan},
    stata::{progress::Progress, view::View},
};

/// What does not change once an attempt is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `stata` or `standin`.
    pub engine: String,
    /// Edition and version, or how the stand-in describes itself.
    pub engine_note: String,
    /// Where the code runs.
    pub working_dir: String,
    /// Hex digest of the executed bytes.
    pub code_sha256: String,
    /// A project's `profile.do` is run.
    pub profile_ran: bool,
    /// Stata is told to use at most so many cores; 0 = it is told nothing.
    pub cores: u32,
    /// The ledger that recorded the run.
    pub cluster_id: String,
    /// The principal who asked.
    pub principal: Principal,
    /// The idempotency key; empty = none.
    pub key: String,
    /// Digest of the request, which the seal covers.
    pub sealed_sha256: [u8; 32],
    /// The gateway's seal on it; empty = none.
    pub seal: Vec<u8>,
}

impl Facts {
    /// From the request.
    pub(super) fn asked(submission: &wire::Submission) -> Self {
        Self {
            cluster_id: submission.cluster_id.clone(),
            principal: Principal::new(&*submission.principal_issuer, &*submission.principal),
            key: submission.key.clone(),
            sealed_sha256: longhaul_proto::seal::digest(submission),
            seal: submission.seal.clone(),
            ..Self::default()
        }
    }

    /// Adds what the plan says.
    pub(super) fn planned(self, plan: &Plan) -> Self {
        Self {
            engine: plan.engine.clone(),
            engine_note: plan.engine_note.clone(),
            working_dir: plan.working_dir.to_string_lossy().into_owned(),
            code_sha256: plan.code_sha256.clone(),
            profile_ran: plan.profile.is_some(),
            cores: plan.cores.unwrap_or(0),
            ..self
        }
    }
}

/// A run's status.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Its folder was read.
    pub read: bool,
    /// Highest attempt; 0 = none yet.
    pub attempt: u32,
    /// That attempt was revoked.
    pub revoked: bool,
    /// Unix milliseconds; 0 = not yet.
    pub started_at_ms: i64,
    /// Likewise, of the first log byte.
    pub running_at_ms: i64,
    /// What does not change.
    pub facts: Arc<Facts>,
    /// The user's part of the log; none before it has started.
    pub view: Option<View>,
    /// The latest progress.
    pub progress: Option<wire::Progress>,
    /// What its processes do while its log is quiet; `None` = the log grows.
    pub activity: Option<wire::Activity>,
    /// The end.
    pub outcome: Option<Arc<OutcomeRecord>>,
    /// The end to repeat for what is left of a run that the agent does not have otherwise: it was deleted except for
    /// its files, or its attempt died and the one after it was revoked.
    pub kept: Option<Arc<OutcomeRecord>>,
    /// Why the agent cannot handle it, in words for people; empty = it can.
    pub trouble: String,
}

impl Status {
    /// Queued while no attempt has started.
    pub fn state(&self) -> RunState {
        match &self.outcome {
            Some(outcome) => outcome.state,
            None if self.attempt == 0 || self.revoked => RunState::Queued,
            None if self.running_at_ms > 0 => RunState::Running,
            None => RunState::Starting,
        }
    }

    /// The run has ended.
    pub(super) fn end(&mut self, outcome: OutcomeRecord) {
        self.started_at_ms = outcome.started_at_ms;
        self.running_at_ms = outcome.running_at_ms;
        // A record of an earlier version has no safe end.
        self.view = outcome.view.map(|(start, end)| View { start, safe_end: end.unwrap_or(start), end });
        self.outcome = Some(Arc::new(outcome));
    }

    /// For the gateway's inventory; `None` = there is nothing to report.
    pub fn summary(&self, run: RunId) -> Option<wire::RunSummary> {
        (self.attempt > 0).then(|| wire::RunSummary {
            run_id: run.to_string(),
            attempt: self.attempt,
            revoked: self.revoked,
            state: self.state().to_wire() as i32,
            outcome: self.outcome.as_ref().map(|o| verdict(o)),
            cluster_id: self.facts.cluster_id.clone(),
            principal: self.facts.principal.subject().to_owned(),
            principal_issuer: self.facts.principal.wire_issuer().to_owned(),
            key: self.facts.key.clone(),
            sealed_sha256: if self.facts.seal.is_empty() { Vec::new() } else { self.facts.sealed_sha256.to_vec() },
            seal: self.facts.seal.clone(),
        })
    }

    /// The same for a run of which only files are kept; `None` = it is none of those.
    pub fn leftover(&self, run: RunId) -> Option<wire::RunSummary> {
        let kept = self.kept.as_ref()?;
        Some(wire::RunSummary {
            run_id: run.to_string(),
            state: kept.state.to_wire() as i32,
            outcome: Some(verdict(kept)),
            ..wire::RunSummary::default()
        })
    }

    /// A snapshot with these lengths.
    pub fn snapshot(&self, run: RunId, log_len: u64, console_len: u64) -> wire::Snapshot {
        let outcome = self.outcome.as_ref();
        wire::Snapshot {
            run_id: run.to_string(),
            attempt: self.attempt,
            state: self.state().to_wire() as i32,
            log_len,
            console_len,
            view: self.view.map(view_to_wire),
            progress: self.progress.clone(),
            artifacts: outcome
                .map(|o| {
                    let artifact = |a: &crate::spool::Artifact| wire::Artifact { path: a.path.clone(), bytes: a.bytes };
                    o.artifacts.iter().map(artifact).collect()
                })
                .unwrap_or_default(),
            outcome: outcome.map(|o| o.to_wire()),
            submission: None,
            started_at_ms: self.started_at_ms,
            running_at_ms: self.running_at_ms,
            engine: self.facts.engine.clone(),
            engine_note: self.facts.engine_note.clone(),
            working_dir: self.facts.working_dir.clone(),
            code_sha256: self.facts.code_sha256.clone(),
            profile_ran: self.facts.profile_ran,
            incarnation: String::new(),
            cores: self.facts.cores,
        }
    }
}

/// The user's part as it is sent; a record of an earlier version has no safe end.
fn view_to_wire(view: View) -> wire::View {
    let safe_end = (!faults::bug("views_of_an_earlier_version")).then_some(view.safe_end);
    wire::View { start: view.start, end: view.end, safe_end }
}

/// An end without its texts: those are sent with the run's own snapshot.
fn verdict(outcome: &OutcomeRecord) -> wire::Outcome {
    wire::Outcome {
        message: String::new(),
        command: String::new(),
        location: None,
        diagnosis: None,
        leftovers: Vec::new(),
        note: String::new(),
        ..outcome.to_wire()
    }
}

pub(super) fn progress(progress: &Progress, at_ms: i64) -> wire::Progress {
    wire::Progress { percent: progress.percent, text: progress.text.clone(), at_ms, waits: false }
}

/// Summaries in the order of run ids.
pub(super) fn in_order(mut all: Vec<wire::RunSummary>) -> Vec<wire::RunSummary> {
    all.sort_by(|a, b| a.run_id.cmp(&b.run_id));
    all
}
