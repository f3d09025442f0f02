//! The registry of this agent's runs: each has its task, or is at rest.
//!
//! A run that has ended and is not used has no task: what the agent reports of it is all that is in memory, and the rest
//! is in its spool. When it is asked for it gets a new task, which reads the folder as after a restart of the agent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{faults, ids::RunId, wire};
use prost::Message;
use tokio::sync::mpsc;

use super::{Command, Context, Handle, Status, run_task, run_task::RunTask};
use crate::spool::Spool;

/// How long the task of an ended run stays when it is not used.
pub(super) const REST_AFTER: Duration = Duration::from_secs(2);

/// All runs. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Registry(
    // Held for a look-up or a change, never over an await.
    Arc<Mutex<HashMap<RunId, Entry>>>,
);

/// One run.
pub(super) enum Entry {
    /// Its folder was there at the start, and is being read.
    Unread,
    /// It has a task.
    Task(Handle),
    /// It has ended.
    Resting(Resting),
}

/// What is known of an ended run without its task.
pub(super) struct Resting {
    attempt: u32,
    /// [`wire::RunSummary`]: of the run, or of the files that are left of it.
    summary: Box<[u8]>,
    report: Report,
}

/// What the agent reports of a resting run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Report {
    Run,
    /// Only files of it are left.
    Leftover,
}

/// Whether the spool of a run may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Nothing writes into it any more.
    pub(super) over: bool,
    /// The last attempt.
    pub(super) attempt: u32,
}

fn may_rest(status: &Status) -> bool {
    let ended = status.outcome.is_some() || (status.kept.is_some() && status.attempt == 0);
    ended && status.read && status.trouble.is_empty() && !faults::bug("ended_runs_keep_their_tasks")
}

impl Resting {
    /// `None` when the run needs its task.
    pub(super) fn of(run: RunId, status: &Status) -> Option<Self> {
        if !may_rest(status) {
            return None;
        }
        let (summary, report) = match (&status.outcome, &status.kept) {
            (Some(_), _) => (status.summary(run)?, Report::Run),
            // Of a dead attempt whose successor was revoked both are reported.
            (None, Some(_)) if status.attempt == 0 => (status.leftover(run)?, Report::Leftover),
            _ => return None,
        };
        Some(Self { attempt: status.attempt, summary: summary.encode_to_vec().into(), report })
    }

    fn is_run(&self) -> bool {
        self.report == Report::Run
    }

    fn is_leftover(&self) -> bool {
        self.report == Report::Leftover
    }
}

impl Registry {
    fn rows(&self) -> MutexGuard<'_, HashMap<RunId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run whose folder is there, and will be read.
    pub(super) fn unread(&self, run: RunId) {
        self.rows().insert(run, Entry::Unread);
    }

    /// The folder was read, and the run has ended. Nothing changes if it was asked for meanwhile.
    pub(super) fn found_ended(&self, run: RunId, resting: Resting) {
        if let Some(entry @ Entry::Unread) = self.rows().get_mut(&run) {
            *entry = Entry::Resting(resting);
        }
    }

    /// The run, which gets a task if it has none.
    pub(super) fn handle(&self, context: &Arc<Context>, spool: &Spool) -> Handle {
        let mut rows = self.rows();
        match rows.get(&spool.run()) {
            Some(Entry::Task(handle)) if !handle.commands.is_closed() => handle.clone(),
            _ => with_task(&mut rows, context, spool.clone()),
        }
    }

    /// The same of a run that is here; `None` = it is not.
    pub(super) fn get(&self, context: &Arc<Context>, run: RunId) -> Option<Handle> {
        let mut rows = self.rows();
        if let Entry::Task(handle) = rows.get(&run)? {
            return Some(handle.clone());
        }
        Some(with_task(&mut rows, context, context.root.of(run)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether this attempt of the run was started here, as far as its folder was read.
    pub(super) fn has_started(&self, run: RunId, attempt: u32) -> bool {
        match self.rows().get(&run) {
            None | Some(Entry::Unread) => false,
            Some(Entry::Resting(resting)) => resting.attempt == attempt,
            Some(Entry::Task(handle)) => {
                let status = handle.status.borrow();
                status.attempt == attempt && !status.revoked
            }
        }
    }

    /// Where the run stands; `None` = there is no such run, or its folder was not read yet.
    pub(super) fn standing(&self, run: RunId) -> Option<Standing> {
        standing(self.rows().get(&run)?)
    }

    /// Where all runs stand whose folders were read.
    pub(super) fn standings(&self) -> Vec<(RunId, Standing)> {
        self.rows().iter().filter_map(|(run, entry)| Some((*run, standing(entry)?))).collect()
    }

    /// What the agent reports of all runs.
    pub(super) fn summaries(&self) -> Vec<wire::RunSummary> {
        self.reports(Resting::is_run, Status::summary)
    }

    /// What it reports of runs of which only files are left.
    pub(super) fn leftovers(&self) -> Vec<wire::RunSummary> {
        self.reports(Resting::is_leftover, Status::leftover)
    }

    fn reports(
        &self,
        of_resting: fn(&Resting) -> bool,
        of_status: fn(&Status, RunId) -> Option<wire::RunSummary>,
    ) -> Vec<wire::RunSummary> {
        let report = |(run, entry): (&RunId, &Entry)| match entry {
            Entry::Unread => None,
            Entry::Resting(resting) if of_resting(resting) => wire::RunSummary::decode(&*resting.summary).ok(),
            Entry::Resting(_) => None,
            Entry::Task(handle) => of_status(&handle.status.borrow(), *run),
        };
        self.rows().iter().filter_map(report).collect()
    }

    /// The runs that have a task.
    pub(super) fn tasks(&self) -> Vec<Handle> {
        let handle = |entry: &Entry| if let Entry::Task(handle) = entry { Some(handle.clone()) } else { None };
        let mut tasks: Vec<Handle> = self.rows().values().filter_map(handle).collect();
        // In one order, so that a start can be replayed.
        tasks.sort_by_key(|task| task.spool.run());
        tasks
    }

    /// The run is gone, unless it has a new task since.
    pub(super) fn remove(&self, gone: &Handle) {
        let mut rows = self.rows();
        if let Some(Entry::Task(handle)) = rows.get(&gone.spool.run())
            && handle.commands.same_channel(&gone.commands)
        {
            rows.remove(&gone.spool.run());
        }
    }

    /// Puts a run to rest; `false` = it is used, or needs its task. The task whose commands these are leaves then.
    pub(super) fn rest(&self, run: RunId, status: &Status, commands: &mpsc::Receiver<Box<Command>>) -> bool {
        let Some(resting) = Resting::of(run, status) else { return false };
        let mut rows = self.rows();
        let Some(entry) = rows.get_mut(&run) else { return false };
        // Handles come from here alone, so that none can be made of this one now.
        let unused = matches!(entry, Entry::Task(handle) if handle.commands.strong_count() == 1);
        if unused && commands.is_empty() {
            *entry = Entry::Resting(resting);
        }
        unused && commands.is_empty()
    }
}

/// Gives a run a task.
fn with_task(rows: &mut HashMap<RunId, Entry>, context: &Arc<Context>, spool: Spool) -> Handle {
    let run = spool.run();
    let handle = run_task::spawn(Arc::clone(context), spool);
    rows.insert(run, Entry::Task(handle.clone()));
    handle
}

fn standing(entry: &Entry) -> Option<Standing> {
    match entry {
        Entry::Unread => None,
        Entry::Resting(resting) => Some(Standing { over: true, attempt: resting.attempt }),
        Entry::Task(handle) => {
            let status = handle.status.borrow();
            let ended = status.outcome.is_some() || status.kept.is_some() || status.revoked;
            Some(Standing { over: ended || !status.trouble.is_empty(), attempt: status.attempt })
        }
    }
}

impl RunTask {
    /// Whether the run has ended for all that this task knows.
    pub(super) fn may_rest(&self) -> bool {
        may_rest(&self.status.borrow())
    }

    /// Leaves an ended run to its spool, if it is not used.
    pub(super) fn rest(&self, commands: &mpsc::Receiver<Box<Command>>) -> bool {
        // Before, since the next task of the run, which watches the same folders, may come at once after.
        self.context.watcher.remove(&self.spool);
        let status = self.status.borrow().clone();
        self.context.registry.rest(self.spool.run(), &status, commands)
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;
    use tokio::sync::watch;

    use super::*;
    use crate::{
        follow::Watched,
        spool::{OutcomeRecord, SpoolRoot},
    };

    struct One {
        _folder: tempfile::TempDir,
        registry: Registry,
        run: RunId,
        status: Status,
        commands: mpsc::Receiver<Box<Command>>,
    }

    /// A registry with one run, which has ended.
    fn ended() -> One {
        let folder = tempfile::tempdir().unwrap();
        let run = Ids::system().run();
        let mut status = Status { read: true, attempt: 2, ..Status::default() };
        let golden =
            include_bytes!("../../tests/golden/format-1/cancelled/01a20499-259a-7311-918e-5dff3c4447a1/outcome.json");
        status.end(serde_json::from_slice::<OutcomeRecord>(golden).unwrap());
        let (commands, inbox) = mpsc::channel(4);
        let handle = Handle {
            spool: SpoolRoot::open(folder.path().join("runs")).unwrap().of(run),
            status: watch::channel(status.clone()).1,
            changes: watch::channel(Watched::No).1,
            output_limit: 1,
            commands,
        };
        let registry = Registry::default();
        registry.rows().insert(run, Entry::Task(handle));
        One { _folder: folder, registry, run, status, commands: inbox }
    }

    fn used(one: &One) -> Handle {
        one.registry.tasks().pop().unwrap()
    }

    #[test]
    fn an_ended_run_that_is_not_used_rests_and_is_reported_as_before() {
        let one = ended();
        let before = (one.registry.summaries(), one.registry.leftovers(), one.registry.standings());
        let user = used(&one);
        assert!(!one.registry.rest(one.run, &one.status, &one.commands), "it is used");
        drop(user);
        assert!(one.registry.rest(one.run, &one.status, &one.commands));
        assert!(one.registry.tasks().is_empty() && one.registry.standing(one.run).is_some());
        assert_eq!((one.registry.summaries(), one.registry.leftovers(), one.registry.standings()), before);
        assert!(one.registry.has_started(one.run, 2) && !one.registry.has_started(one.run, 1));
    }

    #[tokio::test]
    async fn a_command_that_waits_is_carried_out_first() {
        let mut one = ended();
        let (reply, _answer) = tokio::sync::oneshot::channel();
        used(&one).commands.send(Box::new(Command::Revoke { attempt: 3, reply })).await.unwrap();
        assert!(!one.registry.rest(one.run, &one.status, &one.commands));
        assert!(one.commands.recv().await.is_some());
        assert!(one.registry.rest(one.run, &one.status, &one.commands));
    }

    #[test]
    fn what_goes_on_or_cannot_be_read_keeps_its_task() {
        let one = ended();
        let unfinished = Status { outcome: None, ..one.status.clone() };
        let damaged = Status { trouble: "damaged".to_owned(), ..one.status.clone() };
        let unread = Status { read: false, ..one.status.clone() };
        for status in [unfinished, damaged, unread] {
            assert!(!one.registry.rest(one.run, &status, &one.commands));
        }
    }

    /// What was read of its folder before is of no use then.
    #[test]
    fn a_run_that_was_asked_for_while_its_folder_was_read_keeps_its_task() {
        let one = ended();
        let resting = || Resting::of(one.run, &one.status).unwrap();
        one.registry.found_ended(one.run, resting());
        assert_eq!(one.registry.tasks().len(), 1);
        one.registry.unread(one.run);
        assert_eq!(one.registry.standing(one.run), None, "nothing is known of it yet");
        one.registry.found_ended(one.run, resting());
        assert_eq!(one.registry.standing(one.run), Some(Standing { over: true, attempt: 2 }));
    }

    #[cfg(feature = "faults")]
    #[test]
    fn without_rest_every_run_keeps_its_task() {
        let _bug = faults::enter("bug=ended_runs_keep_their_tasks");
        let one = ended();
        assert!(!one.registry.rest(one.run, &one.status, &one.commands));
    }
}
