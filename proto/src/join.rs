//! The secret that a gateway and its agents share.
//!
//! It is never sent, and it alone opens nothing: each side proves it once, on first contact, over one connection
//! ([`crate::transport::hello`]); then both pin the keys that the other side showed.

use std::sync::Arc;

/// Shortest secret that is accepted, characters.
pub const MIN_SECRET: usize = 16;

/// The shared secret; cheap to clone, never printed.
#[derive(Clone)]
pub struct JoinSecret(Arc<[u8]>);

/// The text is too short for a secret.
#[derive(Debug, thiserror::Error)]
#[error(
    "the join secret has fewer than {MIN_SECRET} characters: copy the whole line of the gateway's join-secret file"
)]
pub struct SecretTooShort;

impl JoinSecret {
    /// Takes the text of a secret; surrounding white space is ignored.
    ///
    /// # Errors
    /// When fewer than [`MIN_SECRET`] characters are left.
    pub fn new(text: &str) -> Result<Self, SecretTooShort> {
        let text = text.trim();
        if text.len() < MIN_SECRET {
            return Err(SecretTooShort);
        }
        Ok(Self(text.as_bytes().into()))
    }

    /// A secret that no other side can prove, for one that has not been told any.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn unknown() -> std::io::Result<Self> {
        Ok(Self(crate::ids::secret::<32>()?.as_slice().into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_never_printed() {
        assert!(JoinSecret::new(" short \n").is_err());
        let secret = JoinSecret::new("  a secret of the lab\n").unwrap();
        assert_eq!(secret.bytes(), b"a secret of the lab");
        assert!(!format!("{secret:?}").contains("lab"));
    }
}
