//! Data files: what a run saved is shown by every interface, what foreign libraries wrote is read as they read it, and
//! nothing is shown that the caller could not read by a run.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab, finish},
    mcp::Mcp,
    need, wait,
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

    // A name in the current folder is meant before one below another.
    fs::create_dir_all(lab.work().join("sub/deep")).unwrap();
    fs::copy(lab.work().join("saved.dta"), lab.work().join("sub/deep/own.dta")).unwrap();
    fs::write(lab.work().join("own.dta"), "no data").unwrap();
    for (folder, found) in [("sub/deep", true), ("sub", false)] {
        let mut command = lab.command(["data", "own", "describe"]);
        command.current_dir(lab.work().join(folder));
        let ran = finish(command).await;
        assert_eq!(ran.status == 0 && ran.out.contains("12 observations"), found, "{folder}: {ran:#?}");
    }
    let ran = lab.run(["data", "saved.dta", "--if", "x > 1"]).await;
    assert!(ran.status != 0 && ran.err.contains("`if` and `in` mean nothing to it"), "{ran:#?}");
    let ran = lab.run(["data", "saved.dta", "tabulate"]).await;
    assert!(ran.status != 0 && ran.err.contains("tabulate needs the name of a variable"), "{ran:#?}");

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
    for file in foreign_files(&lab, &python).await {
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

/// Writes files by foreign libraries, and says what these read from them.
async fn foreign_files(lab: &Lab, python: &Path) -> Vec<Value> {
    let told = by_python(python, "readstat.py", &[lab.work()]).await;
    assert_eq!(told.len(), 11, "{told:#?}");
    told
}

async fn by_python(python: &Path, script: &str, args: &[PathBuf]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let ran = tokio::process::Command::new(python).arg(script).args(args).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told = String::from_utf8(ran.stdout).unwrap();
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What we write as Parquet is read by a foreign library as we show it: of types, labels, days, times and missing values.
#[tokio::test]
async fn a_foreign_library_reads_our_parquet() {
    let (Some(python), true) = (need::readstat(), need::parquet()) else { return };
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    saved(&lab, &gateway).await;
    let mut files = Vec::new();
    for file in foreign_files(&lab, &python).await {
        let name = file["file"].as_str().unwrap();
        let (status, bytes) = get(&gateway.api, &[("path", name), ("format", "parquet")]).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        files.push(lab.file(&format!("{name}.parquet"), bytes));
    }
    for read in by_python(&python, "parquet.py", &files).await {
        let name = read["file"].as_str().unwrap();
        let ours = view(&gateway.api, &[("path", name), ("action", "rows")]).await;
        let columns: Vec<&Value> = ours["columns"].as_array().unwrap().iter().skip(1).map(|c| &c["name"]).collect();
        assert_eq!(json!(columns), read["columns"], "{name}");
        let plain = |cell: &Value| match cell.as_str() {
            None if cell.is_null() => json!(""),
            // Parquet has one missing value.
            Some(text) if text.starts_with('.') && text.len() <= 2 => json!("."),
            _ => cell.clone(),
        };
        let rows = ours["rows"].as_array().unwrap();
        assert_eq!(rows.len(), read["rows"].as_array().unwrap().len(), "{name}");
        for (n, (ours, theirs)) in rows.iter().zip(read["rows"].as_array().unwrap()).enumerate() {
            let ours: Vec<Value> = ours.as_array().unwrap().iter().skip(1).map(plain).collect();
            assert_eq!(&json!(ours), theirs, "{name}, observation {}", n + 1);
        }
    }
}

/// A data file that is kept with its run is read where it is kept, also when its host is gone.
#[tokio::test]
async fn a_data_file_that_only_the_gateway_has_is_read_there() {
    let mut lab = lab!();
    lab.config("keep_spool = \"0s\"\n");
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let api = &gateway.api;
    let code = format!("{SAVES}shell echo x > notes.dta\n");
    let request = longhaul_proto::api::SubmitRequest { text: Some(code), ..Default::default() };
    let run = api.submit(&request).await.unwrap().run.run_id;
    api.wait_end(run).await;
    let short = run.short();
    wait::until(wait::SOON, "its files are noted", async || {
        let path = format!("/api/v1/runs/{run}/files");
        let listed: Value = api.request(Method::GET, &path).send().await.unwrap().json().await.unwrap();
        (listed["complete"] == true).then_some(())
    })
    .await;
    let on_host = Lab::spool(&agent, run).join("run/work/saved.dta");
    agent.kill();
    agent.restart();
    wait::until_now(wait::SOON, "the run's folder goes", || (!on_host.exists()).then_some(())).await;
    agent.kill();

    let described = view(api, &[("path", "saved"), ("run", &short)]).await;
    assert_eq!((&described["run"], &described["observations"]), (&json!(run.to_string()), &json!(12)), "{described:#}");
    assert!(described["modified"].is_string() && described["path"] == "saved.dta", "{described:#}");
    let asked = [("path", "saved.dta"), ("run", &*short), ("action", "rows"), ("vars", "x name"), ("in", "2/4")];
    assert_eq!(view(api, &asked).await["rows"], json!([[2, 2, "n2"], [3, ".a", "n3"], [4, ".", "n4"]]));
    let (status, csv) = get(api, &[("path", "saved.dta"), ("run", &short), ("format", "csv"), ("in", "5")]).await;
    assert_eq!(
        (status, String::from_utf8(csv).unwrap().as_str()),
        (StatusCode::OK, "x,half,odd,name\r\n5,0.625,1,n5\r\n")
    );
    let mcp = Mcp::new(api, "claude-code", "2.1.332");
    let said =
        mcp.call("stata_data", json!({"path": "saved.dta", "run": short, "action": "tabulate", "vars": "odd"})).await;
    assert!(said.text.contains(&format!("tabulate of saved.dta of run {short}: 12 observations")), "{said:#?}");
    lab.env("LONGHAUL_GATEWAY", api.url()).env("LONGHAUL_TOKEN", api.token());
    let ran = lab.run(["data", "saved.dta", "rows", "half", "--run", &short, "--if", "x == 7"]).await;
    assert!(ran.status == 0 && ran.out.contains("Obs   half\n  7  0.875\n"), "{ran:#?}");

    // What is wrong is said as an agent says it, and a child that is ended is not an end of the data.
    refused(
        api,
        &[("path", "saved.dta"), ("run", &short), ("action", "rows"), ("if", "nosuch")],
        "variable nosuch not found",
    )
    .await;
    refused(api, &[("path", "notes.dta"), ("run", &short)], "notes.dta cannot be shown: it is no Stata data file")
        .await;
    refused(api, &[("path", "none.dta"), ("run", &short)], "left no file called none.dta").await;
    refused(api, &[("path", "saved.dta"), ("run", "00000000")], "no run `00000000`").await;
    let eve = {
        let asked = api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "eve"}));
        let made: Value = asked.send().await.unwrap().json().await.unwrap();
        api.with_token(made["token"].as_str().unwrap())
    };
    refused(&eve, &[("path", "saved.dta"), ("run", &short)], "no run").await;
    // The control: by its path alone there is no such file.
    let (status, _) = get(api, &[("path", "saved.dta")]).await;
    assert!(!status.is_success());
}
