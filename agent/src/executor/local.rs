//! Runs as supervised processes of this host.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use longhaul_proto::{descriptors, durable::FILE_MODE, faults};

use super::{Executor, Gone};
use crate::{
    os,
    spool::{CancelRecord, Spool},
};

/// Starts `<program> supervise SPOOL`.
#[derive(Clone, Debug)]
pub struct Local {
    program: PathBuf,
}

impl Local {
    /// An executor; `program` understands `supervise SPOOL`; see [`own_program`].
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }
}

/// The running program's file, also after an upgrade replaced or removed it.
///
/// # Errors
/// When the system cannot tell.
pub fn own_program() -> io::Result<PathBuf> {
    let magic = Path::new("/proc/self/exe");
    let named = std::env::current_exe();
    if let (Ok(named), true) = (&named, magic.exists()) {
        use std::os::unix::fs::MetadataExt;
        let id = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
        // The plain name is easier for people who read `ps`, as long as it still is this program.
        return Ok(if id(named).is_some() && id(named) == id(magic) { named.clone() } else { magic.to_owned() });
    }
    named
}

impl Executor for Local {
    fn start(&self, spool: &Spool) -> io::Result<Gone> {
        let words = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(spool.supervisor_log())?;
        let mut child = tokio::process::Command::new(&self.program)
            .arg("supervise")
            .arg(spool.path())
            .env_clear()
            .envs(faults::inherited())
            .envs(descriptors::inherited())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words)
            .kill_on_drop(false)
            .spawn()?;
        Ok(Box::pin(async move {
            // An error means that another part of the process waited for it: it is gone all the same.
            let _ = child.wait().await;
        }))
    }

    fn alive(&self, spool: &Spool) -> io::Result<bool> {
        os::is_locked(&spool.lock())
    }

    fn cancel(&self, spool: &Spool, request: &CancelRecord) -> io::Result<()> {
        let known = spool.read::<CancelRecord>(&spool.cancel()).ok().flatten();
        if known.is_none_or(|known| request.mode > known.mode) {
            spool.write(&spool.cancel(), request)?;
        }
        nudge(spool);
        Ok(())
    }
}

/// Wakes the supervisor. Without one it does no harm: a supervisor reads cancel requests when it starts.
fn nudge(spool: &Spool) {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    if let Ok(mut control) = OpenOptions::new().write(true).custom_flags(flags).open(spool.control()) {
        let _ = control.write(b"!");
    }
}
