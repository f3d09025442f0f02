//! A Stata host: supervisors and Statas as tasks that outlive the agent. They do with the spool what the real
//! supervisor does, in its order; the real one is tried by the crash trials on real processes.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use longhaul_agent::{
    executor::{
        Accepted, Executor, Job, JobHandle, Probe, Usage,
        local::{self, mark_spawning},
    },
    os::{self, FileLock},
    spool::{CancelMode, CancelRecord, Ending, Exit, Plan, Running, Spool, Started, file_facts},
};
use longhaul_proto::{clock::Clock, ids::RunId, state::Cause};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::sim::{Sim, short};
use crate::batch::{Answer, BatchSystem, Body, Fate, Weather};

/// A process id that nobody has (Linux gives at most 2^22).
const NOBODY: i32 = i32::MAX;

#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) sim: Sim,
    pub(crate) name: String,
    clock: Clock,
    /// Seats of the pool that all hosts share, and of this host.
    seats: (u32, u32),
    state: Arc<Mutex<State>>,
    /// Living Statas of all hosts.
    pub(crate) pool: Arc<Mutex<u32>>,
}

#[derive(Default)]
struct State {
    statas: BTreeMap<RunId, Stata>,
    supervisors: BTreeMap<u64, (RunId, CancellationToken)>,
    next: u64,
    live: u32,
}

#[derive(Clone)]
struct Stata {
    /// `None` while it lives, then its status: a code or the signal that ended it.
    ended: watch::Receiver<Option<Result<i32, i32>>>,
    kill: CancellationToken,
    /// As by an administrator's SIGKILL: nobody in the system sent it.
    shot: CancellationToken,
}

impl Host {
    /// `off`: how far its clock is off, ms.
    pub(crate) fn new(sim: Sim, name: &str, seats: (u32, u32), pool: Arc<Mutex<u32>>, off: i64) -> Self {
        Self { clock: sim.clock_off(off), sim, name: name.to_owned(), seats, state: Arc::default(), pool }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Kills one supervisor, if there is any; its Stata goes on.
    pub(crate) fn kill_supervisor(&self) {
        let state = self.state.lock().unwrap();
        if let Some((run, token)) = state.supervisors.values().next() {
            self.sim.note(format_args!("kill supervisor of {}", short(run)));
            self.sim.story(run, |s| s.orphaned = true);
            token.cancel();
        }
    }

    /// Kills one Stata, if there is any that lives; its supervisor sees it die.
    pub(crate) fn shoot_stata(&self) {
        let state = self.state.lock().unwrap();
        let mut living = state.statas.iter().filter(|(_, stata)| stata.ended.borrow().is_none());
        if let Some((run, stata)) = living.next() {
            self.sim.note(format_args!("shoot stata of {}", short(run)));
            stata.shot.cancel();
        }
    }

    /// Cuts the log of a run whose end was judged, as a disk or a person may.
    pub(crate) fn damage(&self, spool: &std::path::Path) {
        let Some(spool) = Spool::at(spool) else { return };
        let (run, log) = (spool.run(), spool.log());
        let Ok(len) = std::fs::metadata(&log).map(|m| m.len()) else { return };
        if !spool.outcome().exists() || len == 0 {
            return;
        }
        let left = self.sim.below(len);
        let cut = OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(left));
        if cut.is_ok() {
            self.sim.note(format_args!("log of {} cut to {left} of {len}", short(run)));
            self.sim.story(run, |story| story.damaged = true);
        }
    }

    pub(crate) fn live(&self) -> u32 {
        self.state.lock().unwrap().live
    }

    async fn supervise(&self, spool: &Spool) -> io::Result<()> {
        self.sim.pause(1, 10).await;
        let Some(_lock) = FileLock::try_take(&spool.lock())? else { return Ok(()) };
        if spool.exit().exists() {
            return Ok(());
        }
        let plan: Plan = spool.read(&spool.plan())?.ok_or(io::ErrorKind::NotFound)?;
        let mut exit = Exit { attempt: plan.attempt, by: "supervisor".to_owned(), ..Exit::default() };
        if spool.spawning().exists() {
            exit.by = "second supervisor".to_owned();
            let known = self.state.lock().unwrap().statas.get(&spool.run()).cloned();
            exit.spawned = true;
            exit.status_lost = true;
            if let Some(stata) = known {
                self.watch(spool, stata, &mut exit).await?;
                (exit.code, exit.signal) = (None, None);
            }
        } else if let Some(request) = spool.read::<CancelRecord>(&spool.cancel())? {
            let ending = Ending {
                cause: Cause::CancelRequested,
                by: request.by,
                at_ms: self.clock.unix_ms(),
                words: String::new(),
            };
            spool.write(&spool.ending(), &ending)?;
        } else {
            mark_spawning(spool)?;
            self.sim.pause(0, 3).await;
            let stata = self.spawn(spool, plan.attempt);
            exit.spawned = true;
            exit.started_at_ms = self.clock.unix_ms();
            let started = Started {
                pid: NOBODY,
                pgid: NOBODY,
                boot_id: os::boot_id(),
                start_ticks: 0,
                at_ms: exit.started_at_ms,
                mono_ms: 0,
                oom_kills: None,
            };
            spool.write(&spool.started(), &started)?;
            self.watch(spool, stata, &mut exit).await?;
        }
        self.sim.pause(0, 5).await;
        exit.ended_at_ms = self.clock.unix_ms();
        exit.log = file_facts(&spool.log(), plan.output_limit)?;
        exit.console = file_facts(&spool.console(), plan.output_limit)?;
        // Not both: of a job that its batch system does not know, only the exit record proves the end. It is open what an
        // operator may then do.
        if self.sim.strikes(30) && !self.sim.story(spool.run(), |story| story.unknown) {
            self.sim.note(format_args!("exit record of {} spoiled", short(spool.run())));
            self.sim.story(spool.run(), |story| story.spoiled = true);
            return std::fs::write(spool.exit(), b"{\"attempt\":1}");
        }
        spool.write(&spool.exit(), &exit)
    }

    /// Waits for a Stata's end, and ends it when it is asked for.
    async fn watch(&self, spool: &Spool, mut stata: Stata, exit: &mut Exit) -> io::Result<()> {
        loop {
            let ended = tokio::time::timeout(Duration::from_millis(100), stata.ended.wait_for(Option::is_some)).await;
            if spool.read::<Running>(&spool.running())?.is_none() && spool.log().exists() {
                let running = Running { at_ms: self.clock.unix_ms(), mono_ms: 0 };
                spool.write(&spool.running(), &running)?;
                exit.running_at_ms = running.at_ms;
            }
            if let Ok(status) = ended {
                match status.ok().and_then(|s| *s) {
                    Some(Ok(code)) => exit.code = Some(code),
                    Some(Err(signal)) => exit.signal = Some(signal),
                    None => exit.status_lost = true,
                }
                return Ok(());
            }
            if let Some(request) = spool.read::<CancelRecord>(&spool.cancel())?
                && exit.ending.is_none()
            {
                let ending = Ending {
                    cause: Cause::CancelRequested,
                    by: request.by,
                    at_ms: self.clock.unix_ms(),
                    words: String::new(),
                };
                spool.write(&spool.ending(), &ending)?;
                exit.ending = Some(ending);
                if request.mode > CancelMode::Break || self.sim.below(2) == 0 {
                    stata.kill.cancel();
                }
            }
        }
    }

    fn spawn(&self, spool: &Spool, attempt: u32) -> Stata {
        let (run, sim) = (spool.run(), self.sim.clone());
        sim.note(format_args!("stata {} attempt {attempt} on {}", short(run), self.name));
        sim.story(run, |story| {
            let times = *story.executions.entry(attempt).and_modify(|n| *n += 1).or_insert(1);
            let all: u32 = story.executions.values().sum();
            // A further one only where it was wanted, and where each before is dead by a hand from outside.
            let mut before = story.executions.keys().filter(|n| **n != attempt);
            let proven = !story.live && story.retry && before.all(|n| story.shot.contains(n));
            if times > 1 || (all > 1 && !proven) {
                sim.wrong(format_args!("run {} was executed {all} times, attempt {attempt} {times} times", short(run)));
            }
            (story.live, story.ended, story.left) = (true, false, None);
            story.bases.push(story.printed.len());
        });
        let (of_pool, here) = {
            let (mut pool, mut state) = (self.pool.lock().unwrap(), self.state.lock().unwrap());
            *pool += 1;
            state.live += 1;
            (*pool, state.live)
        };
        if of_pool > self.seats.0 || here > self.seats.1 {
            sim.wrong(format_args!("{of_pool} Statas in the pool and {here} on {}, more than it has seats", self.name));
        }
        let (told, ended) = watch::channel(None);
        let stata = Stata { ended, kill: CancellationToken::new(), shot: CancellationToken::new() };
        self.state.lock().unwrap().statas.insert(run, stata.clone());
        let (host, spool, kill, shot) = (self.clone(), spool.clone(), stata.kill.clone(), stata.shot.clone());
        sim.tasks().spawn(async move {
            let finished = kill.run_until_cancelled(shot.run_until_cancelled(host.compute(&spool))).await;
            let status = match finished {
                Some(Some(Ok(code))) => Ok(code),
                Some(Some(Err(error))) => {
                    host.sim.wrong(format_args!("run {}: its Stata cannot write: {error}", short(run)));
                    Err(6)
                }
                Some(None) => Err(9),
                None => Err(2),
            };
            host.sim.story(run, |story| {
                (story.live, story.ended) = (false, true);
                if status == Err(9) {
                    story.shot.push(attempt);
                }
            });
            host.sim.note(format_args!("stata {} ends {status:?}", short(run)));
            *host.pool.lock().unwrap() -= 1;
            host.state.lock().unwrap().live -= 1;
            let _ = told.send(Some(status));
        });
        stata
    }

    /// The code is that which its client submitted.
    fn look_at_code(&self, spool: &Spool) {
        let code = std::fs::read_to_string(spool.code()).unwrap_or_default();
        let n = code.lines().next().and_then(|line| line.strip_prefix("display ")?.parse().ok());
        if let Some(n) = n.filter(|n| code != super::client::code(*n)) {
            let run = short(spool.run());
            self.sim.wrong(format_args!("run {run} of client {n} has other code: {} bytes", code.len()));
        }
    }

    /// What the do-file does: it prints, and takes its time.
    async fn compute(&self, spool: &Spool) -> io::Result<i32> {
        let run = spool.run();
        self.look_at_code(spool);
        self.sim.pause(1, 400).await;
        let mut log = OpenOptions::new().append(true).create(true).open(spool.log())?;
        let (lines, fails) = (1 + self.sim.below(30), self.sim.below(4) == 0);
        if spool.work().is_dir() && self.sim.below(4) > 0 {
            let left = spool.work().join("left.dta");
            std::fs::write(&left, vec![1; usize::try_from(self.sim.below(60_000)).unwrap()])?;
            self.sim.story(run, |story| story.left = Some(left));
        }
        let mut print = |text: &[u8]| -> io::Result<()> {
            self.sim.story(run, |story| story.printed.extend_from_slice(text));
            log.write_all(text)
        };
        for n in 0..lines {
            let long = if self.sim.below(10) == 0 { 3000 } else { 10 };
            let text = format!("line {n} of {run} {}\n", "x".repeat(usize::try_from(self.sim.below(long)).unwrap()));
            print(text.as_bytes())?;
            if self.sim.below(3) > 0 {
                self.sim.pause(0, 900).await;
            }
        }
        if fails {
            print(b"\nx not found\nr(111);\n\nend of do-file\n\nr(111);\n\nend of do-file\n\nr(111);\n")?;
            if self.sim.below(3) == 0 {
                // The code made the sign of a success itself.
                std::fs::write(spool.sentinel(), b"1\n")?;
            }
            return Ok(0);
        }
        std::fs::write(spool.sentinel(), b"1\n")?;
        Ok(0)
    }
}

impl Host {
    fn begin(&self, spool: &Spool) -> Accepted {
        let (done, gone) = oneshot::channel::<()>();
        let (host, spool, token) = (self.clone(), spool.clone(), CancellationToken::new());
        let id = {
            let mut state = self.state.lock().unwrap();
            state.next += 1;
            let id = state.next;
            state.supervisors.insert(id, (spool.run(), token.clone()));
            id
        };
        self.sim.tasks().spawn(async move {
            if let Some(Err(error)) = token.run_until_cancelled(host.supervise(&spool)).await
                && error.kind() != io::ErrorKind::NotFound
            {
                host.sim.wrong(format_args!("run {}: its supervisor failed: {error}", short(spool.run())));
            }
            host.state.lock().unwrap().supervisors.remove(&id);
            drop(done);
        });
        let over = Box::pin(async move {
            let _ = gone.await;
        });
        Accepted { handle: local::handle(), over: Some(over) }
    }
}

/// What befalls the batch system in front of a host.
struct SimWeather(Sim);

impl Weather for SimWeather {
    fn answer(&self) -> Answer {
        if self.0.strikes(40) {
            return Answer::Never;
        }
        Answer::After(if self.0.strikes(60) { self.0.ms(500, 1_500) } else { self.0.ms(0, 30) })
    }

    fn fate(&self, name: &str) -> Fate {
        let (run, _) = name.split_once('/').unwrap();
        let wait = self.0.ms(0, 2_500);
        if !self.0.strikes(120) {
            return Fate::Begins(wait);
        }
        let fate = match self.0.below(3) {
            0 => Fate::Forgotten,
            1 => Fate::Ghost(wait * 4),
            _ => Fate::ForgottenLater(wait),
        };
        self.0.note(format_args!("the batch system has {fate:?} for {}", short(run)));
        self.0.story(run, |story| {
            story.unknown = true;
            // Given up when that happens too often.
            story.orphaned |= !matches!(fate, Fate::ForgottenLater(_));
        });
        fate
    }
}

impl Host {
    /// A batch system whose only node is this host.
    pub(crate) fn batch_system(&self) -> BatchSystem {
        let host = self.clone();
        let body: Body = Arc::new(move |spool, kill| {
            let host = host.clone();
            Box::pin(async move { host.job(&spool, &kill).await })
        });
        BatchSystem::new(SimWeather(self.sim.clone()), body, self.sim.tasks().clone())
    }

    /// A job of the batch system: when it is killed, everything in it is.
    async fn job(&self, spool: &Spool, kill: &CancellationToken) {
        match kill.run_until_cancelled(self.supervise(spool)).await {
            Some(Ok(())) => return,
            Some(Err(error)) => {
                self.sim.wrong(format_args!("run {}: its supervisor failed: {error}", short(spool.run())));
            }
            None => self.sim.note(format_args!("the job of {} is killed", short(spool.run()))),
        }
        self.sim.story(spool.run(), |story| story.orphaned = true);
        let stata = self.state.lock().unwrap().statas.get(&spool.run()).cloned();
        if let Some(mut stata) = stata {
            stata.shot.cancel();
            let _ = stata.ended.wait_for(Option::is_some).await;
        }
    }
}

impl Executor for Host {
    fn ready_mark(&self) -> Vec<u8> {
        local::ready_mark()
    }

    fn start<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Vec<io::Result<Accepted>>> {
        Box::pin(async move { jobs.iter().map(|job| Ok(self.begin(&job.spool))).collect() })
    }

    fn probe<'a>(&'a self, job: &'a Job, handle: Option<&'a JobHandle>) -> BoxFuture<'a, Probe> {
        Box::pin(async move { local::probe(job, handle) })
    }

    /// The supervisors look for requests by themselves.
    fn end<'a>(&'a self, _: &'a Job, _: Option<&'a JobHandle>, _: CancelMode) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn activity<'a>(&'a self, _: &'a Job, _: Option<&'a JobHandle>) -> BoxFuture<'a, Option<Usage>> {
        Box::pin(async { None })
    }
}
