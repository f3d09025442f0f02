//! Seats and runs at once: what is over them waits, and says for what.

use longhaul_proto::{
    api::{QuotaKind, RunView},
    state::RunState,
};
use longhaul_tests::{lab, wait};

use super::{principal, used};

const AGENT: [&str; 5] = ["--licence", "lab", "--seats", "4", "--serve-all"];

fn says(words: &str) -> impl Fn(&RunView) -> bool {
    move |run| run.state == RunState::Queued && run.waiting.as_deref().is_some_and(|waiting| waiting.contains(words))
}

#[tokio::test]
async fn a_run_over_the_seats_of_its_principal_waits_and_says_so_over_a_restart_too() {
    let mut lab = lab!();
    lab.config("quotas = { ana = \"seats.lab=1\" }\n");
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &AGENT);
    gateway.api.wait_host("stata1", "up").await;
    let ana = principal(&gateway, "ana").await;
    let file = lab.gated();
    let first = ana.submit_path(&file, &["first"]).await.run_id;
    ana.wait_output(first, "started first").await;
    let second = ana.submit_path(&file, &["second"]).await.run_id;
    let third = ana.submit_path(&file, &["third"]).await.run_id;
    let why = "ana has 1 of 1 seats of pool lab (quota `seats`)";
    ana.wait_run(second, wait::SOON, "why the second waits", says(&format!("1st: {why}"))).await;
    let after = format!("2nd, after run {}: {why}", second.short());
    ana.wait_run(third, wait::SOON, "why the third waits", says(&after)).await;
    assert_eq!(used(&ana, QuotaKind::Seats).await, (1, Some(1)));
    // Others are not held up, and the same words are in the list of what waits.
    let other = gateway.api.submit_path(&file, &["other"]).await.run_id;
    gateway.api.wait_output(other, "started other").await;
    let queue = ana.hosts().await.unwrap().queue;
    assert!(queue.iter().any(|view| view.run_id == third && view.waiting.contains(&after) && view.place == Some(2)));
    assert!(queue.iter().all(|view| view.principal.is_none()), "{queue:?}");
    let seen = gateway.api.hosts().await.unwrap().queue;
    assert!(seen.iter().all(|view| view.principal.as_deref() == Some("ana")), "{seen:?}");

    gateway.kill_and_restart().await;
    gateway.api.wait_host("stata1", "up").await;
    ana.wait_run(second, wait::SOON, "the second waits on", says(why)).await;
    assert_eq!((lab.executions("second"), used(&ana, QuotaKind::Seats).await), (0, (1, Some(1))));
    for (name, run) in [("first", first), ("second", second), ("third", third)] {
        ana.wait_output(run, &format!("started {name}")).await;
        lab.open_gate(name);
        assert_eq!(ana.wait_end(run).await.state, RunState::Succeeded);
    }
    lab.open_gate("other");
}

/// The control: without the quota both run.
#[tokio::test]
async fn without_the_quota_of_seats_the_second_runs() {
    let mut lab = lab!();
    lab.config("quotas = { ana = \"seats.lab=1\" }\n").env("LONGHAUL_FAULTS", "bug=quotas_of_seats_ignored");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &AGENT);
    gateway.api.wait_host("stata1", "up").await;
    let (ana, file) = (principal(&gateway, "ana").await, lab.gated());
    for name in ["first", "second"] {
        let run = ana.submit_path(&file, &[name]).await.run_id;
        ana.wait_output(run, &format!("started {name}")).await;
    }
    ["first", "second"].iter().for_each(|name| lab.open_gate(name));
}

#[tokio::test]
async fn a_group_shares_what_it_may_run_at_once() {
    let mut lab = lab!();
    lab.config("quotas = { \"@econ\" = \"running=1\" }\ngroups = { econ = \"ana, ben\" }\n");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &AGENT);
    gateway.api.wait_host("stata1", "up").await;
    let (ana, ben, file) = (principal(&gateway, "ana").await, principal(&gateway, "ben").await, lab.gated());
    let first = ana.submit_path(&file, &["first"]).await.run_id;
    ana.wait_output(first, "started first").await;
    let second = ben.submit_path(&file, &["second"]).await.run_id;
    ben.wait_run(second, wait::SOON, "why it waits", says("1st: group econ has 1 of 1 runs at once (quota `running`)"))
        .await;
    let third = ana.submit_path(&file, &["third"]).await.run_id;
    // Whose run is before is told to those alone who see all runs.
    ana.wait_run(third, wait::SOON, "its place", says("2nd, after another principal's run: group econ")).await;
    let seen = gateway.api.get(third).await.unwrap().waiting.unwrap();
    assert!(seen.starts_with(&format!("2nd, after run {} of ben: ", second.short())), "{seen}");
    for (api, name, run) in [(&ana, "first", first), (&ben, "second", second), (&ana, "third", third)] {
        api.wait_output(run, &format!("started {name}")).await;
        lab.open_gate(name);
        assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
    }
}
