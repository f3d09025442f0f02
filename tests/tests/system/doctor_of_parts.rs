//! What `doctor` says on a machine with a gateway alone, and on one with an agent alone.

use longhaul_tests::{lab, lab::Lab};

/// The status of `doctor` where a gateway alone works, whose agent is up, and what it says.
async fn beside_a_gateway(lab: &Lab) -> (i32, String) {
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let ran = lab.run(["doctor", "--data", gateway.daemon.data.to_str().unwrap()]).await;
    (ran.status, ran.out)
}

#[tokio::test]
async fn a_gateway_alone_needs_no_stata() {
    let mut lab = lab!();
    let (status, out) = beside_a_gateway(&lab).await;
    assert!(status == 0 && out.contains("which needs none"), "{out}");
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=gateways_need_stata");
    assert_eq!(beside_a_gateway(&lab).await.0, 4, "the control");
}

#[tokio::test]
async fn beside_an_agent_its_gateway_is_tried() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let doctor = async || {
        let mut command = lab.command(["doctor", "--data", agent.data.to_str().unwrap()]);
        command.env("LONGHAUL_ENGINE", "standin");
        longhaul_tests::lab::finish(command).await
    };
    let ran = doctor().await;
    let answers = format!("{} answers", gateway.api.url());
    assert!(ran.status == 0 && ran.out.contains("the agent's gateway") && ran.out.contains(&answers), "{ran:#?}");
    gateway.daemon.kill();
    let ran = doctor().await;
    assert!(ran.status == 4 && ran.out.contains("the agent tries again by itself"), "{ran:#?}");
}
