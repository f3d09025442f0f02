//! The files that a command itself writes while it follows a run: its redirected output, a log. They are as young as the run
//! and may lie in its folder, and the run did not leave them.

use std::{
    fs::{self, Metadata},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use longhaul_proto::api::RunView;

/// Files of this machine, by device and inode.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnFiles(Vec<(u64, u64)>);

fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

impl OwnFiles {
    /// Those that this process's stdout and stderr go to.
    pub(crate) fn of_process() -> Self {
        let of = |stream: BorrowedFd<'_>| {
            let file = stream.try_clone_to_owned().map(fs::File::from).and_then(|file| file.metadata());
            file.ok().filter(Metadata::is_file).map(|meta| id(&meta))
        };
        Self([of(io::stdout().as_fd()), of(io::stderr().as_fd())].into_iter().flatten().collect())
    }

    /// And this one.
    pub(crate) fn and(mut self, path: &Path) -> Self {
        self.0.extend(fs::metadata(path).ok().map(|meta| id(&meta)));
        self
    }

    /// The run without these among the files that it left. A file of that name on another machine is none of them.
    pub(crate) fn left_out(&self, run: &RunView) -> RunView {
        let mut run = run.clone();
        run.artifacts.retain(|left| !fs::symlink_metadata(&left.path).is_ok_and(|meta| self.0.contains(&id(&meta))));
        run
    }
}
