//! Where the files of a run are: in format 1 all in its folder, in format 2 ours in `control/` and the run's in `run/`.
//!
//! Whatever the format, the folder itself has `submission.json`, which names it, and the attempt files, so that an agent
//! that does not read the format sees that there is a run, and leaves it alone.

use std::{fs, path::Path};

/// The folder of what is ours, in format 2.
pub(super) const CONTROL: &str = "control";
/// The folder of what is the run's, in format 2.
pub(super) const RUN: &str = "run";

/// Within what is ours, the files of stored code.
pub(super) const BLOBS: &str = "control/blobs";

/// What tells a run of format 1, in whatever step it is, if its FIFO was never made.
const OF_FORMAT_1: [&str; 6] = ["submission.pb", "plan.json", "lock", "spawning", "exit.json", "outcome.json"];

/// The arrangement of one run's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Format 1.
    Flat,
    /// Format 2.
    Split,
}

impl Layout {
    /// The format that is written with it.
    pub fn format(self) -> u32 {
        match self {
            Self::Flat => 1,
            Self::Split => 2,
        }
    }

    /// That of the run in this folder; new runs, and those of which only a revoked attempt is there, get the newest.
    pub(super) fn of(folder: &Path) -> Self {
        let control = fs::symlink_metadata(folder.join(CONTROL));
        let flat = match control {
            // In format 1 this name is a FIFO's.
            Ok(control) => !control.is_dir(),
            Err(_) => OF_FORMAT_1.iter().any(|name| folder.join(name).exists()),
        };
        if flat { Self::Flat } else { Self::Split }
    }
}
