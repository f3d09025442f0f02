//! Every answer of every tool as a model reads it, in a golden file: `tests/golden/answers.txt`. What differs between two runs of
//! the test is masked. `LONGHAUL_REGENERATE=1` writes the file anew; read it then, it is part of the product.

use std::{fmt::Write, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::api::RunFiles;
use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::Lab,
    mcp::Mcp,
    picture::PNG,
    wait,
};
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

const GOLDEN: &str = "golden/answers.txt";

/// The answers so far, masked.
struct Answers<'a> {
    lab: &'a Lab,
    mcp: Mcp,
    text: String,
}

impl Answers<'_> {
    /// Calls a tool and notes its answer; returns the run that it names, if any.
    async fn note(&mut self, what: &str, tool: &str, arguments: Value) -> String {
        let said = self.mcp.call(tool, arguments.clone()).await;
        let error = if said.is_error { " (an error)" } else { "" };
        let _ = write!(self.text, "## {what}: {tool} {arguments}{error}\n\n{}\n\n", said.text);
        Regex::new(r"\b[0-9a-f]{8}\b").unwrap().find(&said.text).map(|id| id.as_str().to_owned()).unwrap_or_default()
    }

    fn masked(&self, url: &str) -> String {
        let base = self.lab.work().canonicalize().unwrap().display().to_string();
        let mut text = self.text.replace(&base, "/home/ana/project").replace(url, "http://gateway.lab:7447");
        text = text.replace(&self.lab.path().display().to_string(), "LAB");
        for (pattern, mask) in [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "RUN-ID"),
            (r"(begin|end) output [0-9a-f]{12}", "$1 output NAME"),
            (r"\b[0-9a-f]{8}\b", "RUN"),
            (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
            (r"\b\d+(\.\d+)? (ms|s)\b", "N s"),
            (r"\bbytes? \d+( to \d+)?", "bytes N$1"),
            (r"(bytes N) to \d+", "$1 to N"),
            (r"(\(of|it is bytes N to) \d+( to \d+)?\)", "$1 N)"),
            (r"offset: \d+", "offset: N"),
            (r"(?m)^\d+([-:]) ", "N$1 "),
            (r"standin \(\S+\)", "standin (PROGRAM)"),
            (r"(as user|cancelled by) \S+", "$1 ana"),
            (r"(seat: run RUN) of \S+", "$1 of ana"),
            // A run may have got a little further, or not yet.
            (
                r"(still|by itself:) (?:starting|running) N s on stata1 · ([^·\n]+?)(?: · [^·\n]*)? · RUN",
                "$1 starting N s on stata1 · $2 · RUN",
            ),
            (r"by itself: queued N s · ([^·\n]+?)(?: · [^\n]*)? · RUN", "by itself: queued N s · $1 · RUN"),
            (r"127\.0\.0\.1:\d+", "ADDRESS"),
            (r"\b\d+ cores?\b", "N cores"),
        ] {
            text = Regex::new(pattern).unwrap().replace_all(&text, mask).into_owned();
        }
        text
    }
}

fn files(lab: &Lab) {
    lab.file("quick.do", "display \"quick `1'\"\n");
    lab.file("bad.do", "display \"begin\"\ndo steps/inner.do\n");
    lab.file("steps/inner.do", "local k = 2\n\ngenerate z = nosuchvar + `k'\n");
    lab.file(
        "gated.do",
        "display \"started `1'\"\nlocal waiting = 1\nwhile `waiting' {\n    capture confirm file \"gate-`1'\"\n    \
         if _rc == 0 {\n        local waiting = 0\n    }\n    else {\n        sleep 20\n    }\n}\ndisplay \"finished `1'\"\n",
    );
    lab.file("graph.do", "copy picture.bin fit.png\ncopy picture.bin fit.svg\n");
    lab.file("picture.bin", PNG);
}

/// Waits until the run's loop is echoed whole: what is shown of it stays the same then.
async fn in_the_loop(api: &Api, run: &str) {
    let run = api.get(run).await.unwrap().run_id;
    api.wait_output(run, "  9. }").await;
    let at = async || api.get(run).await.ok()?.progress.filter(|p| p.text.contains("while")).map(drop);
    wait::until(wait::SOON, "its progress is the loop", at).await;
}

/// Waits until the files of a run are listed with their copies.
async fn files_are_here(api: &Api, run: &str) {
    let path = format!("/api/v1/runs/{run}/files");
    let here = async || {
        let listed: RunFiles = read(api.request(Method::GET, &path).send().await.ok()?).await.ok()?;
        listed.complete.then_some(())
    };
    wait::until(wait::SOON, "its files are noted", here).await;
}

#[tokio::test]
async fn every_answer_of_every_tool_reads_as_it_did() {
    let lab = lab!();
    files(&lab);
    let gateway = lab.gateway().await;
    let root = lab.work().canonicalize().unwrap().display().to_string();
    let none = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let mut all = Answers { lab: &lab, mcp: none, text: String::new() };
    all.note("no run yet", "stata_runs", json!({})).await;
    all.note("no agent", "stata_hosts", json!({})).await;
    let _agent = lab.agent("stata1", &gateway, &["--seats", "1", "--licence", "lab", "--root", &root]);
    gateway.api.wait_host("stata1", "up").await;

    let quick = format!("{root}/quick.do");
    all.note("succeeded", "stata_run_file", json!({"file_path": quick, "args": ["2024"]})).await;
    let failed = all.note("failed", "stata_run_file", json!({"file_path": format!("{root}/bad.do")})).await;
    all.note("no such file", "stata_run_file", json!({"file_path": format!("{root}/quik.do")})).await;
    all.note("outside", "stata_run_file", json!({"file_path": "/etc/passwd"})).await;
    all.note("no such host", "stata_run_file", json!({"file_path": quick, "host": "stata9"})).await;
    all.note("a wrong argument", "stata_run_file", json!({"file_path": quick, "timeout": "20 minutes"})).await;
    all.note("an unknown argument", "stata_run_file", json!({"file_path": quick, "force": true})).await;
    all.note("nothing given", "stata_run_file", json!({})).await;
    all.note("code", "stata_run_selection", json!({"selection": "display 6 * 7"})).await;
    all.note("a session", "stata_run_selection", json!({"selection": "display 1", "session_id": "default"})).await;

    // One run holds the only seat, another waits for it.
    let gated = format!("{root}/gated.do");
    let held =
        all.note("an id at once", "stata_run_file", json!({"file_path": gated, "args": ["x"], "wait": false})).await;
    in_the_loop(&gateway.api, &held).await;
    let queued = all.note("submitted", "stata_submit", json!({"text": "display \"second\""})).await;
    wait::until(wait::SOON, "it waits", async || gateway.api.get(&queued).await.ok()?.waiting).await;
    all.note("nothing to submit", "stata_submit", json!({})).await;
    all.note("the same again", "stata_run_file", json!({"file_path": gated, "args": ["x"]})).await;
    all.note("both go on", "stata_wait", json!({"runs": [held, queued], "seconds": 0})).await;
    all.note("a seat in use", "stata_hosts", json!({})).await;
    lab.file("gate-x", "");
    all.note("both ended", "stata_wait", json!({"runs": [held, queued]})).await;
    all.note("one, from an offset", "stata_wait", json!({"runs": queued, "offset": 0})).await;
    all.note("no such run", "stata_wait", json!({"runs": "deadbeef"})).await;

    all.note("the end", "stata_log", json!({"run": failed, "tail": 4})).await;
    all.note("lines that match", "stata_log", json!({"run": failed, "pattern": "nosuchvar", "context": 1})).await;
    all.note("none matches", "stata_log", json!({"run": failed, "pattern": "no such text"})).await;
    all.note("no pattern", "stata_log", json!({"run": failed, "pattern": "("})).await;
    all.note("without the commands", "stata_log", json!({"run": failed, "echo": false})).await;
    all.note("beginning and end", "stata_log", json!({"run": failed, "tokens": 50})).await;
    all.note("past the end", "stata_log", json!({"run": failed, "offset": 99_999})).await;
    all.note("the console", "stata_log", json!({"run": failed, "stream": "console"})).await;

    let bundle = json!({"entry": "graph.do", "files": {
        "graph.do": fs::read_to_string(lab.work().join("graph.do")).unwrap(),
        "picture.bin": {"base64": STANDARD.encode(PNG)},
    }});
    let drawn = all.note("a bundle", "stata_submit", json!({"bundle": bundle})).await;
    all.note("its end", "stata_wait", json!({"runs": drawn})).await;
    all.note("its graphs", "stata_graph", json!({"run": drawn})).await;
    all.note("no such graph", "stata_graph", json!({"run": drawn, "name": "other.png"})).await;
    let code = "shell printf 'x,y\\n1,2\\n' > small.csv; printf 'a\\000' > raw.bin";
    let wrote = all.note("code that writes files", "stata_submit", json!({"text": code})).await;
    all.note("its end", "stata_wait", json!({"runs": wrote})).await;
    files_are_here(&gateway.api, &wrote).await;
    files_are_here(&gateway.api, &queued).await;
    all.note("its files", "stata_files", json!({"run": wrote})).await;
    all.note("one of them", "stata_files", json!({"run": wrote, "name": "small.csv"})).await;
    all.note("bytes that are no text", "stata_files", json!({"run": wrote, "name": "raw.bin"})).await;
    all.note("no such file", "stata_files", json!({"run": wrote, "name": "../small.csv"})).await;
    all.note("no files at all", "stata_files", json!({"run": queued})).await;
    all.note("no graph at all", "stata_graph", json!({"run": queued})).await;

    all.note("help on a command", "stata_help", json!({"topic": "summarize"})).await;
    all.note("a section of it", "stata_help", json!({"topic": "su", "section": "Syntax", "host": "stata1"})).await;
    all.note("help by words", "stata_help", json!({"search": "values"})).await;
    all.note("no such help", "stata_help", json!({"topic": "summarise"})).await;
    all.note("neither topic nor words", "stata_help", json!({"host": "stata1"})).await;
    let code = "set obs 6\ngenerate x = _n\ngenerate y = x / 4 if x > 2\ngenerate str name = \"n\" + string(x)\n\
                save made.dta\n";
    lab.file("made.do", code);
    all.note("saves data", "stata_run_file", json!({"file_path": format!("{root}/made.do")})).await;
    let made = |more: Value| {
        let mut arguments = json!({"path": "made.dta"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    all.note("what is in it", "stata_data", made(json!({}))).await;
    let some = json!({"action": "rows", "vars": "x-name", "if": "missing(y) | inlist(name, \"n5\")", "in": "1/5"});
    all.note("some of it", "stata_data", made(some)).await;
    all.note("its figures", "stata_data", made(json!({"action": "summarize", "vars": "y name"}))).await;
    all.note("its values", "stata_data", made(json!({"action": "codebook", "vars": ["y", "name"]}))).await;
    all.note("how often", "stata_data", made(json!({"action": "tabulate", "vars": "y", "if": "x != 4"}))).await;
    all.note("no such data", "stata_data", json!({"path": "mede.dta"})).await;
    all.note("not Stata's", "stata_data", json!({"path": format!("{root}/made.do")})).await;
    all.note("data outside", "stata_data", json!({"path": "/etc/passwd"})).await;
    all.note("a wrong condition", "stata_data", made(json!({"action": "rows", "if": "x = 1"}))).await;
    all.note("a wrong variable", "stata_data", made(json!({"action": "rows", "vars": "nome"}))).await;
    let fit = "quietly set obs 8\ngenerate x = _n\ngenerate y = 20*x + 10*mod(_n, 3)\ngenerate twice = 2*x\nregress y x twice\n";
    let fitted = all.note("a regression", "stata_run_selection", json!({"selection": fit})).await;
    all.note("its results", "stata_results", json!({"run": fitted})).await;
    all.note("a matrix", "stata_results", json!({"run": fitted, "name": "e(V)"})).await;
    all.note("no such result", "stata_results", json!({"run": fitted, "name": "e(ll)"})).await;
    all.note("none after a failure", "stata_results", json!({"run": failed})).await;

    let endless = all.note("another", "stata_submit", json!({"path": gated, "args": ["y"]})).await;
    in_the_loop(&gateway.api, &endless).await;
    all.note("cancelled", "stata_cancel", json!({"run": endless})).await;
    gateway.api.wait_end(gateway.api.get(&endless).await.unwrap().run_id).await;
    all.note("cancelled before", "stata_cancel", json!({"run": endless})).await;
    all.note("its end", "stata_wait", json!({"runs": endless})).await;
    all.note("all runs", "stata_runs", json!({})).await;
    all.note("some runs", "stata_runs", json!({"state": "failed", "limit": 1})).await;
    all.note("no such state", "stata_runs", json!({"state": "done"})).await;
    all.note("all is free", "stata_hosts", json!({})).await;

    let text = all.masked(gateway.api.url());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, &text).unwrap();
    }
    let want = fs::read_to_string(&golden).unwrap();
    for (n, (got, want)) in text.lines().zip(want.lines()).enumerate() {
        assert_eq!(got, want, "line {} of {GOLDEN}; if it reads better now, write it anew", n + 1);
    }
    assert_eq!(text.lines().count(), want.lines().count(), "{GOLDEN}");
}
