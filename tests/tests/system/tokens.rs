//! Tokens and what they may see, folders and secrets that must be private, and commands that make nothing.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{
    api::{Api, read},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    mcp::Mcp,
    need, processes,
    pty::Serving,
    wait,
};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

async fn token(gateway: &Gateway, name: &str) -> Api {
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({ "name": name })).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    gateway.api.with_token(made["token"].as_str().unwrap())
}

/// Opens a stream and a waiting MCP call with a token, revokes it, and returns whether both ended.
async fn revoked_ends(lab: &Lab) -> bool {
    let gateway = lab.up(&["--serve-all"]).await;
    gateway.api.wait_host_up().await;
    let ana = token(&gateway, "ana").await;
    let run = ana.submit_path(&lab.gated(), &["ana"]).await.run_id;
    ana.wait_output(run, "started ana").await;
    let mut stream = ana.request(Method::GET, &format!("/api/v1/runs/{run}/events")).send().await.unwrap();
    assert!(stream.status().is_success() && stream.chunk().await.unwrap().is_some(), "it is open");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "stata_wait", "arguments": {"runs": run.to_string(), "seconds": 300},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "claude-code", "version": "2.1.330"},
            "io.modelcontextprotocol/clientCapabilities": {}
        }
    }});
    let call = ana
        .request(Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "stata_wait")
        .json(&call);
    let mut call = call.send().await.unwrap();
    assert!(call.status().is_success() && call.chunk().await.unwrap().is_some(), "it is begun");

    let revoked = gateway.api.request(Method::DELETE, "/api/v1/tokens/ana").send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    assert_eq!(ana.request(Method::GET, "/api/v1/runs").send().await.unwrap().status(), 401);
    let ends = async |answer: &mut reqwest::Response| {
        tokio::time::timeout(Duration::from_secs(8), async { while let Ok(Some(_)) = answer.chunk().await {} })
            .await
            .is_ok()
    };
    let both = (ends(&mut stream).await, ends(&mut call).await);
    assert_eq!(both.0, both.1, "both alike");
    assert_eq!(gateway.api.get(run).await.unwrap().state, RunState::Running, "the run goes on");
    both.0
}

#[tokio::test]
async fn a_revoked_token_ends_its_streams_and_calls() {
    let mut lab = lab!();
    assert!(revoked_ends(&lab).await);
    drop(lab);
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=revoked_streams_live");
    assert!(!revoked_ends(&lab).await, "the control");
}

#[tokio::test]
async fn no_token_is_printed_where_it_is_kept_and_none_is_put_into_a_command_line() {
    let lab = lab!();
    let mut gateway = lab.up(&["--serve-all"]).await;
    let greeted = async |gateway: &Gateway, times: usize| {
        wait::until_now(wait::SOON, "it says how to connect", || {
            (gateway.daemon.printed().matches("mcp install --client claude --user").count() == times).then_some(())
        })
        .await;
    };
    greeted(&gateway, 1).await;
    gateway.kill_and_restart().await;
    greeted(&gateway, 2).await;
    let printed = gateway.daemon.printed();
    assert!(!printed.contains("lh_") && !printed.contains("--header"), "{printed}");
    assert!(printed.contains("credentials.json"), "{printed}");
}

/// What a gateway prints of its operator's token at its first start, and at its second.
async fn token_printed(lab: &Lab, terminal: bool) -> (String, [String; 2]) {
    let data = lab.path().join("gateway");
    let args = ["gateway", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let greeted = "Agents join with";
    let mut printed = [String::new(), String::new()];
    for (time, text) in printed.iter_mut().enumerate() {
        if terminal {
            let serving = Serving::start(lab, &args);
            let said = || Some(serving.text()).filter(|text| text.contains(greeted));
            *text = wait::until_now(wait::SOON, "it greets on a terminal", said).await;
            serving.kill().await;
        } else {
            let mut daemon = Daemon::start("gateway", &data, lab.spec(&format!("gateway{time}"), args));
            let said = || Some(daemon.printed()).filter(|text| text.contains(greeted));
            *text = wait::until_now(wait::SOON, "it greets", said).await;
            daemon.kill();
        }
    }
    let credentials = lab::json(&data.join("credentials.json")).unwrap();
    (credentials["token"].as_str().unwrap().to_owned(), printed)
}

#[tokio::test]
async fn a_token_is_printed_once_and_on_a_terminal_only() {
    let lab = lab!();
    let (token, [first, again]) = token_printed(&lab, true).await;
    assert_eq!(first.matches(&token).count(), 1, "{first}");
    assert!(first.contains("shown this once") && first.contains("credentials.json"), "{first}");
    assert!(!again.contains(&token) && again.contains("credentials.json"), "{again}");

    let lab = lab!();
    let (token, [first, again]) = token_printed(&lab, false).await;
    for printed in [first, again] {
        assert!(!printed.contains(&token) && printed.contains("Token: in ") && printed.contains("credentials.json"));
    }
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=token_shown_anywhere");
    let (token, [first, _]) = token_printed(&lab, false).await;
    assert!(first.contains(&token), "the control");
}

#[tokio::test]
async fn what_is_written_for_a_client_is_a_token_that_may_not_operate() {
    let lab = lab!();
    let gateway = lab.up(&["--serve-all"]).await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let file = lab.work().join(".mcp.json");
    let install = ["--data", &data, "mcp", "install", "--client", "claude"];
    let written = || {
        let whole: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let header = whole["mcpServers"]["longhaul"]["headers"]["Authorization"].as_str().unwrap().to_owned();
        header.strip_prefix("Bearer ").unwrap().to_owned()
    };
    let ran = lab.run(install).await;
    assert!(ran.status == 0 && ran.err.contains("scope `use`"), "{ran:#?}");
    let first = written();
    assert_ne!(first, gateway.api.token());
    let client = gateway.api.with_token(&first);
    let me: Value = read(client.request(Method::GET, "/api/v1/whoami").send().await.unwrap()).await.unwrap();
    let own: Value = read(gateway.api.request(Method::GET, "/api/v1/whoami").send().await.unwrap()).await.unwrap();
    assert_eq!((&me["scope"], &me["principal"]), (&json!("use"), &own["principal"]));
    assert!(Mcp::new(&client, "claude-code", "2.1.330").call("stata_runs", json!({})).await.text.contains("no runs"));

    // Again: the token exists already, and nothing is made.
    let ran = lab.run(install).await;
    assert!(ran.status == 0 && ran.err.contains("has this entry already") && written() == first, "{ran:#?}");
    let dry = lab.run(["--data", &data, "mcp", "install", "--client", "claude", "--name", "two", "--dry-run"]).await;
    assert!(dry.status == 0 && !dry.out.contains("lh_"), "{dry:#?}");
    let listed = lab.run(["--data", &data, "token", "list"]).await.out;
    assert_eq!(listed.matches("mcp-").count(), 1, "{listed}");
    for client in ["claude", "cursor", "json", "claude-desktop"] {
        let ran = lab.run(["--data", &data, "mcp", "print", "--client", client]).await;
        assert!(ran.status == 0 && !ran.out.contains("lh_"), "{client}: {ran:#?}");
    }
}

#[tokio::test]
async fn commands_that_ask_make_nothing_where_nothing_is() {
    let lab = lab!();
    let run = "01900000-0000-7000-8000-000000000000";
    for words in [
        vec!["runs"],
        vec!["hosts"],
        vec!["log", run],
        vec!["wait", run],
        vec!["cancel", run],
        vec!["drain", "x"],
        vec!["declare-dead", run],
        vec!["token", "list"],
        vec!["token", "add", "ana"],
        vec!["token", "revoke", "ana"],
    ] {
        let ran = lab.run(&words).await;
        assert_eq!(ran.status, 4, "{words:?}: {ran:#?}");
        assert!(ran.err.contains("no gateway here") && ran.err.contains("longhaul up"), "{words:?}: {ran:#?}");
        assert!(!lab.path().join("home/.local").exists(), "{words:?} made something");
    }
    // The control: a run without a daemon works as before, and then there is a gateway to ask.
    lab.file("one.do", "display 1\n");
    let ran = lab.run(["run", "one.do", "--engine", "standin"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let ran = lab.run(["runs"]).await;
    assert!(ran.status == 0 && ran.out.contains("succeeded"), "{ran:#?}");
    // But a token would be one that no running gateway knows.
    let ran = lab.run(["token", "add", "ana"]).await;
    assert!(ran.status == 4 && ran.err.contains("no gateway here"), "{ran:#?}");
}

/// `up`, started with this disposition of SIGHUP, whatever the tests themselves inherited.
async fn up_with(lab: &Lab, hangup: &str) -> Gateway {
    let mut gateway = lab.up(&["--serve-all"]).await;
    gateway.daemon.terminate().await;
    let program = std::mem::replace(&mut gateway.daemon.spec.program, "/usr/bin/env".into());
    gateway.daemon.spec.args.splice(0..0, [hangup.into(), program.into()]);
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    gateway
}

#[tokio::test]
async fn a_terminal_that_closes_is_an_orderly_stop() {
    let lab = lab!();
    let mut gateway = up_with(&lab, "--default-signal=HUP").await;
    processes::signal(gateway.daemon.pid(), Signal::HUP);
    let status = gateway.daemon.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.daemon.printed());
    assert!(gateway.daemon.printed().contains("stopping"), "{}", gateway.daemon.printed());
}

/// As `nohup` asks.
#[tokio::test]
async fn where_hangups_are_ignored_they_stop_nothing() {
    let lab = lab!();
    let mut gateway = up_with(&lab, "--ignore-signal=HUP").await;
    processes::signal(gateway.daemon.pid(), Signal::HUP);
    gateway.api.wait_host_up().await;
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    assert!(gateway.daemon.alive());
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_data_folder_must_be_ones_own() {
    let mut lab = lab!();
    let data = lab.path().join("data");
    fs::create_dir(&data).unwrap();
    let given = data.to_str().unwrap().to_owned();
    fs::write(data.join("join-secret"), "a secret of the attacker's\n").unwrap();
    lab.file("one.do", "display 1\n");
    let commands = [
        vec!["up", "--engine", "standin", "--listen", "127.0.0.1:0", "--data", &given],
        vec!["gateway", "--listen", "127.0.0.1:0", "--data", &given],
        vec![
            "agent",
            "--engine",
            "standin",
            "--gateway",
            "http://127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
            "--data",
            &given,
        ],
        vec!["run", "one.do", "--engine", "standin", "--data", &given],
    ];
    set(&data, 0o777);
    for words in &commands {
        let ran = lab.run(words).await;
        assert!(ran.status == 4 && ran.err.contains("written to by other users"), "{words:?}: {ran:#?}");
    }
    if need::root() {
        set(&data, 0o755);
        std::os::unix::fs::chown(&data, Some(65534), None).unwrap();
        for words in &commands {
            let ran = lab.run(words).await;
            assert!(ran.status == 4 && ran.err.contains("belongs to another user"), "{words:?}: {ran:#?}");
        }
    }
    lab.env("LONGHAUL_FAULTS", "bug=foreign_data_folder");
    let ran = lab.run(&commands[3]).await;
    assert_eq!(ran.status, 0, "the control: {ran:#?}");
}

#[tokio::test]
async fn a_join_secret_that_others_read_is_none() {
    let mut lab = lab!();
    let secret = lab.file("secret", "sixteen characters and more\n");
    let words = |lab: &Lab| {
        let data = lab.path().join("agent").to_str().unwrap().to_owned();
        let file = secret.to_str().unwrap().to_owned();
        ["agent", "--engine", "standin", "--gateway", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"]
            .map(str::to_owned)
            .into_iter()
            .chain(["--data".into(), data, "--join-secret-file".into(), file])
            .collect::<Vec<_>>()
    };
    set(&secret, 0o644);
    let ran = lab.run(words(&lab)).await;
    assert!(ran.status == 2 && ran.err.contains("read by other users") && ran.err.contains("chmod"), "{ran:#?}");
    set(&secret, 0o600);
    let starts = async |lab: &Lab, name: &str| {
        let mut daemon = Daemon::start(name, &lab.path().join("agent"), lab.spec(name, words(lab)));
        wait::until_now(wait::SOON, "the agent listens", || daemon.printed().contains("listens on").then_some(()))
            .await;
        assert!(daemon.alive());
    };
    starts(&lab, "closed").await;
    set(&secret, 0o644);
    lab.env("LONGHAUL_FAULTS", "bug=open_secret");
    starts(&lab, "control").await;
}

#[tokio::test]
async fn a_real_stata_runs_as_root_only_on_purpose() {
    let mut lab = lab!();
    if !need::root() {
        need::skip("root", "only the superuser can be the superuser");
        return;
    }
    let gateway = lab.gateway().await;
    let spec = |lab: &Lab, name: &str, more: &[&str]| {
        let mut spec = lab.agent_spec(name, &gateway, more);
        let at = spec.args.iter().position(|a| a == "standin").unwrap();
        spec.args[at] = "stata".into();
        spec.args.extend(["--stata".into(), env!("CARGO_BIN_EXE_longhaul-bench").into()]);
        spec
    };
    let start =
        |lab: &Lab, name: &str, more: &[&str]| Daemon::start(name, &lab.path().join(name), spec(lab, name, more));
    let mut refused = start(&lab, "refused", &[]);
    assert_eq!(refused.ended().await.code(), Some(4));
    assert!(refused.printed().contains("--as-root"), "{}", refused.printed());
    let _meant = start(&lab, "meant", &["--as-root"]);
    gateway.api.wait_host("meant", "up").await;
    lab.env("LONGHAUL_FAULTS", "bug=root_unasked");
    let _control = start(&lab, "control", &[]);
    gateway.api.wait_host("control", "up").await;
}

/// Another issuer's `ana`, whose token is put into the ledger, and the gateway's own share nothing.
#[tokio::test]
async fn the_same_subject_of_another_issuer_is_somebody_else() {
    let lab = lab!();
    let gateway = lab.up(&["--serve-all"]).await;
    gateway.api.wait_host_up().await;
    let ana = token(&gateway, "ana").await;
    longhaul_tests::ledger::add_token(&gateway.daemon.data, "theirs", ("https://idp.example", "ana"), "lh_theirs")
        .await;
    let theirs = gateway.api.with_token("lh_theirs");
    let (me, they) = (whoami(&ana).await, whoami(&theirs).await);
    assert_eq!((&me["principal"], &me["issuer"]), (&json!("ana"), &json!("local")));
    assert_eq!(they["principal"], json!("https://idp.example:ana"));

    let request = || SubmitRequest {
        text: Some("display 1\n".to_owned()),
        key: Some("same".to_owned()),
        ..SubmitRequest::default()
    };
    let own = ana.submit(&request()).await.unwrap();
    let other = theirs.submit(&request()).await.unwrap();
    assert!(other.joined.is_none() && own.run.run_id != other.run.run_id, "{own:#?} {other:#?}");
    let again = theirs.submit(&request()).await.unwrap().run.run_id;
    assert_eq!(again, other.run.run_id, "the control: its own key");
    for (who, mine, not, name) in [
        (&ana, own.run.run_id, other.run.run_id, "ana"),
        (&theirs, other.run.run_id, own.run.run_id, "https://idp.example:ana"),
    ] {
        let view = who.wait_end(mine).await;
        assert_eq!((view.state, view.principal.as_str()), (RunState::Succeeded, name));
        let listed: Vec<_> = who.list().await.unwrap().runs.into_iter().map(|run| run.run_id).collect();
        assert_eq!(listed, [mine]);
        assert!(who.get(not).await.is_err() && who.output(not, "log").await.is_err());
    }
}

async fn whoami(api: &Api) -> Value {
    read(api.request(Method::GET, "/api/v1/whoami").send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_user_is_told_of_hosts_and_seats_but_not_of_others() {
    let lab = lab!();
    let gateway = lab.up(&["--serve-all", "--root", lab.path().to_str().unwrap()]).await;
    gateway.api.wait_host_up().await;
    let (ana, ben) = (token(&gateway, "ana").await, token(&gateway, "ben").await);
    let first = ana.submit_path(&lab.gated(), &["ana"]).await.run_id;
    ana.wait_output(first, "started ana").await;
    let waits = |run: longhaul_proto::ids::RunId, who: Api| async move {
        let view = who
            .wait_run(run, wait::SOON, "it says why it waits", |v| {
                v.waiting.as_ref().is_some_and(|w| w.contains("in use"))
            })
            .await;
        view.waiting.unwrap()
    };
    let own = ana.submit_path(&lab.gated(), &["own"]).await.run_id;
    let other = ben.submit_path(&lab.gated(), &["other"]).await.run_id;
    assert!(waits(own, ana.clone()).await.contains(&format!("in use by run {}", first.short())));
    let told = waits(other, ben.clone()).await;
    assert!(told.contains("in use by another principal's run on ") && !told.contains(&first.short()), "{told}");

    let (operator, user) = (gateway.api.hosts().await.unwrap(), ben.hosts().await.unwrap());
    let (operator, user) = (&operator.hosts[0], &user.hosts[0]);
    assert!(!operator.os_user.is_empty() && !operator.roots.is_empty() && operator.engines[0].contains('/'));
    assert!(user.os_user.is_empty() && user.roots.is_empty() && !user.engines[0].contains('/'), "{user:#?}");
    assert_eq!((&user.name, &user.state), (&operator.name, &operator.state));
    let said = Mcp::new(&ben, "claude-code", "2.1.330").call("stata_hosts", json!({})).await.text;
    assert!(!said.contains("as user") && !said.contains("do-files under"), "{said}");

    // The data folder lies below the root, but counts as outside every root.
    let secret = gateway.daemon.data.join("join-secret").display().to_string();
    let outside = |path: &str| {
        let (api, path) = (ben.clone(), path.to_owned());
        async move {
            let request = SubmitRequest { path: Some(path.clone()), ..SubmitRequest::default() };
            let refused = api.submit(&request).await.unwrap_err();
            assert_eq!(refused.status, 422, "{refused:#?}");
            refused.detail.replace(&path, "PATH")
        }
    };
    let said = outside(&secret).await;
    assert!(said.contains("lies outside the agent's folders"), "{said}");
    assert_eq!(outside("/etc/passwd").await, said);
    assert_eq!(outside("/etc/no-such-file").await, said);
    for name in ["ana", "own", "other"] {
        lab.open_gate(name);
    }
}

/// The messages to a user and to an operator about a missing do-file, under a client's path and under its path here.
async fn told_of_folders(lab: &Lab) -> (String, String) {
    let gateway = lab.up(&["--serve-all", "--root", lab.work().to_str().unwrap()]).await;
    gateway.api.wait_host_up().await;
    let ana = token(&gateway, "ana").await;
    let refused = async |api: &Api| {
        let mut said = String::new();
        for path in ["/Users/ana/missing.do", "/Users/ana/empty.do", "/etc/passwd"] {
            let request = SubmitRequest { path: Some(path.to_owned()), ..SubmitRequest::default() };
            said.push_str(&api.submit(&request).await.unwrap_err().detail);
            said.push('\n');
        }
        said
    };
    (refused(&ana).await, refused(&gateway.api).await)
}

#[tokio::test]
async fn where_do_files_may_be_is_told_to_operators_alone() {
    let mut lab = lab!();
    let folder = lab.work().canonicalize().unwrap().display().to_string();
    lab.file("empty.do", "\n");
    lab.config(&format!("[path_map]\n'/Users/ana' = \"{folder}\"\n"));
    let (user, operator) = told_of_folders(&lab).await;
    assert!(user.contains("does not exist") && user.contains("is empty") && user.contains("outside"), "{user}");
    assert!(!user.contains(&folder), "{user}");
    for words in [
        format!("/Users/ana/missing.do is {folder}/missing.do there"),
        format!("the agent's folders for do-files: {folder}"),
    ] {
        assert!(operator.contains(&words), "{words}: {operator}");
    }
    let mut control = lab!();
    control.file("empty.do", "\n");
    let folder = control.work().canonicalize().unwrap().display().to_string();
    control.config(&format!("[path_map]\n'/Users/ana' = \"{folder}\"\n"));
    control.env("LONGHAUL_FAULTS", "bug=folders_told");
    assert!(told_of_folders(&control).await.0.contains(&folder), "the control");
}
