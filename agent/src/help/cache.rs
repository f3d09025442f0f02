//! Topics that were read, the last used ones.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::below::State;
use crate::stata::smcl::Document;

/// Most topics kept.
const MOST: usize = 100;
/// Most text kept, bytes.
const BYTES: usize = 16 << 20;

/// A file and its state. The engine's folders are fixed while the agent runs, so that a path is one of its version.
type Key = (PathBuf, State);

#[derive(Debug, Default)]
pub(super) struct Cache {
    topics: HashMap<PathBuf, (State, Arc<Document>, u64)>,
    bytes: usize,
    uses: u64,
}

impl Cache {
    /// The topic, if its file is as it was.
    pub(super) fn get(&mut self, (path, state): &Key) -> Option<Arc<Document>> {
        self.uses += 1;
        let (kept, document, used) = self.topics.get_mut(path)?;
        if kept != state {
            return None;
        }
        *used = self.uses;
        Some(document.clone())
    }

    /// Keeps a topic, in place of those not used for longest.
    pub(super) fn put(&mut self, (path, state): Key, document: Arc<Document>) {
        self.drop_one(&path);
        self.bytes += document.text.len();
        self.topics.insert(path, (state, document, self.uses));
        while self.topics.len() > MOST || self.bytes > BYTES {
            let oldest = self.topics.iter().min_by_key(|(_, (.., used))| *used).map(|(path, _)| path.clone());
            match oldest {
                Some(path) => self.drop_one(&path),
                None => break,
            }
        }
    }

    fn drop_one(&mut self, path: &PathBuf) {
        if let Some((_, document, _)) = self.topics.remove(path) {
            self.bytes -= document.text.len();
        }
    }
}
