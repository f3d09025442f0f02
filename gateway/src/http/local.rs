//! The socket of the gateway's own OS user: the same routes for the commands of that user on this machine.
//!
//! A port is a number that any process may take while the gateway is stopped; a file in a folder of one user alone is
//! not. The kernel says who is at the other end, and both ends ask: only the same user is answered.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use longhaul_proto::{durable, faults, private};
use tokio::net::{UnixListener, UnixStream};

/// See the module. The file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Local {
    listener: UnixListener,
    path: PathBuf,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Its folder is not this user's alone.
    #[error(transparent)]
    Folder(#[from] private::NotPrivate),
    /// It could not be made.
    #[error("cannot make the socket {}", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Local {
    /// Listens at `path`, in a folder that is made where it is missing. What a process that died left there is replaced:
    /// the caller holds the lock of the data folder by which the path is named.
    ///
    /// # Errors
    /// See [`LocalError`].
    pub(crate) fn open(path: &Path) -> Result<Self, LocalError> {
        let failed = |source| LocalError::Make { path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(path);
        durable::make_folder(folder).map_err(failed)?;
        private::check_closed(folder)?;
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
            fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(durable::FILE_MODE)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// The next connection; `None` = it was another user's, and is closed.
    ///
    /// # Errors
    /// When none can be accepted.
    pub(super) async fn accept(&self) -> io::Result<Option<UnixStream>> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred()?.uid();
        let own = peer == rustix::process::geteuid().as_raw() || faults::bug("any_local_user");
        Ok(own.then_some(stream))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Where it stays, the next start replaces it.
        let _ = fs::remove_file(&self.path);
    }
}
