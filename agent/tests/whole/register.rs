//! The agent's side of the fleet, against a gateway that does as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use longhaul_proto::{
    join::{Guard, JoinSecret},
    state::RunState,
    wire::{
        self,
        fleet_server::{Fleet, FleetServer},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    Test,
    kit::{Gateway, Place, SECRET, block_on, text, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("an_agent_registers_beats_and_starts_over", registers),
    ("verdicts_of_the_gateway_are_carried_out", verdicts),
    ("a_gateway_without_the_secret_learns_nothing", stranger),
];

#[derive(Clone)]
struct Fake {
    guard: Guard,
    registered: Arc<Mutex<Vec<wire::RegisterRequest>>>,
    beats: Arc<AtomicU32>,
    known: Arc<AtomicBool>,
    verdicts: Arc<Mutex<Vec<wire::RunVerdict>>>,
}

impl Fake {
    fn new(secret: &str) -> Self {
        Self {
            guard: Guard::new(JoinSecret::new(secret).unwrap()).unwrap(),
            registered: Arc::default(),
            beats: Arc::default(),
            known: Arc::new(AtomicBool::new(true)),
            verdicts: Arc::default(),
        }
    }

    /// Serves until the token fires.
    async fn serve(&self, addr: &str) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = tonic::transport::Server::builder().add_service(FleetServer::new(self.clone()));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let stopped = stop.clone();
        longhaul_proto::tasks::Tasks::new()
            .spawn(async move { stopped.run_until_cancelled(router.serve_with_incoming(incoming)).await });
        (addr, stop)
    }

    fn registrations(&self) -> usize {
        self.registered.lock().unwrap().len()
    }
}

#[tonic::async_trait]
impl Fleet for Fake {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        Ok(Response::new(self.guard.hello(request.get_ref(), "gateway")))
    }

    async fn register(&self, request: Request<wire::RegisterRequest>) -> Result<Response<wire::RegisterReply>, Status> {
        self.guard.check(request.metadata())?;
        self.registered.lock().unwrap().push(request.into_inner());
        self.known.store(true, Ordering::SeqCst);
        Ok(Response::new(wire::RegisterReply {
            cluster_id: "lab".into(),
            gateway: "g".into(),
            heartbeat_ms: 20,
            verdicts: self.verdicts.lock().unwrap().clone(),
            problem: String::new(),
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatReply>, Status> {
        self.guard.check(request.metadata())?;
        self.beats.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(wire::HeartbeatReply { known: self.known.load(Ordering::SeqCst), problem: String::new() }))
    }
}

fn registers() {
    block_on(async {
        let place = Place::new();
        let fake = Fake::new(SECRET);
        let (addr, stop) = fake.serve("127.0.0.1:0").await;
        let (agent, _) = place.agent_for(Some(addr)).await;
        until("it beats", || fake.beats.load(Ordering::SeqCst) > 2).await;
        let first = fake.registered.lock().unwrap()[0].clone().agent.unwrap();
        assert_eq!((first.agent_id.as_str(), first.name.as_str()), (agent.agent_id.as_str(), "stata1"));
        assert_eq!(first.advertise, format!("http://{}", agent.addr));
        assert_eq!(first.engines[0].kind, "standin");
        assert_eq!(std::fs::read_to_string(place.data().join("agent/cluster-id")).unwrap(), "lab");

        fake.known.store(false, Ordering::SeqCst);
        until("it registers again when it is not known", || fake.registrations() == 2).await;

        // Another process takes over the address: it is greeted before it is told anything.
        stop.cancel();
        let other = Fake::new(SECRET);
        let mut up = None;
        while up.is_none() {
            up = match TcpListener::bind(addr).await {
                Ok(listener) => {
                    drop(listener);
                    Some(other.serve(&addr.to_string()).await)
                }
                Err(_) => {
                    tokio::task::yield_now().await;
                    None
                }
            };
        }
        // The connection to the old one outlives its listener; so it has to be told.
        fake.known.store(false, Ordering::SeqCst);
        until("it finds the new one", || other.registrations() == 1).await;
        let again = other.registered.lock().unwrap()[0].clone().agent.unwrap();
        assert_eq!((again.agent_id, again.incarnation), (first.agent_id, first.incarnation));
        assert_eq!(again.cluster_id, "lab");
    });
}

fn verdicts() {
    block_on(async {
        let place = Place::new();
        // One run that ended and one that goes on, and then the agent was away.
        let (agent, gateway) = place.agent().await;
        let ended = text("display 1\n");
        let outcome = gateway.complete(ended.clone()).await.outcome();
        let going = text("display \"up\"\nsleep 600000\n");
        let mut followed = gateway.run(going.clone(), 1).await.unwrap();
        followed.until_log("up").await;
        drop((gateway, followed));
        agent.shutdown(crate::PATIENCE).await;

        let fake = Fake::new(SECRET);
        let forget = wire::ForgetRequest {
            run_id: ended.run_id.clone(),
            log_len: outcome.log_len,
            log_sha256: outcome.log_sha256,
            console_len: outcome.console_len,
            console_sha256: outcome.console_sha256,
        };
        *fake.verdicts.lock().unwrap() = vec![
            wire::RunVerdict {
                run_id: ended.run_id.clone(),
                verdict: wire::Verdict::Forget as i32,
                by: String::new(),
                forget: Some(forget),
            },
            wire::RunVerdict {
                run_id: going.run_id.clone(),
                verdict: wire::Verdict::Cancel as i32,
                by: "ada".into(),
                forget: None,
            },
        ];
        let (addr, _stop) = fake.serve("127.0.0.1:0").await;
        let (agent, _) = place.agent_for(Some(addr)).await;
        until("it registers", || fake.registrations() > 0).await;
        let told = fake.registered.lock().unwrap()[0].runs.clone();
        assert_eq!(told.len(), 2, "{told:?}");
        let gateway = Gateway::connect(&format!("http://{}", agent.addr)).await;
        let mut rest = gateway.follow(&going.run_id, 0, 0).await.unwrap();
        rest.rest().await;
        assert_eq!(RunState::from_wire(rest.outcome().state), Some(RunState::Cancelled));
        until("the delivered run is gone", || !place.spool(&ended.run_id).exists()).await;
    });
}

fn stranger() {
    block_on(async {
        let place = Place::new();
        let fake = Fake::new("another secret altogether");
        let (addr, _stop) = fake.serve("127.0.0.1:0").await;
        let (agent, gateway) = place.agent_for(Some(addr)).await;
        gateway.complete(text("display 1\n")).await;
        assert_eq!(fake.registrations(), 0);
        agent.shutdown(crate::PATIENCE).await;
    });
}
