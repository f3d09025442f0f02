//! The key pair of one side.
//!
//! The private key is a file of its owner alone, made at the first start, whole or not at all. The other side pins its
//! fingerprint, so a side that loses the file is a stranger afterwards, and a process that copies it is the same side.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use super::{channel::Fingerprint, tls};
use crate::durable;

/// A key pair and what TLS needs of it. Cheap to clone, never printed.
#[derive(Clone)]
pub struct Key(Arc<Pair>);

struct Pair {
    fingerprint: Fingerprint,
    private: PrivatePkcs8KeyDer<'static>,
    /// A certificate that says nothing of its holder, for a side that has no other.
    bare: CertificateDer<'static>,
    showing: Arc<tls::Showing>,
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot read or write the key {}: check that the folder is yours and has room", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The file holds something other than a key.
    #[error(
        "{} holds no key of this program: put it back from a backup; or move it away, and a new key is made, which the other side has to accept as that of a stranger",
        path.display()
    )]
    Content {
        /// The path.
        path: PathBuf,
    },
    /// The key could not be made or used.
    #[error("no key pair can be made")]
    Make(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Key {
    /// The key in the file, made when missing.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no key.
    pub fn ensure(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pem = Self::new_pem()?;
                // The process that makes the file first decides; what counts is the key in the file.
                durable::create_exclusive(path, pem.as_bytes()).map_err(failed)?;
                fs::read_to_string(path).map_err(failed)?
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(KeyError::Content { path: path.to_owned() });
            }
            Err(error) => return Err(failed(error)),
        };
        Self::from_pem(&text).map_err(|_| KeyError::Content { path: path.to_owned() })
    }

    /// A new key as text, to be stored.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new_pem() -> Result<String, KeyError> {
        Ok(KeyPair::generate().map_err(made)?.serialize_pem())
    }

    /// The key of this text, as [`Key::new_pem`] made it.
    ///
    /// # Errors
    /// When it is no key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::of(&KeyPair::from_pem(text).map_err(made)?)
    }

    /// A new key that is not stored.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Self::of(&KeyPair::generate().map_err(made)?)
    }

    fn of(pair: &KeyPair) -> Result<Self, KeyError> {
        let certificate = CertificateParams::new(Vec::new()).and_then(|p| p.self_signed(pair)).map_err(made)?;
        let certificate: CertificateDer<'static> = certificate.der().clone();
        let fingerprint = tls::fingerprint(&certificate).map_err(made)?;
        let private = PrivatePkcs8KeyDer::from(pair.serialize_der());
        let first = certified(vec![certificate.clone()], &private).map_err(made)?;
        let showing = Arc::new(tls::Showing::new(first));
        let client = Arc::new(tls::client(showing.clone()).map_err(made)?);
        let server = Arc::new(tls::server(showing.clone()).map_err(made)?);
        Ok(Self(Arc::new(Pair { fingerprint, private, bare: certificate, showing, client, server })))
    }

    /// Shows a certificate for this key from the next handshake on: DER, the certificate first and its root last.
    /// Connections that are there keep theirs.
    ///
    /// # Errors
    /// When it is no certificate, or is for another key.
    pub fn show(&self, chain: &[Vec<u8>]) -> Result<(), KeyError> {
        let chain = chain.iter().cloned().map(CertificateDer::from).collect();
        self.0.showing.show(certified(chain, &self.0.private).map_err(made)?);
        Ok(())
    }

    /// Shows this key alone from the next handshake on.
    ///
    /// # Errors
    /// Those of [`Key::show`]; it worked when the key was read.
    pub fn show_alone(&self) -> Result<(), KeyError> {
        self.show(&[self.0.bare.to_vec()])
    }

    /// The public key, as certificates have it (`SubjectPublicKeyInfo`, DER).
    pub fn public(&self) -> Vec<u8> {
        tls::key_info(&self.0.bare).unwrap_or_default()
    }

    /// The fingerprint of this key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    pub(super) fn client(&self) -> Arc<rustls::ClientConfig> {
        self.0.client.clone()
    }

    pub(super) fn server(&self) -> Arc<rustls::ServerConfig> {
        self.0.server.clone()
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    private: &PrivatePkcs8KeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, PrivateKeyDer::Pkcs8(private.clone_key()), &aws_lc_rs::default_provider())
}

fn made(error: impl std::error::Error + Send + Sync + 'static) -> KeyError {
    KeyError::Make(Box::new(error))
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.fingerprint.short())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = Key::ensure(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::ensure(&path).unwrap().fingerprint(), first.fingerprint());
        assert_ne!(Key::generate().unwrap().fingerprint(), first.fingerprint());
        assert!(!format!("{first:?}").contains("PRIVATE"));
        for wrong in [b"nonsense".as_slice(), b"\xff\xfe", b""] {
            fs::write(&path, wrong).unwrap();
            let error = Key::ensure(&path).unwrap_err();
            assert!(matches!(error, KeyError::Content { .. }), "{error:?}");
            assert!(error.to_string().contains("backup"), "{error}");
        }
    }
}
