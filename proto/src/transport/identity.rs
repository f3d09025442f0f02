//! Who the holder of a certificate is, as the authority of its gateway says.
//!
//! A certificate of the authority names its holder by a URI, in the form of SPIFFE: `spiffe://CLUSTER/gateway` or
//! `spiffe://CLUSTER/agent/ID`, where `CLUSTER` is the id of the gateway's ledger. That is its role too: a gateway
//! takes agents alone, and an agent its gateway alone. Nothing else in a certificate is a name.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime},
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::tls;
use crate::{
    certificate::{self, Validity},
    clock::rfc3339,
    faults,
};

/// How each name begins.
const SCHEME: &str = "spiffe://";

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The gateway of a ledger.
    Gateway {
        /// The ledger's id.
        cluster: String,
    },
    /// One of its agents.
    Agent {
        /// The ledger's id.
        cluster: String,
        /// The agent's id.
        id: String,
    },
}

impl Name {
    fn read(uri: &str) -> Option<Self> {
        let (cluster, path) = uri.strip_prefix(SCHEME)?.split_once('/')?;
        let cluster = Some(cluster).filter(|c| is_plain(c))?.to_owned();
        match path.split_once('/') {
            None if path == "gateway" => Some(Self::Gateway { cluster }),
            Some(("agent", id)) if is_plain(id) => Some(Self::Agent { cluster, id: id.to_owned() }),
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway { cluster } => write!(f, "{SCHEME}{cluster}/gateway"),
            Self::Agent { cluster, id } => write!(f, "{SCHEME}{cluster}/agent/{id}"),
        }
    }
}

/// Whether a text can be a part of a name: 1 to 64 letters, digits, `-`, `_` or `.`.
pub fn is_plain(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// What a side showed in its handshake: its certificate first. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown(Arc<[CertificateDer<'static>]>);

impl Shown {
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Self {
        Self(chain.iter().map(|one| one.clone().into_owned()).collect())
    }

    /// What [`super::Key::show`] was given.
    pub fn from_der(chain: &[Vec<u8>]) -> Self {
        Self(chain.iter().cloned().map(CertificateDer::from).collect())
    }

    /// Whether it is more than a key: a certificate with a root, or with a name.
    pub fn is_issued(&self) -> bool {
        let named = |one| EndEntityCert::try_from(one).is_ok_and(|cert| cert.valid_uri_names().next().is_some());
        self.0.len() > 1 || self.0.first().is_some_and(named)
    }

    /// The key that was shown (`SubjectPublicKeyInfo`, DER).
    pub fn key_info(&self) -> Option<Vec<u8>> {
        tls::key_info(self.0.first()?).ok()
    }

    /// The root that the side names as its own; it means nothing by itself.
    pub fn root(&self) -> Option<Root> {
        self.0.get(1..)?.last().map(|der| Root::new(der.to_vec()))
    }
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// There is none.
    #[error("it shows no certificate")]
    None,
    /// Another authority issued it, or none.
    #[error("its certificate is not of the authority with the root {0}")]
    Foreign(String),
    /// Its end has passed.
    #[error("its certificate ended at {0}: either it was not renewed, or a clock is wrong")]
    Expired(String),
    /// It does not hold yet.
    #[error("its certificate holds from {0} on: a clock is wrong")]
    NotYet(String),
    /// It is none, or names no holder.
    #[error("what it shows is no certificate of a gateway or an agent")]
    Senseless,
}

/// The root of a certificate authority.
#[derive(Clone, PartialEq, Eq)]
pub struct Root {
    der: CertificateDer<'static>,
    /// SHA-256 of its certificate, 64 hexadecimal digits.
    pub fingerprint: String,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", self.fingerprint)
    }
}

impl Root {
    /// This certificate, DER.
    pub fn new(der: Vec<u8>) -> Self {
        let fingerprint = certificate::fingerprint(&der);
        Self { der: der.into(), fingerprint }
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whom a certificate names that holds at `now_s` (Unix seconds) and that this authority issued.
    ///
    /// # Errors
    /// See [`Unproven`].
    pub fn verify(&self, shown: &Shown, now_s: i64) -> Result<(Name, Validity), Unproven> {
        let first = shown.0.first().ok_or(Unproven::None)?;
        let certificate = EndEntityCert::try_from(first).map_err(|_| Unproven::Senseless)?;
        let validity = certificate::validity(first).ok_or(Unproven::Senseless)?;
        let at = |unix_s: i64| rfc3339(unix_s.saturating_mul(1000)).unwrap_or_default();
        if faults::bug("certificates_unverified") {
            let name = certificate.valid_uri_names().find_map(Name::read).ok_or(Unproven::Senseless)?;
            return Ok((name, validity));
        }
        let foreign = || Unproven::Foreign(self.fingerprint.chars().take(12).collect());
        let anchor = anchor_from_trusted_cert(&self.der).map_err(|_| Unproven::Senseless)?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now_s).unwrap_or_default()));
        let anchors = [anchor];
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let verified =
            certificate.verify_for_usage(algorithms, &anchors, &[], now, KeyUsage::client_auth(), None, None);
        match verified {
            Ok(_) => {}
            Err(webpki::Error::CertExpired { .. }) => return Err(Unproven::Expired(at(validity.until_s))),
            Err(webpki::Error::CertNotValidYet { .. }) => return Err(Unproven::NotYet(at(validity.from_s))),
            // The path is the leaf and the root: whatever else fails, this authority did not issue it for this use.
            Err(_) => return Err(foreign()),
        }
        let name = certificate.valid_uri_names().find_map(Name::read).ok_or(Unproven::Senseless)?;
        Ok((name, validity))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
    };

    use super::*;
    use crate::transport::Key;

    const NOW: i64 = 1_795_000_000;

    fn authority() -> (Issuer<'static, KeyPair>, Root) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = params.self_signed(&key).unwrap().der().to_vec();
        (Issuer::new(params, key), Root::new(der))
    }

    fn leaf(issuer: &Issuer<'static, KeyPair>, uri: &str, years: (i32, i32), uses: ExtendedKeyUsagePurpose) -> Shown {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![uses];
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let made = params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap();
        Shown::from_der(&[made.der().to_vec()])
    }

    #[test]
    fn a_certificate_says_who_its_holder_is() {
        let (issuer, root) = authority();
        let agent = Name::Agent { cluster: "lab".into(), id: "a-1".into() };
        for name in [agent.clone(), Name::Gateway { cluster: "lab".into() }] {
            let shown = leaf(&issuer, &name.to_string(), (2020, 2040), ExtendedKeyUsagePurpose::ClientAuth);
            assert!(shown.is_issued());
            assert_eq!(root.verify(&shown, NOW).unwrap().0, name);
        }
    }

    #[test]
    fn a_foreign_an_expired_and_a_future_one_are_told_apart() {
        let ((issuer, root), (stranger, _)) = (authority(), authority());
        let uri = "spiffe://lab/agent/a-1";
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        let of = |shown: Shown| root.verify(&shown, NOW).unwrap_err();
        assert!(matches!(of(leaf(&stranger, uri, (2020, 2040), client.clone())), Unproven::Foreign(_)));
        let expired = of(leaf(&issuer, uri, (2020, 2021), client.clone()));
        assert_eq!(expired, Unproven::Expired("2021-01-01T00:00:00.000Z".into()), "{expired}");
        assert!(matches!(of(leaf(&issuer, uri, (2030, 2031), client.clone())), Unproven::NotYet(_)));
        // The certificate of the clients' port is no identity.
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        assert!(matches!(of(leaf(&issuer, uri, (2020, 2040), server)), Unproven::Foreign(_)));
        for uri in ["spiffe://lab/agent/", "spiffe://lab/other", "https://lab/gateway", "spiffe:///gateway"] {
            assert_eq!(of(leaf(&issuer, uri, (2020, 2040), client.clone())), Unproven::Senseless, "{uri}");
        }
        assert_eq!(of(Shown::default()), Unproven::None);
    }

    /// The control: unverified, a stranger's certificate would be taken.
    #[cfg(feature = "faults")]
    #[test]
    fn unverified_a_foreign_one_would_be_taken() {
        let _bug = faults::enter("bug=certificates_unverified");
        let ((stranger, _), (_, root)) = (authority(), authority());
        let shown = leaf(&stranger, "spiffe://lab/gateway", (2020, 2021), ExtendedKeyUsagePurpose::ClientAuth);
        assert!(root.verify(&shown, NOW).is_ok());
    }

    #[test]
    fn a_key_alone_names_nothing_and_shows_what_it_is_given() {
        let (key, (_, root)) = (Key::generate().unwrap(), authority());
        let der = CertificateParams::new(Vec::new()).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
        let shown = Shown::from_der(&[der.der().to_vec()]);
        assert!(!shown.is_issued() && shown.root().is_none() && root.verify(&shown, NOW).is_err());
        assert!(key.show(&[der.der().to_vec()]).is_err(), "it is for another key");
        key.show_alone().unwrap();
        assert_eq!(key.public().len(), 91, "a point of P-256 with its algorithm");
    }
}
