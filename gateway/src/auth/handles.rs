//! Task handles: names of a run that cannot be guessed and that only one principal can use.
//!
//! A run id is a name and no secret, so a handle is the run id with a keyed digest over it and the principal. The key
//! is in the data folder; with it every handle ever given can be checked, after a restart too. There is no table
//! of handles: nothing is written when one is given, nothing expires, and a stolen ledger holds none. If the key is
//! lost, the handles are lost, but no run is.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use longhaul_proto::{digest::KeyedDigest, hex, ids::RunId};
use subtle::ConstantTimeEq;

use crate::{
    key_store::{self, KeyStore, KeyStoreError},
    model::Principal,
};

/// Name of the file with the key.
pub const TASK_KEY: &str = "task-key";

/// Prefix of every handle, so that people and logs tell it from a run id.
const PREFIX: &str = "lht_";

/// Names the format, and keeps the digest from meaning anything elsewhere.
const DOMAIN: &[u8] = b"longhaul task handle 1\0";

/// Bytes of the digest that stand in a handle: 128 bits, checked online only.
const SEAL: usize = 16;

/// Run, one tag byte, digest.
const LEN: usize = 16 + 1 + SEAL;

/// The key that handles are made and checked with. Cheap to clone.
#[derive(Clone)]
pub struct TaskKey(Arc<[u8; 32]>);

impl std::fmt::Debug for TaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskKey(..)")
    }
}

impl TaskKey {
    /// The key named [`TASK_KEY`], made when missing.
    ///
    /// # Errors
    /// When it cannot be read or stored, or is no key.
    pub fn ensure(keys: &dyn KeyStore) -> Result<Self, KeyStoreError> {
        key_store::key(keys, TASK_KEY).map(|key| Self(Arc::new(key)))
    }

    /// The handle of a run for a principal. [`TaskKey::open`] gives `tag` back. The same three values make the same
    /// handle, so a repeated call gets the task it has.
    pub fn seal(&self, run: RunId, tag: u8, principal: &Principal) -> String {
        let mut bytes = [0; LEN];
        bytes[..16].copy_from_slice(run.as_bytes());
        bytes[16] = tag;
        let seal = self.digest(&bytes[..17], principal);
        bytes[17..].copy_from_slice(&seal);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Run and tag of a handle that was given to this principal; `None` for any other text.
    pub fn open(&self, handle: &str, principal: &Principal) -> Option<(RunId, u8)> {
        let bytes = URL_SAFE_NO_PAD.decode(handle.strip_prefix(PREFIX)?).ok().filter(|bytes| bytes.len() == LEN)?;
        let (named, seal) = bytes.split_at(17);
        if !bool::from(self.digest(named, principal).ct_eq(seal)) {
            return None;
        }
        let run = hex(&named[..16]).parse().ok()?;
        Some((run, named[16]))
    }

    fn digest(&self, named: &[u8], principal: &Principal) -> [u8; SEAL] {
        let mut mac = KeyedDigest::new(&*self.0);
        mac.update(DOMAIN);
        mac.update(named);
        // A local principal by its subject alone, as in the handles that were given before there were issuers.
        let issuer = principal.wire_issuer();
        if !issuer.is_empty() {
            mac.update(&[0]);
            mac.update(&(issuer.len() as u64).to_le_bytes());
            mac.update(issuer.as_bytes());
        }
        mac.update(principal.subject().as_bytes());
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&mac.finish()[..SEAL]);
        seal
    }
}

#[cfg(test)]
mod tests {

    use longhaul_proto::ids::Ids;

    use super::*;

    #[test]
    fn a_handle_is_of_one_run_one_principal_and_one_key() {
        let key = TaskKey(Arc::new([7; 32]));
        let (run, other) = (Ids::system().run(), Ids::system().run());
        let anna = Principal::local("anna");
        let handle = key.seal(run, 2, &anna);
        assert_eq!(key.open(&handle, &anna), Some((run, 2)));
        assert_eq!(key.seal(run, 2, &anna), handle);
        assert!(handle.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)), "fits a header: {handle}");

        assert_eq!(key.open(&handle, &Principal::local("ben")), None, "another principal");
        assert_eq!(key.open(&handle, &Principal::new("idp", "anna")), None, "of another issuer");
        let theirs = key.seal(run, 2, &Principal::new("idp", "anna"));
        assert_eq!(key.open(&theirs, &Principal::new("idp", "anna")), Some((run, 2)));
        assert_eq!(key.open(&theirs, &anna), None);
        assert_eq!(TaskKey(Arc::new([8; 32])).open(&handle, &anna), None, "another key");
        let forged = |bytes: &mut [u8]| format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let whole = URL_SAFE_NO_PAD.decode(&handle[PREFIX.len()..]).unwrap();
        for at in 0..LEN {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(key.open(&forged(&mut bytes), &anna), None, "byte {at}");
        }
        let mut bytes = whole.clone();
        bytes[..16].copy_from_slice(other.as_bytes());
        assert_eq!(key.open(&forged(&mut bytes), &anna), None, "another run");
        for text in ["", PREFIX, &handle[1..], &handle[..handle.len() - 1], &run.to_string(), "lht_é"] {
            assert_eq!(key.open(text, &anna), None, "{text}");
        }
    }

    #[test]
    fn a_handle_outlives_the_gateway() {
        let data = tempfile::tempdir().unwrap();
        let keys = key_store::Folder::new(data.path());
        let run = Ids::system().run();
        let handle = TaskKey::ensure(&keys).unwrap().seal(run, 0, &Principal::local("me"));
        assert_eq!(TaskKey::ensure(&keys).unwrap().open(&handle, &Principal::local("me")), Some((run, 0)));
    }
}
