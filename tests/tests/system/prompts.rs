//! Prompts and completions on the wire, and that a principal is offered only what it may see.

use longhaul_tests::{api::read, lab, mcp::Mcp};
use reqwest::Method;
use serde_json::{Value, json};

async fn ask(mcp: &Mcp, method: &str, params: Value) -> Value {
    let answer = mcp.request(method, params).send().await.unwrap();
    let text = answer.text().await.unwrap();
    // Some answers come as the only message of a stream.
    let data = text.lines().rev().find_map(|line| line.strip_prefix("data: ").filter(|data| data.starts_with('{')));
    serde_json::from_str(data.unwrap_or(&text)).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn prompts_are_listed_and_got_and_their_arguments_completed() {
    let lab = lab!();
    let base = lab.work().canonicalize().unwrap();
    std::fs::create_dir_all(base.join("proj/data")).unwrap();
    lab.file("proj/main.do", "display 1\n");
    lab.file("proj/data/auto.dta", "x");
    let gateway = lab.up(&["--serve-all", "--root", base.to_str().unwrap()]).await;
    gateway.api.wait_host_up().await;
    let hosts = gateway.api.hosts().await.unwrap();
    let (host, pool) = (hosts.hosts[0].name.clone(), hosts.pools[0].name.clone());
    let mcp = Mcp::new(&gateway.api, "someone", "1");

    let listed = ask(&mcp, "prompts/list", json!({})).await;
    let prompts = listed["result"]["prompts"].as_array().unwrap();
    let names: Vec<&str> = prompts.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["run_and_explain", "look_at_data", "many_runs"]);
    assert_eq!(
        prompts[0]["arguments"][0],
        json!({
            "name": "do_file", "description": "Path of the do-file on the Stata host", "required": true,
        })
    );
    let got = ask(&mcp, "prompts/get", json!({"name": "look_at_data", "arguments": {"data": "/p/auto.dta"}})).await;
    let text = got["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("use `\"/p/auto.dta\"', clear"), "{text}");
    for (params, words) in [
        (json!({"name": "nothing"}), "no prompt `nothing`"),
        (json!({"name": "many_runs", "arguments": {"do_file": "a.do"}}), "argument `values` is missing"),
    ] {
        let error = ask(&mcp, "prompts/get", params).await["error"].clone();
        assert_eq!(error["code"], -32602, "{error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }

    let complete = async |mcp: &Mcp, of: Value, name: &str, value: &str| {
        let params = json!({"ref": of, "argument": {"name": name, "value": value}});
        ask(mcp, "completion/complete", params).await
    };
    let prompt = |name: &str| json!({"type": "ref/prompt", "name": name});
    let values = |answer: Value| answer["result"]["completion"]["values"].clone();
    let check = async |of: Value, name: &str, value: &str, want: Value| {
        assert_eq!(values(complete(&mcp, of, name, value).await), want, "{name} {value}");
    };
    let at = |path: &str| format!("{}/{path}", base.display());
    check(prompt("run_and_explain"), "do_file", &at("pr"), json!([at("proj/")])).await;
    check(prompt("run_and_explain"), "do_file", "proj/", json!(["proj/data/", "proj/main.do"])).await;
    check(prompt("look_at_data"), "data", "proj/data/a", json!(["proj/data/auto.dta"])).await;
    check(prompt("run_and_explain"), "do_file", "/etc/", json!([])).await;
    check(prompt("run_and_explain"), "host", &host[..1], json!([host])).await;
    check(prompt("run_and_explain"), "args", "x", json!([])).await;
    check(prompt("many_runs"), "pool", &pool[..1], json!([pool])).await;
    let run = gateway.api.submit_path(&base.join("proj/main.do"), &[]).await.run_id;
    gateway.api.wait_end(run).await;
    let template = || json!({"type": "ref/resource", "uri": "longhaul://runs/{id}/log"});
    check(template(), "id", &run.short()[..3], json!([run.short()])).await;
    check(template(), "id", &run.to_string()[..6], json!([run.to_string()])).await;
    for (of, name) in [
        (prompt("nothing"), "x"),
        (prompt("many_runs"), "x"),
        (template(), "x"),
        (json!({"type": "ref/resource", "uri": "longhaul://hosts"}), "id"),
    ] {
        let error = complete(&mcp, of.clone(), name, "").await["error"].clone();
        assert_eq!(error["code"], -32602, "{of}: {error}");
    }

    // Another principal is offered none of these runs.
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ana"})).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    let ana = Mcp::new(&gateway.api.with_token(made["token"].as_str().unwrap()), "someone", "1");
    assert_eq!(values(complete(&ana, template(), "id", "").await), json!([]));

    // The list of resources: two short entries for each run, and the document of runs has no whole records.
    let listed = ask(&mcp, "resources/list", json!({})).await;
    let resources = listed["result"]["resources"].as_array().unwrap();
    assert_eq!(resources.len(), 4, "{listed:#}");
    assert_eq!(resources[2]["uri"], format!("longhaul://runs/{run}"));
    assert_eq!(resources[3]["uri"], format!("longhaul://runs/{run}/log"));
    assert!(resources[2].to_string().len() + resources[3].to_string().len() < 400, "{listed:#}");
    let read = ask(&mcp, "resources/read", json!({"uri": "longhaul://runs"})).await;
    let text = read["result"]["contents"][0]["text"].as_str().unwrap();
    let document: Value = serde_json::from_str(text).unwrap();
    let fields: Vec<&String> = document["runs"][0].as_object().unwrap().keys().collect();
    assert!(fields.len() <= 12 && !fields.iter().any(|f| *f == "trace_id"), "{text}");
}

/// The control: an agent that does not look for paths is not asked how they go on.
#[tokio::test]
async fn an_agent_that_finds_no_paths_is_not_asked() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=agent_finds_no_paths");
    lab.file("main.do", "display 1\n");
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let mcp = Mcp::new(&gateway.api, "someone", "1");
    let argument = json!({"name": "do_file", "value": "main"});
    let params = json!({"ref": {"type": "ref/prompt", "name": "run_and_explain"}, "argument": argument});
    assert_eq!(ask(&mcp, "completion/complete", params).await["result"]["completion"]["values"], json!([]));
}
