//! What clients were told, the audit log has: each acknowledged submission and cancel, and each answer of the Model Context
//! Protocol; and the log is whole after kills.

use std::collections::BTreeSet;

use longhaul_gateway::audit::{Filter, read, verify::verify};
use serde_json::Value;

use super::trial::Trial;

/// Reads the log of the gateway's data folder, whose process is gone. Violations go into the trial's history.
pub fn check(trial: &Trial) {
    // A disk that is full takes no lines, and they are counted.
    if trial.cell.ledger_fails() {
        return;
    }
    let (data, history) = (&trial.site.gateway.data, &trial.history);
    match verify(data) {
        Ok(report) if report.wrong.is_none() && report.lines > 0 => {}
        report => history.wrong(format!("the audit log is not whole: {report:?}")),
    }
    let lines = match read(data, &Filter::default()) {
        Ok(lines) => lines,
        Err(error) => return history.wrong(format!("the audit log cannot be read: {error}")),
    };
    if lines.iter().any(|line| line["event"] == "lost") {
        return history.note("the audit log lost lines, and says so");
    }
    let runs = |event: &str| -> BTreeSet<&str> {
        lines.iter().filter(|line| line["event"] == event).filter_map(|line| line["run"].as_str()).collect()
    };
    let mut made = runs("submit");
    made.extend(runs("import"));
    for (name, run) in history.runs() {
        if !made.contains(run.to_string().as_str()) {
            history.wrong(format!("{name} was acknowledged as {run}, and the audit log has no line of it"));
        }
    }
    let cancelled = runs("cancel");
    for run in history.cancelled() {
        if !cancelled.contains(run.to_string().as_str()) {
            history.wrong(format!("the request to end {run} was acknowledged, and the audit log has no line of it"));
        }
    }
    let told = |line: &&Value| line["event"] == "answer" && line["detail"]["tool"] == "stata_run_file";
    let answers = lines.iter().filter(told).count();
    let seen = history.answers();
    if answers < seen {
        history.wrong(format!("clients saw {seen} answers of stata_run_file, and the audit log has {answers}"));
    }
}
