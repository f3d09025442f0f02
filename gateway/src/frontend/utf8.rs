//! Text from a file of bytes that is read in pieces.

/// How many bytes at the end of `bytes` start a character whose rest is not there yet (0 to 3).
pub(crate) fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let needs = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if needs > back { back } else { 0 };
    }
    0
}

/// How many bytes at the start of `bytes` belong to a character that started before them (0 to 3).
pub(crate) fn torn(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|b| (0x80..=0xBF).contains(*b)).count()
}

#[cfg(test)]
mod tests {
    use crate::frontend::utf8::*;

    #[test]
    fn a_split_character_waits_for_its_rest() {
        for text in ["a", "é", "€", "😀", "a😀", "x€é"] {
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                let held = unfinished(&bytes[..cut]);
                assert!(std::str::from_utf8(&bytes[..cut - held]).is_ok(), "{text} at {cut}");
                assert_eq!(held == 0, text.is_char_boundary(cut), "{text} at {cut}");
            }
        }
        let check = |bytes: &[u8], want: usize| assert_eq!(unfinished(bytes), want, "{bytes:?}");
        check(b"\xff", 0);
        check(b"\x80\x80\x80\x80", 0);
        check(b"a\xc0", 0);
        assert_eq!(torn("é".as_bytes()), 0);
        assert_eq!(torn(&"é".as_bytes()[1..]), 1);
    }
}
