//! Bytes of a do-file that are no UTF-8: they go through the interpreter as characters and leave it as the same bytes,
//! since Stata passes on whatever a do-file holds.

/// Where the characters begin that stand for bytes: in a plane for private use.
const BASE: u32 = 0x10_F700;

/// Text of bytes; each byte that is no UTF-8 is a character of its own.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(BASE + u32::from(*byte))));
    }
    text
}

/// The byte that a character stands for.
pub(crate) fn byte(c: char) -> Option<u8> {
    u32::from(c).checked_sub(BASE).and_then(|byte| u8::try_from(byte).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let bytes = b"caf\xc3\xa9 station\xe4r \xca\xfd\xff";
        let mut buf = [0; 4];
        let back: Vec<u8> = text(bytes)
            .chars()
            .flat_map(|c| byte(c).map_or_else(|| c.encode_utf8(&mut buf).as_bytes().to_vec(), |byte| vec![byte]))
            .collect();
        assert_eq!(back, bytes);
        assert_eq!(byte('e'), None);
    }
}
