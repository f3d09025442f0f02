//! What the tests share: an agent, the gateway's side of the calls, and waiting for conditions.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::OnceLock,
    time::Duration,
};

use futures_util::Stream;
use longhaul_agent::{
    Agent, Choice, Deps, MinFree, Options,
    spool::{Spool, SpoolRoot},
};
use longhaul_proto::{
    grpc_transport::GrpcTransport,
    ids::{Ids, RunId},
    join::JoinSecret,
    state::{Cause, RunState},
    transport::{self, Greeter, Key, Pings, Proof, Role},
    wire::{self, agent_client::AgentClient, run_event::Event},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::{Code, Status, Streaming};

use crate::PATIENCE;

pub(crate) const SECRET: &str = "the tests' join secret";

/// The gateway's key that the agents of these tests have pinned.
pub(crate) fn gateway_key() -> Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| Key::generate().unwrap()).clone()
}

/// How idle connections are checked.
pub(crate) const PINGS: Pings = Pings { every: Duration::from_secs(10), patience: Duration::from_secs(20) };

/// The gateway's part of `Hello`.
pub(crate) fn greeter() -> Greeter {
    Greeter { role: Role::Gateway, secret: JoinSecret::new(SECRET).unwrap() }
}

/// Runs an async test.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// A folder with a project and a data folder, and the options of an agent there.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) change: fn(&mut Options),
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("lh-agent-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("project")).unwrap();
        Self { folder, env: BTreeMap::new(), change: |_| {} }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn changed(mut self, change: fn(&mut Options)) -> Self {
        self.change = change;
        self
    }

    pub(crate) fn project(&self) -> PathBuf {
        std::fs::canonicalize(self.folder.path().join("project")).unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file of the project and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn spool(&self, run: &str) -> Spool {
        let root = std::fs::canonicalize(Agent::spools(&self.data())).unwrap();
        SpoolRoot::open(root).unwrap().of(run.parse().unwrap())
    }

    fn options(&self) -> Options {
        let mut options = options(&self.data(), &self.project());
        options.environment.extend(self.env.iter().map(|(n, v)| (OsString::from(n), OsString::from(v))));
        (self.change)(&mut options);
        options
    }

    /// An agent in this process.
    pub(crate) async fn agent(&self) -> (Agent, Gateway) {
        self.agent_for(None).await
    }

    /// The same, registering at a gateway.
    pub(crate) async fn agent_for(&self, gateway: Option<std::net::SocketAddr>) -> (Agent, Gateway) {
        let agent = self.agent_alone(gateway).await;
        let gateway = Gateway::connect(&format!("http://{}", agent.addr)).await;
        (agent, gateway)
    }

    /// The same, without a gateway that has called it.
    pub(crate) async fn agent_alone(&self, gateway: Option<std::net::SocketAddr>) -> Agent {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = self.options();
        options.gateway = gateway.map(|addr| format!("http://{addr}").parse().unwrap());
        longhaul_agent::start(options, listener, Deps::system()).await.unwrap()
    }

    /// An agent as a process of its own, in a process group of its own, that can be killed.
    pub(crate) async fn agent_process(&self) -> (Child, Gateway) {
        use std::os::unix::process::CommandExt;
        let port_file = self.folder.path().join("port");
        let _ = std::fs::remove_file(&port_file);
        let child = Command::new(std::env::current_exe().unwrap())
            .arg("agent")
            .args([self.data(), self.project(), port_file.clone()])
            .envs(&self.env)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        until("the agent listens", || port_file.exists()).await;
        let port = std::fs::read_to_string(&port_file).unwrap();
        (child, Gateway::connect(&format!("http://127.0.0.1:{port}")).await)
    }
}

fn options(data: &Path, project: &Path) -> Options {
    let mut options = Options::new(data.to_owned(), JoinSecret::new(SECRET).unwrap());
    options.label.name = "stata1".into();
    options.label.roots = vec![project.to_owned()];
    options.engine = Choice::Standin;
    options.as_root = true;
    options.min_free = MinFree { bytes: 0, percent: 0 };
    options.after_break = Duration::from_millis(400);
    options.after_terminate = Duration::from_millis(400);
    options
}

/// `agent DATA PROJECT PORT_FILE`: an agent until it is killed.
pub(crate) fn agent_process(args: Vec<OsString>) -> ExitCode {
    let [data, project, port_file] = args.as_slice() else { return ExitCode::from(2) };
    let options = options(Path::new(data), Path::new(project));
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let agent = longhaul_agent::start(options, listener, Deps::system()).await.unwrap();
        longhaul_proto::durable::replace(Path::new(port_file), agent.addr.port().to_string().as_bytes()).unwrap();
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// A process that is killed and waited for at the end.
pub(crate) fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The gateway's side of the calls.
#[derive(Clone)]
pub(crate) struct Gateway {
    client: AgentClient<GrpcTransport>,
}

impl Gateway {
    pub(crate) async fn connect(url: &str) -> Self {
        let patience = tokio::time::timeout(PATIENCE, async {
            loop {
                // An agent that is configured with its gateway takes calls once it has found it.
                match Self::try_connect(url, &gateway_key()).await {
                    Err(status) if status.code() == Code::PermissionDenied => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    connected => return connected.unwrap(),
                }
            }
        });
        patience.await.expect("the agent takes its gateway's calls")
    }

    /// With any key.
    pub(crate) async fn try_connect(url: &str, key: &Key) -> Result<Self, Status> {
        let dialled = transport::dial(&url.parse().unwrap(), key, PINGS).await.unwrap();
        let mut client = AgentClient::new(dialled.transport);
        let reply = client.hello(greeter().request(&dialled.channel, "", Proof::Include)).await?;
        greeter().check_reply(&dialled.channel, reply.get_ref()).unwrap();
        Ok(Self { client })
    }

    pub(crate) async fn run(&self, submission: wire::Submission, attempt: u32) -> Result<Followed, Status> {
        let request = wire::RunRequest { submission: Some(submission), attempt, cluster_id: "lab".into(), trace: None };
        self.client.clone().run(request).await.map(|r| Followed::new(r.into_inner()))
    }

    pub(crate) async fn blob_offsets(&self, run: &str, files: Vec<wire::BlobFile>) -> Result<Vec<u64>, Status> {
        let request = wire::BlobOffsetsRequest { run_id: run.to_owned(), cluster_id: "lab".into(), files };
        Ok(self.client.clone().blob_offsets(request).await?.into_inner().offsets)
    }

    pub(crate) async fn put_blobs<S>(&self, parts: S) -> Result<(), Status>
    where
        S: Stream<Item = wire::BlobPart> + Send + 'static,
    {
        self.client.clone().put_blobs(parts).await.map(drop)
    }

    pub(crate) async fn follow(&self, run: &str, log: u64, console: u64) -> Result<Followed, Status> {
        let request = wire::FollowRequest {
            run_id: run.to_owned(),
            log_offset: log,
            console_offset: console,
            with_submission: true,
        };
        self.client.clone().follow(request).await.map(|r| Followed::new(r.into_inner()))
    }

    pub(crate) async fn cancel(&self, run: &str, mode: wire::CancelMode) -> wire::CancelReply {
        self.cancel_as(run, mode as i32).await
    }

    /// With any number for the mode.
    pub(crate) async fn cancel_as(&self, run: &str, mode: i32) -> wire::CancelReply {
        let request = wire::CancelRequest { run_id: run.to_owned(), mode, by: "ada".into() };
        self.client.clone().cancel(request).await.unwrap().into_inner()
    }

    pub(crate) async fn revoke(&self, run: &str, attempt: u32) -> bool {
        self.try_revoke(run, attempt).await.unwrap()
    }

    pub(crate) async fn try_revoke(&self, run: &str, attempt: u32) -> Result<bool, Status> {
        let request = wire::RevokeRequest { run_id: run.to_owned(), attempt };
        Ok(self.client.clone().revoke(request).await?.into_inner().revoked)
    }

    pub(crate) async fn forget(&self, request: wire::ForgetRequest) -> wire::ForgetReply {
        self.client.clone().forget(request).await.unwrap().into_inner()
    }

    pub(crate) async fn artifact(&self, run: &str, path: &str) -> Result<Vec<u8>, Status> {
        let request =
            wire::ArtifactRequest { run_id: run.to_owned(), path: path.to_owned(), offset: 0, limit: u64::MAX };
        let mut parts = self.client.clone().artifact(request).await?.into_inner();
        let mut bytes = vec![];
        while let Some(part) = parts.message().await? {
            bytes.extend(part.data);
        }
        Ok(bytes)
    }

    pub(crate) async fn describe(&self) -> wire::DescribeReply {
        self.client.clone().describe(wire::DescribeRequest {}).await.unwrap().into_inner()
    }

    pub(crate) async fn inspect(&self, path: &str) -> wire::InspectReply {
        let request = wire::InspectRequest { path: path.to_owned(), ..Default::default() };
        self.client.clone().inspect(request).await.unwrap().into_inner()
    }

    /// Runs to the end.
    pub(crate) async fn complete(&self, submission: wire::Submission) -> Followed {
        let mut followed = self.run(submission, 1).await.unwrap();
        followed.rest().await;
        followed
    }
}

/// A request for code as text.
pub(crate) fn text(code: &str) -> wire::Submission {
    submission(wire::submission::Source::Text(code.as_bytes().to_vec()))
}

/// A request for a path.
pub(crate) fn path(path: &str) -> wire::Submission {
    submission(wire::submission::Source::Path(path.to_owned()))
}

pub(crate) fn submission(source: wire::submission::Source) -> wire::Submission {
    wire::Submission {
        run_id: new_run().to_string(),
        principal: "ada".into(),
        cluster_id: "lab".into(),
        source: Some(source),
        ..Default::default()
    }
}

pub(crate) fn new_run() -> RunId {
    Ids::system().run()
}

/// Everything that a follower received of one run.
pub(crate) struct Followed {
    stream: Streaming<wire::RunEvent>,
    pub(crate) log: Vec<u8>,
    pub(crate) console: Vec<u8>,
    pub(crate) first: Option<wire::Snapshot>,
    pub(crate) last: Option<wire::Snapshot>,
    pub(crate) progress: Vec<wire::Progress>,
    pub(crate) activity: Vec<wire::Activity>,
    from: (u64, u64),
}

impl Followed {
    fn new(stream: Streaming<wire::RunEvent>) -> Self {
        Self {
            stream,
            log: vec![],
            console: vec![],
            first: None,
            last: None,
            progress: vec![],
            activity: vec![],
            from: (0, 0),
        }
    }

    pub(crate) fn from(mut self, log: u64, console: u64) -> Self {
        self.from = (log, console);
        self
    }

    /// Takes one event; `false` at the stream's end.
    pub(crate) async fn next(&mut self) -> bool {
        let event = tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("an event in time");
        match event.unwrap().map(|e| e.event.unwrap()) {
            None => return false,
            Some(Event::Snapshot(snapshot)) => {
                self.first.get_or_insert_with(|| snapshot.clone());
                self.last = Some(snapshot);
            }
            Some(Event::Progress(progress)) => self.progress.push(progress),
            Some(Event::Activity(activity)) => self.activity.push(activity),
            Some(Event::Chunk(chunk)) => {
                assert!(chunk.data.len() <= longhaul_proto::CHUNK);
                let (bytes, from) = match wire::Stream::try_from(chunk.stream).unwrap() {
                    wire::Stream::Console => (&mut self.console, self.from.1),
                    _ => (&mut self.log, self.from.0),
                };
                assert_eq!(chunk.offset, from + bytes.len() as u64, "bytes come in order, once");
                bytes.extend_from_slice(&chunk.data);
            }
        }
        true
    }

    pub(crate) async fn rest(&mut self) {
        while self.next().await {}
    }

    /// Follows until the log holds this text.
    pub(crate) async fn until_log(&mut self, words: &str) {
        while !self.log_text().contains(words) {
            assert!(self.next().await, "the run ended before {words:?} came:\n{}", self.log_text());
        }
    }

    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&self.log).into_owned()
    }

    pub(crate) fn outcome(&self) -> wire::Outcome {
        self.last.as_ref().and_then(|s| s.outcome.clone()).expect("an outcome in the last snapshot")
    }

    /// Checks the end, and that the record's lengths and digests are those of the received bytes.
    pub(crate) fn expect(&self, state: RunState, cause: Cause) -> wire::Outcome {
        let outcome = self.outcome();
        let said = (RunState::from_wire(outcome.state).unwrap(), Cause::from_wire(outcome.cause).unwrap());
        assert_eq!(said, (state, cause), "{outcome:#?}\n{}", self.log_text());
        if self.from == (0, 0) {
            assert_eq!(outcome.log_len, self.log.len() as u64);
            assert_eq!(outcome.log_sha256, longhaul_proto::sha256_hex(&self.log));
            assert_eq!(outcome.console_len, self.console.len() as u64);
            assert_eq!(outcome.console_sha256, longhaul_proto::sha256_hex(&self.console));
        }
        outcome
    }
}
