//! Certificates between gateway and agents: which are refused, and that they are renewed under what goes on.

use std::{fs, path::Path, time::Duration};

use longhaul_gateway::{ca::Identities, key_store::Folder};
use longhaul_proto::{
    certificate,
    clock::Clock,
    transport::{Key, Role, Shown},
    wire,
};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    trust::{Side, cluster},
    wait,
};
use reqwest::Method;
use tonic::{Code, Status};

use super::invitations::{guest, invite, keys, says};

const DAY_S: i64 = 24 * 3600;

async fn joined(lab: &Lab, name: &str, gateway: &Gateway) -> Daemon {
    let token = invite(lab, gateway, &[name]).await;
    let agent = guest(lab, name, gateway, &["--join", &token, "--serve-all"]);
    gateway.api.wait_host(name, "up").await;
    agent
}

fn id(agent: &Daemon) -> String {
    fs::read_to_string(agent.data.join("agent/agent-id")).unwrap().trim().to_owned()
}

fn now_s() -> i64 {
    Clock::system().unix_ms() / 1000
}

/// The key of an agent, and what it shows in its handshakes now.
fn side(agent: &Daemon, gateway: &Gateway) -> (Side, Shown) {
    let side = Side::agent(&agent.data, &gateway.daemon.data);
    let pem = fs::read_to_string(agent.data.join("agent/certificate.pem")).unwrap();
    let shown = Shown::from_der(&certificate::all_in_pem(&pem).unwrap());
    (side, shown)
}

/// The authority in this folder, as the gateway with this ledger has it.
fn authority(folder: &Path, cluster: &str) -> Identities {
    let key = Key::generate().unwrap();
    Identities::open(&Folder::new(folder), cluster, key, Duration::from_secs(24 * 3600), &Clock::system()).unwrap()
}

/// Calls of a side that shows its key with this certificate: the answer to its greeting.
async fn shows(side: &Side, chain: &[Vec<u8>], gateway: &Gateway) -> Result<(), Status> {
    side.key.show(chain).unwrap();
    side.call_gateway(gateway.api.url()).await.map(drop)
}

/// What an agent is told that shows a certificate which has ended, one of another authority, and one of another agent.
async fn refusals(faults: &str) -> Vec<Result<(), Status>> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let (one, two) = (joined(&lab, "stata1", &gateway).await, joined(&lab, "stata2", &gateway).await);
    let (one_side, shown) = side(&one, &gateway);
    let cluster = cluster(&gateway.daemon.data);
    let own = authority(&gateway.daemon.data, &cluster);
    let elsewhere = lab.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let foreign = authority(&elsewhere, &cluster);
    let made = |of: &Identities, id: &str, at_s: i64| of.issue(id, &shown, at_s).unwrap().chain;
    let mut told = Vec::new();
    for chain in
        [made(&own, &id(&one), now_s() - 2 * DAY_S), made(&foreign, &id(&one), now_s()), made(&own, &id(&two), now_s())]
    {
        told.push(shows(&one_side, &chain, &gateway).await);
    }
    // The control: with the right one it is let in.
    shows(&one_side, &made(&own, &id(&one), now_s()), &gateway).await.unwrap();
    told
}

#[tokio::test]
async fn an_expired_a_foreign_and_another_ones_certificate_are_refused_with_words() {
    let told = refusals("").await;
    for (told, words) in told.into_iter().zip(["its certificate ended at", "not of the authority", "of another agent"])
    {
        let status = told.unwrap_err();
        assert!(status.code() == Code::PermissionDenied && status.message().contains(words), "{words}: {status:?}");
    }
}

/// The control: unverified, the first two are let in.
#[tokio::test]
async fn unverified_they_would_be_let_in() {
    let told = refusals("bug=certificates_unverified").await;
    assert!(told[0].is_ok() && told[1].is_ok(), "{told:?}");
}

/// An agent calls another one, with the certificate that it has: what it learns.
async fn agent_calls_agent(faults: &str) -> Result<String, Status> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let (one, _two) = (joined(&lab, "stata1", &gateway).await, joined(&lab, "stata2", &gateway).await);
    let hosts = gateway.api.hosts().await.unwrap().hosts;
    let at = hosts.iter().find(|host| host.name == "stata2").unwrap().advertise.clone();
    let (caller, _) = side(&one, &gateway);
    let pem = fs::read_to_string(one.data.join("agent/certificate.pem")).unwrap();
    caller.key.show(&certificate::all_in_pem(&pem).unwrap()).unwrap();
    let posing = Side { greeter: Side::gateway(&gateway.daemon.data).greeter, ..caller };
    // The second holds no secret, so that only a bug lets a new key in.
    let mut client = posing.call_agent(&at).await?;
    let described = client.describe(wire::DescribeRequest {}).await?.into_inner();
    Ok(described.agent.unwrap_or_default().name)
}

#[tokio::test]
async fn an_agent_that_calls_another_agent_is_refused_for_its_role() {
    let status = agent_calls_agent("").await.unwrap_err();
    let words = "only the gateway may call agents";
    assert!(status.code() == Code::PermissionDenied && status.message().contains(words), "{status:?}");
}

/// The control: its role and its key unchecked, only the proof of a secret that it was not told stops it.
#[tokio::test]
async fn with_roles_unchecked_it_gets_as_far_as_the_secret() {
    let status = agent_calls_agent("bug=roles_unchecked;bug=any_gateway").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}

#[tokio::test]
async fn an_agent_with_another_root_refuses_its_gateway_and_says_what_to_do() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let mut agent = joined(&lab, "stata1", &gateway).await;
    agent.terminate().await;
    let (root, elsewhere) = (agent.data.join("agent/ca.pem"), lab.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    authority(&elsewhere, "lab");
    let right = fs::read(&root).unwrap();
    fs::copy(elsewhere.join("ca.pem"), &root).unwrap();
    agent.restart();
    says(&agent, "its certificate is not of the authority with the root").await;
    says(&agent, "join again with an invitation").await;
    // The control: with the right root it is its gateway.
    agent.terminate().await;
    fs::write(&root, right).unwrap();
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    // A process with the gateway's key and without its certificate is not the gateway.
    let key = Key::ensure(&gateway.daemon.data.join(longhaul_gateway::GATEWAY_KEY)).unwrap();
    let alone = Side { key, ..Side::stranger(Role::Gateway) };
    let at = gateway.api.hosts().await.unwrap().hosts[0].advertise.clone();
    let status = alone.call_agent(&at).await.map(drop).unwrap_err();
    assert!(status.message().contains("is refused"), "{status:?}");
}

#[tokio::test]
async fn a_removed_agent_is_refused_at_once_and_gets_no_certificate() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let agent = joined(&lab, "stata1", &gateway).await;
    let (side, shown) = side(&agent, &gateway);
    // Its key alone opens nothing but the way to a certificate.
    let mut fleet = side.call_gateway_pinned(gateway.api.url()).await.unwrap();
    let given = fleet.certify(wire::CertifyRequest {}).await.unwrap().into_inner();
    assert!(Shown::from_der(&given.chain).key_info() == shown.key_info(), "for its own key");
    let ran = lab.run(["agents", "revoke", "stata1", "--data", gateway.daemon.data.to_str().unwrap()]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let refused = fleet.certify(wire::CertifyRequest {}).await.unwrap_err();
    assert!(refused.code() == Code::PermissionDenied && refused.message().contains("was revoked"), "{refused:?}");
    says(&agent, "was revoked").await;
    // With a certificate that still holds it is refused all the same.
    let status = shows(&side, &given.chain, &gateway).await.unwrap_err();
    assert!(status.message().contains("was revoked"), "{status:?}");
}

/// An invited agent that is gone registers once more with its key and without a certificate: what it is told.
async fn with_the_key_alone(faults: &str) -> String {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let agent = joined(&lab, "stata1", &gateway).await;
    let (side, _) = side(&agent, &gateway);
    let agent_id = id(&agent);
    drop(agent);
    gateway.api.wait_host("stata1", "silent").await;
    let mut fleet = side.call_gateway_pinned(gateway.api.url()).await.unwrap();
    let info = wire::AgentInfo {
        agent_id,
        incarnation: "another".into(),
        name: "stata1".into(),
        advertise: "http://127.0.0.1:1".into(),
        protocol: longhaul_proto::PROTOCOL,
        version: "1".into(),
        ..Default::default()
    };
    let request = wire::RegisterRequest { agent: Some(info), ..Default::default() };
    fleet.register(request).await.unwrap().into_inner().problem
}

#[tokio::test]
async fn the_key_of_an_invited_agent_alone_registers_nothing() {
    let problem = with_the_key_alone("").await;
    assert!(problem.contains("shows its key without a certificate"), "{problem}");
    // The control: without that rule it does.
    assert_eq!(with_the_key_alone("bug=key_alone_is_enough").await, "");
}

async fn metric(gateway: &Gateway, name: &str) -> i64 {
    let text = gateway.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("{name}: {text}"))
}

async fn ready(gateway: &Gateway) -> String {
    gateway.api.request(Method::GET, "/readyz").send().await.unwrap().text().await.unwrap()
}

const ENDS: &str = "longhaul_agent_certificate_expiry_timestamp_seconds{agent=\"stata1\"}";

/// A life of six seconds in place of a day: five days pass in half a minute, under a run that is followed, and neither the
/// agent's connection nor the stream is opened again.
#[tokio::test]
async fn certificates_of_both_sides_are_renewed_under_running_streams() {
    let mut lab = lab!();
    lab.env("LONGHAUL_AGENT_CERTIFICATE_LIFETIME", "6s").env("LONGHAUL_HEARTBEAT", "500ms");
    let gateway = lab.gateway().await;
    let agent = joined(&lab, "stata1", &gateway).await;
    let run = gateway.api.submit_path(&lab.gated(), &["open"]).await.run_id;
    gateway.api.wait_output(run, "started open").await;
    let mut events = gateway.api.events(run, 0).await.unwrap();
    let own = "longhaul_certificate_expiry_timestamp_seconds{certificate=\"gateway\"}";
    let (first, first_own) = (metric(&gateway, ENDS).await, metric(&gateway, own).await);
    // A day is six seconds: the last second of what is shown has moved by five of them.
    let passed = async || {
        let (now, now_own) = (metric(&gateway, ENDS).await, metric(&gateway, own).await);
        assert!(now >= now_s() && now_own >= now_s(), "neither ever ends: {now} {now_own}");
        (now - first >= 30 && now_own - first_own >= 30).then_some(())
    };
    wait::until(Duration::from_secs(90), "five days", passed).await;
    assert!(metric(&gateway, "longhaul_agent_certificates_issued_total").await >= 6);
    assert_eq!(agent.printed().matches("registered gateway=").count(), 1, "one connection: {}", agent.printed());
    assert!(!gateway.daemon.printed().contains("connection to the agent broke"), "{}", gateway.daemon.printed());
    assert!(!ready(&gateway).await.contains("certificate"));
    lab.open_gate("open");
    gateway.api.wait_end(run).await;
    let mut text = String::new();
    while let Some(event) = events.next().await {
        text.push_str(&event.data);
    }
    assert!(text.contains("finished open"), "{text}");
    // A handshake of now shows a certificate that was not there at the start.
    let key = keys(&gateway).await.remove(0);
    assert!(key.connected && key.certificate_until.is_some(), "{key:?}");
}

/// The control: without renewal the end comes nearer and monitors are told; and an agent whose certificate has ended still
/// comes back by itself, since its key is known.
#[tokio::test]
async fn without_renewal_monitors_are_told_and_the_agent_asks_anew() {
    let mut lab = lab!();
    lab.env("LONGHAUL_AGENT_CERTIFICATE_LIFETIME", "6s").env("LONGHAUL_FAULTS", "bug=certificate_not_renewed");
    let mut gateway = lab.gateway().await;
    let agent = joined(&lab, "stata1", &gateway).await;
    let first = metric(&gateway, ENDS).await;
    let told = async || ready(&gateway).await.contains("stata1; see their logs").then_some(());
    wait::until(wait::SOON, "monitors are told", told).await;
    assert_eq!(metric(&gateway, ENDS).await, first, "nothing was renewed");
    let anew = async || (metric(&gateway, ENDS).await > first).then_some(());
    wait::until(wait::SOON, "it asks anew when it has ended", anew).await;
    gateway.kill_and_restart().await;
    gateway.api.wait_host("stata1", "up").await;
    assert!(agent.printed().contains("certificate has ended"), "{}", agent.printed());
}
