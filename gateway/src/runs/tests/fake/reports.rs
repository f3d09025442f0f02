//! What the fake agent reports of itself and its runs.

use longhaul_proto::wire;

use super::{FakeRun, Shared};

impl Shared {
    /// Its runs, and the attempts that it has revoked.
    pub(super) fn summaries(&self) -> Vec<wire::RunSummary> {
        let state = self.state();
        let of = |(run_id, run): (&String, &FakeRun)| wire::RunSummary {
            run_id: run_id.clone(),
            attempt: run.attempt,
            state: run.outcome.as_ref().map_or(wire::RunState::Running.into(), |o| o.state),
            outcome: run.outcome.clone(),
            principal: run.submission.principal.clone(),
            principal_issuer: run.submission.principal_issuer.clone(),
            key: run.submission.key.clone(),
            sealed_sha256: longhaul_proto::seal::digest(&run.submission).to_vec(),
            seal: run.submission.seal.clone(),
            ..Default::default()
        };
        let revoked = state.revoked.iter().map(|(run_id, attempt)| wire::RunSummary {
            run_id: run_id.clone(),
            attempt: *attempt,
            revoked: true,
            ..Default::default()
        });
        state.runs.iter().map(of).chain(revoked).collect()
    }

    /// The runs of which it keeps only files.
    pub(super) fn leftovers(&self) -> Vec<wire::RunSummary> {
        let of = |(run_id, outcome): (&String, &wire::Outcome)| wire::RunSummary {
            run_id: run_id.clone(),
            state: outcome.state,
            outcome: Some(outcome.clone()),
            ..Default::default()
        };
        self.state().leftovers.iter().map(of).collect()
    }

    /// Its next heartbeat.
    pub(super) fn heartbeat(&self, info: &wire::AgentInfo) -> wire::HeartbeatRequest {
        let state = self.state();
        let size = |(run, n): (&String, &u64)| wire::SpoolSize { run_id: run.clone(), bytes: *n, work_bytes: *n };
        wire::HeartbeatRequest {
            agent_id: info.agent_id.clone(),
            incarnation: info.incarnation.clone(),
            engines: info.engines.clone(),
            spool_bytes: state.spool.0,
            spool_limit: state.spool.1,
            spools: state.files.iter().map(size).collect(),
            ..Default::default()
        }
    }
}
