//! Invitations of agents.

use super::MemoryLedger;
use crate::ledger::{Answer, InvitationRecord, InvitationStore, KEEP_INVITATIONS_MS, PinRecord};

impl InvitationStore for MemoryLedger {
    fn invite(&self, invitation: InvitationRecord) -> Answer<'_, ()> {
        self.answer(|state| {
            state.invitations.retain(|old| old.ends_ms >= invitation.made_ms - KEEP_INVITATIONS_MS);
            if state.invitations.iter().all(|known| known.digest != invitation.digest) {
                state.invitations.push(invitation);
            }
            state.invitations.sort_by(|a, b| (a.made_ms, &a.digest).cmp(&(b.made_ms, &b.digest)));
            Ok(())
        })
    }

    fn invitations(&self) -> Answer<'_, Vec<InvitationRecord>> {
        self.answer(|state| Ok(state.invitations.clone()))
    }

    fn invitation(&self, digest: String) -> Answer<'_, Option<InvitationRecord>> {
        self.answer(|state| Ok(state.invitations.iter().find(|known| known.digest == digest).cloned()))
    }

    fn withdraw_invitation(&self, digest: String, at_ms: i64) -> Answer<'_, bool> {
        self.answer(|state| {
            let unused = |of: &&mut InvitationRecord| of.digest == digest && of.used.is_none();
            let Some(found) = state.invitations.iter_mut().find(unused) else { return Ok(false) };
            found.withdrawn_ms.get_or_insert(at_ms);
            Ok(true)
        })
    }

    fn use_invitation(&self, digest: String, pin: PinRecord) -> Answer<'_, bool> {
        self.answer(|state| {
            let open = |of: &&mut InvitationRecord| of.digest == digest && of.is_open(&pin.key, pin.at_ms);
            let Some(found) = state.invitations.iter_mut().find(open) else { return Ok(false) };
            found.used.get_or_insert((pin.at_ms, pin.key));
            state.pins.insert(pin.key, pin);
            Ok(true)
        })
    }
}
