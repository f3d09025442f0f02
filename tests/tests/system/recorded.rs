//! What the record of a run says of its circumstances: which client asked for it, who ended it, how Stata's process ended
//! and what it took, and whether a profile ran. It is in `longhaul show`, its JSON and the API, and outlives the gateway.

use longhaul_proto::{
    api::{CancelMode, RunView, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
};

async fn submit(lab: &Lab, gateway: &Gateway, name: &str, client: Option<&str>, project_profile: bool) -> RunId {
    let request = SubmitRequest {
        path: Some(lab.gated().to_str().unwrap().to_owned()),
        args: vec![name.to_owned()],
        client: client.map(str::to_owned),
        project_profile,
        ..SubmitRequest::default()
    };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    gateway.api.wait_output(run, &format!("started {name}")).await;
    run
}

/// The record as `show` prints it, which must be the same object as the API's.
async fn shown(lab: &Lab, gateway: &Gateway, run: RunId) -> (RunView, String) {
    let view = gateway.api.get(run).await.unwrap();
    let json = lab.run(["show", &run.to_string(), "--json"]).await;
    assert_eq!(serde_json::from_str::<RunView>(&json.out).unwrap(), view, "{json:#?}");
    let text = lab.run(["show", &run.to_string()]).await;
    assert_eq!(text.status, 0, "{text:#?}");
    (view, text.out)
}

/// Checks that each of these lines begins one of the text's, or that none does.
fn check_lines(text: &str, with: &[&str], without: &[&str]) {
    for line in with {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}:\n{text}");
    }
    for line in without {
        assert!(!text.lines().any(|l| l.starts_with(line)), "{line}:\n{text}");
    }
}

#[tokio::test]
async fn a_record_says_who_asked_who_ended_it_and_how_the_process_ended() {
    let mut lab = lab!();
    let mut gateway = lab.up(&["--seats", "2"]).await;
    gateway.api.wait_host_up().await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    lab.file("profile.do", "set more off\n");

    let own = submit(&lab, &gateway, "own", Some("editor 4.2"), true).await;
    lab.open_gate("own");
    let ended = gateway.api.wait_end(own).await;
    assert_eq!(ended.state, RunState::Succeeded, "{ended:#?}");
    let ended = submit(&lab, &gateway, "ended", None, false).await;
    gateway.api.cancel(ended, CancelMode::Kill).await.unwrap();
    assert_eq!(gateway.api.wait_end(ended).await.state, RunState::Cancelled);

    for restarts in [0, 1] {
        if restarts > 0 {
            gateway.kill_and_restart().await;
        }
        let (view, text) = shown(&lab, &gateway, own).await;
        let process = view.process.expect("how its process ended");
        assert_eq!((process.exit_code, process.signal), (Some(0), None), "{view:#?}");
        assert!(process.max_rss_bytes > Some(1 << 16), "{view:#?}");
        assert_eq!((view.client.as_deref(), view.ended_by, view.profile_ran), (Some("editor 4.2"), None, true));
        check_lines(
            &text,
            &["client        editor 4.2", "profile       ", "process       exit status 0, "],
            &["ended by"],
        );

        let (view, text) = shown(&lab, &gateway, ended).await;
        assert_eq!(view.process.expect("how its process ended").signal, Some(9), "{view:#?}");
        assert_eq!(view.ended_by.as_deref(), view.cancel_requested.as_ref().map(|cancel| cancel.by.as_str()));
        assert!(view.ended_by.is_some() && !view.profile_ran, "{view:#?}");
        check_lines(&text, &["ended by      ", "process       ended by signal 9"], &["profile"]);
    }
}

/// A do-file that computes has its processor time in the record; one that sleeps as long has less.
#[tokio::test]
async fn a_record_says_what_processor_time_a_run_took() {
    let mut lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let busy = lab.file("busy.do", "forvalues i = 1/20000 {\n    local j = `i'\n}\n");
    let idle = lab.file("idle.do", "sleep 600\n");
    let mut cpu = Vec::new();
    for file in [busy, idle] {
        let run = gateway.api.submit_path(&file, &[]).await.run_id;
        assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
        let (view, text) = shown(&lab, &gateway, run).await;
        let took = view.process.expect("how its process ended").cpu;
        assert_eq!(took.is_some(), text.contains(" of processor time"), "{text}");
        cpu.push(took.unwrap_or_default());
    }
    assert!(cpu[0] > cpu[1], "{cpu:?}");
}
