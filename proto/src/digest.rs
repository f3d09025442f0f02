//! SHA-256: of some content, which is the name of a blob and what an output is compared by, and keyed.
//!
//! Two contents never have the same digest, so that whoever gets bytes by a digest can check that they are the right ones.
//! A digest is a name and no permission.
//!
//! All of it comes from the library that encrypts, in assembly for each kind of processor: every byte of output is
//! digested, and on processors without instructions for it that is most of what an output costs.

mod output;

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest::{self, SHA256},
    hmac,
};

use crate::{hex, unhex};

pub use output::{GrowingBlake3, OutputDigests};

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
        Self::from(digest::digest(&SHA256, bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl From<digest::Digest> for ContentDigest {
    fn from(digest: digest::Digest) -> Self {
        Self(whole(digest.as_ref()))
    }
}

/// What the library answers, which for SHA-256 always has these 32 bytes.
fn whole(digest: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest);
    bytes
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
#[derive(Clone)]
pub struct GrowingDigest(digest::Context);

impl Default for GrowingDigest {
    fn default() -> Self {
        Self(digest::Context::new(&SHA256))
    }
}

impl fmt::Debug for GrowingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrowingDigest")
    }
}

impl GrowingDigest {
    /// Takes the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> ContentDigest {
        self.0.finish().into()
    }
}

/// HMAC-SHA256 that grows with the bytes that come in. Compared in constant time, never with `==`.
#[derive(Clone, Debug)]
pub struct KeyedDigest(hmac::Context);

impl KeyedDigest {
    /// With this key, of any length.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// Takes the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The code over all of them.
    pub fn finish(self) -> [u8; 32] {
        whole(self.0.sign().as_ref())
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
        assert_eq!(ContentDigest(digest.bytes()), digest);
        for wrong in ["", "ba78", &text[1..], &format!("{text}0"), &text.replace("ba", "+a"), &"ä".repeat(32)] {
            assert_eq!(wrong.parse::<ContentDigest>(), Err(NotADigest), "{wrong}");
        }
    }
    #[test]
    fn a_digest_that_grew_in_any_steps_is_that_of_the_whole_and_can_be_asked_on_the_way() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
        for step in [1, 63, 64, 65, 4096] {
            let (mut growing, mut len) = (GrowingDigest::default(), 0);
            for part in bytes.chunks(step) {
                growing.update(part);
                len += part.len();
                if len % 500 < step {
                    assert_eq!(growing.clone().finish(), ContentDigest::of(&bytes[..len]), "{len} bytes by {step}");
                }
            }
            assert_eq!(growing.finish(), ContentDigest::of(&bytes), "by {step}");
        }
    }

    #[test]
    fn keyed_digests_are_those_of_the_standard() {
        // RFC 4231, test cases 2 and 6: a key that is shorter than a block, and one that is longer.
        let cases: [(&[u8], &[u8], &str); 2] = [
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, bytes, code) in cases {
            let mut keyed = KeyedDigest::new(key);
            let (first, rest) = bytes.split_at(5);
            keyed.update(first);
            keyed.update(rest);
            assert_eq!(hex(&keyed.finish()), code);
        }
    }
}
