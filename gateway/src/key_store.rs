//! The gateway's own secrets: each is made at the first start, and is the same at every later one.
//!
//! A [`KeyStore`] says where they are. Today that is the data folder ([`Folder`]): one file for each, readable by its
//! user alone. Several gateways on one ledger would share a store there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::{durable, hex, ids, unhex};

/// Where secrets are kept.
pub trait KeyStore: Send + Sync {
    /// The text of the secret of this name; a missing one is made with `make`. What counts is what is stored: of several
    /// processes that make it at once, all get the same one.
    ///
    /// # Errors
    /// When it cannot be read, made or stored.
    fn ensure(&self, name: &str, make: &dyn Fn() -> io::Result<String>) -> Result<String, KeyStoreError>;

    /// Where a person finds the secret of this name.
    fn place(&self, name: &str) -> PathBuf;
}

/// Why a secret is not there.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// It could not be read or stored.
    #[error("cannot read or write {}: check that the folder is yours and has room", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// What is there is no secret.
    #[error("{} is not what this program wrote: move it away, and a new one is made", path.display())]
    Content {
        /// Where it is.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("cannot make a secret")]
    Random(#[source] io::Error),
}

/// One file in a folder for each secret.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The secrets in this folder, which exists.
    pub fn new(data: &Path) -> Self {
        Self(data.to_owned())
    }
}

impl KeyStore for Folder {
    fn ensure(&self, name: &str, make: &dyn Fn() -> io::Result<String>) -> Result<String, KeyStoreError> {
        let path = self.place(name);
        let failed = |source| KeyStoreError::File { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(KeyStoreError::Content { path }),
            Err(error) => return Err(failed(error)),
        }
        let made = make().map_err(KeyStoreError::Random)?;
        // The process that creates the file first decides: an agent in the same folder may be about to read it.
        durable::create_exclusive(&path, made.as_bytes()).map_err(failed)?;
        fs::read_to_string(&path).map_err(failed)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// A key of 32 random bytes, stored as hex.
///
/// # Errors
/// When it cannot be read or stored, or is no key.
pub(crate) fn key(keys: &dyn KeyStore, name: &str) -> Result<[u8; 32], KeyStoreError> {
    let text = keys.ensure(name, &random)?;
    unhex(text.trim()).ok_or_else(|| KeyStoreError::Content { path: keys.place(name) })
}

/// A line with 32 random bytes as hex.
///
/// # Errors
/// When the system gives none.
pub(crate) fn random() -> io::Result<String> {
    ids::secret::<32>().map(|bytes| format!("{}\n", hex(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let keys = Folder::new(data.path());
        let made = key(&keys, "some-key").unwrap();
        assert_eq!(key(&keys, "some-key").unwrap(), made);
        assert_ne!(key(&keys, "another-key").unwrap(), made);
        let mode = fs::metadata(keys.place("some-key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for damaged in [&b"short"[..], &[0xff; 64]] {
            fs::write(keys.place("some-key"), damaged).unwrap();
            assert!(matches!(key(&keys, "some-key"), Err(KeyStoreError::Content { .. })));
        }
    }
}
