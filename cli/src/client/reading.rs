//! An output of a run, as it is read.

use std::time::Duration;

use reqwest::Response;

use super::ClientError;

/// Which output of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Stata's log.
    #[default]
    Log,
    /// What was printed outside the log.
    Console,
}

impl Stream {
    /// As the API names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Console => "console",
        }
    }
}

/// Which part of an output: of the log always the user's; offsets are those of the raw output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// From this byte on, waiting so long for more; one piece of the output.
    From(u64, Duration),
    /// The last so many lines.
    Tail(usize),
}

/// An output being read: as much as there was when the gateway answered.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) response: Response,
    pub(super) first: u64,
    pub(super) at: u64,
    pub(super) left: u64,
    pub(super) next: u64,
    /// The run has ended, and nothing follows this output.
    pub(crate) complete: bool,
}

impl Reading {
    /// Offset of the first byte.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Where the next read starts, once all bytes of this one were taken.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The next bytes and their offset; `None` after the last. The bytes of [`Part::From`] follow each other; those of
    /// [`Part::Tail`] may have a gap, and only the first offset is certain.
    ///
    /// # Errors
    /// When the connection broke; continue behind the last bytes.
    pub(crate) async fn chunk(&mut self) -> Result<Option<(u64, Vec<u8>)>, ClientError> {
        if self.left == 0 {
            return Ok(None);
        }
        let chunk = self.response.chunk().await.map_err(|source| ClientError::Broken { source })?;
        let Some(chunk) = chunk else { return Err(ClientError::Short) };
        let (at, len) = (self.at, chunk.len() as u64);
        self.at += len;
        self.left = self.left.saturating_sub(len);
        Ok(Some((at, chunk.to_vec())))
    }
}
