//! The kind of every end that is no success, with what stands around it: by API, MCP and command line.

use std::time::Duration;

use longhaul_proto::{
    api::{CancelMode, RunError, RunView, SubmitRequest},
    error_kind::{ErrorKind, TryAgain},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    wait,
};
use serde_json::{Value, json};

async fn pair(lab: &Lab, more: &[&str]) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, more);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

fn error(run: &RunView) -> &RunError {
    run.error.as_deref().unwrap_or_else(|| panic!("no error: {run:#?}"))
}

async fn submit(api: &Api, request: SubmitRequest) -> RunId {
    api.submit(&SubmitRequest { again: true, ..request }).await.unwrap().run.run_id
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() }
}

async fn failed(api: &Api, code: &str) -> RunView {
    let run = submit(api, text(code)).await;
    let end = api.wait_end(run).await;
    assert_eq!(end.state, RunState::Failed, "{code}: {end:#?}");
    end
}

#[tokio::test]
async fn a_failed_do_file_has_the_kind_of_its_code() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab, &[]).await;
    for (code, rc, kind, next) in [
        ("generate y = nosuchvar", 111, ErrorKind::VarnameNotFound, "`describe`"),
        ("error 198", 198, ErrorKind::Syntax, "help"),
        ("display (1", 132, ErrorKind::Syntax, "help"),
        ("eststo m", 199, ErrorKind::CommandNotFound, "`ssc install eststo`"),
        ("do nowhere.do", 601, ErrorKind::FileNotFound, "relative path"),
        ("set obs 2\ngenerate x = 1\ngenerate x = 2", 110, ErrorKind::NameConflict, "`drop`"),
        ("error 459", 459, ErrorKind::ExpectationFailed, "asserts"),
        ("error 498", 498, ErrorKind::Unknown, ""),
        ("exit 111", 111, ErrorKind::Unknown, "`exit`"),
    ] {
        let end = failed(&gateway.api, code).await;
        let found = error(&end);
        assert_eq!((found.kind, found.code, end.rc), (kind, Some(rc), Some(rc)), "{code}: {found:#?}");
        assert!(found.advice.contains(next), "{code}: {found:#?}");
        assert_eq!(found.try_again, kind.row().try_again, "{found:#?}");
        let last = code.lines().last().unwrap();
        assert_eq!(found.command.as_deref(), Some(last), "{found:#?}");
        assert!(found.before.iter().any(|line| line == &format!(". {last}")), "{found:#?}");
        assert_eq!(found.after, ["end of do-file", &format!("r({rc});")], "{found:#?}");
    }
    let good = gateway.api.wait_end(submit(&gateway.api, text("capture noisily drop z\ndisplay 1")).await).await;
    assert_eq!((good.state, good.error), (RunState::Succeeded, None));
}

/// Errors that ended nothing stand before the one that did, each with its place in the do-file that it is in.
const INNER: &str = "display \"inner\"\ncapture noisily summarize z\ncapture drop q\ncap noi do nowhere.do\n";

#[tokio::test]
async fn errors_that_ended_nothing_stand_beside_the_one_that_did() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab, &[]).await;
    let inner = lab.file("steps/inner.do", INNER).canonicalize().unwrap().display().to_string();
    let main =
        lab.file("main.do", "display \"begin\"\ndo steps/inner.do\nforvalues i = 1/2 {\n    generate z = nothing\n}\n");
    let main = main.canonicalize().unwrap().display().to_string();
    let client = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let said = client.call("stata_run_file", json!({"file_path": main})).await;
    assert!(said.is_error, "{said:#?}");
    let run = gateway.api.get(said.run()).await.unwrap();
    let found = error(&run);
    assert_eq!((found.kind, found.code), (ErrorKind::VarnameNotFound, Some(111)), "{found:#?}");
    let place = found.place.as_ref().unwrap();
    assert_eq!((place.file.as_str(), place.line), (main.as_str(), 4), "the line of the loop");
    let told: Vec<_> = found
        .suppressed
        .iter()
        .map(|e| (e.code, e.command.as_str(), e.place.as_ref().map(|at| (at.file.as_str(), at.line)).unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (Some(111), "capture noisily summarize z", (inner.as_str(), 2)),
            (Some(601), "cap noi do nowhere.do", (inner.as_str(), 4)),
        ],
        "{found:#?}"
    );
    assert_eq!(found.suppressed[0].place.as_ref().unwrap().callers, [format!("{main}:2")]);

    // Words first, the object beside them.
    let words = &said.text;
    for line in ["\nkind: varname_not_found; trying again unchanged cannot help\n", "\nnext: `describe`"] {
        assert!(words.contains(line), "{line}: {words}");
    }
    let before = format!("\nerrors before it that ended nothing: r(111) variable z not found ({inner}:2); r(601) ");
    assert!(words.contains(&before), "{before}: {words}");
    let object = &said.raw["result"]["structuredContent"];
    assert_eq!(object["run_id"], run.run_id.to_string());
    assert_eq!(object["error"], serde_json::to_value(found).unwrap());
    let listed = client.call("stata_runs", json!({})).await;
    assert!(listed.text.contains(" · varname_not_found · ") && !listed.is_error, "{listed:#?}");
    assert!(listed.raw["result"].get("structuredContent").is_none(), "only an error has an object");

    let data = gateway.daemon.data.display().to_string();
    let shown = lab.run(["--data", &data, "show", &run.run_id.short()]).await;
    for line in [
        "\n  kind: varname_not_found; trying",
        "\n  next: `describe`",
        "\n  errors before it that ended nothing: r(111)",
    ] {
        assert!(shown.out.contains(line), "{line}: {shown:#?}");
    }
    let printed: Value =
        serde_json::from_str(&lab.run(["--data", &data, "show", "--json", &run.run_id.short()]).await.out).unwrap();
    assert_eq!(printed["error"]["kind"], "varname_not_found", "{printed:#}");
    let again = lab.run(["--data", &data, "run", "--again", &main]).await;
    assert!(again.status == 1 && again.err.contains("\n  kind: varname_not_found"), "{again:#?}");

    // The judge reads the same from the log alone.
    let log = lab.file("main.log", gateway.api.output(run.run_id, "log").await.unwrap()).display().to_string();
    let judged = lab.run(["judge", "--json", &log]).await;
    let judged: Value = serde_json::from_str(&judged.out).unwrap_or_else(|e| panic!("{e}: {judged:#?}"));
    assert_eq!(
        (judged["kind"].as_str(), judged["command"].as_str()),
        (Some("varname_not_found"), found.command.as_deref())
    );
    assert_eq!(judged["suppressed"][1]["command"], "cap noi do nowhere.do", "{judged:#}");
}

#[tokio::test]
async fn an_agent_that_says_nothing_of_it_gets_a_kind_all_the_same() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=ends_without_diagnosis");
    let (gateway, _agent) = pair(&lab, &[]).await;
    let end = failed(&gateway.api, "capture noisily summarize z\ngenerate y = nosuchvar").await;
    let found = error(&end);
    assert_eq!((found.kind, found.code), (ErrorKind::VarnameNotFound, Some(111)), "as from an earlier version");
    // The control of the tests above: nothing of the log is told.
    assert!(found.before.is_empty() && found.after.is_empty() && found.suppressed.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn ends_that_are_no_failures_have_kinds() {
    let mut lab = lab!();
    lab.config("max_run_spool = \"8MiB\"\nheartbeat = \"200ms\"\nsilent_after = \"1s\"\n");
    let (gateway, mut agent) = pair(&lab, &["--seats", "4"]).await;
    let api = &gateway.api;
    let check = async |run: RunId, state: RunState, kind: ErrorKind| {
        let end = api.wait_end(run).await;
        assert_eq!((end.state, error(&end).kind), (state, kind), "{end:#?}");
        end
    };
    let limited = submit(api, SubmitRequest { timeout: Some(0.3), ..text("display \"a\"\nsleep 600000") }).await;
    let end = check(limited, RunState::TimedOut, ErrorKind::Timeout).await;
    assert!(error(&end).before.iter().any(|line| line == "a"), "what it printed last: {end:#?}");
    let crashed = submit(api, text("display \"b\"\n*! standin: crash segv\n")).await;
    check(crashed, RunState::Errored, ErrorKind::Crashed).await;
    let large = submit(api, text("shell head -c 20000000 /dev/zero > big.bin\nsleep 600000\n")).await;
    check(large, RunState::Errored, ErrorKind::OutputTooLarge).await;
    let stopped = submit(api, text("display \"c\"\nsleep 600000")).await;
    api.wait_output(stopped, "\nc\n").await;
    api.cancel(stopped, CancelMode::Break).await.unwrap();
    check(stopped, RunState::Cancelled, ErrorKind::Cancelled).await;

    let gated = SubmitRequest {
        path: Some(lab.gated().display().to_string()),
        args: vec!["k".into()],
        ..SubmitRequest::default()
    };
    let held = submit(api, gated).await;
    api.wait_output(held, "started k").await;
    agent.kill();
    api.wait_run(held, wait::SOON, "silence", |v| v.agent_silent_for.is_some()).await;
    let data = gateway.daemon.data.display().to_string();
    let ran = lab.run(["--data", &data, "declare-dead", &held.short()]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    check(held, RunState::Lost, ErrorKind::AgentLost).await;
}

#[tokio::test]
async fn a_queue_that_is_full_is_no_missing_agent() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let api = &gateway.api;
    let nowhere = submit(api, SubmitRequest { queue_timeout: Some(0.5), ..text("display 1") }).await;
    let end = api.wait_end(nowhere).await;
    assert_eq!((error(&end).kind, error(&end).try_again), (ErrorKind::NoAgent, TryAgain::CanHelp), "{end:#?}");
    assert!(end.message.as_deref().unwrap_or_default().contains("no agent is connected"), "why: {end:#?}");
    let shown = Mcp::new(api, "claude-code", "2.1.332").call("stata_wait", json!({"runs": nowhere.short()})).await;
    assert!(shown.is_error && shown.text.contains("\nkind: no_agent; trying again unchanged can help\n"), "{shown:#?}");

    let _agent = lab.agent("stata1", &gateway, &["--seats", "1"]);
    api.wait_host("stata1", "up").await;
    let gated = SubmitRequest {
        path: Some(lab.gated().display().to_string()),
        args: vec!["q".into()],
        ..SubmitRequest::default()
    };
    let held = submit(api, gated).await;
    api.wait_output(held, "started q").await;
    let waits = submit(api, SubmitRequest { queue_timeout: Some(0.5), ..text("display 1") }).await;
    let end = api.wait_end(waits).await;
    assert_eq!(error(&end).kind, ErrorKind::QueueTimeout, "{end:#?}");
    lab.file("gate-q", "");
    api.wait_end(held).await;
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    for (licence, kind) in [("invalid", ErrorKind::Licence), ("hang", ErrorKind::StartFailed)] {
        let mut lab = lab!();
        lab.env("LONGHAUL_STANDIN_LICENCE", licence).env("LONGHAUL_START_TIMEOUT", "1s");
        let (gateway, _agent) = pair(&lab, &[]).await;
        let run = submit(&gateway.api, text("display 1")).await;
        let end = gateway.api.wait_run(run, Duration::from_secs(60), "its end", |v| v.state.is_end()).await;
        assert_eq!((end.state, error(&end).kind), (RunState::Errored, kind), "{end:#?}");
        assert!(error(&end).advice.contains("`longhaul doctor` on stata1"), "{end:#?}");
        assert!(error(&end).before.is_empty() && error(&end).suppressed.is_empty(), "{end:#?}");
        let client = Mcp::new(&gateway.api, "claude-code", "2.1.332");
        let said = client.call("stata_wait", json!({"runs": run.short()})).await;
        let object = &said.raw["result"]["structuredContent"]["error"];
        assert!(said.is_error && object["kind"] == kind.as_str(), "{said:#?}");
    }
}
