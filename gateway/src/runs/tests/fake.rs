//! An agent without Stata: the real service on a real socket, whose runs print what a test tells them to.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    grpc_transport::GrpcTransport,
    ids::Ids,
    join::JoinSecret,
    sha256_hex,
    state::{Cause, RunState},
    tasks::Tasks,
    transport::{self, Greeter, Guarded, Key, Pings, Proof, Role, Session},
    wire::{self, agent_server::AgentServer, fleet_client::FleetClient, run_event::Event},
};
use tokio::{net::TcpListener, sync::mpsc, sync::watch};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, transport::server::Connected};

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
    /// The next streams, one for each entry, break after this many bytes.
    pub(super) break_after: Vec<usize>,
    /// Streams begin with what a newer agent might send.
    pub(super) strange: bool,
    /// This many streams from now on send one wrong byte.
    pub(super) corrupt: u32,
    /// Paths that do not exist, with the problem that is reported for them.
    pub(super) missing: HashMap<String, String>,
    /// Digest of all other paths.
    pub(super) digest: String,
    pub(super) run_calls: Vec<(String, u32)>,
    pub(super) cancels: Vec<(String, wire::CancelMode, String)>,
    pub(super) forgets: Vec<wire::ForgetRequest>,
    /// Requests to delete a spool fail with this.
    pub(super) forget_fails: Option<Status>,
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
    beat: Option<tokio::task::AbortHandle>,
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
        let runs = {
            let state = self.shared.state();
            let of = |(run_id, run): (&String, &FakeRun)| wire::RunSummary {
                run_id: run_id.clone(),
                attempt: run.attempt,
                state: run.outcome.as_ref().map_or(wire::RunState::Running.into(), |o| o.state),
                outcome: run.outcome.clone(),
                principal: run.submission.principal.clone(),
                key: run.submission.key.clone(),
                sealed_sha256: longhaul_proto::seal::digest(&run.submission).to_vec(),
                seal: run.submission.seal.clone(),
                ..Default::default()
            };
            let revoked = state.revoked.iter().map(|(run_id, attempt)| wire::RunSummary {
                run_id: run_id.clone(),
                attempt: *attempt,
                revoked: true,
                ..Default::default()
            });
            state.runs.iter().map(of).chain(revoked).collect::<Vec<_>>()
        };
        let leftover = |(run_id, outcome): (&String, &wire::Outcome)| wire::RunSummary {
            run_id: run_id.clone(),
            state: outcome.state,
            outcome: Some(outcome.clone()),
            ..Default::default()
        };
        let mut leftovers: Vec<_> = self.shared.state().leftovers.iter().map(leftover).collect();
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
        self.quiet();
        let shared = self.shared.clone();
        let beat = async move {
            loop {
                let ((spool_bytes, spool_limit), spools) = {
                    let state = shared.state();
                    let size =
                        |(run, n): (&String, &u64)| wire::SpoolSize { run_id: run.clone(), bytes: *n, work_bytes: *n };
                    (state.spool, state.files.iter().map(size).collect())
                };
                let request = wire::HeartbeatRequest {
                    agent_id: info.agent_id.clone(),
                    incarnation: info.incarnation.clone(),
                    engines: info.engines.clone(),
                    spool_bytes,
                    spool_limit,
                    spools,
                    ..Default::default()
                };
                let _ = client.heartbeat(request).await;
                shared.change(|s| s.beats += 1);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        self.beat = Some(self.beats.spawn_until_stop(beat).abort_handle());
        reply
    }

    /// Stops the heartbeats.
    pub(super) fn quiet(&mut self) {
        if let Some(beat) = self.beat.take() {
            beat.abort();
        }
    }

    /// The host falls silent: no heartbeats, no connections.
    pub(super) async fn vanish(&mut self) {
        self.quiet();
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

    /// It comes back as a new process with the same spools.
    pub(super) async fn come_back(&mut self, gateway: SocketAddr) -> wire::RegisterReply {
        self.shared.info.lock().unwrap().incarnation = Ids::system().name();
        self.listen().await;
        // The gateway accepts the new process once it has noticed that the connection of the earlier one is gone.
        self.quiet();
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
            let run = s.runs.get_mut(&run.to_string()).unwrap();
            run.outcome = Some(wire::Outcome {
                state,
                cause,
                log_len: run.log.len() as u64,
                log_sha256: sha256_hex(&run.log),
                console_sha256: sha256_hex(b""),
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
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
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

struct Service(Arc<Shared>);

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
            let begun = s.runs.get(&run_id).is_some_and(|run| run.attempt >= attempt);
            if !begun {
                s.revoked.insert(run_id, attempt);
            }
            !begun
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
