//! Reads a run's output by ranges, for every place that shows it.

use bytes::{Bytes, BytesMut};
use longhaul_proto::{encoding::Encoding, ids::RunId};

use crate::{
    frontend::part::Part,
    model::{Identity, Stream},
    runs::{MAX_READ, ReadError, Runs},
};

/// How far back the start of the last lines is looked for, bytes: a log of one endless line has no last lines.
const MAX_LOOK_BACK: u64 = 4 << 20;

/// One output of one run, as its reader may see it.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) runs: Runs,
    pub(crate) who: Identity,
    pub(crate) run: RunId,
    pub(crate) stream: Stream,
}

impl Output {
    /// The encoding of what is no UTF-8 in it.
    pub(crate) fn encoding(&self) -> Encoding {
        self.runs.log_encoding()
    }

    /// At most `max` bytes from `offset`, and only before `end`.
    pub(crate) async fn chunk(&self, offset: u64, end: u64, max: usize) -> Result<Bytes, ReadError> {
        let room = usize::try_from(end.saturating_sub(offset)).unwrap_or(MAX_READ).min(max).min(MAX_READ);
        if room == 0 {
            return Ok(Bytes::new());
        }
        let mut chunk = self.runs.read(&self.who, self.run, self.stream, offset, room).await?;
        chunk.bytes.truncate(room);
        Ok(chunk.bytes)
    }

    /// All bytes of a part from `from` to `to`; fewer when the output is shorter.
    pub(crate) async fn range(&self, part: &Part, from: u64, to: u64) -> Result<Bytes, ReadError> {
        let mut all = BytesMut::new();
        for (start, end) in part.pieces(from, to) {
            let mut at = start;
            while at < end {
                let bytes = self.chunk(at, end, MAX_READ).await?;
                if bytes.is_empty() {
                    return Ok(all.freeze());
                }
                at += bytes.len() as u64;
                all.extend_from_slice(&bytes);
            }
        }
        Ok(all.freeze())
    }

    /// Offset at which the last `lines` lines of a part start.
    pub(crate) async fn tail_start(&self, part: &Part, lines: u64) -> Result<u64, ReadError> {
        if lines == 0 {
            return Ok(part.end());
        }
        let floor = part.last(MAX_LOOK_BACK);
        // The line break that ends the last line starts no other line.
        let mut left = lines + 1;
        let mut last = true;
        for (start, end) in part.pieces(floor, u64::MAX).rev() {
            let mut at = end;
            while at > start {
                let from = start.max(at.saturating_sub(MAX_READ as u64));
                let bytes = self.range(part, from, at).await?;
                for (i, byte) in bytes.iter().enumerate().rev() {
                    if *byte == b'\n' {
                        left -= 1;
                        if left == 0 {
                            return Ok(from + i as u64 + 1);
                        }
                    } else if last {
                        // The last line has no line break yet.
                        left -= 1;
                    }
                    last = false;
                }
                at = from;
            }
        }
        Ok(floor)
    }
}
