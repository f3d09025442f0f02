//! The do-files of runs.

use longhaul_proto::ids::RunId;

use super::{MemoryLedger, State};
use crate::ledger::{
    Answer, LedgerError,
    do_files::{DoFileStore, DoFiles, gateway_principal},
};

impl State {
    fn note_do_files(&mut self, run: RunId, entered: DoFiles) -> Result<bool, LedgerError> {
        let Some(row) = self.runs.get(&run) else { return Ok(false) };
        if row.do_files.is_some() {
            // Two fetched them at once.
            let twice = entered.kept();
            self.uploaded.retain(|(who, digest), _| *who != gateway_principal() || !twice.contains(digest));
            return Ok(true);
        }
        let (who, kept) = (row.record.principal.clone(), entered.kept());
        let mut missing = kept.clone();
        missing.retain(|digest| {
            let own = !who.is_none() && self.named(&who, *digest).is_some();
            !own && self.named(&gateway_principal(), *digest).is_none()
        });
        if !missing.is_empty() {
            return Err(LedgerError::NoSuchBlobs(missing));
        }
        for digest in kept {
            self.uploaded.remove(&(gateway_principal(), digest));
        }
        if let Some(row) = self.runs.get_mut(&run) {
            row.do_files = Some(entered);
        }
        Ok(true)
    }
}

impl DoFileStore for MemoryLedger {
    fn note_do_files(&self, run: RunId, entered: DoFiles) -> Answer<'_, bool> {
        self.answer(|state| state.note_do_files(run, entered))
    }

    fn do_files(&self, run: RunId) -> Answer<'_, Option<DoFiles>> {
        self.answer(|state| Ok(state.runs.get(&run).and_then(|row| row.do_files.clone())))
    }

    fn do_files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.answer(|state| {
            let due = state.runs.values().filter(|row| row.spool_held && row.do_files.is_none());
            let due = due.filter(|row| row.record.agent_id() == agent_id);
            let mut due: Vec<_> = due.map(|row| (row.record.finished_ms, row.record.run)).collect();
            due.sort();
            Ok(due.into_iter().take(limit as usize).map(|(_, run)| run).collect())
        })
    }
}
