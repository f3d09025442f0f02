//! What somebody without the secret tries between gateway and agents: reflect a greeting to the side it came from, or
//! use again what was seen on another connection.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use longhaul_proto::{
    PROTOCOL,
    join::{Greeting, JoinSecret, METADATA},
    tasks::Tasks,
    wire::{
        self,
        agent_client::AgentClient,
        agent_server::{Agent, AgentServer},
        fleet_client::FleetClient,
        fleet_server::{Fleet, FleetServer},
    },
};
use longhaul_tests::{lab, wait};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, codegen::BoxStream, metadata::MetadataMap};

/// Long enough for the other side to come again several times.
const TRIES: Duration = Duration::from_secs(8);

type Answer<T> = Result<Response<T>, Status>;

/// Plays the other side, and has each greeting answered by whoever sent it.
#[derive(Clone)]
struct Mirror {
    back: SocketAddr,
    caught: Arc<watch::Sender<Option<String>>>,
}

impl Mirror {
    fn new(back: SocketAddr) -> Self {
        Self { back, caught: Arc::new(watch::Sender::new(None)) }
    }

    fn catch(&self, metadata: &MetadataMap) {
        let proof = metadata.get(METADATA).map(|v| v.to_str().unwrap().to_owned());
        self.caught.send_replace(proof);
    }

    /// What it caught, if the other side fell for it.
    async fn caught(&self) -> Option<String> {
        let mut seen = self.caught.subscribe();
        let caught = tokio::time::timeout(TRIES, seen.wait_for(Option::is_some)).await;
        caught.ok().and_then(|c| c.unwrap().clone())
    }
}

#[tonic::async_trait]
impl Fleet for Mirror {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Answer<wire::HelloReply> {
        let mut agent = AgentClient::connect(format!("http://{}", self.back)).await.unwrap();
        agent.hello(request.into_inner()).await
    }
    async fn register(&self, request: Request<wire::RegisterRequest>) -> Answer<wire::RegisterReply> {
        self.catch(request.metadata());
        Ok(Response::new(wire::RegisterReply { heartbeat_ms: 60_000, ..Default::default() }))
    }
    async fn heartbeat(&self, _: Request<wire::HeartbeatRequest>) -> Answer<wire::HeartbeatReply> {
        Ok(Response::new(wire::HeartbeatReply { known: true, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl Agent for Mirror {
    type RunStream = BoxStream<wire::RunEvent>;
    type FollowStream = BoxStream<wire::RunEvent>;
    type ArtifactStream = BoxStream<wire::ArtifactPart>;
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Answer<wire::HelloReply> {
        let mut gateway = FleetClient::connect(format!("http://{}", self.back)).await.unwrap();
        gateway.hello(request.into_inner()).await
    }
    async fn describe(&self, request: Request<wire::DescribeRequest>) -> Answer<wire::DescribeReply> {
        self.catch(request.metadata());
        Err(Status::unavailable("thief"))
    }
    async fn inspect(&self, _: Request<wire::InspectRequest>) -> Answer<wire::InspectReply> {
        Err(Status::unavailable("thief"))
    }
    async fn run(&self, _: Request<wire::RunRequest>) -> Answer<Self::RunStream> {
        Err(Status::unavailable("thief"))
    }
    async fn follow(&self, _: Request<wire::FollowRequest>) -> Answer<Self::FollowStream> {
        Err(Status::unavailable("thief"))
    }
    async fn cancel(&self, _: Request<wire::CancelRequest>) -> Answer<wire::CancelReply> {
        Err(Status::unavailable("thief"))
    }
    async fn revoke(&self, _: Request<wire::RevokeRequest>) -> Answer<wire::RevokeReply> {
        Err(Status::unavailable("thief"))
    }
    async fn forget(&self, _: Request<wire::ForgetRequest>) -> Answer<wire::ForgetReply> {
        Err(Status::unavailable("thief"))
    }
    async fn artifact(&self, _: Request<wire::ArtifactRequest>) -> Answer<Self::ArtifactStream> {
        Err(Status::unavailable("thief"))
    }
}

/// Takes the port of a process that is gone.
async fn squat(addr: &str) -> TcpListenerStream {
    let bound = async || TcpListener::bind(addr).await.ok();
    TcpListenerStream::new(wait::until(wait::SOON, "the port is free", bound).await)
}

fn with<T>(proof: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(METADATA, proof.parse().unwrap());
    request
}

#[tokio::test]
async fn a_greeting_reflected_to_the_agent_that_sent_it_opens_nothing() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let at = gateway.api.hosts().await.unwrap().hosts[0].advertise.clone();
    gateway.daemon.terminate().await;
    let mirror = Mirror::new(at.trim_start_matches("http://").parse().unwrap());
    let port = squat(gateway.api.address()).await;
    let server = tonic::transport::Server::builder().add_service(FleetServer::new(mirror.clone()));
    let tasks = Tasks::new();
    tasks.spawn(server.serve_with_incoming(port));
    if let Some(proof) = mirror.caught().await {
        let mut agent = AgentClient::connect(at).await.unwrap();
        let told = agent.describe(with(&proof, wire::DescribeRequest {})).await;
        panic!("a stranger without the secret is a gateway to the agent: {told:?}");
    }
}

#[tokio::test]
async fn a_greeting_reflected_to_the_gateway_that_sent_it_opens_nothing() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let at = gateway.api.hosts().await.unwrap().hosts[0].advertise.clone();
    agent.terminate().await;
    let mirror = Mirror::new(gateway.api.address().parse().unwrap());
    let port = squat(at.trim_start_matches("http://")).await;
    let server = tonic::transport::Server::builder().add_service(AgentServer::new(mirror.clone()));
    let tasks = Tasks::new();
    tasks.spawn(server.serve_with_incoming(port));
    if let Some(proof) = mirror.caught().await {
        let mut fleet = FleetClient::connect(format!("http://{}", gateway.api.address())).await.unwrap();
        let info = wire::AgentInfo {
            agent_id: "thief".into(),
            incarnation: "1".into(),
            name: "thief".into(),
            protocol: PROTOCOL,
            ..Default::default()
        };
        let request = wire::RegisterRequest { agent: Some(info), runs: vec![] };
        let told = fleet.register(with(&proof, request)).await;
        panic!("a stranger without the secret is an agent to the gateway: {told:?}");
    }
}

#[tokio::test]
async fn what_was_seen_on_one_connection_is_worth_nothing_on_another() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let at = gateway.api.hosts().await.unwrap().hosts[0].advertise.clone();
    let secret = fs::read_to_string(gateway.daemon.data.join("join-secret")).unwrap();
    // What a listener on the way sees of a right call.
    let greeting = Greeting::new(JoinSecret::new(&secret).unwrap()).unwrap();
    let mut right = AgentClient::connect(at.clone()).await.unwrap();
    let reply = right.hello(greeting.request()).await.unwrap().into_inner();
    let mut seen = Request::new(wire::DescribeRequest {});
    greeting.prove(&reply).unwrap().put(&mut seen);
    let proof = seen.metadata().get(METADATA).unwrap().to_str().unwrap().to_owned();
    let mut thief = AgentClient::connect(at).await.unwrap();
    let told = thief.describe(with(&proof, wire::DescribeRequest {})).await;
    assert_eq!(told.unwrap_err().code(), Code::Unauthenticated);
}
