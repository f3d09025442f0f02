//! Only the user's part, in every interface: banner, serial number and wrapper lines never appear in anything that
//! shows output, from the first byte on, however slow the engine is to start and whichever client followed before it
//! did.
//!
//! Offsets, event ids and ranges are those of the raw log in both views; an offset before the user's part means its
//! start, one behind it, once the run has ended, its end.

mod interfaces;
mod offsets;

use std::{fs, path::PathBuf, process::ExitStatus};

use longhaul_proto::{api::SubmitRequest, ids::RunId, state::RunState};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    wait,
};
use reqwest::Method;
use serde_json::json;

/// A serial number that is easy to find where it does not belong.
const SERIAL: &str = "501806012345";

/// What is Stata's or the wrapper's, and never the user's.
const NOT_THE_USERS: [&str; 11] = [
    SERIAL,
    "Serial number",
    "Licensed to",
    "Stand-in license",
    "running in batch mode",
    "do lh-",
    ". cd `",
    "code.do",
    "file open lh",
    "file close lh",
    "set more off",
];

/// Fails when `text`, which `who` showed, contains anything that is not the user's.
fn check_clean(who: &str, text: &str) {
    for words in NOT_THE_USERS {
        assert!(!text.contains(words), "{who} shows {words:?}:\n{text}");
    }
}

/// A site whose engine prints its banner and then waits for a file.
struct Site {
    lab: Lab,
    gateway: Gateway,
    hold: PathBuf,
}

impl Site {
    async fn new() -> Self {
        Self::of(lab!()).await
    }

    async fn of(mut lab: Lab) -> Self {
        let hold = lab.path().join("hold");
        lab.env("LONGHAUL_STANDIN_START_HOLD", &hold).env("LONGHAUL_STANDIN_SERIAL", SERIAL);
        let gateway = lab.up(&[]).await;
        lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
        gateway.api.wait_host_up().await;
        Self { lab, gateway, hold }
    }

    fn api(&self) -> &Api {
        &self.gateway.api
    }

    fn let_start(&self) {
        fs::write(&self.hold, "").unwrap();
    }

    async fn submit(&self, name: &str, profile: bool) -> RunId {
        let request = SubmitRequest {
            path: Some(self.lab.gated().display().to_string()),
            args: vec![name.to_owned()],
            project_profile: profile,
            again: true,
            ..SubmitRequest::default()
        };
        self.api().submit(&request).await.expect("accepted").run.run_id
    }

    /// Waits until the banner is in the log and nothing else is.
    async fn banner_shows(&self, run: RunId) {
        self.api().wait_output(run, SERIAL).await;
        self.api().wait_run(run, wait::SOON, "it is running", |v| v.state == RunState::Running).await;
    }

    /// Every interface that shows output of this run, by its name; and whether that is output alone.
    async fn interfaces(&self, run: RunId) -> Vec<(String, String, bool)> {
        let mut all = Vec::new();
        for query in ["", "&offset=0", "&tail=500"] {
            let text = user(self.api(), run, query, None).await.text().await.unwrap();
            all.push((format!("the API, view=user{query}"), text, true));
        }
        let text = user(self.api(), run, "", Some("bytes=0-")).await.text().await.unwrap();
        all.push(("the API, a range".to_owned(), text, true));
        let id = run.to_string();
        for args in [vec!["log", &id], vec!["log", "--tail", "500", &id]] {
            let ran = self.lab.run(&args).await;
            assert_eq!(ran.status, 0, "{ran:#?}");
            check_clean("stderr", &ran.err);
            all.push((format!("longhaul {args:?}"), ran.out, true));
        }
        let mcp = Mcp::new(self.api(), "client", "1").without_progress();
        for arguments in [
            json!({"run": id}),
            json!({"run": id, "tail": 500}),
            json!({"run": id, "offset": 0}),
            json!({"run": id, "pattern": "started|erial|lh|cd", "context": 3}),
        ] {
            let said = mcp.call("stata_log", arguments.clone()).await;
            assert!(!said.is_error, "{arguments}: {said:#?}");
            all.push((format!("stata_log {arguments}"), said.text, false));
        }
        let said = mcp.call("stata_wait", json!({"runs": id, "seconds": 1})).await;
        all.push(("stata_wait".to_owned(), said.text, false));
        let uri = format!("longhaul://runs/{id}/log");
        let read = mcp.request("resources/read", json!({"uri": uri})).send().await.unwrap();
        all.push(("the resource".to_owned(), read.text().await.unwrap(), false));
        let view = self.api().get(run).await.unwrap();
        all.push(("progress".to_owned(), view.progress.map(|p| p.text).unwrap_or_default(), false));
        all
    }
}

/// The user's part as the API returns it.
async fn user(api: &Api, run: RunId, query: &str, range: Option<&str>) -> longhaul_tests::http::Answered {
    let mut request = api.request(Method::GET, &format!("/api/v1/runs/{run}/output?view=user{query}"));
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{query} {range:?}: {}", response.status());
    response
}

async fn user_text(api: &Api, run: RunId) -> String {
    user(api, run, "", None).await.text().await.unwrap()
}

/// A command in the background, with its output in files.
struct Background {
    child: tokio::process::Child,
    out: PathBuf,
    err: PathBuf,
}

impl Background {
    fn start(lab: &Lab, name: &str, args: &[&str]) -> Self {
        let file = |end: &str| lab.path().join(format!("{name}.{end}"));
        let (out, err) = (file("out"), file("err"));
        let mut command = lab.command(args);
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    async fn says(&self, words: &str) {
        let said = || (self.out() + &self.err()).contains(words).then_some(());
        wait::until_now(wait::SOON, &format!("the command says {words:?}"), said).await;
    }

    async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(wait::SOON * 2, self.child.wait()).await.expect("it ends").unwrap()
    }
}
