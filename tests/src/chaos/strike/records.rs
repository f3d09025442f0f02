//! What a gateway has recorded: ledgers that are lost or restored from a backup, and output that is lost.

use std::{fs, path::PathBuf};

use super::{BEFORE, PATIENCE, Side, Site, Trial, pause};
use crate::{chaos::trial::FOCUS, lab};

fn ledger_files() -> [&'static str; 3] {
    ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"]
}

fn copy_ledger(from: &std::path::Path, to: &std::path::Path) {
    for name in ledger_files() {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Copies the ledger as it is before any run, with the gateway down.
pub async fn back_up(trial: &mut Trial) {
    trial.site.gateway.terminate().await;
    let backup = trial.site.lab.path().join("backup");
    fs::create_dir_all(&backup).unwrap();
    copy_ledger(&trial.site.gateway.data.join("gateway"), &backup);
    trial.site.restart(Side::Gateway).await;
}

/// The gateway's ledger is replaced by the one from before any run; its copies of output may go with it.
pub(super) async fn ledger_old(trial: &mut Trial) {
    // Runs that no agent has are gone with the only ledger that had them.
    let history = trial.history.clone();
    let given = async |site: &Site| {
        [BEFORE, FOCUS]
            .iter()
            .all(|name| history.run(name).is_some_and(|run| site.spool(run).join("attempt-1").exists()))
    };
    if !trial.site.wait(PATIENCE, given).await {
        trial.history.wrong("a run was not given to the agent");
    }
    trial.site.gateway.kill();
    for name in ledger_files() {
        let _ = fs::remove_file(trial.site.gateway.data.join("gateway").join(name));
    }
    copy_ledger(&trial.site.lab.path().join("backup"), &trial.site.gateway.data.join("gateway"));
    if trial.rng.coin() {
        let _ = fs::remove_dir_all(trial.site.gateway.data.join("gateway/mirror"));
    }
    pause(trial, 200).await;
    trial.site.restart(Side::Gateway).await;
}

/// The gateway's copy of the focus's output is lost with its process, and so is the end of the log on its host.
pub(super) async fn log_cut(trial: &mut Trial) {
    let Some(run) = trial.history.run(FOCUS) else { return };
    trial.site.gateway.kill();
    let _ = fs::remove_dir_all(trial.site.gateway.data.join("gateway/mirror").join(run.to_string()));
    let log = crate::lab::log_in(&trial.site.spool(run), run);
    let whole = fs::read(&log).unwrap_or_default();
    let left = trial.rng.below(1 + whole.len() as u64);
    let cut = fs::OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(left));
    trial.history.note(format!("log cut to {left} of {}: {cut:?}", whole.len()));
    trial.whole = Some(whole);
    trial.site.restart(Side::Gateway).await;
}

/// The gateway comes up with a new ledger: its agent must be refused and nothing may happen to the runs that it holds.
/// Then the old ledger is brought back.
pub(super) async fn ledger_lost(trial: &mut Trial) {
    trial.site.gateway.kill();
    let home = trial.site.gateway.data.join("gateway");
    let aside = trial.site.lab.path().join("aside");
    fs::create_dir_all(&aside).unwrap();
    for name in ledger_files() {
        let _ = fs::rename(home.join(name), aside.join(name));
    }
    let credentials = trial.site.gateway.data.join("credentials.json");
    let kept: PathBuf = aside.join("credentials.json");
    let _ = fs::copy(&credentials, &kept);
    trial.site.restart(Side::Gateway).await;
    let words = trial.site.lab.path().join("logs/gateway.log");
    let refused =
        async |_: &Site| fs::read_to_string(&words).is_ok_and(|text| text.contains("belongs to another gateway"));
    if !trial.site.wait(PATIENCE, refused).await {
        trial.history.wrong("an agent of another ledger was not refused");
    }
    for (name, run) in trial.history.runs() {
        if !trial.site.spool(run).is_dir() {
            trial.history.wrong(format!("the spool of {name} is gone with the ledger"));
        }
    }
    trial.site.gateway.kill();
    for name in ledger_files() {
        let _ = fs::remove_file(home.join(name));
        let _ = fs::rename(aside.join(name), home.join(name));
    }
    if lab::json(&kept).is_some() {
        let _ = fs::copy(&kept, &credentials);
    }
    trial.site.restart(Side::Gateway).await;
}
