//! One seed: a gateway, its agents and their clients, what befalls them, and the judgement.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use longhaul_agent::{Choice, MinFree, executor::Executor, simulation::SimAgent};
use longhaul_gateway::{
    Deps, Options,
    ledger::{Ledger, unreliable::UnreliableLedger},
    model::{Identity, Scopes},
    simulation::SimGateway,
};
use longhaul_proto::{clock::Clock, faults, ids::RunId, join::JoinSecret, tasks::Tasks};

use crate::batch::{BatchExecutor, BatchSystem};

use super::{
    client::Client,
    host::Host,
    ledger::SimLedger,
    net::Net,
    sim::{Chance, Sim, Story, short},
};

/// How long everything may take to come to its end when the faults are over.
const QUIET: Duration = Duration::from_secs(300);

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) net: Net,
    pub(crate) ledger: Arc<SimLedger>,
    setup: Setup,
    pub(crate) gateway: Mutex<Option<Arc<SimGateway>>>,
    pub(crate) agents: Mutex<Vec<Option<SimAgent>>>,
    pub(crate) hosts: Vec<Host>,
    /// The batch system in front of each, if there is one.
    pub(crate) batch_systems: Vec<BatchSystem>,
    folder: PathBuf,
    seats: (u32, u32),
    /// Limits that the seed set: bytes of output copied per run, of all that is kept, and of an agent's spools.
    pub(crate) max_output: Option<u64>,
    pub(crate) max_kept: Option<u64>,
    pub(crate) max_spool: Option<u64>,
    /// For how long ended records are kept, where it is not longer than any seed.
    pub(crate) keep_records: Option<Duration>,
    /// The host whose agent must not come back yet.
    pub(crate) away: AtomicUsize,
    /// Tasks of runs that failed in gateways that are gone.
    pub(crate) tasks_failed: AtomicU64,
    /// How many the seed wants to fail at most.
    pub(crate) panics: u64,
    /// Runs of which each host had a spool or a proof.
    had: Mutex<Vec<BTreeSet<RunId>>>,
    /// Runs whose id was told to a client.
    pub(crate) acknowledged: Mutex<Vec<RunId>>,
}

/// An agent that shall come.
pub(crate) struct Joining<'a> {
    /// Its place in the network, and its folder.
    pub(crate) side: &'a str,
    pub(crate) name: &'a str,
    pub(crate) pool: &'a str,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) clock: Clock,
    /// It has no room for any run.
    pub(crate) full: bool,
}

/// What became of a seed.
pub(crate) struct Judged {
    pub(crate) hash: u64,
    pub(crate) trace: Vec<String>,
    pub(crate) wrong: Vec<String>,
    pub(crate) runs: usize,
    pub(crate) faults: u64,
}

fn secret() -> JoinSecret {
    JoinSecret::new("a secret of simulations").unwrap()
}

pub(crate) fn root() -> Identity {
    Identity::local("root", Scopes::OPERATE)
}

/// What befalls a world.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// Everything, as the seed has it.
    Seeded,
    /// The first run is recorded and the answer lost; nothing else.
    LostAnswer,
}

/// What carries the attempts out, and which ledger the gateway has.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Setup {
    /// Supervised processes.
    Plain,
    /// A batch system.
    Batch,
    /// Supervised processes, and the ledger behind a connection: writes that are not answered whether or not they were done,
    /// and stale reads.
    SecondStore,
}

/// A folder in memory, where there is one, and a runtime of this thread with virtual time.
pub(crate) fn stage() -> (tempfile::TempDir, tokio::runtime::Runtime) {
    let memory = Path::new("/dev/shm");
    let mut folder = tempfile::Builder::new();
    folder.prefix("longhaul-simulation-");
    let folder = if memory.is_dir() { folder.tempdir_in(memory) } else { folder.tempdir() }.unwrap();
    (folder, tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap())
}

/// Plays one seed in this thread.
pub(crate) fn play(setup: Setup, seed: u64) -> Judged {
    play_on(setup, seed, Trouble::Seeded, None)
}

/// Plays one seed with a certain trouble, and perhaps a deliberate bug.
pub(crate) fn play_with(seed: u64, trouble: Trouble, bug: Option<&str>) -> Judged {
    play_on(Setup::Plain, seed, trouble, bug)
}

/// Points at which a task of the gateway may panic.
const PANICS: [&str; 4] = ["dispatch.before_run", "dispatch.after_run", "end.before_commit", "end.after_commit"];

/// The same with a certain setup.
pub(crate) fn play_on(setup: Setup, seed: u64, trouble: Trouble, bug: Option<&str>) -> Judged {
    let mut panics = Chance::new(seed ^ 0x7061_6e69_6373);
    let mut faults = bug.map(|bug| format!("bug={bug};")).unwrap_or_default();
    let panicking = trouble == Trouble::Seeded && panics.next().is_multiple_of(4);
    if panicking {
        let point = PANICS[usize::try_from(panics.next() % PANICS.len() as u64).unwrap()];
        faults.push_str(&format!("point={point}:kill@{}", 1 + panics.next() % 4));
    }
    let _scope = faults::enter(&faults);
    longhaul_proto::tasks::simulate();
    let (folder, runtime) = stage();
    runtime.block_on(async {
        let sim = Sim::new(seed);
        let world = World::new(sim.clone(), folder.path(), u64::from(panicking), setup);
        let runs = world.live(trouble).await;
        let (hash, trace, wrong) = sim.found();
        Judged { hash, trace, wrong, runs, faults: sim.counted() }
    })
}

impl World {
    fn new(sim: Sim, folder: &Path, panics: u64, setup: Setup) -> Arc<Self> {
        let agents = 1 + usize::try_from(sim.below(3)).unwrap();
        let seats = (1 + u32::try_from(sim.below(3)).unwrap(), 1 + u32::try_from(sim.below(2)).unwrap());
        let limit = |one_in, from, to| (sim.below(one_in) == 0).then(|| from + sim.below(to - from));
        let (max_output, max_kept) = (limit(4, 200, 4_000), limit(6, 500, 8_000));
        let max_spool = limit(4, 1_000, 200_000);
        let keep_records = limit(4, 5_000, 40_000).map(Duration::from_millis);
        sim.note(format_args!(
            "{agents} agents, {} seats, {} on each; output {max_output:?}, kept {max_kept:?}, spool {max_spool:?}, records \
             {keep_records:?}",
            seats.0, seats.1
        ));
        let pool = Arc::default();
        // Clocks of hosts agree more or less.
        let off = || if sim.below(3) == 0 { i64::try_from(sim.below(7_200_000)).unwrap() - 3_600_000 } else { 0 };
        let host = |n| Host::new(sim.clone(), &format!("stata{n}"), seats, Arc::clone(&pool), off());
        let hosts: Vec<Host> = (0..agents).map(host).collect();
        let batch_systems = match setup {
            Setup::Plain | Setup::SecondStore => Vec::new(),
            Setup::Batch => hosts.iter().map(Host::batch_system).collect(),
        };
        Arc::new(Self {
            net: Net::new(sim.clone()),
            ledger: SimLedger::new(sim.clone(), keep_records.unwrap_or(Options::default().keep_records)),
            setup,
            gateway: Mutex::new(None),
            agents: Mutex::new((0..agents).map(|_| None).collect()),
            hosts,
            batch_systems,
            folder: folder.to_owned(),
            seats,
            max_output,
            max_kept,
            max_spool,
            keep_records,
            away: AtomicUsize::new(usize::MAX),
            tasks_failed: AtomicU64::default(),
            panics,
            had: Mutex::new(vec![BTreeSet::new(); agents]),
            acknowledged: Mutex::default(),
            sim,
        })
    }

    async fn live(self: &Arc<Self>, trouble: Trouble) -> usize {
        self.start_gateway().await;
        for at in 0..self.hosts.len() {
            self.start_agent(at);
        }
        let clients = 1 + self.sim.below(6);
        let many: Vec<_> =
            (0..clients).map(|n| self.sim.tasks().spawn(Client { world: self.clone(), n }.live())).collect();
        self.sim.tasks().spawn(self.clone().watch_seats());
        let stranger = (self.sim.below(4) == 0 && trouble == Trouble::Seeded)
            .then(|| self.sim.tasks().spawn(self.clone().stranger()));
        match trouble {
            Trouble::Seeded => self.trouble().await,
            Trouble::LostAnswer => self.ledger.lose_answer.store(true, Ordering::Relaxed),
        }
        if self.sim.wall_jumped() {
            self.sim.jump_wall(0);
        }
        if self.keep_records.is_some() {
            self.grow_old().await;
        }
        self.sim.end_faults();
        self.mend().await;
        if let Some(stranger) = stranger {
            stranger.await.unwrap();
        }
        let ended = tokio::time::timeout(QUIET, async {
            for client in many {
                client.await.unwrap();
            }
        });
        if ended.await.is_err() {
            self.sim.wrong("not everything ended in 5 minutes without faults");
        }
        self.judge().await;
        let runs = self.acknowledged.lock().unwrap().len();
        self.crash_gateway();
        for at in 0..self.hosts.len() {
            self.crash_agent(at);
        }
        tokio::task::yield_now().await;
        runs
    }

    async fn mend(self: &Arc<Self>) {
        for host in &self.hosts {
            self.net.heal("gateway", &host.name);
        }
        if self.ledger.full.load(Ordering::Relaxed) {
            self.ledger.set_full(false);
        }
        if self.gateway.lock().unwrap().is_none() {
            self.start_gateway().await;
        }
        for at in 0..self.hosts.len() {
            if self.agents.lock().unwrap()[at].is_none() {
                self.start_agent(at);
            }
        }
    }

    pub(crate) async fn start_gateway(&self) {
        let (ms, defaults) = (Duration::from_millis, Options::default());
        let options = Options {
            data: self.folder.clone(),
            min_free: MinFree { bytes: 0, percent: 0 },
            heartbeat: ms(1_000),
            silent_after: ms(3_000),
            lost_after: None,
            call_timeout: ms(4_000),
            backoff: (ms(50), ms(1_000)),
            tick: ms(300),
            keep_spool: ms(2_000),
            sweep_every: ms(2_000),
            // Longer than wall-clock time is off: a restart takes the ledger's newest time for right.
            sweep_after: ms(60_000),
            duplicate_window: ms(500),
            keep_records: self.ledger.keep_records,
            max_output: self.max_output.unwrap_or(defaults.max_output),
            max_kept: self.max_kept.unwrap_or(defaults.max_kept),
            ..defaults
        };
        let deps = Deps { clock: self.sim.clock(), ids: self.sim.ids(), tasks: Tasks::new() };
        let crashed = deps.tasks.crashed();
        let ledger: Arc<dyn Ledger> = match self.setup {
            Setup::Plain | Setup::Batch => self.ledger.clone(),
            Setup::SecondStore => {
                let (model, sim) = (self.ledger.clone(), self.sim.clone());
                let strikes = Box::new(move |per_mille| sim.strikes(per_mille));
                Arc::new(UnreliableLedger::before(self.ledger.clone(), move || model.model.copy(), strikes))
            }
        };
        let mirrors = self.folder.join("mirror");
        let started = longhaul_gateway::simulation::start(options, ledger, &mirrors, secret(), self.net.dialer(), deps);
        let gateway = started.await.unwrap();
        self.net.listen("gateway", gateway.transport.clone(), crashed);
        self.sim.note("gateway starts");
        *self.gateway.lock().unwrap() = Some(Arc::new(gateway));
    }

    pub(crate) fn crash_gateway(&self) {
        if let Some(gateway) = self.gateway.lock().unwrap().take() {
            self.sim.note("gateway crashes");
            self.tasks_failed.fetch_add(gateway.tasks_failed(), Ordering::Relaxed);
            self.sim.stories().values_mut().for_each(Story::nothing_told);
            gateway.deps.tasks.crash();
            self.net.gone("gateway");
        }
    }

    pub(crate) fn start_agent(&self, at: usize) {
        if self.agents.lock().unwrap()[at].is_some() || self.away.load(Ordering::Relaxed) == at {
            return;
        }
        let host = &self.hosts[at];
        let agent = self.join(&Joining {
            side: &host.name,
            name: &host.name,
            pool: "lab",
            executor: self.executor(at),
            clock: host.clock(),
            full: false,
        });
        self.look_at_proofs(at);
        self.agents.lock().unwrap()[at] = Some(agent);
    }

    fn executor(&self, at: usize) -> Arc<dyn Executor> {
        match self.batch_systems.get(at) {
            Some(system) => Arc::new(BatchExecutor::new(system.clone())),
            None => Arc::new(self.hosts[at].clone()),
        }
    }

    /// Starts an agent.
    pub(crate) fn join(&self, joining: &Joining<'_>) -> SimAgent {
        let side = joining.side;
        let mut options = longhaul_agent::Options::new(self.folder.join(side), secret());
        joining.name.clone_into(&mut options.label.name);
        joining.pool.clone_into(&mut options.label.pool);
        (options.label.pool_seats, options.label.host_limit) = self.seats;
        options.label.roots.clear();
        options.advertise = format!("http://{side}:1");
        options.engine = Choice::Standin;
        options.min_free = MinFree { bytes: if joining.full { u64::MAX } else { 0 }, percent: 0 };
        options.max_spool = self.max_spool.unwrap_or(options.max_spool);
        options.environment.clear();
        let (net, name) = (self.net.clone(), side.to_owned());
        let dialer: longhaul_agent::simulation::Dialer = Arc::new(move || {
            let (net, name) = (net.clone(), name.clone());
            Box::pin(async move { net.dial(&name, "gateway").await })
        });
        let deps = longhaul_agent::Deps { clock: joining.clock.clone(), ids: self.sim.ids() };
        let agent = longhaul_agent::simulation::start(&options, joining.executor.clone(), dialer, deps).unwrap();
        self.net.listen(side, agent.transport.clone(), agent.tasks.crashed());
        self.sim.note(format_args!("{side} starts"));
        agent
    }

    /// Crashes one.
    pub(crate) fn leave(&self, agent: SimAgent, side: &str) {
        self.sim.note(format_args!("{side} crashes"));
        agent.tasks.crash();
        self.net.gone(side);
    }

    pub(crate) fn crash_agent(&self, at: usize) {
        let agent = self.agents.lock().unwrap()[at].take();
        if let Some(agent) = agent {
            self.leave(agent, &self.hosts[at].name);
            self.look_at_proofs(at);
            // All of it is of this hour, whatever a clock may say.
            let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.sim.true_ms()).unwrap());
            for path in self.spools_there(at) {
                std::fs::File::open(path).and_then(|file| file.set_modified(now)).unwrap();
            }
        }
    }

    pub(crate) fn spools(&self, at: usize) -> PathBuf {
        self.folder.join(&self.hosts[at].name).join("agent/runs")
    }

    /// What lies in an agent's folder of runs, in order.
    pub(crate) fn spools_there(&self, at: usize) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.spools(at)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    /// No seed lasts for as long as a proof is kept: of each run an agent has its spool or a proof for ever.
    pub(crate) fn look_at_proofs(&self, at: usize) {
        let stems = self.spools_there(at).into_iter().filter_map(|path| path.file_stem()?.to_str()?.parse().ok());
        let has: BTreeSet<RunId> = stems.collect();
        for gone in self.had.lock().unwrap()[at].difference(&has) {
            self.sim.wrong(format_args!("run {}: {} has no proof of it any more", short(gone), self.hosts[at].name));
        }
        self.had.lock().unwrap()[at].extend(has);
    }
}
