//! The one oracle: waits for quiet, then reports what is wrong. It checks that
//!
//! - an acknowledged id resolves;
//! - a do-file ran once at most, by its own count, and once when it has an end of its own;
//! - what had ended stayed as it was (the clients check that all along, [`super::history`]);
//! - each run has its own end, or one that its cell admits; `lost` only where a host was gone, and corrected;
//! - what each follower received, and the mirror, are the log, byte for byte and in order;
//! - seats are free; no process, temporary file or socket is left; every run is one that a client requested;
//! - the ledger is sound, by SQLite's own check;
//! - the audit log is whole, and has what clients were told ([`super::audited`]).

use std::{fs, os::unix::fs::FileTypeExt, path::Path, time::Duration};

use longhaul_gateway::ledger::sqlite::SqliteLedger;
use longhaul_proto::{
    api::{Hosts, Retry, RunList, RunView},
    state::RunState,
};
use reqwest::Method;

use super::{
    audited,
    cell::Focus,
    clients,
    jobs::Job,
    site::{MAX_OUTPUT, Site},
    trial::{BY_MCP, FOCUS, Trial},
};
use crate::api;

/// Limit for quiet: far above what a busy machine needs.
const QUIET: Duration = Duration::from_secs(30);

/// Limit for a look that finds nothing left over.
const TIDY: Duration = Duration::from_secs(5);

/// See the module. Violations go into the trial's history.
pub async fn judge(trial: &mut Trial) {
    trial.site.heal();
    let calm = {
        let trial = &*trial;
        trial.site.wait(QUIET, async |_| unrest(trial).await.is_none()).await
    };
    if !calm {
        let why = unrest(trial).await.unwrap_or_else(|| "it came too late".into());
        trial.history.wrong(format!("no quiet: {why}"));
    }
    let runs = trial.history.runs();
    for (name, run) in &runs {
        let Some(view) = clients::look(&trial.site.api, &trial.history, name, *run, true).await else { continue };
        one(trial, name, &view).await;
    }
    answer(trial).await;
    let executed = fs::read_to_string(trial.site.lab.work().join("executions")).unwrap_or_default();
    for name in executed.lines() {
        if !trial.jobs.contains_key(name) && name != BY_MCP {
            trial.history.wrong(format!("{name} ran, which nobody asked for"));
        }
    }
    if let Some(list) = get::<RunList>(trial, "/api/v1/runs?limit=100").await {
        let refused = trial.answer.borrow().as_ref().is_some_and(|a| not_recorded(trial, a));
        let expected = trial.jobs.len() + usize::from(!refused);
        let superseded =
            |r: &&RunView| r.message.as_deref().is_some_and(|m| m.contains("the same call was made before"));
        let second = list.runs.iter().filter(superseded).count();
        if list.runs.len() != expected + second || (second > 0 && !trial.cell.may_forget()) {
            let ids: Vec<_> = list.runs.iter().map(|r| format!("{} {:?} {}", r.run_id, r.args, r.state)).collect();
            trial.history.wrong(format!("{expected} runs were asked for, and these are there: {ids:?}"));
        }
    }
    // A daemon that lives replaces a file at any time, by way of a temporary name: only what stays there is left over.
    let tidy = {
        let trial = &*trial;
        trial.site.wait(TIDY, async |site| left_over(site).is_empty()).await
    };
    if !tidy {
        left_over(&trial.site).into_iter().for_each(|what| trial.history.wrong(what));
    }
    trial.site.gateway.kill();
    audited::check(trial);
    match SqliteLedger::integrity(&trial.site.gateway.data.join("gateway")).await {
        Ok(said) if said == "ok" => {}
        said => trial.history.wrong(format!("the ledger is not sound: {said:?}")),
    }
}

async fn get<T: serde::de::DeserializeOwned>(trial: &Trial, path: &str) -> Option<T> {
    let request = trial.site.api.request(Method::GET, path).timeout(Duration::from_secs(5));
    api::read(request.send().await.ok()?).await.ok()
}

/// What is not quiet yet.
async fn unrest(trial: &Trial) -> Option<String> {
    let acked = trial.history.runs();
    for name in trial.jobs.keys() {
        let Some(run) = acked.get(name) else { return Some(format!("{name} is not acknowledged")) };
        let must_resolve = !trial.cell.may_forget();
        let Some(view) = clients::look(&trial.site.api, &trial.history, name, *run, must_resolve).await else {
            return Some(format!("{name} cannot be looked at"));
        };
        let whole = view.output_complete || may_be_short(trial, name, &view);
        if !view.state.is_end() || view.state == RunState::Lost || !whole {
            return Some(format!(
                "{name} is {} (attempt {}, complete: {}, waiting: {:?}, {:?})",
                view.state, view.attempt, view.output_complete, view.waiting, view.message
            ));
        }
        if trial.heard[name].borrow().len() as u64 != view.output_bytes {
            return Some(format!("the follower of {name} has {} bytes", trial.heard[name].borrow().len()));
        }
    }
    if trial.answer.borrow().is_none() {
        return Some("the call is not answered".into());
    }
    match get::<Hosts>(trial, "/api/v1/hosts").await {
        Some(hosts) if hosts.pools.iter().any(|p| p.in_use > 0) || hosts.hosts.iter().any(|h| h.running > 0) => {
            return Some(format!("seats are held: {:?}", hosts.pools));
        }
        Some(hosts) if hosts.hosts.iter().all(|h| h.state == "up") => {}
        Some(hosts) => {
            return Some(format!("the agent is {:?}", hosts.hosts.iter().map(|h| &h.state).collect::<Vec<_>>()));
        }
        None => return Some("the gateway does not answer".into()),
    }
    let left = trial.site.of_runs();
    (!left.is_empty()).then(|| format!("processes are left: {left:?}"))
}

/// Whether the copy of a run's output may have less than the run printed: it passed the limit, or its host lost some.
fn may_be_short(trial: &Trial, name: &str, view: &RunView) -> bool {
    let over = trial.setup.max_output.is_some() && view.output_bytes >= MAX_OUTPUT;
    over || trial.cell.may_miss(name == FOCUS)
}

/// One run's end, executions and bytes.
async fn one(trial: &Trial, name: &str, view: &RunView) {
    let Some(job) = trial.jobs.get(name) else { return };
    end(trial, name, job, view);
    executions(trial, name, job, view);
    let short = may_be_short(trial, name, view);
    if !short && !trial.site.spool(view.run_id).exists() {
        // Its spool was deleted for room: then the copy was whole, by the agent's own digest.
        return;
    }
    let log = match (&trial.whole, name == FOCUS) {
        (Some(whole), true) => whole.clone(),
        _ => trial.site.log(view.run_id),
    };
    if short { short_copy(trial, name, view, &log).await } else { whole_copy(trial, name, view, log).await }
}

/// How it ended.
fn end(trial: &Trial, name: &str, job: &Job, view: &RunView) {
    let history = &trial.history;
    let end = (view.state, view.cause);
    if end != job.end() && !trial.cell.admits(name == FOCUS, end.0, end.1) {
        history.wrong(format!(
            "{name} ended as {end:?} and not as {:?}: {:?} {:?}",
            job.end(),
            view.message,
            view.note
        ));
    }
    if end.0 == RunState::Failed && view.rc != Some(job.rc) {
        history.wrong(format!("{name} ended with r({:?}) and not r({})", view.rc, job.rc));
    }
}

/// How often it was executed.
fn executions(trial: &Trial, name: &str, job: &Job, view: &RunView) {
    let history = &trial.history;
    let end = (view.state, view.cause);
    let ran = trial.site.lab.executions(name);
    let again = job.request.retry == Some(Retry::IfProvenDead) && trial.cell.proves_dead(name == FOCUS);
    if ran > if again { 3 } else { 1 } || (ran == 0 && end == job.end()) {
        history.wrong(format!("{name} ran {ran} times and is {}", end.0));
    }
    // A run that was given up as lost, or was to end anyway, is not started again.
    let ends = matches!(job.focus, Focus::Cancelled | Focus::TimedOut) || trial.cell.may_lose();
    // Nor one whose copy is full: its note says so.
    let full = trial.setup.max_output.is_some() && view.note.as_deref().is_some_and(|n| n.contains("not tried again"));
    if again && !ends && !full && end.0 == RunState::Errored {
        history.wrong(format!("{name} was to be tried again and ended as {end:?}: {:?}", view.message));
    }
}

/// A copy that may be short: it is a prefix of the log, and what the follower heard.
async fn short_copy(trial: &Trial, name: &str, view: &RunView, log: &[u8]) {
    let heard = trial.heard[name].borrow().clone();
    let copy = clients::output(&trial.site.api, view.run_id, "log").await.unwrap_or_default();
    if !log.starts_with(&copy) || heard.as_bytes() != copy {
        trial.history.wrong(differ(&format!("the copy of what is left of {name}'s log"), &copy, log));
    }
}

/// A copy that must be whole, and what the follower heard: every byte of both streams.
async fn whole_copy(trial: &Trial, name: &str, view: &RunView, log: Vec<u8>) {
    let history = &trial.history;
    if trial.heard[name].borrow().as_bytes() != log {
        history.wrong(differ(
            &format!("what the follower of {name} heard"),
            trial.heard[name].borrow().as_bytes(),
            &log,
        ));
    }
    let console = trial.site.all_of(view.run_id, "run/console");
    for (stream, truth) in [("log", &log), ("console", &console)] {
        match clients::output(&trial.site.api, view.run_id, stream).await {
            Some(mirror) if mirror == *truth => {}
            Some(mirror) => history.wrong(differ(&format!("the mirror of {name}'s {stream}"), &mirror, truth)),
            None => history.wrong(format!("the {stream} of {name} cannot be read")),
        }
    }
}

fn differ(what: &str, has: &[u8], truth: &[u8]) -> String {
    let at = has.iter().zip(truth).position(|(a, b)| a != b).unwrap_or(has.len().min(truth.len()));
    format!("{what} has {} bytes and the log {}; they differ from {at} on", has.len(), truth.len())
}

/// Checks the answer to the caller by MCP.
async fn answer(trial: &Trial) {
    let ran = trial.site.lab.executions(BY_MCP);
    if ran > 1 {
        trial.history.wrong(format!("the do-file of the call ran {ran} times"));
    }
    let Some(answer) = trial.answer.borrow().clone() else { return };
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    let is_error = answer["result"]["isError"] == true;
    let rebooted = trial.cell.admits(false, RunState::Errored, longhaul_proto::state::Cause::HostRebooted);
    if not_recorded(trial, &answer) && ran == 0 {
        return;
    }
    // The ledger had forgotten the call when it was made again; then an agent came back with its run.
    if trial.cell.may_forget() && ran == 1 && text.contains("the same call was made before") {
        return;
    }
    let whole = ran == 1 && text.contains(&format!("{BY_MCP} line 1 of"));
    if !(if is_error { rebooted } else { whole }) {
        trial.history.wrong(format!("the call (which ran {ran} times) was answered with: {text}"));
    }
}

/// A gateway that cannot write its ledger says so; then there must be no run.
fn not_recorded(trial: &Trial, answer: &serde_json::Value) -> bool {
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    trial.cell.ledger_fails() && text.contains("could not record the run")
}

fn left_over(site: &Site) -> Vec<String> {
    let mut left = vec![];
    let mut folders = vec![site.lab.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() {
                if path.file_name().is_some_and(|n| n == "tmp") && path.starts_with(&site.agent.data) {
                    left.push(format!("a folder for temporary files is left: {}", path.display()));
                }
                folders.push(path);
            } else if (kind.is_socket() && !is_door(&path)) || is_temporary(&path) {
                left.push(format!("left: {}", path.display()));
            }
        }
    }
    left
}

/// The socket for a gateway's own user, which is there while it lives, and stays when it is killed: of each data folder
/// there is one at most.
fn is_door(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|folder| folder == "sockets")
}

/// Names that `durable` writes under before it renames, and room kept for the end.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.ends_with(".tmp") || name.ends_with(".new") || name == "reserve"
}
