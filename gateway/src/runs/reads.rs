//! What callers may read of runs: views, lists, output, hosts. A caller sees its own runs, and an operator all.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use longhaul_proto::{
    api::{HolderView, HostView, Hosts, QueueView},
    egress::Egress,
    encoding::Encoding,
    faults,
    ids::RunId,
    state::RunState,
};
use tokio::sync::watch;

use super::{
    BETWEEN_LOOKS, Behind, FindError, ListFilter, MAX_PAGE, MAX_READ, OutputChunk, ReadError, RunPage, Runs,
    registry::RunHandle, snapshot::recorded,
};
use crate::{
    audit::{Event, Kind},
    ledger::{AttemptRow, ListQuery, Read, TransitionRow},
    model::{Identity, Principal, Record, RunSnapshot, Scope, Stream, UnixMs, Wait},
};

/// Fewest characters of an id that name a run.
const SHORTEST: usize = 4;
/// Most runs that are named where a part of an id fits several.
const NAMED: u32 = 5;
/// The name of the caller's newest run.
const NEWEST: &str = "last";

/// How often an unfinished run without a task is looked up again, and the pause between: a bound in case its task died,
/// far longer than it takes to start one.
const LOOKS: u32 = 200;

/// How long a run must go without a waiting call and without a look by its owner before it counts as forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The best source on a run: its task, or the record of its end.
pub(super) enum Look {
    Live(Arc<RunHandle>),
    Ended(Box<Record>),
}

impl Runs {
    /// The encoding of what is no UTF-8 in output, where it is shown as text.
    pub(crate) fn log_encoding(&self) -> Encoding {
        self.0.options.log_encoding
    }

    /// Finds a run by its full or short name.
    ///
    /// # Errors
    /// Unknown (also for another principal's run), ambiguous, or the ledger could not be read.
    pub async fn find(&self, who: &Identity, name: &str) -> Result<RunId, FindError> {
        let name = name.trim();
        let unknown = || FindError::Unknown(name.chars().take(64).collect());
        if let Ok(run) = name.parse::<RunId>() {
            return self.principal_of(run).await?.filter(|p| may(who, p)).map(|_| run).ok_or_else(unknown);
        }
        if name == NEWEST {
            let query = ListQuery { principal: Some(who.principal.clone()), limit: 1, ..ListQuery::default() };
            let newest = self.0.ledger.list(query).await.map_err(FindError::Ledger)?;
            return newest.first().map(|record| record.run).ok_or_else(unknown);
        }
        let tail = name.replace('-', "").to_lowercase();
        if !(SHORTEST..=32).contains(&tail.len()) || !tail.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        let principal = (!who.scopes.may(Scope::ReadAll)).then_some(&who.principal);
        let found = self.0.ledger.by_tail(principal, &tail, NAMED + 1).await.map_err(FindError::Ledger)?;
        match found.as_slice() {
            [] => Err(unknown()),
            [run] => Ok(*run),
            several => {
                let mut named: Vec<_> =
                    several.iter().take(NAMED as usize).map(|run| format!("{} ({run})", run.short())).collect();
                if several.len() > named.len() {
                    named.push("and more".to_owned());
                }
                Err(FindError::Ambiguous(format!(
                    "`{name}` fits several runs: {}. Give more characters",
                    named.join(", ")
                )))
            }
        }
    }

    /// Everything about a run.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn get(&self, who: &Identity, run: RunId) -> Result<Arc<RunSnapshot>, FindError> {
        Ok(named(who, &self.watch(who, run).await?.borrow().clone()))
    }

    /// A page of runs, newest first; those of all principals with scope `read_all`.
    ///
    /// # Errors
    /// When the ledger could not be read.
    pub async fn list(&self, who: &Identity, filter: ListFilter) -> Result<RunPage, FindError> {
        if !who.scopes.may_any(&[Scope::ReadOwn, Scope::ReadAll]) {
            return Ok(RunPage::default());
        }
        let limit = filter.limit.clamp(1, MAX_PAGE);
        let query = ListQuery {
            principal: if who.scopes.may(Scope::ReadAll) { filter.principal } else { Some(who.principal.clone()) },
            which: filter.which,
            before: filter.before,
            // One more than asked for says whether there is a next page.
            limit: limit + 1,
            read: Read::Showing,
        };
        let mut records = self.0.ledger.list(query).await.map_err(FindError::Ledger)?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let next = records.last().filter(|_| more).map(|r| r.run);
        let others = records.iter().filter(|record| record.principal != who.principal).count();
        if others > 0 && who.origin.request().is_some() {
            self.0.audit.note(Event::of(Kind::Read, who).with("what", "list").with("runs_of_others", others));
        }
        let runs = records.iter().map(|record| match self.0.registry.get(record.run) {
            Some(active) => named(who, &active.snapshot.borrow().clone()),
            None => Arc::new(recorded(record)),
        });
        Ok(RunPage { runs: runs.collect(), next })
    }

    /// The steps of a run, and its attempts, in order.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn history(
        &self,
        who: &Identity,
        run: RunId,
    ) -> Result<(Vec<TransitionRow>, Vec<AttemptRow>), FindError> {
        self.look(who, run).await?;
        let steps = self.0.ledger.history(run).await.map_err(FindError::Ledger)?;
        let attempts = self.0.ledger.attempts(run).await.map_err(FindError::Ledger)?;
        Ok((steps, attempts))
    }

    /// The snapshots of a run, as they are published. Once the run has ended the value is final and `changed()` returns an error.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn watch(&self, who: &Identity, run: RunId) -> Result<watch::Receiver<Arc<RunSnapshot>>, FindError> {
        match self.look(who, run).await? {
            Look::Live(active) => {
                if active.principal() == who.principal {
                    active.looked.store(self.now_ms(), Ordering::Relaxed);
                }
                Ok(active.snapshot.subscribe())
            }
            Look::Ended(record) => Ok(watch::channel(Arc::new(recorded(&record))).1),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.0.deps.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// The caller's own run that holds a seat for which `run` waits; of several, the one looked at longest ago.
    pub fn behind_own(&self, who: &Identity, run: &RunSnapshot) -> Option<Behind> {
        if run.state != RunState::Queued {
            return None;
        }
        let holders = run.behind().iter().filter(|holder| **holder != run.run);
        let own = holders.filter_map(|holder| self.0.registry.get(*holder)).filter(|a| a.principal() == who.principal);
        let oldest = own.min_by_key(|active| active.looked.load(Ordering::Relaxed))?;
        let run = oldest.snapshot.borrow().clone();
        let since_ms = match oldest.looked.load(Ordering::Relaxed) {
            // Never looked at: count from its creation.
            0 => run.created.map_or(0, |at: UnixMs| at.ago(self.0.deps.clock.unix_ms()).as_millis()),
            looked => u128::from(self.now_ms().saturating_sub(looked)),
        };
        let forgotten = oldest.snapshot.receiver_count() == 0 && since_ms >= FORGOTTEN.as_millis();
        Some(Behind { run, forgotten })
    }

    /// At most `max` (and [`MAX_READ`]) bytes of an output, from the mirror.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        who: &Identity,
        run: RunId,
        stream: Stream,
        offset: u64,
        max: usize,
    ) -> Result<OutputChunk, ReadError> {
        // The state is read before the bytes: an end that comes in between is reported by the next read.
        let ended = match self.look(who, run).await? {
            Look::Live(active) => active.snapshot.borrow().state.is_end(),
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
        self.0.metrics.read_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(OutputChunk { bytes, next, complete: ended && next >= len })
    }

    /// How the beginning of a path may go on, on the agents that take the caller's runs, or on this one of them, as far as
    /// their rules of what may leave are such ones.
    pub async fn complete_path(
        &self,
        who: &Identity,
        host: Option<&str>,
        prefix: &str,
        endings: &[&str],
        tells: impl Fn(&Egress) -> bool,
    ) -> Vec<String> {
        if !who.scopes.may(Scope::Submit) {
            return Vec::new();
        }
        let need = who.need(host.unwrap_or_default());
        let of = self.agents_with(tells);
        let all = self.0.fleet.complete_path(&need, &who.principal, prefix, endings, &of).await;
        all.into_iter().filter(|path| who.limits.allows_path(path)).collect()
    }

    /// Agents, pools, and the caller's queued runs.
    pub async fn hosts(&self, who: &Identity) -> Hosts {
        let (mut hosts, mut pools) = self.0.fleet.views().await;
        let within = who.need("");
        hosts.retain(|host| within.permits(&host.name, &host.pool));
        for pool in &mut pools {
            pool.hosts.retain(|host| within.permits(host, &pool.name));
        }
        pools.retain(|pool| within.limits().is_empty() || !pool.hosts.is_empty());
        if !who.may_operate() {
            let who = who.principal.to_string();
            hosts.iter_mut().for_each(|host| withhold(host, &who));
        }
        let waits = |active: &Arc<RunHandle>| {
            let run = active.snapshot.borrow();
            let wait = run.waiting.as_ref()?;
            let all = who.scopes.may(Scope::ReadAll);
            let waiting = if all { wait.told_to_all_seeing() } else { wait.words() }.into_owned();
            let place = match wait {
                Wait::Queued(reason) => reason.place.as_ref().map(|place| place.number),
                _ => None,
            };
            let principal = all.then(|| run.principal.to_string()).filter(|whose| !whose.is_empty());
            Some(QueueView { run_id: active.run, waiting, principal, place })
        };
        let mine = self.0.registry.all();
        for active in mine.iter().filter(|active| may(who, &active.principal())) {
            let run = active.snapshot.borrow();
            let holds = matches!(run.state, RunState::Starting | RunState::Running) || run.runs_again;
            let host = hosts.iter_mut().find(|host| holds && run.host.as_ref() == Some(&host.name));
            let since = run.started.map(UnixMs::rfc3339);
            host.into_iter().for_each(|host| {
                let (run_id, principal) = (active.run, active.principal().to_string());
                host.holders.push(HolderView { run_id, principal, since: since.clone() });
            });
        }
        for host in &mut hosts {
            let rule = self.egress_of_host(&host.name).unwrap_or_default();
            host.egress = (!rule.is_full()).then(|| rule.to_string());
            let asks = self.confirm_of_host(&host.name);
            host.confirm = (!asks.is_empty()).then(|| asks.to_string());
        }
        hosts.iter_mut().for_each(|host| host.holders.sort_by_key(|holder| holder.run_id));
        let mut queue: Vec<_> = mine.iter().filter(|a| may(who, &a.principal())).filter_map(waits).collect();
        queue.sort_by_key(|q| q.run_id);
        let returned = |active: &Arc<RunHandle>| {
            let run = active.snapshot.borrow();
            let host = run.host.clone().filter(|_| run.runs_again && may(who, &active.principal()))?;
            let (run_id, short) = (active.run, active.run.short());
            let waiting = format!(
                "lost, but running again on {host}: it holds a seat, and its own record will count; \
                 stata_cancel(run: \"{short}\") or `longhaul cancel {short}` ends it"
            );
            Some(QueueView { run_id, waiting, principal: None, place: None })
        };
        let mut returned: Vec<_> = mine.iter().filter_map(returned).collect();
        returned.sort_by_key(|q| q.run_id);
        Hosts { hosts, pools, queue, returned }
    }

    /// The handle of a run's task, or else the record of its end.
    ///
    /// For a moment an unfinished run may have a record and no task: before its task starts, when it is being imported,
    /// and after its task ended. Both moments are short, so this waits: a caller that took the record for the whole
    /// truth would wait on a view that no task updates, or send a command that no task receives.
    pub(super) async fn look(&self, who: &Identity, run: RunId) -> Result<Look, FindError> {
        let unknown = || FindError::Unknown(run.to_string());
        for looks_left in (0..LOOKS).rev() {
            if let Some(active) = self.0.registry.get(run) {
                let principal = active.principal();
                if !may(who, &principal) {
                    return Err(unknown());
                }
                self.note_read(who, &principal, run);
                return Ok(Look::Live(active));
            }
            let record = self.record(run).await?.filter(|r| may(who, &r.principal)).ok_or_else(unknown)?;
            if record.state.is_end() || looks_left == 0 {
                self.note_read(who, &record.principal, run);
                return Ok(Look::Ended(Box::new(record)));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(unknown())
    }

    /// An operator looks at another principal's run: of each request the first look at it is written down.
    pub(super) fn note_read(&self, who: &Identity, of: &Principal, run: RunId) {
        if who.principal != *of && who.origin.reads_first(run) {
            self.0.audit.note(Event::of(Kind::Read, who).run(run).with("of", of.to_string()));
        }
    }

    pub(super) async fn record(&self, run: RunId) -> Result<Option<Record>, FindError> {
        self.0.ledger.get(run).await.map_err(FindError::Ledger)
    }

    pub(super) async fn principal_of(&self, run: RunId) -> Result<Option<Principal>, FindError> {
        match self.0.registry.get(run) {
            Some(active) => Ok(Some(active.principal())),
            None => Ok(self.record(run).await?.map(|r| r.principal)),
        }
    }
}

/// Removes what only operators may know of a host: its OS user, and where its programs are. Where its do-files are is for
/// those whose runs it takes: refusals of a path name these folders to them, and their code can list them.
fn withhold(host: &mut HostView, who: &String) {
    host.os_user.clear();
    host.foreign.iter_mut().for_each(|foreign| foreign.user = None);
    if host.serves.as_ref().is_some_and(|serves| !serves.contains(who)) || faults::bug("roots_for_operators") {
        host.roots.clear();
    }
    for engine in &mut host.engines {
        engine.truncate(engine.find(" (").unwrap_or(engine.len()));
    }
}

/// The run as this caller may see it: those who read all are told whose runs come before it.
fn named(who: &Identity, run: &Arc<RunSnapshot>) -> Arc<RunSnapshot> {
    if who.scopes.may(Scope::ReadAll) { run.for_all_seeing() } else { run.clone() }
}

/// Whether `who` may see a run of `owner`.
pub(super) fn may(who: &Identity, owner: &Principal) -> bool {
    who.may_read(owner) || faults::bug("runs_for_everybody")
}
