//! Named stop points and deliberate bugs, for tests that break things on purpose.
//!
//! Only with the cargo feature `faults`, which the shipped program is built without: there [`point`] and [`bug`] are
//! empty and `false` at compile time, and none of what follows exists in the program.
//!
//! With it, a process reads the variable [`VARIABLE`]: directives with `;` between them:
//!
//! ```text
//! point=NAME:ACTION      what happens when NAME is passed; in each process that has the variable, once
//! bug=NAME               a deliberate bug is on
//! dir=FOLDER             the same from outside, at any time: the file FOLDER/NAME holds an action; it is renamed to
//!                        NAME.fired (with its pid) by the process that takes it: one does it, and once.
//!                        FOLDER/bug.NAME switches a bug on
//! boot=FILE              the host's boot id is the content of FILE
//! clock=FILE             wall-clock time is off by the content of FILE, milliseconds; read at every look at the clock
//!
//! ACTION                 kill        SIGKILL to itself
//!                        panic       a panic of the task that passes
//!                        stop        SIGSTOP to itself
//!                        pause=MS    sleeps so long, the thread and not the task
//!                        hold        waits for FOLDER/NAME.go
//!                        error=WHAT  enospc, erofs, eio; only where [`check`] asks, elsewhere nothing
//!                        @N after any of them: at the Nth passing (from 1)
//!                        @N+ after an error: at the Nth passing and at every later one
//! ```
//!
//! A supervisor gets the variable from its agent ([`inherited`]); Stata's environment is an allow-list without it.
//!
//! Within one process [`enter`] sets directives for the calling thread alone, so that tests that run side by side do
//! not affect each other; there `kill` and `stop` are panics, and the variable is ignored.
//!
//! [`did`] reports to a test every step by which something is made durable ([`Op`]), so that the test can work out what
//! a crash may leave of a folder.

use std::path::PathBuf;

#[cfg(feature = "faults")]
mod active;
#[cfg(feature = "faults")]
mod disk;
#[cfg(feature = "faults")]
pub use disk::{did, recorded};

/// One step on the file system, after it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A file now has this content, written in place; made if missing.
    Write(PathBuf, Vec<u8>),
    /// A file grew by this; made if missing.
    Append(PathBuf, Vec<u8>),
    /// A file was cut to this length, bytes.
    Truncate(PathBuf, u64),
    /// A file's content was synced.
    Sync(PathBuf),
    /// A folder's names were synced.
    SyncFolder(PathBuf),
    /// A name was changed to another, in the same folder.
    Rename(PathBuf, PathBuf),
    /// A file got a second name, in the same folder.
    Link(PathBuf, PathBuf),
    /// A file's name was removed.
    Remove(PathBuf),
    /// A folder was made.
    Folder(PathBuf),
    /// A folder was removed with all in it.
    RemoveAll(PathBuf),
}

#[cfg(feature = "faults")]
pub use active::{Scope, boot_id, bug, check, clock_offset_ms, enter, inherited, point};

/// The variable that holds a process's faults.
pub const VARIABLE: &str = "LONGHAUL_FAULTS";

/// Whether this program was built with faults.
pub const PRESENT: bool = cfg!(feature = "faults");

#[cfg(not(feature = "faults"))]
mod absent {
    /// A named point at which a test may stop, kill or delay this process.
    #[inline(always)]
    pub const fn point(_name: &str) {}

    /// A named point that may also fail.
    ///
    /// # Errors
    /// Never, in this build.
    #[inline(always)]
    pub const fn check(_name: &str) -> std::io::Result<()> {
        Ok(())
    }

    /// Whether a deliberate bug is switched on.
    #[inline(always)]
    pub const fn bug(_name: &str) -> bool {
        false
    }

    /// A boot id to use instead of the host's own.
    #[inline(always)]
    pub const fn boot_id() -> Option<String> {
        None
    }

    /// How far wall-clock time is off, milliseconds.
    #[inline(always)]
    pub const fn clock_offset_ms() -> i64 {
        0
    }

    /// Reports a step to a test.
    #[inline(always)]
    pub fn did(_op: impl FnOnce() -> super::Op) {}

    /// The variable, for a child process that is to have the same faults.
    #[inline(always)]
    pub const fn inherited() -> Option<(&'static str, std::ffi::OsString)> {
        None
    }
}
#[cfg(not(feature = "faults"))]
pub use absent::{boot_id, bug, check, clock_offset_ms, did, inherited, point};
