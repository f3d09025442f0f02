//! What everything in a simulation shares: one source of chance, one clock, one trace, and what was found wrong.

use std::{
    collections::BTreeMap,
    fmt::Display,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::{
    clock::{Clock, Source},
    ids::Ids,
    state::{Cause, RunState},
    tasks::Tasks,
};
use tokio::time::Instant;

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What one run does on its host, and what was seen of it.
#[derive(Default)]
pub(crate) struct Story {
    /// Every byte that its Stata wrote.
    pub(crate) printed: Vec<u8>,
    /// Where the output of each attempt begins.
    pub(crate) bases: Vec<usize>,
    /// How often its Stata was started.
    pub(crate) executions: BTreeMap<u32, u32>,
    /// A Stata lives.
    pub(crate) live: bool,
    /// The last one came to an end of its own.
    pub(crate) ended: bool,
    /// Attempts whose Stata was shot: a signal that nobody in the system sent.
    pub(crate) shot: Vec<u32>,
    /// Another attempt is wanted after one that is proven dead.
    pub(crate) retry: bool,
    /// The limit on a wait in the queue.
    pub(crate) queue_timeout: Option<Duration>,
    /// When the wait in the queue began that goes on or went on last.
    pub(crate) queued_at: Duration,
    /// Its log was cut short in the spool after the end had been judged.
    pub(crate) damaged: bool,
    /// Its record was removed for room.
    pub(crate) removed: bool,
    /// Somebody asked for its end.
    pub(crate) cancelled: bool,
    /// Its supervisor was killed at least once.
    pub(crate) orphaned: bool,
    /// Its batch system does not know it, or will not.
    pub(crate) unknown: bool,
    /// Its exit record was spoiled when it was written.
    pub(crate) spoiled: bool,
    /// When the gateway first tried to record the end that it was in last, by the monotonic clock.
    pub(crate) ending_at: Option<Duration>,
    /// When its end was recorded, by the monotonic clock.
    pub(crate) ended_at: Option<Duration>,
    /// The file that its Stata left last in the folder of its own.
    pub(crate) left: Option<PathBuf>,
    /// The attempt that is recorded.
    pub(crate) attempt: u32,
    /// When the gateway that is there now was told that the Stata of the present attempt has ended.
    pub(crate) end_told: Option<Duration>,
    /// The gateway that is there now has followed it from somewhere behind its start.
    pub(crate) resumed: bool,
    /// Its agent said that it has less than the gateway.
    pub(crate) beyond: bool,
    /// Another result of it was told.
    pub(crate) contested: bool,
    /// The first end that somebody was told.
    pub(crate) told: Option<(RunState, Cause)>,
}

impl Story {
    /// A gateway, or an attempt, that has been told nothing yet.
    pub(crate) fn nothing_told(&mut self) {
        (self.end_told, self.resumed, self.beyond) = (None, false, false);
    }
}

struct Inner {
    chance: Mutex<Chance>,
    started: Instant,
    trace: Mutex<(u64, Vec<String>)>,
    wrong: Mutex<Vec<String>>,
    stories: Mutex<BTreeMap<String, Story>>,
    names: Mutex<u64>,
    faults: AtomicBool,
    counted: AtomicU64,
    /// How far wall-clock time is off, ms, and whether it ever was.
    wall_off: AtomicI64,
    wall_jumped: AtomicBool,
    /// What outlives every process: the network and the hosts.
    tasks: Tasks,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Inner>);

struct Virtual {
    sim: Sim,
    /// How far this clock is off that of the gateway's host, ms.
    off: i64,
}

/// Wall-clock time at the beginning, Unix ms.
const EPOCH: i64 = 1_700_000_000_000;

impl Source for Virtual {
    fn unix_ms(&self) -> i64 {
        self.sim.true_ms() + self.off + self.sim.0.wall_off.load(Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        self.sim.0.started.elapsed()
    }
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            chance: Mutex::new(Chance::new(seed)),
            started: Instant::now(),
            trace: Mutex::new((0xcbf2_9ce4_8422_2325, Vec::new())),
            wrong: Mutex::default(),
            stories: Mutex::default(),
            names: Mutex::new(0),
            faults: AtomicBool::new(true),
            counted: AtomicU64::new(0),
            wall_off: AtomicI64::new(0),
            wall_jumped: AtomicBool::new(false),
            tasks: Tasks::new(),
        }))
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock_off(0)
    }

    /// A clock that is off by so many milliseconds.
    pub(crate) fn clock_off(&self, off: i64) -> Clock {
        Clock::from_source(Virtual { sim: self.clone(), off })
    }

    /// What clocks should say, Unix ms.
    pub(crate) fn true_ms(&self) -> i64 {
        EPOCH + i64::try_from(self.0.started.elapsed().as_millis()).unwrap()
    }

    /// Wall-clock time is off by so many days, for everybody.
    pub(crate) fn jump_wall(&self, days: i64) {
        self.note(format_args!("wall-clock time is off by {days} days"));
        self.0.wall_off.store(days * 24 * 3_600_000, Ordering::Relaxed);
        self.0.wall_jumped.store(true, Ordering::Relaxed);
    }

    /// Whether wall-clock time was ever off.
    pub(crate) fn wall_jumped(&self) -> bool {
        self.0.wall_jumped.load(Ordering::Relaxed)
    }

    /// Names in the order in which they are asked for; as with UUIDv7, a later one is larger.
    pub(crate) fn ids(&self) -> Ids {
        let sim = self.clone();
        Ids::from_fn(move || {
            let mut n = sim.0.names.lock().unwrap();
            *n += 1;
            uuid::Uuid::from_u128((0x019a_8e4c_7d3b_7cc2_8a54_u128 << 48) | u128::from(*n))
        })
    }

    pub(crate) fn below(&self, n: u64) -> u64 {
        self.0.chance.lock().unwrap().next() % n
    }

    /// Whether something befalls, of a thousand times so often; nothing does when the faults are over.
    pub(crate) fn strikes(&self, per_mille: u64) -> bool {
        self.faulty() && self.below(1000) < per_mille
    }

    pub(crate) fn ms(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    pub(crate) async fn pause(&self, from: u64, to: u64) {
        tokio::time::sleep(self.ms(from, to)).await;
    }

    pub(crate) fn faulty(&self) -> bool {
        self.0.faults.load(Ordering::Relaxed)
    }

    pub(crate) fn end_faults(&self) {
        self.0.faults.store(false, Ordering::Relaxed);
        self.note("faults are over");
    }

    /// One line of the trace; its hash is what a second run of the seed must give again.
    pub(crate) fn note(&self, line: impl Display) {
        let line = format!("{:>7} {line}", self.0.started.elapsed().as_millis());
        let mut trace = self.0.trace.lock().unwrap();
        for byte in line.bytes() {
            trace.0 = (trace.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        trace.1.push(line);
    }

    pub(crate) fn wrong(&self, what: impl Display) {
        self.note(format!("WRONG: {what}"));
        self.0.wrong.lock().unwrap().push(what.to_string());
    }

    /// Whether something was found that has these words.
    pub(crate) fn went_wrong(&self, words: &str) -> bool {
        self.0.wrong.lock().unwrap().iter().any(|wrong| wrong.contains(words))
    }

    pub(crate) fn found(&self) -> (u64, Vec<String>, Vec<String>) {
        let trace = self.0.trace.lock().unwrap();
        (trace.0, trace.1.clone(), self.0.wrong.lock().unwrap().clone())
    }

    pub(crate) fn stories(&self) -> MutexGuard<'_, BTreeMap<String, Story>> {
        self.0.stories.lock().unwrap()
    }

    pub(crate) fn story<T>(&self, run: impl Display, with: impl FnOnce(&mut Story) -> T) -> T {
        with(self.stories().entry(run.to_string()).or_default())
    }

    pub(crate) fn count(&self) {
        self.0.counted.fetch_add(1, Ordering::Relaxed);
    }

    /// Faults that struck.
    pub(crate) fn counted(&self) -> u64 {
        self.0.counted.load(Ordering::Relaxed)
    }
}

/// The end of a run's name: they differ only there.
pub(crate) fn short(run: impl Display) -> String {
    let text = run.to_string();
    text[text.len() - 3..].to_owned()
}
