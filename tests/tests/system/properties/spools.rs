//! An agent that comes back to a spool of which any file is torn: it does not panic, it reads all its runs, and a run
//! that had not succeeded does not become a success.

use std::{fs, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use longhaul_agent::{
    Choice, Deps, MinFree, Options,
    executor::{
        Accepted, Executor, Job, JobHandle, Probe, Usage,
        local::{self, mark_spawning, ready_mark},
    },
    spool::{CancelMode, Exit, Spool, SpoolRoot, file_facts},
};
use longhaul_proto::{
    clock::Clock,
    ids::{Ids, RunId},
    join::JoinSecret,
    state::RunState,
    wire::{self, submission::Source},
};

use super::each;
use crate::chance::Chance;

/// Starts nothing: whatever the agent decides about the run, no Stata is started here.
struct Idle;

impl Executor for Idle {
    fn start<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Vec<io::Result<Accepted>>> {
        let accept = || Ok(Accepted { handle: local::handle(), over: Some(Box::pin(std::future::pending())) });
        Box::pin(async move { jobs.iter().map(|_| accept()).collect() })
    }
    fn probe<'a>(&'a self, job: &'a Job, handle: Option<&'a JobHandle>) -> BoxFuture<'a, Probe> {
        Box::pin(async move { local::probe(job, handle) })
    }
    fn end<'a>(&'a self, _: &'a Job, _: Option<&'a JobHandle>, _: CancelMode) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn activity<'a>(&'a self, _: &'a Job, _: Option<&'a JobHandle>) -> BoxFuture<'a, Option<Usage>> {
        Box::pin(async { None })
    }
}

/// A run that failed, with all of its files.
fn lay_out(options: &Options, run: RunId) -> Spool {
    let folder = options.data.join("agent");
    longhaul_proto::durable::create_folder(&folder).unwrap();
    let spool = SpoolRoot::open(folder.join("runs")).unwrap().of(run);
    let source = Some(Source::Text(b"display x\n".to_vec()));
    let submission = wire::Submission { run_id: run.to_string(), source, ..Default::default() };
    spool.accept(&submission, 1, &ready_mark(), 5).unwrap();
    mark_spawning(&spool).unwrap();
    fs::write(spool.code(), "display x\n").unwrap();
    fs::write(
        spool.wrapper(),
        "cd `\"/w\"'\ndo `\"/s/code.do\"'\nfile open lh1 using `\"/s/x\"', write text\nfile close lh1\n",
    )
    .unwrap();
    fs::write(
        spool.log(),
        "\n. do `\"/s/code.do\"'\n\n. display x\nx not found\nr(111);\n\nend of do-file\n\nr(111);\n",
    )
    .unwrap();
    fs::write(spool.console(), "").unwrap();
    let log = file_facts(&spool.log(), u64::MAX).unwrap();
    let exit = Exit { attempt: 1, spawned: true, code: Some(0), log, by: "supervisor".to_owned(), ..Exit::default() };
    spool.write(&spool.exit(), &exit).unwrap();
    spool
}

fn start(options: &Options) -> longhaul_agent::simulation::SimAgent {
    let dialer: longhaul_agent::simulation::Dialer = Arc::new(|| Box::pin(std::future::pending()));
    let deps = Deps { clock: Clock::system(), ids: Ids::system() };
    longhaul_agent::simulation::start(options, Arc::new(Idle), dialer, deps).unwrap()
}

/// The agent's verdict on the run; `None` when it gives none.
async fn verdict(options: &Options, run: RunId, patience: Duration) -> Option<RunState> {
    let agent = start(options);
    let handle = agent.runs.get(run);
    let said = match handle {
        None => Some(RunState::Queued),
        Some(mut handle) => {
            tokio::time::timeout(Duration::from_secs(60), handle.status.wait_for(|s| s.read)).await.ok()?.ok()?;
            let _ = tokio::time::timeout(patience, handle.status.wait_for(|s| s.outcome.is_some())).await;
            Some(handle.status.borrow().state())
        }
    };
    agent.tasks.crash();
    said
}

fn tear(spool: &Spool, chance: &mut Chance) -> String {
    let mut files: Vec<_> = [spool.path(), spool.control_folder(), spool.run_folder()]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()))
        .collect();
    files.sort();
    let path = files[usize::try_from(chance.below(files.len() as u64)).unwrap()].clone();
    let mut content = fs::read(&path).unwrap();
    let at = usize::try_from(chance.below(content.len() as u64 + 1)).unwrap();
    let how = match chance.below(5) {
        0 => {
            fs::remove_file(&path).unwrap();
            return format!("{path:?} removed");
        }
        1 => {
            content.truncate(at);
            "cut"
        }
        2 => {
            content[at..].fill(0);
            "zeroed"
        }
        3 if at < content.len() => {
            content[at] ^= 1 << chance.below(8);
            "a bit flipped"
        }
        _ => {
            content.extend((0..chance.below(50)).map(|_| chance.below(256) as u8).collect::<Vec<_>>());
            "grown"
        }
    };
    fs::write(&path, content).unwrap();
    format!("{path:?} {how} at {at}")
}

#[test]
fn a_torn_spool_is_never_a_success() {
    longhaul_proto::tasks::simulate();
    each("torn spools", 200, |chance| {
        let home = tempfile::tempdir().unwrap();
        let mut options = Options::new(home.path().to_owned(), JoinSecret::new("a secret of the tests").unwrap());
        options.engine = Choice::Standin;
        options.min_free = MinFree { bytes: 0, percent: 0 };
        let run: RunId = "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21".parse().unwrap();
        let spool = lay_out(&options, run);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            if chance.below(2) == 0 {
                // Judged before it was torn.
                let said = verdict(&options, run, Duration::from_secs(5)).await;
                if said != Some(RunState::Failed) {
                    return Err(format!("a whole spool of a run that failed: {said:?}"));
                }
            }
            let torn = tear(&spool, chance);
            match verdict(&options, run, Duration::from_secs(5)).await {
                None => Err(format!("{torn}: nothing was said of the run")),
                Some(RunState::Succeeded) => Err(format!("{torn}: a success")),
                Some(_) => Ok(()),
            }
        })
    });
}
