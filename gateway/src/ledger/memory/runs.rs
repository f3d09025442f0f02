//! Records of runs.

use std::collections::BTreeSet;

use longhaul_proto::{
    api::Joined,
    ids::{RunId, SHORT_LEN},
    state::RunState,
    wire,
};

use super::{MemoryLedger, Row, State};
use crate::{
    ledger::{
        Adoption, Answer, AttemptChange, AttemptEnd, AttemptRow, Inserted, LedgerError, ListQuery, MirrorCopy, NewRun,
        RunStore, Transition, TransitionRow, UNKNOWN_BODY, is_call, joining::Candidate,
    },
    model::{CancelIntent, Origin, Owner, Principal, Record},
};

impl Row {
    fn candidate(&self) -> Candidate {
        let record = &self.record;
        Candidate {
            run: record.run,
            state: record.state,
            finished_ms: record.finished_ms,
            shown_ms: record.shown_ms,
            cancelling: record.cancel.is_some(),
        }
    }
}

impl State {
    fn insert(&mut self, new: NewRun) -> Result<Inserted, LedgerError> {
        let run = new.record.run;
        let names = new.names();
        for (name, body) in names.iter().filter(|_| !new.record.detail.origin.is_import()) {
            let known = self.keys.get(&(new.record.principal.clone(), name.clone()));
            let Some((earlier, made_by)) = known else { continue };
            let same = made_by == body || made_by == UNKNOWN_BODY;
            match is_call(name) {
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
        self.room(&new.dedupe.rooms, new.record.state == RunState::Queued)?;
        if self.runs.contains_key(&run) {
            return Err(LedgerError::Lost(run));
        }
        self.may_hold(&new.record.principal, &new.blobs)?;
        for (name, body) in names {
            self.keys.insert((new.record.principal.clone(), name), (run, body));
        }
        let history = new.first_steps();
        let (created_ms, placement) = (new.record.created_ms, new.record.detail.placement().cloned());
        self.change_lease(new.lease, run, new.record.attempt().zip(placement), created_ms);
        let row = Row {
            attempts: AttemptRow::recorded(&new.record).into_iter().collect(),
            changed: self.next_change(),
            record: new.record,
            submission: new.submission,
            dedupe: new.dedupe,
            history,
            spool_held: false,
            files_held: false,
            copy: MirrorCopy::Whole,
            blobs: new.blobs,
            do_files: None,
            files: None,
            receivers: new.receivers.into_iter().collect(),
        };
        self.runs.insert(run, row);
        self.place_steps(run, 0);
        Ok(Inserted::New)
    }

    fn transition(&mut self, step: Transition) -> Result<(), LedgerError> {
        let row = self.runs.get_mut(&step.run).ok_or(LedgerError::Lost(step.run))?;
        let record = &mut row.record;
        if record.state != step.from || record.attempt() != step.from_attempt || record.owner.epoch != step.owner.epoch
        {
            return Err(LedgerError::Lost(step.run));
        }
        match step.attempt_change() {
            Some(AttemptChange::Given(number, at)) => {
                row.attempts.push(AttemptRow { number, at, given_ms: step.at_ms, ended: None });
            }
            Some(AttemptChange::Ended(number)) => {
                let end = AttemptEnd { state: step.to, cause: step.cause, at_ms: step.at_ms };
                let ended = row.attempts.iter_mut().filter(|row| row.number == number);
                ended.for_each(|row| row.ended = Some(end.clone()));
            }
            None => {}
        }
        let ended = step.to.is_end();
        row.spool_held =
            ended && step.to != RunState::Lost && step.detail.placement().is_some_and(|at| !at.agent_id.is_empty());
        row.copy = MirrorCopy::of(&step.detail);
        (record.state, record.cause) = (step.to, step.cause);
        record.finished_ms = if ended { step.at_ms } else { 0 };
        let (attempt, placement) = (step.attempt(), step.detail.placement().cloned());
        record.detail = step.detail;
        let n = u32::try_from(row.history.len()).unwrap_or(u32::MAX);
        let (state, cause, at_ms) = (step.to, step.cause, step.at_ms);
        row.history.push(TransitionRow { n, state, cause, attempt, at_ms });
        self.change_lease(step.lease, step.run, attempt.zip(placement), at_ms);
        if let Some(body) = &step.told {
            self.tell_end(step.run, n, at_ms, body);
        }
        self.note_change(step.run);
        self.place_steps(step.run, n as usize);
        Ok(())
    }
}

impl RunStore for MemoryLedger {
    fn insert(&self, new: NewRun) -> Answer<'_, Inserted> {
        self.answer(|state| state.insert(new))
    }

    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()> {
        self.answer(|state| {
            let (key, body) = key;
            let replaces = is_call(&key);
            let entry = state.keys.entry((principal, key));
            let kept = entry.or_insert_with(|| (run, body.clone()));
            if replaces {
                *kept = (run, body);
            }
            Ok(())
        })
    }

    fn take_over(&self, gateway: String) -> Answer<'_, Owner> {
        self.answer(|state| {
            state.epoch += 1;
            let owner = Owner { gateway: gateway.into(), epoch: state.epoch };
            let open = |row: &&mut Row| !row.record.state.is_end() || row.record.state == RunState::Lost;
            state.runs.values_mut().filter(open).for_each(|row| row.record.owner = owner.clone());
            Ok(owner)
        })
    }

    fn transition(&self, step: Transition) -> Answer<'_, ()> {
        self.answer(|state| {
            if !step.from.may_become_by(step.to, step.cause) {
                return Err(LedgerError::NoSuchEdge { from: step.from, to: step.to });
            }
            state.transition(step)
        })
    }

    fn request_cancel(&self, run: RunId, intent: CancelIntent) -> Answer<'_, bool> {
        self.answer(|state| {
            let goes_on = |state: RunState| !state.is_end() || state == RunState::Lost;
            let Some(row) = state.runs.get_mut(&run).filter(|row| goes_on(row.record.state)) else { return Ok(false) };
            match &mut row.record.cancel {
                Some(earlier) => earlier.mode = intent.mode,
                none => *none = Some(intent),
            }
            state.note_change(run);
            Ok(true)
        })
    }

    fn mark_shown(&self, runs: Vec<RunId>, at_ms: i64) -> Answer<'_, ()> {
        self.answer(|state| {
            for run in runs {
                let row = state.runs.get_mut(&run);
                if let Some(row) = row.filter(|row| row.record.finished_ms > 0 && row.record.shown_ms == 0) {
                    row.record.shown_ms = at_ms;
                    state.note_change(run);
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
            (row.record.detail.origin, row.record.principal) = (Origin::Imported, principal.clone());
            row.dedupe = dedupe;
            if let Some((key, body)) = key {
                state.keys.entry((principal, key)).or_insert((run, body));
            }
            state.note_change(run);
            Ok(true)
        })
    }

    fn contest(&self, run: RunId, words: String) -> Answer<'_, bool> {
        self.answer(|state| {
            let noted = state.runs.get_mut(&run).is_some_and(|row| row.record.detail.contest(&words));
            if noted {
                state.note_change(run);
            }
            Ok(noted)
        })
    }

    fn get(&self, run: RunId) -> Answer<'_, Option<Record>> {
        self.answer(|state| Ok(state.runs.get(&run).map(|row| row.record.clone())))
    }

    fn get_many<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Record>> {
        self.answer(|state| {
            let wanted: BTreeSet<_> = runs.iter().collect();
            Ok(wanted.into_iter().filter_map(|run| state.runs.get(run)).map(|row| row.record.clone()).collect())
        })
    }

    fn submission(&self, run: RunId) -> Answer<'_, Option<wire::Submission>> {
        self.answer(|state| Ok(state.runs.get(&run).map(|row| row.submission.clone())))
    }

    fn by_key<'a>(&'a self, principal: &'a Principal, key: &'a str) -> Answer<'a, Option<(RunId, String)>> {
        self.answer(|state| Ok(state.keys.get(&(principal.clone(), key.to_owned())).cloned()))
    }

    fn by_tail<'a>(&'a self, principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.answer(|state| {
            let named = |fits: &dyn Fn(&str, &str) -> bool| {
                let fits = |row: &&Row| {
                    principal.is_none_or(|p| *p == row.record.principal)
                        && fits(&row.record.run.to_string().replace('-', ""), &row.record.run.short())
                };
                state
                    .runs
                    .values()
                    .rev()
                    .filter(fits)
                    .take(limit as usize)
                    .map(|row| row.record.run)
                    .collect::<Vec<_>>()
            };
            let ends = named(&|id, _| tail.len() >= SHORT_LEN && id.ends_with(tail));
            Ok(if ends.is_empty() { named(&|id, short| id.starts_with(tail) || short.starts_with(tail)) } else { ends })
        })
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>> {
        self.answer(|state| {
            let fits = |record: &&Record| {
                query.principal.as_ref().is_none_or(|p| *p == record.principal)
                    && query.which.fits(record)
                    && query.before.is_none_or(|run| record.run < run)
            };
            let rows = state.runs.values().rev().map(|row| &row.record);
            Ok(rows.filter(fits).take(query.limit as usize).cloned().collect())
        })
    }

    fn unfinished(&self) -> Answer<'_, Vec<Record>> {
        self.answer(|state| {
            Ok(state.runs.values().map(|row| &row.record).filter(|r| !r.state.is_end()).cloned().collect())
        })
    }

    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>> {
        self.answer(|state| Ok(state.runs.get(&run).map(|row| row.history.clone()).unwrap_or_default()))
    }

    fn attempts(&self, run: RunId) -> Answer<'_, Vec<AttemptRow>> {
        self.answer(|state| Ok(state.runs.get(&run).map(|row| row.attempts.clone()).unwrap_or_default()))
    }
}
