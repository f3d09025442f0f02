//! Certificates of agents, and the gateway's own among them: who may speak to whom behind the clients' port.
//!
//! They are of the same authority as the clients' certificate, and are for other uses: one says nothing where the other
//! is asked for. The holder's key is the one that it shows on the connection, so no request to sign is needed. A
//! certificate holds for a day; what is not renewed ends by itself.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    certificate,
    clock::Clock,
    transport::{Key, KeyError, Name, Root, Shown, identity::Unproven},
    words,
};
use rcgen::{ExtendedKeyUsagePurpose, PublicKeyData, SanType, SignatureAlgorithm};

use super::{
    TlsError,
    authority::{Authority, Leaf},
};
use crate::key_store::KeyStore;

/// Longest pause between two looks at the time.
const LOOK: Duration = Duration::from_secs(60);

/// What comes before the point in the `SubjectPublicKeyInfo` of a key of P-256, uncompressed (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why an agent gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// Its key is of another kind than this program makes.
    #[error(
        "its key is not of the kind that this program makes: remove the file key in its data folder, and invite it again"
    )]
    Key,
    /// Its id cannot be a part of a name.
    #[error("its id has characters that no certificate can have: put its file agent-id back from a backup")]
    Id,
    /// The authority could not sign.
    #[error(transparent)]
    Sign(#[from] TlsError),
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// It and its root, DER.
    pub chain: Vec<Vec<u8>>,
    /// Its last second, Unix time.
    pub until_s: i64,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identities(Arc<State>);

#[derive(Debug)]
struct State {
    authority: Authority,
    root: Root,
    cluster: String,
    key: Key,
    lifetime: Duration,
    changing: Mutex<Changing>,
}

/// What belongs to the gateway's own certificate.
#[derive(Debug, Default)]
struct Changing {
    until_s: i64,
    renew_s: i64,
    trouble: Option<String>,
}

impl Identities {
    /// Those of the gateway with this ledger and key, which shows its own certificate from now on.
    ///
    /// # Errors
    /// When the authority's key cannot be used, or signs nothing.
    pub fn open(
        keys: &dyn KeyStore,
        cluster: &str,
        key: Key,
        lifetime: Duration,
        clock: &Clock,
    ) -> Result<Self, TlsError> {
        let now_s = clock.unix_ms() / 1000;
        let authority = Authority::ensure(keys, now_s)?;
        let der = certificate::first_in_pem(&authority.pem)
            .ok_or_else(|| TlsError::Authority(keys.place(super::authority::CA)))?;
        let (root, cluster) = (Root::new(der), cluster.to_owned());
        let made = Self(Arc::new(State { authority, root, cluster, key, lifetime, changing: Mutex::default() }));
        made.renew(now_s)?;
        Ok(made)
    }

    /// The root of the authority.
    pub fn root(&self) -> &Root {
        &self.0.root
    }

    /// How long each certificate holds.
    pub fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// The last second of the gateway's own, Unix time.
    pub fn until_s(&self) -> i64 {
        self.changing().until_s
    }

    /// Why the gateway's own was not renewed.
    pub fn trouble(&self) -> Option<String> {
        self.changing().trouble.clone()
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A certificate for the agent with this id, which has shown its key.
    ///
    /// # Errors
    /// See [`NotIssued`].
    pub fn issue(&self, agent_id: &str, shown: &Shown, now_s: i64) -> Result<Issued, NotIssued> {
        if !longhaul_proto::transport::identity::is_plain(agent_id) {
            return Err(NotIssued::Id);
        }
        let holder = Holder::of(&shown.key_info().ok_or(NotIssued::Key)?).ok_or(NotIssued::Key)?;
        let name = Name::Agent { cluster: self.0.cluster.clone(), id: agent_id.to_owned() };
        Ok(self.sign(&name, &holder, now_s)?)
    }

    /// The id of the agent whose certificate was shown, and the certificate's last second; `None` = it showed a key alone.
    ///
    /// # Errors
    /// Why the certificate is refused, in words for the agent's owner.
    pub fn agent(&self, shown: &Shown, now_s: i64) -> Result<Option<(String, i64)>, String> {
        if !shown.is_issued() {
            return Ok(None);
        }
        let advice = "; start the agent again, and it asks for another one; where its file ca.pem is another gateway's, an \
                      operator of this gateway has to invite it (`longhaul agents invite NAME`)";
        let (name, validity) = self.0.root.verify(shown, now_s).map_err(|why: Unproven| format!("{why}{advice}"))?;
        match name {
            Name::Agent { cluster, id } if cluster == self.0.cluster => Ok(Some((id, validity.until_s))),
            Name::Agent { cluster, .. } => {
                Err(format!("its certificate is of the ledger {cluster}, not of {}", self.0.cluster))
            }
            Name::Gateway { .. } => Err("its certificate is a gateway's, and agents alone are let in".to_owned()),
        }
    }

    fn sign(&self, name: &Name, holder: &Holder, now_s: i64) -> Result<Issued, TlsError> {
        let uri = name.to_string().try_into().map_err(|e: rcgen::Error| TlsError::Make(Box::new(e)))?;
        let subject = match name {
            Name::Gateway { .. } => "Longhaul gateway",
            // Not its name: a client that takes a subject for the name of a host must find none.
            Name::Agent { .. } => "Longhaul agent",
        };
        let leaf = Leaf {
            names: vec![SanType::URI(uri)],
            subject: subject.to_owned(),
            // Of either side of a connection; a client of the port asks for the use of servers, and refuses it.
            uses: vec![ExtendedKeyUsagePurpose::ClientAuth],
            lifetime: self.0.lifetime,
        };
        let pem = self.0.authority.issue(leaf, holder, now_s)?;
        let unreadable = || TlsError::Make("the certificate that was made cannot be read".into());
        let der = certificate::first_in_pem(&pem).ok_or_else(unreadable)?;
        let until_s = certificate::validity(&der).ok_or_else(unreadable)?.until_s;
        Ok(Issued { chain: vec![der, self.0.root.der().to_vec()], until_s })
    }

    /// The gateway's own, shown from the next handshake on.
    fn renew(&self, now_s: i64) -> Result<(), TlsError> {
        let holder = Holder::of(&self.0.key.public())
            .ok_or_else(|| TlsError::Make("the gateway's key is of another kind".into()))?;
        let issued = self.sign(&Name::Gateway { cluster: self.0.cluster.clone() }, &holder, now_s)?;
        self.0.key.show(&issued.chain).map_err(|error: KeyError| TlsError::Make(Box::new(error)))?;
        *self.changing() = Changing {
            until_s: issued.until_s,
            renew_s: now_s + certificate::renewal_s(issued.until_s - now_s),
            trouble: None,
        };
        Ok(())
    }

    /// Renews the gateway's own in time, until the task is stopped.
    pub async fn keep(self, clock: Clock) {
        let pause = LOOK.min(self.0.lifetime / 20).max(Duration::from_millis(100));
        loop {
            tokio::time::sleep(pause).await;
            let now_s = clock.unix_ms() / 1000;
            if now_s < self.changing().renew_s {
                continue;
            }
            if let Err(error) = self.renew(now_s) {
                let why = words::chain(&error);
                tracing::error!("the gateway's certificate for its agents was not renewed: {why}");
                self.changing().trouble = Some(why);
            }
        }
    }
}

/// A public key of the kind that [`Key`] makes: a point of P-256.
struct Holder(Vec<u8>);

impl Holder {
    fn of(key_info: &[u8]) -> Option<Self> {
        key_info.strip_prefix(&P256).filter(|point| point.len() == 65).map(|point| Self(point.to_vec()))
    }
}

impl PublicKeyData for Holder {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_store::Folder;

    const NOW: i64 = 1_795_000_000;
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn open(data: &std::path::Path) -> Identities {
        let key = Key::generate().unwrap();
        Identities::open(&Folder::new(data), "lab", key, DAY, &Clock::system()).unwrap()
    }

    #[test]
    fn an_agent_is_issued_its_own_name_and_taken_by_it() {
        let data = tempfile::tempdir().unwrap();
        let (identities, key) = (open(data.path()), Key::generate().unwrap());
        let bare = rcgen::KeyPair::generate().unwrap();
        let alone = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&bare).unwrap();
        let alone = Shown::from_der(&[alone.der().to_vec()]);
        assert_eq!(identities.agent(&alone, NOW), Ok(None));
        let issued = identities.issue("a-1", &alone, NOW).unwrap();
        assert_eq!(issued.until_s, NOW + 24 * 3600);
        let shown = Shown::from_der(&issued.chain);
        assert_eq!(identities.agent(&shown, NOW), Ok(Some(("a-1".to_owned(), issued.until_s))));
        assert_eq!(shown.root().unwrap(), *identities.root());
        let late = identities.agent(&shown, issued.until_s + 1).unwrap_err();
        assert!(late.contains("ended at") && late.contains("asks for another one"), "{late}");
        assert!(key.show(&issued.chain).is_err(), "it is for another key");
        assert!(matches!(identities.issue("a/1", &alone, NOW), Err(NotIssued::Id)));
        // Another gateway's authority is foreign here, and a gateway is no agent.
        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = open(elsewhere.path()).agent(&shown, NOW).unwrap_err();
        assert!(foreign.contains("not of the authority") && foreign.contains("agents invite"), "{foreign}");
        let holder = Holder::of(&key.public()).unwrap();
        let gateway = identities.sign(&Name::Gateway { cluster: "lab".into() }, &holder, NOW).unwrap();
        assert!(identities.agent(&Shown::from_der(&gateway.chain), NOW).unwrap_err().contains("a gateway's"));
        key.show(&gateway.chain).unwrap();
    }
}
