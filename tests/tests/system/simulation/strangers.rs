//! Agents that come for a while beside those of the world: one that tells what is not so, and one that takes the name of
//! an agent that is away.

use std::{
    fs, io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use longhaul_agent::{
    executor::{
        Accepted, Executor, Hint, Job, JobHandle, Probe, Supervision, Usage,
        local::{self, mark_spawning},
    },
    spool::{CancelMode, Exit, Plan, Running, Spool, Started, file_facts},
};
use longhaul_gateway::{runs::Runs, simulation::SimGateway};
use longhaul_proto::{
    clock::Clock,
    ids::RunId,
    wire::{self, submission::Source},
};

use super::{
    net::key,
    sim::short,
    world::{Joining, World, root},
};

/// The agent that tells what is not so.
const STRANGER: &str = "stata9";
/// How long anything with it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has a run that goes on for ever, or one that has ended with a result of its own.
struct Forger(Clock);

impl Forger {
    fn forge(&self, spool: &Spool) -> io::Result<()> {
        let plan: Plan = spool.read(&spool.plan())?.ok_or(io::ErrorKind::NotFound)?;
        let at_ms = self.0.unix_ms();
        mark_spawning(spool)?;
        fs::write(spool.log(), b"what was never asked for\n")?;
        let started = Started {
            pid: i32::MAX,
            pgid: i32::MAX,
            boot_id: longhaul_agent::os::boot_id(),
            start_ticks: 0,
            at_ms,
            mono_ms: 0,
            oom_kills: None,
        };
        spool.write(&spool.started(), &started)?;
        spool.write(&spool.running(), &Running { at_ms, mono_ms: 0 })?;
        if is_invented(spool.run()) {
            return Ok(());
        }
        fs::write(spool.sentinel(), b"1\n")?;
        let exit = Exit {
            attempt: plan.attempt,
            by: "forger".to_owned(),
            spawned: true,
            code: Some(0),
            started_at_ms: at_ms,
            running_at_ms: at_ms,
            ended_at_ms: at_ms,
            log: file_facts(&spool.log(), plan.output_limit)?,
            console: file_facts(&spool.console(), plan.output_limit)?,
            ..Exit::default()
        };
        spool.write(&spool.exit(), &exit)
    }
}

impl Executor for Forger {
    fn start<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Vec<io::Result<Accepted>>> {
        let start = |job: &Job| {
            self.forge(&job.spool)?;
            let lasts = is_invented(job.spool.run());
            let over: Hint = if lasts { Box::pin(std::future::pending()) } else { Box::pin(async {}) };
            Ok(Accepted { handle: local::handle(), over: Some(over) })
        };
        Box::pin(async move { jobs.iter().map(start).collect() })
    }
    fn probe<'a>(&'a self, job: &'a Job, handle: Option<&'a JobHandle>) -> BoxFuture<'a, Probe> {
        let lasts = is_invented(job.spool.run());
        Box::pin(async move { if lasts { Probe::Alive(Supervision::Attended) } else { local::probe(job, handle) } })
    }
    fn end<'a>(&'a self, _: &'a Job, _: Option<&'a JobHandle>, _: CancelMode) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn activity<'a>(&'a self, _: &'a Job, _: Option<&'a JobHandle>) -> BoxFuture<'a, Option<Usage>> {
        Box::pin(async { None })
    }
}

/// A run that no gateway ever named, and older than all: one that is newer would be the sign of an older ledger.
fn invented() -> RunId {
    "019a8e4c-7d3a-7cc2-8a54-000000000001".parse().unwrap()
}

fn is_invented(run: RunId) -> bool {
    run == invented()
}

impl World {
    fn runs(&self) -> Option<Runs> {
        self.gateway.lock().unwrap().as_ref().map(|gateway: &Arc<SimGateway>| gateway.runs.clone())
    }

    async fn is_there(&self, name: &str) -> bool {
        let Some(runs) = self.runs() else { return false };
        let hosts = runs.hosts(&root()).await.hosts;
        hosts.iter().any(|h| h.name == name && h.state != "silent" && h.state != "unreachable")
    }

    /// Until an agent is taken in; `false` = it was not.
    async fn joins(&self, name: &str) -> bool {
        let joined = async {
            while !self.is_there(name).await {
                self.sim.pause(100, 100).await;
            }
        };
        tokio::time::timeout(PATIENCE, joined).await.is_ok()
    }

    /// An agent comes that holds the join secret, tells a run that was never submitted and another result of one that has
    /// ended, and is never seen again.
    pub(crate) async fn stranger(self: Arc<Self>) {
        let sim = &self.sim;
        sim.pause(5_000, 20_000).await;
        // What it has is made before it comes.
        self.net.part("gateway", STRANGER);
        let mut joining = Joining {
            side: STRANGER,
            name: STRANGER,
            pool: "elsewhere",
            executor: Arc::new(Forger(sim.clock())),
            clock: sim.clock(),
            full: false,
        };
        let agent = self.join(&joining);
        let mut told = vec![(invented(), 1)];
        let ended: Vec<RunId> = {
            let stories = sim.stories();
            let ended = stories.iter().filter(|(_, story)| story.ended_at.is_some() && !story.removed);
            ended.filter_map(|(run, _)| run.parse().ok()).collect()
        };
        if let (Some(run), Some(runs)) = (ended.first(), self.runs())
            && let Ok(view) = runs.get(&root(), *run).await
            && let Some(attempt) = view.attempt
        {
            told.push((*run, attempt.number()));
        }
        agent.runs.ready().await;
        for (run, attempt) in &told {
            let source = Some(Source::Text(b"display 1\n".to_vec()));
            let submission = wire::Submission { run_id: run.to_string(), source, ..Default::default() };
            let started = agent.runs.begin(*run, submission, *attempt, Default::default()).await;
            sim.note(format_args!("stranger has {}: {}", short(run), started.is_ok()));
        }
        // It has judged the one that ended, and tells all it has when it comes anew.
        sim.pause(1_000, 1_500).await;
        self.leave(agent, STRANGER);
        self.net.heal("gateway", STRANGER);
        joining.full = true;
        let agent = self.join(&joining);
        if self.joins(STRANGER).await {
            for (run, _) in told.iter().skip(1) {
                sim.story(run, |story| story.contested = true);
            }
        }
        sim.pause(0, 4_000).await;
        self.leave(agent, STRANGER);
        // Until its silence is noticed.
        sim.pause(4_000, 4_000).await;
    }

    /// A host goes away whose run has ended and whose output is not home yet; meanwhile an operator gives its name to
    /// another agent, and then it comes back.
    pub(crate) async fn another_of_this_name(&self, at: usize) {
        let (sim, name) = (&self.sim, self.hosts[at].name.clone());
        let before = sim.counted();
        self.net.part_at_end(&name);
        let struck = async {
            while !self.net.parted_at_end(&name) {
                sim.pause(20, 20).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(6), struck).await.is_err() {
            self.net.part_at_end("");
            return;
        }
        sim.note(format_args!("{name} goes away ({before}) and another takes its name"));
        self.away.store(at, Ordering::Relaxed);
        self.crash_agent(at);
        sim.pause(3_500, 5_000).await;
        self.operate(&format!("revoke {name}"), async |runs| runs.revoke_agent(&root(), &name).await.is_ok()).await;
        let side = format!("new-{name}");
        let other = self.join(&Joining {
            side: &side,
            name: &name,
            pool: "lab",
            executor: Arc::new(self.hosts[at].clone()),
            clock: self.hosts[at].clock(),
            full: true,
        });
        self.joins(&name).await;
        self.leave(other, &side);
        sim.pause(3_500, 5_000).await;
        self.operate(&format!("revoke {name}"), async |runs| runs.revoke_agent(&root(), &name).await.is_ok()).await;
        let own = key(&name).to_string();
        self.operate(&format!("approve {name}"), async |runs| runs.approve_agent(&root(), &own).await.is_ok()).await;
        self.away.store(usize::MAX, Ordering::Relaxed);
        self.start_agent(at);
    }

    /// An operator's command, until it is carried out.
    async fn operate(&self, what: &str, command: impl AsyncFn(Runs) -> bool) {
        for _ in 0..50 {
            if let Some(runs) = self.runs()
                && command(runs).await
            {
                return self.sim.note(what);
            }
            self.sim.pause(100, 300).await;
        }
        self.sim.note(format_args!("not done: {what}"));
    }
}
