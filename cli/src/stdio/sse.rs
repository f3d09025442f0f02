//! Splits a stream, in whatever pieces it arrives, into its events.

/// Largest event, bytes. The gateway keeps below 1 MiB.
const MAX_EVENT: usize = 16 << 20;

/// Splits a stream into the data of its events. Comments, ids and names are dropped: a broken call is made again, not
/// replayed.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    /// The last byte was a carriage return: a line feed after it ends no second line.
    returned: bool,
}

/// An event that exceeds the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl EventReader {
    /// Takes the next bytes; returns the events that they complete.
    ///
    /// # Errors
    /// When an event is larger than any that our gateway sends.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLarge> {
        let mut whole = vec![];
        for byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.returned) => {}
                b'\n' | b'\r' => {
                    self.returned = *byte == b'\r';
                    self.end_line(&mut whole);
                }
                other => {
                    self.returned = false;
                    self.line.push(*other);
                }
            }
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > MAX_EVENT {
                return Err(TooLarge);
            }
        }
        Ok(whole)
    }

    fn end_line(&mut self, whole: &mut Vec<Vec<u8>>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            // The older era opens its streams with an event without data.
            whole.extend(self.data.take().filter(|d| !d.is_empty()));
        } else if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                None => self.data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_whatever_the_pieces() {
        for text in [
            ": accepted\n\nid: 1\ndata:\n\nevent: message\ndata: {\"a\":1}\n\ndata:x\ndata: y\n\ndata: cut off",
            ": accepted\r\n\r\nid: 1\r\ndata:\r\n\r\ndata: {\"a\":1}\r\n\r\ndata:x\r\ndata: y\r\n\r\ndata: cut off",
        ] {
            for size in 1..=text.len() {
                let mut events = EventReader::default();
                let mut got = vec![];
                for piece in text.as_bytes().chunks(size) {
                    got.extend(events.push(piece).unwrap());
                }
                assert_eq!(got, [b"{\"a\":1}".to_vec(), b"x\ny".to_vec()], "in pieces of {size}");
            }
        }
        assert_eq!(EventReader::default().push(&vec![b'x'; MAX_EVENT + 1]), Err(TooLarge));
    }
}
