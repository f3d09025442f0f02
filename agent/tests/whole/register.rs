//! The agent's side of the fleet, against a gateway that follows a script.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use longhaul_agent::{Agent, Serve, spool::SpoolRoot};
use longhaul_proto::{
    PROTOCOL,
    join::JoinSecret,
    state::RunState,
    tasks::Tasks,
    transport::{self, Greeter, Guarded, Key, Proof, Role, Session},
    wire::{
        self,
        agent_client::AgentClient,
        fleet_server::{Fleet, FleetServer},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    Test,
    kit::{Gateway, PINGS, Place, SECRET, block_on, gateway_key, greeter, text, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("an_agent_registers_beats_and_starts_over", registers),
    ("verdicts_of_the_gateway_are_carried_out", verdicts),
    ("a_gateway_without_the_secret_learns_nothing", stranger),
    ("a_gateway_one_version_apart_works_and_one_further_away_is_refused", versions),
    ("words_of_a_newer_gateway_end_no_run", newer_words),
    ("runs_are_told_in_pages_with_their_seals", pages),
    ("runs_of_those_it_does_not_serve_are_refused", serves),
];

#[derive(Clone)]
struct Fake {
    greeter: Greeter,
    key: Key,
    registered: Arc<Mutex<Vec<wire::RegisterRequest>>>,
    beats: Arc<AtomicU32>,
    known: Arc<AtomicBool>,
    verdicts: Arc<Mutex<Vec<wire::RunVerdict>>>,
    protocol: Arc<AtomicU32>,
    hellos: Arc<AtomicU32>,
}

impl Fake {
    fn new(secret: &str) -> Self {
        Self::with(secret, gateway_key())
    }

    fn with(secret: &str, key: Key) -> Self {
        Self {
            greeter: Greeter { role: Role::Gateway, secret: JoinSecret::new(secret).unwrap() },
            key,
            registered: Arc::default(),
            beats: Arc::default(),
            known: Arc::new(AtomicBool::new(true)),
            verdicts: Arc::default(),
            protocol: Arc::new(AtomicU32::new(PROTOCOL)),
            hellos: Arc::default(),
        }
    }

    /// Serves until the token fires.
    async fn serve(&self, addr: &str) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let service = FleetServer::new(self.clone());
        let service = Guarded::new(Role::Gateway, service.clone(), service);
        let router = tonic::transport::Server::builder().add_service(service);
        let (tasks, stopped) = (Tasks::new(), stop.clone());
        let incoming = transport::accept::incoming(listener, self.key.clone(), &tasks);
        tasks.clone().spawn(async move {
            stopped.run_until_cancelled(router.serve_with_incoming(incoming)).await;
            tasks.shutdown(crate::PATIENCE).await
        });
        (addr, stop)
    }

    fn registrations(&self) -> usize {
        self.registered.lock().unwrap().len()
    }
}

#[tonic::async_trait]
impl Fleet for Fake {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        self.hellos.fetch_add(1, Ordering::SeqCst);
        let session = Session::of(request.extensions()).unwrap();
        session.greet();
        let proved = !request.get_ref().channel_proof.is_empty();
        let reply = self.greeter.reply(session.channel(), "lab", "gateway", Proof::when(proved));
        Ok(Response::new(wire::HelloReply { protocol: self.protocol.load(Ordering::SeqCst), ..reply }))
    }

    async fn register(&self, request: Request<wire::RegisterRequest>) -> Result<Response<wire::RegisterReply>, Status> {
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

    async fn heartbeat(&self, _: Request<wire::HeartbeatRequest>) -> Result<Response<wire::HeartbeatReply>, Status> {
        self.beats.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(wire::HeartbeatReply { known: self.known.load(Ordering::SeqCst), problem: String::new() }))
    }
    /// It never says that it issues certificates, as gateways of the version before.
    async fn certify(&self, _: Request<wire::CertifyRequest>) -> Result<Response<wire::CertifyReply>, Status> {
        Err(Status::unimplemented("no certificates"))
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
        assert_eq!(std::fs::read_to_string(place.data().join("agent/cluster-id")).unwrap(), "lab\n");

        fake.known.store(false, Ordering::SeqCst);
        until("it registers again when it is not known", || fake.registrations() == 2).await;

        // Another process takes over the address: `Hello` comes before any other call.
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
        // The connection to the old one outlives its listener, so the agent has to be told.
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
        // One run that ended and one that goes on; then the agent was away.
        let (agent, gateway) = place.agent().await;
        let ended = text("display 1\n");
        let outcome = gateway.complete(ended.clone()).await.outcome();
        let going = text("display \"up\"\nsleep 600000\n");
        let mut followed = gateway.run(going.clone(), 1).await.unwrap();
        followed.until_log("up").await;
        drop((gateway, followed));
        agent.shutdown(crate::PATIENCE).await;

        let fake = Fake::new(SECRET);
        let forget = crate::fence::forget_of(&ended.run_id, &outcome);
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
        // A gateway with an old ledger asks for it again: it did start, and is not started twice, also after a restart.
        assert!(!gateway.revoke(&ended.run_id, 1).await);
        assert!(!gateway.revoke(&ended.run_id, 2).await);
        let again = gateway.run(ended.clone(), 2).await.err().expect("it is refused");
        assert!(again.message().contains("never started twice"), "{again:?}");
        let told = numbers(&agent).await;
        assert!(told.contains("longhaul_agent_attempts_refused_total{kind=\"freed\"} 1\n"), "{told}");
        drop((gateway, rest));
        agent.shutdown(crate::PATIENCE).await;
        let (agent, gateway) = place.agent().await;
        // What is asked while a run is being deleted is answered, too.
        for n in 0..10 {
            let run = text(&format!("display {n}\n"));
            let outcome = gateway.complete(run.clone()).await.outcome();
            let forget = crate::fence::forget_of(&run.run_id, &outcome);
            let questions = async {
                for _ in 0..5 {
                    assert!(!gateway.revoke(&run.run_id, 1).await);
                }
            };
            let (forgotten, ()) = tokio::join!(gateway.forget(forget), questions);
            assert!(forgotten.forgotten, "{forgotten:?}");
        }
        assert!(!gateway.revoke(&ended.run_id, 1).await);
        assert_eq!(gateway.follow(&ended.run_id, 0, 0).await.err().unwrap().code(), tonic::Code::NotFound);
        agent.shutdown(crate::PATIENCE).await;
    });
}

/// The agent's numbers, as a monitor reads them.
async fn numbers(agent: &Agent) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    agent.serve_metrics(listener);
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    told
}

fn stranger() {
    block_on(async {
        let place = Place::new();
        let fake = Fake::with("another secret altogether", Key::generate().unwrap());
        let (addr, _stop) = fake.serve("127.0.0.1:0").await;
        let agent = place.agent_alone(Some(addr)).await;
        until("it comes again", || fake.hellos.load(Ordering::SeqCst) > 1).await;
        assert_eq!(fake.registrations(), 0);
        agent.shutdown(crate::PATIENCE).await;
        assert!(!place.data().join("agent/gateway-keys").exists(), "and nothing is pinned");
        // The control: the same gateway with the secret is accepted.
        let right = Fake::with(SECRET, fake.key.clone());
        let (addr, _stop) = right.serve("127.0.0.1:0").await;
        let agent = place.agent_alone(Some(addr)).await;
        until("it registers", || right.registrations() > 0).await;
        // From now on the key counts; the secret alone is refused.
        let other = Fake::new(SECRET);
        let (addr, _stop) = other.serve("127.0.0.1:0").await;
        agent.shutdown(crate::PATIENCE).await;
        let agent = place.agent_alone(Some(addr)).await;
        let url = format!("http://{}", agent.addr);
        let refused = Gateway::try_connect(&url, &gateway_key()).await.err().unwrap();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        assert!(Gateway::try_connect(&url, &right.key).await.is_ok(), "the control: its gateway is taken");
        agent.shutdown(crate::PATIENCE).await;
        assert_eq!((other.registrations(), other.hellos.load(Ordering::SeqCst)), (0, 0), "not even greeted");
    });
}

fn versions() {
    block_on(async {
        let place = Place::new();
        let fake = Fake::new(SECRET);
        fake.protocol.store(PROTOCOL + 2, Ordering::SeqCst);
        let (addr, _stop) = fake.serve("127.0.0.1:0").await;
        let agent = place.agent_alone(Some(addr)).await;
        until("it comes again", || fake.hellos.load(Ordering::SeqCst) > 1).await;
        assert_eq!(fake.registrations(), 0, "too far away: it tells nothing of itself");
        // Its gateway is upgraded, or the agent is: they are one apart.
        fake.protocol.store(PROTOCOL + 1, Ordering::SeqCst);
        until("it registers", || fake.registrations() == 1).await;

        // The other way: a gateway that dials an agent gets the same refusal.
        let address = format!("http://{}", agent.addr).parse().unwrap();
        let dialled = transport::dial(&address, &gateway_key(), PINGS).await.unwrap();
        let client = AgentClient::new(dialled.transport);
        let right = greeter().request(&dialled.channel, "lab", Proof::Omit);
        let cases =
            [(PROTOCOL + 2, "upgrade the agent"), (1, "upgrade the gateway"), (0, "does not say which protocol")];
        for (protocol, words) in cases {
            let hello = wire::HelloRequest { protocol, version: "9.0".into(), ..right.clone() };
            let refused = client.clone().hello(hello).await.unwrap_err();
            assert!(refused.message().contains(words), "{protocol}: {refused:?}");
        }
        let hello = wire::HelloRequest { protocol: PROTOCOL + 1, version: "9.0".into(), ..right };
        assert!(client.clone().hello(hello).await.is_ok());
        agent.shutdown(crate::PATIENCE).await;
    });
}

fn newer_words() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let going = text("display \"up\"\nsleep 600000\n");
        let mut followed = gateway.run(going.clone(), 1).await.unwrap();
        followed.until_log("up").await;
        // A submission with an unknown kind of code: the run ends with the reason, and no code is run.
        let submission = wire::Submission { source: None, ..text("") };
        let nothing = gateway.complete(submission.clone()).await.outcome();
        assert_eq!(RunState::from_wire(nothing.state), Some(RunState::Errored), "{nothing:#?}");
        assert!(nothing.message.contains("newer"), "{nothing:#?}");
        assert_eq!(nothing.log_len, 0);
        drop((gateway, followed));
        agent.shutdown(crate::PATIENCE).await;

        // A verdict of an unknown kind keeps the run; an unknown cancel mode is the gentlest.
        let fake = Fake::new(SECRET);
        let (run_id, verdict) = (going.run_id.clone(), 77);
        *fake.verdicts.lock().unwrap() = vec![wire::RunVerdict { run_id, verdict, ..Default::default() }];
        let (addr, _stop) = fake.serve("127.0.0.1:0").await;
        let (agent, gateway) = place.agent_for(Some(addr)).await;
        until("it beats after the verdict", || fake.beats.load(Ordering::SeqCst) > 2).await;
        let mut rest = gateway.follow(&going.run_id, 0, 0).await.unwrap();
        assert!(rest.next().await);
        assert_eq!(RunState::from_wire(rest.first.as_ref().unwrap().state), Some(RunState::Running));
        assert!(gateway.cancel_as(&going.run_id, 77).await.known);
        rest.rest().await;
        assert_eq!(RunState::from_wire(rest.outcome().state), Some(RunState::Cancelled));
        agent.shutdown(crate::PATIENCE).await;
    });
}

fn pages() {
    block_on(async {
        let place = Place::new();
        let root = SpoolRoot::open(Agent::spools(&place.data())).unwrap();
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/format-1/succeeded");
        let golden = std::fs::read_dir(golden).unwrap().next().unwrap().unwrap().path();
        let outcome = std::fs::read(golden.join("outcome.json")).unwrap();
        let mut told = std::collections::BTreeMap::new();
        for n in 0..1_100 {
            let seal = vec![7; if n % 2 == 0 { 32 } else { 0 }];
            let request = wire::Submission { seal, key: format!("k{n}"), ..text("display 1\n") };
            // What an agent reads of an ended run.
            let spool = root.of(request.run_id.parse().unwrap());
            std::fs::create_dir_all(spool.control_folder()).unwrap();
            let meta = serde_json::json!({
                "format": 2, "run_id": request.run_id, "principal": "ada", "cluster_id": "lab", "source": "text",
                "received_at_ms": 1
            });
            std::fs::write(spool.submission_json(), meta.to_string()).unwrap();
            std::fs::write(spool.submission_pb(), prost::Message::encode_to_vec(&request)).unwrap();
            std::fs::write(spool.path().join("attempt-1"), "started\n").unwrap();
            std::fs::write(spool.outcome(), &outcome).unwrap();
            told.insert(request.run_id.clone(), request);
        }
        let fake = Fake::new(SECRET);
        let (addr, _stop) = fake.serve("127.0.0.1:0").await;
        let (agent, gateway) = place.agent_for(Some(addr)).await;
        until("it beats", || fake.beats.load(Ordering::SeqCst) > 0).await;
        let pages = fake.registered.lock().unwrap().clone();
        assert_eq!(
            pages.iter().map(|p| (p.runs.len(), p.more)).collect::<Vec<_>>(),
            [(500, true), (500, true), (100, false)]
        );
        for run in pages.iter().flat_map(|page| &page.runs) {
            let request = told.remove(&run.run_id).expect("each once");
            assert_eq!((&run.key, &run.seal), (&request.key, &request.seal));
            let digest = if run.seal.is_empty() { vec![] } else { longhaul_proto::seal::digest(&request).to_vec() };
            assert_eq!(run.sealed_sha256, digest);
            assert!(run.outcome.as_ref().unwrap().note.is_empty(), "without its texts");
        }
        assert!(told.is_empty() && gateway.describe().await.runs.is_empty());
        agent.shutdown(crate::PATIENCE).await;
    });
}

fn serves() {
    block_on(async {
        let place = Place::new().changed(|options| options.label.serve = Serve::Only(vec!["ada".into()]));
        let fake = Fake::new(SECRET);
        let (addr, _stop) = fake.serve("127.0.0.1:0").await;
        let (agent, gateway) = place.agent_for(Some(addr)).await;
        until("it registers", || fake.registrations() > 0).await;
        let info = fake.registered.lock().unwrap()[0].agent.clone().unwrap();
        assert_eq!((info.serve, info.serve_all), (vec!["ada".to_owned()], false), "told, for placement");
        let theirs = wire::Submission { principal: "bob".into(), ..text("display 1\n") };
        let refused = gateway.run(theirs.clone(), 1).await.err().unwrap();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        assert!(refused.message().contains("takes the runs of ada only"), "{refused}");
        assert!(!place.spool(&theirs.run_id).exists(), "nothing was begun");
        gateway.complete(text("display 1\n")).await;
        agent.shutdown(crate::PATIENCE).await;
    });
}
