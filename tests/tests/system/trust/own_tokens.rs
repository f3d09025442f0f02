//! The operator's own token: rotated where it is kept, not lost by mistake, and never made without a line of who did what.

use std::{fs, path::Path};

use longhaul_proto::{
    tasks::Tasks,
    transport::{Proof, Role},
    wire::fleet_client::FleetClient,
};
use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::{Lab, json},
    trust::Side,
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn lines(lab: &Lab, data: &Path, event: &str) -> Vec<Value> {
    let ran = lab.run(["audit", "--json", "--event", event, "--data", data.to_str().unwrap()]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The name of the token that this client shows.
async fn name(api: &Api) -> String {
    let me: Value = read(api.request(Method::GET, "/api/v1/whoami").send().await.unwrap()).await.unwrap();
    me["token"].as_str().unwrap().to_owned()
}

/// The operator's token is rotated by its command line, and the gateway starts anew: whether what is kept has the new secret,
/// how many tokens there are then, and how many of them the audit log has.
async fn rotated(faults: &str) -> (bool, usize, usize) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let mut gateway = lab.gateway().await;
    let data = gateway.daemon.data.clone();
    let login = json!({ gateway.api.url(): { "token": gateway.api.token() } });
    fs::write(data.join("logins.json"), login.to_string()).unwrap();
    let own = name(&gateway.api).await;
    let folder = data.to_str().unwrap();
    let ran = lab.run(["token", "rotate", &own, "--overlap", "0s", "--data", folder]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let secret = ran.out.trim().to_owned();
    let kept = json(&data.join("credentials.json")).unwrap();
    let logins = fs::read_to_string(data.join("logins.json")).unwrap();
    assert_eq!(kept["url"], gateway.api.url(), "the rest of it stays");
    let replaced = kept["token"] == secret && logins.contains(&secret);
    assert_eq!(replaced, ran.err.contains("credentials.json and ") && ran.err.contains("logins.json now"), "{ran:#?}");
    if replaced {
        let listed = lab.run(["token", "list", "--data", folder]).await;
        assert!(listed.status == 0 && listed.out.contains(&own), "{listed:#?}");
    }
    gateway.kill_and_restart().await;
    let tokens = gateway.api.with_token(&secret).request(Method::GET, "/api/v1/tokens").send().await.unwrap();
    let tokens: Vec<Value> = read(tokens).await.unwrap();
    let told = lines(&lab, &data, "token_made").await;
    (replaced, tokens.len(), told.len())
}

#[tokio::test]
async fn a_rotated_token_is_replaced_where_it_is_kept_and_a_new_one_has_its_line() {
    assert_eq!(rotated("").await, (true, 1, 1));
    assert_eq!(rotated("bug=rotated_token_is_not_kept").await, (false, 2, 2), "the control");
    assert_eq!(rotated("bug=rotated_token_is_not_kept;bug=made_without_a_line").await, (false, 2, 0), "the control");
}

/// Whether the last token that may operate is revoked without a word.
async fn last_goes(lab: &Lab) -> bool {
    let mut gateway = lab.gateway().await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let own = name(&gateway.api).await;
    for scope in ["use", "operate"] {
        let made = lab.run(["token", "add", scope, "--scope", scope, "--data", &data]).await;
        assert_eq!(made.status, 0, "{made:#?}");
    }
    let revoke = async |words: &[&str]| lab.run([&["token", "revoke", "--data", &data], words].concat()).await;
    assert_eq!(revoke(&["operate"]).await.status, 0, "another one is left");
    let refused = gateway.api.request(Method::DELETE, &format!("/api/v1/tokens/{own}")).send().await.unwrap();
    if refused.status().is_success() {
        return true;
    }
    let (status, text) = (refused.status().as_u16(), refused.text().await.unwrap());
    assert!(status == 409 && text.contains("the last token that may operate") && text.contains("force=true"), "{text}");
    let refused = revoke(&[&own]).await;
    assert!(refused.status == 4 && refused.err.contains("--force"), "{refused:#?}");
    assert_eq!(revoke(&["use"]).await.status, 0, "it is no operator's");
    assert_eq!(revoke(&[&own, "--force"]).await.status, 0);
    assert_eq!(gateway.api.list().await.unwrap_err().status, 401);
    gateway.kill_and_restart().await;
    let credentials = json(&gateway.daemon.data.join("credentials.json")).unwrap();
    let again = gateway.api.with_token(credentials["token"].as_str().unwrap());
    assert_ne!(name(&again).await, own, "the next start makes another one");
    false
}

#[tokio::test]
async fn the_last_operator_is_not_revoked_by_mistake() {
    let mut lab = lab!();
    assert!(!last_goes(&lab).await);
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=last_operator_goes");
    assert!(last_goes(&lab).await, "the control");
}

/// What two revocations are answered that come at once and name the last two tokens that may operate.
async fn both_go(bug: &str) -> [u16; 2] {
    let mut lab = lab!();
    let faults = lab.path().join("faults");
    fs::create_dir_all(&faults).unwrap();
    lab.env("LONGHAUL_FAULTS", format!("dir={};{bug}", faults.display()));
    let gateway = lab.gateway().await;
    let first = name(&gateway.api).await;
    let body = json!({ "name": "second", "scope": "operate" });
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&body).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    let second = gateway.api.with_token(made["token"].as_str().unwrap());
    // The second one's holder asks for both: its own goes last.
    let revoke = |name: &str| {
        let asked = second.request(Method::DELETE, &format!("/api/v1/tokens/{name}"));
        Tasks::new().spawn(async move { asked.send().await.unwrap().status().as_u16() })
    };
    fs::write(faults.join("tokens.before_revoke"), "hold").unwrap();
    let held = revoke(&first);
    let there = faults.join("tokens.before_revoke.fired");
    wait::until_now(wait::SOON, "the first has looked at the tokens", || there.exists().then_some(())).await;
    let other = revoke("second");
    let go = || fs::write(faults.join("tokens.before_revoke.go"), "").unwrap();
    if bug.is_empty() {
        go();
        return [held.await.unwrap(), other.await.unwrap()];
    }
    let other = other.await.unwrap();
    go();
    [held.await.unwrap(), other]
}

#[tokio::test]
async fn of_two_revocations_at_once_one_finds_that_its_token_is_the_last() {
    assert_eq!(both_go("").await, [204, 409]);
    assert_eq!(both_go("bug=revocations_cross").await, [204, 204], "the control");
}

/// What is answered to a replaced secret that asks for another one.
async fn rotates_again(lab: &Lab) -> (u16, String) {
    let gateway = lab.gateway().await;
    let made =
        gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({ "name": "ana" })).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    let ana = gateway.api.with_token(made["token"].as_str().unwrap());
    let rotate = || ana.request(Method::POST, "/api/v1/tokens/ana/rotate").json(&json!({})).send();
    assert_eq!(rotate().await.unwrap().status(), 200);
    let again = rotate().await.unwrap();
    (again.status().as_u16(), again.text().await.unwrap())
}

#[tokio::test]
async fn a_replaced_secret_is_told_that_it_was_replaced() {
    let mut lab = lab!();
    let (status, text) = rotates_again(&lab).await;
    assert!(status == 409 && text.contains("was rotated at 20") && text.contains("use the secret"), "{text}");
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=replaced_secret_has_wrong_scope");
    assert_eq!(rotates_again(&lab).await.0, 403, "the control");
}

/// One host tries to join under many names: each has a line, up to a bound, and the others are counted.
#[tokio::test]
async fn agents_that_are_refused_have_lines_or_are_counted() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    for n in 0..40 {
        let side = Side::stranger(Role::Agent);
        let dialled = side.dial(gateway.api.url()).await.unwrap();
        let mut hello = side.greeter.request(&dialled.channel, "", Proof::Omit);
        hello.agent_name = format!("guest{n}");
        hello.agent_id = format!("id{n}");
        hello.join_token = "lhj_of_nothing".into();
        let refused = FleetClient::new(dialled.transport).hello(hello).await.unwrap_err();
        assert!(refused.message().contains("knows no such invitation"), "{refused:?}");
    }
    gateway.daemon.terminate().await;
    let told = lines(&lab, &gateway.daemon.data, "agent_refused").await;
    assert!(told.iter().all(|line| line["address"] == "127.0.0.1" && line["detail"]["key"].is_string()), "{told:#?}");
    let suppressed: Vec<u64> = told.iter().filter_map(|line| line["detail"]["suppressed"].as_u64()).collect();
    assert_eq!((told.len(), suppressed.as_slice()), (18, &[40 - 17][..]), "{told:#?}");
}
