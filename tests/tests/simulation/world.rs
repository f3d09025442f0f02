//! One seed: a gateway, its agents and their clients, what befalls them, and the judgement.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use longhaul_agent::{Choice, MinFree, executor::Executor, simulation::SimAgent};
use longhaul_gateway::{
    Deps, Options,
    auth::{Principal, Scope},
    ledger::Ledger,
    runs::Stream,
    simulation::SimGateway,
};
use longhaul_proto::{
    faults,
    ids::RunId,
    join::JoinSecret,
    state::{Cause, RunState},
    tasks::Tasks,
    wire::{self, submission::Source},
};

use crate::{
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
    pub(crate) gateway: Mutex<Option<Arc<SimGateway>>>,
    agents: Mutex<Vec<Option<SimAgent>>>,
    hosts: Vec<Host>,
    folder: PathBuf,
    seats: (u32, u32),
    /// Limits that the seed set: bytes of output copied per run, of all that is kept, and of an agent's spools.
    pub(crate) max_output: Option<u64>,
    max_kept: Option<u64>,
    max_spool: Option<u64>,
    /// Runs whose id was told to a client.
    pub(crate) acknowledged: Mutex<Vec<RunId>>,
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

pub(crate) fn root() -> Principal {
    Principal { name: "root".to_owned(), scope: Scope::Operate }
}

/// What befalls a world.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// Everything, as the seed has it.
    Seeded,
    /// The first run is recorded and the answer lost; nothing else.
    LostAnswer,
}

/// Plays one seed in this thread.
pub(crate) fn play(seed: u64) -> Judged {
    play_with(seed, Trouble::Seeded, None)
}

/// Points at which a task of the gateway may panic.
const PANICS: [&str; 4] = ["dispatch.before_run", "dispatch.after_run", "end.before_commit", "end.after_commit"];

/// Plays one seed with a certain trouble, and perhaps a deliberate bug.
pub(crate) fn play_with(seed: u64, trouble: Trouble, bug: Option<&str>) -> Judged {
    let mut panics = Chance::new(seed ^ 0x7061_6e69_6373);
    let mut faults = bug.map(|bug| format!("bug={bug};")).unwrap_or_default();
    if trouble == Trouble::Seeded && panics.next().is_multiple_of(4) {
        let point = PANICS[usize::try_from(panics.next() % PANICS.len() as u64).unwrap()];
        faults.push_str(&format!("point={point}:kill@{}", 1 + panics.next() % 4));
    }
    let _scope = faults::enter(&faults);
    longhaul_proto::tasks::simulate();
    let memory = Path::new("/dev/shm");
    let mut folder = tempfile::Builder::new();
    folder.prefix("longhaul-simulation-");
    let folder = if memory.is_dir() { folder.tempdir_in(memory) } else { folder.tempdir() }.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let sim = Sim::new(seed);
        let world = World::new(sim.clone(), folder.path());
        let runs = world.live(trouble).await;
        let (hash, trace, wrong) = sim.found();
        Judged { hash, trace, wrong, runs, faults: sim.counted() }
    })
}

impl World {
    fn new(sim: Sim, folder: &Path) -> Arc<Self> {
        let agents = 1 + usize::try_from(sim.below(3)).unwrap();
        let seats = (1 + u32::try_from(sim.below(3)).unwrap(), 1 + u32::try_from(sim.below(2)).unwrap());
        let limit = |one_in, from, to| (sim.below(one_in) == 0).then(|| from + sim.below(to - from));
        let (max_output, max_kept) = (limit(6, 200, 4_000), limit(6, 500, 8_000));
        let max_spool = limit(6, 1_000, 200_000);
        sim.note(format_args!(
            "{agents} agents, {} seats, {} on each; output {max_output:?}, kept {max_kept:?}, spool {max_spool:?}",
            seats.0, seats.1
        ));
        let pool = Arc::default();
        let host = |n| Host::new(sim.clone(), &format!("stata{n}"), seats, Arc::clone(&pool));
        Arc::new(Self {
            net: Net::new(sim.clone()),
            ledger: SimLedger::new(sim.clone()),
            gateway: Mutex::new(None),
            agents: Mutex::new((0..agents).map(|_| None).collect()),
            hosts: (0..agents).map(host).collect(),
            folder: folder.to_owned(),
            seats,
            max_output,
            max_kept,
            max_spool,
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
        match trouble {
            Trouble::Seeded => self.trouble().await,
            Trouble::LostAnswer => self.ledger.lose_answer.store(true, std::sync::atomic::Ordering::Relaxed),
        }
        self.sim.end_faults();
        if self.sim.wall_jumped() {
            self.sim.jump_wall(0);
        }
        self.mend().await;
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

    /// What befalls them.
    async fn trouble(self: &Arc<Self>) {
        let until = self.sim.clock().monotonic() + self.sim.ms(3_000, 20_000);
        while self.sim.clock().monotonic() < until {
            self.sim.pause(20, 1_500).await;
            self.sim.count();
            let at = usize::try_from(self.sim.below(self.hosts.len() as u64)).unwrap();
            match self.sim.below(18) {
                0 | 1 => {
                    self.crash_gateway();
                    self.sim.pause(0, 4_000).await;
                    self.start_gateway().await;
                }
                2 | 3 => {
                    self.crash_agent(at);
                    let (world, down) = (self.clone(), self.sim.ms(0, 6_000));
                    self.sim.tasks().spawn(async move {
                        tokio::time::sleep(down).await;
                        world.start_agent(at);
                    });
                }
                4 => self.hosts[at].kill_supervisor(),
                5 | 6 => self.net.break_one(),
                7 | 8 => {
                    let (world, time) = (self.clone(), self.sim.ms(50, 12_000));
                    self.sim.note(format_args!("part stata{at} for {} ms", time.as_millis()));
                    world.net.part("gateway", &format!("stata{at}"));
                    self.sim.tasks().spawn(async move {
                        tokio::time::sleep(time).await;
                        world.net.heal("gateway", &format!("stata{at}"));
                    });
                }
                9 | 10 => self.lie(at).await,
                11..=13 => self.hosts[at].shoot_stata(),
                14 => {
                    let spools = std::fs::read_dir(self.spools(at)).into_iter().flatten().flatten();
                    let mut spools: Vec<_> = spools.map(|entry| entry.path()).collect();
                    spools.sort();
                    if !spools.is_empty() {
                        let one = usize::try_from(self.sim.below(spools.len() as u64)).unwrap();
                        self.hosts[at].damage(&spools[one]);
                    }
                }
                15 => self.sim.jump_wall(i64::try_from(self.sim.below(181)).unwrap() - 90),
                _ => {}
            }
        }
    }

    /// Calls that nobody may make: an older attempt than one seen, and a `Forget` with a wrong digest.
    async fn lie(&self, at: usize) {
        let (runs, crashed) = {
            let agents = self.agents.lock().unwrap();
            let Some(agent) = &agents[at] else { return };
            (agent.runs.clone(), agent.tasks.crashed())
        };
        let lies = async {
            runs.ready().await;
            for summary in runs.summaries() {
                let run: RunId = summary.run_id.parse().unwrap();
                let forget = wire::ForgetRequest { run_id: summary.run_id.clone(), log_len: 1, ..Default::default() };
                if runs.forget(run, forget).await.is_ok() {
                    self.sim.wrong(format_args!("run {} was forgotten without its digest", short(run)));
                }
                let source = Some(Source::Text(b"display 1\n".to_vec()));
                let submission = wire::Submission { run_id: summary.run_id, source, ..Default::default() };
                if summary.attempt > 1 {
                    let begun = runs.begin(run, submission, summary.attempt - 1).await;
                    if let Ok(_)
                    | Err(longhaul_agent::runs::Refused::Begun(_) | longhaul_agent::runs::Refused::Revoked(_)) =
                        begun
                    {
                        self.sim
                            .wrong(format_args!("run {}: an attempt lower than one seen was looked at", short(run)));
                    }
                }
            }
        };
        crashed.run_until_cancelled(lies).await;
    }

    async fn mend(self: &Arc<Self>) {
        for host in &self.hosts {
            self.net.heal("gateway", &host.name);
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

    async fn start_gateway(&self) {
        let (ms, defaults) = (Duration::from_millis, Options::default());
        let options = Options {
            data: self.folder.clone(),
            heartbeat: ms(1_000),
            silent_after: ms(3_000),
            lost_after: None,
            call_timeout: ms(4_000),
            backoff: (ms(50), ms(1_000)),
            tick: ms(300),
            keep_spool: ms(2_000),
            sweep_every: ms(2_000),
            // Longer than wall time is off: a restart takes the ledger's newest time for right.
            sweep_after: ms(60_000),
            duplicate_window: ms(500),
            max_output: self.max_output.unwrap_or(defaults.max_output),
            max_kept: self.max_kept.unwrap_or(defaults.max_kept),
            ..defaults
        };
        let deps = Deps { clock: self.sim.clock(), ids: self.sim.ids(), tasks: Tasks::new() };
        let crashed = deps.tasks.crashed();
        let ledger: Arc<dyn Ledger> = self.ledger.clone();
        let mirrors = self.folder.join("mirror");
        let started = longhaul_gateway::simulation::start(options, ledger, &mirrors, secret(), self.net.dialer(), deps);
        let gateway = started.await.unwrap();
        self.net.listen("gateway", gateway.door.clone(), crashed);
        self.sim.note("gateway starts");
        *self.gateway.lock().unwrap() = Some(Arc::new(gateway));
    }

    fn crash_gateway(&self) {
        if let Some(gateway) = self.gateway.lock().unwrap().take() {
            self.sim.note("gateway crashes");
            gateway.deps.tasks.crash();
            self.net.gone("gateway");
        }
    }

    fn start_agent(&self, at: usize) {
        if self.agents.lock().unwrap()[at].is_some() {
            return;
        }
        let host = &self.hosts[at];
        let mut options = longhaul_agent::Options::new(self.folder.join(&host.name), secret());
        options.label.name.clone_from(&host.name);
        options.label.pool = "lab".to_owned();
        (options.label.pool_seats, options.label.host_limit) = self.seats;
        options.label.roots.clear();
        options.advertise = format!("http://{}:1", host.name);
        options.engine = Choice::Standin;
        options.min_free = MinFree { bytes: 0, percent: 0 };
        options.max_spool = self.max_spool.unwrap_or(options.max_spool);
        options.environment.clear();
        let executor: Arc<dyn Executor> = Arc::new(host.clone());
        let (net, name) = (self.net.clone(), host.name.clone());
        let dialer: longhaul_agent::simulation::Dialer = Arc::new(move || {
            let (net, name) = (net.clone(), name.clone());
            Box::pin(async move { net.dial(&name, "gateway").await })
        });
        let deps = longhaul_agent::Deps { clock: self.sim.clock(), ids: self.sim.ids() };
        let agent = longhaul_agent::simulation::start(&options, executor, dialer, deps).unwrap();
        self.net.listen(&host.name, agent.door.clone(), agent.tasks.crashed());
        self.sim.note(format_args!("{} starts", host.name));
        self.agents.lock().unwrap()[at] = Some(agent);
    }

    fn crash_agent(&self, at: usize) {
        let agent = self.agents.lock().unwrap()[at].take();
        if let Some(agent) = agent {
            let name = &self.hosts[at].name;
            self.sim.note(format_args!("{name} crashes"));
            agent.tasks.crash();
            self.net.gone(name);
        }
    }

    fn spools(&self, at: usize) -> PathBuf {
        self.folder.join(&self.hosts[at].name).join("agent/runs")
    }

    /// Whether some agent has more of a run than the proof that it began nothing.
    fn has_spool(&self, run: RunId) -> bool {
        (0..self.hosts.len()).any(|at| self.spools(at).join(run.to_string()).join("submission.pb").exists())
    }

    /// What must be so at the end.
    async fn judge(&self) {
        let Some(gateway) = self.gateway.lock().unwrap().clone() else { return self.sim.wrong("no gateway") };
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        // Until the spools are let go of.
        for _ in 0..60 {
            if !acknowledged.iter().any(|run| self.has_spool(*run)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        for run in acknowledged {
            let Ok(view) = gateway.runs.get(&root(), run).await else {
                if self.sim.story(run, |story| story.removed) {
                    continue;
                }
                self.sim.wrong(format_args!("run {} was acknowledged and is not known", short(run)));
                continue;
            };
            let read = gateway.runs.read(&root(), run, Stream::Log, 0, usize::MAX).await;
            let spool = self.has_spool(run);
            self.sim.story(run, |story| {
                let wrong = |what: String| self.sim.wrong(format_args!("run {}: {what}", short(run)));
                let cut = self.max_output.is_some_and(|most| story.printed.len() as u64 > most);
                if !admissible(story, view.state, view.cause, cut) {
                    wrong(format!("ended {} ({}): {:?} {:?}", view.state, view.cause, view.message, view.note));
                }
                if story.told.is_some_and(|told| told != (view.state, view.cause)) {
                    wrong(format!("is {} and was {:?}", view.state, story.told));
                }
                match read {
                    Ok(_) if story.damaged && story.executions.len() > 1 => {}
                    Ok(chunk) if chunk.bytes == story.printed => {}
                    Ok(chunk) if (cut || story.damaged) && story.printed.starts_with(&chunk.bytes) => {}
                    other => wrong(format!("its mirror is not what it printed: {:?}", other.map(|c| c.bytes.len()))),
                }
                let whole = view.output_complete || cut || story.damaged;
                // Ends that were recorded while wall time was off are not old yet.
                // And what is not whole here is the only copy.
                let kept = spool && !self.sim.wall_jumped() && view.output_complete;
                if !story.executions.is_empty() && (!whole || kept) {
                    wrong(format!("complete {}, spool kept {spool}", view.output_complete));
                }
            });
        }
        let hosts = gateway.runs.hosts(&root());
        if hosts.pools.iter().any(|p| p.in_use > 0) || !hosts.queue.is_empty() {
            self.sim.wrong(format_args!("seats or places are still held: {:?}", hosts.pools));
        }
        if longhaul_proto::tasks::spun() {
            self.sim.wrong("a task spins: it works without ever waiting");
        }
        if self.hosts.iter().any(|h| h.live() > 0) {
            self.sim.wrong("a Stata lives on");
        }
    }
}

/// The ends that a run may have.
fn admissible(story: &Story, state: RunState, cause: Cause, cut: bool) -> bool {
    let last = story.executions.keys().next_back();
    let shot = last.is_some_and(|last| story.shot.contains(last));
    let own = if !story.ended || shot {
        None
    } else if story.printed.ends_with(b"r(111);\n") {
        Some(RunState::Failed)
    } else {
        Some(RunState::Succeeded)
    };
    Some(state) == own
        || (story.cancelled && state == RunState::Cancelled)
        || (story.orphaned && state == RunState::Errored)
        || (story.queue_timeout.is_some() && (state, cause) == (RunState::TimedOut, Cause::QueueTimeout))
        // A run that shall be tried again ends so only when it was tried often enough, or not all it printed is here.
        || (shot
            && state == RunState::Errored
            && (!story.retry || story.executions.len() >= 3 || story.cancelled || cut))
}
