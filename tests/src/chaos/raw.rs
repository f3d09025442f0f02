//! Calls that no gateway makes, made with the gateway's key: outdated calls must change nothing.

use std::time::Duration;

use longhaul_proto::{
    grpc_transport::GrpcTransport,
    ids::Ids,
    wire::{self, agent_client::AgentClient},
};
use tonic::Request;

use super::{cell::Stale, trial::Trial};
use crate::{lab, trust};

/// Limit of a call.
const LIMIT: Duration = Duration::from_secs(10);

struct Caller {
    client: AgentClient<GrpcTransport>,
}

impl Caller {
    async fn dial(trial: &Trial) -> Option<Self> {
        let gateway = trust::Side::gateway(&trial.site.gateway.data);
        let client = gateway.call_agent(&trial.site.back.url()).await.ok()?;
        Some(Self { client })
    }

    fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(LIMIT);
        request
    }
}

/// Makes the call and records what was wrong about the answer.
pub async fn call(trial: &mut Trial, stale: Stale) {
    let Some(mut caller) = Caller::dial(trial).await else {
        return trial.history.wrong("the agent could not be called");
    };
    let cluster = trial.site.agent.data.join("agent/cluster-id");
    let cluster_id = std::fs::read_to_string(cluster).unwrap_or_default().trim().to_owned();
    let code = |name: &str| {
        let path = trial.site.lab.work().join("lines.do");
        let submission = wire::Submission {
            principal: "nobody".into(),
            args: vec![name.to_owned(), "1".into(), "0".into(), "0".into()],
            cluster_id: cluster_id.clone(),
            source: Some(wire::submission::Source::Text(std::fs::read(path).unwrap_or_default())),
            ..Default::default()
        };
        (name.to_owned(), submission)
    };
    match stale {
        Stale::LowerAttempt => {
            let (name, mut submission) = code("stale");
            let run = Ids::system().run();
            submission.run_id = run.to_string();
            let revoke = caller.with(wire::RevokeRequest { run_id: run.to_string(), attempt: 2 });
            let revoked = caller.client.revoke(revoke).await.is_ok_and(|r| r.get_ref().revoked);
            let request = caller.with(wire::RunRequest { submission: Some(submission), attempt: 1, cluster_id });
            let answer = caller.client.run(request).await;
            trial.history.note(format!("revoked: {revoked}; the lower attempt: {:?}", answer.as_ref().err()));
            if answer.is_ok() {
                trial.history.wrong(format!("attempt 1 of {name} was taken after attempt 2 had been revoked"));
            }
        }
        Stale::SameAttempt => {
            let Some(run) = trial.history.run(super::trial::BEFORE) else { return };
            trial.site.lab.open_gate(super::trial::BEFORE);
            let spool = trial.site.spool(run);
            let ended = async |_: &super::site::Site| lab::json(&spool.join("outcome.json")).is_some();
            if trial.rng.coin() && !trial.site.wait(LIMIT, ended).await {
                trial.history.wrong("the run did not end");
            }
            let (_, mut submission) = code(super::trial::BEFORE);
            submission.run_id = run.to_string();
            for attempt in [1, 2] {
                let request =
                    wire::RunRequest { submission: Some(submission.clone()), attempt, cluster_id: cluster_id.clone() };
                let answer = caller.client.run(caller.with(request)).await;
                if attempt == 2 && answer.is_ok() {
                    trial.history.wrong("a second attempt of a run that had begun was taken");
                }
            }
        }
        Stale::WrongDigest => {
            let Some(run) = trial.history.run(super::trial::BEFORE) else { return };
            trial.site.lab.open_gate(super::trial::BEFORE);
            let spool = trial.site.spool(run);
            let ended = async |_: &super::site::Site| lab::json(&spool.join("outcome.json")).is_some();
            if !trial.site.wait(LIMIT, ended).await {
                trial.history.wrong("the run did not end");
            }
            let len = trial.site.log(run).len() as u64;
            let request = wire::ForgetRequest {
                run_id: run.to_string(),
                log_len: len,
                log_sha256: longhaul_proto::sha256_hex(b"something else"),
                ..Default::default()
            };
            let answer = caller.client.forget(caller.with(request)).await;
            if answer.is_ok_and(|r| r.get_ref().forgotten) || !spool.is_dir() {
                trial.history.wrong("a run was forgotten by whoever does not know its output");
            }
        }
    }
}
