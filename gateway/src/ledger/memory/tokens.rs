//! Bearer tokens.

use std::collections::BTreeSet;

use super::MemoryLedger;
use crate::{
    ledger::{Answer, Rotation, SecretBefore, TokenRecord, TokenStore},
    model::Principal,
};

impl TokenStore for MemoryLedger {
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
        self.answer(|state| Ok(state.tokens.values().find(|t| t.has(sha256)).cloned()))
    }

    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>> {
        self.answer(|state| Ok(state.tokens.values().cloned().collect()))
    }

    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool> {
        self.answer(|state| {
            let Some(token) = state.tokens.get_mut(name).filter(|t| t.revoked_ms.is_none()) else { return Ok(false) };
            token.revoked_ms = Some(at_ms);
            Ok(true)
        })
    }

    fn token_rotate<'a>(&'a self, name: &'a str, rotation: Rotation) -> Answer<'a, Option<TokenRecord>> {
        self.answer(|state| {
            let Some(token) = state.tokens.get_mut(name).filter(|t| t.revoked_ms.is_none()) else { return Ok(None) };
            // A commit whose answer was lost is tried again.
            if token.sha256 != rotation.sha256 {
                let until_ms = token.expires_ms.map_or(rotation.before_until_ms, |at| at.min(rotation.before_until_ms));
                let before = std::mem::replace(&mut token.sha256, rotation.sha256);
                token.before = Some(SecretBefore { sha256: before, until_ms });
                (token.expires_ms, token.rotated_ms) = (rotation.expires_ms, Some(rotation.at_ms));
            }
            Ok(Some(token.clone()))
        })
    }

    fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>> {
        self.answer(|state| {
            let tokens = state.tokens.values().map(|token| &token.principal);
            let owners = state.runs.values().map(|row| &row.record.principal).filter(|owner| !owner.is_none());
            let all: BTreeSet<_> = tokens.chain(owners).filter(|p| p.subject() == subject).collect();
            Ok(all.into_iter().cloned().collect())
        })
    }
}
