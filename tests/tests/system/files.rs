//! The files that a run left: named with host and folder at its end, kept as long as its record.

use std::{fs, os::unix::fs::symlink, path::Path};

use longhaul_proto::{
    api::{RunFiles, SubmitRequest},
    ids::RunId,
    sha256_hex,
    state::RunState,
};
use longhaul_tests::{
    api::{bundle, read},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    mcp::Mcp,
    wait,
};
use reqwest::Method;
use serde_json::json;

const CODE: &str =
    "display \"made here\"\nshell echo a,b > results.csv\nshell mkdir figures; echo x > figures/fit.png\n";

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

async fn submit(gateway: &Gateway) -> RunId {
    let request = SubmitRequest { text: Some(CODE.to_owned()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    run
}

#[tokio::test]
async fn who_runs_waits_or_looks_is_told_where_the_files_are() {
    let mut lab = lab!();
    let (gateway, agent) = pair(&lab).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let run = submit(&gateway).await;
    let folder = Lab::spool(&agent, run).canonicalize().unwrap().join("run/work");
    let line = format!("files in stata1:{}: figures/fit.png, results.csv", folder.display());

    let waited = lab.run(["wait", &run.to_string()]).await;
    assert!(waited.status == 0 && waited.err.contains(&line), "{waited:#?}");
    let shown = lab.run(["show", &run.to_string()]).await;
    assert!(shown.status == 0 && shown.out.contains(&line), "{shown:#?}");
    for field in
        [format!("run           {run}"), "host          stata1".into(), "file          results.csv (4 B)".into()]
    {
        assert!(shown.out.lines().any(|l| l == field), "{field}: {shown:#?}");
    }
    let json = lab.run(["show", &run.to_string(), "--json"]).await;
    let view: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(view["artifacts"].as_array().unwrap().len(), 2, "{view:#}");
    assert!(lab.run(["show", "00000000"]).await.status != 0);

    // The same for a do-file in the user's own folder.
    let file = lab.file("own.do", "shell echo x > own.csv\n");
    let ran = lab.run(["run", file.to_str().unwrap()]).await;
    let own = format!("files in stata1:{}: own.csv", lab.work().canonicalize().unwrap().display());
    assert!(ran.status == 0 && ran.err.contains(&own), "{ran:#?}");

    let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let said = client.call("stata_wait", json!({"runs": run})).await;
    assert!(said.text.contains(&line), "{said:#?}");
}

/// The names of the files that a run left which wrote them at once, while its supervisor had not noted its start yet.
async fn written_at_once(bug: &str) -> Vec<String> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", format!("point=supervisor.after_spawn:pause=500{bug}"));
    let (gateway, _agent) = pair(&lab).await;
    let files = [("main.do", "shell echo x > made.csv\n"), ("came.csv", "a,b\n")];
    let bundle = Some(bundle("main.do", &files));
    let run = gateway.api.submit(&SubmitRequest { bundle, ..SubmitRequest::default() }).await.unwrap().run.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    let listed = listed(&gateway, run).await;
    assert!(listed.files.iter().all(|file| file.created), "{listed:#?}");
    listed.files.into_iter().map(|file| file.name).collect()
}

#[tokio::test]
async fn what_a_run_writes_at_once_is_listed_and_what_came_with_it_is_not() {
    assert_eq!(written_at_once("").await, ["made.csv"]);
    assert_eq!(written_at_once(";bug=files_since_the_note").await, [""; 0], "the control");
}

/// The spool of a run, whose log goes when the gateway releases it.
fn has_log(spool: &Path) -> bool {
    let entries = fs::read_dir(spool.join("run")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|ending| ending == "log"))
}

async fn list(gateway: &Gateway, run: RunId) -> RunFiles {
    let path = format!("/api/v1/runs/{run}/files");
    read(gateway.api.request(Method::GET, &path).send().await.unwrap()).await.unwrap()
}

/// The list once the agent has been asked.
async fn listed(gateway: &Gateway, run: RunId) -> RunFiles {
    wait::until(wait::SOON, "its files are noted", async || {
        Some(list(gateway, run).await).filter(|listed| listed.complete)
    })
    .await
}

async fn get(gateway: &Gateway, run: RunId, name: &str, range: Option<&str>) -> longhaul_tests::http::Answered {
    let name = name.replace('/', "%2F");
    let mut request = gateway.api.request(Method::GET, &format!("/api/v1/runs/{run}/files/{name}"));
    if let Some(range) = range {
        request = request.header("range", range);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn files_are_here_when_the_spool_is_gone() {
    for copies in [true, false] {
        let mut lab = lab!();
        lab.config("keep_spool = \"0s\"\n");
        if !copies {
            // The control: nothing is copied, so the files stay on their host, and nothing is lost either.
            lab.config("keep_spool = \"0s\"\nmax_artifacts = \"0\"\n");
        }
        let (gateway, mut agent) = pair(&lab).await;
        lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
        let run = submit(&gateway).await;
        let spool = Lab::spool(&agent, run);
        let before = listed(&gateway, run).await;
        assert_eq!(before.files.iter().map(|file| &*file.name).collect::<Vec<_>>(), ["figures/fit.png", "results.csv"]);
        for file in &before.files {
            assert_eq!((file.kept, file.created, file.why_not.is_none()), (copies, true, copies), "{file:#?}");
            assert!(copies || file.why_not.as_ref().unwrap().contains("max_artifacts"), "{file:#?}");
        }
        assert_eq!(before.files[1].sha256.as_deref(), Some(&*sha256_hex(b"a,b\n")));
        assert_eq!((before.files[1].bytes, &*before.files[1].media_type), (4, "text/csv"));
        // The gateway says what may be deleted when the agent registers.
        agent.kill();
        agent.restart();
        wait::until_now(wait::SOON, "the log goes", || (!has_log(&spool)).then_some(())).await;
        let on_host = spool.join("run/work/results.csv").exists();
        assert_eq!(on_host, !copies, "what is here needs no place there");
        if copies {
            // Also without the agent, byte for byte, by API, MCP and command line.
            agent.kill();
        } else {
            // It has registered by now; what it has is read once the gateway has reached it, too.
            gateway.api.wait_host("stata1", "up").await;
        }
        let whole = get(&gateway, run, "results.csv", None).await;
        assert_eq!(whole.headers().contains_key("repr-digest"), copies);
        assert_eq!(whole.bytes().await.unwrap(), "a,b\n");
        let part = get(&gateway, run, "results.csv", Some("bytes=2-")).await;
        assert_eq!((part.status().as_u16(), &part.headers()["content-range"]), (206, &"bytes 2-3/4".parse().unwrap()));
        assert_eq!(part.bytes().await.unwrap(), "b\n");
        assert_eq!(get(&gateway, run, "results.csv", Some("bytes=9-")).await.status(), 416);
        let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
        let said = client.call("stata_files", json!({"run": run})).await;
        let place = if copies { "kept with the run" } else { "on its host" };
        assert!(said.text.contains(&format!("- results.csv (4 B, created, {place}")), "{said:#?}");
        let said = client.call("stata_files", json!({"run": run, "name": "results.csv"})).await;
        assert!(
            said.text.contains("(4 B, text/csv), whole:\n--- begin output") && said.text.contains("\na,b\n"),
            "{said:#?}"
        );
        let to = lab.work().join("fetched");
        let got = lab.run(["get", &run.to_string(), "-o", to.to_str().unwrap()]).await;
        assert_eq!(got.status, 0, "{got:#?}");
        assert_eq!(fs::read_to_string(to.join("results.csv")).unwrap(), "a,b\n");
        assert_eq!(fs::read_to_string(to.join("figures/fit.png")).unwrap(), "x\n");
        let view = gateway.api.get(run).await.unwrap();
        assert!(view.files_removed.is_none() && view.artifacts.len() == 2, "{view:#?}");
        let output = String::from_utf8(gateway.api.output(run, "log").await.unwrap()).unwrap();
        assert!(output.contains("\nmade here\n"), "{output}");
        // It stays so, and the run is not imported as another one.
        agent.kill();
        agent.restart();
        gateway.api.wait_host("stata1", "up").await;
        assert_eq!(gateway.api.list().await.unwrap().runs.len(), 1);
    }
}

#[tokio::test]
async fn without_the_copies_the_files_would_go_with_the_spool() {
    let mut lab = lab!();
    lab.config("keep_spool = \"0s\"\nmax_artifacts = \"0\"\n");
    lab.env("LONGHAUL_FAULTS", "bug=work_goes_with_the_log");
    let (gateway, mut agent) = pair(&lab).await;
    let run = submit(&gateway).await;
    let spool = Lab::spool(&agent, run);
    listed(&gateway, run).await;
    agent.kill();
    agent.restart();
    wait::until_now(wait::SOON, "the log goes", || (!has_log(&spool)).then_some(())).await;
    assert!(!spool.join("run/work/results.csv").exists());
}

/// Files in a folder of the user's stay there, and are read there; names that are none of the run's are refused.
#[tokio::test]
async fn a_users_files_are_fetched_from_their_host() {
    let mut lab = lab!();
    let (gateway, agent) = pair(&lab).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let folder = lab.work().canonicalize().unwrap();
    lab.file("old.csv", "before\n");
    lab.file("secret.txt", "not the run's\n");
    let code = "shell echo after >> old.csv\nshell mkdir sub; echo new > sub/new.csv; printf 'a\\000b' > raw.bin\n\
                shell ln -s ../secret.txt sub/link.csv; mkfifo sub/pipe.csv\n";
    let file = lab.file("own.do", format!("sleep 100\n{code}"));
    let run = gateway.api.submit_path(&file, &[]).await.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    let found = listed(&gateway, run).await;
    let of = |name: &str| found.files.iter().find(|file| file.name == name).cloned();
    let (old, new) = (of("old.csv").expect("changed"), of("sub/new.csv").expect("created"));
    assert!(!old.created && new.created && !old.kept && !new.kept, "{old:#?} {new:#?}");
    assert_eq!(new.sha256.as_deref(), Some(&*sha256_hex(b"new\n")));
    assert!(of("sub/link.csv").is_none() && of("sub/pipe.csv").is_none() && of("secret.txt").is_none(), "{found:#?}");
    assert_eq!(found.folder.as_deref(), folder.to_str());
    assert_eq!(get(&gateway, run, "sub/new.csv", None).await.text().await.unwrap(), "new\n");
    let path = folder.join("sub/new.csv");
    assert_eq!(
        get(&gateway, run, path.to_str().unwrap(), None).await.text().await.unwrap(),
        "new\n",
        "by its path too"
    );
    for name in
        ["../secret.txt", "secret.txt", "/etc/passwd", "sub/../secret.txt", "sub/link.csv", "sub/pipe.csv", "sub"]
    {
        let refused = get(&gateway, run, name, None).await;
        assert_eq!(refused.status(), 404, "{name}");
        assert!(refused.text().await.unwrap().contains("left no file called"), "{name}");
    }
    // Another principal is told of no run, and so of no file.
    let asked = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "eve"}));
    let made: serde_json::Value = read(asked.send().await.unwrap()).await.unwrap();
    let eve = gateway.api.with_token(made["token"].as_str().unwrap());
    for path in ["files", "files/sub%2Fnew.csv"] {
        let refused = eve.request(Method::GET, &format!("/api/v1/runs/{run}/{path}")).send().await.unwrap();
        assert_eq!(refused.status(), 404, "{path}");
    }

    let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let said = client.call("stata_files", json!({"run": run, "name": "raw.bin"})).await;
    assert!(said.text.contains("no text") && said.text.contains("longhaul get"), "{said:#?}");
    let said = client.call("stata_files", json!({"run": run, "name": "none.csv"})).await;
    assert!(said.is_error && said.text.contains("left no file called none.csv"), "{said:#?}");

    // Not over what is there, and by the name alone from elsewhere.
    let to = lab.work().join("fetched");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("old.csv"), "mine\n").unwrap();
    let arguments = ["get", &run.to_string(), "old.csv", "new.csv", "-o", to.to_str().unwrap()];
    let got = lab.run(arguments).await;
    assert!(got.status != 0 && got.err.contains("with other content: pass --force"), "{got:#?}");
    assert_eq!(fs::read_to_string(to.join("old.csv")).unwrap(), "mine\n");
    assert_eq!(fs::read_to_string(to.join("sub/new.csv")).unwrap(), "new\n");
    let got = lab.run(arguments.into_iter().chain(["--force"])).await;
    assert_eq!((got.status, &*fs::read_to_string(to.join("old.csv")).unwrap()), (0, "before\nafter\n"), "{got:#?}");
    let shown = lab.run(["files", &run.to_string()]).await;
    assert!(shown.out.contains("sub/new.csv") && shown.out.contains("changed, on its host"), "{shown:#?}");

    // What was written to since is not what the run left, and is fetched only on purpose.
    fs::write(folder.join("old.csv"), "of a later run\n").unwrap();
    let late = lab.work().join("late");
    let arguments = ["get", &run.to_string(), "old.csv", "-o", late.to_str().unwrap()];
    let got = lab.run(arguments).await;
    assert!(got.status == 4 && got.err.contains("not what the run left: pass --force"), "{got:#?}");
    assert!(!late.join("old.csv").exists());
    let got = lab.run(arguments.into_iter().chain(["--force"])).await;
    assert!(got.status == 0 && got.err.contains("it was written to after the run's end"), "{got:#?}");
    assert_eq!(fs::read_to_string(late.join("old.csv")).unwrap(), "of a later run\n");

    // A folder that was swapped for a link shows nothing of what it leads to; a file that was edited says so.
    fs::rename(folder.join("sub"), folder.join("moved")).unwrap();
    fs::create_dir(folder.join("elsewhere")).unwrap();
    fs::write(folder.join("elsewhere/new.csv"), "of others\n").unwrap();
    symlink(folder.join("elsewhere"), folder.join("sub")).unwrap();
    let refused = get(&gateway, run, "sub/new.csv", None).await;
    assert_eq!(refused.status(), 410);
    assert!(refused.text().await.unwrap().contains("a folder on its way is a symbolic link now"));
    drop(agent);
}

#[tokio::test]
async fn two_runs_in_one_folder_say_so() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--seats", "2"]);
    gateway.api.wait_host("stata1", "up").await;
    let gated = lab.gated();
    let first = gateway.api.submit_path(&gated, &["first"]).await.run_id;
    let second = gateway.api.submit_path(&gated, &["second"]).await.run_id;
    for (run, word) in [(first, "started first"), (second, "started second")] {
        gateway.api.wait_output(run, word).await;
    }
    for (run, gate) in [(first, "first"), (second, "second")] {
        lab.open_gate(gate);
        assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    }
    assert_eq!(listed(&gateway, first).await.shared_with, [second.to_string()]);
    assert_eq!(listed(&gateway, second).await.shared_with, [first.to_string()]);
}

/// Killed between the copy and the note, the gateway copies once more and loses nothing.
#[tokio::test]
async fn a_gateway_that_dies_while_it_copies_goes_on_with_it() {
    let mut lab = lab!();
    let faults = lab.path().join("faults");
    fs::create_dir_all(&faults).unwrap();
    fs::write(faults.join("files.before_noted"), "kill").unwrap();
    lab.env("LONGHAUL_FAULTS", format!("dir={}", faults.display()));
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let request = SubmitRequest { text: Some(CODE.to_owned()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    gateway.daemon.ended().await;
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    let found = listed(&gateway, run).await;
    assert!(found.files.len() == 2 && found.files.iter().all(|file| file.kept), "{found:#?}");
    assert_eq!(get(&gateway, run, "results.csv", None).await.text().await.unwrap(), "a,b\n");
}
