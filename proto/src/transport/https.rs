//! TLS for clients, on the port that agents use too: a certificate in the usual way, and no key of the client's.
//!
//! The certificate that is shown can be exchanged at any time; a connection keeps the one of its handshake.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    CertificateError, Error, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};

use crate::certificate::{self, Validity};

/// Protocols inside, in our order.
const SPOKEN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate with its chain and its private key. Never printed whole.
#[derive(Clone)]
pub struct Certified {
    key: Arc<CertifiedKey>,
    /// From when to when the certificate holds.
    pub validity: Validity,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
}

impl fmt::Debug for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certified({})", self.fingerprint)
    }
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotCertified {
    /// No certificate in the text.
    #[error("there is no certificate in PEM form (`-----BEGIN CERTIFICATE-----`) in it")]
    Certificate,
    /// No private key in the text.
    #[error("there is no private key in PEM form (`-----BEGIN PRIVATE KEY-----`) in it, or it is encrypted")]
    Key,
    /// The key is another's.
    #[error("certificate and private key do not belong together")]
    Pair,
    /// The TLS library does not take them.
    #[error("they cannot be used")]
    Unusable(#[source] Error),
}

impl Certified {
    /// From PEM texts: the certificate first and then what leads to its root, and the key.
    ///
    /// # Errors
    /// See [`NotCertified`].
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, NotCertified> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| NotCertified::Certificate)?;
        let first = chain.first().ok_or(NotCertified::Certificate)?;
        let validity = certificate::validity(first).ok_or(NotCertified::Certificate)?;
        let fingerprint = certificate::fingerprint(first);
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| NotCertified::Key)?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => NotCertified::Pair,
            other => NotCertified::Unusable(other),
        })?;
        Ok(Self { key: Arc::new(key), validity, fingerprint })
    }
}

#[derive(Debug)]
struct Shown(RwLock<Certified>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

/// How clients are answered that speak TLS. Cheap to clone.
#[derive(Clone)]
pub struct Https {
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Https({:?})", self.shown())
    }
}

impl Https {
    /// Shows this certificate.
    ///
    /// # Errors
    /// When the TLS library is not as it was built.
    pub fn new(first: Certified) -> Result<Self, Error> {
        let shown = Arc::new(Shown(RwLock::new(first)));
        // The names in a handshake do not matter: there is one certificate for all of them.
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = SPOKEN.map(<[u8]>::to_vec).to_vec();
        Ok(Self { shown, config: Arc::new(config) })
    }

    /// Shows this certificate from now on; open connections are left alone.
    pub fn show(&self, next: Certified) {
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// What is shown now.
    pub fn shown(&self) -> Certified {
        self.shown.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

/// Why a client does not go on after a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// No root that it trusts has issued the certificate.
    Issuer,
    /// It holds no longer.
    Expired,
    /// It does not hold yet; most likely a clock is wrong.
    NotYet,
    /// It is for other names.
    Name,
    /// Anything else that is wrong with it.
    Other,
    /// The other side speaks TLS to agents only, or none at all.
    NoTls,
}

/// What an error of a connection says of the other side's certificate; `None` = it is about something else.
pub fn distrust(error: &(dyn std::error::Error + 'static)) -> Option<Distrust> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<Error>().or_else(|| within(error.downcast_ref()?)) {
            return of_tls(found);
        }
        at = error.source();
    }
    None
}

/// The TLS library's error within one of the system; these do not name it as their source.
fn within(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<Error>().or_else(|| within(inner.downcast_ref()?))
}

fn of_tls(error: &Error) -> Option<Distrust> {
    Some(match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Distrust::Issuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Distrust::NotYet,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Distrust::Name,
            _ => Distrust::Other,
        },
        Error::InvalidMessage(_) | Error::NoApplicationProtocol => Distrust::NoTls,
        Error::AlertReceived(alert) if *alert == rustls::AlertDescription::NoApplicationProtocol => Distrust::NoTls,
        _ => return None,
    })
}
