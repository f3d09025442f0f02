//! The judgement: what must be so when the faults are over and everything has come to its end.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longhaul_gateway::{
    frontend::run_view::run_view,
    ledger::{LeaseStore, RunStore},
    model::Stream,
    simulation::SimGateway,
};
use longhaul_proto::{
    api::RunView,
    ids::RunId,
    state::{Cause, RunState},
};

use super::{
    sim::{Story, short},
    world::{World, root},
};

impl World {
    /// Whether some agent has more of a run than the proof that it began nothing.
    fn has_spool(&self, run: RunId) -> bool {
        (0..self.hosts.len()).any(|at| self.spools(at).join(run.to_string()).join("control/submission.pb").exists())
    }

    /// What an agent's spools take, where it is more than they may and some could go.
    fn over_limit(&self, at: usize) -> Option<u64> {
        // Ends that were recorded while wall-clock time was off are not old yet.
        let most = self.max_spool.filter(|_| !self.sim.wall_jumped())?;
        let spools: Vec<_> = self.spools_there(at).into_iter().filter(|path| path.is_dir()).collect();
        let some =
            spools.iter().any(|spool| spool.join("control/submission.pb").exists() || spool.join("run/work").exists());
        let taken = spools.iter().map(|spool| size(spool)).sum();
        (some && taken > most).then_some(taken)
    }

    /// A seat is free when Stata has ended and its agent has said so, wherever its output is.
    pub(crate) async fn watch_seats(self: Arc<Self>) {
        let mut since = None;
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let Some(gateway) = self.gateway.lock().unwrap().clone() else {
                since = None;
                continue;
            };
            if self.rows_disagree().await {
                return;
            }
            let now = self.sim.clock().monotonic();
            let holding = self.ledger.model.unfinished().await.unwrap_or_default();
            let holding = holding.iter().filter(|record| {
                let told = self.sim.story(record.run, |story| story.end_told.is_some());
                record.state.holds_seat() && record.pool() == "lab" && !told
            });
            let (holding, pools) = (holding.count(), gateway.runs.hosts(&root()).await.pools);
            let taken = pools.iter().filter(|pool| pool.name == "lab").map(|pool| pool.in_use).sum::<u32>();
            if taken as usize <= holding {
                since = None;
                continue;
            }
            let since = *since.get_or_insert(now);
            // A ledger that cannot write holds up everything else.
            let patience = if self.ledger.was_full.load(Ordering::Relaxed) { 20 } else { 5 };
            if now.saturating_sub(since) >= Duration::from_secs(patience) {
                return self.sim.wrong(format_args!("{taken} seats are held, and {holding} runs may have a Stata"));
            }
        }
    }

    /// What must be so at the end.
    pub(crate) async fn judge(&self) {
        let Some(gateway) = self.gateway.lock().unwrap().clone() else { return self.sim.wrong("no gateway") };
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        self.wait_for_deletion(&acknowledged).await;
        for run in acknowledged {
            self.judge_run(&gateway, run).await;
        }
        self.judge_seats(&gateway).await;
        self.judge_rows().await;
        let failed = self.tasks_failed.load(Ordering::Relaxed) + gateway.tasks_failed();
        if failed > self.panics {
            self.sim.wrong(format_args!("{failed} tasks of runs panicked or left, and {} were to", self.panics));
        }
        self.judge_hosts();
        if longhaul_proto::tasks::spun() {
            self.sim.wrong("a task spins: it works without ever waiting");
        }
        if self.hosts.iter().any(|h| h.live() > 0) {
            self.sim.wrong("a Stata lives on");
        }
    }

    /// Until the spools are deleted.
    async fn wait_for_deletion(&self, acknowledged: &[RunId]) {
        for _ in 0..if self.max_spool.is_some() { 180 } else { 60 } {
            let too_much = || (0..self.hosts.len()).any(|at| self.over_limit(at).is_some());
            if !acknowledged.iter().any(|run| self.has_spool(*run)) && !too_much() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // What was deleted last is in its record as soon as the agent's answer has arrived.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// A run that was acknowledged: its record, its output and what is left of it.
    async fn judge_run(&self, gateway: &SimGateway, run: RunId) {
        let Ok(view) = gateway.runs.get(&root(), run).await.map(|run| run_view(&run)) else {
            if !self.sim.story(run, |story| story.removed) {
                self.sim.wrong(format_args!("run {} was acknowledged and is not known", short(run)));
            } else if self.has_spool(run) {
                self.sim.wrong(format_args!("run {}: its record is gone and its spool is not", short(run)));
            }
            return;
        };
        let read = gateway.runs.read(&root(), run, Stream::Log, 0, usize::MAX).await;
        let spool = self.has_spool(run);
        let copied = self.copied(gateway, run).await;
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
            self.judge_leftovers(story, &view, (spool, copied), cut, wrong);
            if story.contested && !view.note.as_ref().is_some_and(|note| note.contains("another result")) {
                wrong(format!("another result of it was told, and its record does not say so: {:?}", view.note));
            }
            let (created, started, finished) = (&view.created_at, &view.started_at, &view.finished_at);
            if !self.sim.wall_jumped()
                && started.is_some()
                && finished.is_some()
                && (started < created || started > finished)
            {
                wrong(format!("its record says {created:?}, {started:?}, {finished:?}"));
            }
        });
    }

    /// Whether the gateway has a copy of the file that the run left.
    async fn copied(&self, gateway: &SimGateway, run: RunId) -> bool {
        let left = self.sim.story(run, |story| story.left.clone());
        let Some(name) = left.as_ref().and_then(|left| left.file_name()).and_then(|name| name.to_str()) else {
            return false;
        };
        let Ok(file) = gateway.runs.open_file(&root(), run, name).await else { return false };
        let read = file.read(0, u64::MAX).await;
        file.is_copy() && read.is_ok_and(|bytes| bytes.len() as u64 == file.len())
    }

    /// What is left of a run on its host, and what its record says of that.
    fn judge_leftovers(
        &self,
        story: &Story,
        view: &RunView,
        (spool, copied): (bool, bool),
        cut: bool,
        wrong: impl Fn(String),
    ) {
        let whole = view.output_complete || cut || story.damaged;
        // Ends that were recorded while wall-clock time was off are not old yet.
        // And what is not whole here is the only copy.
        let kept = spool && !self.sim.wall_jumped() && view.output_complete;
        if !story.executions.is_empty() && (!whole || kept) {
            wrong(format!("complete {}, spool kept {spool}", view.output_complete));
        }
        // Those of an attempt that is known to be dead go with its spool. Where they went for room and the agent's answer
        // was lost, the record learns it when it is old.
        let last = story.executions.keys().next_back().is_some_and(|last| !story.shot.contains(last));
        let last = last && self.max_spool.is_none() && self.max_kept.is_none();
        let gone = story.left.as_ref().is_some_and(|left| last && !left.exists());
        if gone && !copied && view.files_removed.is_none() {
            wrong("the files that it left are gone, and its record does not say so".to_owned());
        }
    }

    /// No seat and no place in the queue is held.
    async fn judge_seats(&self, gateway: &SimGateway) {
        // A heartbeat may have been under way for a while; its agent counts as silent some seconds after it arrived.
        for _ in 0..20 {
            if gateway.runs.hosts(&root()).await.pools.iter().all(|pool| pool.in_use == 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let hosts = gateway.runs.hosts(&root()).await;
        if hosts.pools.iter().any(|p| p.in_use > 0) || !hosts.queue.is_empty() {
            self.sim.wrong(format_args!("seats or places are still held: {:?}", hosts.pools));
        }
    }

    /// The rows of attempts and leases say what the records say, and no lease is left.
    async fn judge_rows(&self) {
        if self.rows_disagree().await {
            return;
        }
        let mut leases = self.ledger.model.leases().await.unwrap();
        // A run that rests on an agent's word alone has its lease as long as its record says that it goes on.
        for open in self.ledger.model.unfinished().await.unwrap().iter().filter(|record| record.principal.is_none()) {
            leases.retain(|lease| lease.holder.as_run() != Some(open.run));
        }
        if !leases.is_empty() {
            self.sim.wrong(format_args!("leases are still recorded: {leases:?}"));
        }
    }

    /// Whether a row of an attempt or a lease says otherwise than its record.
    async fn rows_disagree(&self) -> bool {
        let wrong = longhaul_gateway::ledger::agreement::disagreements(&self.ledger.model).await.unwrap();
        wrong.iter().for_each(|wrong| self.sim.wrong(wrong));
        !wrong.is_empty()
    }

    /// Every host's proofs, and what its spools take.
    fn judge_hosts(&self) {
        for (at, host) in self.hosts.iter().enumerate() {
            self.look_at_proofs(at);
            if let Some(taken) = self.over_limit(at) {
                let most = self.max_spool;
                self.sim.wrong(format_args!("the spools on {} take {taken} bytes and may take {most:?}", host.name));
            }
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
        || ((story.orphaned || story.spoiled) && state == RunState::Errored)
        || (story.queue_timeout.is_some() && (state, cause) == (RunState::TimedOut, Cause::QueueTimeout))
        // A run that shall be tried again ends so only when it was tried often enough, or not all it printed is here.
        || (shot
            && state == RunState::Errored
            && (!story.retry || story.executions.len() >= 3 || story.cancelled || cut))
}

/// What a file or folder takes, bytes as the file system counts them.
fn size(path: &Path) -> u64 {
    let own = fs::symlink_metadata(path).map_or(0, |m| m.blocks() * 512);
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    own + below.map(|entry| size(&entry.path())).sum::<u64>()
}
