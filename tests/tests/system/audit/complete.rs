//! What the ledger has, the audit log has: over submissions, cancels, and a gateway that is killed in between.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use longhaul_proto::api::{CancelBody, CancelMode, RunList, SubmitRequest};
use longhaul_tests::{api::read, lab, lab::Lab, wait};
use reqwest::Method;

use super::{lines, of, wrong};

/// Runs and cancels of the ledger, and those that the audit log has no line of.
async fn without_a_line(lab: &Lab) -> (usize, usize, Vec<String>) {
    let mut gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    for round in 0..4 {
        let (answered, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let calls = (0..12).map(|n| {
            let api = gateway.api.clone();
            let (answered, ended) = (&answered, &ended);
            async move {
                let text = Some(format!("display {round}\nsleep {}", 500 + 20 * n));
                let request = SubmitRequest { text, again: true, ..SubmitRequest::default() };
                let request = api.request(Method::POST, "/api/v1/runs").json(&request).timeout(Duration::from_secs(10));
                // The gateway may be killed under it.
                let Ok(answer) = request.send().await else { return };
                let Ok(made) = read::<longhaul_proto::api::Submitted>(answer).await else { return };
                answered.fetch_add(1, Ordering::SeqCst);
                if n % 3 == 0 {
                    let path = format!("/api/v1/runs/{}/cancel", made.run.run_id);
                    let cancel = api.request(Method::POST, &path).json(&CancelBody { mode: CancelMode::Kill });
                    if cancel.timeout(Duration::from_secs(10)).send().await.is_ok() {
                        ended.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
        let calls = futures_util::future::join_all(calls);
        let kill = async {
            // In the middle of the others.
            let some = || {
                let done = answered.load(Ordering::SeqCst) >= 3 + round && ended.load(Ordering::SeqCst) > 0;
                done.then_some(())
            };
            wait::until_now(wait::SOON, "some are answered", some).await;
            gateway.kill_and_restart().await;
        };
        tokio::join!(calls, kill);
    }
    gateway.api.wait_host_up().await;
    let list: RunList =
        read(gateway.api.request(Method::GET, "/api/v1/runs?limit=500").send().await.unwrap()).await.unwrap();
    let data = gateway.daemon.data.clone();
    gateway.daemon.terminate().await;
    assert_eq!(wrong(lab, &data).await, None, "the log is whole after kills");
    let all = lines(lab, &data, &[]).await;
    let runs = |event: &str| of(&all, event).iter().filter_map(|line| line["run"].as_str()).collect::<BTreeSet<_>>();
    let (mut made, cancelled) = (runs("submit"), runs("cancel"));
    made.extend(runs("import"));
    let mut missing = Vec::new();
    let mut cancels = 0;
    for run in &list.runs {
        let id = run.run_id.to_string();
        if !made.contains(id.as_str()) {
            missing.push(format!("submit {id}"));
        }
        if run.cancel_requested.is_some() {
            cancels += 1;
            if !cancelled.contains(id.as_str()) {
                missing.push(format!("cancel {id}"));
            }
        }
    }
    (list.runs.len(), cancels, missing)
}

#[tokio::test]
async fn nothing_is_in_the_ledger_without_its_line() {
    let (runs, cancels, missing) = without_a_line(&lab!()).await;
    assert!(runs >= 10 && cancels >= 1, "{runs} runs, {cancels} cancels");
    assert!(missing.is_empty(), "{missing:?} of {runs} runs");
}

#[tokio::test]
async fn control_events_that_are_dropped() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=audit_drops");
    let (runs, _, missing) = without_a_line(&lab).await;
    assert!(missing.len() >= runs, "{missing:?}");
}
