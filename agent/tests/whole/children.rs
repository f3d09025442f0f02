//! Processes that hand their children on while they are listed.

use std::{fs, path::Path, process::Command};

use longhaul_agent::os;
use rustix::process::{Pid, WaitOptions};

use super::Test;

/// The tests.
pub(crate) const TESTS: &[Test] = &[
    ("a_chain_of_processes_is_always_seen", a_chain_of_processes_is_always_seen),
    #[cfg(feature = "faults")]
    ("one_walk_does_not_see_it_always", one_walk_does_not_see_it_always),
];

/// Lists the descendants this often.
const LOOKS: u32 = 2_000;

/// `children FOLDER LOOKS [FAULTS]`: starts a chain of processes, each of which starts the next and ends, and lists the descendants of this
/// process, which is their subreaper. Exit status 0 when there was never none.
pub(crate) fn main(folder: &Path, looks: u32) -> bool {
    let (script, over) = (folder.join("link"), folder.join("over"));
    fs::write(&script, "[ -e \"$1\" ] || sh \"$0\" \"$1\" &\n").unwrap();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    assert!(Command::new("sh").arg(&script).arg(&over).status().unwrap().success());
    let seen = (0..looks).all(|_| {
        for zombie in os::zombies_of(me).into_iter().filter_map(Pid::from_raw) {
            let _ = rustix::process::waitpid(Some(zombie), WaitOptions::NOHANG);
        }
        !os::descendants(me).is_empty()
    });
    fs::write(&over, "").unwrap();
    seen
}

fn always_seen(bug: Option<&str>, looks: u32) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("children").arg(folder.path()).arg(looks.to_string()).args(bug);
    command.status().unwrap().success()
}

fn a_chain_of_processes_is_always_seen() {
    assert!(always_seen(None, LOOKS));
}

#[cfg(feature = "faults")]
fn one_walk_does_not_see_it_always() {
    assert!(!always_seen(Some("bug=one_walk_is_enough"), 50 * LOOKS));
}
