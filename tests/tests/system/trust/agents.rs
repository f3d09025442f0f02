//! The key is the identity: which agents are let in, which wait, which are refused, and until when.

use std::{fs, path::Path};

use longhaul_proto::{
    api::{AgentKeyView, AgentKeys},
    transport::Role,
    wire,
};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    processes,
    trust::Side,
    wait,
};
use reqwest::Method;
use tonic::Code;

async fn keys(gateway: &Gateway) -> Vec<AgentKeyView> {
    let answer = gateway.api.request(Method::GET, "/api/v1/agents").send().await.unwrap();
    longhaul_tests::api::read::<AgentKeys>(answer).await.unwrap().agents
}

/// State by name, in order.
async fn states(gateway: &Gateway) -> Vec<(String, String)> {
    keys(gateway).await.into_iter().map(|key| (key.name, key.state)).collect()
}

fn state(name: &str, state: &str) -> (String, String) {
    (name.to_owned(), state.to_owned())
}

/// `longhaul agents …` on the gateway's data folder.
async fn agents(lab: &Lab, gateway: &Gateway, words: &[&str]) -> lab::Ran {
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    lab.run(["agents"].iter().chain(words).copied().chain(["--data", &data])).await
}

async fn says(daemon: &Daemon, words: &str) {
    wait::until_now(wait::SOON, words, || daemon.printed().contains(words).then_some(())).await;
}

/// Loses only the key, as a new installation under the old name does.
fn lose_key(data: &Path) {
    fs::remove_file(data.join("agent/key")).unwrap();
}

#[tokio::test]
async fn another_key_under_a_known_name_is_refused_until_the_first_is_revoked() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let mut first = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    assert_eq!(states(&gateway).await, [state("stata1", "accepted")]);
    assert_eq!(keys(&gateway).await[0].by, "join secret");

    // A stranger with the secret takes the name, with a data folder of his own; the real agent is away.
    first.terminate().await;
    let data = lab.path().join("thief");
    let mut spec = lab.agent_spec("stata1", &gateway, &["--data", data.to_str().unwrap()]);
    spec.log = lab.path().join("logs/thief.log");
    let mut thief = Daemon::start("thief", &data, spec);
    says(&thief, "longhaul agents revoke stata1").await;
    assert_eq!(states(&gateway).await, [state("stata1", "accepted")], "he is not even listed");
    let run = gateway.api.submit_path(&lab.gated(), &["mine"]).await.run_id;
    thief.terminate().await;
    // The control: the real agent is let in and gets the run.
    first.restart();
    gateway.api.wait_output(run, "started mine").await;
    lab.open_gate("mine");
    gateway.api.wait_end(run).await;

    // Its key is lost: the same id, the same name, another key.
    first.terminate().await;
    lose_key(&first.data);
    first.restart();
    says(&first, "longhaul agents revoke stata1").await;
    let ran = agents(&lab, &gateway, &["revoke", "stata1"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    gateway.api.wait_host("stata1", "up").await;
    assert_eq!(states(&gateway).await, [state("stata1", "revoked"), state("stata1", "accepted")]);
    let listed = agents(&lab, &gateway, &["list"]).await;
    assert!(listed.out.contains("accepted, connected") && listed.out.contains("revoked"), "{listed:?}");
    let unknown = agents(&lab, &gateway, &["revoke", "stata9"]).await;
    assert!(unknown.status == 4 && unknown.err.contains("there are: stata1"), "{unknown:?}");
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_at_once_and_stays_so_until_it_is_approved() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&lab.gated(), &["going"]).await.run_id;
    gateway.api.wait_output(run, "started going").await;
    let ran = agents(&lab, &gateway, &["revoke", "stata1"]).await;
    assert!(ran.status == 0 && ran.err.contains("longhaul agents approve stata1"), "{ran:?}");
    gateway.api.wait_host("stata1", "silent").await;
    says(&agent, "was revoked").await;
    let host = gateway.api.hosts().await.unwrap().hosts.remove(0);
    assert!(host.problem.as_deref().is_some_and(|p| p.contains("longhaul agents approve stata1")), "{host:#?}");
    // A restart, the secret and a new proof of it do not help: it is told, and ends.
    agent.terminate().await;
    agent.restart();
    assert_eq!(agent.ended().await.code(), Some(7));
    assert!(agent.printed().contains("Start it again when that is settled"), "{}", agent.printed());
    let side = Side::agent(&agent.data, &gateway.daemon.data);
    let refused = side.call_gateway(gateway.api.url()).await.expect_err("a refusal");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert_eq!(states(&gateway).await, [state("stata1", "revoked")]);
    // Its run goes on on its host.
    assert_eq!(processes::engines(lab.path()).len(), 1);
    // The control: approved, it is in again, and its run is followed again.
    assert_eq!(agents(&lab, &gateway, &["approve", "stata1"]).await.status, 0);
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    lab.open_gate("going");
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.attempt, lab.executions("going")), (1, 1), "{end:#?}");
}

/// A gateway on which new keys wait, or not.
async fn new_key(approve: bool) -> (Lab, Gateway, Daemon) {
    let lab = lab!();
    let args: &[&str] = if approve { &["gateway", "--approve-agents"] } else { &["gateway"] };
    let gateway = lab.serving("gateway", args).await;
    let agent = lab.agent("stata1", &gateway, &[]);
    (lab, gateway, agent)
}

#[tokio::test]
async fn with_approve_agents_a_new_key_waits_and_its_owner_reads_for_what() {
    let (lab, mut gateway, mut agent) = new_key(true).await;
    says(&agent, "longhaul agents approve stata1").await;
    assert_eq!(states(&gateway).await, [state("stata1", "waiting")]);
    let run = gateway.api.submit_path(&lab.gated(), &["mine"]).await.run_id;
    // Through a restart of both it waits on, and its message is not repeated again and again.
    gateway.kill_and_restart().await;
    agent.terminate().await;
    agent.restart();
    says(&agent, "serves http").await;
    let said = || agent.printed().matches("longhaul agents approve stata1").count();
    wait::until_now(wait::SOON, "it is told after its restart", || (said() > 1).then_some(())).await;
    assert_eq!(gateway.api.get(run).await.unwrap().attempt, 0);
    assert!(gateway.api.hosts().await.unwrap().hosts.iter().all(|h| h.state != "up"));
    let ran = agents(&lab, &gateway, &["approve", "stata1"]).await;
    assert!(ran.status == 0 && ran.err.contains("is let in"), "{ran:?}");
    gateway.api.wait_output(run, "started mine").await;
    let key = keys(&gateway).await.remove(0);
    assert!(key.state == "accepted" && key.by != "join secret" && key.connected, "{key:?}");
    assert!(said() < 8, "{}", agent.printed());
    lab.open_gate("mine");
    gateway.api.wait_end(run).await;
    // An accepted agent stays accepted.
    agent.terminate().await;
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
}

/// The control: without the flag the same agent is let in by its secret.
#[tokio::test]
async fn without_approve_agents_the_secret_is_enough() {
    let (_lab, gateway, _agent) = new_key(false).await;
    gateway.api.wait_host("stata1", "up").await;
}

#[tokio::test]
async fn only_operators_see_and_change_agents() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&serde_json::json!({"name": "visitor"}));
    let made: serde_json::Value = longhaul_tests::api::read(made.send().await.unwrap()).await.unwrap();
    let visitor = gateway.api.with_token(made["token"].as_str().unwrap());
    let cases = [
        (Method::GET, "/api/v1/agents"),
        (Method::POST, "/api/v1/agents/stata1/approve"),
        (Method::POST, "/api/v1/agents/stata1/revoke"),
    ];
    for (method, path) in cases {
        assert_eq!(visitor.request(method.clone(), path).send().await.unwrap().status(), 403, "{path}");
        let own = gateway.api.request(method, path).send().await.unwrap().status();
        assert!(own == 200 || own == 404, "the control: {path} {own}");
    }
}

/// Registers a second process of an agent, which has a copy of its key, while the first lives.
async fn second_incarnation(faults: &str) -> String {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let copy = Side::agent(&agent.data, &gateway.daemon.data);
    let mut fleet = copy.call_gateway(gateway.api.url()).await.unwrap();
    let info = wire::AgentInfo {
        agent_id: fs::read_to_string(agent.data.join("agent/agent-id")).unwrap().trim().to_owned(),
        incarnation: "a copy".into(),
        name: "stata1".into(),
        advertise: "http://127.0.0.1:1".into(),
        protocol: longhaul_proto::PROTOCOL,
        version: "1".into(),
        ..Default::default()
    };
    let request = wire::RegisterRequest { agent: Some(info), ..Default::default() };
    let problem = fleet.register(request.clone()).await.unwrap().into_inner().problem;
    if !problem.is_empty() {
        // It gets nothing of the first one's either.
        gateway.api.wait_host("stata1", "up").await;
        // When the first is gone the same process is let in: that is a restart.
        drop(agent);
        let gone = async || fleet.register(request.clone()).await.ok()?.into_inner().problem.is_empty().then_some(());
        wait::until(wait::SOON, "it is let in when the first is gone", gone).await;
    }
    problem
}

#[tokio::test]
async fn a_second_living_incarnation_is_refused_until_the_first_is_gone() {
    let problem = second_incarnation("").await;
    assert!(problem.contains("another process of agent stata1 is connected"), "{problem}");
}

/// The control: without that check the copy takes the first one's place.
#[tokio::test]
async fn without_that_look_a_copy_would_take_its_place() {
    assert_eq!(second_incarnation("bug=second_incarnation").await, "");
}

#[tokio::test]
async fn a_connection_speaks_for_its_own_agent_alone() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let one = lab.agent("stata1", &gateway, &[]);
    let two = lab.agent("stata2", &gateway, &[]);
    for name in ["stata1", "stata2"] {
        gateway.api.wait_host(name, "up").await;
    }
    // The second, with its own right key, poses as the first: registers and sends heartbeats under its id.
    let side = Side::agent(&two.data, &gateway.daemon.data);
    let mut fleet = side.call_gateway(gateway.api.url()).await.unwrap();
    let id = fs::read_to_string(one.data.join("agent/agent-id")).unwrap().trim().to_owned();
    for (agent_id, name) in [(id.as_str(), "stata1"), (id.as_str(), "stata2"), ("fresh", "stata1")] {
        let info = wire::AgentInfo {
            agent_id: agent_id.to_owned(),
            incarnation: "thief".into(),
            name: name.to_owned(),
            advertise: "http://127.0.0.1:1".into(),
            protocol: longhaul_proto::PROTOCOL,
            version: "1".into(),
            ..Default::default()
        };
        let request = wire::RegisterRequest { agent: Some(info), ..Default::default() };
        let problem = fleet.register(request).await.unwrap().into_inner().problem;
        assert!(!problem.is_empty(), "{agent_id} {name}");
    }
    let beat = wire::HeartbeatRequest { agent_id: id, ..Default::default() };
    assert!(!fleet.heartbeat(beat).await.unwrap().into_inner().known);
    for name in ["stata1", "stata2"] {
        gateway.api.wait_host(name, "up").await;
    }
    assert_eq!(Role::Agent, side.greeter.role);
}
