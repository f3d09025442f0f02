//! Which uploads are being received now: each by one request at a time.
//!
//! What a request knew of the bytes that it left is remembered for the next one, so that an upload in many pieces is
//! hashed once and not from its beginning for each of them. Only the latest are remembered; of others the file is read.

use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::digest::GrowingDigest;

/// Most interrupted uploads of which the digest is remembered.
const REMEMBERED: usize = 256;

/// The files that are being written. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    taken: HashSet<String>,
    /// The oldest first.
    left: VecDeque<(String, Hashed)>,
}

/// The first bytes of a file, of which the digest was made.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    /// How many.
    pub(super) bytes: u64,
    /// Their digest, so far.
    pub(super) digest: GrowingDigest,
}

impl Hashed {
    /// Takes the bytes that follow.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        self.bytes += piece.len() as u64;
    }
}

/// The right to write one file, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    name: String,
    /// What is known of the bytes that are there.
    pub(super) hashed: Hashed,
}

impl Claims {
    /// Takes a file; `None` = another request has it.
    pub(super) fn take(&self, name: &str) -> Option<Claim> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.taken.insert(name.to_owned()) {
            return None;
        }
        let left = state.left.iter().position(|(left, _)| left == name);
        let hashed = left.and_then(|at| state.left.remove(at)).map(|(_, hashed)| hashed).unwrap_or_default();
        Some(Claim { claims: self.clone(), name: name.to_owned(), hashed })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (name, hashed) = (mem::take(&mut self.name), mem::take(&mut self.hashed));
        let mut state = self.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken.remove(&name);
        if hashed.bytes > 0 {
            state.left.push_back((name, hashed));
            if state.left.len() > REMEMBERED {
                state.left.pop_front();
            }
        }
    }
}
