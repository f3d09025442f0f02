//! What a stranger tries between gateway and agents: to reflect a `Hello` to the side it came from, to pass it on, to
//! reuse recorded bytes, to pose as a gateway with an agent's key, or just to listen.
//!
//! Each has its control: the same attack on programs with a deliberate bug, or the same eavesdropper on a connection in
//! the clear.

use std::net::SocketAddr;

use longhaul_proto::{
    transport::{Proof, Role},
    wire::{self, agent_client::AgentClient, fleet_client::FleetClient},
};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    trust::{Behind, Played, Recorder, Side},
    wait,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::Code;

/// Protocol 1's proof: of the secret alone.
const PROOF: &str = "bug=hello_proves_the_secret_alone";
/// Every caller that proves the secret to an agent counts as its gateway.
const ANY_GATEWAY: &str = "bug=any_gateway";

async fn joined(lab: &Lab) -> (Gateway, Daemon, String) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let at = advertised(&gateway).await;
    (gateway, agent, at)
}

async fn advertised(gateway: &Gateway) -> String {
    gateway.api.hosts().await.unwrap().hosts[0].advertise.clone()
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

/// Takes the port of a process that is gone.
async fn squat(addr: &str) -> TcpListener {
    wait::until(wait::SOON, "the port is free", async || TcpListener::bind(addr).await.ok()).await
}

async fn listens(agent: &Daemon) -> String {
    let at = || agent.printed().split_once("listens on ")?.1.split_whitespace().next().map(str::to_owned);
    format!("http://{}", wait::until_now(wait::SOON, "where the agent listens", at).await)
}

/// A new agent whose gateway's address a stranger has, and what he gets: its `Hello` calls go back to itself.
async fn reflected_to_a_new_agent(faults: &str) -> (Vec<String>, bool) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let thief = Played::new(Side::stranger(Role::Gateway), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _serving = thief.serve(listener);
    let agent = lab.agent("stata1", &gateway, &["--gateway", &url]);
    let own = listens(&agent).await;
    thief.to(Behind::Agent(own.clone()));
    // The agent tries again and again.
    let tried = || (thief.greeted() > 3 || !thief.calls().is_empty()).then_some(());
    wait::until_now(wait::SOON, "it was tried", tried).await;
    let calls = thief.calls();
    // What the stranger may ask of it: its identity, and to run code.
    let obeyed = match Side::stranger(Role::Gateway).call_agent(&own).await {
        Ok(mut client) => client.describe(wire::DescribeRequest {}).await.is_ok(),
        Err(_) => false,
    };
    (calls, obeyed)
}

#[tokio::test]
async fn a_greeting_reflected_to_the_agent_that_sent_it_opens_nothing() {
    let (calls, obeyed) = reflected_to_a_new_agent("").await;
    assert!(calls.is_empty() && !obeyed, "{calls:?}");
}

/// The control: with protocol 1's proof, and an agent that takes any gateway that proves the secret, the reflected
/// `Hello` is accepted, and the agent tells the stranger all about itself.
#[tokio::test]
async fn with_a_proof_of_the_secret_alone_the_reflected_greeting_is_believed() {
    let (calls, _) = reflected_to_a_new_agent(&format!("{PROOF};{ANY_GATEWAY}")).await;
    assert!(calls.iter().any(|c| c.starts_with("register")), "{calls:?}");
}

#[tokio::test]
async fn who_takes_the_port_of_a_stopped_gateway_is_not_even_greeted() {
    let lab = lab!();
    let (mut gateway, agent, at) = joined(&lab).await;
    gateway.daemon.terminate().await;
    // He knows the secret, but does not have the key.
    let secret = std::fs::read_to_string(gateway.daemon.data.join("join-secret")).unwrap();
    let thief = Played::new(Side::with_secret(Role::Gateway, &secret), Some(Behind::Agent(at)));
    let serving = thief.serve(squat(gateway.api.address()).await);
    let said = || agent.printed().contains("agent/gateway-keys and start it again").then_some(());
    wait::until_now(wait::SOON, "the agent's owner reads what to do", said).await;
    assert_eq!((thief.greeted(), thief.calls()), (0, vec![]));
    // The control: the right gateway gets a `Hello` there at once.
    serving.shutdown(wait::SOON).await;
    drop(squat(gateway.api.address()).await);
    gateway.daemon.restart();
    lab::ready(&mut gateway.daemon).await;
    gateway.api.wait_host("stata1", "up").await;
}

/// A stranger has the port of an agent that was stopped: how many `Hello` calls he got there.
async fn at_the_port_of_a_stopped_agent(faults: &str) -> u32 {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let (gateway, mut agent, at) = joined(&lab).await;
    agent.terminate().await;
    let thief = Played::new(Side::stranger(Role::Agent), Some(Behind::Gateway(gateway.api.url().to_owned())));
    let _serving = thief.serve(squat(&address(&at).to_string()).await);
    let run = gateway.api.submit_path(&lab.gated(), &["mine"]).await.run_id;
    let tried = || {
        let refused = gateway.daemon.printed().contains("it shows the key");
        (refused || thief.greeted() > 0).then_some(())
    };
    wait::until_now(wait::SOON, "it was tried", tried).await;
    assert!(thief.calls().is_empty(), "{:?}", thief.calls());
    assert_eq!(gateway.api.get(run).await.unwrap().attempt, 0);
    // And the gateway does not accept him as an agent.
    let refused = Side::stranger(Role::Agent).call_gateway(gateway.api.url()).await.expect_err("a refusal");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    thief.greeted()
}

#[tokio::test]
async fn a_greeting_reflected_to_the_gateway_that_sent_it_opens_nothing() {
    assert_eq!(at_the_port_of_a_stopped_agent("").await, 0, "who shows another key is not greeted");
}

/// The control: a gateway that does not check the key sends him a `Hello`. (Even then it holds no proof that he could
/// use: there is nothing to reflect.)
#[tokio::test]
async fn a_gateway_that_does_not_look_at_keys_greets_any_listener() {
    assert!(at_the_port_of_a_stopped_agent("bug=any_agent_key").await > 0);
}

/// A stranger in the middle, with a key of his own on each side: what he gets from an agent that joins through him.
async fn in_the_middle(faults: &str) -> Vec<String> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let middle = Played::new(Side::stranger(Role::Agent), Some(Behind::Gateway(gateway.api.url().to_owned())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _serving = middle.serve(listener);
    let agent = lab.agent("stata1", &gateway, &["--gateway", &url]);
    let tried = || (middle.greeted() > 3 || !middle.calls().is_empty()).then_some(());
    wait::until_now(wait::SOON, "it was tried", tried).await;
    if middle.calls().is_empty() {
        assert!(agent.printed().contains("do not hold the same join secret"), "{}", agent.printed());
        assert!(gateway.daemon.printed().contains("does not hold the join secret"), "{}", gateway.daemon.printed());
    }
    middle.calls()
}

#[tokio::test]
async fn a_stranger_in_the_middle_with_his_own_keys_gets_nothing() {
    assert_eq!(in_the_middle("").await, Vec::<String>::new());
}

/// The control: a proof that is not bound to its connection can be passed on.
#[tokio::test]
async fn a_proof_of_the_secret_alone_can_be_passed_on() {
    assert!(in_the_middle(PROOF).await.iter().any(|c| c.starts_with("register")));
}

/// An agent, which holds the secret as all do, calls another: is the call carried out?
async fn an_agent_plays_gateway(faults: &str) -> Result<(), Code> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let (gateway, _one, at) = joined(&lab).await;
    let two = lab.agent("stata2", &gateway, &[]);
    gateway.api.wait_host("stata2", "up").await;
    let mut side = Side::agent(&two.data, &gateway.daemon.data);
    side.greeter.role = Role::Gateway;
    let asked = async |side: &Side| {
        let mut client = side.call_agent(&at).await?;
        client.describe(wire::DescribeRequest {}).await.map(drop)
    };
    let answer = asked(&side).await.map_err(|status| status.code());
    assert!(asked(&Side::gateway(&gateway.daemon.data)).await.is_ok(), "the control: its gateway is obeyed");
    answer
}

#[tokio::test]
async fn an_agent_that_plays_gateway_to_another_is_refused() {
    assert_eq!(an_agent_plays_gateway("").await, Err(Code::PermissionDenied));
}

/// The control: it is the pin that refuses it, since it holds the secret.
#[tokio::test]
async fn without_the_pin_it_would_be_obeyed() {
    assert_eq!(an_agent_plays_gateway(ANY_GATEWAY).await, Ok(()));
}

#[tokio::test]
async fn a_listener_sees_neither_code_nor_output_nor_secret() {
    const CODE: &str = "display \"CONFIDENTIAL \" 40 + 2\n";
    let mut lab = lab!();
    // Clients come through a relay, which has a port of its own.
    lab.config("allowed_hosts = [\"127.0.0.1\"]\n");
    let gateway = lab.gateway().await;
    let (to_gateway, to_agent) = (Recorder::new().await, Recorder::new().await);
    to_gateway.to(address(gateway.api.url()));
    let more = ["--gateway", &to_gateway.url(), "--advertise", &to_agent.url()];
    let agent = lab.agent("stata1", &gateway, &more);
    to_agent.to(address(&listens(&agent).await));
    gateway.api.wait_host("stata1", "up").await;
    // The control: a client in the clear, recorded in the same way.
    let client = Recorder::new().await;
    client.to(address(gateway.api.url()));
    let api = Api::new(&client.url(), gateway.api.token());
    let request = longhaul_proto::api::SubmitRequest { text: Some(CODE.to_owned()), ..Default::default() };
    let run = api.submit(&request).await.unwrap().run.run_id;
    gateway.api.wait_end(run).await;
    let log = String::from_utf8(api.output(run, "log").await.unwrap()).unwrap();
    assert!(log.contains("CONFIDENTIAL 42"), "{log}");

    let secret = std::fs::read_to_string(gateway.daemon.data.join("join-secret")).unwrap();
    let cluster = std::fs::read_to_string(agent.data.join("agent/cluster-id")).unwrap();
    let id = run.to_string();
    let words = ["CONFIDENTIAL", "CONFIDENTIAL 42", "stata1", "longhaul.v1", "/Hello", secret.trim(), &cluster, &id];
    for (name, ears) in [("to the gateway", &to_gateway), ("to the agent", &to_agent)] {
        assert!(ears.bytes() > 2000, "{name}: {} bytes", ears.bytes());
        for words in words {
            assert!(!ears.heard(words), "{name}: {words}");
        }
    }
    for words in ["CONFIDENTIAL 42", "display", &id] {
        assert!(client.heard(words), "the control would have heard {words}");
    }
}

/// Sends recorded bytes again, unchanged, and reads the answer.
async fn replay(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut answer = Vec::new();
    let talk = async {
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    // After an answer to plain HTTP the connection may stay open.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(3), talk).await;
    answer
}

#[tokio::test]
async fn what_was_recorded_is_worth_nothing_on_another_connection() {
    let mut lab = lab!();
    // Clients come through a relay, which has a port of its own.
    lab.config("allowed_hosts = [\"127.0.0.1\"]\n");
    let gateway = lab.gateway().await;
    let (to_agent, client) = (Recorder::new().await, Recorder::new().await);
    let agent = lab.agent("stata1", &gateway, &["--advertise", &to_agent.url()]);
    let at = listens(&agent).await;
    to_agent.to(address(&at));
    client.to(address(gateway.api.url()));
    gateway.api.wait_host("stata1", "up").await;
    let file = lab.counted("replayed.do", "display 1\n");
    let api = Api::new(&client.url(), gateway.api.token());
    let request = longhaul_proto::api::SubmitRequest {
        path: Some(file.to_str().unwrap().to_owned()),
        args: vec!["replayed".to_owned()],
        again: true,
        ..Default::default()
    };
    let run = api.submit(&request).await.unwrap().run.run_id;
    gateway.api.wait_end(run).await;
    // Everything that the gateway ever sent to the agent, byte for byte.
    let before = gateway.api.list().await.unwrap().runs.len();
    for sent in to_agent.sent() {
        replay(address(&at), &sent).await;
    }
    assert_eq!(lab.executions("replayed"), 1);
    // A `Hello` of the right gateway, sent with another key on another connection.
    let right = Side::gateway(&gateway.daemon.data);
    let hello = {
        let dialled = right.dial(&at).await.unwrap();
        let hello = right.greeter.request(&dialled.channel, "", Proof::Include);
        assert!(AgentClient::new(dialled.transport).hello(hello.clone()).await.is_ok(), "it is right in its place");
        hello
    };
    let dialled = Side::stranger(Role::Gateway).dial(&at).await.unwrap();
    let refused = AgentClient::new(dialled.transport).hello(hello).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    // The same for an agent's `Hello` to the gateway.
    let right = Side::agent(&agent.data, &gateway.daemon.data);
    let hello = {
        let dialled = right.dial(gateway.api.url()).await.unwrap();
        right.greeter.request(&dialled.channel, "", Proof::Include)
    };
    let dialled = Side::stranger(Role::Agent).dial(gateway.api.url()).await.unwrap();
    let refused = FleetClient::new(dialled.transport).hello(hello).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    // The control: where clients speak in the clear, recorded bytes can be sent again, and are obeyed.
    for sent in client.sent() {
        replay(address(gateway.api.url()), &sent).await;
    }
    let more = || lab.executions("replayed") > 1;
    wait::until_now(wait::SOON, "the recorded request is executed again", || more().then_some(())).await;
    assert!(gateway.api.list().await.unwrap().runs.len() > before);
}

#[tokio::test]
async fn who_comes_without_tls_is_told_to_upgrade() {
    let lab = lab!();
    let (gateway, agents, at) = joined(&lab).await;
    let mut fleet = FleetClient::connect(gateway.api.url().to_owned()).await.unwrap();
    let mut agent = AgentClient::connect(at).await.unwrap();
    // A `Hello` of protocol 1.
    let hello =
        || wire::HelloRequest { nonce: vec![7; 32], protocol: 1, version: "0.1.0".into(), ..Default::default() };
    for (refused, words) in [
        (fleet.hello(hello()).await.map(drop), "upgrade the agent"),
        (fleet.register(wire::RegisterRequest::default()).await.map(drop), "upgrade the agent"),
        (agent.hello(hello()).await.map(drop), "upgrade the gateway"),
        (agent.describe(wire::DescribeRequest {}).await.map(drop), "upgrade the gateway"),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert!(refused.message().contains(words), "{refused:?}");
    }
    // Their operators read it in their logs, and repeated calls do not fill the log.
    let told = "a call without TLS was refused";
    for (printed, words) in [(gateway.daemon.printed(), "upgrade the agent"), (agents.printed(), "upgrade the gateway")]
    {
        assert_eq!(printed.matches(told).count(), 1, "{printed}");
        assert!(printed.contains(words), "{printed}");
    }
    // The control: over TLS the same calls are answered.
    assert!(Side::gateway(&gateway.daemon.data).call_agent(&advertised(&gateway).await).await.is_ok());
    let joins =
        Side::with_secret(Role::Agent, &std::fs::read_to_string(gateway.daemon.data.join("join-secret")).unwrap());
    assert!(joins.call_gateway(gateway.api.url()).await.is_ok());
}
