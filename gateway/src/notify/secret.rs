//! The secrets by which webhooks are signed, one for each principal.
//!
//! A secret is made of a key of this gateway and a salt that the ledger has for the principal. It is stored nowhere: a ledger
//! that was stolen signs nothing, and a secret that was replaced by another salt cannot be made again from it. If the key is
//! lost, everybody's secret is another one, and is read anew.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::digest::KeyedDigest;

use crate::{
    key_store::{self, KeyStore, KeyStoreError},
    model::Principal,
};

/// Name of the file with the key.
pub const NOTIFY_KEY: &str = "notify-key";

/// Names the format, and keeps the digest from meaning anything elsewhere.
const DOMAIN: &[u8] = b"longhaul webhook secret 1\0";

/// What every secret begins with (Standard Webhooks 1.0.0, "Signature scheme").
const PREFIX: &str = "whsec_";

/// The key that secrets are made of. Cheap to clone.
#[derive(Clone)]
pub struct SigningKey(Arc<[u8; 32]>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A secret of a principal.
pub(super) struct Secret([u8; 32]);

impl SigningKey {
    /// The key named [`NOTIFY_KEY`], made when missing.
    ///
    /// # Errors
    /// When it cannot be read or stored, or is no key.
    pub fn ensure(keys: &dyn KeyStore) -> Result<Self, KeyStoreError> {
        key_store::key(keys, NOTIFY_KEY).map(Self::of)
    }

    /// A key given by its bytes.
    pub fn of(key: [u8; 32]) -> Self {
        Self(Arc::new(key))
    }

    /// The secret of a principal with this salt.
    pub(super) fn secret(&self, principal: &Principal, salt: &str) -> Secret {
        let mut digest = KeyedDigest::new(&*self.0);
        digest.update(DOMAIN);
        for part in [principal.issuer(), principal.subject(), salt] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        Secret(digest.finish())
    }
}

impl Secret {
    /// As a person gets it.
    pub(super) fn text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }

    /// The signature over id, time (Unix seconds) and body: `v1,BASE64(HMAC-SHA256(id.timestamp.body))`.
    pub(super) fn signature(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut digest = KeyedDigest::new(&self.0);
        digest.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(digest.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries, with their secret, id, time and body.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut digest = KeyedDigest::new(&secret);
        digest.update(br#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#);
        assert_eq!(STANDARD.encode(digest.finish()), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_principal_has_its_own_and_a_salt_makes_another() {
        let key = SigningKey::of([3; 32]);
        let text = |who: &str, salt: &str| key.secret(&Principal::local(who), salt).text();
        assert_eq!(text("ann", "1"), text("ann", "1"));
        assert!(text("ann", "1").starts_with("whsec_") && text("ann", "1").len() == 6 + 44);
        assert_ne!(text("ann", "1"), text("ann", "2"));
        assert_ne!(text("ann", "1"), text("bob", "1"));
        assert_ne!(text("ann", "11"), text("ann1", "1"));
        assert_ne!(text("ann", "1"), SigningKey::of([4; 32]).secret(&Principal::local("ann"), "1").text());
        assert_eq!(key.secret(&Principal::local("ann"), "1").signature("i", 5, "b").len(), 3 + 44);
    }
}
