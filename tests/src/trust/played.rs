//! Both services, played by a stranger who answers each `Hello` with the answer of the side behind him.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use longhaul_proto::{
    tasks::Tasks,
    transport::{self, Key},
    wire::{
        self,
        agent_client::AgentClient,
        agent_server::{Agent, AgentServer},
        fleet_client::FleetClient,
        fleet_server::{Fleet, FleetServer},
    },
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};

use super::Side;

type Answer<T> = Result<Response<T>, Status>;

/// The side to which a `Hello` is passed on.
#[derive(Clone, Debug)]
pub enum Behind {
    /// An agent: the stranger plays a gateway.
    Agent(String),
    /// A gateway: the stranger plays an agent, or another gateway.
    Gateway(String),
}

/// The stranger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Played {
    side: Side,
    behind: Arc<Mutex<Option<Behind>>>,
    greeted: Arc<AtomicU32>,
    /// Calls after `Hello`.
    pub calls: Arc<Mutex<Vec<String>>>,
}

impl Played {
    /// Plays with this key; each `Hello` goes to `behind`.
    pub fn new(side: Side, behind: Option<Behind>) -> Self {
        let behind = Arc::new(Mutex::new(behind));
        Self { side, behind, greeted: Arc::default(), calls: Arc::default() }
    }

    /// The side to which each `Hello` is passed on from now on.
    pub fn to(&self, behind: Behind) {
        *self.behind.lock().unwrap() = Some(behind);
    }

    /// How many `Hello` calls it got.
    pub fn greeted(&self) -> u32 {
        self.greeted.load(Ordering::SeqCst)
    }

    /// The calls after `Hello`.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// Answers on this listener until the tasks are dropped.
    pub fn serve(&self, listener: TcpListener) -> Tasks {
        let tasks = Tasks::new();
        let router = tonic::transport::Server::builder()
            .add_service(FleetServer::new(self.clone()))
            .add_service(AgentServer::new(self.clone()));
        let key: Key = self.side.key.clone();
        let incoming = transport::accept::incoming(listener, key, &tasks);
        tasks.spawn_until_stop(router.serve_with_incoming(incoming));
        tasks
    }

    async fn pass_on(&self, hello: wire::HelloRequest) -> Answer<wire::HelloReply> {
        self.greeted.fetch_add(1, Ordering::SeqCst);
        let behind = self.behind.lock().unwrap().clone();
        let unavailable = |e: longhaul_proto::transport::DialError| Status::unavailable(e.to_string());
        match behind.ok_or_else(|| Status::unavailable("no side behind"))? {
            Behind::Agent(url) => {
                let dialled = self.side.dial(&url).await.map_err(unavailable)?;
                AgentClient::new(dialled.transport).hello(hello).await
            }
            Behind::Gateway(url) => {
                let dialled = self.side.dial(&url).await.map_err(unavailable)?;
                // He issues no certificates, so he does not say that the gateway does.
                let alone =
                    |reply: Response<wire::HelloReply>| reply.map(|r| wire::HelloReply { certifies: false, ..r });
                FleetClient::new(dialled.transport).hello(hello).await.map(alone)
            }
        }
    }

    fn called<T>(&self, what: &str) -> Answer<T> {
        self.calls.lock().unwrap().push(what.to_owned());
        Err(Status::unavailable("thank you"))
    }
}

#[tonic::async_trait]
impl Fleet for Played {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Answer<wire::HelloReply> {
        self.pass_on(request.into_inner()).await
    }
    async fn register(&self, request: Request<wire::RegisterRequest>) -> Answer<wire::RegisterReply> {
        let agent = request.into_inner().agent.unwrap_or_default();
        self.called(&format!("register {}", agent.advertise))
    }
    async fn heartbeat(&self, _: Request<wire::HeartbeatRequest>) -> Answer<wire::HeartbeatReply> {
        self.called("heartbeat")
    }
    async fn certify(&self, _: Request<wire::CertifyRequest>) -> Answer<wire::CertifyReply> {
        self.called("certify")
    }
}

#[tonic::async_trait]
impl Agent for Played {
    type RunStream = BoxStream<wire::RunEvent>;
    type FollowStream = BoxStream<wire::RunEvent>;
    type ArtifactStream = BoxStream<wire::ArtifactPart>;
    type FilesStream = BoxStream<wire::FilesPart>;
    type DataStream = BoxStream<wire::DataPart>;
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Answer<wire::HelloReply> {
        self.pass_on(request.into_inner()).await
    }
    async fn describe(&self, _: Request<wire::DescribeRequest>) -> Answer<wire::DescribeReply> {
        self.called("describe")
    }
    async fn inspect(&self, _: Request<wire::InspectRequest>) -> Answer<wire::InspectReply> {
        self.called("inspect")
    }
    async fn run(&self, _: Request<wire::RunRequest>) -> Answer<Self::RunStream> {
        self.called("run")
    }
    async fn blob_offsets(&self, _: Request<wire::BlobOffsetsRequest>) -> Answer<wire::BlobOffsetsReply> {
        self.called("blob offsets")
    }
    async fn put_blobs(&self, _: Request<Streaming<wire::BlobPart>>) -> Answer<wire::PutBlobsReply> {
        self.called("put blobs")
    }
    async fn follow(&self, _: Request<wire::FollowRequest>) -> Answer<Self::FollowStream> {
        self.called("follow")
    }
    async fn do_files(&self, _: Request<wire::DoFilesRequest>) -> Answer<wire::DoFilesReply> {
        self.called("do-files")
    }
    async fn do_file(&self, _: Request<wire::DoFileRequest>) -> Answer<wire::DoFileReply> {
        self.called("do-file")
    }
    async fn files(&self, _: Request<wire::FilesRequest>) -> Answer<Self::FilesStream> {
        self.called("files")
    }
    async fn help(&self, _: Request<wire::HelpRequest>) -> Answer<wire::HelpReply> {
        self.called("help")
    }
    async fn cancel(&self, _: Request<wire::CancelRequest>) -> Answer<wire::CancelReply> {
        self.called("cancel")
    }
    async fn revoke(&self, _: Request<wire::RevokeRequest>) -> Answer<wire::RevokeReply> {
        self.called("revoke")
    }
    async fn forget(&self, _: Request<wire::ForgetRequest>) -> Answer<wire::ForgetReply> {
        self.called("forget")
    }

    async fn changed(&self, _: Request<wire::ChangedRequest>) -> Answer<wire::ChangedReply> {
        self.called("changed")
    }
    async fn data(&self, _: Request<wire::DataRequest>) -> Answer<Self::DataStream> {
        self.called("data")
    }
    async fn draw(&self, _: Request<wire::DrawRequest>) -> Answer<wire::DrawReply> {
        self.called("draw")
    }
    async fn artifact(&self, _: Request<wire::ArtifactRequest>) -> Answer<Self::ArtifactStream> {
        self.called("artifact")
    }
}
