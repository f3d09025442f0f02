//! The token of an invitation, by which an agent joins a gateway once.
//!
//! It is `lhj_` and, in URL-safe base64, a version byte, the SHA-256 of the root of the gateway's certificate authority,
//! a secret of 128 bits and the gateway's address. The agent sends it to a gateway only that shows a certificate of that
//! root, so no machine in between gets it. The gateway keeps its digest alone.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use crate::{hex, sha256_hex, unhex};

/// Prefix of every such token, so that people and secret scanners recognise one.
pub const PREFIX: &str = "lhj_";

/// Longest time in which an invitation can be used.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The version of the form.
const VERSION: u8 = 1;
/// Bytes before the address.
const FIXED: usize = 1 + 32 + 16;
/// Longest address, bytes.
const ADDRESS: usize = 512;

/// Such a token; never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    text: String,
    /// SHA-256 of the certificate of the authority's root, 64 hexadecimal digits.
    pub root: String,
    /// The gateway's address, `http://host:port` or `https://host:port`.
    pub gateway: String,
}

/// The text is no token of an invitation.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is no token of an invitation: copy the whole command that `longhaul agents invite` printed; it begins with {PREFIX}"
)]
pub struct NotAnInvitation;

impl JoinToken {
    /// A token with this secret, for the gateway at this address whose authority has this root.
    ///
    /// # Errors
    /// When the root is no fingerprint, or the address is too long.
    pub fn new(root: &str, secret: [u8; 16], gateway: &str) -> Result<Self, NotAnInvitation> {
        let fingerprint: [u8; 32] = unhex(root).ok_or(NotAnInvitation)?;
        let mut bytes = vec![VERSION];
        bytes.extend(fingerprint);
        bytes.extend(secret);
        bytes.extend(gateway.as_bytes());
        Self::read(&format!("{PREFIX}{}", BASE64.encode(bytes)))
    }

    /// Reads one, as people paste it.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &str) -> Result<Self, NotAnInvitation> {
        let text = text.trim();
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| BASE64.decode(rest).ok()).ok_or(NotAnInvitation)?;
        if bytes.first() != Some(&VERSION) || !(FIXED + 1..=FIXED + ADDRESS).contains(&bytes.len()) {
            return Err(NotAnInvitation);
        }
        let gateway = String::from_utf8(bytes[FIXED..].to_vec()).map_err(|_| NotAnInvitation)?;
        if gateway.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(NotAnInvitation);
        }
        Ok(Self { text: text.to_owned(), root: hex(&bytes[1..33]), gateway })
    }

    /// The whole token, for the command that joins.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the ledger keeps of it: hex SHA-256.
    pub fn digest(&self) -> String {
        sha256_hex(self.text.as_bytes())
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinToken(.., {})", self.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_never_printed() {
        let root = "ab".repeat(32);
        let token = JoinToken::new(&root, [7; 16], "https://gw.lab:7447").unwrap();
        let read = JoinToken::read(&format!("  {}\n", token.text())).unwrap();
        assert_eq!((&read, read.root.as_str(), read.gateway.as_str()), (&token, root.as_str(), "https://gw.lab:7447"));
        assert_eq!(read.digest(), token.digest());
        assert!(!format!("{token:?}").contains(token.text()));
        let whole = token.text();
        for bad in ["", "lhj_", "lh_abc", &whole[..40], &whole.replace("lhj_", "lhj_A"), &format!("{whole}!")] {
            assert!(JoinToken::read(bad).is_err(), "{bad}");
        }
        assert!(JoinToken::new("ab", [7; 16], "https://gw").is_err());
        assert!(JoinToken::new(&root, [7; 16], &"a".repeat(600)).is_err());
        assert!(JoinToken::new(&root, [7; 16], "https://gw lab").is_err());
    }
}
