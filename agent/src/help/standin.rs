//! The stand-in's own help files: its program writes them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::prepare::Engine;

/// Has the stand-in write its help files into a folder. Without them there is no help on it, and everything else works.
pub(super) fn lay_out(engine: &Engine, folder: &Path) {
    if let Err(error) = std::fs::create_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "the stand-in's help has no folder");
        return;
    }
    let mut command = Command::new(&engine.program);
    command.args(&engine.argv).arg("-write-help").arg(folder);
    let ended = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match ended {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::warn!(%status, "the stand-in did not write its help"),
        Err(error) => tracing::warn!(%error, "the stand-in could not be asked for its help"),
    }
}
