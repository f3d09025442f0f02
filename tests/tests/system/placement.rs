//! Pools and seats, agents that join late, and agents that cannot be reached.

use longhaul_proto::state::RunState;
use longhaul_tests::{lab, processes, wait};

/// One pool of one seat over two hosts: how many engines run at this moment.
fn engines(lab: &longhaul_tests::lab::Lab) -> usize {
    processes::engines(lab.path()).len()
}

#[tokio::test]
async fn one_seat_is_one_run_over_two_hosts_and_a_restart_of_the_gateway() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let _agents: Vec<_> =
        ["stata1", "stata2"].map(|n| lab.agent(n, &gateway, &["--licence", "lab", "--seats", "1"])).into();
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_host("stata2", "up").await;

    let file = lab.gated();
    let first = gateway.api.submit_path(&file, &["first"]).await.run_id;
    gateway.api.wait_output(first, "started first").await;
    let second = gateway.api.submit_path(&file, &["second"]).await.run_id;
    let says_why = |v: &longhaul_proto::api::RunView| {
        let waiting = v.waiting.as_deref().unwrap_or_default();
        v.state == RunState::Queued && waiting.contains("seat") && waiting.contains("lab")
    };
    gateway.api.wait_run(second, wait::SOON, "the second says why it waits", says_why).await;
    assert_eq!(engines(&lab), 1);
    let hosts = gateway.api.hosts().await.unwrap();
    let pool = hosts.pools.iter().find(|p| p.name == "lab").expect("the pool");
    assert_eq!((pool.seats, pool.in_use, pool.hosts.len()), (1, 1, 2), "{pool:?}");
    assert!(hosts.queue.iter().any(|q| q.run_id == second), "{:?}", hosts.queue);

    gateway.kill_and_restart().await;
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_host("stata2", "up").await;
    // Both agents are back and one of them is free: the seat is what the second still waits for.
    gateway.api.wait_run(second, wait::SOON, "the second waits on and says why", says_why).await;
    assert_eq!(engines(&lab), 1);
    assert_eq!(lab.executions("second"), 0);

    lab.open_gate("first");
    gateway.api.wait_output(second, "started second").await;
    let first = gateway.api.wait_end(first).await;
    assert_eq!(first.state, RunState::Succeeded, "{first:#?}");
    lab.open_gate("second");
    let second = gateway.api.wait_end(second).await;
    assert_eq!((second.state, second.attempt), (RunState::Succeeded, 1), "{second:#?}");
    assert!(second.started_at >= first.finished_at, "never two at once: {first:#?} {second:#?}");
    assert_eq!((lab.executions("first"), lab.executions("second")), (1, 1));
}

/// The control of the test above: only the shared pool holds the second back.
#[tokio::test]
async fn two_pools_are_two_runs_at_once() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agents: Vec<_> =
        ["stata1", "stata2"].map(|n| lab.agent(n, &gateway, &["--licence", n, "--seats", "1"])).into();
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_host("stata2", "up").await;
    let file = lab.gated();
    let mut runs = Vec::new();
    for name in ["first", "second"] {
        runs.push((name, gateway.api.submit_path(&file, &[name]).await.run_id));
    }
    for (name, run) in &runs {
        gateway.api.wait_output(*run, &format!("started {name}")).await;
    }
    assert_eq!(engines(&lab), 2);
    for (name, run) in runs {
        lab.open_gate(name);
        assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    }
}

#[tokio::test]
async fn an_agent_that_joins_later_is_used() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let run = gateway.api.submit_path(&lab.gated(), &["early"]).await.run_id;
    let why = gateway.api.wait_run(run, wait::SOON, "a reason in words", |v| v.waiting.is_some()).await;
    assert!(why.waiting.as_deref().unwrap_or_default().contains("agent"), "{why:#?}");
    let _agent = lab.agent("late", &gateway, &[]);
    gateway.api.wait_output(run, "started early").await;
    lab.open_gate("early");
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.host.as_deref()), (RunState::Succeeded, Some("late")), "{end:#?}");
}

#[tokio::test]
async fn an_agent_whose_address_cannot_be_dialled_is_told_and_gets_no_run() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    // Port 1 of this host: no process listens there.
    let mut agent = lab.agent("stata1", &gateway, &["--advertise", "http://127.0.0.1:1"]);
    gateway.api.wait_host("stata1", "unreachable").await;
    // Before the first attempt has failed, the reason is that the agent is being dialled.
    wait::until(wait::SOON, "what is wrong names the address", async || {
        let hosts = gateway.api.hosts().await.ok()?;
        hosts.hosts[0].problem.as_ref()?.contains("127.0.0.1:1 ").then_some(())
    })
    .await;
    wait::until_now(wait::SOON, "the agent is told", || agent.printed().contains("127.0.0.1:1 ").then_some(())).await;
    let run = gateway.api.submit_path(&lab.gated(), &["unreachable"]).await.run_id;
    let waits = gateway.api.wait_run(run, wait::SOON, "a reason in words", |v| v.waiting.is_some()).await;
    assert_eq!((waits.state, waits.attempt), (RunState::Queued, 0), "{waits:#?}");

    // The control: with an address that answers, the same agent gets the same run.
    agent.terminate().await;
    agent.spec = lab.agent_spec("stata1", &gateway, &[]);
    agent.restart();
    gateway.api.wait_output(run, "started unreachable").await;
    lab.open_gate("unreachable");
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn an_agent_with_another_secret_is_no_agent() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let secret = lab.file("other-secret", "a secret of somebody else's lab\n");
    let agent = lab.agent("stranger", &gateway, &["--join-secret-file", secret.to_str().unwrap()]);
    wait::until_now(wait::SOON, "it is told why", || agent.printed().contains("join secret").then_some(())).await;
    assert!(gateway.api.hosts().await.unwrap().hosts.is_empty());
}
