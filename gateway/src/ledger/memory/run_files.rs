//! The files of runs.

use longhaul_proto::ids::RunId;

use super::{MemoryLedger, State};
use crate::ledger::{
    Answer, LedgerError,
    run_files::{RunFileStore, RunFiles},
};

impl State {
    fn note_files(&mut self, run: RunId, left: RunFiles) -> Result<bool, LedgerError> {
        let Some(row) = self.runs.get(&run) else { return Ok(false) };
        let (who, held) = (row.record.principal.clone(), left.held());
        if row.files.is_some() {
            self.sent_is_taken(&held);
            return Ok(true);
        }
        self.may_hold_sent(&who, &held)?;
        self.sent_is_taken(&held);
        if let Some(row) = self.runs.get_mut(&run) {
            row.files = Some(left);
        }
        Ok(true)
    }
}

impl RunFileStore for MemoryLedger {
    fn note_files(&self, run: RunId, left: RunFiles) -> Answer<'_, bool> {
        self.answer(|state| state.note_files(run, left))
    }

    fn files(&self, run: RunId) -> Answer<'_, Option<RunFiles>> {
        self.answer(|state| Ok(state.runs.get(&run).and_then(|row| row.files.clone())))
    }

    fn files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.answer(|state| Ok(state.due(agent_id, limit, |row| row.files.is_none())))
    }
}
