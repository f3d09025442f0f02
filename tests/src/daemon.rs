//! One daemon as a real process: started, ready, stopped, killed, started again.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::Signal;

use crate::{processes, wait};

/// How to start a daemon, again and again in the same way.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where its standard output and error go; appended to.
    pub log: PathBuf,
    /// A cgroup (its `cgroup.procs` file) that the process enters before it runs the program.
    pub cgroup: Option<PathBuf>,
}

/// A daemon. Dropping it kills its main process; the lab ends the processes that it left running.
#[derive(Debug)]
pub struct Daemon {
    /// What it is called in logs.
    pub name: String,
    /// Its data folder.
    pub data: PathBuf,
    /// How it is started.
    pub spec: Spec,
    child: Option<Child>,
}

impl Daemon {
    /// Starts it without waiting.
    pub fn start(name: &str, data: &Path, spec: Spec) -> Self {
        let mut daemon = Self { name: name.to_owned(), data: data.to_owned(), spec, child: None };
        daemon.restart();
        daemon
    }

    /// Starts it again after it ended or was killed.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "{} still runs", self.name);
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.spec.log).unwrap();
        let mut command = match &self.spec.cgroup {
            None => Command::new(&self.spec.program),
            Some(procs) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(procs).arg(&self.spec.program);
                shell
            }
        };
        command.args(&self.spec.args).env_clear().envs(self.spec.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.child = Some(command.spawn().unwrap());
    }

    /// The process id of the running daemon.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().expect("the daemon runs").id()).unwrap()
    }

    /// Whether it runs, so that a test that waits for it to be ready fails early when it never will be.
    pub fn alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.spec.log).unwrap_or_default()
    }

    /// `kill -9` of the main process alone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM to the main process alone, and waits for its end.
    pub async fn terminate(&mut self) -> ExitStatus {
        processes::signal(self.pid(), Signal::TERM);
        let mut child = self.child.take().unwrap();
        let status =
            wait::until_now(wait::SOON, &format!("{} ends on SIGTERM", self.name), || child.try_wait().unwrap()).await;
        assert!(!status.core_dumped(), "{} crashed", self.name);
        status
    }

    /// Waits for an end of its own.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        wait::until_now(wait::SOON, &format!("{} ends", self.name), || child.try_wait().unwrap()).await
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        processes::signal(self.pid(), Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        processes::signal(self.pid(), Signal::CONT);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
