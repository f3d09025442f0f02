//! The ledger's model behind a disk that takes its time and fails, before the commit or after it.

mod plain;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_gateway::{
    ledger::{
        Adoption, AgentRecord, AgentStore, Answer, AttemptRow, Change, ChangeStore, DrainRecord, Ended, Inserted,
        InvitationRecord, InvitationStore, LeaseRecord, LeaseStore, Ledger, LedgerError, ListQuery, MirrorCopy, NewRun,
        PinRecord, RunStore, StepCursor, StepRow, Transition, TransitionRow, UpkeepStore, memory::MemoryLedger,
    },
    model::{Attempt, CancelIntent, Owner, Principal, Record, Removed},
};
use longhaul_proto::{
    api::{FilesRemoved, Retry},
    ids::RunId,
    state::{Cause, RunState},
    wire,
};

use super::sim::{Sim, short};

pub(crate) struct SimLedger {
    pub(crate) sim: Sim,
    pub(crate) model: MemoryLedger,
    /// The next insertion is committed and its answer lost.
    pub(crate) lose_answer: AtomicBool,
    /// Its disk is full: no write succeeds.
    pub(crate) full: AtomicBool,
    /// It was full once.
    pub(crate) was_full: AtomicBool,
    /// For how long ended records are kept.
    pub(crate) keep_records: Duration,
}

impl SimLedger {
    pub(crate) fn new(sim: Sim, keep_records: Duration) -> Arc<Self> {
        Arc::new(Self {
            sim,
            model: MemoryLedger::new("sim"),
            lose_answer: AtomicBool::default(),
            full: AtomicBool::default(),
            was_full: AtomicBool::default(),
            keep_records,
        })
    }

    /// Its disk is full from now on, or has room again.
    pub(crate) fn set_full(&self, full: bool) {
        self.sim.note(if full { "the ledger's disk is full" } else { "the ledger's disk has room" });
        self.full.store(full, Ordering::Relaxed);
        self.was_full.fetch_or(full, Ordering::Relaxed);
    }

    /// Records went by their age: then they are as old as that.
    fn look_at_swept(&self, gone: &[Ended]) {
        let now = self.sim.clock().monotonic();
        for Ended { run, .. } in gone {
            self.sim.note(format_args!("{} removed by its age", short(run)));
            self.sim.story(run, |story| {
                story.removed = true;
                // A gateway that starts while the clock is far behind reckons on from the newest record: what it records
                // is earlier by as long as it was away.
                let away = Duration::from_secs(if self.sim.wall_jumped() { 10 } else { 0 });
                let age = now.saturating_sub(story.ending_at.or(story.ended_at).unwrap_or(now));
                if age + away < self.keep_records {
                    self.sim.wrong(format_args!("run {} was removed by its age, {age:?} after its end", short(run)));
                }
            });
        }
    }

    /// A wait in the queue begins, or ends by its limit, which it then must have reached.
    fn look_at_queue(&self, run: RunId, attempt: u32, to: RunState, cause: Cause, at_ms: i64) {
        let now = self.sim.clock().monotonic();
        self.sim.story(run, |story| {
            story.attempt = attempt;
            if matches!(to, RunState::Queued | RunState::Starting) {
                story.nothing_told();
            }
            story.ended_at = (to.is_end() && to != RunState::Lost).then_some(now);
            if to == RunState::Queued && cause == Cause::ProvenDead {
                // From when its record was written, however long the commit took.
                story.queued_at = now.saturating_sub(self.since(at_ms));
            }
            let waited = now.saturating_sub(story.queued_at);
            // After a restart what is left of the limit is known by wall-clock time alone.
            if cause == Cause::QueueTimeout
                && !self.sim.wall_jumped()
                && story.queue_timeout.is_some_and(|l| waited < l)
            {
                self.sim.wrong(format_args!("run {} timed out in the queue after {waited:?} only", short(run)));
            }
        });
    }

    /// How long ago that was.
    fn since(&self, at_ms: i64) -> Duration {
        let since = self.sim.clock().unix_ms().saturating_sub(at_ms);
        Duration::from_millis(u64::try_from(since).unwrap_or_default())
    }

    /// A write: time passes before the commit and after it, and either may end in an error.
    fn write<'a, T: Send + 'a>(&'a self, commit: impl FnOnce() -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        async move {
            self.sim.pause(0, 3).await;
            if self.sim.strikes(15) {
                self.sim.count();
                tokio::time::sleep(Duration::from_millis(self.sim.below(500))).await;
            }
            if self.full.load(Ordering::Relaxed) || self.sim.strikes(8) {
                self.sim.count();
                return Err(LedgerError::Unavailable(no_answer()));
            }
            let done = commit().await;
            self.sim.pause(0, 2).await;
            if done.is_ok() && (self.lose_answer.swap(false, Ordering::Relaxed) || self.sim.strikes(8)) {
                self.sim.count();
                return Err(LedgerError::Unknown(no_answer()));
            }
            done
        }
        .boxed()
    }
}

fn no_answer() -> Arc<std::io::Error> {
    Arc::new(std::io::Error::other("the disk does not answer"))
}

impl RunStore for SimLedger {
    fn insert(&self, new: NewRun) -> Answer<'_, Inserted> {
        self.write(move || {
            let (run, asked, created_ms) = (new.record.run, &new.record.detail.asked, new.record.created_ms);
            self.sim.story(run, |story| {
                if story.removed {
                    self.sim.wrong(format_args!("run {} was removed and is recorded again", short(run)));
                }
                story.retry = asked.retry == Retry::IfProvenDead;
                story.queue_timeout =
                    (asked.queue_timeout_ms > 0).then(|| Duration::from_millis(asked.queue_timeout_ms));
                // From when the request came, however long its record took.
                story.queued_at = self.sim.clock().monotonic().saturating_sub(self.since(created_ms));
            });
            let done = self.model.insert(new);
            self.sim.note(format_args!("insert {}", short(run)));
            done
        })
    }
    fn transition(&self, step: Transition) -> Answer<'_, ()> {
        // The record has the time of the first try, however often the ledger fails.
        let now = self.sim.clock().monotonic();
        self.sim.story(step.run, |story| {
            story.ending_at = step.to.is_end().then(|| story.ending_at.unwrap_or(now));
        });
        self.write(move || {
            async move {
                let number = |attempt: Option<Attempt>| attempt.map_or(0, Attempt::number);
                let (run, attempt, from, to, cause) =
                    (step.run, number(step.attempt()), step.from, step.to, step.cause);
                let at_ms = step.at_ms;
                let line =
                    format!("{} {from}/{} -> {to}/{} {}", short(run), number(step.from_attempt), attempt, step.cause);
                let before = self.model.get(run).await?.map(|r| r.state);
                self.model.transition(step).await?;
                self.sim.note(line);
                self.look_at_queue(run, attempt, to, cause, at_ms);
                if before.is_some_and(|s| s.is_end() && s != RunState::Lost) {
                    self.sim.wrong(format_args!("run {} left its end {from} for {to}", short(run)));
                }
                Ok(())
            }
            .boxed()
        })
    }
    fn request_cancel(&self, run: RunId, intent: CancelIntent) -> Answer<'_, bool> {
        self.write(move || self.model.request_cancel(run, intent))
    }
    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()> {
        self.write(move || self.model.name_run(principal, key, run))
    }
    fn mark_shown(&self, runs: Vec<RunId>, at_ms: i64) -> Answer<'_, ()> {
        self.write(move || self.model.mark_shown(runs, at_ms))
    }
    fn adopt(&self, adoption: Adoption) -> Answer<'_, bool> {
        self.write(move || self.model.adopt(adoption))
    }
    fn contest(&self, run: RunId, words: String) -> Answer<'_, bool> {
        self.write(move || self.model.contest(run, words))
    }
    fn get_many<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Record>> {
        self.model.get_many(runs)
    }
    fn get(&self, run: RunId) -> Answer<'_, Option<Record>> {
        self.model.get(run)
    }
    fn submission(&self, run: RunId) -> Answer<'_, Option<wire::Submission>> {
        self.model.submission(run)
    }
    fn by_key<'a>(&'a self, principal: &'a Principal, key: &'a str) -> Answer<'a, Option<(RunId, String)>> {
        self.model.by_key(principal, key)
    }
    fn by_tail<'a>(&'a self, principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.model.by_tail(principal, tail, limit)
    }
    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>> {
        self.model.list(query)
    }
    fn unfinished(&self) -> Answer<'_, Vec<Record>> {
        self.model.unfinished()
    }
    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>> {
        self.model.history(run)
    }
    fn attempts(&self, run: RunId) -> Answer<'_, Vec<AttemptRow>> {
        self.model.attempts(run)
    }
    fn take_over(&self, gateway: String) -> Answer<'_, Owner> {
        self.model.take_over(gateway)
    }
}

impl LeaseStore for SimLedger {
    fn take_lease(&self, lease: LeaseRecord, owner: Owner) -> Answer<'_, ()> {
        self.write(move || self.model.take_lease(lease, owner))
    }
    fn free_lease(&self, run: RunId, attempt: Option<Attempt>, owner: Owner) -> Answer<'_, bool> {
        self.write(move || self.model.free_lease(run, attempt, owner))
    }
    fn leases(&self) -> Answer<'_, Vec<LeaseRecord>> {
        self.model.leases()
    }
}

impl ChangeStore for SimLedger {
    fn changes_since(&self, seq: u64, limit: u32) -> Answer<'_, Vec<Change>> {
        self.model.changes_since(seq, limit)
    }
    fn steps_since(&self, after: StepCursor, limit: u32) -> Answer<'_, Vec<StepRow>> {
        self.model.steps_since(after, limit)
    }
    fn latest_step(&self) -> Answer<'_, StepCursor> {
        self.model.latest_step()
    }
}

impl UpkeepStore for SimLedger {
    fn sweep(&self, before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Answer<'_, Vec<Ended>> {
        self.write(move || {
            async move {
                let gone = self.model.sweep(before_ms, limit, here, at_ms).await?;
                self.look_at_swept(&gone);
                Ok(gone)
            }
            .boxed()
        })
    }
    fn ended_count(&self) -> Answer<'_, u64> {
        self.model.ended_count()
    }
    fn newest_ms(&self) -> Answer<'_, i64> {
        self.model.newest_ms()
    }
    fn ended(&self, before_ms: i64, limit: u32) -> Answer<'_, Vec<Ended>> {
        self.model.ended(before_ms, limit)
    }
    fn remove(&self, run: RunId, at_ms: i64) -> Answer<'_, bool> {
        self.write(move || {
            async move {
                let removed = self.model.remove(run, at_ms).await?;
                if removed {
                    self.sim.note(format_args!("{} removed for room", short(run)));
                    self.sim.story(run, |story| story.removed = true);
                }
                Ok(removed)
            }
            .boxed()
        })
    }
    fn removed(&self, run: RunId) -> Answer<'_, Option<Removed>> {
        self.model.removed(run)
    }
    fn removed_since(&self, at_ms: i64) -> Answer<'_, Vec<RunId>> {
        self.model.removed_since(at_ms)
    }
    fn removed_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        self.write(move || self.model.removed_sweep(before_ms, most))
    }
    fn call_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        self.write(move || self.model.call_sweep(before_ms, limit))
    }
    fn spool_gone(&self, run: RunId, words: Option<String>) -> Answer<'_, ()> {
        self.write(move || self.model.spool_gone(run, words))
    }
    fn earlier_spool_gone(&self, run: RunId, words: String) -> Answer<'_, ()> {
        self.write(move || self.model.earlier_spool_gone(run, words))
    }
    fn only_files_kept(&self, run: RunId) -> Answer<'_, ()> {
        self.write(move || self.model.only_files_kept(run))
    }
    fn files_removed(&self, run: RunId, what: FilesRemoved) -> Answer<'_, ()> {
        self.write(move || self.model.files_removed(run, what))
    }
    fn spools_held<'a>(
        &'a self,
        agent_id: &'a str,
        before_ms: i64,
        copy: MirrorCopy,
        limit: u32,
    ) -> Answer<'a, Vec<RunId>> {
        self.model.spools_held(agent_id, before_ms, copy, limit)
    }
    fn files_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.model.files_held(agent_id, before_ms, limit)
    }
}

impl AgentStore for SimLedger {
    fn cluster_id(&self) -> &str {
        self.model.cluster_id()
    }
    fn put_agent(&self, agent: AgentRecord) -> Answer<'_, ()> {
        self.write(move || self.model.put_agent(agent))
    }
    fn agents(&self) -> Answer<'_, Vec<AgentRecord>> {
        self.model.agents()
    }
    fn forget_agents(&self, agent_ids: Vec<String>) -> Answer<'_, ()> {
        self.write(move || self.model.forget_agents(agent_ids))
    }
    fn put_pin(&self, pin: PinRecord) -> Answer<'_, ()> {
        self.write(move || self.model.put_pin(pin))
    }
    fn pins(&self) -> Answer<'_, Vec<PinRecord>> {
        self.model.pins()
    }
    fn drain(&self, hosts: Vec<DrainRecord>) -> Answer<'_, ()> {
        self.write(move || self.model.drain(hosts))
    }
    fn resume(&self, hosts: Vec<String>) -> Answer<'_, ()> {
        self.write(move || self.model.resume(hosts))
    }
    fn drains(&self) -> Answer<'_, Vec<DrainRecord>> {
        self.model.drains()
    }
}

impl InvitationStore for SimLedger {
    fn invite(&self, invitation: InvitationRecord) -> Answer<'_, ()> {
        self.write(move || self.model.invite(invitation))
    }
    fn invitations(&self) -> Answer<'_, Vec<InvitationRecord>> {
        self.model.invitations()
    }
    fn invitation(&self, digest: String) -> Answer<'_, Option<InvitationRecord>> {
        self.model.invitation(digest)
    }
    fn withdraw_invitation(&self, digest: String, at_ms: i64) -> Answer<'_, bool> {
        self.write(move || self.model.withdraw_invitation(digest, at_ms))
    }
    fn use_invitation(&self, digest: String, pin: PinRecord) -> Answer<'_, bool> {
        self.write(move || self.model.use_invitation(digest, pin))
    }
}

impl Ledger for SimLedger {
    fn check(&self) -> Answer<'_, ()> {
        self.model.check()
    }
    fn close(&self) -> BoxFuture<'_, ()> {
        self.model.close()
    }
}
