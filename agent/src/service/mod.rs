//! The agent's service. Its only client is the gateway whose key is pinned: that is checked at `Hello`, and from then
//! on the connection is the proof. No other call reaches this code without it ([`longhaul_proto::transport::guard`]).

mod artifact;
mod blobs;
pub(crate) mod bounds;
mod data;
mod events;
mod files;
mod made_with;
mod refusal;

use std::pin::Pin;

use futures_util::Stream;
use longhaul_proto::{
    faults,
    ids::RunId,
    principal::Principal,
    tasks::Tasks,
    telemetry::{self, Kind, RUN_CALL, Span},
    transport::{Greeter, Proof, Session},
    version,
    wire::{self, agent_server::Agent},
    words,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use self::events::FirstSnapshot;
use crate::{
    data::DataReader,
    draw::{Draw, NotDrawn},
    follow::do_files,
    help::Help,
    identity::{Certificates, Identity, Known, Pins},
    outcome::results,
    provenance::Digests,
    runs::{Forgotten, Handle, Runs},
    spool::CancelMode,
};

/// What the service needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    identity: Identity,
    greeter: Greeter,
    pins: Pins,
    certificates: Certificates,
    runs: Runs,
    data: DataReader,
    draw: Draw,
    tasks: Tasks,
    help: Help,
    digests: Digests,
}

type Events = Pin<Box<dyn Stream<Item = Result<wire::RunEvent, Status>> + Send>>;
type Parts = Pin<Box<dyn Stream<Item = Result<wire::ArtifactPart, Status>> + Send>>;
type FileParts = Pin<Box<dyn Stream<Item = Result<wire::FilesPart, Status>> + Send>>;

/// Parts of a list that wait for its reader.
const PARTS: usize = 8;

impl Service {
    /// A service for these runs.
    #[expect(clippy::too_many_arguments, reason = "the parts of an agent, each once")]
    pub(crate) fn new(
        identity: &Identity,
        greeter: &Greeter,
        (pins, certificates): (&Pins, &Certificates),
        runs: &Runs,
        tasks: &Tasks,
        help: &Help,
        data: &DataReader,
        draw: &Draw,
    ) -> Self {
        Self {
            identity: identity.clone(),
            greeter: greeter.clone(),
            pins: pins.clone(),
            certificates: certificates.clone(),
            runs: runs.clone(),
            tasks: tasks.clone(),
            help: help.clone(),
            data: data.clone(),
            draw: draw.clone(),
            digests: Digests::new(runs.clock().clone()),
        }
    }

    /// Starts an attempt, or joins it when it has started, under the span of this call.
    async fn begin_run(
        &self,
        request: wire::RunRequest,
        trace: wire::TraceContext,
    ) -> Result<Response<Events>, Status> {
        let Some(submission) = request.submission.filter(|_| request.attempt > 0) else {
            return Err(Status::invalid_argument("a run needs its request and an attempt from 1"));
        };
        let run = run_id(&submission.run_id)?;
        self.identity.check_cluster(&request.cluster_id).map_err(Status::failed_precondition)?;
        let principal = Principal::new(&*submission.principal_issuer, &*submission.principal);
        self.identity.check_serves(&principal).map_err(Status::permission_denied)?;
        let handle = self.runs.begin(run, submission, request.attempt, trace).await.map_err(refusal::status)?;
        Ok(Response::new(self.follow_run(handle, (0, 0), FirstSnapshot::Plain)?))
    }

    fn follow_run(&self, handle: Handle, from: (u64, u64), first: FirstSnapshot) -> Result<Events, Status> {
        events::follow(handle, from, first, &self.runs.metrics().counters, &self.tasks)
    }
}

fn run_id(text: &str) -> Result<RunId, Status> {
    text.parse().map_err(|e: longhaul_proto::ids::NotARunId| Status::invalid_argument(e.to_string()))
}

#[tonic::async_trait]
impl Agent for Service {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        let hello = request.get_ref();
        if let Some(words) = version::objection("agent", "gateway", hello.protocol, &hello.version) {
            return Err(Status::failed_precondition(words));
        }
        let session = Session::of(request.extensions()).ok_or_else(|| Status::internal("a call without a session"))?;
        let channel = session.channel();
        if let Err(why) = self.certificates.check_gateway(channel) {
            let key = channel.peer.short();
            tracing::warn!(%key, why, "a call was refused: it does not come from this agent's gateway");
            return Err(Status::permission_denied(format!("the caller with the key {key} is refused: {why}")));
        }
        let known = self.pins.calls(&channel.peer);
        if known == Known::Other {
            let key = channel.peer.short();
            tracing::warn!(%key, "a call was refused: its key is not that of this agent's gateway");
            return Err(Status::permission_denied(format!("the key {key} is not that of this agent's gateway")));
        }
        let proved = !hello.channel_proof.is_empty();
        if known == Known::First || proved {
            self.greeter.check_request(channel, hello).map_err(|e| Status::unauthenticated(e.to_string()))?;
        }
        self.identity.check_cluster(&hello.cluster_id).map_err(Status::failed_precondition)?;
        if known == Known::First {
            self.pins.pin(channel.peer).map_err(|e| Status::internal(format!("the key could not be kept: {e}")))?;
        }
        session.greet();
        let (cluster, id) = (self.identity.cluster(), self.identity.agent_id());
        Ok(Response::new(self.greeter.reply(channel, &cluster, id, Proof::when(proved))))
    }

    async fn describe(&self, _: Request<wire::DescribeRequest>) -> Result<Response<wire::DescribeReply>, Status> {
        Ok(Response::new(wire::DescribeReply { agent: Some(self.identity.info(&self.runs)), runs: Vec::new() }))
    }

    async fn inspect(&self, request: Request<wire::InspectRequest>) -> Result<Response<wire::InspectReply>, Status> {
        let request = request.into_inner();
        let places = self.runs.preparer().places.clone();
        let reply = longhaul_proto::tasks::blocking(move || places.inspect(&request)).await;
        reply.map(Response::new).map_err(|e| Status::internal(e.to_string()))
    }

    type RunStream = Events;

    async fn run(&self, request: Request<wire::RunRequest>) -> Result<Response<Events>, Status> {
        let request = request.into_inner();
        let stored = request.submission.as_ref().and_then(|submission| submission.trace.clone());
        let parent = request.trace.clone().or(stored).unwrap_or_default();
        let mut span = Span::begin(RUN_CALL, Kind::Server, &parent);
        span.set("rpc.system.name", "grpc");
        span.set("rpc.method", RUN_CALL);
        let answer = span.around(self.begin_run(request, span.context())).await;
        match &answer {
            Ok(_) => span.set("rpc.response.status_code", "OK"),
            Err(status) => {
                let code = format!("{:?}", status.code());
                span.set("rpc.response.status_code", code.clone());
                span.failed(&code, if telemetry::details() { status.message() } else { "the run was not taken" });
            }
        }
        answer
    }

    async fn blob_offsets(
        &self,
        request: Request<wire::BlobOffsetsRequest>,
    ) -> Result<Response<wire::BlobOffsetsReply>, Status> {
        let request = request.into_inner();
        self.identity.check_cluster(&request.cluster_id).map_err(Status::failed_precondition)?;
        blobs::offsets(&self.runs, &request).await.map(Response::new)
    }

    async fn put_blobs(
        &self,
        request: Request<Streaming<wire::BlobPart>>,
    ) -> Result<Response<wire::PutBlobsReply>, Status> {
        let mut parts = request.into_inner();
        let Some(first) = parts.message().await? else { return Ok(Response::new(wire::PutBlobsReply {})) };
        self.identity.check_cluster(&first.cluster_id).map_err(Status::failed_precondition)?;
        blobs::put(&self.runs, first, parts).await.map(|()| Response::new(wire::PutBlobsReply {}))
    }

    type FollowStream = Events;

    async fn follow(&self, request: Request<wire::FollowRequest>) -> Result<Response<Events>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let handle = self.runs.get(run).ok_or_else(|| Status::not_found("this agent has no such run"))?;
        let handle = events::settled(handle).await?;
        let from = (request.log_offset, request.console_offset);
        let first = if request.with_submission { FirstSnapshot::WithSubmission } else { FirstSnapshot::Plain };
        Ok(Response::new(self.follow_run(handle, from, first)?))
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Result<Response<wire::CancelReply>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let reply = self.runs.cancel(run, CancelMode::from_wire(request.mode), request.by).await;
        reply.map(Response::new).map_err(|e| refusal::io(&e))
    }

    async fn revoke(&self, request: Request<wire::RevokeRequest>) -> Result<Response<wire::RevokeReply>, Status> {
        let request = request.into_inner();
        if request.attempt == 0 {
            return Err(Status::invalid_argument("attempts count from 1"));
        }
        let revoked = self.runs.revoke(run_id(&request.run_id)?, request.attempt).await;
        revoked.map(|revoked| Response::new(wire::RevokeReply { revoked })).map_err(|e| refusal::io(&e))
    }

    async fn forget(&self, request: Request<wire::ForgetRequest>) -> Result<Response<wire::ForgetReply>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let forgotten = self.runs.forget(run, request).await;
        let problem = forgotten.as_ref().err().map_or_else(String::new, |error| words::chain(error));
        let work_kept = forgotten.is_ok_and(|what| what == Forgotten::ButItsFiles);
        Ok(Response::new(wire::ForgetReply { forgotten: problem.is_empty(), problem, work_kept }))
    }

    async fn changed(&self, request: Request<wire::ChangedRequest>) -> Result<Response<wire::ChangedReply>, Status> {
        let request = request.into_inner();
        let reply = self.runs.changed(run_id(&request.run_id)?, request.attempt).await;
        reply.map(Response::new).map_err(|e| refusal::io(&e))
    }

    async fn do_files(&self, request: Request<wire::DoFilesRequest>) -> Result<Response<wire::DoFilesReply>, Status> {
        let request = request.into_inner();
        let spool = self.runs.spool(run_id(&request.run_id)?);
        let list = move || {
            let mut reply = do_files::list(&spool, request.attempt)?;
            if reply.known && !faults::bug("agent_without_results") {
                results::add(&spool, &mut reply)?;
            }
            Ok(reply)
        };
        let listed = longhaul_proto::tasks::blocking(list).await;
        listed.and_then(|listed| listed).map(Response::new).map_err(|e| refusal::unreadable(&e))
    }

    async fn do_file(&self, request: Request<wire::DoFileRequest>) -> Result<Response<wire::DoFileReply>, Status> {
        let wire::DoFileRequest { run_id: run, attempt, sha256 } = request.into_inner();
        let spool = self.runs.spool(run_id(&run)?);
        let read = longhaul_proto::tasks::blocking(move || do_files::content(&spool, attempt, &sha256)).await;
        let content = read.and_then(|read| read).map_err(|e| refusal::unreadable(&e))?;
        let content = content.ok_or_else(|| Status::not_found("its bytes are not here as they were entered"))?;
        Ok(Response::new(wire::DoFileReply { content }))
    }

    type FilesStream = FileParts;

    async fn files(&self, request: Request<wire::FilesRequest>) -> Result<Response<FileParts>, Status> {
        let request = request.into_inner();
        let spool = self.runs.spool(run_id(&request.run_id)?);
        let (to, from) = mpsc::channel(PARTS);
        let (host, digests) = (self.runs.preparer().clone(), self.digests.clone());
        let banners = self.runs.banners().clone();
        self.tasks.spawn_until_stop(Box::pin(files::send(spool, request.attempt, host, digests, banners, to)));
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }

    type ArtifactStream = Parts;

    async fn artifact(&self, request: Request<wire::ArtifactRequest>) -> Result<Response<Parts>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let gone = || Status::not_found("this agent does not keep that run any more");
        let handle = events::read(self.runs.get(run).ok_or_else(gone)?).await?;
        let path = artifact::named(&handle.status.borrow(), &request)?;
        let read = longhaul_proto::tasks::blocking(move || artifact::read(&path, request.offset, request.limit)).await;
        let parts = read.map_err(|e| Status::internal(e.to_string()))??;
        Ok(Response::new(Box::pin(futures_util::stream::iter(parts.into_iter().map(Ok)))))
    }

    async fn help(&self, request: Request<wire::HelpRequest>) -> Result<Response<wire::HelpReply>, Status> {
        let request = request.into_inner();
        let principal = Principal::new(&*request.principal_issuer, &*request.principal);
        self.identity.check_serves(&principal).map_err(Status::permission_denied)?;
        self.help.answer(request).await.map(Response::new).map_err(|e| Status::internal(e.to_string()))
    }

    type DataStream = data::Parts;

    async fn data(&self, request: Request<wire::DataRequest>) -> Result<Response<data::Parts>, Status> {
        let request = request.into_inner();
        let principal = Principal::new(&*request.principal_issuer, &*request.principal);
        self.identity.check_serves(&principal).map_err(Status::permission_denied)?;
        let places = self.runs.preparer().places.clone();
        data::answer(&self.data, places, request).await.map(Response::new)
    }

    async fn draw(&self, request: Request<wire::DrawRequest>) -> Result<Response<wire::DrawReply>, Status> {
        let request = request.into_inner();
        let principal = Principal::new(&*request.principal_issuer, &*request.principal);
        self.identity.check_serves(&principal).map_err(Status::permission_denied)?;
        let png = self.draw.png(&request.pdf).await.map_err(|why| match why {
            NotDrawn::Asked(words) => Status::invalid_argument(words),
            NotDrawn::Here(words) => Status::failed_precondition(words),
            NotDrawn::Busy(words) => Status::resource_exhausted(words),
        })?;
        Ok(Response::new(wire::DrawReply { png }))
    }
}
