//! An agent without Stata: the real service on a real socket, whose runs print what a test tells them to.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    digest::GrowingBlake3,
    grpc_transport::GrpcTransport,
    ids::Ids,
    join::JoinSecret,
    sha256_hex,
    state::{Cause, RunState},
    tasks::Tasks,
    transport::{self, Greeter, Guarded, Key, Pings, Proof, Role, Session},
    wire::{self, agent_server::AgentServer, fleet_client::FleetClient},
};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use tokio_stream::StreamExt;
use tonic::{Status, transport::server::Connected};

mod events;
mod reports;
mod service;

use service::Service;

/// The secret of all test worlds.
pub(super) const SECRET: &str = "a join secret for tests";

/// A run as the fake agent has it.
#[derive(Clone, Default)]
pub(super) struct FakeRun {
    pub(super) submission: wire::Submission,
    pub(super) attempt: u32,
    pub(super) log: Vec<u8>,
    pub(super) outcome: Option<wire::Outcome>,
    pub(super) progress: Option<wire::Progress>,
}

/// How the agent misbehaves, and what it was asked.
#[derive(Default)]
pub(super) struct State {
    pub(super) runs: BTreeMap<String, FakeRun>,
    pub(super) revoked: HashMap<String, u32>,
    /// The next `Run` calls, one for each entry, fail with this; the bool says whether they start the run all the same.
    pub(super) fail_run: Vec<(Status, bool)>,
    /// Files of code that came, by run and digest.
    pub(super) blobs: BTreeMap<(String, String), Vec<u8>>,
    /// How many bytes of them came, also those that were there.
    pub(super) blob_bytes: u64,
    /// The next calls that send files, one for each entry, break after this many bytes.
    pub(super) break_blobs: Vec<u64>,
    /// The next streams, one for each entry, break after this many bytes.
    pub(super) break_after: Vec<usize>,
    /// Streams begin with what a newer agent might send.
    pub(super) strange: bool,
    /// This many streams from now on send one wrong byte.
    pub(super) corrupt: u32,
    /// Its records have no BLAKE3, as those of earlier versions.
    pub(super) earlier: bool,
    /// Paths that do not exist, with the problem that is reported for them.
    pub(super) missing: HashMap<String, String>,
    /// Digest of all other paths.
    pub(super) digest: String,
    pub(super) run_calls: Vec<(String, u32)>,
    pub(super) cancels: Vec<(String, wire::CancelMode, String)>,
    pub(super) forgets: Vec<wire::ForgetRequest>,
    /// Requests to delete a spool fail with this.
    pub(super) forget_fails: Option<Status>,
    /// Such requests that came.
    pub(super) forget_calls: u32,
    /// Why it keeps every spool.
    pub(super) forget_problem: Option<String>,
    /// Streams send no byte, only their first snapshot.
    pub(super) stall: bool,
    /// Streams that are open when this grows break.
    pub(super) hang_up: u32,
    /// Streams break where they would send bytes.
    pub(super) unreadable: bool,
    /// The offsets of `Follow` calls that were answered with a stream.
    pub(super) follows: Vec<u64>,
    /// The connections to it.
    connections: Vec<Session>,
    /// Heartbeats that were answered.
    pub(super) beats: u64,
    /// The outcomes that it reports for runs of which it keeps only files.
    pub(super) leftovers: BTreeMap<String, wire::Outcome>,
    /// Runs that left files in a folder of their own, and the size of these files.
    pub(super) files: BTreeMap<String, u64>,
    /// Its answer about the do-files that runs entered.
    pub(super) changed: wire::ChangedReply,
    /// Questions about do-files fail with this.
    pub(super) changed_fails: Option<Status>,
    /// The runs that it was asked about.
    pub(super) changed_calls: Vec<String>,
    /// The do-files that runs entered, with contents by digest.
    pub(super) do_files: BTreeMap<String, (wire::DoFilesReply, BTreeMap<String, Vec<u8>>)>,
    /// Questions for them fail with this.
    pub(super) do_files_fail: Option<Status>,
    /// A run whose do-files it cannot read.
    pub(super) do_files_damaged: Option<String>,
    /// How many came.
    pub(super) do_files_calls: u32,
    /// It sends no heartbeats for now.
    pub(super) silent: bool,
    /// What its spools take and may take; each deleted spool frees a megabyte.
    pub(super) spool: (u64, u64),
}

fn artifact(run: &str, bytes: u64) -> wire::Artifact {
    wire::Artifact { path: format!("/spool/{run}/work/results.csv"), bytes }
}

/// A fake agent.
pub(super) struct Fake {
    pub(super) shared: Arc<Shared>,
    tasks: Tasks,
    beats: Tasks,
    beat: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<Option<()>>)>,
}

pub(super) struct Shared {
    greeter: Greeter,
    key: Key,
    info: Mutex<wire::AgentInfo>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn info(&self) -> wire::AgentInfo {
        self.info.lock().unwrap().clone()
    }
    pub(super) fn change<T>(&self, how: impl FnOnce(&mut State) -> T) -> T {
        let done = how(&mut self.state());
        self.changed.send_modify(|n| *n += 1);
        done
    }
}

impl Fake {
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, |_| {}, SECRET)
    }

    pub(super) fn with(name: &str, tell: impl FnOnce(&mut wire::AgentInfo), secret: &str) -> Self {
        let ids = Ids::system();
        let mut info = wire::AgentInfo {
            agent_id: ids.name(),
            incarnation: ids.name(),
            name: name.to_owned(),
            protocol: longhaul_proto::PROTOCOL,
            pool: "lab".to_owned(),
            pool_seats: 1,
            host_limit: 8,
            puts_aside: true,
            engines: vec![wire::Engine { kind: "standin".to_owned(), ..Default::default() }],
            ..Default::default()
        };
        tell(&mut info);
        let shared = Shared {
            greeter: Greeter { role: Role::Agent, secret: JoinSecret::new(secret).unwrap() },
            key: Key::generate().unwrap(),
            info: Mutex::new(info),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared), tasks: Tasks::new(), beats: Tasks::new(), beat: None }
    }

    /// Serves on a new port.
    pub(super) async fn listen(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.shared.info.lock().unwrap().advertise = format!("http://{}", listener.local_addr().unwrap());
        self.serve(listener);
    }

    fn serve(&self, listener: TcpListener) {
        let service = AgentServer::new(Service(self.shared.clone()));
        let guarded = Guarded::new(Role::Agent, service.clone(), service);
        let server = tonic::transport::Server::builder().add_service(guarded);
        let incoming = transport::accept::incoming(listener, self.shared.key.clone(), &self.tasks);
        let shared = self.shared.clone();
        let incoming = incoming.map(move |stream: std::io::Result<transport::Stream<_>>| {
            let stream = stream?;
            shared.state().connections.extend(stream.connect_info());
            Ok::<_, std::io::Error>(stream)
        });
        self.tasks.spawn_until_stop(server.serve_with_incoming(incoming));
    }

    /// Serves, registers, and sends heartbeats.
    pub(super) async fn join(mut self, gateway: SocketAddr) -> Self {
        self.listen().await;
        let reply = self.register(gateway).await;
        assert_eq!(reply.problem, "");
        self
    }

    /// Proves the secret and reports its runs; then sends heartbeats until it is stopped.
    pub(super) async fn register(&mut self, gateway: SocketAddr) -> wire::RegisterReply {
        let info = self.shared.info();
        self.register_as(info, gateway).await
    }

    /// Likewise, with this description of itself.
    pub(super) async fn register_as(&mut self, info: wire::AgentInfo, gateway: SocketAddr) -> wire::RegisterReply {
        let mut client = self.hello(gateway).await;
        let (runs, mut leftovers) = (self.shared.summaries(), self.shared.leftovers());
        let mut pages = runs.chunks(500).map(<[_]>::to_vec).collect::<Vec<_>>();
        let last = pages.pop().unwrap_or_default();
        let mut verdicts = Vec::new();
        for (runs, more) in pages.into_iter().map(|page| (page, true)).chain([(last, false)]) {
            let leftovers = std::mem::take(&mut leftovers);
            let request = wire::RegisterRequest { agent: Some(info.clone()), runs, more, leftovers };
            verdicts.push(client.register(request).await.unwrap().into_inner());
        }
        let mut reply = verdicts.pop().unwrap();
        reply.verdicts = verdicts.into_iter().flat_map(|page| page.verdicts).chain(reply.verdicts).collect();
        self.quiet().await;
        let shared = self.shared.clone();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let beat = async move {
            loop {
                if !shared.state().silent {
                    let _ = client.heartbeat(shared.heartbeat(&info)).await;
                    shared.change(|s| s.beats += 1);
                }
                if tokio::time::timeout(Duration::from_millis(50), &mut stopped).await.is_ok() {
                    return;
                }
            }
        };
        self.beat = Some((stop, self.beats.spawn_until_stop(beat)));
        reply
    }

    /// Stops the heartbeats. The last one has been answered then: the gateway hears none after a test has moved its
    /// clock.
    pub(super) async fn quiet(&mut self) {
        if let Some((stop, beat)) = self.beat.take() {
            drop(stop);
            let _ = tokio::time::timeout(super::SOON, beat).await;
        }
    }

    /// The host falls silent: no heartbeats, no connections.
    pub(super) async fn vanish(&mut self) {
        self.quiet().await;
        for connection in std::mem::take(&mut self.shared.state().connections) {
            connection.cut();
        }
        let tasks = std::mem::take(&mut self.tasks);
        tasks.shutdown(Duration::from_secs(10)).await;
    }

    /// Its heartbeats go on, but no connection to it works.
    pub(super) async fn unreachable(&mut self) {
        for connection in std::mem::take(&mut self.shared.state().connections) {
            connection.cut();
        }
        let tasks = std::mem::take(&mut self.tasks);
        tasks.shutdown(Duration::from_secs(10)).await;
    }

    /// After [`Fake::unreachable`]: it can be called again, at the same address, and has no cause to register.
    pub(super) async fn reachable(&mut self) {
        let advertised = self.shared.info.lock().unwrap().advertise.clone();
        let address = advertised.trim_start_matches("http://").to_owned();
        self.serve(TcpListener::bind(address).await.unwrap());
    }

    /// It comes back as a new process with the same spools.
    pub(super) async fn come_back(&mut self, gateway: SocketAddr) -> wire::RegisterReply {
        self.shared.info.lock().unwrap().incarnation = Ids::system().name();
        self.listen().await;
        // The gateway accepts the new process once it has noticed that the connection of the earlier one is gone.
        self.quiet().await;
        loop {
            let reply = self.register(gateway).await;
            if !reply.problem.contains("another process") {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Announces another protocol from now on.
    pub(super) fn speaks(&mut self, protocol: u32) {
        self.shared.info.lock().unwrap().protocol = protocol;
    }

    /// Its key.
    pub(super) fn key(&self) -> transport::Fingerprint {
        self.shared.key.fingerprint()
    }

    pub(super) fn advertise(&mut self, address: &str) {
        self.shared.info.lock().unwrap().advertise = address.to_owned();
    }

    /// One heartbeat, for its answer.
    pub(super) async fn heartbeat(&self, gateway: SocketAddr) -> wire::HeartbeatReply {
        let mut client = self.hello(gateway).await;
        let info = self.shared.info();
        let (agent_id, incarnation) = (info.agent_id, info.incarnation);
        let request = wire::HeartbeatRequest { agent_id, incarnation, ..Default::default() };
        client.heartbeat(request).await.unwrap().into_inner()
    }

    pub(super) fn prints(&self, run: impl ToString, text: &[u8]) {
        self.shared.change(|s| s.runs.get_mut(&run.to_string()).unwrap().log.extend_from_slice(text));
    }

    pub(super) fn ends(&self, run: impl ToString, state: RunState, cause: Cause) {
        self.ends_as(run, state.to_wire().into(), cause.to_wire().into());
    }

    /// Likewise, with the wire's numbers.
    pub(super) fn ends_as(&self, run: impl ToString, state: i32, cause: i32) {
        self.shared.change(|s| {
            let earlier = s.earlier;
            let run = s.runs.get_mut(&run.to_string()).unwrap();
            let mut blake3 = GrowingBlake3::default();
            blake3.update(&run.log);
            run.outcome = Some(wire::Outcome {
                state,
                cause,
                log_len: run.log.len() as u64,
                log_sha256: sha256_hex(&run.log),
                console_sha256: sha256_hex(b""),
                log_blake3: if earlier { String::new() } else { blake3.text() },
                running_at_ms: 1,
                duration_ms: 1500,
                ..Default::default()
            });
        });
    }

    /// Waits until its state satisfies `so`.
    pub(super) async fn until(&self, what: &str, so: impl Fn(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            while !so(&self.shared.state()) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(super::SOON, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// Waits for this many more heartbeats, 50 ms each: time enough for what should not happen.
    pub(super) async fn beats(&self, n: u64) {
        let until = self.shared.state().beats + n;
        self.until("heartbeats", |s| s.beats >= until).await;
    }

    pub(super) async fn got(&self, run: impl ToString) {
        let run = run.to_string();
        self.until("the agent has the run", |s| s.runs.contains_key(&run)).await;
    }
}

impl Fake {
    /// A separate connection to a gateway, on which both sides have proved the secret.
    pub(super) async fn hello(&self, gateway: SocketAddr) -> FleetClient<GrpcTransport> {
        let pings = Pings { every: Duration::from_secs(10), patience: Duration::from_secs(20) };
        let address = format!("http://{gateway}").parse().unwrap();
        let dialled = transport::dial(&address, &self.shared.key, pings).await.unwrap();
        let greeter = Greeter { role: Role::Agent, secret: JoinSecret::new(SECRET).unwrap() };
        let mut client = FleetClient::new(dialled.transport);
        let reply = client.hello(greeter.request(&dialled.channel, "", Proof::Include)).await.unwrap();
        greeter.check_reply(&dialled.channel, reply.get_ref()).unwrap();
        client
    }
}
