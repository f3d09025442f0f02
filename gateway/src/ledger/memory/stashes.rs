//! Stashed state of the HTTP and MCP layers.

use super::MemoryLedger;
use crate::ledger::{Answer, Stash, StashStore};

impl StashStore for MemoryLedger {
    fn stash_put(&self, stash: Stash) -> Answer<'_, ()> {
        self.answer(|state| {
            state.stashes.insert((stash.kind.clone(), stash.name.clone()), stash);
            Ok(())
        })
    }

    fn stash_get<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, Option<Stash>> {
        self.answer(|state| Ok(state.stashes.get(&(kind.to_owned(), name.to_owned())).cloned()))
    }

    fn stash_remove<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, ()> {
        self.answer(|state| {
            state.stashes.remove(&(kind.to_owned(), name.to_owned()));
            Ok(())
        })
    }

    fn stash_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        self.answer(|state| {
            state.stashes.retain(|_, stash| stash.created_ms >= before_ms);
            let mut ages: Vec<_> = state.stashes.iter().map(|(key, stash)| (stash.created_ms, key.clone())).collect();
            ages.sort();
            let over = ages.len().saturating_sub(most as usize);
            for (_, key) in ages.drain(..over) {
                state.stashes.remove(&key);
            }
            Ok(())
        })
    }
}
