//! Who may join: an invitation is good for one agent, for a time, at one gateway, and its token crosses no wire in the clear.

use std::fs;

use longhaul_proto::{
    api::{AgentKeyView, AgentKeys, Invitations},
    tasks::Tasks,
};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    trust::Recorder,
    wait,
};
use reqwest::Method;
use serde_json::json;

/// The token of an invitation that `longhaul agents invite` makes, out of the command that it prints.
pub(crate) async fn invite(lab: &Lab, gateway: &Gateway, words: &[&str]) -> String {
    let data = gateway.daemon.data.to_str().unwrap();
    let ran = lab.run(["agents", "invite"].iter().chain(words).copied().chain(["--data", data])).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert!(ran.out.starts_with("longhaul agent --gateway http"), "{ran:#?}");
    ran.out.split_once("--join ").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

/// An agent that holds no secret, with the flags in `more`.
pub(crate) fn guest(lab: &Lab, name: &str, gateway: &Gateway, more: &[&str]) -> Daemon {
    let mut spec = lab.agent_spec(name, gateway, more);
    let at = spec.args.iter().position(|a| a == "--join-secret-file").unwrap();
    spec.args.drain(at..at + 2);
    Daemon::start(name, &lab.path().join(name), spec)
}

/// Another one that calls itself so, in a folder of its own.
pub(crate) fn called(lab: &Lab, folder: &str, name: &str, gateway: &Gateway, more: &[&str]) -> Daemon {
    let data = lab.path().join(folder);
    let mut spec = lab.agent_spec(name, gateway, &[more, &["--data", data.to_str().unwrap()]].concat());
    spec.log = lab.path().join(format!("logs/{folder}.log"));
    Daemon::start(folder, &data, spec)
}

pub(crate) async fn keys(gateway: &Gateway) -> Vec<AgentKeyView> {
    let answer = gateway.api.request(Method::GET, "/api/v1/agents").send().await.unwrap();
    longhaul_tests::api::read::<AgentKeys>(answer).await.unwrap().agents
}

/// State of each invitation, the oldest first.
async fn states(gateway: &Gateway) -> Vec<String> {
    let answer = gateway.api.request(Method::GET, "/api/v1/agents/invitations").send().await.unwrap();
    let all = longhaul_tests::api::read::<Invitations>(answer).await.unwrap();
    all.invitations.into_iter().map(|one| one.state).collect()
}

pub(crate) async fn says(daemon: &Daemon, words: &str) {
    wait::until_now(wait::SOON, words, || daemon.printed().contains(words).then_some(())).await;
}

#[tokio::test]
async fn an_invited_agent_joins_without_a_secret_and_serves_whom_it_was_invited_for() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let token = invite(&lab, &gateway, &["stata1", "--for", "ana"]).await;
    // The address of its gateway is in the token.
    let mut spec = lab.agent_spec("stata1", &gateway, &["--join", &token]);
    for flag in ["--join-secret-file", "--gateway"] {
        let at = spec.args.iter().position(|a| a == flag).unwrap();
        spec.args.drain(at..at + 2);
    }
    let mut agent = Daemon::start("stata1", &lab.path().join("stata1"), spec);
    gateway.api.wait_host("stata1", "up").await;
    let key = keys(&gateway).await.remove(0);
    assert_eq!(
        (key.joined.as_str(), key.state.as_str(), key.serves.as_deref()),
        ("invitation", "accepted", Some("ana"))
    );
    assert!(key.certificate_until.is_some(), "{key:?}");
    let host = gateway.api.hosts().await.unwrap().hosts.remove(0);
    assert_eq!(host.serves, Some(vec!["ana".to_owned()]), "{host:#?}");
    assert_eq!(states(&gateway).await, ["used"]);

    // Its files say who it is and by whom it is known; nothing of its token stays.
    for file in ["certificate.pem", "ca.pem"] {
        assert!(
            fs::read_to_string(agent.data.join("agent").join(file)).unwrap().contains("BEGIN CERTIFICATE"),
            "{file}"
        );
    }
    let ledger = fs::read(longhaul_tests::ledger::file(&gateway.daemon.data)).unwrap();
    assert!(!ledger.windows(token.len()).any(|window| window == token.as_bytes()), "the ledger keeps a digest");

    // The answer did not reach it, as far as it knows: with the same key and token it is the same agent.
    agent.terminate().await;
    for lost in ["gateway-keys", "ca.pem", "certificate.pem", "cluster-id"] {
        fs::remove_file(agent.data.join("agent").join(lost)).unwrap();
    }
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    // What it says of itself is stronger than its invitation.
    agent.terminate().await;
    agent.spec.args.push("--serve-all".into());
    agent.restart();
    let all = async || gateway.api.hosts().await.ok()?.hosts.remove(0).serves.is_none().then_some(());
    wait::until(wait::SOON, "it takes everybody's runs", all).await;
    let run = gateway.api.submit_path(&lab.gated(), &["mine"]).await.run_id;
    gateway.api.wait_output(run, "started mine").await;
    lab.open_gate("mine");
    gateway.api.wait_end(run).await;
}

/// Whether an invited agent that calls itself otherwise is let in under the other name.
async fn renamed(faults: &str) -> bool {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let token = invite(&lab, &gateway, &["stata1"]).await;
    let mut agent = guest(&lab, "stata1", &gateway, &["--join", &token]);
    gateway.api.wait_host("stata1", "up").await;
    agent.terminate().await;
    let at = agent.spec.args.iter().position(|a| a == "stata1").unwrap();
    agent.spec.args[at] = "prod".into();
    agent.restart();
    let told = || agent.printed().contains("was invited as stata1: start this agent with --name stata1");
    wait::until(wait::SOON, "it is let in or told", async || {
        let names = gateway.api.hosts().await.ok()?.hosts.into_iter().map(|host| (host.name, host.state));
        let up = names.into_iter().any(|(name, state)| name == "prod" && state == "up");
        (up || told()).then_some(up)
    })
    .await
}

#[tokio::test]
async fn an_invited_agent_keeps_its_name() {
    assert!(!renamed("").await);
    assert!(renamed("bug=invited_renamed").await, "the control");
}

/// A second agent comes with a token that was used: what it is told, and whether it is let in.
async fn used_twice(faults: &str) -> (String, bool) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let token = invite(&lab, &gateway, &["stata1"]).await;
    let first = guest(&lab, "stata1", &gateway, &["--join", &token]);
    gateway.api.wait_host("stata1", "up").await;
    drop(first);
    // The name is free again for the one that has the token: the operator has revoked the first.
    let data = gateway.daemon.data.to_str().unwrap();
    assert_eq!(lab.run(["agents", "revoke", "stata1", "--data", data]).await.status, 0);
    let thief = called(&lab, "thief", "stata1", &gateway, &["--join", &token]);
    let over = || {
        let printed = thief.printed();
        (printed.contains("used before, by another agent") || printed.contains("registered gateway="))
            .then_some(printed)
    };
    let printed = wait::until_now(wait::SOON, "it is let in or not", over).await;
    let accepted = keys(&gateway).await.iter().any(|key| key.state == "accepted");
    (printed, accepted)
}

#[tokio::test]
async fn a_token_that_was_used_is_refused_to_another_key() {
    let (printed, accepted) = used_twice("").await;
    assert!(!accepted && printed.contains("longhaul agents invite stata1"), "{printed}");
}

/// The control: without that check a stolen token lets its thief in.
#[tokio::test]
async fn without_that_check_a_stolen_token_lets_its_thief_in() {
    assert!(used_twice("bug=invitation_used_twice").await.1);
}

#[tokio::test]
async fn an_invitation_ends_can_be_withdrawn_and_is_for_one_name_at_one_gateway() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let refused = async |name: &str, token: &str, words: &str| {
        let agent = guest(&lab, name, &gateway, &["--join", token]);
        says(&agent, words).await;
        assert!(keys(&gateway).await.is_empty(), "{words}");
    };
    let short = invite(&lab, &gateway, &["stata1", "--expires", "1s"]).await;
    wait::until(wait::SOON, "it has ended", async || (states(&gateway).await == ["expired"]).then_some(())).await;
    refused("stata1", &short, "this invitation ended at").await;

    let taken_back = invite(&lab, &gateway, &["stata2"]).await;
    let ran = lab.run(["agents", "withdraw", "stata2", "--data", &data]).await;
    assert!(ran.status == 0 && ran.err.contains("is withdrawn"), "{ran:#?}");
    refused("stata2", &taken_back, "this invitation was withdrawn at").await;
    let again = lab.run(["agents", "withdraw", "stata2", "--data", &data]).await;
    assert!(again.status != 0 && again.err.contains("there are: none"), "{again:#?}");

    let named = invite(&lab, &gateway, &["stata3"]).await;
    refused("stata4", &named, "start it with --name stata3").await;

    // The token of another gateway does not even get to this one.
    let other = lab.serving("other", &["gateway"]).await;
    let foreign = invite(&lab, &other, &["stata5"]).await;
    refused("stata5", &foreign, "is not the gateway that made this invitation").await;
    let listed = lab.run(["agents", "invitations", "--data", &data]).await.out;
    assert!(["expired", "withdrawn", "open"].iter().all(|state| listed.contains(state)), "{listed}");
    // The control: the right name, with the same token.
    let _agent = called(&lab, "right", "stata3", &gateway, &["--join", &named]);
    gateway.api.wait_host("stata3", "up").await;
    let taken = lab.run(["agents", "invite", "stata3", "--data", &data]).await;
    assert!(taken.status != 0 && taken.err.contains("longhaul agents revoke stata3"), "{taken:#?}");
    for (body, words) in [
        (json!({"name": "two words"}), "1 to 64 letters"),
        (json!({"name": "x", "expires_in": 0}), "expires_in"),
        (json!({"name": "x", "for": ""}), "field `for`"),
        (json!({"name": "x", "for": "y".repeat(201)}), "at most 200 bytes"),
        (json!({"name": "x", "until": 5}), "until"),
    ] {
        let answer = gateway.api.request(Method::POST, "/api/v1/agents/invitations").json(&body).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(status == 400 && text.contains(words), "{body}: {status} {text}");
    }
    // What is no token is told before anything starts, and so is that there is no way in at all.
    let args: [&[&str]; 2] = [&["--join", "lhj_nonsense"], &[]];
    for (more, words) in args.into_iter().zip(["no token of an invitation", "has to be invited"]) {
        let bare = lab.path().join("bare");
        let all = ["agent", "--gateway", gateway.api.url(), "--data", bare.to_str().unwrap(), "--engine", "standin"];
        let mut command = lab.command(all.iter().chain(more));
        command.env("HOME", lab.path().join("no-home")).env("XDG_STATE_HOME", lab.path().join("no-home"));
        let ran = longhaul_tests::lab::finish(command).await;
        assert!(ran.status != 0 && ran.err.contains(words), "{more:?}: {ran:#?}");
    }
}

/// An agent that joins in the moment in which its invitation is withdrawn stays, and who withdraws is told so.
#[tokio::test]
async fn an_invitation_that_is_used_while_it_is_withdrawn_is_told_as_used() {
    let mut lab = lab!();
    let faults = lab.path().join("faults");
    fs::create_dir_all(&faults).unwrap();
    lab.env("LONGHAUL_FAULTS", format!("dir={}", faults.display()));
    let gateway = lab.gateway().await;
    let token = invite(&lab, &gateway, &["stata1"]).await;
    fs::write(faults.join("invitations.before_withdraw"), "hold").unwrap();
    let withdraw = gateway.api.request(Method::DELETE, "/api/v1/agents/invitations/stata1");
    let withdraw = Tasks::new().spawn(withdraw.send());
    let there = faults.join("invitations.before_withdraw.fired");
    wait::until_now(wait::SOON, "it is found open", || there.exists().then_some(())).await;
    let _agent = guest(&lab, "stata1", &gateway, &["--join", &token]);
    gateway.api.wait_host("stata1", "up").await;
    fs::write(faults.join("invitations.before_withdraw.go"), "").unwrap();
    let answer = withdraw.await.unwrap().unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(status == 409 && text.contains("has joined with invitation"), "{status} {text}");
    assert!(text.contains("`longhaul agents revoke stata1` removes it"), "{text}");
    assert_eq!(states(&gateway).await, ["used"]);
}

/// The controls: with an end that is not looked at, and an inviting gateway that is not looked at.
#[tokio::test]
async fn unlooked_at_an_ended_one_lets_in_and_a_token_gets_to_another_gateway() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=invitation_never_ends;bug=any_inviting_root;bug=invitation_used_twice");
    let gateway = lab.gateway().await;
    let other = lab.serving("other", &["gateway"]).await;
    let foreign = invite(&lab, &other, &["stata2"]).await;
    let stranger = guest(&lab, "stata2", &gateway, &["--join", &foreign]);
    says(&stranger, "knows no such invitation").await;
    let short = invite(&lab, &gateway, &["stata1", "--expires", "1s"]).await;
    wait::until(wait::SOON, "it has ended", async || (states(&gateway).await == ["expired"]).then_some(())).await;
    let _agent = guest(&lab, "stata1", &gateway, &["--join", &short]);
    gateway.api.wait_host("stata1", "up").await;
}

#[tokio::test]
async fn a_recorder_between_an_agent_and_its_gateway_hears_no_token() {
    let mut lab = lab!();
    lab.config("allowed_hosts = [\"127.0.0.1\"]\n");
    let gateway = lab.gateway().await;
    let wire = Recorder::new().await;
    wire.to(gateway.api.address().parse().unwrap());
    let token = invite(&lab, &gateway, &["stata1"]).await;
    let _agent = guest(&lab, "stata1", &gateway, &["--join", &token, "--gateway", &wire.url()]);
    gateway.api.wait_host("stata1", "up").await;
    assert!(wire.bytes() > 2000 && !wire.heard(&token) && !wire.heard("stata1"), "{} bytes", wire.bytes());
    // The control: what crosses it in the clear is heard.
    let plain = reqwest::Client::new().post(format!("{}/api/v1/agents/invitations", wire.url()));
    let made = plain.bearer_auth(gateway.api.token()).json(&json!({"name": "stata2"})).send().await.unwrap();
    let made: serde_json::Value = made.json().await.unwrap();
    assert!(wire.heard(made["token"].as_str().unwrap()));
}

/// An agent of the gateway's own user comes with neither a token nor a secret, and what its log says.
async fn by_the_socket(faults: &str, words: &str) -> Vec<AgentKeyView> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    // Another gateway of this user is not taken for its own.
    let _other = lab.serving("other", &["gateway"]).await;
    let mut agent = guest(&lab, "stata1", &gateway, &[]);
    says(&agent, words).await;
    let found = keys(&gateway).await;
    if !found.is_empty() {
        gateway.api.wait_host("stata1", "up").await;
        agent.terminate().await;
        agent.restart();
        gateway.api.wait_host("stata1", "up").await;
    }
    found
}

#[tokio::test]
async fn an_agent_of_the_gateways_own_user_joins_by_the_socket() {
    let found = by_the_socket("", "registered gateway=").await;
    assert!(found.len() == 1 && found[0].joined == "socket" && found[0].serves.is_none(), "{found:#?}");
    // The control: where the socket says nothing of its user, the same agent has to be invited.
    assert_eq!(by_the_socket("bug=socket_joins_nothing", "longhaul agents invite stata1").await, []);
}

#[tokio::test]
async fn up_joins_its_own_agent_by_the_socket() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    assert_eq!(keys(&gateway).await.remove(0).joined, "socket");
    let arguments = fs::read(format!("/proc/{}/cmdline", gateway.daemon.pid())).unwrap();
    let secret = fs::read_to_string(gateway.daemon.data.join("join-secret")).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains(secret.trim()), "no secret on a command line");
}

#[tokio::test]
async fn the_secret_still_works_and_its_agent_moves_over_by_itself() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    says(&agent, "which the next version does not take any more").await;
    says(&gateway.daemon, "longhaul agents invite NAME").await;
    let certified =
        async || keys(&gateway).await.into_iter().find(|key| key.joined == "secret" && key.certificate_until.is_some());
    let key = wait::until(wait::SOON, "it has a certificate", certified).await;
    assert!(key.by.contains("its certificate since"), "{key:?}");
    // From then on it needs the secret no more.
    agent.terminate().await;
    let at = agent.spec.args.iter().position(|a| a.as_os_str() == "--join-secret-file").unwrap();
    agent.spec.args.drain(at..at + 2);
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
}
