//! The SHA-256 of some content: the name of a blob.
//!
//! Two contents never have the same digest, so that whoever gets bytes by a digest can check that they are the right ones.
//! A digest is a name and no permission.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{hex, unhex};

/// The SHA-256 of some bytes. Its text is 64 hexadecimal digits, lower-case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentDigest([u8; 32]);

/// The text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest: 64 hexadecimal digits")]
pub struct NotADigest;

impl ContentDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentDigest {
    type Err = NotADigest;

    /// Upper-case digits are taken too.
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        unhex(text).map(Self).ok_or(NotADigest)
    }
}

/// A digest that grows with the bytes that come in.
#[derive(Clone, Debug, Default)]
pub struct GrowingDigest(Sha256);

impl GrowingDigest {
    /// Takes the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> ContentDigest {
        ContentDigest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_digests_and_others_are_not() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = ContentDigest::of(b"abc");
        assert_eq!((digest.to_string().as_str(), text.parse::<ContentDigest>()), (text, Ok(digest)));
        assert_eq!(text.to_uppercase().parse::<ContentDigest>(), Ok(digest));
        let mut growing = GrowingDigest::default();
        growing.update(b"a");
        growing.update(b"bc");
        assert_eq!(growing.finish(), digest);
        for wrong in ["", "ba78", &text[1..], &format!("{text}0"), &text.replace("ba", "+a"), &"ä".repeat(32)] {
            assert_eq!(wrong.parse::<ContentDigest>(), Err(NotADigest), "{wrong}");
        }
    }
}
