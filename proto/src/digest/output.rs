//! What the copy of an output is compared with.
//!
//! An output is recorded with its SHA-256, as everything is that people may check with their own tools. On a processor
//! without instructions for that it takes ten times what all copying of the output does, so it is computed once, by the
//! process that closes the record, and with it, over the same bytes in the same pass, a BLAKE3. A copy with that BLAKE3
//! is those bytes, and so has that SHA-256: nothing weaker is compared, at a tenth of the time.

use std::fmt;

use super::{ContentDigest, GrowingDigest};

/// A BLAKE3 that grows with the bytes that come in. Takes no memory before the first byte: many outputs never have one.
#[derive(Clone, Default)]
pub struct GrowingBlake3(Option<Box<blake3::Hasher>>);

impl fmt::Debug for GrowingBlake3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrowingBlake3")
    }
}

impl GrowingBlake3 {
    /// Takes the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().update(bytes);
        }
    }

    /// The digest of all bytes so far, 64 hexadecimal digits, lower-case.
    pub fn text(&self) -> String {
        let digest = self.0.as_ref().map_or_else(|| blake3::hash(b""), |growing| growing.finalize());
        digest.to_hex().as_str().to_owned()
    }
}

/// Both digests of an output that is recorded, which grow with it.
#[derive(Clone, Debug, Default)]
pub struct OutputDigests {
    sha256: GrowingDigest,
    blake3: GrowingBlake3,
}

impl OutputDigests {
    /// Takes the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.blake3.update(bytes);
    }

    /// SHA-256 and BLAKE3 of all of them.
    pub fn finish(self) -> (ContentDigest, String) {
        (self.sha256.finish(), self.blake3.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_digests_are_of_all_the_bytes() {
        // The test vectors of BLAKE3: bytes that count from 0 to 250, over and over.
        let none = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        let many = "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085";
        let bytes: Vec<u8> = (0..102_400_u32).map(|i| (i % 251) as u8).collect();
        let mut digests = OutputDigests::default();
        assert_eq!(digests.clone().finish(), (ContentDigest::of(b""), none.to_owned()));
        for part in bytes.chunks(70_001) {
            digests.update(part);
            digests.update(b"");
        }
        assert_eq!(digests.finish(), (ContentDigest::of(&bytes), many.to_owned()));
        assert_eq!(GrowingBlake3::default().text(), none);
    }
}
