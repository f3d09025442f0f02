//! When tokens were last used, kept over restarts: a small file beside the ledger, written at times and not with each request.
//!
//! A crash loses the last minute of it, which does no harm: the list is for people who look for tokens that lie idle.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::{durable, faults, tasks};
use serde::{Deserialize, Serialize};

use super::known_tokens::KnownTokens;

/// Between two writes.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// From when on uses are known, Unix ms.
    since_ms: i64,
    /// When each token was last shown, Unix ms, by the SHA-256 of its secret.
    used_ms: HashMap<String, i64>,
}

/// The file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenUses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    since_ms: AtomicI64,
    known: KnownTokens,
}

impl TokenUses {
    /// Reads what was kept below `home` into `known`. A file that cannot be read is made anew.
    pub fn open(home: &Path, known: &KnownTokens, now_ms: i64) -> Self {
        let file = home.join("token-uses.json");
        let read = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        let kept = read.filter(|_| !faults::bug("token_uses_forgotten"));
        let kept = kept.unwrap_or(Kept { since_ms: now_ms, ..Kept::default() });
        known.remember(kept.used_ms);
        Self(Arc::new(Inner { file, since_ms: AtomicI64::new(kept.since_ms), known: known.clone() }))
    }

    /// From when on uses are known, Unix ms.
    pub fn since_ms(&self) -> i64 {
        self.0.since_ms.load(Ordering::Relaxed)
    }

    /// Writes it from time to time, where something has changed.
    pub async fn keep(self) {
        let mut written = HashMap::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let now = self.0.known.all_used();
            if now != written {
                self.save().await;
                written = now;
            }
        }
    }

    /// Writes it.
    pub async fn save(&self) {
        let kept = Kept { since_ms: self.since_ms(), used_ms: self.0.known.all_used() };
        let file = self.0.file.clone();
        let write = move || durable::replace_unsynced(&file, &serde_json::to_vec(&kept).unwrap_or_default());
        match tasks::blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "uses of tokens cannot be kept"),
            Err(error) => tracing::warn!(%error, "uses of tokens cannot be kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn uses_are_known_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let known = KnownTokens::default();
        let uses = TokenUses::open(home.path(), &known, 100);
        known.remember([("a".to_owned(), 150)].into());
        uses.save().await;
        let after = KnownTokens::default();
        let uses = TokenUses::open(home.path(), &after, 900);
        assert_eq!((uses.since_ms(), after.last_used("a"), after.last_used("b")), (100, Some(150), None));
        after.remember([("a".to_owned(), 120)].into());
        assert_eq!(after.last_used("a"), Some(150), "the latest counts");
        fs::write(home.path().join("token-uses.json"), "{").unwrap();
        assert_eq!(TokenUses::open(home.path(), &KnownTokens::default(), 7).since_ms(), 7);
    }
}
