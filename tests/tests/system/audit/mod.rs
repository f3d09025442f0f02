//! The audit log: every event has its line, a change of the log is found, and nothing is in the ledger without it.

mod changes;
mod complete;
mod events;
mod outcomes;

use std::path::Path;

use longhaul_tests::lab::Lab;
use serde_json::Value;

/// The lines that `longhaul audit` shows of a data folder.
async fn lines(lab: &Lab, data: &Path, more: &[&str]) -> Vec<Value> {
    let mut args = vec!["audit", "--json", "--data", data.to_str().unwrap()];
    args.extend(more);
    let ran = lab.run(args).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `longhaul audit verify` finds; `None` = the log is whole.
async fn wrong(lab: &Lab, data: &Path) -> Option<String> {
    let ran = lab.run(["audit", "verify", "--json", "--data", data.to_str().unwrap()]).await;
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"));
    let wrong = report["wrong"].as_str().map(str::to_owned);
    assert_eq!((ran.status, report["whole"].as_bool()), (if wrong.is_some() { 4 } else { 0 }, Some(wrong.is_none())));
    wrong
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}
