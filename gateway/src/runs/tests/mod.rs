//! The state machine against agents on real sockets, which do what a test tells them.

mod ask;
mod attempts;
mod claims;
mod collecting;
mod do_files;
mod drain;
mod fake;
mod joining;
mod ledger_full;
mod left_behind;
mod no_end;
mod owner;
mod panics;
mod release;
mod retry;
mod returning;
mod run_json;
mod same_name;
mod seats;
mod serve;
mod stored;
mod sweep;
mod trace;
mod unverified;
mod upkeep;
mod versions;
mod waits;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::{
    api::{RunView, SubmitRequest},
    clock::{Clock, Source},
    free_space::MinFree,
    ids::{Ids, RunId},
    state::{Cause, RunState},
    tasks::Tasks,
};
use tokio::net::TcpListener;

use super::{Accepted, Request, Runs, SubmitError};
use crate::{
    Deps, Gateway, Options,
    frontend::run_view::run_view,
    ledger::Ledger,
    model::{Attempt, Identity, Principal, Scopes, Stream, TokenLimits},
};
use fake::{Fake, SECRET};

/// Far above the time of anything that is waited for here, on a machine that does much else.
const SOON: Duration = Duration::from_secs(60);

/// The system's clock, which a test can move forward.
#[derive(Clone)]
struct Ahead {
    system: Clock,
    by_ms: Arc<AtomicU64>,
    /// The offset of the wall clock alone.
    off_ms: Arc<AtomicI64>,
}

impl Ahead {
    /// Sets the wall clock alone ahead.
    fn jump(&self, by: Duration) {
        self.off_ms.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Sets the wall clock alone back.
    fn back(&self, by: Duration) {
        self.off_ms.fetch_sub(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Source for Ahead {
    fn unix_ms(&self) -> i64 {
        let by_ms = i64::try_from(self.by_ms.load(Ordering::SeqCst)).unwrap();
        self.system.unix_ms() + by_ms + self.off_ms.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> Duration {
        self.system.monotonic() + Duration::from_millis(self.by_ms.load(Ordering::SeqCst))
    }
}

/// A gateway, its folder, and its clock.
struct World {
    gateway: Option<Gateway>,
    folder: tempfile::TempDir,
    clock: Ahead,
    options: Options,
}

fn ann() -> Identity {
    Identity::local("ann", Scopes::USE)
}

fn root() -> Identity {
    Identity::local("root", Scopes::OPERATE)
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() }
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(set: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options {
            data: folder.path().to_owned(),
            // How full the disk of the machine is that runs the tests must not decide what they see.
            min_free: MinFree { bytes: 0, percent: 0 },
            join_secret: Some(SECRET.to_owned()),
            tick: Duration::from_millis(20),
            backoff: (Duration::from_millis(5), Duration::from_millis(50)),
            sweep_every: Duration::from_millis(50),
            sweep_after: Duration::ZERO,
            ..Options::default()
        };
        set(&mut options);
        let clock = Ahead { system: Clock::system(), by_ms: Arc::default(), off_ms: Arc::default() };
        let mut world = Self { gateway: None, folder, clock, options };
        world.start().await;
        world
    }

    /// Waits until the first sweep is over.
    async fn swept(&self) {
        let swept = async {
            while self.gateway().core.metrics.sweeps.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, swept).await.expect("a sweep comes to its end");
    }

    async fn start(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let clock = Clock::from_source(self.clock.clone());
        let deps = Deps { clock, ids: Ids::system(), tasks: Tasks::new() };
        assert!(self.folder.path().exists());
        self.gateway = Some(crate::start(self.options.clone(), listener, deps).await.unwrap());
    }

    /// Stops and starts the gateway: agents have to register again, at a new address.
    async fn restart(&mut self) {
        assert!(self.gateway.take().unwrap().shutdown(SOON).await);
        self.start().await;
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    fn addr(&self) -> std::net::SocketAddr {
        self.gateway().addr
    }

    fn runs(&self) -> &Runs {
        &self.gateway().core.runs
    }

    fn ledger(&self) -> &dyn Ledger {
        &*self.gateway().core.ledger
    }

    fn ahead(&self, by: Duration) {
        self.clock.by_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Until the record of a run is removed.
    async fn until_removed(&self, run: RunId) {
        let gone = async {
            while self.runs().get(&root(), run).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, gone).await.expect("its record is removed");
    }

    async fn try_submit(&self, submit: SubmitRequest) -> Result<Accepted, SubmitError> {
        self.runs().submit(&ann(), Request { submit, max_code: 1 << 20, ..Request::default() }).await
    }

    async fn submit(&self, submit: SubmitRequest) -> RunId {
        let submitted = self.try_submit(submit).await.unwrap();
        assert_eq!(submitted.joined, None);
        submitted.run.run
    }

    /// The run as the API shows it.
    async fn get(&self, who: &Identity, run: RunId) -> RunView {
        run_view(&self.runs().get(who, run).await.unwrap())
    }

    /// Waits until the run, as the API shows it, satisfies `so`.
    async fn until(&self, run: RunId, what: &str, so: impl Fn(&RunView) -> bool) -> RunView {
        let mut view = self.runs().watch(&root(), run).await.unwrap();
        match tokio::time::timeout(SOON, view.wait_for(|run| so(&run_view(run)))).await {
            Ok(Ok(run)) => run_view(&run),
            Ok(Err(_)) => panic!("ended before: {what}: {:?}", self.runs().get(&root(), run).await),
            Err(_) => panic!("never: {what}: {:?}", self.runs().get(&root(), run).await),
        }
    }

    async fn state(&self, run: RunId, state: RunState) -> RunView {
        self.until(run, state.as_str(), |v| v.state == state).await
    }

    async fn history(&self, run: RunId) -> Vec<(RunState, Cause, u32)> {
        let rows = self.ledger().history(run).await.unwrap();
        rows.into_iter().map(|r| (r.state, r.cause, r.attempt.map_or(0, Attempt::number))).collect()
    }

    async fn log(&self, run: RunId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let chunk = self.runs().read(&root(), run, Stream::Log, all.len() as u64, usize::MAX).await.unwrap();
            all.extend_from_slice(&chunk.bytes);
            if chunk.bytes.is_empty() {
                return all;
            }
        }
    }

    async fn stop(mut self) {
        assert!(self.gateway.take().unwrap().shutdown(SOON).await, "everything ended");
    }
}
