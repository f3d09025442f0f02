//! `longhaul backup` while runs are active, and `longhaul restore`: the gateway that starts on the copy is the one that it
//! was made of, every run has its true end, and nothing that is damaged or half made is taken for a backup.

mod active;
mod held_back;
mod killed;
mod refused;
mod swept;
mod whole;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use longhaul_proto::tasks::Tasks;
use longhaul_tests::{
    lab::{Gateway, Lab, Ran, finish, ready},
    wait,
};
use serde_json::Value;
use tokio::task::JoinHandle;

/// `longhaul backup TO --json` of a gateway's folder, with these faults.
fn command(lab: &Lab, gateway: &Gateway, to: &Path, more: &[&str], faults: &str) -> tokio::process::Command {
    let mut command = lab.command(["backup", "--json", "--data"]);
    command.arg(&gateway.daemon.data).arg(to).args(more).env("LONGHAUL_FAULTS", faults);
    command
}

/// Makes a backup, and says what the command told of it.
async fn back_up(lab: &Lab, gateway: &Gateway, to: &Path, more: &[&str]) -> Value {
    told(&finish(command(lab, gateway, to, more, &lab.faults())).await)
}

fn told(ran: &Ran) -> Value {
    assert_eq!(ran.status, 0, "{ran:#?}");
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"))
}

fn path_of(made: &Value) -> PathBuf {
    made["path"].as_str().unwrap().into()
}

/// A backup that stops at a point until it is told to go on.
struct Held {
    faults: PathBuf,
    point: &'static str,
    command: JoinHandle<Ran>,
}

impl Held {
    /// Begins one, and returns when it is there.
    async fn at(point: &'static str, lab: &Lab, gateway: &Gateway, to: &Path, bug: &str) -> Self {
        let faults = lab.path().join("faults-of-backup");
        fs::create_dir_all(&faults).unwrap();
        fs::write(faults.join(point), "hold").unwrap();
        let words = format!("dir={};{bug}", faults.display());
        let command = Tasks::new().spawn(finish(command(lab, gateway, to, &[], &words)));
        let fired = faults.join(format!("{point}.fired"));
        wait::until_now(wait::SOON, "the backup is there", || fired.exists().then_some(())).await;
        Self { faults, point, command }
    }

    /// Lets it come to its end.
    async fn go_on(self) -> Ran {
        fs::write(self.faults.join(format!("{}.go", self.point)), "").unwrap();
        self.command.await.unwrap()
    }
}

/// `longhaul restore FROM --into DATA`.
async fn restore(lab: &Lab, from: &Path, into: &Path) -> Ran {
    let mut command = lab.command(["restore", "--json"]);
    command.arg(from).arg("--into").arg(into);
    finish(command).await
}

/// The gateway's machine is gone: its process, and then its folder.
fn lose(gateway: &mut Gateway) {
    gateway.daemon.kill();
    fs::remove_dir_all(&gateway.daemon.data).unwrap();
}

/// Restores the lost folder, and starts the gateway as before.
async fn come_back(lab: &Lab, gateway: &mut Gateway, from: &Path) {
    let restored = restore(lab, from, &gateway.daemon.data).await;
    assert_eq!(restored.status, 0, "{restored:#?}");
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
}

/// All files below a folder with their modes, by path; folders too.
fn tree(folder: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let (mut all, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(&below).unwrap().map(Result::unwrap) {
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            if meta.is_dir() {
                folders.push(entry.path());
            }
            all.push((entry.path().strip_prefix(folder).unwrap().to_owned(), meta));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// What in a folder other users could read.
fn open_to_others(folder: &Path) -> Vec<PathBuf> {
    tree(folder).into_iter().filter(|(_, meta)| meta.mode() & 0o077 != 0).map(|(path, _)| path).collect()
}

/// The names in a folder of backups.
fn names(to: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(to).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
