//! The ledger as a plain model, without a disk: it defines what is meant. Tests use it, and the conformance suite
//! compares both.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_proto::{
    api::{FilesRemoved, Joined},
    ids::RunId,
    state::RunState,
    transport::Fingerprint,
    wire,
};

use super::{
    Adoption, AgentRecord, Answer, CancelWish, Candidate, Condition, Dedupe, DrainRecord, Ended, Inserted, Ledger,
    LedgerError, ListQuery, NewRun, PinRecord, Record, Removed, Stash, TokenRecord, Transition, TransitionRow,
};
use crate::model::Principal;

/// A ledger that is gone when its process ends.
pub struct MemoryLedger {
    cluster_id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runs: BTreeMap<RunId, Row>,
    keys: HashMap<(Principal, String), (RunId, String)>,
    tokens: BTreeMap<String, TokenRecord>,
    agents: BTreeMap<String, AgentRecord>,
    drains: BTreeMap<String, DrainRecord>,
    pins: BTreeMap<Fingerprint, PinRecord>,
    memos: BTreeMap<(String, String), Stash>,
    removed: BTreeMap<RunId, (i64, Removed)>,
}

struct Row {
    record: Record,
    submission: wire::Submission,
    dedupe: Dedupe,
    history: Vec<TransitionRow>,
    spool_held: bool,
    files_held: bool,
    whole: bool,
}

impl MemoryLedger {
    /// An empty ledger with this id.
    pub fn new(cluster_id: &str) -> Self {
        Self { cluster_id: cluster_id.to_owned(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<T: Send + 'static>(&self, work: impl FnOnce(&mut State) -> Result<T, LedgerError>) -> Answer<'_, T> {
        let result = work(&mut self.state());
        async { result }.boxed()
    }
}

impl Row {
    fn candidate(&self) -> Candidate {
        let record = &self.record;
        Candidate {
            run: record.run,
            state: record.state,
            finished_ms: record.finished_ms,
            seen_ms: record.seen_ms,
            cancelling: record.cancel.is_some(),
        }
    }
}

impl State {
    fn insert(&mut self, new: NewRun) -> Result<Inserted, LedgerError> {
        let run = new.record.run;
        let names = new.names();
        for (name, body) in names.iter().filter(|_| !new.record.detail.imported) {
            let known = self.keys.get(&(new.record.principal.clone(), name.clone()));
            let Some((earlier, made_by)) = known else { continue };
            let same = made_by == body || made_by == super::UNKNOWN_BODY;
            match super::is_call(name) {
                false if same => return Ok(Inserted::Joined(*earlier, Joined::Key)),
                false => return Err(LedgerError::KeyTaken(*earlier)),
                true if self.runs.get(earlier).is_some_and(|row| new.dedupe.same_call(&row.candidate())) => {
                    return Ok(Inserted::Joined(*earlier, Joined::Call));
                }
                true => {}
            }
        }
        let shape = &new.dedupe.shape;
        let equal = self.runs.values().rev().filter(|row| row.dedupe.shape == *shape).take(16).find_map(|row| {
            let (a, b) = (&row.dedupe.code, &new.dedupe.code);
            let same = a == b || a.is_empty() || b.is_empty();
            new.dedupe.equal(&row.candidate()).filter(|_| same).map(|why| (row.record.run, why))
        });
        if let Some((earlier, why)) = equal {
            return Ok(Inserted::Joined(earlier, why));
        }
        if new.dedupe.only_join {
            return Err(LedgerError::Full);
        }
        if self.runs.contains_key(&run) {
            return Err(LedgerError::LostRace(run));
        }
        for (name, body) in names {
            self.keys.insert((new.record.principal.clone(), name), (run, body));
        }
        let first = TransitionRow {
            n: 0,
            state: new.record.state,
            cause: new.record.cause,
            attempt: new.record.attempt,
            at_ms: new.record.created_ms,
        };
        let row = Row {
            record: new.record,
            submission: new.submission,
            dedupe: new.dedupe,
            history: vec![first],
            spool_held: false,
            files_held: false,
            whole: true,
        };
        self.runs.insert(run, row);
        Ok(Inserted::New)
    }

    fn remove(&mut self, run: RunId, at_ms: i64) {
        let Some(row) = self.runs.remove(&run) else { return };
        self.keys.retain(|_, (named, _)| *named != run);
        if let Some(removed) = row.record.removed() {
            self.removed.insert(run, (at_ms, removed));
        }
    }

    fn transition(&mut self, step: Transition) -> Result<(), LedgerError> {
        let row = self.runs.get_mut(&step.run).ok_or(LedgerError::LostRace(step.run))?;
        let record = &mut row.record;
        if record.state != step.from || record.attempt != step.from_attempt {
            return Err(LedgerError::LostRace(step.run));
        }
        let ended = step.to.is_end();
        let agent_id = step.given_to.as_ref().map_or(&record.agent_id, |(agent_id, ..)| agent_id);
        row.spool_held = ended && step.to != RunState::Lost && !agent_id.is_empty();
        row.whole = step.detail.as_ref().is_some_and(|d| d.complete);
        (record.state, record.cause, record.attempt) = (step.to, step.cause, step.attempt);
        record.finished_ms = if ended { step.at_ms } else { 0 };
        if let Some((agent, host, pool)) = step.given_to {
            (record.agent_id, record.host, record.pool) = (agent, host, pool);
        }
        if let Some(detail) = step.detail {
            record.detail = detail;
        }
        let n = u32::try_from(row.history.len()).unwrap_or(u32::MAX);
        let (state, cause, attempt, at_ms) = (step.to, step.cause, step.attempt, step.at_ms);
        row.history.push(TransitionRow { n, state, cause, attempt, at_ms });
        Ok(())
    }
}

impl Ledger for MemoryLedger {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn insert(&self, new: NewRun) -> Answer<'_, Inserted> {
        self.answer(|state| state.insert(new))
    }

    fn transition(&self, step: Transition) -> Answer<'_, ()> {
        self.answer(|state| {
            if !step.from.may_become_by(step.to, step.cause) {
                return Err(LedgerError::NoSuchEdge { from: step.from, to: step.to });
            }
            state.transition(step)
        })
    }

    fn want_cancel(&self, run: RunId, wish: CancelWish) -> Answer<'_, bool> {
        self.answer(|state| {
            let goes_on = |state: RunState| !state.is_end() || state == RunState::Lost;
            let Some(row) = state.runs.get_mut(&run).filter(|row| goes_on(row.record.state)) else { return Ok(false) };
            match &mut row.record.cancel {
                Some(earlier) => earlier.mode = wish.mode,
                none => *none = Some(wish),
            }
            Ok(true)
        })
    }

    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()> {
        self.answer(|state| {
            let (key, body) = key;
            let replaces = super::is_call(&key);
            let entry = state.keys.entry((principal, key));
            let kept = entry.or_insert_with(|| (run, body.clone()));
            if replaces {
                *kept = (run, body);
            }
            Ok(())
        })
    }

    fn seen(&self, runs: Vec<RunId>, at_ms: i64) -> Answer<'_, ()> {
        self.answer(|state| {
            for run in runs {
                let row = state.runs.get_mut(&run);
                if let Some(row) = row.filter(|row| row.record.finished_ms > 0 && row.record.seen_ms == 0) {
                    row.record.seen_ms = at_ms;
                }
            }
            Ok(())
        })
    }

    fn only_files_kept(&self, run: RunId) -> Answer<'_, ()> {
        self.answer(|state| {
            if let Some(row) = state.runs.get_mut(&run).filter(|row| row.spool_held) {
                (row.spool_held, row.files_held) = (false, true);
            }
            Ok(())
        })
    }

    fn files_removed(&self, run: RunId, what: FilesRemoved) -> Answer<'_, ()> {
        self.answer(|state| {
            if let Some(row) = state.runs.get_mut(&run).filter(|row| row.record.finished_ms > 0) {
                row.record.detail.files_removed = Some(what);
            }
            Ok(())
        })
    }

    fn spool_gone(&self, run: RunId, words: Option<String>) -> Answer<'_, ()> {
        self.answer(|state| {
            if let Some(row) = state.runs.get_mut(&run) {
                (row.spool_held, row.files_held) = (false, false);
                if let Some(words) = words {
                    row.record.detail.set(Condition::Released, words);
                }
            }
            Ok(())
        })
    }

    fn adopt(&self, adoption: Adoption) -> Answer<'_, bool> {
        self.answer(|state| {
            let Adoption { run, principal, key, dedupe } = adoption;
            let Some(row) = state.runs.get_mut(&run).filter(|row| row.record.principal.is_none()) else {
                return Ok(false);
            };
            (row.record.detail.unverified, row.record.principal) = (false, principal.clone());
            row.record.detail.claims = Principal::default();
            row.dedupe = dedupe;
            if let Some((key, body)) = key {
                state.keys.entry((principal, key)).or_insert((run, body));
            }
            Ok(true)
        })
    }

    fn contest(&self, run: RunId, words: String) -> Answer<'_, bool> {
        self.answer(|state| Ok(state.runs.get_mut(&run).is_some_and(|row| row.record.detail.contest(&words))))
    }

    fn get_many<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Record>> {
        self.answer(|state| {
            let wanted: std::collections::BTreeSet<_> = runs.iter().collect();
            Ok(wanted.into_iter().filter_map(|run| state.runs.get(run)).map(|row| row.record.clone()).collect())
        })
    }

    fn get(&self, run: RunId) -> Answer<'_, Option<Record>> {
        self.answer(|state| Ok(state.runs.get(&run).map(|row| row.record.clone())))
    }

    fn submission(&self, run: RunId) -> Answer<'_, Option<wire::Submission>> {
        self.answer(|state| Ok(state.runs.get(&run).map(|row| row.submission.clone())))
    }

    fn by_key<'a>(&'a self, principal: &'a Principal, key: &'a str) -> Answer<'a, Option<(RunId, String)>> {
        self.answer(|state| Ok(state.keys.get(&(principal.clone(), key.to_owned())).cloned()))
    }

    fn by_tail<'a>(&'a self, principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.answer(|state| {
            let fits = |row: &&Row| {
                principal.is_none_or(|p| *p == row.record.principal)
                    && row.record.run.to_string().replace('-', "").ends_with(tail)
            };
            Ok(state.runs.values().rev().filter(fits).take(limit as usize).map(|row| row.record.run).collect())
        })
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>> {
        self.answer(|state| {
            let fits = |record: &&Record| {
                query.principal.as_ref().is_none_or(|p| *p == record.principal)
                    && query.state.is_none_or(|s| s == record.state)
                    && query.before.is_none_or(|run| record.run < run)
            };
            let rows = state.runs.values().rev().map(|row| &row.record);
            Ok(rows.filter(fits).take(query.limit as usize).cloned().collect())
        })
    }

    fn active(&self) -> Answer<'_, Vec<Record>> {
        self.answer(|state| {
            Ok(state.runs.values().map(|row| &row.record).filter(|r| !r.state.is_end()).cloned().collect())
        })
    }

    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>> {
        self.answer(|state| Ok(state.runs.get(&run).map(|row| row.history.clone()).unwrap_or_default()))
    }

    fn sweep(&self, before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Answer<'_, Vec<RunId>> {
        self.answer(|state| {
            let mut old: Vec<_> = state
                .runs
                .values()
                .filter(|row| !((row.spool_held || row.files_held) && here.contains(&row.record.agent_id)))
                .map(|row| (row.record.finished_ms, row.record.run))
                .filter(|(finished_ms, _)| *finished_ms > 0 && *finished_ms < before_ms)
                .collect();
            old.sort();
            old.truncate(limit as usize);
            let gone: Vec<_> = old.into_iter().map(|(_, run)| run).collect();
            for run in &gone {
                state.remove(*run, at_ms);
            }
            Ok(gone)
        })
    }

    fn ended_count(&self) -> Answer<'_, u64> {
        self.answer(|state| Ok(state.runs.values().filter(|row| row.record.finished_ms > 0).count() as u64))
    }

    fn newest_ms(&self) -> Answer<'_, i64> {
        self.answer(|state| {
            let created = state.runs.values().next_back().map_or(0, |row| row.record.created_ms);
            let finished = state.runs.values().map(|row| row.record.finished_ms).max().unwrap_or_default();
            let seen = state.agents.values().map(|agent| agent.seen_ms).max().unwrap_or_default();
            Ok(created.max(finished).max(seen))
        })
    }

    fn ended(&self, before_ms: i64, limit: u32) -> Answer<'_, Vec<Ended>> {
        self.answer(|state| {
            let over = |row: &&Row| {
                let record = &row.record;
                record.finished_ms > 0 && record.finished_ms < before_ms && record.state != RunState::Lost
            };
            let mut all: Vec<_> = state.runs.values().filter(over).collect();
            all.sort_by_key(|row| (row.record.finished_ms, row.record.run));
            let ended = |row: &Row| Ended {
                run: row.record.run,
                agent_id: row.record.agent_id.clone(),
                spool_held: row.spool_held || row.files_held,
            };
            Ok(all.into_iter().take(limit as usize).map(ended).collect())
        })
    }

    fn removed(&self, run: RunId) -> Answer<'_, Option<Removed>> {
        self.answer(|state| Ok(state.removed.get(&run).map(|(_, removed)| removed.clone())))
    }

    fn removed_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        self.answer(|state| {
            state.removed.retain(|_, (at_ms, _)| *at_ms >= before_ms);
            let mut ages: Vec<_> = state.removed.iter().map(|(run, (at_ms, _))| (*at_ms, *run)).collect();
            ages.sort();
            let over = ages.len().saturating_sub(most as usize);
            for (_, run) in ages.drain(..over) {
                state.removed.remove(&run);
            }
            Ok(())
        })
    }

    fn remove(&self, run: RunId, at_ms: i64) -> Answer<'_, bool> {
        self.answer(|state| {
            let ended = state.runs.get(&run).is_some_and(|row| row.record.finished_ms > 0);
            if ended {
                state.remove(run, at_ms);
            }
            Ok(ended)
        })
    }

    fn spools_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, whole: bool, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.answer(|state| {
            let mut held: Vec<_> = state
                .runs
                .values()
                .filter(|row| row.spool_held && row.whole == whole)
                .filter(|row| row.record.agent_id == agent_id && row.record.finished_ms < before_ms)
                .map(|row| (row.record.finished_ms, row.record.run))
                .collect();
            held.sort();
            Ok(held.into_iter().take(limit as usize).map(|(_, run)| run).collect())
        })
    }

    fn files_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.answer(|state| {
            let mut held: Vec<_> = state
                .runs
                .values()
                .filter(|row| row.files_held && row.record.agent_id == agent_id && row.record.finished_ms < before_ms)
                .map(|row| (row.record.finished_ms, row.record.run))
                .collect();
            held.sort();
            Ok(held.into_iter().take(limit as usize).map(|(_, run)| run).collect())
        })
    }

    fn put_agent(&self, agent: AgentRecord) -> Answer<'_, ()> {
        self.answer(|state| {
            state.agents.insert(agent.info.agent_id.clone(), agent);
            Ok(())
        })
    }

    fn agents(&self) -> Answer<'_, Vec<AgentRecord>> {
        self.answer(|state| Ok(state.agents.values().cloned().collect()))
    }

    fn put_pin(&self, pin: PinRecord) -> Answer<'_, ()> {
        self.answer(|state| {
            state.pins.insert(pin.key, pin);
            Ok(())
        })
    }

    fn pins(&self) -> Answer<'_, Vec<PinRecord>> {
        self.answer(|state| Ok(state.pins.values().cloned().collect()))
    }

    fn drain(&self, hosts: Vec<DrainRecord>) -> Answer<'_, ()> {
        self.answer(|state| {
            state.drains.extend(hosts.into_iter().map(|drain| (drain.host.clone(), drain)));
            Ok(())
        })
    }

    fn resume(&self, hosts: Vec<String>) -> Answer<'_, ()> {
        self.answer(|state| {
            state.drains.retain(|host, _| !hosts.contains(host));
            Ok(())
        })
    }

    fn drains(&self) -> Answer<'_, Vec<DrainRecord>> {
        self.answer(|state| Ok(state.drains.values().cloned().collect()))
    }

    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool> {
        self.answer(|state| {
            let taken = state.tokens.values().any(|t| t.name == token.name || t.sha256 == token.sha256);
            if !taken {
                state.tokens.insert(token.name.clone(), token);
            }
            Ok(!taken)
        })
    }

    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>> {
        self.answer(|state| Ok(state.tokens.values().find(|t| t.sha256 == sha256).cloned()))
    }

    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>> {
        self.answer(|state| Ok(state.tokens.values().cloned().collect()))
    }

    fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>> {
        self.answer(|state| {
            let tokens = state.tokens.values().map(|token| &token.principal);
            let owners = state.runs.values().map(|row| &row.record.principal).filter(|owner| !owner.is_none());
            let all: std::collections::BTreeSet<_> = tokens.chain(owners).filter(|p| p.subject() == subject).collect();
            Ok(all.into_iter().cloned().collect())
        })
    }

    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool> {
        self.answer(|state| {
            let Some(token) = state.tokens.get_mut(name).filter(|t| t.revoked_ms.is_none()) else { return Ok(false) };
            token.revoked_ms = Some(at_ms);
            Ok(true)
        })
    }

    fn memo_put(&self, memo: Stash) -> Answer<'_, ()> {
        self.answer(|state| {
            state.memos.insert((memo.kind.clone(), memo.name.clone()), memo);
            Ok(())
        })
    }

    fn memo_get<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, Option<Stash>> {
        self.answer(|state| Ok(state.memos.get(&(kind.to_owned(), name.to_owned())).cloned()))
    }

    fn memo_remove<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, ()> {
        self.answer(|state| {
            state.memos.remove(&(kind.to_owned(), name.to_owned()));
            Ok(())
        })
    }

    fn memo_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        self.answer(|state| {
            state.memos.retain(|_, memo| memo.created_ms >= before_ms);
            let mut ages: Vec<_> = state.memos.iter().map(|(key, memo)| (memo.created_ms, key.clone())).collect();
            ages.sort();
            let over = ages.len().saturating_sub(most as usize);
            for (_, key) in ages.drain(..over) {
                state.memos.remove(&key);
            }
            Ok(())
        })
    }

    fn call_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        self.answer(|state| {
            let ended = |run: &RunId| {
                let finished_ms = state.runs.get(run).map_or(0, |row| row.record.finished_ms);
                finished_ms > 0 && finished_ms < before_ms
            };
            let old = state.keys.iter().filter(|((_, key), (run, _))| super::is_call(key) && ended(run));
            let old: Vec<_> = old.map(|(name, _)| name.clone()).take(limit as usize).collect();
            old.iter().for_each(|name| drop(state.keys.remove(name)));
            Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
        })
    }

    fn check(&self) -> Answer<'_, ()> {
        self.answer(|_| Ok(()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
