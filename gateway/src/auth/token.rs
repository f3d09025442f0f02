//! Bearer tokens: made here, shown once, stored as a digest.
//!
//! A token has 256 bits of the kernel's randomness, so that a plain SHA-256 is enough at rest: it cannot be guessed,
//! and the time of a look-up by digest tells nothing about the token.

use longhaul_proto::{hex, ids, sha256_hex};

/// Prefix of every token, so that people and secret scanners recognise one.
pub const PREFIX: &str = "lh_";

/// A new token. Show it once; keep [`digest`] of it.
///
/// # Errors
/// When the kernel has no randomness.
pub fn generate() -> std::io::Result<String> {
    Ok(format!("{PREFIX}{}", hex(&ids::secret::<32>()?)))
}

/// What is stored of a token: hex SHA-256.
pub fn digest(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

/// Whether two digests are equal, in a time that does not depend on where they differ.
pub fn same(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// The token of an `Authorization` header's value.
pub fn of_header(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_only_their_digest_is_kept() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), PREFIX.len() + 64);
        assert!(same(&digest(&a), &digest(&a)) && !same(&digest(&a), &digest(&b)));
        assert!(!digest(&a).contains(&a[3..]));
    }

    #[test]
    fn a_header_names_its_scheme() {
        let check = |value: &str, want: Option<&str>| assert_eq!(of_header(value), want, "{value}");
        check("Bearer abc", Some("abc"));
        check("bearer  abc ", Some("abc"));
        check("Basic abc", None);
        check("Bearer ", None);
        check("abc", None);
    }
}
