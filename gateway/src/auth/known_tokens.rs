//! Tokens that were looked up just now, so that a client's next request does not wait for the ledger.
//!
//! A revoked token is refused at once: revoking forgets all that is known, and what was read before is not taken after.
//! Another process on the same ledger has no such word, so nothing is known for longer than [`MAX_AGE`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{clock::Clock, faults};

use crate::ledger::{LedgerError, TokenRecord, TokenStore};

/// How long a token is taken for what the ledger said.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Most tokens that are known at a time.
const MOST: usize = 1024;

/// The known tokens of one gateway. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KnownTokens(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By SHA-256 (hex), with the moment of the look-up.
    tokens: HashMap<String, (Duration, TokenRecord)>,
    /// Counts the times when all was forgotten.
    forgotten: u64,
    /// When each was last shown, Unix ms, by SHA-256 (hex): one entry for each token that the ledger has.
    used: HashMap<String, i64>,
}

impl KnownTokens {
    /// The token with this SHA-256 (hex), revoked or expired ones too.
    ///
    /// # Errors
    /// When the ledger had to be asked, and failed.
    pub async fn find(
        &self,
        store: &dyn TokenStore,
        clock: &Clock,
        sha256: &str,
    ) -> Result<Option<TokenRecord>, LedgerError> {
        let asked = clock.monotonic();
        let forgotten = {
            let mut known = self.lock();
            if let Some((at, record)) = known.tokens.get(sha256)
                && asked.saturating_sub(*at) < MAX_AGE
            {
                let record = record.clone();
                if let Some(used) = known.used.get_mut(sha256) {
                    *used = clock.unix_ms();
                }
                return Ok(Some(record));
            }
            known.forgotten
        };
        let found = store.token_find(sha256).await?;
        if let Some(record) = &found {
            let mut known = self.lock();
            known.used.insert(sha256.to_owned(), clock.unix_ms());
            if known.tokens.len() >= MOST {
                known.tokens.clear();
            }
            if known.forgotten == forgotten || faults::bug("tokens_known_too_late") {
                known.tokens.insert(sha256.to_owned(), (asked, record.clone()));
            }
        }
        Ok(found)
    }

    /// When a token was last shown, Unix ms.
    pub fn last_used(&self, sha256: &str) -> Option<i64> {
        self.lock().used.get(sha256).copied()
    }

    /// When each was last shown, by SHA-256.
    pub fn all_used(&self) -> HashMap<String, i64> {
        self.lock().used.clone()
    }

    /// What earlier processes knew of uses.
    pub fn remember(&self, used: HashMap<String, i64>) {
        let mut known = self.lock();
        for (sha256, at) in used {
            let latest = known.used.entry(sha256).or_insert(at);
            *latest = (*latest).max(at);
        }
    }

    /// A token was revoked, in the ledger already.
    pub fn forget(&self) {
        if faults::bug("revoked_tokens_known") {
            return;
        }
        let mut known = self.lock();
        known.tokens.clear();
        known.forgotten += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use longhaul_proto::clock::Source;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        ledger::{Answer, Rotation, memory::MemoryLedger},
        model::{Principal, Scopes, TokenLimits},
    };

    /// Counts look-ups; each answers what was true when it was begun, once there is a permit.
    struct Slow {
        ledger: MemoryLedger,
        asked: AtomicUsize,
        answers: Semaphore,
    }

    impl TokenStore for Slow {
        fn token_add(&self, token: TokenRecord) -> Answer<'_, bool> {
            self.ledger.token_add(token)
        }
        fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>> {
            async move {
                let found = self.ledger.token_find(sha256).await;
                self.asked.fetch_add(1, Ordering::SeqCst);
                self.answers.acquire().await.unwrap().forget();
                found
            }
            .boxed()
        }
        fn token_list(&self) -> Answer<'_, Vec<TokenRecord>> {
            self.ledger.token_list()
        }
        fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool> {
            self.ledger.token_revoke(name, at_ms)
        }
        fn token_rotate<'a>(&'a self, name: &'a str, rotation: Rotation) -> Answer<'a, Option<TokenRecord>> {
            self.ledger.token_rotate(name, rotation)
        }
        fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>> {
            self.ledger.principals_called(subject)
        }
    }

    #[derive(Clone, Default)]
    struct Hands(Arc<Mutex<Duration>>);

    impl Source for Hands {
        fn unix_ms(&self) -> i64 {
            1
        }
        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    /// Whether a token is still taken for good after it was revoked: by a request that comes then, and by one that comes
    /// after a look-up which was under way meanwhile.
    async fn taken_after_revoking(faults: &str) -> [bool; 2] {
        #[cfg(feature = "faults")]
        let _faults = faults::enter(faults);
        #[cfg(not(feature = "faults"))]
        assert_eq!(faults, "");
        let store = Slow { ledger: MemoryLedger::new("c"), asked: AtomicUsize::new(0), answers: Semaphore::new(0) };
        let token = |name: &str| TokenRecord {
            name: name.to_owned(),
            principal: Principal::new("local", name),
            sha256: name.to_owned(),
            scopes: Scopes::USE,
            limits: TokenLimits::default(),
            created_ms: 1,
            expires_ms: None,
            revoked_ms: None,
            rotated_ms: None,
            before: None,
        };
        let (hands, known) = (Hands::default(), KnownTokens::default());
        let clock = Clock::from_source(hands.clone());
        let good = async |name: &str| {
            store.answers.add_permits(1);
            let found = known.find(&store, &clock, name).await.unwrap().unwrap();
            store.answers.forget_permits(1);
            found.revoked_ms.is_none()
        };
        for name in ["ana", "ben"] {
            assert!(store.token_add(token(name)).await.unwrap());
        }
        assert!(good("ana").await && good("ana").await);
        assert_eq!(store.asked.load(Ordering::SeqCst), 1, "the second request waited for nothing");
        *hands.0.lock().unwrap() += MAX_AGE;
        assert!(good("ana").await);
        assert_eq!(store.asked.load(Ordering::SeqCst), 2, "nothing is known for long");
        let revoke = async |name: &'static str| {
            assert!(store.token_revoke(name, 2).await.unwrap());
            known.forget();
        };
        revoke("ana").await;
        let first = good("ana").await;
        let seen = store.asked.load(Ordering::SeqCst);
        let late = async {
            while store.asked.load(Ordering::SeqCst) == seen {
                tokio::task::yield_now().await;
            }
            revoke("ben").await;
            store.answers.add_permits(1);
        };
        let (under_way, ()) = tokio::join!(known.find(&store, &clock, "ben"), late);
        assert!(under_way.unwrap().unwrap().revoked_ms.is_none(), "it was asked before");
        [first, good("ben").await]
    }

    #[tokio::test]
    async fn a_revoked_token_is_known_no_more() {
        assert_eq!(taken_after_revoking("").await, [false, false]);
        #[cfg(feature = "faults")]
        {
            assert_eq!(taken_after_revoking("bug=revoked_tokens_known").await, [true, true]);
            assert_eq!(taken_after_revoking("bug=tokens_known_too_late").await, [false, true]);
        }
    }
}
