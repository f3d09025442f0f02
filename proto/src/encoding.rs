//! Text of bytes that may not be UTF-8.
//!
//! Stata writes UTF-8 from release 14 on, but passes on what a do-file holds, so that a log may have lines in the
//! encoding in which a do-file was saved twenty years ago. A line that is valid UTF-8 is that; any other is read in
//! the older encoding, Windows-1252 unless another is configured. Bytes that are stored or passed on stay as they are.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;

/// An encoding of text that is no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Default for Encoding {
    fn default() -> Self {
        Self(WINDOWS_1252)
    }
}

/// No encoding has this name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no encoding; names are those of the web, such as windows-1252, iso-8859-2, gbk, shift_jis or koi8-r")]
pub struct UnknownEncoding(String);

impl std::str::FromStr for Encoding {
    type Err = UnknownEncoding;

    /// By a label of the WHATWG Encoding Standard, section 4.2.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        encoding_rs::Encoding::for_label(name.as_bytes()).map(Self).ok_or_else(|| UnknownEncoding(name.to_owned()))
    }
}

impl Encoding {
    /// The text of `bytes`; `always`: also where they are valid UTF-8 by accident.
    pub fn decode(self, bytes: &[u8], always: bool) -> Cow<'_, str> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !always || bytes.is_ascii() => Cow::Borrowed(text),
            _ => self.0.decode_without_bom_handling(bytes).0,
        }
    }

    /// The text of bytes that may be several lines, each read by itself, and whether some were not UTF-8.
    pub fn lines(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        match std::str::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) => {
                let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| self.decode(line, false));
                (Cow::Owned(lines.collect()), true)
            }
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf8_is_read_in_the_older_encoding() {
        let check = |name: &str, bytes: &[u8], always, text: &str| {
            assert_eq!(name.parse::<Encoding>().unwrap().decode(bytes, always), text, "{name}");
        };
        check("windows-1252", b"station\xe4r not found", false, "station\u{e4}r not found");
        check("windows-1252", "gr\u{f6}\u{df}e".as_bytes(), false, "gr\u{f6}\u{df}e");
        check("windows-1252", b"\xc3\x9f", true, "\u{c3}\u{178}");
        check("gbk", b"\xca\xfd\xbe\xdd.dta", false, "\u{6570}\u{636e}.dta");
        assert!("latin".parse::<Encoding>().unwrap_err().to_string().contains("windows-1252"));
    }

    #[test]
    fn each_line_is_read_by_itself() {
        let (text, older) = Encoding::default().lines(b"caf\xc3\xa9\nstation\xe4r\n");
        assert_eq!((&*text, older), ("caf\u{e9}\nstation\u{e4}r\n", true));
    }
}
