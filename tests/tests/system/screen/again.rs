//! Running again what a run was, code from standard input, and what is refused before anything waits.

use std::process::Stdio;

use longhaul_proto::api::{RunView, SubmitRequest};
use longhaul_tests::{lab, lab::Ran};
use tokio::io::AsyncWriteExt;

#[track_caller]
fn ended(ran: &Ran, status: i32, words: &[&str]) {
    assert_eq!(ran.status, status, "{ran:#?}");
    for word in words {
        assert!(ran.err.contains(word) || ran.out.contains(word), "{word}: {ran:#?}");
    }
}

#[tokio::test]
async fn a_run_is_repeated_with_the_code_that_it_had() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());

    // By its path: then the file is edited, and what ran then runs again, in the same folder.
    let file = lab.file("project/a b.do", "display \"first `1'\"\nshell touch made.csv\n");
    let path = file.to_str().unwrap();
    ended(&lab.run(["run", path, "north side", "--name", "nightly", "--note", "n"]).await, 0, &["first north side"]);
    let kept = async || {
        let listed: serde_json::Value =
            serde_json::from_str(&lab.run(["do-files", "last", "--json"]).await.out).unwrap_or_default();
        (listed["do_files"][0]["kept"] == true).then_some(())
    };
    longhaul_tests::wait::until(longhaul_tests::wait::SOON, "its do-file is kept", kept).await;
    let first = gateway.api.list().await.unwrap().runs.remove(0);
    std::fs::write(&file, "display \"second\"\n").unwrap();
    let again = lab.run(["rerun", &first.run_id.short()]).await;
    let repeats = format!("repeats {}", first.run_id.short());
    ended(&again, 0, &["first north side", &repeats, "a b.do north side"]);
    let second = gateway.api.list().await.unwrap().runs.remove(0);
    assert_ne!(second.run_id, first.run_id);
    assert_eq!((&second.name, &second.user_note, &second.args), (&first.name, &first.user_note, &first.args));
    assert_eq!(second.code_sha256, first.code_sha256);
    assert_eq!(second.working_dir, first.working_dir);
    let shown = lab.run(["show", &first.run_id.to_string(), "--utc"]).await.out;
    for words in [
        "attempt       1 on stata1 at 20",
        ": succeeded (completed)",
        "do-file       ",
        "name          nightly",
        "made.csv (0 B)",
        " of memory at most",
        "took          ",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(second.file_name.as_deref().or(Some(second.what())), Some("a b.do"));

    // Text, a bundle, limits and wishes; in the background.
    let data = lab.path().join("away");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("main.do"), "do sub\n").unwrap();
    std::fs::write(data.join("sub.do"), "display \"of the bundle\"\n").unwrap();
    std::fs::write(data.join("big.csv"), "1,2\n".repeat(30_000)).unwrap();
    let bundle = data.join("main.do");
    let text = data.join("sub.do");
    for (args, words) in [
        (vec!["run", "--with", data.to_str().unwrap(), bundle.to_str().unwrap(), "--timeout", "5min"], "of the bundle"),
        (vec!["run", text.to_str().unwrap(), "--host", "stata1", "--retry", "if_proven_dead"], "of the bundle"),
    ] {
        ended(&lab.run(args).await, 0, &[words]);
        let before = gateway.api.list().await.unwrap().runs.remove(0);
        let again = lab.run(["rerun", "last", "--detach"]).await;
        ended(&again, 0, &[]);
        ended(&lab.run(["wait", again.out.trim()]).await, 0, &[]);
        ended(&lab.run(["log", again.out.trim()]).await, 0, &[words]);
        let after: RunView = gateway.api.get(again.out.trim()).await.unwrap();
        assert_eq!((after.timeout, after.retry, &after.source), (before.timeout, before.retry, &before.source));
        assert_eq!(after.file_name, before.file_name);
    }
    ended(&lab.run(["rerun", "deadbeef"]).await, 4, &["no run `deadbeef`"]);
}

#[tokio::test]
async fn without_a_look_a_folder_that_is_not_there_would_end_a_run() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=folders_unlooked");
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let (text, nope) = (Some("display 1\n".to_owned()), Some("/nope".to_owned()));
    let request = SubmitRequest { text, working_dir: nope, ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state.as_str(), "errored");
}

#[tokio::test]
async fn standard_input_is_run_and_mistakes_are_told_at_once() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let mut command = lab.command(["run", "-", "north"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"display \"read `1'\"\n").await.unwrap();
    drop(stdin);
    ended(&Ran::from(child.wait_with_output().await.unwrap()), 0, &["read north"]);

    let (a, b) = (lab.file("a.do", "display \"got `1'\"\n"), lab.file("b.do", "display 2\n"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    ended(&lab.run(["run", a, b]).await, 2, &["write `--` before it", "call it twice"]);
    ended(&lab.run(["run", a, "--", b]).await, 0, &["got "]);

    // No seat is held, and no run recorded, for a folder that is not there.
    let runs = gateway.api.list().await.unwrap().runs.len();
    let nope = lab.work().join("nope");
    let nope = nope.to_str().unwrap();
    ended(&lab.run(["run", a, "--working-dir", nope]).await, 4, &["the working directory", "does not exist on stata1"]);
    let text = SubmitRequest {
        text: Some("display 1\n".to_owned()),
        working_dir: Some(nope.to_owned()),
        ..SubmitRequest::default()
    };
    let refused = gateway.api.submit(&text).await.unwrap_err();
    assert!(format!("{refused:?}").contains("does not exist"), "{refused:?}");
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), runs);
    let there = SubmitRequest { working_dir: Some(lab.work().to_str().unwrap().to_owned()), ..text.clone() };
    let run = gateway.api.submit(&there).await.unwrap().run.run_id;
    gateway.api.wait_end(run).await;
}
