//! Risky commands of a do-file: told with the run, and asked about where a host wants a person to agree.

use std::fs;

use longhaul_proto::{
    api::SubmitRequest,
    risk::RiskKind,
    state::{Cause, RunState},
};
use longhaul_tests::{
    api::bundle,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn site(lab: &Lab, agent: &[&str]) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, agent);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() }
}

fn client(gateway: &Gateway) -> Mcp {
    Mcp::new(&gateway.api, "claude-code", "2.1.330")
}

/// What a client says of itself that can ask a person.
fn asks() -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})
}

/// The line of the audit log about a submission, as text.
fn audit(gateway: &Gateway) -> String {
    let folder = fs::read_dir(gateway.daemon.data.join("audit")).unwrap();
    folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn risky_commands_are_told_with_the_run() {
    let lab = lab!();
    let (gateway, _agent) = site(&lab, &[]).await;
    let code = "display 1\nlocal c shell\ncapture erase no.dta\n* shell x\nif 0 {\n`c' true\n}\n";
    // A text, a path that the agent reads, and a bundle.
    let told = gateway.api.submit(&text(code)).await.unwrap().run;
    let path = SubmitRequest {
        path: Some(lab.file("risky.do", code).display().to_string()),
        again: true,
        ..SubmitRequest::default()
    };
    let of_path = gateway.api.submit(&path).await.unwrap().run;
    assert_eq!(told.risks, of_path.risks);
    let found: Vec<_> = told.risks.iter().map(|risk| (risk.kind, risk.line, risk.may)).collect();
    assert_eq!(found, [(RiskKind::Erase, 3, false), (RiskKind::Shell, 6, true)]);
    // Beyond what stays with the record: it is kept as a blob.
    let large = "x".repeat(100_000);
    let files =
        [("main.do", "display 1\n"), ("sub/b.do", "#delimit ;\nquietly\n rm x;\n"), ("large.txt", large.as_str())];
    let bundle = SubmitRequest { bundle: Some(bundle("main.do", &files)), ..SubmitRequest::default() };
    let of_bundle = gateway.api.submit(&bundle).await.unwrap().run;
    assert_eq!((of_bundle.risks[0].file.as_str(), of_bundle.risks[0].line), ("sub/b.do", 2));
    for run in [&told, &of_path, &of_bundle] {
        gateway.api.wait_end(run.run_id).await;
    }

    let line = "warning: line 3 erases files (capture erase no.dta); line 6 may run a shell command (`c' true)";
    let said = client(&gateway).call("stata_submit", json!({"text": code, "again": true})).await;
    assert!(said.text.contains(line), "{}", said.text);
    let said = client(&gateway).call("stata_wait", json!({"runs": said.run()})).await;
    assert!(said.text.contains(line), "{}", said.text);
    let config = gateway.daemon.data.to_str().unwrap().to_owned();
    let shown = lab.run(["show", &told.run_id.to_string(), "--data", &config]).await;
    let shown_line = line.replace("warning: ", "warning       ");
    assert!(shown.out.contains(&shown_line), "{shown:#?}");
    let do_file = lab.file("cli.do", "capture rm no.dta\n");
    let ran = lab.run(["run", do_file.to_str().unwrap(), "--data", &config]).await;
    assert!(ran.status == 0 && ran.err.contains("warning: line 1 erases files (capture rm no.dta)"), "{ran:#?}");
    let plain = gateway.api.submit(&text("display 2")).await.unwrap().run;
    assert!(plain.risks.is_empty());
    assert!(audit(&gateway).contains("\"risks\":\"line 3 erases files; line 6 may run a shell command\""));
    assert!(!audit(&gateway).contains("no.dta"), "there is no code in the audit log");

    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=risks_unseen");
    let (gateway, _agent) = site(&lab, &[]).await;
    assert!(gateway.api.submit(&text(code)).await.unwrap().run.risks.is_empty(), "the control");
}

#[tokio::test]
async fn a_host_wants_a_person_to_agree() {
    let lab = lab!();
    let (gateway, _agent) = site(&lab, &["--confirm", "erase,shell"]).await;
    let risky = text("capture erase no.dta\n");
    let refused = gateway.api.submit(&risky).await.unwrap_err();
    assert_eq!((refused.status, refused.kind.as_str()), (409, "unconfirmed"));
    assert!(
        refused.detail.contains("stata1 wants a person to agree") && refused.detail.contains("confirm: true"),
        "{refused:?}"
    );
    assert!(gateway.api.list().await.unwrap().runs.is_empty(), "nothing was recorded");
    // What the rule does not name goes through, with its warning.
    let python = gateway.api.submit(&text("if 0 {\npython: 1\n}\n")).await.unwrap().run;
    assert_eq!((python.risks.len(), &python.confirmed), (1, &None));
    let agreed = SubmitRequest { confirm: true, ..risky.clone() };
    let run = gateway.api.submit(&agreed).await.unwrap().run;
    let word = run.confirmed.clone().unwrap();
    assert_eq!((word.by.as_str(), word.how.as_str()), (run.principal.as_str(), "argument"));
    assert_eq!(gateway.api.wait_end(run.run_id).await.state, RunState::Succeeded);
    assert!(audit(&gateway).contains("by argument"));
    let hosts = gateway.api.hosts().await.unwrap();
    assert_eq!(hosts.hosts[0].confirm.as_deref(), Some("shell,erase"));
    // A path, by the command line: refused, then agreed to.
    let config = gateway.daemon.data.to_str().unwrap().to_owned();
    let do_file = lab.file("cli.do", "capture rm no.dta\n");
    let cli = async |more: &[&str]| {
        let plain = ["run", do_file.to_str().unwrap(), "--data", &config];
        lab.run(plain.into_iter().chain(more.iter().copied())).await
    };
    let ran = cli(&[]).await;
    assert!(ran.status != 0 && ran.err.contains("--confirm") && ran.err.contains("line 1 erases files"), "{ran:#?}");
    let ran = cli(&["--confirm"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let again = gateway.api.request(Method::POST, &format!("/api/v1/runs/{}/rerun", run.run_id)).json(&json!({}));
    assert_eq!(again.send().await.unwrap().status(), 409, "to run it again takes another word");

    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=unconfirmed_runs");
    let (gateway, _agent) = site(&lab, &["--confirm", "all"]).await;
    let run = gateway.api.submit(&risky).await.unwrap().run;
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!((end.state, end.cause), (RunState::Errored, Cause::Forbidden), "the agent looks, too: {end:#?}");
    assert!(end.message.unwrap().contains("wants a person to agree"));
    assert!(!end.attempt.eq(&0));

    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=unconfirmed_runs;bug=unconfirmed_starts");
    let (gateway, _agent) = site(&lab, &["--confirm", "all"]).await;
    let run = gateway.api.submit(&risky).await.unwrap().run;
    assert_eq!(gateway.api.wait_end(run.run_id).await.state, RunState::Succeeded, "the control");
}

/// How a do-file ends that a person agreed to and that was changed while the run waited for the seat.
async fn changed_after_the_word(faults: &str) -> (RunState, String) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let (gateway, _agent) = site(&lab, &["--confirm", "erase"]).await;
    let before = gateway.api.submit_path(&lab.gated(), &["before"]).await.run_id;
    gateway.api.wait_output(before, "started before").await;
    let do_file = lab.file("agreed.do", "capture erase no.dta\n");
    let agreed = SubmitRequest { path: Some(do_file.display().to_string()), confirm: true, ..SubmitRequest::default() };
    let run = gateway.api.submit(&agreed).await.unwrap().run;
    assert!(run.confirmed.is_some() && run.state == RunState::Queued, "{run:#?}");
    fs::write(&do_file, "capture erase other.dta\n").unwrap();
    lab.open_gate("before");
    let end = gateway.api.wait_end(run.run_id).await;
    (end.state, end.message.unwrap_or_default())
}

#[tokio::test]
async fn a_word_holds_for_the_bytes_that_it_was_about() {
    let (state, message) = changed_after_the_word("").await;
    assert_eq!(state, RunState::Errored, "{message}");
    assert!(message.contains("changed"), "{message}");
    assert_eq!(changed_after_the_word("bug=agreed_code_may_change").await.0, RunState::Succeeded, "the control");

    // A host that asks for other commands may come later: the word is about all that was found, and the question names it.
    let lab = lab!();
    let (gateway, _agent) = site(&lab, &["--confirm", "erase"]).await;
    let both = text("capture erase no.dta\nif 0 {\nshell true\n}\n");
    let refused = gateway.api.submit(&both).await.unwrap_err().detail;
    assert!(refused.contains("erases files") && refused.contains("runs a shell command"), "{refused}");
    // A word about code in which nothing was found is not kept, so it holds for nothing that comes later.
    let plain = SubmitRequest { confirm: true, ..text("display 1\n") };
    assert_eq!(gateway.api.submit(&plain).await.unwrap().run.confirmed, None);
}

/// The answer to a call of the newer era by a client that can ask: with the person's answer, if there is one.
async fn asked(client: &Mcp, arguments: &Value, answer: Option<(&str, &str)>) -> Value {
    let mut params = json!({"name": "stata_run_selection", "arguments": arguments, "_meta": asks()});
    if let Some((action, state)) = answer {
        params["inputResponses"] = json!({"confirm": {"action": action, "content": {}}});
        params["requestState"] = json!(state);
    }
    let said = client.request("tools/call", params).send().await.unwrap().text().await.unwrap();
    let mut messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    messages
        .find(|message| message.get("result").is_some() || message.get("error").is_some())
        .unwrap_or_else(|| serde_json::from_str(&said).unwrap_or_else(|_| panic!("no answer in {said}")))
}

/// The kind of answer to a call that brings a word along although its question was never asked: what it would be about can be
/// computed by who knows the code.
async fn forged(gateway: &Gateway, client: &Mcp) -> String {
    let code = "capture erase forged.dta\n";
    let who = gateway.api.submit(&text("display 7\n")).await.unwrap().run.principal;
    let risks = serde_json::to_vec(&longhaul_proto::risk::of_code(code.as_bytes())).unwrap();
    let about = [who.as_bytes(), longhaul_proto::sha256_hex(code.as_bytes()).as_bytes(), &risks].concat();
    let state = longhaul_proto::sha256_hex(&about);
    let said = asked(client, &json!({"selection": code}), Some(("accept", &state))).await;
    said["result"]["resultType"].as_str().unwrap_or("complete").to_owned()
}

#[tokio::test]
async fn what_was_not_asked_cannot_be_answered() {
    let mut lab = lab!();
    let (gateway, _agent) = site(&lab, &["--confirm", "erase"]).await;
    assert_eq!(forged(&gateway, &client(&gateway)).await, "input_required");
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), 1, "the run of the question alone");
    drop(gateway);
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=questions_unsealed");
    let (gateway, _agent) = site(&lab, &["--confirm", "erase"]).await;
    assert_ne!(forged(&gateway, &client(&gateway)).await, "input_required", "the control");
}

#[tokio::test]
async fn a_person_is_asked_by_the_client_of_the_newer_era() {
    let lab = lab!();
    let (gateway, _agent) = site(&lab, &["--confirm", "erase"]).await;
    let client = client(&gateway);
    let code = json!({"selection": "capture erase no.dta\n"});
    // A client that cannot ask is told what to pass.
    let refused = client.call("stata_run_selection", code.clone()).await;
    assert!(
        refused.is_error && refused.text.contains("nothing was run") && refused.text.contains("confirm: true"),
        "{refused:#?}"
    );

    let question = asked(&client, &code, None).await;
    let result = &question["result"];
    assert_eq!(result["resultType"], "input_required", "{question:#}");
    let form = &result["inputRequests"]["confirm"];
    assert_eq!(form["method"], "elicitation/create", "{question:#}");
    let words = form["params"]["message"].as_str().unwrap();
    assert!(words.contains("stata1") && words.contains("line 1 erases files (capture erase no.dta)"), "{words}");
    let state = result["requestState"].as_str().unwrap();

    for (action, want) in [("decline", "declined"), ("cancel", "closed without a word")] {
        let said = asked(&client, &code, Some((action, state))).await;
        let text = said["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(said["result"]["isError"] == true && text.contains(want), "{said:#}");
    }
    // A word about other code is none about this.
    let other = json!({"selection": "capture erase other.dta\n"});
    assert_eq!(asked(&client, &other, Some(("accept", state))).await["result"]["resultType"], "input_required");
    assert!(gateway.api.list().await.unwrap().runs.is_empty(), "nothing was recorded so far");

    let said = asked(&client, &code, Some(("accept", state))).await;
    let text = said["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("succeeded"), "{said:#}");
    let run = gateway.api.list().await.unwrap().runs.remove(0);
    assert_eq!(run.confirmed.unwrap().how, "elicitation");
    let audit = audit(&gateway);
    assert!(audit.contains("by elicitation") && audit.contains("\"asks\":\"confirm\""), "{audit}");

    let said = client.call("stata_run_selection", json!({"selection": "capture erase c.dta\n", "confirm": true})).await;
    assert!(said.text.starts_with("succeeded"), "{}", said.text);
}

/// A session of the older era, by hand: its answers come as events of the request's own stream.
struct Session {
    client: reqwest::Client,
    url: String,
    token: String,
    id: String,
}

impl Session {
    async fn open(gateway: &Gateway, capabilities: Value) -> Self {
        let url = format!("{}/mcp", gateway.api.url());
        let client = reqwest::Client::new();
        let mut this = Self { client, url, token: gateway.api.token().to_owned(), id: String::new() };
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "old", "version": "1"},
        }});
        let answer = this.post(&hello).await;
        this.id = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let _ = answer.text().await;
        this.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        this
    }

    async fn post(&self, message: &Value) -> reqwest::Response {
        let mut request = self.client.post(&self.url).bearer_auth(&self.token).json(message);
        request = request.header("accept", "application/json, text/event-stream");
        if !self.id.is_empty() {
            request = request.header("mcp-session-id", &self.id).header("mcp-protocol-version", "2025-11-25");
        }
        request.send().await.unwrap()
    }

    /// Calls a tool; the question is answered with `action`, or not at all. Returns the question and the answer.
    async fn call(&self, code: &str, action: Option<&str>) -> (Option<Value>, Value) {
        let general = self.client.get(&self.url).bearer_auth(&self.token).header("mcp-session-id", &self.id);
        let general = general.header("accept", "text/event-stream").header("mcp-protocol-version", "2025-11-25");
        let mut general = longhaul_tests::sse::Events::new(general.send().await.unwrap());
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "stata_run_selection", "arguments": {"selection": code},
        }});
        let mut own = longhaul_tests::sse::Events::new(self.post(&call).await);
        let mut question = None;
        loop {
            let event = tokio::select! {
                event = own.next() => event.expect("an answer"),
                event = general.next(), if question.is_none() => event.expect("the session's own stream"),
            };
            let Ok(message) = serde_json::from_str::<Value>(&event.data) else { continue };
            if message["method"] == "elicitation/create" {
                if let Some(action) = action {
                    let answer =
                        json!({"jsonrpc": "2.0", "id": message["id"], "result": {"action": action, "content": {}}});
                    assert!(self.post(&answer).await.status().is_success());
                }
                question = Some(message);
            } else if message["id"] == 7 {
                return (question, message);
            }
        }
    }
}

fn said(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_person_is_asked_by_the_client_of_the_older_era() {
    let mut lab = lab!();
    lab.config("confirm_within = \"2s\"\n");
    let (gateway, _agent) = site(&lab, &["--confirm", "erase"]).await;
    let can = Session::open(&gateway, json!({"elicitation": {}})).await;
    let (question, answer) = can.call("capture erase a.dta", Some("accept")).await;
    let question = question.expect("a question");
    assert!(question["params"]["message"].as_str().unwrap().contains("line 1 erases files"), "{question:#}");
    assert!(said(&answer).starts_with("succeeded"), "{answer:#}");
    let (question, answer) = can.call("capture erase b.dta", Some("decline")).await;
    assert!(question.is_some() && said(&answer).contains("declined"), "{answer:#}");
    // Who is asked may be away: the call is answered in time.
    let call = can.call("capture erase c.dta", None);
    let (question, answer) = tokio::time::timeout(wait::SOON, call).await.expect("it does not hang");
    assert!(question.is_some() && said(&answer).contains("no word came from a person"), "{answer:#}");
    assert!(said(&answer).contains("confirm: true"), "{answer:#}");
    let cannot = Session::open(&gateway, json!({})).await;
    let (question, answer) = cannot.call("capture erase d.dta", None).await;
    assert!(question.is_none() && said(&answer).contains("confirm: true"), "{answer:#}");
    let runs = gateway.api.list().await.unwrap().runs;
    assert_eq!(runs.len(), 1, "only what was agreed to: {runs:#?}");
    assert_eq!(runs[0].confirmed.as_ref().unwrap().how, "elicitation");
}

#[tokio::test]
async fn code_that_must_not_leave_is_not_in_the_warning() {
    let lab = lab!();
    let (gateway, _agent) = site(&lab, &["--confirm", "erase", "--egress", "verdict"]).await;
    let do_file = lab.file("kept.do", "capture erase MARKNAME.dta\n");
    let call = |confirm: bool| json!({"file_path": do_file, "confirm": confirm});
    let refused = client(&gateway).call("stata_run_file", call(false)).await;
    assert!(refused.text.contains("line 1 erases files") && !refused.text.contains("MARKNAME"), "{}", refused.text);
    let ran = client(&gateway).call("stata_run_file", call(true)).await;
    assert!(ran.text.contains("warning: line 1 erases files") && !ran.text.contains("MARKNAME"), "{}", ran.text);
}
