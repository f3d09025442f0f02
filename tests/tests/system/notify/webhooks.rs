//! Webhooks through what breaks: the receiver, the gateway, both at any moment.

use std::{fs, process::Stdio};

use longhaul_proto::{
    api::{CancelMode, Retry, SubmitRequest},
    state::RunState,
};
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
    port::free_port,
    processes, wait,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{Got, Receiver, add, allowing, foreign, list, script, secret, submit, telling, up, wait_told};

/// Lets the gateway of this lab have faults that files switch on.
fn with_faults(lab: &mut Lab) -> std::path::PathBuf {
    let folder = lab.path().join("faults");
    fs::create_dir(&folder).unwrap();
    lab.env("LONGHAUL_FAULTS", format!("dir={}", folder.display()));
    folder
}

/// Verifies all of them by the foreign library.
async fn verified_by_others(got: &[Got], secret: &str) {
    let Some(python) = foreign() else { return };
    let all: Vec<Value> = got
        .iter()
        .map(|one| {
            let headers: serde_json::Map<_, _> =
                one.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({"secret": secret, "headers": headers, "body": one.body})
        })
        .collect();
    let mut command = tokio::process::Command::new(python);
    command.arg(script("verify_webhook.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(json!(all).to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let done = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains(&format!("verified {}", got.len())), "{said}");
}

#[tokio::test]
async fn a_receiver_that_is_down_for_an_hour_is_told_by_a_gateway_that_was_killed_meanwhile() {
    let mut lab = lab!();
    let port = free_port();
    allowing(&mut lab, &[format!("http://127.0.0.1:{port}")]);
    let mut gateway = up(&lab).await;
    let url = format!("http://127.0.0.1:{port}/ends?key=s3cret");
    let request = SubmitRequest {
        name: Some("nightly".to_owned()),
        ..telling("display 1\nerror 111", std::slice::from_ref(&url))
    };
    let run = gateway.api.submit(&request).await.unwrap().run;
    gateway.api.wait_end(run.run_id).await;
    let secret = secret(&gateway.api, false).await;
    // An hour is three seconds: after so many tries the wait between two is as long as that.
    for tries in [3, 6] {
        let told = wait_told(&gateway.api, "it was tried", |one| one.tries >= tries).await;
        assert_eq!((told.state.as_str(), told.run_id, told.address.as_str()), ("waiting", run.run_id, &*url));
        assert!(told.problem.is_some() && told.next_try_at.is_some(), "{told:?}");
        let numbers = gateway.api.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let oldest = numbers.lines().find_map(|line| line.strip_prefix("longhaul_notifications_oldest_seconds "));
        assert!(oldest.unwrap().parse::<f64>().unwrap() > 0.0, "{numbers}");
        assert!(numbers.contains("longhaul_notifications_waiting 1"), "{numbers}");
        gateway.kill_and_restart().await;
    }
    let receiver = Receiver::at(port, "204 No Content").await;
    let got = receiver.wait(1).await;
    let told = wait_told(&gateway.api, "it is delivered", |one| one.state == "delivered").await;
    assert!(told.told_at.is_some() && told.problem.is_none(), "{told:?}");
    assert!(got[0].line.starts_with("POST /ends?key=s3cret HTTP/1.1"), "{got:?}");
    assert!(got.iter().all(|one| one.signed_by(&secret)), "{got:?}");
    verified_by_others(&got, &secret).await;
    let end = gateway.api.get(run.run_id).await.unwrap();
    let (message, about) = (got[0].json(), got[0].json()["data"].clone());
    assert_eq!((message["type"].as_str(), &message["timestamp"]), (Some("run.ended"), &json!(end.finished_at)));
    for (field, value) in [
        ("run_id", json!(run.run_id)),
        ("name", json!("nightly")),
        ("state", json!("failed")),
        ("result", json!("failure")),
        ("cause", json!("stata_error")),
        ("rc", json!(111)),
        ("host", json!(end.host)),
        ("pool", json!(end.pool)),
        ("created_at", json!(end.created_at)),
        ("started_at", json!(end.started_at)),
        ("finished_at", json!(end.finished_at)),
        ("duration", json!(end.duration)),
        ("trace_id", json!(end.trace_id)),
        ("attempts", json!(1)),
    ] {
        assert_eq!(about[field], value, "{field}: {message:#}");
    }
    // Nothing of its code, its output or the receiver's secret is anywhere it does not belong.
    assert!(!got[0].body.contains("display"), "{}", got[0].body);
    assert!(!gateway.daemon.printed().contains("s3cret"), "the log has the query of a receiver");
    assert!(!gateway.daemon.printed().contains(&secret));
}

/// Kills the gateway right after the commit of an end, and starts it again; what the receiver got of that end.
async fn killed_at_the_end(bug: &str) -> (Gateway, Lab, Receiver) {
    let mut lab = lab!();
    let faults = with_faults(&mut lab);
    let receiver = Receiver::answering("200 OK").await;
    allowing(&mut lab, &[receiver.url("")]);
    let mut gateway = up(&lab).await;
    fs::write(faults.join("end.after_commit"), "kill").unwrap();
    if !bug.is_empty() {
        fs::write(faults.join(format!("bug.{bug}")), "").unwrap();
    }
    let run = submit(&gateway.api, "display 1", &[receiver.url("/a")]).await.run_id;
    gateway.daemon.ended().await;
    gateway.daemon.restart();
    lab::ready(&mut gateway.daemon).await;
    gateway.api.wait_end(run).await;
    // A second one comes after whatever there is of the first.
    let _ = fs::remove_file(faults.join(format!("bug.{bug}")));
    let second = submit(&gateway.api, "display 2", &[receiver.url("/b")]).await.run_id;
    gateway.api.wait_end(second).await;
    wait_told(&gateway.api, "the second is told", |one| one.run_id == second && one.state == "delivered").await;
    (gateway, lab, receiver)
}

#[tokio::test]
async fn no_end_is_lost_between_its_commit_and_its_message() {
    let (gateway, _lab, receiver) = killed_at_the_end("").await;
    let told = |path: &str| receiver.got().iter().filter(|got| got.line.contains(path)).count();
    wait::until_now(wait::SOON, "the first is told", || (told("/a") > 0).then_some(())).await;
    assert_eq!(list(&gateway.api).await.recent.len(), 2);
    // The control: an end whose row is not written with it is told by none that comes after.
    let (gateway, _lab, receiver) = killed_at_the_end("ends_untold").await;
    assert_eq!(receiver.got().iter().filter(|got| got.line.contains("/a")).count(), 0);
    assert_eq!(list(&gateway.api).await.recent.len(), 1);
}

#[tokio::test]
async fn what_was_sent_and_not_noted_is_sent_again_under_the_same_name() {
    let mut lab = lab!();
    let faults = with_faults(&mut lab);
    let receiver = Receiver::answering("200 OK").await;
    allowing(&mut lab, &[receiver.url("")]);
    let mut gateway = up(&lab).await;
    fs::write(faults.join("notify.before_mark"), "kill").unwrap();
    submit(&gateway.api, "display 1", &[receiver.url("/a")]).await;
    gateway.daemon.ended().await;
    gateway.daemon.restart();
    lab::ready(&mut gateway.daemon).await;
    let got = receiver.wait(2).await;
    wait_told(&gateway.api, "it is delivered", |one| one.state == "delivered").await;
    assert_eq!((got[0].header("webhook-id"), &got[0].body), (got[1].header("webhook-id"), &got[1].body));
    assert_eq!(receiver.got().len(), 2, "what is noted is not sent again");
}

/// The control: what is delivered and not marked comes again and again.
#[tokio::test]
async fn what_is_never_noted_is_sent_for_ever() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=deliveries_unmarked");
    let receiver = Receiver::answering("200 OK").await;
    allowing(&mut lab, &[receiver.url("")]);
    let gateway = up(&lab).await;
    submit(&gateway.api, "display 1", &[receiver.url("/a")]).await;
    let got = receiver.wait(4).await;
    assert!(got.iter().all(|one| one.header("webhook-id") == got[0].header("webhook-id")));
}

#[tokio::test]
async fn each_end_is_told_once_to_each_receiver() {
    let mut lab = lab!();
    let receiver = Receiver::answering("200 OK").await;
    allowing(&mut lab, &[receiver.url("")]);
    let gateway = up(&lab).await;
    let api = &gateway.api;
    add(api, &receiver.url("/all")).await;
    // The same address as the caller's own, and twice.
    let named = [receiver.url("/all"), receiver.url("/one"), receiver.url("/one")];
    // A request that joins a run that goes on is told of its end, too.
    let waits = lab.file("waits.do", "display \"at work\"\nsleep 3600000\n");
    let waits = |notify: &[String]| SubmitRequest {
        path: Some(waits.to_str().unwrap().to_owned()),
        notify: notify.to_vec(),
        ..SubmitRequest::default()
    };
    let run = api.submit(&waits(&named)).await.unwrap().run.run_id;
    api.wait_output(run, "\nat work\n").await;
    let joined = api.submit(&waits(&[receiver.url("/joined")])).await.unwrap();
    assert!(joined.joined.is_some() && joined.run.run_id == run, "{joined:?}");
    api.cancel(run, CancelMode::Kill).await.unwrap();
    api.wait_end(run).await;
    let paths = |got: &[Got]| {
        let mut all: Vec<_> = got.iter().map(|one| one.line.split(' ').nth(1).unwrap().to_owned()).collect();
        all.sort();
        all
    };
    let got = receiver.wait(3).await;
    assert_eq!(paths(&got), ["/all", "/joined", "/one"]);
    let about = got[0].json()["data"].clone();
    assert_eq!((&about["state"], &about["cancelled_by"]), (&json!("cancelled"), &about["principal"]), "{about:#}");
    assert!(about["principal"].is_string());

    // A run that is refused makes no message, and one that is tried again has ended once.
    let wrong = SubmitRequest { host: Some("nowhere".to_owned()), ..telling("display 1", &named) };
    api.submit(&wrong).await.unwrap_err();
    let dies = lab.file("dies.do", "display \"at work\"\nsleep 3600000\n");
    let request = SubmitRequest {
        path: Some(dies.to_str().unwrap().to_owned()),
        retry: Some(Retry::IfProvenDead),
        ..SubmitRequest::default()
    };
    let run = api.submit(&request).await.unwrap().run.run_id;
    api.wait_output(run, "\nat work\n").await;
    let engines = processes::engines(lab.path());
    assert_eq!(engines.len(), 1, "{engines:?}");
    processes::signal(engines[0].pid, Signal::KILL);
    api.wait_run(run, wait::SOON * 2, "another attempt runs", |run| run.attempt == 2 && run.state == RunState::Running)
        .await;
    assert_eq!(receiver.got().len(), 3, "an attempt that died is no end");
    api.cancel(run, CancelMode::Kill).await.unwrap();
    api.wait_end(run).await;
    let got = receiver.wait(4).await;
    assert_eq!(got[3].json()["data"]["attempts"], json!(2));
    wait_told(api, "all are told", |one| one.state == "delivered").await;
    assert_eq!(receiver.got().len(), 4);
    assert_eq!(list(api).await.recent.len(), 4);
}

/// What a receiver answers decides whether it is tried again.
#[tokio::test]
async fn an_answer_that_is_no_yes_is_tried_again_and_a_farewell_is_not() {
    let mut lab = lab!();
    let (busy, gone) = (Receiver::answering("503 Busy").await, Receiver::answering("410 Gone").await);
    allowing(&mut lab, &[busy.url(""), gone.url("")]);
    lab.env("LONGHAUL_NOTIFY_GIVE_UP", "1s").env("LONGHAUL_NOTIFY_RETRY_LONGEST", "200ms");
    let gateway = up(&lab).await;
    let run = submit(&gateway.api, "display 1", &[busy.url("/"), gone.url("/")]).await.run_id;
    gateway.api.wait_end(run).await;
    let all = wait::until(wait::SOON, "both are given up", async || {
        let recent = list(&gateway.api).await.recent;
        (recent.len() == 2 && recent.iter().all(|one| one.state == "given_up")).then_some(recent)
    })
    .await;
    let of = |receiver: &Receiver| all.iter().find(|one| one.address == receiver.url("/")).unwrap().clone();
    assert!(of(&busy).problem.unwrap().contains("it answered 503") && of(&busy).tries > 2);
    assert!(of(&gone).problem.unwrap().contains("410") && of(&gone).tries == 1);
    assert_eq!((gone.got().len(), busy.got().len() > 2), (1, true));
    let shown = lab.run(["notify", "list", "--data", gateway.daemon.data.to_str().unwrap()]).await;
    assert!(shown.out.contains("given up") && shown.out.contains("it answered 503"), "{shown:?}");
    let numbers = gateway.api.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "longhaul_notifications_total{result=\"given_up\",way=\"webhook\"} 2",
        "longhaul_notifications_waiting 0",
        "longhaul_notifications_oldest_seconds 0",
    ] {
        assert!(numbers.contains(line), "{line}: {numbers}");
    }
}
