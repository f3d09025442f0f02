//! Reading a run's output by ranges, for those who show it.

use bytes::{Bytes, BytesMut};
use longhaul_proto::{api::RunView, ids::RunId};

use crate::{
    auth::Principal,
    runs::{MAX_READ, ReadError, Runs, Stream},
};

/// How far back the beginning of the last lines is looked for, bytes: a log of one endless line has no last lines.
const MAX_LOOK_BACK: u64 = 4 << 20;

/// One output of one run, as its owner may read it.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) runs: Runs,
    pub(crate) who: Principal,
    pub(crate) run: RunId,
    pub(crate) stream: Stream,
}

impl Output {
    /// At most `max` bytes from `offset`, none past `end`.
    pub(crate) async fn chunk(&self, offset: u64, end: u64, max: usize) -> Result<Bytes, ReadError> {
        let room = usize::try_from(end.saturating_sub(offset)).unwrap_or(MAX_READ).min(max).min(MAX_READ);
        if room == 0 {
            return Ok(Bytes::new());
        }
        let mut chunk = self.runs.read(&self.who, self.run, self.stream, offset, room).await?;
        chunk.bytes.truncate(room);
        Ok(chunk.bytes)
    }

    /// All bytes from `start` to `end`; fewer when the output is shorter.
    pub(crate) async fn range(&self, start: u64, end: u64) -> Result<Bytes, ReadError> {
        let mut all = BytesMut::new();
        loop {
            let bytes = self.chunk(start + all.len() as u64, end, MAX_READ).await?;
            if bytes.is_empty() {
                return Ok(all.freeze());
            }
            all.extend_from_slice(&bytes);
        }
    }

    /// Where the last `lines` lines of the bytes from `start` to `end` begin.
    pub(crate) async fn tail_start(&self, start: u64, end: u64, lines: u64) -> Result<u64, ReadError> {
        if lines == 0 {
            return Ok(end);
        }
        let floor = start.max(end.saturating_sub(MAX_LOOK_BACK));
        let mut at = end;
        // The line break that ends the last line begins no other.
        let mut left = lines + 1;
        while at > floor {
            let from = floor.max(at.saturating_sub(MAX_READ as u64));
            let bytes = self.range(from, at).await?;
            for (i, byte) in bytes.iter().enumerate().rev() {
                let here = from + i as u64;
                if *byte == b'\n' {
                    left -= 1;
                    if left == 0 {
                        return Ok(here + 1);
                    }
                } else if here + 1 == end {
                    // The last line has no line break yet.
                    left -= 1;
                }
            }
            at = from;
        }
        Ok(floor)
    }
}

/// The user's part of the log so far: without what the wrapper around the do-file printed.
pub(crate) fn user_part(view: &RunView) -> (u64, u64) {
    let len = view.output_bytes;
    let (start, end) = view.view.map_or((0, len), |v| (v.start, v.end.unwrap_or(len)));
    (start.min(len), end.min(len).max(start.min(len)))
}

/// How many bytes of an output there are.
pub(crate) fn length(view: &RunView, stream: Stream) -> u64 {
    match stream {
        Stream::Log => view.output_bytes,
        Stream::Console => view.console_bytes,
    }
}
