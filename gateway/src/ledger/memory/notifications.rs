//! Who is told of the ends of runs, and what is still to be told.

use longhaul_proto::{ids::RunId, state::RunState};

use super::{MemoryLedger, State};
use crate::{
    ledger::{
        Answer, Notification, NotificationKey, NotificationState, NotificationStore, ReceiverAdded, ReceiverRecord,
        Signing, SigningChange, Tried, Waiting, notifications::RUN_RECEIVERS,
    },
    model::Principal,
};

impl State {
    /// Writes what is told of an end.
    pub(super) fn tell_end(&mut self, run: RunId, n: u32, at_ms: i64, body: &str) {
        let Some(row) = self.runs.get(&run) else { return };
        let principal = row.record.principal.clone();
        let all = self.receivers.range((principal.clone(), String::new())..);
        let own = all.take_while(|((of, _), _)| *of == principal).map(|((_, address), _)| address.clone());
        let addresses: Vec<String> = own.chain(row.receivers.iter().cloned()).collect();
        for address in addresses {
            let key = NotificationKey { run, n, address };
            self.notifications.entry(key.clone()).or_insert_with(|| Notification {
                key,
                principal: principal.clone(),
                made_ms: at_ms,
                due_ms: at_ms,
                tries: 0,
                state: NotificationState::Waiting,
                ended_ms: 0,
                problem: String::new(),
                body: body.to_owned(),
            });
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &Notification> {
        self.notifications.values().filter(|one| one.state == NotificationState::Waiting)
    }
}

impl NotificationStore for MemoryLedger {
    fn tell(&self, run: RunId, receivers: Vec<String>) -> Answer<'_, bool> {
        self.answer(|state| {
            let open = |state: RunState| !state.is_end() || state == RunState::Lost;
            let Some(row) = state.runs.get_mut(&run).filter(|row| open(row.record.state)) else { return Ok(false) };
            for address in receivers {
                if row.receivers.len() < RUN_RECEIVERS as usize {
                    row.receivers.insert(address);
                }
            }
            Ok(true)
        })
    }

    fn receiver_add(&self, receiver: ReceiverRecord, most: u32) -> Answer<'_, ReceiverAdded> {
        self.answer(|state| {
            let key = (receiver.principal.clone(), receiver.address.clone());
            if state.receivers.contains_key(&key) {
                return Ok(ReceiverAdded::Known);
            }
            if state.receivers.keys().filter(|(of, _)| *of == receiver.principal).count() >= most as usize {
                return Ok(ReceiverAdded::Full);
            }
            state.receivers.insert(key, receiver);
            Ok(ReceiverAdded::New)
        })
    }

    fn receiver_remove(&self, principal: Principal, address: String) -> Answer<'_, bool> {
        self.answer(|state| Ok(state.receivers.remove(&(principal, address)).is_some()))
    }

    fn receivers<'a>(&'a self, principal: &'a Principal) -> Answer<'a, Vec<ReceiverRecord>> {
        self.answer(|state| Ok(state.receivers.values().filter(|one| one.principal == *principal).cloned().collect()))
    }

    fn notifications_due(&self, now_ms: i64, limit: u32) -> Answer<'_, Vec<Notification>> {
        self.answer(|state| {
            let mut due: Vec<_> = state.waiting().filter(|one| one.due_ms <= now_ms).cloned().collect();
            due.sort_by_key(|one| one.due_ms);
            due.truncate(limit as usize);
            Ok(due)
        })
    }

    fn notifications_waiting(&self) -> Answer<'_, Waiting> {
        self.answer(|state| {
            Ok(Waiting {
                count: state.waiting().count() as u64,
                oldest_ms: state.waiting().map(|one| one.made_ms).min().unwrap_or_default(),
                next_ms: state.waiting().map(|one| one.due_ms).min().unwrap_or_default(),
            })
        })
    }

    fn notification_tried(&self, of: NotificationKey, tried: Tried) -> Answer<'_, bool> {
        self.answer(|state| {
            let waits = |one: &&mut Notification| one.state == NotificationState::Waiting;
            let Some(one) = state.notifications.get_mut(&of).filter(waits) else { return Ok(false) };
            one.ended_ms = if tried.state == NotificationState::Waiting { 0 } else { tried.at_ms };
            (one.state, one.due_ms, one.tries, one.problem) = (tried.state, tried.due_ms, tried.tries, tried.problem);
            Ok(true)
        })
    }

    fn notifications_of<'a>(&'a self, principal: &'a Principal, limit: u32) -> Answer<'a, Vec<Notification>> {
        self.answer(|state| {
            let own = state.notifications.values().filter(|one| one.principal == *principal);
            let mut own: Vec<_> = own.cloned().collect();
            own.sort_by(|a, b| (b.made_ms, &b.key).cmp(&(a.made_ms, &a.key)));
            own.truncate(limit as usize);
            Ok(own)
        })
    }

    fn notification_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        self.answer(|state| {
            let old = |one: &&Notification| one.ended_ms > 0 && one.ended_ms < before_ms;
            let mut old: Vec<_> =
                state.notifications.values().filter(old).map(|one| (one.ended_ms, one.key.clone())).collect();
            old.sort();
            old.truncate(limit as usize);
            for (_, key) in &old {
                state.notifications.remove(key);
            }
            Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
        })
    }

    fn signing(&self, principal: Principal, change: SigningChange) -> Answer<'_, Signing> {
        self.answer(|state| {
            let (SigningChange::Keep { salt, at_ms }
            | SigningChange::Show { salt, at_ms }
            | SigningChange::Rotate { salt, at_ms, .. }) = &change;
            let made = || Signing { salt: salt.clone(), made_ms: *at_ms, ..Signing::default() };
            let kept = state.signing.entry(principal).or_insert_with(made);
            match &change {
                SigningChange::Keep { .. } => Ok(kept.clone()),
                SigningChange::Show { .. } => {
                    let before = kept.clone();
                    if kept.shown_ms == 0 {
                        kept.shown_ms = *at_ms;
                    }
                    Ok(before)
                }
                SigningChange::Rotate { before_until_ms, .. } => {
                    if kept.salt != *salt {
                        kept.before = std::mem::replace(&mut kept.salt, salt.clone());
                        kept.before_until_ms = *before_until_ms;
                        kept.made_ms = *at_ms;
                    }
                    kept.shown_ms = *at_ms;
                    Ok(kept.clone())
                }
            }
        })
    }
}
