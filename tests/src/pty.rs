//! A command whose stdout is a real terminal.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
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

/// Runs the program with its stdout on a pseudo terminal.
pub async fn on_terminal(lab: &Lab, args: &[&str], env: &[(&str, &str)]) -> OnTerminal {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
    grantpt(&master).expect("its other end");
    unlockpt(&master).expect("its other end, open");
    let name = ptsname(&master, vec![]).expect("its name");
    let slave: OwnedFd = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("a terminal");
    let mut command = lab.command(args);
    command.envs(env.iter().copied()).stdout(Stdio::from(slave)).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    // The terminal hangs up when the last holder of its other end is gone; the command holds one until it is dropped.
    drop(command);
    let reading = longhaul_proto::tasks::blocking(move || {
        let (mut master, mut all, mut piece) = (File::from(master), vec![], [0; 4096]);
        // An error is how the terminal says that the other end is closed.
        while let Ok(n @ 1..) = master.read(&mut piece) {
            all.extend_from_slice(&piece[..n]);
        }
        all
    });
    // At once: a terminal that is not read holds up its writer.
    let waiting = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output());
    let (ended, shown) = tokio::join!(waiting, reading);
    let ended = ended.expect("the command ends").expect("its end is known");
    let shown = shown.expect("the terminal is read");
    OnTerminal { shown, err: String::from_utf8_lossy(&ended.stderr).into_owned(), status: ended.status }
}
