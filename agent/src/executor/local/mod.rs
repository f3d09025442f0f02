//! Attempts as supervised processes of this host: `<program> supervise SPOOL`, one for each.
//!
//! A held lock proves that a supervisor lives, a bare process id never proves anything, and a boot id other than the
//! present one proves that everything from before it is gone. All that is known of these three is here: [`supervisor`]
//! is the process itself, `markers` what it leaves, `probe` what follows from that, and `ready` the one that is started
//! before its run.

mod markers;
mod probe;
mod ready;
pub mod supervisor;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use futures_util::future::BoxFuture;
use longhaul_proto::{
    descriptors,
    durable::FILE_MODE,
    faults,
    tasks::{Tasks, blocking},
};

use super::{Accepted, Executor, HandleLoss, Hint, Job, JobHandle, Probe, Usage};
use crate::{
    os::{self, Groups, Means},
    spool::{CancelMode, Spool},
};

pub use markers::{mark_spawning, ready_mark};
pub use probe::probe;
use ready::Ready;

/// The name in this executor's handles.
pub const NAME: &str = "local";

/// Starts supervisors on this host.
#[derive(Clone, Debug)]
pub struct Local {
    program: PathBuf,
    ready: Arc<Ready>,
    means: Means,
}

impl Local {
    /// An executor; `program` understands `supervise SPOOL`; see [`own_program`].
    pub fn new(program: PathBuf) -> Self {
        Self { program, ready: Arc::default(), means: Means::default() }
    }

    /// Makes ready for limits on what runs use. Blocks for as long as a few small files take.
    pub fn with_limits(mut self) -> Self {
        let groups = Groups::find();
        groups.iter().for_each(Groups::prepare);
        let means = groups.map(|groups| groups.means()).unwrap_or_default();
        self.means = Means { first_for_memory: os::can_be_first_for_memory(), ..means };
        self
    }

    /// Keeps a supervisor ready for the next run, until the tasks are stopped.
    pub fn keep_one_ready(&self, tasks: &Tasks) {
        let local = self.clone();
        tasks.spawn_until_stop(async move { local.ready.keep(local.program.clone()).await });
    }

    async fn hand_over(&self, spool: &Spool) -> io::Result<Accepted> {
        let mut child = match self.ready.take(spool) {
            Some(child) => child,
            None => {
                let (local, spool) = (self.clone(), spool.clone());
                blocking(move || local.start_one(&spool)).await??
            }
        };
        let over: Hint = Box::pin(async move {
            // An error means that another part of the process waited for it: it is gone all the same.
            let _ = child.wait().await;
        });
        Ok(Accepted { handle: handle(), over: Some(over) })
    }

    fn start_one(&self, spool: &Spool) -> io::Result<tokio::process::Child> {
        let words = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(spool.supervisor_log())?;
        tokio::process::Command::new(&self.program)
            .arg("supervise")
            .arg(spool.path())
            .env_clear()
            .envs(faults::inherited())
            .envs(descriptors::inherited())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words)
            .kill_on_drop(false)
            .spawn()
    }
}

/// The handle of a job that is started now. It names no process: which one carries the job out, its lock says.
pub fn handle() -> JobHandle {
    JobHandle::new(NAME, os::boot_id())
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
    fn handle_loss(&self) -> HandleLoss {
        HandleLoss::EndsWithTheHost
    }

    fn ready_mark(&self) -> Vec<u8> {
        ready_mark()
    }

    fn start<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Vec<io::Result<Accepted>>> {
        Box::pin(async move {
            let mut accepted = Vec::with_capacity(jobs.len());
            for job in jobs {
                accepted.push(self.hand_over(&job.spool).await);
            }
            accepted
        })
    }

    fn probe<'a>(&'a self, job: &'a Job, handle: Option<&'a JobHandle>) -> BoxFuture<'a, Probe> {
        let (job, handle) = (job.clone(), handle.cloned());
        Box::pin(async move {
            let found = blocking(move || probe(&job, handle.as_ref())).await;
            found.unwrap_or_else(|error| Probe::Unknown(error.to_string()))
        })
    }

    fn end<'a>(&'a self, job: &'a Job, _: Option<&'a JobHandle>, _: CancelMode) -> BoxFuture<'a, io::Result<()>> {
        let spool = job.spool.clone();
        Box::pin(async move { blocking(move || nudge(&spool)).await })
    }

    fn means(&self) -> Means {
        self.means
    }

    fn activity<'a>(&'a self, job: &'a Job, _: Option<&'a JobHandle>) -> BoxFuture<'a, Option<Usage>> {
        let spool = job.spool.clone();
        Box::pin(async move { blocking(move || markers::usage(&spool)).await.ok().flatten() })
    }
}

/// Wakes the supervisor, which reads the request. Without one it does no harm: a supervisor reads requests when it starts.
fn nudge(spool: &Spool) {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    if let Ok(mut control) = OpenOptions::new().write(true).custom_flags(flags).open(spool.nudge()) {
        let _ = control.write(b"!");
    }
}
