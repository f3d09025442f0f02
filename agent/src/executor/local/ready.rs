//! One supervisor that is started before there is a run for it, so that the next run does not wait for a program to
//! start.
//!
//! It waits at its standard input for the folder of a run, and leaves at the end of the input: when the agent drops it,
//! or is gone. A run that comes while there is none starts a supervisor of its own.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{descriptors, faults, tasks::blocking};
use tokio::{
    process::{Child, Command},
    sync::Notify,
};

use crate::spool::Spool;

/// The next one is started so long after a run came: that one's Stata runs by then, and need not share the processor.
const AFTER: Duration = Duration::from_millis(30);

/// Where the one is kept.
#[derive(Debug, Default)]
pub(super) struct Ready {
    one: Mutex<Option<Waiting>>,
    taken: Notify,
}

#[derive(Debug)]
struct Waiting {
    input: File,
    process: Child,
}

impl Ready {
    /// Hands a run to the one that waits. `None` = there is none, or it is gone.
    pub(super) fn take(&self, spool: &Spool) -> Option<Child> {
        if spool.path().as_os_str().as_bytes().contains(&b'\n') {
            return None;
        }
        let waiting = self.one.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.taken.notify_one();
        let Waiting { mut input, process } = waiting?;
        let folder = [spool.path().as_os_str().as_bytes(), b"\n"].concat();
        // One write of less than a page: all of it or nothing.
        input.write_all(&folder).ok().map(|()| process)
    }

    /// Keeps one ready, for ever.
    pub(super) async fn keep(&self, program: PathBuf) {
        loop {
            tokio::time::sleep(AFTER).await;
            // Runs that came at once have asked for it more than once.
            if self.is_there() {
                self.taken.notified().await;
                continue;
            }
            let program = program.clone();
            match blocking(move || start(&program)).await.and_then(|started| started) {
                Ok(waiting) => *self.one.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting),
                // The run that comes next starts its own, and says what is wrong.
                Err(error) => tracing::debug!(%error, "no supervisor is ready for the next run"),
            }
            self.taken.notified().await;
        }
    }
}

impl Ready {
    fn is_there(&self) -> bool {
        self.one.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

fn start(program: &Path) -> io::Result<Waiting> {
    let mut process = Command::new(program)
        .args(["supervise", super::supervisor::READY])
        .env_clear()
        .envs(faults::inherited())
        .envs(descriptors::inherited())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(false)
        .spawn()?;
    let input = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()?;
    Ok(Waiting { input: File::from(input), process })
}
