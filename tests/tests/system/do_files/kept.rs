//! What is kept, for whom, and how long.

use longhaul_proto::{api::SubmitRequest, sha256_hex, state::RunState};
use longhaul_tests::{lab, lab::ready};
use serde_json::{Value, json};

use super::*;

/// Runs the project; the first do-file is edited during the run, and the second after it. Returns what was kept of each.
async fn edited(mut lab: Lab) -> Vec<(String, String)> {
    lab.config("keep_spool = \"0s\"\n");
    let (mut gateway, mut agent) = pair(&lab).await;
    let (main, [first, second]) = project(&lab);
    let body = fs::read_to_string(&main).unwrap();
    let run = gateway.api.submit_path(&main, &[]).await.run_id;
    gateway.api.wait_output(run, "begun").await;
    let meanwhile = listed(&gateway.api, run).await.unwrap();
    assert!(!meanwhile.complete && meanwhile.do_files.is_empty(), "{meanwhile:#?}");
    assert!(meanwhile.note.unwrap().contains("the run goes on"));
    open(&lab, 1);
    gateway.api.wait_output(run, "one done").await;
    if lab.faults().is_empty() {
        kept(&agent, run, FIRST).await;
    }
    fs::write(&first, "display \"the first, edited\"\n").unwrap();
    open(&lab, 2);
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    complete(&gateway.api, run).await;
    fs::write(&second, "display \"the second, edited\"\n").unwrap();
    fs::write(&main, "display \"another program\"\n").unwrap();
    // The agent's spool goes, and then its host, and the gateway has been restarted.
    agent.kill();
    agent.restart();
    let spool = Lab::spool(&agent, run);
    wait::until_now(wait::SOON, "the spool goes", || (!spool.exists()).then_some(())).await;
    agent.kill();
    gateway.kill_and_restart().await;
    let listed = listed(&gateway.api, run).await.unwrap();
    assert!(listed.complete && listed.note.is_none(), "{listed:#?}");
    let contents = contents(&gateway.api, &listed).await;
    assert_eq!(contents[0], ("main.do".to_owned(), body));
    if lab.faults().is_empty() {
        on_the_command_line(&mut lab, &gateway, &listed).await;
    }
    contents
}

async fn on_the_command_line(lab: &mut Lab, gateway: &Gateway, listed: &RunDoFiles) {
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let run = listed.run_id.short();
    let table = lab.run(["do-files", &run]).await;
    assert_eq!(table.status, 0, "{table:#?}");
    for file in &listed.do_files {
        let words = [file.path.as_str(), &file.sha256.as_ref().unwrap()[..12], "kept"];
        let row = table.out.lines().find(|line| line.contains(&file.path)).unwrap_or_default();
        assert!(words.iter().all(|word| row.contains(word)), "{table:#?}");
    }
    let json = lab.run(["do-files", &run, "--json"]).await;
    assert_eq!(&serde_json::from_str::<RunDoFiles>(&json.out).unwrap(), listed);
    for which in ["2", "first.do", named(listed, "first.do").path.as_str()] {
        let printed = lab.run(["do-files", &run, "--print", which]).await;
        assert_eq!((printed.status, printed.out.as_str()), (0, FIRST), "{which}");
    }
    assert_eq!(lab.run(["do-files", &run, "--print", "no-such.do"]).await.status, 2);
    let folder = lab.path().join("as it was");
    let written = lab.run(["do-files", &run, "--to", folder.to_str().unwrap()]).await;
    assert!(written.status == 0 && written.err.contains("3 of 3 do-files"), "{written:#?}");
    assert_eq!(fs::read_to_string(folder.join("02-first.do")).unwrap(), FIRST);
    assert_eq!(fs::read_to_string(folder.join("03-second.do")).unwrap(), SECOND);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

#[tokio::test]
async fn what_ran_is_there_a_week_later_although_it_was_edited_and_its_host_is_off() {
    let contents = edited(lab!()).await;
    assert_eq!(contents[1..], [("first.do", FIRST), ("second.do", SECOND)].map(|(n, c)| (n.to_owned(), c.to_owned())));
    // The control: an agent that looks only at the end takes what is there then for what ran.
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=do_files_read_at_the_end");
    let contents = edited(lab).await;
    assert_eq!(contents[1].1, "display \"the first, edited\"\n");
}

/// Submits code as a text, which calls what is on the host.
async fn text(gateway: &Gateway, code: String) -> RunId {
    let request = SubmitRequest { text: Some(code), again: true, ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    run
}

#[tokio::test]
async fn what_is_too_large_or_finds_no_room_is_named() {
    let missing = async |faults: &str| {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", faults);
        let (gateway, _agent) = pair(&lab).await;
        let large = lab.file("large.do", "display \"it is large\"\n".to_owned() + &"* filled\n".repeat(150_000));
        let code = format!("quietly do \"{}\"\ndisplay \"unharmed\"\n", large.display());
        let run = text(&gateway, code.clone()).await;
        let listed = complete(&gateway.api, run).await;
        assert_eq!(listed.do_files.len(), 2, "{listed:#?}");
        let file = named(&listed, "/large.do");
        assert_eq!(file.sha256, Some(sha256_hex(&fs::read(&large).unwrap())));
        assert_eq!(file.bytes, fs::metadata(&large).unwrap().len());
        let absent = bytes(&gateway.api, run, file.sha256.as_ref().unwrap()).await;
        assert_eq!(absent, Err(StatusCode::NOT_FOUND));
        let contents = contents(&gateway.api, &listed).await;
        (contents[0] == ("code.do".to_owned(), code), file.why_not.clone().unwrap())
    };
    let (code, why) = missing("").await;
    assert!(code && why.contains("of one do-file 1.0 MiB are kept"), "{why}");
    // The control: the gateway does not take what its own bounds forbid either.
    let (code, why) = missing("bug=do_files_without_bounds").await;
    assert!(code && why.contains("its agent sent more"), "{why}");
    // A full disk harms no run.
    let (code, why) = missing("point=do_files.write:error=enospc@1+").await;
    assert!(!code && why.contains("of one do-file"), "{why}");
}

/// The same bytes in two runs are stored once, and are gone with the records.
#[tokio::test]
async fn the_bytes_go_with_the_last_record_that_names_them() {
    let left = async |faults: &str| {
        let lab = lab!();
        let (mut gateway, mut agent) = pair(&lab).await;
        let called = lab.file("called.do", "display \"called\"\n");
        let code = |n: u32| format!("do \"{}\"\ndisplay {n}\n", called.display());
        let (one, two) = (text(&gateway, code(1)).await, text(&gateway, code(2)).await);
        for run in [one, two] {
            complete(&gateway.api, run).await;
        }
        assert_eq!(blobs(&gateway), 4, "the called do-file is there once, and so are the equal results");
        agent.kill();
        gateway.kill_and_restart().await;
        assert_eq!(blobs(&gateway), 4, "they are as old as their runs");
        gateway.daemon.kill();
        let config = lab.path().join("short.toml");
        fs::write(&config, "keep_records = \"1s\"\n").unwrap();
        let faults = format!("bug=sweep_trusts_the_clock;{faults}");
        gateway.daemon.spec.env.retain(|(name, _)| name != "LONGHAUL_FAULTS");
        gateway.daemon.spec.env.push(("LONGHAUL_CONFIG".into(), config.into()));
        gateway.daemon.spec.env.push(("LONGHAUL_FAULTS".into(), faults.into()));
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        gateway.daemon.restart();
        ready(&mut gateway.daemon).await;
        for run in [one, two] {
            let gone = async || gateway.api.get(run).await.err().map(drop);
            wait::until(wait::SOON, "the record goes", gone).await;
        }
        // They go in the same pass.
        for _ in 0..100 {
            if blobs(&gateway) == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        blobs(&gateway)
    };
    assert_eq!(left("").await, 0);
    // The control.
    assert_eq!(left("bug=do_files_outlive_records").await, 4);
}

#[tokio::test]
async fn who_may_not_see_the_run_sees_none_of_it() {
    let statuses = async |faults: &str| {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", faults);
        let (gateway, _agent) = pair(&lab).await;
        let called = lab.file("called.do", "display \"nobody else's\"\n");
        let run = text(&gateway, format!("do \"{}\"\n", called.display())).await;
        let listed = complete(&gateway.api, run).await;
        let sha256 = named(&listed, "/called.do").sha256.clone().unwrap();
        let made = json!({"name": "ana", "scope": "use"});
        let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&made).send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        let ana = gateway.api.with_token(made["token"].as_str().unwrap());
        let status =
            async |api: &Api, path: String| api.request(Method::GET, &path).send().await.unwrap().status().as_u16();
        // Its owner may name it as a blob too, and run it again as it was.
        let blob = format!("/api/v1/blobs/{sha256}");
        assert_eq!(status(&gateway.api, blob.clone()).await, 200);
        let again = SubmitRequest { text_sha256: Some(sha256.clone()), again: true, ..SubmitRequest::default() };
        let again = gateway.api.submit(&again).await.unwrap().run.run_id;
        assert_eq!(gateway.api.wait_end(again).await.state, RunState::Succeeded);
        assert!(String::from_utf8(gateway.api.output(again, "log").await.unwrap()).unwrap().contains("nobody else's"));
        let list = format!("/api/v1/runs/{run}/do-files");
        let mut found = Vec::new();
        for path in [list.clone(), format!("{list}/{sha256}"), blob] {
            found.push(status(&ana, path).await);
        }
        assert_eq!(bytes(&gateway.api, run, &"0".repeat(64)).await, Err(StatusCode::NOT_FOUND));
        assert_eq!(bytes(&gateway.api, run, "main.do").await, Err(StatusCode::BAD_REQUEST));
        found
    };
    assert_eq!(statuses("").await, [404, 404, 404]);
    // The control.
    assert_eq!(statuses("bug=runs_for_everybody").await, [200, 200, 404]);
}

#[tokio::test]
async fn an_agent_of_an_earlier_version_is_named_as_the_reason() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    lab.env("LONGHAUL_FAULTS", "bug=agent_without_do_files");
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = text(&gateway, "display 1\n".to_owned()).await;
    let listed = complete(&gateway.api, run).await;
    assert!(listed.do_files.is_empty() && listed.note.unwrap().contains("the agent is of an earlier version"));
}
