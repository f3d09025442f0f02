//! The built-in certificate authority.
//!
//! Its root is made at the first start that needs it and kept as the secret [`CA`]: private key and certificate in one
//! text, so that the two are never of different ages. A copy of the certificate alone is [`CERTIFICATE`], for people and
//! for clients on this machine. Each root has a name of its own with the digest of its key in it: two roots of one name
//! make verifiers report a bad signature where they should report an unknown issuer.
//!
//! [`Authority::issue`] signs any leaf: the gateway's certificate for clients, and those of agents and of the gateway
//! among them, with URIs as names.

use std::{path::Path, time::Duration};

use longhaul_proto::{
    certificate::{self, Validity},
    digest::ContentDigest,
    durable, hex,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, date_time_ymd,
};

use super::TlsError;
use crate::key_store::{KeyStore, KeyStoreError};

/// Name of the secret with the root's key and certificate.
pub const CA: &str = "ca-key";
/// Name of the file with the root's certificate alone.
pub const CERTIFICATE: &str = "ca.pem";

/// How long a root holds: longer than a gateway is in use, since every client has to be told of a new one.
const ROOT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far in the past a certificate begins, for clients whose clocks are behind.
const BEFORE: Duration = Duration::from_secs(3600);

/// See the module.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The root's certificate, PEM.
    pub pem: String,
    /// SHA-256 of the root's certificate, by which clients recognise it.
    pub fingerprint: String,
    /// From when to when the root holds.
    pub validity: Validity,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.fingerprint)
    }
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Whom it is for: names and addresses of a server, a URI for an agent.
    pub names: Vec<SanType>,
    /// The subject's common name, for people.
    pub subject: String,
    /// What it may be used for.
    pub uses: Vec<ExtendedKeyUsagePurpose>,
    /// How long it holds from now on.
    pub lifetime: Duration,
}

impl Authority {
    /// The authority of these keys, made when missing. `now_s` is the time, Unix seconds.
    ///
    /// # Errors
    /// When the secret cannot be read or stored, or is none.
    pub fn ensure(keys: &dyn KeyStore, now_s: i64) -> Result<Self, TlsError> {
        let text = keys.ensure(CA, &|| new_root(now_s).map_err(std::io::Error::other))?;
        let damaged = || TlsError::Authority(keys.place(CA));
        let key = KeyPair::from_pem(&text).map_err(|_| damaged())?;
        let from = text.find("-----BEGIN CERTIFICATE-----").ok_or_else(damaged)?;
        let pem = text[from..].to_owned();
        let der = certificate::first_in_pem(&pem).ok_or_else(damaged)?;
        let validity = certificate::validity(&der).ok_or_else(damaged)?;
        let place = keys.place(CERTIFICATE);
        publish(&place, &pem).map_err(|source| KeyStoreError::File { path: place, source })?;
        let issuer = Issuer::new(root(&key, now_s), key);
        Ok(Self { issuer, fingerprint: certificate::fingerprint(&der), pem, validity })
    }

    /// Signs a certificate for the holder of this key; PEM. It does not outlast the root.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue(&self, leaf: Leaf, holder: &impl PublicKeyData, now_s: i64) -> Result<String, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, leaf.subject);
        params.subject_alt_names = leaf.names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = leaf.uses;
        params.use_authority_key_identifier_extension = true;
        hold(&mut params, now_s, (now_s + seconds(leaf.lifetime)).min(self.validity.until_s));
        Ok(params.signed_by(holder, &self.issuer).map_err(made)?.pem())
    }
}

/// A new key for a certificate.
///
/// # Errors
/// When there is no randomness.
pub fn new_key() -> Result<KeyPair, TlsError> {
    KeyPair::generate().map_err(made)
}

fn new_root(now_s: i64) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = root(&key, now_s).self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

/// What the root's certificate says. All but its times follow from its key.
fn root(key: &KeyPair, now_s: i64) -> CertificateParams {
    let id = hex(&ContentDigest::of(&key.subject_public_key_info()).bytes()[..8]);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Longhaul CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    hold(&mut params, now_s, now_s + seconds(ROOT));
    params
}

/// Writes the certificate down where it is not yet.
fn publish(place: &Path, pem: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(place).is_ok_and(|there| there == pem) {
        return Ok(());
    }
    durable::replace(place, pem.as_bytes())
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Sets from when to when a certificate holds that is made now, Unix seconds; times before 1970 are 1970.
fn hold(params: &mut CertificateParams, now_s: i64, until_s: i64) {
    let since_1970 = |unix_s: i64| Duration::from_secs(u64::try_from(unix_s).unwrap_or_default());
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now_s - seconds(BEFORE));
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(until_s);
}

fn made(error: rcgen::Error) -> TlsError {
    TlsError::Make(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_store::Folder;

    /// A November day in 2026.
    const NOW: i64 = 1_795_000_000;

    #[test]
    fn a_root_is_made_once_and_no_two_have_one_name() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let keys = Folder::new(data.path());
        let first = Authority::ensure(&keys, NOW).unwrap();
        let again = Authority::ensure(&keys, NOW + 1_000_000).unwrap();
        assert_eq!((&first.pem, &first.fingerprint), (&again.pem, &again.fingerprint));
        let mode = |name| std::fs::metadata(keys.place(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(CA), 0o600);
        assert_eq!(std::fs::read_to_string(keys.place(CERTIFICATE)).unwrap(), first.pem);
        assert!(!std::fs::read_to_string(keys.place(CERTIFICATE)).unwrap().contains("PRIVATE"));
        let other = tempfile::tempdir().unwrap();
        let stranger = Authority::ensure(&Folder::new(other.path()), NOW).unwrap();
        let name = |of: &Authority| of.issuer.key().subject_public_key_info();
        assert_ne!(name(&first), name(&stranger));
        assert_eq!(first.validity.until_s, NOW + seconds(ROOT));
    }

    #[test]
    fn a_leaf_holds_for_its_lifetime_and_never_longer_than_the_root() {
        let data = tempfile::tempdir().unwrap();
        let authority = Authority::ensure(&Folder::new(data.path()), NOW).unwrap();
        let leaf = |lifetime| Leaf {
            names: vec![SanType::URI("spiffe://lab/agent/stata1".try_into().unwrap())],
            subject: "stata1".into(),
            uses: vec![ExtendedKeyUsagePurpose::ClientAuth],
            lifetime,
        };
        let until = |lifetime| {
            let pem = authority.issue(leaf(lifetime), &new_key().unwrap(), NOW).unwrap();
            certificate::validity(&certificate::first_in_pem(&pem).unwrap()).unwrap().until_s
        };
        assert_eq!(until(Duration::from_secs(24 * 3600)), NOW + 24 * 3600);
        assert_eq!(until(ROOT * 2), authority.validity.until_s);
    }

    #[test]
    fn what_is_damaged_is_named_and_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let keys = Folder::new(data.path());
        Authority::ensure(&keys, NOW).unwrap();
        for damaged in ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(keys.place(CA), damaged).unwrap();
            let error = Authority::ensure(&keys, NOW).unwrap_err();
            assert!(error.to_string().contains("ca-key") && error.to_string().contains("backup"), "{error}");
            assert_eq!(std::fs::read_to_string(keys.place(CA)).unwrap(), damaged);
        }
    }
}
