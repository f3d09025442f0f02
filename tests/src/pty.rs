//! Commands and daemons whose stdout is a real terminal.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::lab::Lab;

/// What a command did on a terminal.
#[derive(Debug)]
pub struct OnTerminal {
    /// Every byte that reached the terminal from stdout.
    pub shown: Vec<u8>,
    /// What it wrote to stderr, which was a pipe.
    pub err: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl OnTerminal {
    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }
}

/// A pseudo terminal: the end that is read, and the one that a program writes to.
pub fn terminal() -> (File, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
    grantpt(&master).expect("its other end");
    unlockpt(&master).expect("its other end, open");
    let name = ptsname(&master, vec![]).expect("its name");
    let slave: OwnedFd = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("a terminal");
    (File::from(master), slave)
}

/// Reads until the other end is closed, which the terminal reports as an error.
pub fn read_all(mut master: File, mut each: impl FnMut(&[u8])) {
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = master.read(&mut piece) {
        each(&piece[..n]);
    }
}

/// Runs the program with its stdout on a pseudo terminal.
pub async fn on_terminal(lab: &Lab, args: &[&str], env: &[(&str, &str)]) -> OnTerminal {
    let (master, slave) = terminal();
    let mut command = lab.command(args);
    command.envs(env.iter().copied()).stdout(Stdio::from(slave)).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    // The terminal hangs up when the last holder of its other end is gone; the command holds one until it is dropped.
    drop(command);
    let reading = longhaul_proto::tasks::blocking(move || {
        let mut all = vec![];
        read_all(master, |piece| all.extend_from_slice(piece));
        all
    });
    // Read at once: a terminal that is not read blocks its writer.
    let waiting = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output());
    let (ended, shown) = tokio::join!(waiting, reading);
    let ended = ended.expect("the command ends").expect("its end is known");
    let shown = shown.expect("the terminal is read");
    OnTerminal { shown, err: String::from_utf8_lossy(&ended.stderr).into_owned(), status: ended.status }
}

/// A daemon whose stdout is a pseudo terminal; it is killed when this is dropped.
#[derive(Debug)]
pub struct Serving {
    shown: Arc<Mutex<Vec<u8>>>,
    child: tokio::process::Child,
}

impl Serving {
    /// Starts the program so; its stderr is dropped.
    pub fn start(lab: &Lab, args: &[&str]) -> Self {
        let (master, slave) = terminal();
        let mut command = lab.command(args);
        command.stdout(Stdio::from(slave)).stderr(Stdio::null());
        let child = command.spawn().expect("the program starts");
        drop(command);
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let all = shown.clone();
        // It ends with the daemon.
        longhaul_proto::tasks::in_background(move || {
            read_all(master, |piece| all.lock().expect("no reader panics").extend_from_slice(piece));
        });
        Self { shown, child }
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// What reached the terminal so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("no reader panics")).into_owned()
    }
}
