//! Why there is no backup, or nothing was restored, and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use longhaul_proto::{private::NotPrivate, words};

use crate::ledger::LedgerError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("no gateway has kept its record in {}: name the gateway's data folder with --data, on its machine", .0.display())]
    NoGateway(PathBuf),
    /// A folder is another user's, or open to others.
    #[error("{0}; a backup is made and restored by the gateway's own user (`sudo -u longhaul longhaul …`)")]
    Foreign(#[from] NotPrivate),
    /// The destination lies in what is copied.
    #[error("{} lies inside the data folder {}: choose a folder elsewhere, best on another disk", to.display(), data.display())]
    Inside {
        /// The destination.
        to: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// The destination is something else.
    #[error("{} is not a folder: name the folder that is to hold the backups", .0.display())]
    NotAFolder(PathBuf),
    /// Another backup is being made there.
    #[error("another backup is being made in {}: wait until it is done", .0.display())]
    Busy(PathBuf),
    /// What it is made of keeps no modes.
    #[error(
        "the file system of {} keeps no modes (a new folder has {mode:o}), and other users could read keys there: choose \
         one that does", folder.display()
    )]
    NoModes {
        /// The folder.
        folder: PathBuf,
        /// What a new folder has there.
        mode: u32,
    },
    /// There is too little room.
    #[error(
        "{} has {} free, and this needs {}: make room, keep fewer (--keep), or choose another disk",
        folder.display(), words::bytes(*free), words::bytes(*needed)
    )]
    NoRoom {
        /// A folder of the file system.
        folder: PathBuf,
        /// Bytes.
        free: u64,
        /// Bytes.
        needed: u64,
    },
    /// A link or something else that is no file of ours.
    #[error("{} is a link or no plain file, and is not followed: put the file itself there", .0.display())]
    Link(PathBuf),
    /// Files come and go faster than they are copied.
    #[error(
        "files were removed as fast as they could be copied, in {0} rounds: try again when the gateway removes less"
    )]
    Restless(usize),
    /// The ledger cannot be copied or read.
    #[error("cannot copy the ledger")]
    Ledger(#[source] LedgerError),
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {}: nothing is left of what was not whole", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no backup.
    #[error("{} is no backup: {why}", path.display())]
    NoBackup {
        /// What was named.
        path: PathBuf,
        /// What is the matter, and what to name instead.
        why: String,
    },
    /// Files of it are not as they were written.
    #[error("the backup {} is damaged, and nothing was restored: {}", path.display(), list(what))]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// Each file, with what is wrong.
        what: Vec<String>,
    },
    /// A newer program made it.
    #[error(
        "longhaul {version} made this backup, with {what} {found}, and this program knows up to {known}: restore it with that \
         version or a newer one"
    )]
    TooNew {
        /// The version that made it.
        version: String,
        /// Of what the number is.
        what: &'static str,
        /// The number in it.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// It is restored into an empty folder only.
    #[error(
        "{} is not empty (it has `{name}`): a backup is restored into an empty or a new folder; move away what is there",
        folder.display()
    )]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        name: String,
    },
}

impl BackupError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            // What opening a link without following it answers.
            Some(rustix::io::Errno::LOOP) => Self::Link(path),
            _ => Self::Read { path, source },
        }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// The first of what is wrong, and how many more there are.
fn list(what: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = what.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if what.len() > SHOWN {
        text.push_str(&format!("; and {} more", what.len() - SHOWN));
    }
    text
}
