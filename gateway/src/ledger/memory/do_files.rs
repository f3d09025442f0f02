//! The do-files of runs.

use longhaul_proto::{digest::ContentDigest, ids::RunId};

use super::{MemoryLedger, Row, State};
use crate::{
    ledger::{
        Answer, LedgerError,
        do_files::{DoFileStore, DoFiles, gateway_principal},
    },
    model::Principal,
};

impl State {
    fn note_do_files(&mut self, run: RunId, entered: DoFiles) -> Result<bool, LedgerError> {
        let Some(row) = self.runs.get(&run) else { return Ok(false) };
        let (who, kept) = (row.record.principal.clone(), entered.kept());
        if row.do_files.is_some() {
            // Two fetched them at once.
            self.sent_is_taken(&kept);
            return Ok(true);
        }
        self.may_hold_sent(&who, &kept)?;
        self.sent_is_taken(&kept);
        if let Some(row) = self.runs.get_mut(&run) {
            row.do_files = Some(entered);
        }
        Ok(true)
    }
}

impl State {
    /// Fails unless the blobs are the principal's to name, or the gateway has stored them of an agent.
    pub(super) fn may_hold_sent(&self, who: &Principal, digests: &[ContentDigest]) -> Result<(), LedgerError> {
        let mut missing = digests.to_vec();
        missing.retain(|digest| {
            let own = !who.is_none() && self.named(who, *digest).is_some();
            !own && self.named(&gateway_principal(), *digest).is_none()
        });
        if missing.is_empty() { Ok(()) } else { Err(LedgerError::NoSuchBlobs(missing)) }
    }

    /// What the gateway stored of an agent is the run's now.
    pub(super) fn sent_is_taken(&mut self, digests: &[ContentDigest]) {
        self.uploaded.retain(|(who, digest), _| *who != gateway_principal() || !digests.contains(digest));
    }

    /// Ended runs whose spool this agent keeps and of which something is not noted yet, oldest end first.
    pub(super) fn due(&self, agent_id: &str, limit: u32, unnoted: impl Fn(&Row) -> bool) -> Vec<RunId> {
        let due = self.runs.values().filter(|row| row.spool_held && unnoted(row));
        let due = due.filter(|row| row.record.agent_id() == agent_id);
        let mut due: Vec<_> = due.map(|row| (row.record.finished_ms, row.record.run)).collect();
        due.sort();
        due.into_iter().take(limit as usize).map(|(_, run)| run).collect()
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
        self.answer(|state| Ok(state.due(agent_id, limit, |row| row.do_files.is_none())))
    }
}
