//! An old result never passes for a new one, and a repeated call never runs twice: the rule, with the real programs.

use std::path::{Path, PathBuf};

use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::{Mcp, Said, ToolResult},
    wait,
};
use serde_json::json;

/// A gateway and an agent.
struct Site {
    lab: Lab,
    gateway: Gateway,
    agent: Daemon,
    watcher: Api,
}

impl Site {
    async fn new(lab: Lab) -> Self {
        let gateway = lab.gateway().await;
        let agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
        gateway.api.wait_host("stata1", "up").await;
        let watcher = gateway.api.watcher().await;
        Self { lab, gateway, agent, watcher }
    }

    /// A client that waits as long as progress arrives; each is a conversation of its own.
    fn client(&self) -> Mcp {
        Mcp::new(&self.gateway.api, "claude-code", "2.1.330")
    }

    async fn run_file(&self, file: &Path, tool_use: &str) -> ToolResult {
        let meta = json!({"claudecode/toolUseId": tool_use});
        self.client().start("stata_run_file", json!({"file_path": file}), meta).await.result().await
    }

    /// Submits a do-file and waits until its end is recorded; a principal other than the owner watches.
    async fn ended_unseen(&self, file: &Path) -> String {
        let run = self.client().call("stata_submit", json!({"path": file})).await.run();
        let ended = async || self.watcher.get(&run).await.ok().filter(|view| view.state.is_end());
        wait::until(wait::SOON, "the record of the end", ended).await;
        run
    }
}

/// A do-file that counts itself and shows a number from a do-file that it calls.
fn nested(lab: &Lab, name: &str, number: u32) -> (PathBuf, PathBuf) {
    let inner = lab.file(&format!("{name}-inner.do"), format!("display \"NUMBER-{number}\"\n"));
    let body = format!("do \"{}\"\n", inner.display());
    // Counted by its own name: a do-file without arguments has no first argument.
    let executions = lab.work().join("executions");
    let head = format!(
        "file open count using \"{}\", write append text\nfile write count \"{name}\" _n\nfile close count\n",
        executions.display()
    );
    (lab.file(&format!("{name}.do"), head + &body), inner)
}

fn first_line(result: &ToolResult) -> &str {
    result.text.lines().next().unwrap_or_default()
}

#[tokio::test]
async fn a_call_after_its_run_was_cancelled_runs_again() {
    let site = Site::new(lab!()).await;
    let arguments = json!({"file_path": site.lab.gated(), "args": ["stopped"]});
    let meta = |id: &str| json!({"claudecode/toolUseId": id});
    let mut call = site.client().start("stata_run_file", arguments.clone(), meta("toolu_1")).await;
    call.progress("it runs", |p| p.message.starts_with("running")).await;
    let run = site.client().call("stata_runs", json!({})).await.run();
    site.client().call("stata_cancel", json!({"run": run, "mode": "kill"})).await;
    assert!(call.result().await.text.starts_with("cancelled"));

    site.lab.open_gate("stopped");
    for (id, executions) in [("toolu_2", 2), ("toolu_1", 3)] {
        let again = site.client().start("stata_run_file", arguments.clone(), meta(id)).await.result().await;
        assert!(!again.is_error && again.text.contains("finished stopped"), "{id}: {again:#?}");
        assert!(again.text.starts_with("succeeded"), "{id}: nothing of an earlier run: {again:#?}");
        assert_eq!(site.lab.executions("stopped"), executions, "{id}");
    }
}

#[tokio::test]
async fn an_end_that_nobody_saw_answers_once_and_says_so_first() {
    let site = Site::new(lab!()).await;
    let (file, _) = nested(&site.lab, "unseen", 1);
    let run = site.ended_unseen(&file).await;
    let joined = site.run_file(&file, "toolu_1").await;
    let first = first_line(&joined);
    assert!(first.starts_with(&format!("this is run {run} ")), "{joined:#?}");
    for words in
        ["unseen.do", "submitted ", "by another call of claude-code 2.1.330", "ended ", "nothing was started now"]
    {
        assert!(first.contains(words), "{words}: {first}");
    }
    assert!(!joined.is_error && joined.text.contains("NUMBER-1"), "{joined:#?}");
    assert_eq!(site.lab.executions("unseen"), 1);
    // Now the end was delivered.
    let anew = site.run_file(&file, "toolu_2").await;
    assert!(anew.text.starts_with("succeeded"), "{anew:#?}");
    assert_eq!(site.lab.executions("unseen"), 2);
}

/// Shows the end of a run in one of the places.
async fn show(site: &Site, place: &str, run: &str, number: u32) {
    let api = &site.gateway.api;
    match place {
        "stata_runs" => drop(site.client().call(place, json!({})).await),
        "stata_log" => drop(site.client().call("stata_log", json!({"run": run})).await),
        "stata_wait" => drop(site.client().call("stata_wait", json!({"runs": run})).await),
        "resources/read" => {
            let params = json!({"uri": format!("longhaul://runs/{run}/log")});
            let request = site.client().request(place, params);
            assert!(request.send().await.unwrap().text().await.unwrap().contains(&format!("NUMBER-{number}")));
        }
        "resources/read of all runs" => {
            let request = site.client().request("resources/read", json!({"uri": "longhaul://runs"}));
            assert!(request.send().await.unwrap().text().await.unwrap().contains(run));
        }
        "GET run" => drop(api.get(run).await.unwrap()),
        "GET runs" => drop(api.list().await.unwrap()),
        "events" => {
            let full = api.request(reqwest::Method::GET, &format!("/api/v1/runs/{run}/events")).send().await.unwrap();
            assert!(full.text().await.unwrap().contains("event: end"));
        }
        "output" => {
            let path = format!("/api/v1/runs/{run}/output");
            let all = api.request(reqwest::Method::GET, &path).send().await.unwrap();
            assert!(all.text().await.unwrap().contains(&format!("NUMBER-{number}")));
        }
        command => {
            let mut lab_command =
                site.lab.command(command.split(' ').skip(1).chain((command == "longhaul wait").then_some(run)));
            lab_command.env("LONGHAUL_GATEWAY", api.url()).env("LONGHAUL_TOKEN", api.token());
            assert!(lab_command.output().await.unwrap().status.success());
        }
    }
}

/// How often an equal call runs after a run that nobody saw end, and a client that starts in between. Claude Code asks for
/// the list of resources at each start, and shows it to nobody.
async fn executed_after_a_client_started(lab: Lab) -> usize {
    let site = Site::new(lab).await;
    let (file, _) = nested(&site.lab, "listed", 7);
    let run = site.ended_unseen(&file).await;
    let listed = site.client().request("resources/list", json!({})).send().await.unwrap().text().await.unwrap();
    assert!(listed.contains(&run), "{listed}");
    assert!(site.run_file(&file, "toolu_1").await.text.contains("NUMBER-7"));
    site.lab.executions("listed")
}

#[tokio::test]
async fn a_client_that_starts_has_shown_no_end() {
    assert_eq!(executed_after_a_client_started(lab!()).await, 1);
}

/// The control.
#[tokio::test]
async fn a_list_of_resources_that_counted_would_run_it_again() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=resource_lists_show");
    assert_eq!(executed_after_a_client_started(lab).await, 2);
}

/// Every answer that shows an end counts as delivering it.
#[tokio::test]
async fn an_end_that_was_shown_anywhere_answers_nothing() {
    let site = Site::new(lab!()).await;
    let mut places = 0;
    for place in [
        "stata_runs",
        "stata_log",
        "stata_wait",
        "resources/read",
        "resources/read of all runs",
        "GET run",
        "GET runs",
        "events",
        "output",
        "longhaul runs",
        "longhaul wait",
    ] {
        places += 1;
        let (name, number) = (format!("seen{places}"), 10 + places);
        let (file, inner) = nested(&site.lab, &name, number);
        let run = site.ended_unseen(&file).await;
        show(&site, place, &run, number).await;
        // Its owner continues to edit.
        std::fs::write(&inner, "display \"NUMBER-999\"\n").unwrap();
        let anew = site.run_file(&file, &format!("toolu_{place}")).await;
        assert!(anew.text.contains("NUMBER-999") && anew.text.starts_with("succeeded"), "{place}: {anew:#?}");
        assert_eq!(site.lab.executions(&name), 2, "{place}");
    }
}

#[tokio::test]
async fn a_nested_do_file_that_changed_is_never_answered_with_the_result_of_then() {
    let site = Site::new(lab!()).await;
    let (file, inner) = nested(&site.lab, "edited", 1);
    let first = site.run_file(&file, "functions.stata_run_file:0").await;
    assert!(first.text.contains("NUMBER-1"), "{first:#?}");
    // The control: the same call again gets the same run, and the answer says so.
    let again = site.run_file(&file, "functions.stata_run_file:0").await;
    assert!(first_line(&again).contains("by this same call") && again.text.contains("NUMBER-1"), "{again:#?}");
    assert_eq!(site.lab.executions("edited"), 1);

    std::fs::write(&inner, "display \"NUMBER-2\"\n").unwrap();
    let refused = site.run_file(&file, "functions.stata_run_file:0").await;
    assert!(refused.is_error && !refused.text.contains("NUMBER-1"), "{refused:#?}");
    for words in ["edited-inner.do changed", "nothing was joined and nothing was started", "`again: true`"] {
        assert!(refused.text.contains(words), "{words}: {refused:#?}");
    }
    assert_eq!(site.lab.executions("edited"), 1);
    let arguments = json!({"file_path": file, "again": true});
    let anew = site.client().call("stata_run_file", arguments).await;
    assert!(anew.text.contains("NUMBER-2") && anew.text.starts_with("succeeded"), "{anew:#?}");
}

#[tokio::test]
async fn digests_outlive_the_agent() {
    let mut site = Site::new(lab!()).await;
    let (file, inner) = nested(&site.lab, "outlives", 1);
    site.ended_unseen(&file).await;
    site.agent.kill();
    site.agent.restart();
    site.gateway.api.wait_host("stata1", "up").await;
    std::fs::write(&inner, "display \"NUMBER-2\"\n").unwrap();
    let refused = site.run_file(&file, "toolu_1").await;
    assert!(refused.is_error && refused.text.contains("outlives-inner.do changed"), "{refused:#?}");
    // The control: with its old content restored, the old result answers.
    std::fs::write(&inner, "display \"NUMBER-1\"\n").unwrap();
    let joined = site.run_file(&file, "toolu_2").await;
    assert!(first_line(&joined).starts_with("this is run ") && joined.text.contains("NUMBER-1"), "{joined:#?}");
}

#[tokio::test]
async fn another_call_of_a_run_that_goes_on_gets_its_handle_at_once() {
    let site = Site::new(lab!()).await;
    let arguments = json!({"file_path": site.lab.gated(), "args": ["goes-on"]});
    let meta = |id: &str| json!({"claudecode/toolUseId": id});
    let mut call = site.client().start("stata_run_file", arguments.clone(), meta("toolu_1")).await;
    call.progress("it runs", |p| p.message.starts_with("running")).await;
    drop(call);
    // Another conversation, with a client that would wait for days.
    let handle = site.client().start("stata_run_file", arguments.clone(), meta("toolu_2")).await.result().await;
    let first = first_line(&handle);
    assert!(!handle.is_error && first.starts_with("this is run ") && first.contains("not over yet"), "{handle:#?}");
    assert!(
        handle.text.contains("nothing was started now") && handle.text.contains("stata_wait(runs: "),
        "{handle:#?}"
    );
    // The control: the same call waits, and its first progress names the run.
    let mut same = site.client().start("stata_run_file", arguments, meta("toolu_1")).await;
    let Some(Said::Progress(progress)) = same.next().await else { panic!("progress at acceptance") };
    assert!(
        progress.message.starts_with("this is run ") && progress.message.contains("by this same call"),
        "{progress:?}"
    );
    site.lab.open_gate("goes-on");
    let result = same.result().await;
    assert!(
        result.text.contains("finished goes-on") && first_line(&result).contains("by this same call"),
        "{result:#?}"
    );
    assert_eq!(site.lab.executions("goes-on"), 1);
}
