//! The owner of every run's state machine. Nobody else changes a state.
//!
//! ```text
//!                      cancel, queue_timeout
//!            +-----------------------------------------> cancelled, timed_out
//!            |
//!  submit -> queued --a seat, attempt N+1--> starting --first log byte--> running --> succeeded | failed | errored
//!              ^                                |  |                         |         | timed_out | cancelled
//!              +-- proof that N never began ----+  +-------- the end --------+
//!              +-- proof that N is dead (retry: if_proven_dead) -------------+
//!                                               |                            |
//!                                               +----> lost <----------------+   an operator's word, or the horizon
//!                                                       +--> any end, once, from the spool's own record
//! ```
//!
//! What brings a run back to the queue is its owner's to say (`retry`): `never` nothing (an attempt that never began then
//! ends `errored`, `not_started`), `if_not_started` the proof that the attempt never began, `if_proven_dead` also the
//! recorded death of its host or of Stata by a signal that nobody here sent. A call that provably never left is no
//! attempt at all and is made again under the same number, whatever was said.
//!
//! - [`check`] turns a request into a submission, or says what is wrong with it;
//! - [`joining`] decides whether an earlier run may answer;
//! - [`submit`] answers with an earlier run where one answers, and otherwise makes the record and then the run;
//! - [`run_task`] is the story of one unfinished run: one task that owns it from its record to its end;
//! - [`supervise`] takes a run up again whose task panicked, with its seat held meanwhile;
//! - [`commands`] is what others ask of it meanwhile, and what time does to it;
//! - [`restore_guard`] knows whether the ledger is older than the world, and holds back what it believes to be waiting;
//! - [`follow_attempt`] follows an attempt at its agent, [`finish`] records its end, [`retry`] makes another where one is proven
//!   dead and the owner asked for that;
//! - [`adopt`] makes an unverified run its principal's, at an operator's word;
//! - [`artifact`] fetches a file that an ended run left on its host;
//! - [`release`] has spools go from their hosts, and remembers what was removed;
//! - [`drain`] is what operators wish of hosts;
//! - [`view`] is what others see of it, published on a `watch` that never makes the keeper wait.

pub(crate) mod adopt;
mod agents;
mod artifact;
pub(crate) mod check;
mod commands;
mod drain;
mod error;
mod finish;
mod follow_attempt;
mod joining;
pub(crate) mod registry;
pub(crate) mod release;
pub(crate) mod restore_guard;
mod retry;
mod run_task;
pub(crate) mod submit;
mod supervise;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod view;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use longhaul_proto::{
    api::{CancelMode, ClockTrusted, HostView, Hosts, QueueView, RunList, RunView, SubmitRequest, Submitted},
    clock::rfc3339,
    faults,
    ids::{RunId, SHORT_LEN},
    state::RunState,
    wire,
};
use tokio::sync::{oneshot, watch};

use crate::{
    Deps, Options,
    auth::{
        principal::{Principal, Scope},
        seal::SealKey,
    },
    fleet::Fleet,
    ledger::{CancelWish, Ledger, LedgerError, ListQuery, Record},
    metrics::Metrics,
    mirror::Mirrors,
    wall::Wall,
};
use registry::{Command, Registry, Reply, RunHandle};
use restore_guard::RestoreGuard;
use view::{Live, view};

pub use agents::AgentsError;
pub use artifact::{ArtifactError, Fetched};
pub use error::{ControlError, DrainError, FindError, ReadError, SubmitError};

/// A parsed request with what its transport knows.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What is asked for.
    pub submit: SubmitRequest,
    /// The client's own name for this call, from [`crate::ledger::CALL`] on; it says the whole request, and may come again.
    pub call: Option<String>,
    /// The caller's trace; empty = none, and the run gets a root of its own.
    pub trace: wire::TraceContext,
    /// Largest code or bundle by this transport, bytes.
    pub max_code: usize,
}

/// Which runs to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListFilter {
    /// At most so many (1..=500).
    pub limit: u32,
    /// Older than this run.
    pub before: Option<RunId>,
    /// In one state.
    pub state: Option<RunState>,
}

/// Which output of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Stata's batch log.
    Log,
    /// Standard output and error.
    Console,
}

/// Some bytes of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// The bytes from the asked offset.
    pub bytes: Bytes,
    /// Where the next read begins.
    pub next: u64,
    /// The run has ended and nothing follows these bytes.
    pub complete: bool,
}

/// Most bytes of one [`Runs::read`].
pub const MAX_READ: usize = 256 * 1024;

/// Most runs of one page.
pub const MAX_PAGE: u32 = 500;

/// How often an unfinished run without a keeper is looked at again, and how long between: a bound in case its keeper
/// died, far above the moment that it takes to get one.
const LOOKS: u32 = 200;
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// What a caller waits for beyond the limit of one write.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run of which no call has been waiting, and which nobody has looked at for so long, is forgotten by its owner.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// What a waiting run waits for, when that is a run of the same owner.
#[derive(Clone, Debug)]
pub struct Behind {
    /// The run that has the seat.
    pub run: RunView,
    /// No call waits for it, and nobody has looked at it lately.
    pub forgotten: bool,
}

/// Who knows a run best.
enum Look {
    Live(Arc<RunHandle>),
    Ended(Box<Record>),
}

/// The handle on all runs. Cheap to clone; every method may be dropped half-way without harm.
#[derive(Clone)]
pub struct Runs(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) options: Arc<Options>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) fleet: Fleet,
    pub(crate) mirrors: Mirrors,
    pub(crate) past: RestoreGuard,
    pub(crate) wall: Wall,
    pub(crate) seal: SealKey,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) deps: Deps,
    pub(crate) table: Arc<Registry>,
    /// Ends that were shown and are being noted.
    pub(crate) shown: joining::Shown,
    /// Held while hosts are drained or resumed, so that ledger and fleet see such wishes in one order.
    pub(crate) draining: tokio::sync::Mutex<()>,
}

/// What holds runs back or keeps records while the ledger or the clock may be wrong, and tells this gateway's requests from
/// others.
pub(crate) struct Guards {
    pub(crate) past: RestoreGuard,
    pub(crate) wall: Wall,
    pub(crate) seal: SealKey,
}

/// What of a host is its owner's business: whose user it is, where its programs and do-files are.
fn withhold(host: &mut HostView) {
    host.os_user.clear();
    host.roots.clear();
    for engine in &mut host.engines {
        engine.truncate(engine.find(" (").unwrap_or(engine.len()));
    }
}

impl Runs {
    pub(crate) fn new(
        options: Arc<Options>,
        ledger: Arc<dyn Ledger>,
        fleet: Fleet,
        mirrors: Mirrors,
        guards: Guards,
        metrics: Arc<Metrics>,
        deps: Deps,
    ) -> Self {
        let Guards { past, wall, seal } = guards;
        Self(Arc::new(Inner {
            options,
            ledger,
            fleet,
            mirrors,
            past,
            wall,
            seal,
            metrics,
            deps,
            table: Arc::default(),
            shown: joining::Shown::default(),
            draining: tokio::sync::Mutex::default(),
        }))
    }

    /// Takes up every unfinished run of the ledger. Their seats are held before this returns, so that no agent that
    /// comes back afterwards is given too much.
    pub(crate) async fn take_up(&self) -> Result<usize, LedgerError> {
        let unfinished = self.0.ledger.active().await?;
        let n = unfinished.len();
        let mut rest = Vec::with_capacity(n);
        for record in unfinished {
            let seat = record.state.holds_seat().then(|| {
                self.0.fleet.hold(record.run, &record.principal, &record.agent_id, &record.host, &record.pool)
            });
            rest.push((record, seat));
        }
        for (record, seat) in rest {
            self.0.keep(record, None, seat, Vec::new());
        }
        Ok(n)
    }

    /// Records a run, durable before it answers, or answers with the run that this request already made.
    ///
    /// # Errors
    /// See [`SubmitError`]; no error leaves a run behind.
    pub async fn submit(&self, who: &Principal, request: Request) -> Result<Submitted, SubmitError> {
        Box::pin(submit::submit(&self.0, who, request)).await
    }

    /// The run of a full or short name.
    ///
    /// # Errors
    /// Unknown (also for another principal's run), ambiguous, or the ledger could not be read.
    pub async fn find(&self, who: &Principal, name: &str) -> Result<RunId, FindError> {
        let name = name.trim();
        let unknown = || FindError::Unknown(name.chars().take(64).collect());
        if let Ok(run) = name.parse::<RunId>() {
            return self.principal_of(run).await?.filter(|p| may(who, p)).map(|_| run).ok_or_else(unknown);
        }
        let tail = name.replace('-', "").to_lowercase();
        if !(SHORT_LEN..=32).contains(&tail.len()) || !tail.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        let principal = (who.scope != Scope::Operate).then_some(who.name.as_str());
        let found = self.0.ledger.by_tail(principal, &tail, 2).await.map_err(FindError::Ledger)?;
        match found.as_slice() {
            [] => Err(unknown()),
            [run] => Ok(*run),
            _ => Err(FindError::Ambiguous(name.to_owned())),
        }
    }

    /// Everything about a run.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn get(&self, who: &Principal, run: RunId) -> Result<RunView, FindError> {
        Ok(self.watch(who, run).await?.borrow().as_ref().clone())
    }

    /// A page of runs, newest first; everybody's with scope `operate`.
    ///
    /// # Errors
    /// When the ledger could not be read.
    pub async fn list(&self, who: &Principal, filter: ListFilter) -> Result<RunList, FindError> {
        let limit = filter.limit.clamp(1, MAX_PAGE);
        let query = ListQuery {
            principal: (who.scope != Scope::Operate).then(|| who.name.clone()),
            state: filter.state,
            before: filter.before,
            // One more than asked for says whether there is a next page.
            limit: limit + 1,
        };
        let mut records = self.0.ledger.list(query).await.map_err(FindError::Ledger)?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let next = records.last().filter(|_| more).map(|r| r.run);
        let runs = records.iter().map(|record| match self.0.table.get(record.run) {
            Some(active) => active.view.borrow().as_ref().clone(),
            None => view(record, &Live::of(record)),
        });
        Ok(RunList { runs: runs.collect(), next })
    }

    /// A view that follows the run. Of an ended run the value is final and `changed()` answers with an error.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn watch(&self, who: &Principal, run: RunId) -> Result<watch::Receiver<Arc<RunView>>, FindError> {
        match self.look(who, run).await? {
            Look::Live(active) => {
                if active.principal() == who.name {
                    active.looked.store(self.now_ms(), Ordering::Relaxed);
                }
                Ok(active.view.subscribe())
            }
            Look::Ended(record) => Ok(watch::channel(Arc::new(view(&record, &Live::of(&record)))).1),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.deps.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// The run of the caller's own that holds the seat for which `view` waits; the one looked at longest ago, of several.
    pub fn behind_own(&self, who: &Principal, view: &RunView) -> Option<Behind> {
        let waiting = view.waiting.as_deref().filter(|_| view.state == RunState::Queued)?;
        let holds = |active: &Arc<RunHandle>| {
            active.principal() == who.name && active.run != view.run_id && waiting.contains(&active.run.short())
        };
        let own = self.0.table.all().into_iter().filter(holds);
        let oldest = own.min_by_key(|active| active.looked.load(Ordering::Relaxed))?;
        let run = oldest.view.borrow().as_ref().clone();
        let since =
            match oldest.looked.load(Ordering::Relaxed) {
                // Never: since it was made.
                0 => run.created_at.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok()).map_or(0, |at| {
                    u64::try_from(self.0.deps.clock.unix_ms() - at.as_millisecond()).unwrap_or_default()
                }),
                looked => self.now_ms().saturating_sub(looked),
            };
        let forgotten = oldest.view.receiver_count() == 0 && Duration::from_millis(since) >= FORGOTTEN;
        Some(Behind { run, forgotten })
    }

    /// Makes the wish to end a run durable and starts to act on it. Asking again is harmless, and may be harder. A run that
    /// is lost may go on where nobody hears it: the wish is kept for its agent.
    ///
    /// # Errors
    /// See [`ControlError`]. Cancelling an ended run answers with its view.
    pub async fn cancel(&self, who: &Principal, run: RunId, mode: CancelMode) -> Result<RunView, ControlError> {
        let by = who.name.clone();
        if let Look::Ended(record) = self.look(who, run).await?
            && record.state == RunState::Lost
        {
            let wish = CancelWish { by: by.clone(), at_ms: self.0.deps.clock.unix_ms(), mode };
            self.0.ledger.want_cancel(run, wish).await.map_err(ControlError::Ledger)?;
            // Its agent may have come back in this moment; then its task has to hear of it.
        }
        self.ask(who, run, |reply| Command::Cancel { by, mode, reply }).await
    }

    /// An operator's word that the agent of a run will never come back: the run is `lost`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn declare_dead(&self, who: &Principal, run: RunId) -> Result<RunView, ControlError> {
        if who.scope != Scope::Operate {
            return Err(ControlError::Forbidden(
                "declaring an agent dead needs a token with scope `operate`".to_owned(),
            ));
        }
        let by = who.name.clone();
        let before = self.get(who, run).await?;
        // One that was lost, came back and went again has a keeper, and holds a seat.
        let returned = before.state == RunState::Lost && self.0.table.get(run).is_some();
        if before.state.is_end() && !returned {
            return Err(ControlError::WrongState(format!("run {} has ended: it is {}", run.short(), before.state)));
        }
        self.ask(who, run, |reply| Command::DeclareDead { by, reply }).await
    }

    /// Asks the keeper; the answer for a run without one is its view.
    async fn ask(
        &self,
        who: &Principal,
        run: RunId,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<RunView, ControlError> {
        let Look::Live(active) = self.look(who, run).await? else { return Ok(self.get(who, run).await?) };
        let (reply, answered) = oneshot::channel();
        let asked = async {
            let sent = active.mailbox.send(command(reply)).await.is_ok();
            if sent { answered.await.ok() } else { None }
        };
        // Longer than any write of the ledger may take, so that the keeper's own words come first.
        let limit = self.0.options.call_timeout + PATIENCE;
        match tokio::time::timeout(limit, asked).await {
            Ok(Some(answer)) => return answer,
            Ok(None) => {}
            Err(_) => return Err(ControlError::Slow(limit)),
        }
        // The keeper ended in this moment: with its run, or with the gateway.
        if self.0.deps.tasks.stopping().is_cancelled() {
            return Err(ControlError::Stopping);
        }
        Ok(self.get(who, run).await?)
    }

    /// At most `max` (and [`MAX_READ`]) bytes of an output, from the mirror.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        who: &Principal,
        run: RunId,
        stream: Stream,
        offset: u64,
        max: usize,
    ) -> Result<OutputChunk, ReadError> {
        // The state is looked at before the bytes: an end that comes in between is seen by the next read.
        let ended = match self.look(who, run).await? {
            Look::Live(active) => active.view.borrow().state.is_end(),
            Look::Ended(record) => record.state.is_end(),
        };
        let mirror = self.0.mirrors.find(run).await.map_err(ReadError::Io)?;
        let len = mirror.as_ref().map_or(0, |m| m.len(stream));
        if offset > len {
            return Err(ReadError::PastEnd { offset, len });
        }
        let bytes = match mirror {
            Some(mirror) => mirror.read(stream, offset, max.min(MAX_READ)).await.map_err(ReadError::Io)?,
            None => Bytes::new(),
        };
        let next = offset + bytes.len() as u64;
        Ok(OutputChunk { bytes, next, complete: ended && next >= len })
    }

    /// The ends of these runs were shown to their owner: they answer no equal request any more. Noted in the background;
    /// a request that comes after this call waits for it.
    pub fn seen(&self, runs: Vec<RunId>) {
        if runs.is_empty() || faults::bug("nothing_is_seen") {
            return;
        }
        self.0.shown.noting(&runs);
        let inner = self.0.clone();
        self.0.deps.tasks.spawn(async move {
            if let Err(error) = inner.ledger.seen(runs.clone(), inner.deps.clock.unix_ms()).await {
                // Then an equal request is answered with one of them once more, and says so in its first line.
                tracing::warn!(?runs, error = &error as &dyn std::error::Error, "cannot note that ends were seen");
            }
            inner.shown.noted(&runs);
        });
    }

    /// Whose runs alone agents take that were not told whom to serve; `None` = everybody's.
    pub fn serves_first_only(&self) -> Option<String> {
        self.0.fleet.scheduler().first_only.clone()
    }

    /// Tokens were made or revoked: how many principals there are decides whom agents serve that were not told.
    pub(crate) async fn principals_changed(&self) {
        match self.0.ledger.token_list().await {
            Ok(tokens) => self.0.fleet.principals(&tokens),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot count the principals");
                self.0.fleet.principals_unknown();
            }
        }
    }

    /// Agents, pools, and the caller's waiting runs.
    pub fn hosts(&self, who: &Principal) -> Hosts {
        let (mut hosts, pools) = self.0.fleet.views();
        if !who.may_operate() {
            hosts.iter_mut().for_each(withhold);
        }
        let waits = |active: &Arc<RunHandle>| {
            let view = active.view.borrow();
            let waiting = view.waiting.clone()?;
            Some(QueueView { run_id: active.run, waiting })
        };
        let mine = self.0.table.all();
        let mut queue: Vec<_> = mine.iter().filter(|a| may(who, &a.principal())).filter_map(waits).collect();
        queue.sort_by_key(|q| q.run_id);
        let returned = |active: &Arc<RunHandle>| {
            let view = active.view.borrow();
            let host = view.host.clone().filter(|_| view.runs_again && may(who, &active.principal()))?;
            let (run_id, short) = (active.run, active.run.short());
            let waiting = format!(
                "lost, but running again on {host}: it holds a seat, and its own record will count; \
                 stata_cancel(run: \"{short}\") or `longhaul cancel {short}` ends it"
            );
            Some(QueueView { run_id, waiting })
        };
        let mut returned: Vec<_> = mine.iter().filter_map(returned).collect();
        returned.sort_by_key(|q| q.run_id);
        Hosts { hosts, pools, queue, returned }
    }

    /// Whether the gateway can take work.
    ///
    /// # Errors
    /// With what is wrong.
    pub async fn ready(&self) -> Result<(), String> {
        if self.0.deps.tasks.stopping().is_cancelled() {
            return Err("the gateway is stopping".to_owned());
        }
        self.0.ledger.check().await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the ledger is not ready");
            format!("{error}: look at the disk of the data folder and the gateway's log")
        })
    }

    /// Why nothing is removed by its age now, and what to do; `None` = old records go in their time.
    pub fn sweep_paused(&self) -> Option<String> {
        self.0.wall.in_doubt()
    }

    /// An operator's word that the wall clock is right, however far it is from what the ledger leads one to expect.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn trust_clock(&self, who: &Principal) -> Result<ClockTrusted, ControlError> {
        if who.scope != Scope::Operate {
            return Err(ControlError::Forbidden("trusting the clock needs a token with scope `operate`".to_owned()));
        }
        self.0.wall.trust();
        let now = rfc3339(self.0.deps.clock.unix_ms()).unwrap_or_default();
        tracing::warn!(by = %who.name, now, "an operator says that the clock is right");
        Ok(ClockTrusted { now })
    }

    /// The keeper of a run, else the record of its end.
    ///
    /// There are moments in which an unfinished run has a record and no keeper: a run that is being imported before,
    /// one that is ending after. Both are over soon, and whoever took the record for the whole truth meanwhile would
    /// wait on a view that nobody changes, or make a wish that nobody hears.
    async fn look(&self, who: &Principal, run: RunId) -> Result<Look, FindError> {
        let unknown = || FindError::Unknown(run.to_string());
        for looks_left in (0..LOOKS).rev() {
            if let Some(active) = self.0.table.get(run) {
                return if may(who, &active.principal()) { Ok(Look::Live(active)) } else { Err(unknown()) };
            }
            let record = self.record(run).await?.filter(|r| may(who, &r.principal)).ok_or_else(unknown)?;
            if record.state.is_end() || looks_left == 0 {
                return Ok(Look::Ended(Box::new(record)));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(unknown())
    }

    async fn record(&self, run: RunId) -> Result<Option<Record>, FindError> {
        self.0.ledger.get(run).await.map_err(FindError::Ledger)
    }

    async fn principal_of(&self, run: RunId) -> Result<Option<String>, FindError> {
        match self.0.table.get(run) {
            Some(active) => Ok(Some(active.principal())),
            None => Ok(self.record(run).await?.map(|r| r.principal)),
        }
    }
}

/// Whether somebody may see and end a run of `owner`; one without an owner is unverified, and operators' alone.
fn may(who: &Principal, owner: &str) -> bool {
    who.scope == Scope::Operate || (!owner.is_empty() && who.name == owner)
}
