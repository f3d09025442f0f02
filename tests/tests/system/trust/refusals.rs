//! What is said where an agent is refused, where its runs wait for it, and where a name is one that there is not.

use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
    wait,
};
use serde_json::Value;

use super::invitations::{called, guest, invite, keys, says};

/// An agent comes with an invitation that another has used: whether it ended by itself with its own status.
async fn ends(faults: &str) -> bool {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let token = invite(&lab, &gateway, &["stata1"]).await;
    let first = guest(&lab, "stata1", &gateway, &["--join", &token]);
    gateway.api.wait_host("stata1", "up").await;
    let mut thief = called(&lab, "thief", "stata1", &gateway, &["--join", &token]);
    says(&thief, "used before, by another agent").await;
    let stays = || thief.printed().contains("trying again until it answers");
    let ends = || thief.printed().contains("This agent ends");
    wait::until_now(wait::SOON, "it ends, or goes on", || (stays() || ends()).then_some(())).await;
    assert_ne!(stays(), ends());
    drop(first);
    if stays() {
        return false;
    }
    assert_eq!(thief.ended().await.code(), Some(7));
    true
}

#[tokio::test]
async fn an_agent_that_is_refused_for_good_ends_and_says_why() {
    assert!(ends("").await);
    assert!(!ends("bug=refused_agents_stay").await, "the control");
}

/// What is said of the run of an agent that was revoked.
async fn of_the_run(faults: &str) -> String {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let key = keys(&gateway).await.remove(0).key;
    let run = gateway.api.submit_path(&lab.gated(), &["going"]).await.run_id;
    gateway.api.wait_output(run, "started going").await;
    let data = gateway.daemon.data.clone();
    for word in ["revoke", "approve", "revoke"] {
        let ran = lab.run(["agents", word, "stata1", "--data", data.to_str().unwrap()]).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
    }
    let view = gateway.api.wait_run(run, wait::SOON, "it says that it is cut off", |view| view.contact.is_some()).await;
    gateway.daemon.terminate().await;
    for event in ["agent_revoked", "agent_approved"] {
        let ran = lab.run(["audit", "--json", "--event", event, "--data", data.to_str().unwrap()]).await;
        let line: Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
        assert_eq!(line["detail"]["key"], key, "{line:#}");
    }
    view.contact.unwrap().words
}

#[tokio::test]
async fn the_run_of_a_revoked_agent_says_what_to_do() {
    let words = of_the_run("").await;
    assert!(words.contains("does not return by itself") && words.contains("longhaul agents approve stata1"), "{words}");
    let words = of_the_run("bug=revoked_returns").await;
    assert!(!words.contains("longhaul agents approve"), "the control: {words}");
}

/// What is said to an operator who names a principal and a host that there are not.
async fn unknown_names(lab: &Lab) -> [String; 2] {
    let gateway: Gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let data = gateway.daemon.data.to_str().unwrap();
    let run = async |words: &[&str]| {
        let ran = lab.run(words.iter().copied().chain(["--data", data])).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
        ran.err
    };
    assert!(!run(&["token", "add", "anna", "--host", "stata1"]).await.contains("warning"), "both are known, or new");
    assert!(!run(&["agents", "invite", "stata2", "--for", "anna"]).await.contains("warning"));
    [run(&["agents", "invite", "stata3", "--for", "ana"]).await, run(&["token", "add", "ben", "--host", "stat1"]).await]
}

#[tokio::test]
async fn a_name_that_there_is_not_is_warned_of() {
    let mut lab = lab!();
    let [invited, token] = unknown_names(&lab).await;
    assert!(invited.contains("warning: there is no token") && invited.contains("is anna meant?"), "{invited}");
    assert!(token.contains("no agent is called stat1; is stata1 meant?"), "{token}");
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=unknown_names_pass");
    assert!(unknown_names(&lab).await.iter().all(|said| !said.contains("warning")), "the control");
}

#[tokio::test]
async fn who_is_not_let_in_has_no_line_that_says_that_it_joined() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let tokens = [invite(&lab, &gateway, &["stata1"]).await, invite(&lab, &gateway, &["stata1"]).await];
    let _first = guest(&lab, "stata1", &gateway, &["--join", &tokens[0]]);
    gateway.api.wait_host("stata1", "up").await;
    let mut second = called(&lab, "second", "stata1", &gateway, &["--join", &tokens[1]]);
    says(&second, "the name stata1 belongs to another key").await;
    assert_eq!(second.ended().await.code(), Some(7));
    gateway.daemon.terminate().await;
    let data = gateway.daemon.data.to_str().unwrap();
    for (event, lines) in [("agent_joined", 1), ("invitation_used", 1), ("agent_refused", 1)] {
        let ran = lab.run(["audit", "--json", "--event", event, "--data", data]).await;
        assert_eq!(ran.out.lines().count(), lines, "{event}: {ran:#?}");
    }
    // A gateway that is stopped invites no agent: the token would be known to none that stays.
    let ran = lab.run(["agents", "invite", "stata2", "--data", data]).await;
    assert!(ran.status == 4 && ran.err.contains("no gateway here"), "{ran:#?}");
}
