//! The places where the suite is played: this host with real supervisors, and a batch system in memory.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use longhaul_agent::{
    executor::{Accepted, Executor, Grounds, Job, JobHandle, Local, Probe, Supervision},
    spool::{Exit, Plan, Spool, SpoolRoot, Timing, file_facts},
};
use longhaul_proto::{ids::Ids, tasks::Tasks};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::batch::{Answer, BatchExecutor, BatchSystem, Fate, Weather};

/// Every wait ends here at the latest.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a suite is played.
pub(super) struct Site {
    folder: TempDir,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Local,
    Batch(BatchSystem, Arc<Switches>),
}

/// What befalls the batch system of the suite.
#[derive(Default)]
pub(super) struct Switches {
    pub(super) silent: AtomicBool,
    pub(super) fate: Mutex<Option<Fate>>,
}

impl Weather for Arc<Switches> {
    fn answer(&self) -> Answer {
        let silent = self.silent.load(Ordering::Relaxed);
        if silent { Answer::Never } else { Answer::After(Duration::from_millis(5)) }
    }
    fn fate(&self, _: &str) -> Fate {
        self.fate.lock().unwrap().unwrap_or(Fate::Begins(Duration::from_millis(50)))
    }
}

/// What a job does: it leaves a line in `count` and in its log, and ends when there is a file `go` or a request.
const SCRIPT: &str = "echo x >> count; echo hello > $LOG; until [ -e go ]; do sleep 0.01; done; exit 0";

/// The same on a node of the batch system in memory.
fn body(spool: Spool, kill: CancellationToken) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if spool.cancel().exists() {
            return record(&spool, None);
        }
        let count = fs::read(count(&spool)).unwrap_or_default();
        fs::write(self::count(&spool), [count.as_slice(), b"x\n"].concat()).unwrap();
        fs::write(spool.log(), "hello\n").unwrap();
        while !go(&spool).exists() && !spool.cancel().exists() && !kill.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !kill.is_cancelled() {
            record(&spool, Some(0));
        }
    })
}

fn record(spool: &Spool, code: Option<i32>) {
    let log = file_facts(&spool.log(), u64::MAX).unwrap();
    let exit = Exit { attempt: 1, spawned: code.is_some(), code, log, by: "node".into(), ..Exit::default() };
    spool.write(&spool.exit(), &exit).unwrap();
}

fn beside_log(spool: &Spool, name: &str) -> PathBuf {
    spool.log().with_file_name(name)
}

pub(super) fn go(spool: &Spool) -> PathBuf {
    beside_log(spool, "go")
}

pub(super) fn count(spool: &Spool) -> PathBuf {
    beside_log(spool, "count")
}

impl Site {
    pub(super) fn local() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), kind: Kind::Local }
    }

    pub(super) fn batch() -> Self {
        let switches = Arc::new(Switches::default());
        let system = BatchSystem::new(Arc::clone(&switches), Arc::new(body), Tasks::new());
        Self { folder: tempfile::tempdir().unwrap(), kind: Kind::Batch(system, switches) }
    }

    /// The executor of an agent that has just started.
    pub(super) fn executor(&self) -> Arc<dyn Executor> {
        match &self.kind {
            Kind::Local => Arc::new(Local::new(env!("CARGO_BIN_EXE_longhaul-under-test").into())),
            Kind::Batch(system, _) => Arc::new(BatchExecutor::new(system.clone())),
        }
    }

    /// A job that is laid out.
    pub(super) fn job(&self) -> Job {
        let root = SpoolRoot::open(self.folder.path().join("runs")).unwrap();
        let spool = root.of(Ids::system().run());
        let submission = longhaul_proto::wire::Submission { run_id: spool.run().to_string(), ..Default::default() };
        spool.accept(&submission, 1, &self.executor().ready_mark(), 5).unwrap();
        let env = BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("LOG".to_owned(), format!("{}.log", spool.stem())),
        ]);
        let plan = Plan {
            format: spool.layout().format(),
            attempt: 1,
            program: "/bin/sh".into(),
            arg0: None,
            argv: vec!["-c".into(), SCRIPT.into()],
            env,
            engine: "stata".into(),
            engine_note: String::new(),
            working_dir: spool.path().to_owned(),
            source: String::new(),
            code_sha256: String::new(),
            profile: None,
            timing: Timing { timeout: None, start: 60_000, after_break: 100, after_terminate: 100, gathering: 30_000 },
            output_limit: 1 << 30,
            max_spool: 0,
            log_encoding: String::new(),
            gathers: None,
            installs: None,
            cores: None,
            limits: Default::default(),
        };
        spool.write(&spool.plan(), &plan).unwrap();
        Job { spool, attempt: 1 }
    }

    /// Hands one job over; what an agent that came back would read as its handle.
    pub(super) async fn start(&self, job: &Job) -> JobHandle {
        let accepted = self.executor().start(std::slice::from_ref(job)).await.pop().unwrap().unwrap();
        reread(&accepted)
    }

    pub(super) async fn probe(&self, job: &Job, handle: Option<&JobHandle>) -> Probe {
        self.executor().probe(job, handle).await
    }

    /// Until an executor says so; the same one, so that it may learn something.
    pub(super) async fn until(
        &self,
        what: &str,
        job: &Job,
        handle: Option<&JobHandle>,
        so: impl Fn(&Probe) -> bool,
    ) -> Probe {
        let executor = self.executor();
        let wait = async {
            loop {
                let probe = executor.probe(job, handle).await;
                if so(&probe) {
                    return probe;
                }
                let never_began = grounds(&probe) == Some(Grounds::NeverBegan);
                // A proof keeps the job from beginning.
                drop(probe);
                if never_began {
                    // It came just then, and met the proof: as an agent would, hand it over again.
                    drop(executor.start(std::slice::from_ref(job)).await);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
    }

    pub(super) async fn until_recorded(&self, job: &Job, handle: Option<&JobHandle>) -> Exit {
        self.until("the record", job, handle, |probe| grounds(probe) == Some(Grounds::Recorded)).await;
        job.spool.read(&job.spool.exit()).unwrap().expect("an exit record")
    }

    pub(super) async fn until_alive(&self, job: &Job, handle: Option<&JobHandle>) {
        self.until("it goes on", job, handle, |probe| is_alive(probe) && count(&job.spool).exists()).await;
    }

    pub(super) async fn finish(&self, job: &Job, handle: Option<&JobHandle>) {
        fs::write(go(&job.spool), "").unwrap();
        let exit = self.until_recorded(job, handle).await;
        assert_eq!(exit.code, Some(0), "{exit:?}");
        assert_eq!(begun(job), 1, "it began once");
        assert_eq!(exit.log.sha256, longhaul_proto::sha256_hex(b"hello\n"));
    }
}

/// The handle as it comes back from the spool.
pub(super) fn reread(accepted: &Accepted) -> JobHandle {
    let text = serde_json::to_vec(&accepted.handle).unwrap();
    serde_json::from_slice(&text).unwrap()
}

pub(super) fn begun(job: &Job) -> usize {
    fs::read_to_string(count(&job.spool)).unwrap_or_default().lines().count()
}

pub(super) fn grounds(probe: &Probe) -> Option<Grounds> {
    match probe {
        Probe::Gone(proof) => Some(proof.grounds()),
        _ => None,
    }
}

pub(super) fn is_alive(probe: &Probe) -> bool {
    matches!(probe, Probe::Alive(Supervision::Attended))
}
