//! Why a data file is not read, in words for the user.

use std::io;

use crate::prepare::Problem;

/// Why a data file is not read, or no further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The request cannot be meant: another one can.
    #[error("{0}")]
    Asked(String),
    /// There is no such file, or it is not shown.
    #[error("{}", .0.text)]
    Place(Problem),
    /// The file cannot be read.
    #[error("{0}")]
    File(String),
    /// Reading took too long.
    #[error(
        "the file is so large that reading it took longer than the limit of {0} s: name fewer observations with `in`, or let \
         Stata do it in a run"
    )]
    TimeUp(u64),
    /// Nobody waits for the answer any more.
    #[error("the caller is gone")]
    Gone,
}

impl Refused {
    /// A request that cannot be meant.
    pub(super) fn asked(words: impl Into<String>) -> Self {
        Self::Asked(words.into())
    }

    /// A file that cannot be read.
    pub(super) fn file(words: impl Into<String>) -> Self {
        Self::File(words.into())
    }

    /// As an error of reading, to pass through code that knows no others.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(refused) => refused,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::file("the file ends before it should: was it copied or saved to its end?")
            }
            Err(error) => Self::file(format!("the file cannot be read ({error})")),
        }
    }
}
