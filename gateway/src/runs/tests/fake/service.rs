//! What the fake agent answers.

use std::sync::Arc;

use longhaul_proto::{
    tasks::Tasks,
    transport::{Proof, Session},
    wire::{self, run_event::Event},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{FakeRun, Shared, artifact};

pub(super) struct Service(pub(super) Arc<Shared>);

type Answer<T> = Result<Response<T>, Status>;
type Events = ReceiverStream<Result<wire::RunEvent, Status>>;

impl Service {
    fn stream(&self, run_id: String, mut offset: u64, with_submission: bool) -> Events {
        let (sender, events) = mpsc::channel(4);
        let shared = self.0.clone();
        let (hang_up, breaks, mut corrupt) = shared.change(|s| {
            let breaks = (!s.break_after.is_empty()).then(|| s.break_after.remove(0));
            let corrupt = s.corrupt > 0;
            s.corrupt = s.corrupt.saturating_sub(1);
            (s.hang_up, breaks, corrupt)
        });
        let follow = async move {
            let mut changed = shared.changed.subscribe();
            let mut sent = 0;
            let (mut first, mut told) = (true, false);
            loop {
                let run = shared.state().runs[&run_id].clone();
                let all = run.log.len() as u64 <= offset;
                let send = async |event| sender.send(Ok(wire::RunEvent { event: Some(event) })).await.is_ok();
                let (stalled, unreadable, hung_up) = {
                    let state = shared.state();
                    (state.stall, state.unreadable, state.hang_up > hang_up)
                };
                if hung_up {
                    let _ = sender.send(Err(Status::unavailable("cable pulled"))).await;
                    return;
                }
                let ended = run.outcome.is_some() && all && !stalled;
                let ending = run.outcome.is_some() && !told;
                if first || ended || ending {
                    told |= ending;
                    let state = if run.log.is_empty() { wire::RunState::Starting } else { wire::RunState::Running };
                    let snapshot = wire::Snapshot {
                        run_id: run_id.clone(),
                        attempt: run.attempt,
                        state: run.outcome.as_ref().map_or(state.into(), |o| o.state),
                        log_len: run.log.len() as u64,
                        outcome: run.outcome.clone().filter(|_| ended),
                        progress: run.progress.clone(),
                        submission: (first && with_submission).then(|| run.submission.clone()),
                        engine: "standin".to_owned(),
                        working_dir: format!("/spool/{run_id}/work"),
                        artifacts: shared
                            .state()
                            .files
                            .get(&run_id)
                            .map(|bytes| artifact(&run_id, *bytes))
                            .into_iter()
                            .collect(),
                        ..Default::default()
                    };
                    if !send(Event::Snapshot(snapshot)).await || ended {
                        return;
                    }
                    if first && shared.state().strange {
                        let chunk = wire::Chunk { stream: 77, offset: 5, data: b"news".as_slice().into() };
                        let _ = sender.send(Ok(wire::RunEvent { event: None })).await;
                        let _ = send(Event::Chunk(chunk)).await;
                    }
                    first = false;
                }
                if unreadable && !stalled && !first && run.outcome.is_some() {
                    let _ = sender.send(Err(Status::internal("reading failed: input/output error"))).await;
                    return;
                }
                while offset < run.log.len() as u64 && !stalled {
                    let at = usize::try_from(offset).unwrap();
                    let end = run.log.len().min(at + longhaul_proto::CHUNK);
                    let mut data = run.log[at..end].to_vec();
                    if std::mem::take(&mut corrupt) {
                        data[0] ^= 1;
                    }
                    sent += data.len();
                    let chunk = wire::Chunk { stream: wire::Stream::Log.into(), offset, data: data.into() };
                    offset = end as u64;
                    if !send(Event::Chunk(chunk)).await {
                        return;
                    }
                    if breaks.is_some_and(|b| sent >= b) {
                        let _ = sender.send(Err(Status::unavailable("cable pulled"))).await;
                        return;
                    }
                }
                if (stalled || run.outcome.is_none()) && changed.changed().await.is_err() {
                    return;
                }
            }
        };
        Tasks::new().spawn(follow);
        ReceiverStream::new(events)
    }
}

#[tonic::async_trait]
impl wire::agent_server::Agent for Service {
    type RunStream = Events;
    type FollowStream = Events;

    async fn hello(&self, request: Request<wire::HelloRequest>) -> Answer<wire::HelloReply> {
        let info = self.0.info();
        let session = Session::of(request.extensions()).unwrap();
        session.greet();
        let reply = self.0.greeter.reply(session.channel(), "", &info.agent_id, Proof::Omit);
        Ok(Response::new(wire::HelloReply { protocol: info.protocol, ..reply }))
    }

    async fn describe(&self, _: Request<wire::DescribeRequest>) -> Answer<wire::DescribeReply> {
        Ok(Response::new(wire::DescribeReply { agent: Some(self.0.info()), runs: Vec::new() }))
    }

    async fn inspect(&self, request: Request<wire::InspectRequest>) -> Answer<wire::InspectReply> {
        let state = self.0.state();
        let problem = state.missing.get(&request.get_ref().path).cloned().unwrap_or_default();
        let found = problem.is_empty();
        Ok(Response::new(wire::InspectReply { found, problem, sha256: state.digest.clone(), ..Default::default() }))
    }

    async fn run(&self, request: Request<wire::RunRequest>) -> Answer<Self::RunStream> {
        let wire::RunRequest { submission, attempt, .. } = request.into_inner();
        let submission = submission.unwrap();
        let run_id = submission.run_id.clone();
        let failure = self.0.change(|s| {
            s.run_calls.push((run_id.clone(), attempt));
            let failure = (!s.fail_run.is_empty()).then(|| s.fail_run.remove(0));
            if s.runs.get(&run_id).is_some_and(|run| run.outcome.is_some() && run.attempt < attempt) {
                // Makes room for an attempt after one that died.
                s.runs.remove(&run_id);
            }
            if failure.as_ref().is_none_or(|(_, starts)| *starts) {
                s.runs.entry(run_id.clone()).or_insert_with(|| FakeRun { submission, ..FakeRun::default() }).attempt =
                    attempt;
            }
            failure
        });
        match failure {
            Some((status, _)) => Err(status),
            None => Ok(Response::new(self.stream(run_id, 0, false))),
        }
    }

    async fn follow(&self, request: Request<wire::FollowRequest>) -> Answer<Self::FollowStream> {
        let wire::FollowRequest { run_id, log_offset, with_submission, .. } = request.into_inner();
        match self.0.state().runs.get(&run_id) {
            None => return Err(Status::not_found("no such run here")),
            Some(run) if log_offset > run.log.len() as u64 => return Err(Status::out_of_range("past its end")),
            Some(_) => {}
        }
        self.0.change(|s| s.follows.push(log_offset));
        Ok(Response::new(self.stream(run_id, log_offset, with_submission)))
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Answer<wire::CancelReply> {
        let request = request.into_inner();
        let (mode, known) = (request.mode(), self.0.state().runs.contains_key(&request.run_id));
        self.0.change(|s| s.cancels.push((request.run_id.clone(), mode, request.by)));
        Ok(Response::new(wire::CancelReply { known, finished: false }))
    }

    async fn revoke(&self, request: Request<wire::RevokeRequest>) -> Answer<wire::RevokeReply> {
        let wire::RevokeRequest { run_id, attempt } = request.into_inner();
        let revoked = self.0.change(|s| {
            let started = s.runs.get(&run_id).is_some_and(|run| run.attempt >= attempt);
            if !started {
                s.revoked.insert(run_id, attempt);
            }
            !started
        });
        Ok(Response::new(wire::RevokeReply { revoked }))
    }

    async fn forget(&self, request: Request<wire::ForgetRequest>) -> Answer<wire::ForgetReply> {
        let request = request.into_inner();
        if let Some(status) = self.0.state().forget_fails.clone() {
            return Err(status);
        }
        let work_kept = self.0.change(|s| {
            let run = s.runs.remove(&request.run_id);
            s.spool.0 = s.spool.0.saturating_sub(1 << 20);
            let work_kept = request.keep_work && s.files.contains_key(&request.run_id);
            if work_kept {
                s.leftovers.extend(run.and_then(|run| run.outcome).map(|outcome| (request.run_id.clone(), outcome)));
            } else {
                s.leftovers.remove(&request.run_id);
                s.spool.0 = s.spool.0.saturating_sub(s.files.remove(&request.run_id).unwrap_or(0));
            }
            s.forgets.push(request);
            work_kept
        });
        Ok(Response::new(wire::ForgetReply { forgotten: true, work_kept, ..Default::default() }))
    }

    async fn changed(&self, request: Request<wire::ChangedRequest>) -> Answer<wire::ChangedReply> {
        let run_id = request.into_inner().run_id;
        let (known, reply, fails) = self.0.change(|s| {
            s.changed_calls.push(run_id.clone());
            (s.runs.contains_key(&run_id), s.changed.clone(), s.changed_fails.clone())
        });
        fails.map_or_else(|| Ok(Response::new(wire::ChangedReply { known, ..reply })), Err)
    }

    type ArtifactStream = tonic::codegen::BoxStream<wire::ArtifactPart>;

    async fn artifact(&self, _: Request<wire::ArtifactRequest>) -> Answer<Self::ArtifactStream> {
        Err(Status::unimplemented("an agent of before"))
    }
}
