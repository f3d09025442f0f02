//! What the fake agent answers.

use std::sync::Arc;

use longhaul_proto::{
    transport::{Proof, Session},
    wire,
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    FakeRun, Shared,
    events::{Events, stream},
};

pub(super) struct Service(pub(super) Arc<Shared>);

type Answer<T> = Result<Response<T>, Status>;

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
            None => Ok(Response::new(stream(&self.0, run_id, 0, false))),
        }
    }

    async fn blob_offsets(&self, request: Request<wire::BlobOffsetsRequest>) -> Answer<wire::BlobOffsetsReply> {
        let wire::BlobOffsetsRequest { run_id, files, .. } = request.into_inner();
        let state = self.0.state();
        let have = |file: wire::BlobFile| state.blobs.get(&(run_id.clone(), file.sha256)).map_or(0, |b| b.len() as u64);
        Ok(Response::new(wire::BlobOffsetsReply { offsets: files.into_iter().map(have).collect() }))
    }

    async fn put_blobs(&self, request: Request<Streaming<wire::BlobPart>>) -> Answer<wire::PutBlobsReply> {
        let mut parts = request.into_inner();
        let mut left = self.0.change(|s| (!s.break_blobs.is_empty()).then(|| s.break_blobs.remove(0)));
        let (mut run_id, mut sha256) = (String::new(), String::new());
        while let Some(part) = parts.message().await? {
            if !part.run_id.is_empty() {
                run_id = part.run_id;
            }
            if let Some(file) = part.file {
                sha256 = file.sha256;
            }
            let len = part.data.len() as u64;
            if let Some(left) = &mut left {
                if *left < len {
                    self.0.state().connections.iter().for_each(Session::cut);
                    return Err(Status::unavailable("broken"));
                }
                *left -= len;
            }
            self.0.change(|s| {
                s.blob_bytes += len;
                s.blobs.entry((run_id.clone(), sha256.clone())).or_default().extend_from_slice(&part.data);
            });
        }
        Ok(Response::new(wire::PutBlobsReply {}))
    }

    async fn follow(&self, request: Request<wire::FollowRequest>) -> Answer<Self::FollowStream> {
        let wire::FollowRequest { run_id, log_offset, with_submission, .. } = request.into_inner();
        match self.0.state().runs.get(&run_id) {
            None => return Err(Status::not_found("no such run here")),
            Some(run) if log_offset > run.log.len() as u64 => return Err(Status::out_of_range("past its end")),
            Some(_) => {}
        }
        self.0.change(|s| s.follows.push(log_offset));
        Ok(Response::new(stream(&self.0, run_id, log_offset, with_submission)))
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
        self.0.change(|s| s.forget_calls += 1);
        if let Some(status) = self.0.state().forget_fails.clone() {
            return Err(status);
        }
        if let Some(problem) = self.0.state().forget_problem.clone() {
            return Ok(Response::new(wire::ForgetReply { problem, ..Default::default() }));
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

    async fn do_files(&self, request: Request<wire::DoFilesRequest>) -> Answer<wire::DoFilesReply> {
        let run_id = request.into_inner().run_id;
        self.0.change(|s| {
            s.do_files_calls += 1;
            match (&s.do_files_fail, s.do_files.get(&run_id)) {
                (Some(status), _) => Err(status.clone()),
                _ if s.do_files_damaged.as_ref() == Some(&run_id) => Err(Status::data_loss("damaged")),
                (None, None) => Ok(Response::new(wire::DoFilesReply::default())),
                (None, Some((reply, _))) => Ok(Response::new(reply.clone())),
            }
        })
    }

    async fn do_file(&self, request: Request<wire::DoFileRequest>) -> Answer<wire::DoFileReply> {
        let wire::DoFileRequest { run_id, sha256, .. } = request.into_inner();
        let state = self.0.state();
        let content = state.do_files.get(&run_id).and_then(|(_, contents)| contents.get(&sha256)).cloned();
        let content = content.ok_or_else(|| Status::not_found("not here"))?;
        Ok(Response::new(wire::DoFileReply { content }))
    }

    type FilesStream = tonic::codegen::BoxStream<wire::FilesPart>;

    async fn files(&self, _: Request<wire::FilesRequest>) -> Answer<Self::FilesStream> {
        Err(Status::unimplemented("an agent of before"))
    }

    async fn help(&self, _: Request<wire::HelpRequest>) -> Answer<wire::HelpReply> {
        Err(Status::unimplemented("an agent of before"))
    }

    type DataStream = tonic::codegen::BoxStream<wire::DataPart>;

    async fn data(&self, _: Request<wire::DataRequest>) -> Answer<Self::DataStream> {
        Err(Status::unimplemented("an agent of before"))
    }

    async fn draw(&self, _: Request<wire::DrawRequest>) -> Answer<wire::DrawReply> {
        Err(Status::unimplemented("an agent of before"))
    }

    type ArtifactStream = tonic::codegen::BoxStream<wire::ArtifactPart>;

    async fn artifact(&self, _: Request<wire::ArtifactRequest>) -> Answer<Self::ArtifactStream> {
        Err(Status::unimplemented("an agent of before"))
    }
}
