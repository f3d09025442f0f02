//! The chaos kit: faults injected into the real programs at named moments, from seeds, so that each trial can be
//! repeated.
//!
//! ```text
//! cell (fault x moment) + seed
//!    -> site      a gateway and an agent as processes, a relay on every connection, a folder of faults for each
//!    -> jobs      do-files that count themselves; clients submit, follow, watch and cancel them, by HTTP and by MCP
//!    -> strike    the fault, when a process passes the moment's stop point or has printed
//!    -> oracle    waits for quiet and reports what is wrong
//!    -> report    a line for each cell, and how to repeat each failure
//! ```
//!
//! A trial has a site of its own, so that it depends on its seed alone and everything left over was left by it. The
//! seed determines what the kit does (kinds of runs, pauses, how often); how the machine schedules the processes is not
//! determined, so a failure that needs a close race may need some tries with its seed.

pub mod audited;
pub mod cell;
pub mod clients;
pub mod history;
pub mod jobs;
pub mod oracle;
pub mod raw;
pub mod relay;
pub mod report;
pub mod rng;
pub mod site;
pub mod strike;
pub mod trial;

use std::{sync::Arc, time::Duration};

use cell::Cell;
use longhaul_proto::{clock::Clock, tasks::Tasks};
use report::Report;
use trial::Came;

/// Limit of a whole trial: only a kit that hangs reaches it.
const TRIAL: Duration = Duration::from_secs(150);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program under test.
    pub program: String,
    /// Trials in all, dealt to the cells in turn.
    pub trials: u64,
    /// The source of the trials' seeds.
    pub seed: u64,
    /// Only cells whose name contains this.
    pub only: Option<String>,
    /// One trial with this very seed, in each of those cells.
    pub trial: Option<u64>,
    /// Deliberate bugs to switch on.
    pub bugs: Vec<String>,
    /// Trials at once.
    pub jobs: usize,
    /// Stop at the first violation.
    pub first: bool,
    /// No new trial after this time.
    pub limit: Option<Duration>,
    /// Say each trial.
    pub verbose: bool,
}

/// The cells that a plan selects, in the order in which its seed deals them.
pub fn cells(plan: &Plan) -> Vec<Cell> {
    let wanted = |cell: &Cell| plan.only.as_ref().is_none_or(|only| cell.name().contains(only));
    let mut cells: Vec<Cell> = cell::all().into_iter().filter(wanted).collect();
    let mut rng = rng::Rng::new(plan.seed);
    for i in (1..cells.len()).rev() {
        let j = usize::try_from(rng.below(i as u64 + 1)).unwrap_or(0);
        cells.swap(i, j);
    }
    cells
}

/// Carries a plan out.
pub async fn run(plan: Plan) -> Report {
    let cells = cells(&plan);
    let report = Report::new(&cells);
    let clock = Clock::system();
    let tasks = Tasks::new();
    let turns = Arc::new(tokio::sync::Semaphore::new(plan.jobs.max(1)));
    let seeds: Vec<(Cell, u64)> = match plan.trial {
        Some(seed) => cells.iter().map(|cell| (*cell, seed)).collect(),
        None => (0..plan.trials)
            .filter_map(|n| Some((*cells.get(usize::try_from(n).ok()? % cells.len())?, rng::of_trial(plan.seed, n))))
            .collect(),
    };
    for (number, (cell, seed)) in seeds.into_iter().enumerate() {
        let Ok(turn) = turns.clone().acquire_owned().await else { break };
        if (plan.first && report.failed()) || plan.limit.is_some_and(|limit| clock.monotonic() > limit) {
            break;
        }
        let (plan, report, clock) = (plan.clone(), report.clone(), clock.clone());
        let verbose = plan.verbose;
        tasks.spawn(async move {
            let began = clock.monotonic();
            // A thread of its own: what a trial waits for is written as closures that borrow it.
            let runtime = tokio::runtime::Handle::current();
            let trial = longhaul_proto::tasks::blocking(move || {
                runtime.block_on(tokio::time::timeout(TRIAL, trial::run(&plan.program, cell, seed, &plan.bugs)))
            });
            let came = match trial.await {
                Ok(Ok(came)) => came,
                Err(panic) => Came::Wrong(vec![format!("the trial panicked: {panic}")], String::new()),
                Ok(Err(_)) => Came::Wrong(vec![format!("the trial did not end in {TRIAL:?}")], String::new()),
            };
            let took = clock.monotonic().saturating_sub(began);
            if verbose {
                let word = match &came {
                    Came::Well => "well",
                    Came::Skipped => "skipped",
                    Came::Wrong(..) => "WRONG",
                };
                println!("{number:>5} {:>6.2} s  {word:<7} {seed:>20}  {}", took.as_secs_f64(), cell.name());
            }
            report.add(&cell, seed, took, came);
            drop(turn);
        });
    }
    let _ = turns.acquire_many(u32::try_from(plan.jobs.max(1)).unwrap_or(1)).await;
    report.took(clock.monotonic());
    report
}
