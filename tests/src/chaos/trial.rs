//! One trial: a site, three runs with their clients, a fault at its moment, quiet, and the oracle's verdict.

use std::{collections::BTreeMap, time::Duration};

use longhaul_proto::api::{CancelMode, RunView};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    cell::{Cell, Fault, Focus, Moment, When},
    clients,
    history::History,
    jobs::{DoFiles, Job},
    oracle,
    rng::Rng,
    site::{Setup, Site},
    strike,
};

/// Longest wait for a moment: far above what a busy machine needs.
const MOMENT: Duration = Duration::from_secs(20);
/// Between two looks of a client that watches states.
const LOOK: Duration = Duration::from_millis(60);

/// The result of a trial.
#[derive(Clone, Debug)]
pub enum Came {
    /// Nothing was wrong.
    Well,
    /// The machine lacks what the cell needs.
    Skipped,
    /// What was wrong, and all that happened.
    Wrong(Vec<String>, String),
}

/// A trial under way.
pub struct Trial {
    /// What is tried.
    pub cell: Cell,
    /// What the site was told.
    pub setup: Setup,
    /// The log of the run in focus as it was before a fault removed part of it.
    pub whole: Option<Vec<u8>>,
    /// Where.
    pub site: Site,
    /// What the clients observed.
    pub history: History,
    /// What is drawn.
    pub rng: Rng,
    /// The runs by name.
    pub jobs: BTreeMap<String, Job>,
    /// What their followers received.
    pub heard: BTreeMap<String, watch::Receiver<String>>,
    /// The answer to the call by MCP.
    pub answer: watch::Receiver<Option<Value>>,
}

/// Name of the run in focus.
pub const FOCUS: &str = "focus";
/// Name of the run that is there before, and waits for its gate.
pub const BEFORE: &str = "before";
/// Name of the run by MCP.
pub const BY_MCP: &str = "call";

/// Runs one trial.
pub async fn run(program: &str, cell: Cell, seed: u64, bugs: &[String]) -> Came {
    let (history, mut rng) = (History::default(), Rng::new(seed));
    let setup = cell.setup(&mut rng);
    let Some(site) = Site::start(program, setup, bugs).await else { return Came::Skipped };
    let files = DoFiles::write(&site.lab);
    let call = files.call(BY_MCP, &mut rng);
    let jobs = [files.job(BEFORE, Focus::Gated, &mut rng), files.job(FOCUS, cell.moment.focus, &mut rng)];
    let (answered, answer) = watch::channel(None);
    let jobs = jobs.into_iter().map(|job| (job.name.clone(), job)).collect();
    let mut trial = Trial { cell, setup, whole: None, site, history, rng, jobs, heard: BTreeMap::new(), answer };
    if cell.fault == Fault::LedgerOld {
        strike::back_up(&mut trial).await;
    }
    trial.submit(BEFORE).await;
    trial.started(BEFORE).await;
    let (api, history) = (trial.site.api.clone(), trial.history.clone());
    trial.site.tasks.spawn_until_stop(clients::call(api, history, BY_MCP.into(), call, answered));
    // At the submit commit either run may be struck; later moments are the focus's.
    if !trial.cell.at_submit() || trial.rng.coin() {
        let called = async |site: &Site| site.lab.executions(BY_MCP) > 0;
        if !trial.site.wait(MOMENT, called).await {
            trial.history.wrong("the call did not run");
        }
    }
    if cell.fault == Fault::LogCut {
        // The stop point holds the run that reaches it first, and only the focus's log is cut.
        let answer = trial.answer.clone();
        if !trial.site.wait(MOMENT, async |_| answer.borrow().is_some()).await {
            trial.history.wrong("the call was not answered");
        }
    }
    trial.strike().await;
    trial.history.note("gates open");
    trial.site.lab.open_gate(BEFORE);
    if cell.moment.focus == Focus::Gated {
        trial.site.lab.open_gate(FOCUS);
    }
    oracle::judge(&mut trial).await;
    let wrong = trial.history.violations();
    if wrong.is_empty() {
        trial.site.end().await;
        return Came::Well;
    }
    let mut text = trial.history.text();
    if std::env::var_os("LONGHAUL_CHAOS_LOGS").is_some() {
        for daemon in [&trial.site.gateway, &trial.site.agent] {
            text.push_str(&format!("\n---- {}\n{}", daemon.name, daemon.printed()));
        }
    }
    trial.site.end().await;
    Came::Wrong(wrong, text)
}

impl Trial {
    /// Submits a job in the background, then follows it and looks at its states until the trial ends.
    async fn submit(&mut self, name: &str) {
        let job = self.jobs[name].clone();
        let (api, history) = (self.site.api.clone(), self.history.clone());
        let (heard, ears) = watch::channel(String::new());
        self.heard.insert(name.to_owned(), ears);
        let must_resolve = !self.cell.may_forget();
        let tasks = self.site.tasks.clone();
        self.site.tasks.spawn_until_stop(async move {
            clients::submit(api.clone(), history.clone(), job.name.clone(), job.request.clone()).await;
            let Some(run) = history.run(&job.name) else { return };
            tasks.spawn_until_stop(clients::follow(
                api.clone(),
                history.clone(),
                job.name.clone(),
                run,
                job.pace,
                heard,
            ));
            if job.focus == Focus::Cancelled {
                let (api, history, name) = (api.clone(), history.clone(), job.name.clone());
                tasks.spawn_until_stop(async move {
                    let quiet = |view: Option<RunView>| view.is_none_or(|v| v.output_bytes == 0);
                    while quiet(clients::look(&api, &history, &name, run, must_resolve).await) {
                        tokio::time::sleep(LOOK).await;
                    }
                    clients::cancel(api, history, run, CancelMode::Break).await;
                });
            }
            loop {
                clients::look(&api, &history, &job.name, run, must_resolve).await;
                tokio::time::sleep(LOOK).await;
            }
        });
    }

    /// Waits until a run has printed something of its own; it is a violation when it never does.
    async fn started(&self, name: &str) {
        let (history, wanted) = (self.history.clone(), if name == FOCUS { FOCUS } else { "started" });
        let said = async |site: &Site| {
            history.run(name).is_some_and(|run| {
                let log = site.log(run);
                // The wrapper's echo has the path of the do-file, and its arguments once.
                let text = String::from_utf8_lossy(&log);
                text.lines().any(|line| line.starts_with(wanted) || line.starts_with(&format!("started {name}")))
            })
        };
        if !self.site.wait(MOMENT, said).await {
            self.history.wrong(format!("{name} did not print"));
        }
    }

    /// Waits for the moment and does what the cell says.
    async fn strike(&mut self) {
        let Moment { when, .. } = self.cell.moment;
        match when {
            When::Printing => {
                self.submit(FOCUS).await;
                self.started(FOCUS).await;
                let pause = self.rng.ms(120);
                tokio::time::sleep(pause).await;
                strike::strike(self, None).await;
            }
            When::Point(side, point) => {
                let direct = self.cell.by_itself() && self.rng.below(3) > 0;
                let action = match self.cell.fault {
                    Fault::Panic => "panic",
                    Fault::Kill(_) if direct => "kill",
                    Fault::Stop(_) if direct => "stop",
                    _ => "hold",
                };
                self.site.arm(side, point, action);
                self.submit(FOCUS).await;
                if !self.site.wait(MOMENT, async |site| site.fired(side, point).is_some()).await {
                    self.history.wrong(format!("the moment {point} did not come"));
                }
                self.history.note(format!("{point}: {action}"));
                if action == "hold" {
                    let pause = self.rng.ms(60);
                    tokio::time::sleep(pause).await;
                }
                strike::strike(self, (action == "hold").then_some((side, point))).await;
                self.site.release(side, point);
            }
        }
    }
}
