//! Seals: how this gateway recognises its own requests when an agent brings a run that the ledger does not know.
//!
//! A request is sealed before it is sent to an agent, and the agent's spool keeps the seal with it.
//! [`longhaul_proto::seal`] says what the seal covers; the key is the file `seal-key` in the data folder, and belongs
//! in backups. If it is lost, no run is lost: runs that agents hold are then imported as unverified, and wait for an
//! operator (`longhaul runs adopt`).

use std::sync::Arc;

use longhaul_proto::{digest::KeyedDigest, faults, seal, wire};
use subtle::ConstantTimeEq;

use crate::key_store::{self, KeyStore, KeyStoreError};

/// Name of the file with the key.
pub const SEAL_KEY: &str = "seal-key";

/// Names the format, and keeps the digest from meaning anything elsewhere.
const DOMAIN: &[u8] = b"longhaul request seal 1\0";

/// The same, of questions to a person.
const QUESTION: &[u8] = b"longhaul question 1\0";

/// The key that requests are sealed with. Cheap to clone.
#[derive(Clone)]
pub struct SealKey(Arc<[u8; 32]>);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// What a seal covers.
struct Sealed<'a> {
    run: &'a str,
    /// As on the wire: empty for a local principal.
    issuer: &'a str,
    subject: &'a str,
    key: &'a str,
    digest: &'a [u8],
}

fn sealed<'a>(submission: &'a wire::Submission, digest: &'a [u8]) -> Sealed<'a> {
    let wire::Submission { run_id, principal, principal_issuer, key, .. } = submission;
    Sealed { run: run_id, issuer: principal_issuer, subject: principal, key, digest }
}

impl SealKey {
    /// The key named [`SEAL_KEY`], made when missing.
    ///
    /// # Errors
    /// When it cannot be read or stored, or is no key.
    pub fn ensure(keys: &dyn KeyStore) -> Result<Self, KeyStoreError> {
        key_store::key(keys, SEAL_KEY).map(Self::of)
    }

    /// A key given by its bytes.
    pub fn of(key: [u8; 32]) -> Self {
        Self(Arc::new(key))
    }

    /// Seals a request that is about to be sent.
    pub fn seal(&self, submission: &mut wire::Submission) {
        submission.seal = self.mac(&sealed(submission, &seal::digest(submission))).into();
    }

    /// Whether a gateway with this key sealed this very request, to the last byte.
    pub fn sealed(&self, submission: &wire::Submission) -> bool {
        let mac = self.mac(&sealed(submission, &seal::digest(submission)));
        faults::bug("seal_unchecked") || bool::from(mac.ct_eq(&submission.seal))
    }

    /// Whether run, principal and key in an agent's summary are those of a request that was sealed here. The request
    /// itself is not checked yet.
    pub fn vouched(&self, summary: &wire::RunSummary) -> bool {
        let mac = self.mac(&Sealed {
            run: &summary.run_id,
            issuer: &summary.principal_issuer,
            subject: &summary.principal,
            key: &summary.key,
            digest: &summary.sealed_sha256,
        });
        faults::bug("seal_unchecked") || bool::from(mac.ct_eq(&summary.seal))
    }

    /// What names a question to a person, so that an answer is about it and no caller can answer what was not asked.
    pub(super) fn question(&self, about: [&[u8]; 3]) -> String {
        if faults::bug("questions_unsealed") {
            return longhaul_proto::sha256_hex(&about.concat());
        }
        longhaul_proto::hex(&self.keyed(QUESTION, about))
    }

    fn mac(&self, sealed: &Sealed<'_>) -> [u8; 32] {
        let Sealed { run, issuer, subject, key, digest } = sealed;
        // The issuer of a local principal is no part, so that what was sealed before there were issuers stays sealed.
        let issuer = (!issuer.is_empty()).then_some(issuer.as_bytes());
        self.keyed(DOMAIN, [run.as_bytes(), subject.as_bytes(), key.as_bytes(), digest].into_iter().chain(issuer))
    }

    fn keyed<'a>(&self, domain: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        let mut mac = KeyedDigest::new(&*self.0);
        mac.update(domain);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> wire::Submission {
        wire::Submission {
            run_id: "01a20499-184b-75e1-a314-4812878e1740".into(),
            principal: "ann".into(),
            key: "k".into(),
            ..Default::default()
        }
    }

    fn summary(of: &wire::Submission) -> wire::RunSummary {
        wire::RunSummary {
            run_id: of.run_id.clone(),
            principal: of.principal.clone(),
            principal_issuer: of.principal_issuer.clone(),
            key: of.key.clone(),
            sealed_sha256: seal::digest(of).to_vec(),
            seal: of.seal.clone(),
            ..Default::default()
        }
    }

    #[test]
    fn only_what_was_sealed_with_this_key_is_sealed() {
        let key = SealKey::of([7; 32]);
        let mut sealed = request();
        key.seal(&mut sealed);
        assert!(key.sealed(&sealed) && key.vouched(&summary(&sealed)));
        assert!(!SealKey::of([8; 32]).sealed(&sealed), "another key");
        assert!(!key.sealed(&request()), "no seal");
        assert!(!key.vouched(&wire::RunSummary::default()));
        let changes: [fn(&mut wire::Submission); 5] = [
            |s| s.principal = "bob".into(),
            |s| s.principal_issuer = "idp".into(),
            |s| s.run_id.push('0'),
            |s| s.args.push("1".into()),
            |s| s.seal[3] ^= 1,
        ];
        for change in changes {
            let mut changed = sealed.clone();
            change(&mut changed);
            assert!(!key.sealed(&changed));
            assert!(!key.vouched(&summary(&changed)), "not by the summary either");
        }
        // A summary alone vouches for names and digest, not for the bytes of the request.
        let other = wire::Submission { args: vec!["1".into()], ..sealed.clone() };
        assert!(key.vouched(&summary(&sealed)) && !key.sealed(&other));
    }

    /// What was sealed once must verify for ever.
    #[test]
    fn the_seal_is_what_it_was() {
        let mut sealed = request();
        SealKey::of([7; 32]).seal(&mut sealed);
        assert_eq!(
            longhaul_proto::hex(&sealed.seal),
            "4d577bdfcfc39963df1107623ecce116ec335a5c0e4b48baafb2fef2a5844f20"
        );
        let mut theirs = wire::Submission { principal_issuer: "idp".into(), ..request() };
        SealKey::of([7; 32]).seal(&mut theirs);
        assert!(SealKey::of([7; 32]).sealed(&theirs) && theirs.seal != sealed.seal);
    }

    #[test]
    fn a_seal_outlives_the_gateway() {
        let data = tempfile::tempdir().unwrap();
        let keys = key_store::Folder::new(data.path());
        let mut sealed = request();
        SealKey::ensure(&keys).unwrap().seal(&mut sealed);
        assert!(SealKey::ensure(&keys).unwrap().sealed(&sealed));
    }
}
