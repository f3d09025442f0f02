//! Calls that no gateway makes, made with the gateway's key: outdated calls must change nothing.

use std::time::Duration;

use longhaul_proto::{
    grpc_transport::GrpcTransport,
    ids::{Ids, RunId},
    wire::{self, agent_client::AgentClient},
};
use tonic::{Request, Status};

use super::{
    cell::Stale,
    site::Site,
    trial::{BEFORE, Trial},
};
use crate::{lab, trust};

/// Limit of a call.
const LIMIT: Duration = Duration::from_secs(10);

struct Caller {
    client: AgentClient<GrpcTransport>,
    cluster_id: String,
    code: Vec<u8>,
}

impl Caller {
    async fn dial(trial: &Trial) -> Option<Self> {
        let gateway = trust::Side::gateway(&trial.site.gateway.data);
        let client = gateway.call_agent(&trial.site.back.url()).await.ok()?;
        let cluster = trial.site.agent.data.join("agent/cluster-id");
        let cluster_id = std::fs::read_to_string(cluster).unwrap_or_default().trim().to_owned();
        let code = std::fs::read(trial.site.lab.work().join("lines.do")).unwrap_or_default();
        Some(Self { client, cluster_id, code })
    }

    fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(LIMIT);
        request
    }

    /// Calls `Run` for this run, with code that counts itself under this name; whether the attempt was taken.
    async fn run(&mut self, run: RunId, name: &str, attempt: u32) -> Result<(), Status> {
        let submission = wire::Submission {
            run_id: run.to_string(),
            principal: "nobody".into(),
            args: vec![name.to_owned(), "1".into(), "0".into(), "0".into()],
            cluster_id: self.cluster_id.clone(),
            source: Some(wire::submission::Source::Text(self.code.clone())),
            ..Default::default()
        };
        let cluster_id = self.cluster_id.clone();
        let request = self.with(wire::RunRequest { submission: Some(submission), attempt, cluster_id, trace: None });
        self.client.run(request).await.map(drop)
    }
}

/// Makes the call and records what was wrong about the answer.
pub async fn call(trial: &mut Trial, stale: Stale) {
    let Some(caller) = Caller::dial(trial).await else {
        return trial.history.wrong("the agent could not be called");
    };
    match stale {
        Stale::LowerAttempt => lower_attempt(trial, caller).await,
        Stale::SameAttempt => same_attempt(trial, caller).await,
        Stale::WrongDigest => wrong_digest(trial, caller).await,
    }
}

/// An attempt that is lower than one which was revoked.
async fn lower_attempt(trial: &mut Trial, mut caller: Caller) {
    let run = Ids::system().run();
    let revoke = caller.with(wire::RevokeRequest { run_id: run.to_string(), attempt: 2 });
    let revoked = caller.client.revoke(revoke).await.is_ok_and(|r| r.get_ref().revoked);
    let answer = caller.run(run, "stale", 1).await;
    trial.history.note(format!("revoked: {revoked}; the lower attempt: {:?}", answer.as_ref().err()));
    if answer.is_ok() {
        trial.history.wrong("attempt 1 of stale was taken after attempt 2 had been revoked");
    }
}

/// The attempt that began, and the one after it.
async fn same_attempt(trial: &mut Trial, mut caller: Caller) {
    let Some(run) = trial.history.run(BEFORE) else { return };
    trial.site.lab.open_gate(BEFORE);
    if trial.rng.coin() {
        ended(trial, run).await;
    }
    for attempt in [1, 2] {
        let answer = caller.run(run, BEFORE, attempt).await;
        if attempt == 2 && answer.is_ok() {
            trial.history.wrong("a second attempt of a run that had begun was taken");
        }
    }
}

/// A `Forget` whose digest is of other output.
async fn wrong_digest(trial: &mut Trial, mut caller: Caller) {
    let Some(run) = trial.history.run(BEFORE) else { return };
    trial.site.lab.open_gate(BEFORE);
    ended(trial, run).await;
    let request = wire::ForgetRequest {
        run_id: run.to_string(),
        log_len: trial.site.log(run).len() as u64,
        log_sha256: longhaul_proto::sha256_hex(b"something else"),
        ..Default::default()
    };
    let answer = caller.client.forget(caller.with(request)).await;
    if answer.is_ok_and(|r| r.get_ref().forgotten) || !trial.site.spool(run).is_dir() {
        trial.history.wrong("a run was forgotten by a caller that does not know its output");
    }
}

/// Waits for the exit record of a run.
async fn ended(trial: &Trial, run: RunId) {
    let spool = trial.site.spool(run);
    let ended = async |_: &Site| lab::json(&spool.join("control/outcome.json")).is_some();
    if !trial.site.wait(LIMIT, ended).await {
        trial.history.wrong("the run did not end");
    }
}
