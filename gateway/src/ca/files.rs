//! A certificate and its key in files of the operator's own, which others renew.
//!
//! The two are seldom exchanged in one step: they are read when nothing has changed for one look at them.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use longhaul_proto::{private::NotPrivate, transport::Certified};

use super::TlsError;

/// What changes when a file is exchanged: its inode, length and time of change, seconds and nanoseconds.
type Stamp = Option<(u64, u64, i64, i64)>;

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The stamps of both files at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps([Stamp; 2]);

impl Files {
    /// These files.
    pub(super) fn new(certificate: &Path, key: &Path) -> Self {
        Self { certificate: certificate.to_owned(), key: key.to_owned() }
    }

    /// Their present stamps. Links are followed: tools that renew certificates exchange links.
    pub(super) fn stamps(&self) -> Stamps {
        let of = |path: &Path| fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
        Stamps([of(&self.certificate), of(&self.key)])
    }

    /// Reads both; `now_s` is the time, Unix seconds.
    ///
    /// # Errors
    /// When one cannot be read, others can read the key, the two are no pair, or the certificate's end has passed.
    pub(super) fn read(&self, now_s: i64) -> Result<Certified, TlsError> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        let chain = read(&self.certificate)?;
        let mode = fs::metadata(&self.key).map(|meta| meta.mode() & 0o7777).unwrap_or_default();
        // A group may have been made for it, as Debian's `ssl-cert`.
        if mode & 0o007 != 0 {
            return Err(NotPrivate::Open { path: self.key.clone(), what: "read", mode, chmod: "o=" }.into());
        }
        let key = read(&self.key)?;
        let certified = Certified::from_pem(&chain, &key).map_err(|source| TlsError::Files {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })?;
        if certified.validity.until_s < now_s {
            return Err(TlsError::Expired(self.certificate.clone()));
        }
        Ok(certified)
    }
}
