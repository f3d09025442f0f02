//! Runs are under way, wait, end and begin while the backup is made; then the gateway's machine is gone.

use longhaul_proto::{api::SubmitRequest, ids::RunId, state::RunState};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab},
    ledger, wait,
};
use reqwest::Method;

use super::{Held, come_back, lose, path_of, restore, told};

const LINES: usize = 250;

async fn submit(lab: &Lab, api: &Api, name: &str, host: Option<&str>) -> RunId {
    let request = SubmitRequest {
        path: Some(lab.gated().to_str().unwrap().to_owned()),
        args: vec![name.to_owned()],
        host: host.map(str::to_owned),
        key: Some(format!("key of {name}")),
        ..SubmitRequest::default()
    };
    api.submit(&request).await.unwrap().run.run_id
}

/// One that prints all the time.
async fn talk(lab: &Lab, api: &Api) -> RunId {
    let request = SubmitRequest {
        path: Some(lab.lines().to_str().unwrap().to_owned()),
        args: ["talks", &LINES.to_string(), "20", "0"].map(str::to_owned).to_vec(),
        host: Some("stata1".to_owned()),
        ..SubmitRequest::default()
    };
    api.submit(&request).await.unwrap().run.run_id
}

async fn finish(lab: &Lab, api: &Api, name: &str, run: RunId) -> Vec<u8> {
    lab.open_gate(name);
    let end = api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    api.output(run, "log").await.unwrap()
}

/// Waits for its end at the restored gateway, and compares its output.
async fn same(api: &Api, name: &str, run: RunId, log: &[u8]) -> Result<(), String> {
    api.wait_run(run, wait::SOON * 2, "it is known and has ended", |v| v.state.is_end() && v.output_complete).await;
    let end = api.get(run).await.unwrap();
    let path = format!("/api/v1/runs/{run}/output?stream=log&offset=0");
    let found = api.request(Method::GET, &path).send().await.unwrap().bytes().await;
    let found = found.map_err(|_| format!("{name}: the gateway has less of its output than it says"))?;
    match (end.state, end.attempt, found == log) {
        (RunState::Succeeded, 1, true) => Ok(()),
        (state, attempt, same) => {
            Err(format!("{name}: {state}, attempt {attempt}, {} bytes of {}, same: {same}", found.len(), log.len()))
        }
    }
}

async fn made(api: &Api, name: &str) -> String {
    let body = serde_json::json!({"name": name, "principal": name});
    let made = api.request(Method::POST, "/api/v1/tokens").json(&body).send().await.unwrap();
    let made: serde_json::Value = made.json().await.unwrap();
    made["token"].as_str().unwrap().to_owned()
}

async fn audit_log_is_whole(lab: &Lab, gateway: &Gateway) -> bool {
    lab.run(["audit", "verify", "--data", gateway.daemon.data.to_str().unwrap()]).await.status == 0
}

/// The whole story; with `bug` the backup is made in a wrong way. What is not as it was.
async fn story(bug: &str) -> Result<(), String> {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let _agents = [
        lab.agent("stata1", &gateway, &["--seats", "2", "--serve-all"]),
        lab.agent("stata2", &gateway, &["--serve-all"]),
    ];
    for host in ["stata1", "stata2"] {
        gateway.api.wait_host(host, "up").await;
    }
    let ana = gateway.api.with_token(&made(&gateway.api, "ana").await);
    let ended = submit(&lab, &gateway.api, "ended", Some("stata1")).await;
    let ended_log = finish(&lab, &gateway.api, "ended", ended).await;
    let going = submit(&lab, &ana, "going", Some("stata1")).await;
    let ending = submit(&lab, &gateway.api, "ending", Some("stata2")).await;
    for (api, run, name) in [(&ana, going, "going"), (&gateway.api, ending, "ending")] {
        api.wait_output(run, &format!("started {name}")).await;
    }
    let talks = talk(&lab, &gateway.api).await;
    gateway.api.wait_output(talks, "talks line 5 of").await;
    let waits = submit(&lab, &gateway.api, "waits", Some("stata2")).await;
    gateway.api.wait_run(waits, wait::SOON, "a reason", |v| v.waiting.is_some()).await;

    // All that is copied is copied; while the backup is still being made, one run ends, the waiting one is executed, and
    // another one comes and goes.
    let backups = lab.path().join("backups");
    let held = Held::at("backup.files_copied", &lab, &gateway, &backups, bug).await;
    let ending_log = finish(&lab, &gateway.api, "ending", ending).await;
    let waits_log = finish(&lab, &gateway.api, "waits", waits).await;
    let since = submit(&lab, &ana, "since", Some("stata2")).await;
    let since_log = finish(&lab, &ana, "since", since).await;
    let backup = told(&held.go_on().await);
    assert_eq!(backup["lacking"].as_array().unwrap().len(), 0, "{backup:#}");

    lose(&mut gateway);
    come_back(&lab, &mut gateway, &path_of(&backup)).await;
    // The agents need nothing: they find the gateway that they know.
    for host in ["stata1", "stata2"] {
        gateway.api.wait_host(host, "up").await;
    }
    let runs = [
        ("ended", ended, &ended_log, &gateway.api),
        ("ending", ending, &ending_log, &gateway.api),
        ("waits", waits, &waits_log, &gateway.api),
        ("since", since, &since_log, &ana),
    ];
    for (name, run, log, api) in runs {
        same(api, name, run, log).await?;
        assert_eq!(lab.executions(name), 1, "{name}");
    }
    // Those under way go on, each under its principal.
    let talked = gateway.api.wait_end(talks).await;
    let text = String::from_utf8(gateway.api.output(talks, "log").await.unwrap()).unwrap();
    let lines = (1..=LINES).filter(|n| text.matches(&format!("\ntalks line {n} of {LINES}\n")).count() == 1).count();
    assert_eq!((talked.state, lines), (RunState::Succeeded, LINES), "{talked:#?}");
    assert_eq!(ana.get(going).await.unwrap().state, RunState::Running);
    finish(&lab, &ana, "going", going).await;
    assert_eq!((lab.executions("going"), lab.executions("talks")), (1, 1));
    // An earlier call is known, a new one works, and the audit log and the ledger are whole.
    assert_eq!(submit(&lab, &ana, "since", Some("stata2")).await, since);
    let fresh = submit(&lab, &ana, "fresh", None).await;
    finish(&lab, &ana, "fresh", fresh).await;
    assert!(audit_log_is_whole(&lab, &gateway).await);
    assert_eq!(ledger::integrity(&gateway.daemon.data).await, "ok");
    Ok(())
}

#[tokio::test]
async fn a_backup_made_while_runs_are_active_brings_every_run_back() {
    story("").await.unwrap();
}

/// The control: what is copied before the ledger is too old for it.
#[tokio::test]
async fn control_files_that_are_copied_before_the_ledger_lack_what_it_names() {
    let wrong = story("bug=backup_files_first").await.expect_err("it is found");
    assert!(wrong.starts_with("ending: "), "{wrong}");
}

#[tokio::test]
async fn a_stopped_gateway_is_backed_up_too() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let ended = submit(&lab, &gateway.api, "ended", None).await;
    let log = finish(&lab, &gateway.api, "ended", ended).await;
    gateway.daemon.terminate().await;
    let backup = super::back_up(&lab, &gateway, &lab.path().join("backups"), &[]).await;
    std::fs::remove_dir_all(&gateway.daemon.data).unwrap();
    let restored = restore(&lab, &path_of(&backup), &gateway.daemon.data).await;
    assert_eq!(restored.status, 0, "{restored:#?}");
    gateway.daemon.restart();
    lab::ready(&mut gateway.daemon).await;
    same(&gateway.api, "ended", ended, &log).await.unwrap();
    assert!(audit_log_is_whole(&lab, &gateway).await);
}
