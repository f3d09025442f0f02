//! What is removed by age or for room, and what agents still keep.

use longhaul_proto::{api::FilesRemoved, ids::RunId, state::RunState};

use super::{MemoryLedger, Row};
use crate::{
    ledger::{Answer, Ended, MirrorCopy, UpkeepStore, is_call},
    model::{Condition, Removed},
};

impl UpkeepStore for MemoryLedger {
    fn ended_count(&self) -> Answer<'_, u64> {
        self.answer(|state| Ok(state.runs.values().filter(|row| row.record.finished_ms > 0).count() as u64))
    }

    fn newest_ms(&self) -> Answer<'_, i64> {
        self.answer(|state| {
            let created = state.runs.values().next_back().map_or(0, |row| row.record.created_ms);
            let finished = state.runs.values().map(|row| row.record.finished_ms).max().unwrap_or_default();
            let seen = state.agents.values().map(|agent| agent.heard_ms).max().unwrap_or_default();
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
            Ok(all.into_iter().take(limit as usize).map(ended).collect())
        })
    }

    fn sweep(&self, before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Answer<'_, Vec<Ended>> {
        self.answer(|state| {
            let mut old: Vec<_> = state
                .runs
                .values()
                .filter(|row| {
                    !((row.spool_held || row.files_held) && here.iter().any(|id| id == row.record.agent_id()))
                })
                .map(|row| (row.record.finished_ms, row.record.run))
                .filter(|(finished_ms, _)| *finished_ms > 0 && *finished_ms < before_ms)
                .collect();
            old.sort();
            old.truncate(limit as usize);
            let gone: Vec<_> = old.iter().filter_map(|(_, run)| state.runs.get(run)).map(ended).collect();
            for one in &gone {
                state.remove(one.run, at_ms);
            }
            Ok(gone)
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

    fn removed(&self, run: RunId) -> Answer<'_, Option<Removed>> {
        self.answer(|state| Ok(state.removed.get(&run).map(|(_, removed)| removed.clone())))
    }

    fn removed_since(&self, since_ms: i64) -> Answer<'_, Vec<RunId>> {
        self.answer(|state| {
            let since = state.removed.iter().filter(|(_, (at_ms, _))| *at_ms >= since_ms);
            let mut runs: Vec<_> = since.map(|(run, _)| *run).collect();
            runs.sort();
            Ok(runs)
        })
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

    fn call_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        self.answer(|state| {
            let ended = |run: &RunId| {
                let finished_ms = state.runs.get(run).map_or(0, |row| row.record.finished_ms);
                finished_ms > 0 && finished_ms < before_ms
            };
            let old = state.keys.iter().filter(|((_, key), (run, _))| is_call(key) && ended(run));
            let old: Vec<_> = old.map(|(name, _)| name.clone()).take(limit as usize).collect();
            old.iter().for_each(|name| drop(state.keys.remove(name)));
            Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
        })
    }

    fn spool_gone(&self, run: RunId, words: Option<String>) -> Answer<'_, ()> {
        self.answer(|state| {
            if let Some(row) = state.runs.get_mut(&run) {
                (row.spool_held, row.files_held) = (false, false);
                if let Some(words) = words {
                    row.record.detail.conditions.add(Condition::Released, &words);
                    state.note_change(run);
                }
            }
            Ok(())
        })
    }

    fn earlier_spool_gone(&self, run: RunId, words: String) -> Answer<'_, ()> {
        self.answer(|state| {
            if let Some(row) = state.runs.get_mut(&run) {
                row.record.detail.conditions.add(Condition::Released, &words);
                state.note_change(run);
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
                row.record.detail.end.files_removed = Some(what);
                state.note_change(run);
            }
            Ok(())
        })
    }

    fn spools_held<'a>(
        &'a self,
        agent_id: &'a str,
        before_ms: i64,
        copy: MirrorCopy,
        limit: u32,
    ) -> Answer<'a, Vec<RunId>> {
        self.answer(|state| {
            let mut held: Vec<_> = state
                .runs
                .values()
                .filter(|row| row.spool_held && row.copy == copy)
                .filter(|row| row.record.agent_id() == agent_id && row.record.finished_ms < before_ms)
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
                .filter(|row| row.files_held && row.record.agent_id() == agent_id && row.record.finished_ms < before_ms)
                .map(|row| (row.record.finished_ms, row.record.run))
                .collect();
            held.sort();
            Ok(held.into_iter().take(limit as usize).map(|(_, run)| run).collect())
        })
    }
}

/// What upkeep knows of an ended run.
fn ended(row: &Row) -> Ended {
    Ended {
        run: row.record.run,
        agent_id: row.record.agent_id().to_owned(),
        spool_held: row.spool_held || row.files_held,
    }
}
