//! What a token permits: every route, tool and method by every scope, the limits of a token, and its secret replaced.
//!
//! `tests/golden/scopes.txt` is made from the gateway's own routers and tables (`LONGHAUL_REGENERATE=1` writes it anew). A
//! route, tool or method that is added changes it, and that change is to be read: it says who may do what.

use std::{fmt::Write, fs, path::Path};

use longhaul_gateway::{api, auth::routes::Row, mcp};
use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
};
use reqwest::Method;
use serde_json::{Value, json};

const GOLDEN: &str = "golden/scopes.txt";

/// The scopes of the tokens that are tried, besides no token at all.
const SCOPES: [&str; 7] =
    ["submit", "read_own", "read_own,cancel_own", "read_all", "read_all,cancel_all", "audit", "operate"];

async fn token(gateway: &Gateway, body: Value) -> Api {
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&body).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    gateway.api.with_token(made["token"].as_str().unwrap())
}

/// The tokens of [`SCOPES`], all of them of the same principal.
async fn tokens(gateway: &Gateway) -> Vec<Api> {
    let mut all = Vec::new();
    for scope in SCOPES {
        let name = scope.replace([',', '_'], "-");
        all.push(token(gateway, json!({"name": name, "principal": "ana", "scope": scope})).await);
    }
    all
}

/// How a route answered: `-` refused for its scope, `401` without a token, `yes` anything else.
async fn tried(api: &Api, row: &Row, method: &Method) -> String {
    // Names that nothing has: what a permitted request would change is not there.
    let path = row.path.replace("{run}", "01a20499-259a-7311-918e-5dff3c4447a1").replace("{name}", "no-such-name");
    let path = path.replace("{*name}", "no.txt").replace("{sha256}", &"0".repeat(64)).replace("{*call}", "Nothing");
    let answer = api.request(method.clone(), &path).json(&json!({})).send().await.unwrap();
    let status = answer.status().as_u16();
    if answer.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
        // It does not end.
        return "yes".to_owned();
    }
    let text = answer.text().await.unwrap_or_default();
    match status {
        401 => "401".to_owned(),
        // Without a body nothing says why, and nothing else is forbidden there.
        403 if *method == Method::HEAD => "-".to_owned(),
        403 if text.contains("this needs a token of scope") => "-".to_owned(),
        _ => "yes".to_owned(),
    }
}

fn line(table: &mut String, what: &str, cells: &[String]) {
    let _ =
        writeln!(table, "{what:<55} {}", cells.iter().map(|cell| format!("{cell:<7}")).collect::<String>().trim_end());
}

/// Every route, tool and method with what each token gets.
async fn matrix(gateway: &Gateway) -> String {
    let tokens = tokens(gateway).await;
    let nothing = gateway.api.with_token("");
    let mut table = String::new();
    line(
        &mut table,
        "",
        &["none".to_owned(), "1".into(), "2".into(), "3".into(), "4".into(), "5".into(), "6".into(), "7".into()],
    );
    for (n, scope) in SCOPES.iter().enumerate() {
        let _ = writeln!(table, "{}: {scope}", n + 1);
    }
    for row in api::routes().rows() {
        let method = row.method.clone().unwrap();
        let mut cells = vec![tried(&nothing, row, &method).await];
        for api in &tokens {
            // The operator is not tried where that would change something for the tokens that follow.
            cells.push(tried(api, row, &method).await);
        }
        line(&mut table, &format!("{method} {}", row.path), &cells);
    }
    for tool in mcp::permissions::tool_names() {
        let mut cells = vec!["401".to_owned()];
        for api in &tokens {
            let said = Mcp::new(api, "matrix", "1")
                .without_progress()
                .call(tool, json!({"run": "last", "runs": "last"}))
                .await;
            let refused = said.is_error && said.text.contains("this needs a token of scope");
            cells.push(if refused { "-" } else { "yes" }.to_owned());
        }
        line(&mut table, &format!("tool {tool}"), &cells);
    }
    let params = json!({"taskId": "none", "inputResponses": {}, "uri": "longhaul://runs", "ref": {"type": "ref/prompt", "name": "run"}, "argument": {"name": "host", "value": ""}, "_meta": {
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    }});
    for method in [
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "tasks/get",
        "tasks/update",
        "tasks/cancel",
        "completion/complete",
        "tools/list",
        "prompts/list",
    ] {
        assert!(mcp::permissions::of_method(method).is_some(), "{method}");
        let mut cells = vec!["401".to_owned()];
        for api in &tokens {
            // A task is named in a header too, and only a client that declares tasks is answered.
            let (mut params, is_task) = (params.clone(), method.starts_with("tasks/"));
            if is_task {
                params.as_object_mut().unwrap().remove("uri");
            }
            let mut request = Mcp::new(api, "matrix", "1").request(method, params);
            if is_task {
                request = request.header("mcp-name", "none");
            }
            let answer = request.send().await.unwrap();
            let text = answer.text().await.unwrap();
            cells.push(if text.contains("this needs a token of scope") { "-" } else { "yes" }.to_owned());
        }
        line(&mut table, &format!("method {method}"), &cells);
    }
    table
}

#[tokio::test]
async fn every_route_tool_and_method_by_every_scope() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let table = matrix(&gateway).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(&path).unwrap_or_default(), "read the change, then regenerate it");

    // The control.
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=scopes_ignored");
    let gateway = lab.gateway().await;
    let table = matrix(&gateway).await;
    for line in ["GET /api/v1/runs ", "POST /api/v1/runs/{run}/cancel ", "tool stata_cancel", "method resources/read"] {
        let line = table.lines().find(|found| found.starts_with(line)).unwrap();
        assert!(!line.contains(" - "), "nothing is refused where scopes are not looked at: {line}");
    }
}

/// What tokens of several scopes get of a run of ana's: reading it, and ending it.
#[tokio::test]
async fn scopes_say_whose_runs_are_seen_and_ended() {
    let lab = lab!();
    let gateway = lab.up(&["--serve-all"]).await;
    gateway.api.wait_host_up().await;
    let ana = token(&gateway, json!({"name": "ana"})).await;
    // A token that only submits learns nothing of a run that answers it.
    let bad = SubmitRequest {
        text: Some("display nosuch".to_owned()),
        key: Some("k".to_owned()),
        ..SubmitRequest::default()
    };
    let failed = ana.submit(&bad).await.unwrap().run.run_id;
    assert!(ana.wait_end(failed).await.message.unwrap().contains("nosuch"));
    let only = token(&gateway, json!({"name": "only", "principal": "ana", "scope": "submit"})).await;
    let again = only.request(Method::POST, "/api/v1/runs").json(&bad).send().await.unwrap();
    let again: Value = read(again).await.unwrap();
    assert_eq!((&again["run_id"], &again["state"]), (&json!(failed), &json!("failed")));
    assert!(!again.to_string().contains("nosuch"), "{again}");
    let said = Mcp::new(&only, "only", "1").call("stata_submit", json!({"text": "display nosuch", "key": "k"})).await;
    assert!(!said.is_error && said.text.contains("may start runs, and not read them"), "{}", said.text);
    let run = ana.submit_path(&lab.gated(), &["hers"]).await.run_id;
    ana.wait_output(run, "started hers").await;
    // Reading, listing, ending; each as its status.
    let check = async |who: &str, principal: &str, scope: &str, want: [u16; 3]| {
        let api = token(&gateway, json!({"name": who, "principal": principal, "scope": scope})).await;
        let read = api.request(Method::GET, &format!("/api/v1/runs/{run}")).send().await.unwrap().status().as_u16();
        let listed = api.request(Method::GET, "/api/v1/runs").send().await.unwrap();
        let status = listed.status().as_u16();
        let listed =
            if status == 200 && !listed.text().await.unwrap().contains(&run.to_string()) { 404 } else { status };
        let ended = api.request(Method::POST, &format!("/api/v1/runs/{run}/cancel")).json(&json!({}));
        let ended = ended.send().await.unwrap().status().as_u16();
        assert_eq!([read, listed, ended], want, "{who}: {scope}");
    };
    check("a1", "ana", "submit", [403, 403, 403]).await;
    check("a2", "ana", "read_own", [200, 200, 403]).await;
    check("b1", "bob", "use", [404, 404, 404]).await;
    check("b2", "bob", "read_all", [200, 200, 403]).await;
    check("b3", "bob", "read_all,cancel_own", [200, 200, 403]).await;
    check("b4", "bob", "audit", [403, 403, 403]).await;
    assert_eq!(gateway.api.get(run).await.unwrap().state, RunState::Running, "so far it was not ended");
    check("b5", "bob", "read_all,cancel_all", [200, 200, 200]).await;
    gateway.api.wait_end(run).await;
}

/// Where the runs of a token go that is limited to a host or a pool; `None` = it was refused.
async fn placed(gateway: &Gateway, ana: &Api, host: Option<&str>) -> Result<String, String> {
    let text = Some("display 1".to_owned());
    let request = SubmitRequest { text, host: host.map(str::to_owned), again: true, ..SubmitRequest::default() };
    match ana.submit(&request).await {
        Ok(submitted) => Ok(gateway.api.wait_end(submitted.run.run_id).await.host.unwrap_or_default()),
        Err(problem) => Err(problem.detail),
    }
}

async fn two_hosts(lab: &Lab) -> (Gateway, Vec<longhaul_tests::daemon::Daemon>) {
    let gateway = lab.gateway().await;
    let agents = ["stata1", "stata2"].map(|name| lab.agent(name, &gateway, &["--serve-all", "--licence", name]));
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_host("stata2", "up").await;
    (gateway, agents.into())
}

#[tokio::test]
async fn a_token_is_limited_to_hosts_and_pools() {
    let lab = lab!();
    let (gateway, _agents) = two_hosts(&lab).await;
    let check = async |name: &str, limits: Value| {
        let ana = token(&gateway, json!({"name": name, "principal": "ana", "limits": limits})).await;
        for _ in 0..3 {
            assert_eq!(placed(&gateway, &ana, None).await, Ok("stata2".to_owned()), "{name}");
        }
        let refused = placed(&gateway, &ana, Some("stata1")).await.unwrap_err();
        assert!(refused.contains("your token is limited to") && refused.contains("stata2"), "{refused}");
        let hosts = ana.hosts().await.unwrap();
        assert_eq!(hosts.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["stata2"]);
        let data = ana.request(Method::GET, "/api/v1/data?path=/x.dta&host=stata1").send().await.unwrap();
        assert!(!data.status().is_success());
    };
    check("to-a-host", json!({"hosts": ["stata2"]})).await;
    check("to-a-pool", json!({"pools": ["stata2"]})).await;

    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=token_limits_ignored");
    let (gateway, _agents) = two_hosts(&lab).await;
    let ana = token(&gateway, json!({"name": "ana", "limits": {"hosts": ["stata2"]}})).await;
    assert_eq!(placed(&gateway, &ana, Some("stata1")).await, Ok("stata1".to_owned()), "the control");
}

/// What a token that is limited to a folder gets: a do-file below it, one beside it, one by a link that leads out, code that
/// is sent along, and a folder to run in.
async fn within_a_root(lab: &Lab) -> [Result<(), String>; 5] {
    let gateway = lab.up(&["--serve-all"]).await;
    gateway.api.wait_host_up().await;
    let approved = lab.work().join("approved");
    fs::create_dir_all(&approved).unwrap();
    let inside = lab.file("approved/in.do", "display 1\n");
    let outside = lab.file("out.do", "display 2\n");
    std::os::unix::fs::symlink(&outside, approved.join("link.do")).unwrap();
    let root = approved.canonicalize().unwrap();
    let ana = token(&gateway, json!({"name": "ana", "limits": {"roots": [root]}})).await;
    let asked = async |request: SubmitRequest| match ana.submit(&request).await {
        Ok(submitted) => {
            assert_eq!(gateway.api.wait_end(submitted.run.run_id).await.state, RunState::Succeeded);
            Ok(())
        }
        Err(problem) => Err(problem.detail),
    };
    let path = |path: &Path| SubmitRequest { path: Some(path.display().to_string()), ..SubmitRequest::default() };
    [
        asked(path(&inside)).await,
        asked(path(&outside)).await,
        asked(path(&approved.join("link.do"))).await,
        asked(SubmitRequest { text: Some("display 3".to_owned()), ..SubmitRequest::default() }).await,
        asked(SubmitRequest { working_dir: Some(approved.display().to_string()), again: true, ..path(&inside) }).await,
    ]
}

#[tokio::test]
async fn a_token_is_limited_to_folders() {
    let lab = lab!();
    let [inside, outside, link, text, folder] = within_a_root(&lab).await;
    assert_eq!(inside, Ok(()));
    for refused in [outside, link] {
        let why = refused.unwrap_err();
        assert!(why.contains("your token is limited to") && why.contains("is not below"), "{why}");
    }
    let why = text.unwrap_err();
    assert!(why.contains("no code that is sent"), "{why}");
    let why = folder.unwrap_err();
    assert!(why.contains("leave working_dir out"), "{why}");

    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=token_limits_ignored");
    assert_eq!(within_a_root(&lab).await, [Ok(()), Ok(()), Ok(()), Ok(()), Ok(())], "the control");
}

#[tokio::test]
async fn a_token_gets_another_secret() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let ana = token(&gateway, json!({"name": "ana", "scope": "read_own", "expires_in": 1e6})).await;
    let rotate = async |who: &Api, name: &str, body: Value| {
        let asked = who.request(Method::POST, &format!("/api/v1/tokens/{name}/rotate")).json(&body);
        read::<Value>(asked.send().await.unwrap()).await
    };
    let works = async |api: &Api| api.request(Method::GET, "/api/v1/whoami").send().await.unwrap().status().as_u16();
    // Its holder may do that, and others may not.
    let made = rotate(&ana, "ana", json!({})).await.unwrap();
    let second = ana.with_token(made["token"].as_str().unwrap());
    assert_eq!((works(&ana).await, works(&second).await), (200, 200), "both for a day");
    assert_eq!((&made["scope"], &made["principal"]), (&json!("read_own"), &json!("ana")));
    let bob = token(&gateway, json!({"name": "bob"})).await;
    let refused = rotate(&bob, "ana", json!({})).await.unwrap_err();
    assert!(refused.detail.contains("scope `operate`"), "{}", refused.detail);
    // Without an overlap the one before ends at once, and what it asked for.
    let refused = rotate(&ana, "ana", json!({})).await.unwrap_err();
    assert!(refused.detail.contains("was rotated at"), "the secret before replaces nothing: {}", refused.detail);
    let made = rotate(&gateway.api, "ana", json!({"overlap": 0})).await.unwrap();
    let third = ana.with_token(made["token"].as_str().unwrap());
    let said = Mcp::new(&third, "rotated", "1").call("stata_hosts", json!({})).await;
    assert!(!said.is_error, "answers to the new secret are not broken off: {}", said.text);
    assert_eq!((works(&ana).await, works(&second).await, works(&third).await), (401, 401, 200));
    let refused = second.request(Method::GET, "/api/v1/whoami").send().await.unwrap().text().await.unwrap();
    assert!(refused.contains("another secret now"), "{refused}");
    let revoked = gateway.api.request(Method::DELETE, "/api/v1/tokens/ana").send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    let gone = rotate(&gateway.api, "ana", json!({})).await.unwrap_err();
    assert_eq!(gone.status, 404, "{}", gone.detail);
}

#[tokio::test]
async fn the_command_line_makes_and_rotates_tokens() {
    let lab = lab!();
    let gateway = lab.up(&["--serve-all"]).await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let cli = async |args: &[&str]| lab.run(args.iter().copied().chain(["--data", &data])).await;
    let ran = cli(&["token", "add", "ci", "--scope", "submit,read_own", "--host", "stata1", "--root", "/srv/ci"]).await;
    assert!(ran.status == 0 && ran.out.starts_with("lh_") && ran.err.contains("it expires "), "{ran:#?}");
    let ran = cli(&["token", "add", "for-ever", "--expires", "never"]).await;
    assert!(ran.status == 0 && ran.err.contains("it never expires"), "{ran:#?}");
    let ran = cli(&["token", "add", "wrong", "--scope", "submit,cancel_own"]).await;
    assert!(ran.status == 2 && ran.err.contains("`cancel_own` needs `read_own` too"), "{ran:#?}");
    let ran = cli(&["token", "rotate", "ci", "--overlap", "1h"]).await;
    assert!(ran.status == 0 && ran.out.starts_with("lh_") && ran.err.contains("is accepted until"), "{ran:#?}");
    let ran = cli(&["token", "list"]).await;
    for words in ["submit,read_own", "host stata1", "below /srv/ci", "never"] {
        assert!(ran.out.contains(words), "{words}: {ran:#?}");
    }
    let ran = cli(&["token", "list", "--json"]).await;
    let ci: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ci = ci.iter().find(|token| token["name"] == "ci").unwrap();
    assert_eq!(ci["scopes"], json!(["submit", "read_own"]));
    assert_eq!(ci["limits"], json!({"hosts": ["stata1"], "roots": ["/srv/ci"]}));
}
