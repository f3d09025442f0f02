//! What befalls a world while the seed has trouble for it.

use std::sync::Arc;

use longhaul_gateway::{ledger::RunStore, model::Identity, runs::ControlError};
use longhaul_proto::{
    api::CancelMode,
    ids::RunId,
    wire::{self, submission::Source},
};

use super::{
    sim::short,
    world::{World, root},
};

impl World {
    /// What befalls them.
    pub(crate) async fn trouble(self: &Arc<Self>) {
        let until = self.sim.clock().monotonic() + self.sim.ms(3_000, 20_000);
        while self.sim.clock().monotonic() < until {
            self.sim.pause(20, 1_500).await;
            self.sim.count();
            let at = usize::try_from(self.sim.below(self.hosts.len() as u64)).unwrap();
            match self.sim.below(24) {
                0 | 1 => self.restart_gateway().await,
                2 | 3 => self.restart_agent(at),
                4 => match self.batch_systems.get(at) {
                    Some(system) => system.kill_one(),
                    None => self.hosts[at].kill_supervisor(),
                },
                5 | 6 => self.net.break_one(),
                7 | 8 => self.part_host(at),
                9 | 10 => self.lie(at).await,
                11..=13 => self.hosts[at].shoot_stata(),
                14 => self.damage_one(at),
                15 | 16 => self.jump_wall(),
                17 => self.fill_ledger(),
                18 | 19 => self.another_of_this_name(at).await,
                _ => {}
            }
        }
    }

    async fn restart_gateway(self: &Arc<Self>) {
        self.crash_gateway();
        self.sim.pause(0, 4_000).await;
        self.start_gateway().await;
    }

    fn restart_agent(self: &Arc<Self>, at: usize) {
        self.crash_agent(at);
        let (world, down) = (self.clone(), self.sim.ms(0, 6_000));
        self.sim.tasks().spawn(async move {
            tokio::time::sleep(down).await;
            world.start_agent(at);
        });
    }

    /// Parts a host from the gateway, and cuts logs there that the gateway does not have yet.
    fn part_host(self: &Arc<Self>, at: usize) {
        self.net.part_for(&self.hosts[at].name, 12_000);
        if self.sim.below(3) == 0 {
            let world = self.clone();
            self.sim.tasks().spawn(async move {
                world.sim.pause(500, 6_000).await;
                world.damage_unsent(at);
            });
        }
    }

    /// Cuts the log of one run.
    fn damage_one(&self, at: usize) {
        let spools = self.spools_there(at);
        if !spools.is_empty() {
            let one = usize::try_from(self.sim.below(spools.len() as u64)).unwrap();
            self.hosts[at].damage(&spools[one]);
        }
    }

    /// Less than a week off is not noticed, and is no reason to remove anything that is kept for a month.
    fn jump_wall(&self) {
        let days = 8 + i64::try_from(self.sim.below(83)).unwrap();
        let short = if self.keep_records.is_none() { days - 8 } else { days };
        self.sim.jump_wall(if self.sim.below(2) == 0 { short } else { -short });
    }

    /// The ledger has no room for a while, and an operator wants an end of everything.
    fn fill_ledger(self: &Arc<Self>) {
        let (world, time) = (self.clone(), self.sim.ms(500, 14_000));
        world.ledger.set_full(true);
        self.sim.tasks().spawn(async move {
            tokio::time::sleep(time).await;
            world.ledger.set_full(false);
        });
        self.sim.tasks().spawn(self.clone().cancel_all());
    }

    /// Calls that the gateway never makes: an older attempt than one seen, and a `Forget` with a wrong digest.
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
                    let started = runs.begin(run, submission, summary.attempt - 1, Default::default()).await;
                    if let Ok(_)
                    | Err(longhaul_agent::runs::Refused::Started(_) | longhaul_agent::runs::Refused::Revoked(_)) =
                        started
                    {
                        self.sim
                            .wrong(format_args!("run {}: an attempt lower than one seen was looked at", short(run)));
                    }
                }
            }
        };
        crashed.run_until_cancelled(lies).await;
    }

    /// Asks for the end of a run; whether that was recorded.
    pub(crate) async fn cancel(&self, who: &Identity, run: RunId, mode: CancelMode) -> bool {
        let Some(gateway) = self.gateway.lock().unwrap().clone() else { return false };
        // Also when no answer comes: it may have been heard.
        self.sim.story(run, |story| story.cancelled = true);
        let answer = gateway.deps.tasks.crashed().run_until_cancelled(gateway.runs.cancel(who, run, mode)).await;
        self.sim.note(format_args!("cancel {}: {}", short(run), matches!(answer, Some(Ok(_)))));
        if let Some(Err(ControlError::Slow(limit))) = &answer {
            self.sim.wrong(format_args!("run {}: a command had no answer for {limit:?}", short(run)));
        }
        matches!(answer, Some(Ok(_)))
    }

    /// An operator wants an end of everything, and the ledger is full.
    async fn cancel_all(self: Arc<Self>) {
        self.sim.pause(1_000, 3_000).await;
        for record in self.ledger.model.unfinished().await.unwrap_or_default() {
            let world = self.clone();
            self.sim.tasks().spawn(async move { world.cancel(&root(), record.run, CancelMode::Break).await });
        }
    }

    /// Cuts logs of runs that have ended and whose output is not all with the gateway.
    fn damage_unsent(&self, at: usize) {
        for spool in self.spools_there(at) {
            let run = spool.file_name().unwrap().to_string_lossy().into_owned();
            if self.sim.story(run, |story| story.ended_at.is_none()) {
                self.hosts[at].damage(&spool);
            }
        }
    }

    /// Time passes until records are old; an agent may be away for most of it.
    pub(crate) async fn grow_old(self: &Arc<Self>) {
        let at = usize::try_from(self.sim.below(self.hosts.len() as u64)).unwrap();
        if self.sim.below(2) == 0 {
            self.crash_agent(at);
        }
        self.sim.pause(80_000, 110_000).await;
        self.start_agent(at);
        self.sim.pause(1_000, 10_000).await;
    }
}
