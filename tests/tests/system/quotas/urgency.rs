//! The priority of runs, and the limits on running that pools have.

use longhaul_proto::{
    api::{Priority, RunView, SubmitRequest},
    state::{Cause, RunState},
};
use longhaul_tests::{lab, wait};

use super::{principal, text};

fn urgent(priority: Priority, reason: Option<&str>, code: &str) -> SubmitRequest {
    SubmitRequest { priority: Some(priority), priority_reason: reason.map(str::to_owned), ..text(code) }
}

fn at(place: &str) -> impl Fn(&RunView) -> bool {
    move |run| run.waiting.as_deref().is_some_and(|waiting| waiting.starts_with(place))
}

#[tokio::test]
async fn a_priority_counts_among_ones_own_and_an_operators_among_all() {
    let mut lab = lab!();
    lab.config("quotas = { ana = \"priority=high\" }\n");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--licence", "lab", "--seats", "1", "--serve-all"]);
    gateway.api.wait_host("stata1", "up").await;
    let (ana, ben, file) = (principal(&gateway, "ana").await, principal(&gateway, "ben").await, lab.gated());
    let held = gateway.api.submit_path(&file, &["held"]).await.run_id;
    gateway.api.wait_output(held, "started held").await;
    let first = ana.submit(&text("display 1")).await.unwrap().run.run_id;
    let theirs = ben.submit(&text("display 2")).await.unwrap().run.run_id;
    let high = ana.submit(&urgent(Priority::High, Some("deadline on Friday"), "display 3")).await.unwrap().run;
    // Before her own, in the turn that she has anyway.
    ana.wait_run(high.run_id, wait::SOON, "the first place", at("1st: ")).await;
    ben.wait_run(theirs, wait::SOON, "the second place", at("2nd, after another principal's run: ")).await;
    ana.wait_run(first, wait::SOON, "the third place", at("3rd, ")).await;
    let low = ana.submit(&urgent(Priority::Low, None, "display 4")).await.unwrap().run.run_id;
    let last = ana.submit(&text("display 5")).await.unwrap().run.run_id;
    ana.wait_run(low, wait::SOON, "the last place", at("5th, ")).await;
    ana.wait_run(last, wait::SOON, "before the one that waits", at("4th, ")).await;
    let view = high.priority.unwrap();
    assert_eq!(
        (view.level, view.reason.as_deref(), view.between_principals),
        (Priority::High, Some("deadline on Friday"), false)
    );
    // An operator's comes before all.
    let operators =
        gateway.api.submit(&urgent(Priority::High, Some("a demonstration"), "display 6")).await.unwrap().run;
    gateway.api.wait_run(operators.run_id, wait::SOON, "before all", at("1st: ")).await;
    ana.wait_run(high.run_id, wait::SOON, "behind the operator's", at("2nd, ")).await;
    // Without the right, or without a reason.
    let refused = ben.submit(&urgent(Priority::High, Some("x"), "display 7")).await.unwrap_err();
    assert!(refused.status == 403 && refused.detail.contains("`priority=high` in the quota of ben"), "{refused:?}");
    let refused = ana.submit(&urgent(Priority::High, None, "display 7")).await.unwrap_err();
    assert!(refused.status == 400 && refused.detail.contains("needs a reason"), "{refused:?}");
    let data = gateway.daemon.data.display().to_string();
    let shown = lab.run(["show", &high.run_id.to_string(), "--data", &data]).await;
    assert!(shown.out.contains("high: deadline on Friday"), "{shown:?}");
    let listed = lab.run(["runs", "--data", &data]).await;
    assert!(listed.out.contains("queued, high") && listed.out.contains("queued, low"), "{listed:?}");
    let audit = lab.run(["audit", "--event", "submit", "--json", "--data", &data]).await;
    assert!(audit.out.lines().any(|line| line.contains("deadline on Friday") && line.contains("high")), "{audit:?}");
    lab.open_gate("held");
    let ended = [ana.wait_end(high.run_id).await, ben.wait_end(theirs).await, ana.wait_end(low).await];
    assert!(ended[0].started_at <= ended[1].started_at && ended[1].started_at <= ended[2].started_at, "{ended:#?}");
}

/// The control: where anybody may raise a run, nothing is refused.
#[tokio::test]
async fn a_gateway_that_lets_anybody_raise_runs_is_found() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=anybody_raises");
    let gateway = lab.gateway().await;
    let ben = principal(&gateway, "ben").await;
    ben.submit(&urgent(Priority::High, Some("x"), "display 7")).await.unwrap();
}

#[tokio::test]
async fn a_pool_gives_a_limit_on_running_and_has_a_largest() {
    for bug in [false, true] {
        let mut lab = lab!();
        lab.config("pool_timeouts = { lab = \"default=2s max=1h\" }\n");
        if bug {
            lab.env("LONGHAUL_FAULTS", "bug=pool_timeouts_ignored");
        }
        let gateway = lab.gateway().await;
        let _agent = lab.agent("stata1", &gateway, &["--licence", "lab", "--serve-all"]);
        gateway.api.wait_host("stata1", "up").await;
        let long = SubmitRequest { timeout: Some(7_200.0), ..text("display 1") };
        let answer = gateway.api.submit(&long).await;
        if bug {
            answer.expect("the control");
            continue;
        }
        let refused = answer.unwrap_err();
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(
            refused.detail.contains("a timeout of 2 h") && refused.detail.contains("in pool lab, which is 1 h"),
            "{refused:?}"
        );
        let run = gateway.api.submit_path(&lab.gated(), &["never"]).await;
        assert_eq!((run.timeout, run.timeout_of.as_deref()), (Some(2.0), Some("lab")), "{run:#?}");
        assert!(run.note.unwrap().contains("no timeout was asked for: it has that of pool lab, 2 s"));
        let run = gateway.api.wait_end(run.run_id).await;
        assert_eq!((run.state, run.cause), (RunState::TimedOut, Cause::RunTimeout), "{run:#?}");
        let own = gateway.api.submit(&SubmitRequest { timeout: Some(60.0), ..text("display 2") }).await.unwrap().run;
        assert_eq!((own.timeout, own.timeout_of), (Some(60.0), None));
    }
}
