//! The code of a run: found on this host, or sent along. Every error names the host, the path as it was requested and
//! what to do; the executed bytes are read once, with their digest.
//!
//! A refusal names no folder that its caller did not name. What [`inspect`] finds besides lies below the agent's folders, whose
//! files everyone whose runs the agent takes can list by a run; the gateway asks for nobody else.

mod bundle;
mod inspect;
mod places;
mod stored;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use longhaul_proto::{MAX_CODE_API, sha256_hex, state::Cause};

pub(crate) use bundle::unpack;
pub(crate) use inspect::Missing;
pub use places::Places;
pub(crate) use stored::lay_out;

/// How much older than its writing a file of the code is made: more than a tick of the kernel's clock, so that it is never
/// taken for one that the run wrote.
const OLDER: Duration = Duration::from_secs(1);

/// Makes a file that came with the run older than the run.
fn older_than_the_run(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let written = file.metadata()?.modified()?;
    file.set_modified(written.checked_sub(OLDER).unwrap_or(written))
}

/// Bytes of one file that are looked through for what its code names.
const LOOK_AT: u64 = 8 << 20;

/// As much of a file as is looked through; `None` = it cannot be read.
pub(super) fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LOOK_AT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Code that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The bytes, but for stored code.
    pub bytes: Vec<u8>,
    /// Where the bytes of stored code lie: they may be too many for memory.
    pub at: Option<PathBuf>,
    /// Their hex digest.
    pub sha256: String,
    /// The do-file, with symbolic links resolved; `None` for text.
    pub file: Option<PathBuf>,
}

/// Why code cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind.
    pub cause: Cause,
    /// In words for the user.
    pub text: String,
}

fn unreadable(text: String) -> Problem {
    Problem { cause: Cause::SourceUnreadable, text }
}

/// Checks code that came as bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn text(bytes: &[u8]) -> Result<Code, Problem> {
    check_bytes(bytes, "the submitted code")?;
    Ok(Code { bytes: bytes.to_vec(), at: None, sha256: sha256_hex(bytes), file: None })
}

fn check_bytes(bytes: &[u8], what: &str) -> Result<(), Problem> {
    if bytes.len() > MAX_CODE_API {
        let most = MAX_CODE_API >> 20;
        Err(unreadable(format!("{what} is larger than {most} MiB, which no do-file is: is it data?")))
    } else if bytes.iter().all(u8::is_ascii_whitespace) {
        Err(empty(what))
    } else if bytes.contains(&0) {
        Err(not_text(what))
    } else {
        Ok(())
    }
}

fn empty(what: &str) -> Problem {
    unreadable(format!("{what} is empty: there is nothing to run. Was it saved?"))
}

fn not_text(what: &str) -> Problem {
    unreadable(format!("{what} is not text (it has bytes of value 0): a do-file is wanted, not data or a UTF-16 file"))
}

/// Checks that the bytes are those the caller meant.
///
/// # Errors
/// When they are not, in words.
pub(crate) fn check_digest(code: &Code, expected: &str) -> Result<(), Problem> {
    if expected.is_empty() || expected.eq_ignore_ascii_case(&code.sha256) {
        return Ok(());
    }
    let name = if code.file.is_some() { "the do-file" } else { "the code" };
    Err(unreadable(format!(
        "{name} is not what was submitted: its SHA-256 is {} and not {expected}. It was changed meanwhile, or is \
         another file; submit it again",
        code.sha256
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_than_meant_are_refused() {
        let code = text(b"display 1\n").unwrap();
        assert!(check_digest(&code, "").is_ok());
        assert!(check_digest(&code, &code.sha256.to_uppercase()).is_ok());
        assert!(check_digest(&code, "00").is_err());
    }
}
