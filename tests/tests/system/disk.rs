//! Disks that fill up in the middle of runs, on either side, and have room again: the state is clear, the output so far
//! is kept, everything catches up, every do-file is executed once. Where no small file system can be mounted, these
//! tests are skipped (`tmpfs`).

use std::fs;

use longhaul_proto::{
    api::{Problem, RunView, SubmitRequest},
    ids::RunId,
    state::{Cause, RunState},
};
use longhaul_tests::{api::Api, daemon::Daemon, lab, lab::Lab, ledger, mount::Mount, processes, wait};
use reqwest::Method;

/// Prints, waits for its gate, prints much, waits for its second gate, and ends.
fn chatty(lab: &Lab) -> std::path::PathBuf {
    let wait = |gate: &str| {
        format!(
            "local waiting = 1\nwhile `waiting' {{\n    capture confirm file \"{}-`1'{gate}\"\n    if _rc == 0 {{\n        local \
             waiting = 0\n    }}\n    else {{\n        sleep 20\n    }}\n}}\n",
            lab.work().join("gate").display()
        )
    };
    let body = format!(
        "display \"started `1'\"\n{}forvalues i = 1/3000 {{\n    display \"line `i' of a run that has much to say\"\n}}\n\
         display \"said `1'\"\n{}display \"finished `1'\"\n",
        wait("-talk"),
        wait("")
    );
    lab.counted("chatty.do", &body)
}

/// Every further submission gets a clear answer, accepted or refused, until one is refused: the accepted runs, and the
/// refusal.
async fn submit_until_refused(lab: &Lab, api: &Api) -> (Vec<RunId>, Problem) {
    let mut accepted = Vec::new();
    loop {
        let name = format!("more{}", accepted.len());
        let request = SubmitRequest {
            path: Some(lab.gated().to_str().unwrap().to_owned()),
            args: vec![name, "x".repeat(4000)],
            ..SubmitRequest::default()
        };
        match api.submit(&request).await {
            Ok(submitted) => accepted.push(submitted.run.run_id),
            Err(problem) => return (accepted, problem),
        }
        assert!(accepted.len() < 2000, "a full disk takes no more records");
    }
}

#[tokio::test]
async fn a_gateway_whose_disk_is_full_says_so_and_catches_up() {
    let lab = lab!();
    let Some(mount) = Mount::new(&lab.path().join("gateway"), "12m") else { return };
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&chatty(&lab), &["full"]).await.run_id;
    gateway.api.wait_output(run, "started full").await;
    mount.fill();

    // The run goes on; its output stays with its agent, and its readers are told.
    lab.open_gate("full-talk");
    let spool = Lab::log(&agent, run);
    let said = || fs::read_to_string(&spool).is_ok_and(|log| log.contains("\nsaid full\n")).then_some(());
    wait::until_now(wait::SOON, "the run has said it", said).await;
    let told =
        |v: &RunView| v.note.as_deref().is_some_and(|n| n.contains("cannot write its copy") && n.contains("room"));
    let view = gateway.api.wait_run(run, wait::SOON, "that the copy fails", told).await;
    assert_eq!((view.state, view.attempt), (RunState::Running, 1), "{view:#?}");
    let so_far = gateway.api.output(run, "log").await.unwrap();
    assert!(String::from_utf8_lossy(&so_far).contains("started full"), "the output so far can be read");
    let (accepted, problem) = submit_until_refused(&lab, &gateway.api).await;
    assert_eq!(problem.status, 503, "{problem:#?}");
    assert!(
        problem.detail.contains("disk") || problem.detail.contains("room"),
        "it says what to look at: {problem:#?}"
    );
    let ready = gateway.api.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 503);
    // It ends while the disk is still full.
    lab.open_gate("full");
    wait::until_now(wait::SOON, "it ends", || processes::engines(lab.path()).is_empty().then_some(())).await;
    assert!(gateway.daemon.printed().contains("cannot write the mirror"));

    mount.free();
    for n in 0..accepted.len() {
        lab.open_gate(&format!("more{n}"));
    }
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.cause, end.attempt), (RunState::Succeeded, Cause::Completed, 1), "{end:#?}");
    assert!(end.output_complete, "length and digest are the agent's: {end:#?}");
    assert!(!told(&end), "{end:#?}");
    assert!(gateway.api.output(run, "log").await.unwrap() == fs::read(&spool).unwrap(), "byte for byte");
    for (n, run) in accepted.iter().enumerate() {
        assert_eq!(gateway.api.wait_end(*run).await.state, RunState::Succeeded, "what was taken is executed");
        assert_eq!(lab.executions(&format!("more{n}")), 1);
    }
    assert_eq!(lab.executions(&format!("more{}", accepted.len())), 0, "what was refused is not");
    assert_eq!(lab.executions("full"), 1);
    let ready = gateway.api.request(Method::GET, "/readyz").send().await.unwrap();
    assert!(ready.status().is_success());
    assert_eq!(ledger::integrity(&gateway.daemon.data).await, "ok");
}

#[tokio::test]
async fn a_gateway_killed_on_a_full_disk_comes_back_whole() {
    let lab = lab!();
    let Some(mount) = Mount::new(&lab.path().join("gateway"), "12m") else { return };
    let mut gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&chatty(&lab), &["killed"]).await.run_id;
    gateway.api.wait_output(run, "started killed").await;
    mount.fill();
    lab.open_gate("killed-talk");
    let told = |v: &RunView| v.note.as_deref().is_some_and(|n| n.contains("cannot write its copy"));
    gateway.api.wait_run(run, wait::SOON, "that the copy fails", told).await;
    gateway.daemon.kill();
    lab.open_gate("killed");
    wait::until_now(wait::SOON, "it ends", || processes::engines(lab.path()).is_empty().then_some(())).await;
    mount.free();
    gateway.daemon.restart();
    longhaul_tests::lab::ready(&mut gateway.daemon).await;
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.attempt, end.output_complete), (RunState::Succeeded, 1, true), "{end:#?}");
    let spool = Lab::log(&agent, run);
    assert!(gateway.api.output(run, "log").await.unwrap() == fs::read(&spool).unwrap(), "byte for byte");
    assert_eq!(lab.executions("killed"), 1);
    assert_eq!(ledger::integrity(&gateway.daemon.data).await, "ok");
}

#[tokio::test]
async fn an_agent_whose_disk_is_full_at_the_end_tells_it_when_there_is_room() {
    let lab = lab!();
    let Some(mount) = Mount::new(&lab.path().join("small"), "12m") else { return };
    let gateway = lab.gateway().await;
    let mut spec = lab.agent_spec("stata1", &gateway, &[]);
    let data = mount.path().join("stata1");
    let at = spec.args.iter().position(|a| a == "--data").unwrap() + 1;
    spec.args[at] = data.clone().into();
    let agent = Daemon::start("stata1", &data, spec);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&chatty(&lab), &["spool"]).await.run_id;
    gateway.api.wait_output(run, "started spool").await;
    mount.fill();
    // The log stops where the room ended; the stand-in goes on without it, as Stata may.
    lab.open_gate("spool-talk");
    lab.open_gate("spool");
    wait::until_now(wait::SOON, "it ends", || processes::engines(lab.path()).is_empty().then_some(())).await;
    let so_far = gateway.api.output(run, "log").await.unwrap();
    assert!(String::from_utf8_lossy(&so_far).contains("started spool"), "the output so far can be read");
    // The agent gets no new run, and the waiting run says why.
    let next = gateway.api.submit_path(&lab.gated(), &["next"]).await.run_id;
    let free = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("free") || w.contains("seat"));
    gateway.api.wait_run(next, wait::SOON, "a reason", free).await;

    mount.free();
    let end = gateway.api.wait_end(run).await;
    assert!(matches!(end.state, RunState::Succeeded | RunState::Errored), "{end:#?}");
    let said = [&end.note, &end.message].into_iter().flatten().any(|text| text.contains("full"));
    assert!(said && end.attempt == 1, "that its disk was full: {end:#?}");
    assert!(end.output_complete, "{end:#?}");
    let spool = Lab::log(&agent, run);
    assert!(gateway.api.output(run, "log").await.unwrap() == fs::read(&spool).unwrap(), "byte for byte");
    lab.open_gate("next");
    assert_eq!(gateway.api.wait_end(next).await.state, RunState::Succeeded, "and it takes runs again");
    assert_eq!((lab.executions("spool"), lab.executions("next")), (1, 1));
    drop(agent);
}
