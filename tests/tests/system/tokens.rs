//! Tokens and what they may see, and commands that make nothing.

use std::{fs, time::Duration};

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{
    api::{Api, read},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    pty::Serving,
    wait,
};
use reqwest::Method;
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
    let ends = async |answer: &mut longhaul_tests::http::Answered| {
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
    let greeted = "Agents join by";
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
    assert!(user.os_user.is_empty() && !user.engines[0].contains('/'), "{user:#?}");
    assert_eq!(user.roots, operator.roots, "its runs are taken, and refusals name these folders");
    assert_eq!((&user.name, &user.state), (&operator.name, &operator.state));
    let said = Mcp::new(&ben, "claude-code", "2.1.330").call("stata_hosts", json!({})).await.text;
    assert!(!said.contains("as user") && said.contains(&format!("do-files under: {}", user.roots[0])), "{said}");

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

/// Whose runs an agent does not take is not told where its do-files are.
#[tokio::test]
async fn the_folders_of_an_agent_are_for_those_whom_it_serves() {
    let lab = lab!();
    let gateway = lab.up(&["--serve", "ana", "--root", lab.work().to_str().unwrap()]).await;
    gateway.api.wait_host_up().await;
    let (ana, ben) = (token(&gateway, "ana").await, token(&gateway, "ben").await);
    for (who, told) in [(&ana, true), (&ben, false), (&gateway.api, true)] {
        assert_eq!(!who.hosts().await.unwrap().hosts[0].roots.is_empty(), told);
        let said = Mcp::new(who, "claude-code", "2.1.330").call("stata_hosts", json!({})).await.text;
        assert_eq!(said.contains("do-files under"), told, "{said}");
    }
}

/// Adds a token by name alone after its first holder's was revoked, and after another was made for the same principal.
async fn taken_over(lab: &Lab) -> [bool; 2] {
    let gateway = lab.up(&["--serve-all"]).await;
    gateway.api.wait_host_up().await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let add = async |words: &[&str]| lab.run([&["token", "add", "--data", &data], words].concat()).await;
    let made = add(&["one", "--principal", "ana"]).await;
    let ana = gateway.api.with_token(made.out.trim());
    let run = ana.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    ana.wait_end(run).await;
    assert_eq!(lab.run(["token", "revoke", "one", "--data", &data]).await.status, 0);
    let again = add(&["one"]).await;
    for words in ["there was a token `one`, revoked 20", "names of tokens are not used again", "--principal ana"] {
        assert!(again.status == 4 && again.err.contains(words), "{words}: {again:#?}");
    }
    assert!(!again.err.contains("Z,"), "a time as all others: {again:#?}");
    // A new person who is called as the one before does not get the runs unknowingly.
    let unknowing = add(&["ana"]).await;
    if unknowing.status != 0 {
        for words in ["ana is a principal already", "--principal ana", "another name"] {
            assert!(unknowing.status == 4 && unknowing.err.contains(words), "{words}: {unknowing:#?}");
        }
    }
    let meant = add(&["ana-2", "--principal", "ana"]).await;
    let seen = gateway.api.with_token(meant.out.trim()).list().await.unwrap().runs;
    assert_eq!(seen.len(), 1, "the control: {meant:#?}");
    assert_eq!(add(&["ben"]).await.status, 0);
    [unknowing.status == 0, seen[0].run_id == run]
}

#[tokio::test]
async fn nobody_gets_anothers_runs_with_a_name() {
    let lab = lab!();
    assert_eq!(taken_over(&lab).await, [false, true]);
    let mut control = lab!();
    control.env("LONGHAUL_FAULTS", "bug=principals_taken_over");
    assert_eq!(taken_over(&control).await, [true, true], "the control");
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
async fn where_a_path_leads_is_told_to_operators_alone() {
    let mut lab = lab!();
    let folder = lab.work().canonicalize().unwrap().display().to_string();
    lab.file("empty.do", "\n");
    lab.config(&format!("[path_map]\n'/Users/ana' = \"{folder}\"\n"));
    let (user, operator) = told_of_folders(&lab).await;
    assert!(user.contains("does not exist") && user.contains("is empty") && user.contains("outside"), "{user}");
    let (mapped, folders) = (format!("/Users/ana/missing.do is {folder}/missing.do there"), format!(" are {folder}. "));
    assert!(user.contains(&folders) && !user.contains(&mapped), "{user}");
    assert!(operator.contains(&folders) && operator.contains(&mapped), "{operator}");
    let mut control = lab!();
    control.file("empty.do", "\n");
    let folder = control.work().canonicalize().unwrap().display().to_string();
    control.config(&format!("[path_map]\n'/Users/ana' = \"{folder}\"\n"));
    control.env("LONGHAUL_FAULTS", "bug=mapped_paths_told");
    let mapped = format!("/Users/ana/missing.do is {folder}/missing.do there");
    assert!(told_of_folders(&control).await.0.contains(&mapped), "the control");
}
