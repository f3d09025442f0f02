//! Data files: what a run saved is shown by every interface, what foreign libraries wrote is read as they read it, and
//! nothing is shown that the caller could not read by a run.

use std::{fs, os::unix::fs::symlink};

use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    need,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Twelve observations with missing values, and a text.
const SAVES: &str = "set obs 12\ngenerate x = _n\nreplace x = .a if _n == 3\nreplace x = . if _n == 4\n\
                     generate double half = _n / 8\ngenerate byte odd = mod(_n, 2)\ngenerate str name = \"n\" + string(_n)\n\
                     save saved.dta\nuse saved, clear\ncount\nlist x name in 1/4\n";

async fn get(api: &Api, query: &[(&str, &str)]) -> (StatusCode, Vec<u8>) {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let response = api.request(Method::GET, &format!("/api/v1/data?{}", pairs.join("&"))).send().await.unwrap();
    let status = response.status();
    (status, response.bytes().await.unwrap().to_vec())
}

async fn view(api: &Api, query: &[(&str, &str)]) -> Value {
    let (status, body) = get(api, query).await;
    assert_eq!(status, StatusCode::OK, "{query:?}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

async fn refused(api: &Api, query: &[(&str, &str)], want: &str) {
    let (status, body) = get(api, query).await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(status.is_client_error() && detail.contains(want), "{query:?}: {status} {problem}");
}

async fn saved(lab: &Lab, gateway: &Gateway) {
    let run = gateway.api.submit_path(&lab.file("save.do", SAVES), &[]).await.run_id;
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, longhaul_proto::state::RunState::Succeeded, "{end:#?}");
    let log = gateway.api.output(run, "log").await.unwrap();
    let log = String::from_utf8_lossy(&log);
    for line in ["file saved.dta saved", "  12", "n4"] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[tokio::test]
async fn what_a_run_saved_is_shown_by_every_interface() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    saved(&lab, &gateway).await;
    let path = lab.work().canonicalize().unwrap().join("saved.dta").display().to_string();

    let described = view(&gateway.api, &[("path", &path)]).await;
    assert_eq!(
        (&described["host"], &described["release"], &described["observations"]),
        (&json!("stata1"), &json!(118), &json!(12))
    );
    assert_eq!(described["rows"][1], json!(["half", "double", "%10.0g", null, null]));
    let rows = view(&gateway.api, &[("path", "saved"), ("action", "rows"), ("vars", "x name"), ("in", "2/5")]).await;
    assert_eq!(rows["rows"], json!([[2, 2, "n2"], [3, ".a", "n3"], [4, ".", "n4"], [5, 5, "n5"]]), "{rows:#}");

    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let said =
        mcp.call("stata_data", json!({"path": path, "action": "tabulate", "vars": ["odd"], "if": "x < ."})).await;
    assert!(
        !said.is_error && said.text.contains("10 of 12 observations") && said.text.contains("--- begin output"),
        "{said:#?}"
    );

    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let ran = lab.run(["data", "saved.dta", "rows", "x", "half", "--if", "missing(x)"]).await;
    assert!(ran.status == 0 && ran.out.contains("Obs   x   half\n  3  .a  0.375\n  4   .    0.5\n"), "{ran:#?}");
    let ran = lab.run(["data", "saved.dta", "summarize", "--vars", "half", "--json"]).await;
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["rows"][0][2], json!(0.8125), "{json:#}");
    let ran = lab.run(["data", "saved.dta", "--csv", "--vars", "x,name", "--in", "3/5"]).await;
    assert_eq!(ran.out, "x,name\r\n.a,n3\r\n,n4\r\n5,n5\r\n", "{ran:#?}");
    let out = lab.path().join("out.parquet");
    let ran = lab.run(["data", "saved.dta", "--parquet", "-o", out.to_str().unwrap()]).await;
    let bytes = fs::read(&out).unwrap();
    assert!(ran.status == 0 && bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{ran:#?}");
    let ran = lab.run(["data", "saved.dta", "tabulate", "half", "--csv"]).await;
    assert!(ran.status == 2 && ran.err.contains("leave the action out"), "{ran:#?}");

    // What cannot be meant is said before anything is sent.
    let api = &gateway.api;
    refused(api, &[("path", "saved.dta"), ("format", "csv"), ("if", "nosuch > 1")], "variable nosuch not found").await;
    refused(api, &[("path", "saved.dta"), ("action", "list")], "there is no action `list`").await;
    refused(api, &[("path", "saved.dta"), ("host", "stata9")], "no host is named `stata9`").await;
    refused(api, &[("path", "saved.dta"), ("vras", "x")], "unknown field `vras`").await;
    refused(api, &[("path", "sevad.dta")], "no data file sevad.dta is in the folders of stata1").await;
    refused(api, &[("path", &path.replace("saved", "seved"))], "Did you mean").await;
    let gone = lab.run(["data", "none.dta", "--csv", "-o", lab.path().join("none.csv").to_str().unwrap()]).await;
    assert!(gone.status != 0 && !lab.path().join("none.csv").exists() && !lab.path().join("none.csv.part").exists());
}

#[tokio::test]
async fn nothing_is_shown_that_a_run_could_not_read() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _ana = lab.agent("stata1", &gateway, &["--serve", "ana"]);
    gateway.api.wait_host("stata1", "up").await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let token = async |name: &str| {
        let made = lab.run(["token", "add", name, "--data", &data]).await;
        gateway.api.with_token(made.out.trim())
    };
    let (ana, bob) = (token("ana").await, token("bob").await);
    let run = ana.submit_path(&lab.file("save.do", SAVES), &[]).await.run_id;
    ana.wait_end(run).await;
    let work = lab.work().canonicalize().unwrap();
    let path = work.join("saved.dta").display().to_string();
    assert_eq!(view(&ana, &[("path", &path)]).await["observations"], json!(12));
    // An agent that does not take bob's runs is not even asked.
    let (status, body) = get(&bob, &[("path", &path)]).await;
    let words = String::from_utf8_lossy(&body).into_owned();
    assert!(
        status == StatusCode::SERVICE_UNAVAILABLE && words.contains("no host that takes your runs"),
        "{status} {words}"
    );
    let said =
        Mcp::new(&bob, "claude-code", "2.1.332").call("stata_data", json!({"path": path, "host": "stata1"})).await;
    assert!(said.is_error && !said.text.contains("observation"), "{said:#?}");

    let outside = lab.path().join("outside.dta");
    fs::copy(&path, &outside).unwrap();
    symlink(&outside, work.join("link.dta")).unwrap();
    symlink(lab.path(), work.join("folder")).unwrap();
    let spool = lab.path().join("stata1/agent").display().to_string();
    for other in [
        outside.display().to_string(),
        work.join("link.dta").display().to_string(),
        work.join("folder/outside.dta").display().to_string(),
        format!("{}/../../outside.dta", work.display()),
        format!("{spool}/agent-id"),
    ] {
        for format in ["json", "csv"] {
            refused(&ana, &[("path", &other), ("format", format)], "lies outside the agent's folders").await;
        }
    }
    refused(&ana, &[("path", &work.join("save.do").display().to_string())], "no Stata data file").await;
}

#[tokio::test]
async fn hosts_with_different_files_are_named() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let roots = ["one", "two"].map(|name| lab.path().join(name));
    let mut agents = Vec::new();
    for (name, root) in ["stata1", "stata2"].iter().zip(&roots) {
        fs::create_dir_all(root).unwrap();
        agents.push(lab.agent(name, &gateway, &["--root", root.to_str().unwrap()]));
        gateway.api.wait_host(name, "up").await;
    }
    for (root, n) in roots.iter().zip([3, 4]) {
        let file = root.join("save.do");
        fs::write(&file, format!("set obs {n}\ngenerate x = _n\nsave own.dta\n")).unwrap();
        let run = gateway.api.submit_path(&file, &[]).await.run_id;
        gateway.api.wait_end(run).await;
    }
    refused(&gateway.api, &[("path", "own.dta")], "stata1 has one of").await;
    refused(&gateway.api, &[("path", "own.dta")], "pass host").await;
    let two = view(&gateway.api, &[("path", "own.dta"), ("host", "stata2")]).await;
    assert_eq!(two["observations"], json!(4));
    // The same file on both needs no choice.
    fs::copy(roots[0].join("own.dta"), roots[1].join("own.dta")).unwrap();
    assert_eq!(view(&gateway.api, &[("path", "own.dta")]).await["observations"], json!(3));
}

#[tokio::test]
async fn an_agent_of_before_is_said_to_be_too_old() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    lab.env("LONGHAUL_FAULTS", "bug=agent_reads_no_data");
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    refused(&gateway.api, &[("path", "own.dta")], "the agent of stata1 is too old to read data files").await;
}

#[tokio::test]
async fn foreign_libraries_read_and_write_the_same() {
    let Some(python) = need::readstat() else { return };
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    saved(&lab, &gateway).await;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("python/readstat.py");
    let ran = tokio::process::Command::new(python).arg(script).arg(lab.work()).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told = String::from_utf8(ran.stdout).unwrap();
    let files: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(files.len(), 11, "{told}");
    for file in files {
        let name = file["file"].as_str().unwrap();
        let ours = view(&gateway.api, &[("path", name), ("action", "rows")]).await;
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        let release = if digits.is_empty() { "118".to_owned() } else { digits };
        assert_eq!(ours["release"].to_string(), release, "{name}");
        let columns: Vec<&Value> = ours["columns"].as_array().unwrap().iter().skip(1).map(|c| &c["name"]).collect();
        assert_eq!(json!(columns), file["columns"], "{name}");
        // Where a text is empty our cell is too.
        let plain = |cell: &Value| if cell.is_null() { json!("") } else { cell.clone() };
        let rows: Vec<Vec<Value>> = ours["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row.as_array().unwrap().iter().skip(1).map(plain).collect())
            .collect();
        for (n, (ours, theirs)) in rows.iter().zip(file["rows"].as_array().unwrap()).enumerate() {
            assert_eq!(&json!(ours), theirs, "{name}, observation {}", n + 1);
        }
        assert_eq!(rows.len(), file["rows"].as_array().unwrap().len(), "{name}");
    }
}
