//! The clients of a trial: they submit until they are acknowledged, follow until the last byte, and look at states,
//! through every fault; each records what it observed.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    api::{CancelMode, OutputEvent, RunView, SubmitRequest, Submitted},
    ids::RunId,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::history::History;
use crate::{
    api::{self, Api},
    mcp::Mcp,
    sse::Events,
    wait,
};

/// Limit of one short request, so that a connection that leads nowhere is given up.
const SHORT: Duration = Duration::from_secs(2);
/// A stream that is silent for so long is closed and requested again.
const SILENT: Duration = Duration::from_secs(3);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);

/// Submits until the gateway says which run it is; with a key or without, it must be one run.
pub async fn submit(api: Api, history: History, name: String, request: SubmitRequest) {
    loop {
        let sent = api.request(Method::POST, "/api/v1/runs").json(&request).timeout(SHORT).send().await;
        let failed = match sent {
            Ok(response) => match api::read::<Submitted>(response).await {
                Ok(submitted) => {
                    history.acked(&name, submitted.run.run_id);
                    return;
                }
                Err(problem) if problem.status / 100 == 4 && problem.status != 429 => {
                    return history.wrong(format!("{name} was refused: {problem:?}"));
                }
                Err(problem) => problem.detail,
            },
            Err(error) => error.to_string(),
        };
        history.note(format!("{name} is not acknowledged: {failed}"));
        tokio::time::sleep(AGAIN).await;
    }
}

/// Asks for the end of a run until the gateway has accepted the request.
pub async fn cancel(api: Api, history: History, run: RunId, mode: CancelMode) {
    loop {
        let body = json!({"mode": mode});
        let request = api.request(Method::POST, &format!("/api/v1/runs/{run}/cancel")).json(&body).timeout(SHORT);
        match request.send().await {
            Ok(response) if response.status().is_success() => return history.cancel_acked(run),
            Ok(response) => history.note(format!("cancel of {run} not taken: {}", response.status())),
            Err(error) => history.note(format!("cancel of {run} not taken: {error}")),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Looks at a run, if the gateway answers. An acknowledged run that is unknown is a violation.
pub async fn look(api: &Api, history: &History, name: &str, run: RunId, must_resolve: bool) -> Option<RunView> {
    let request = api.request(Method::GET, &format!("/api/v1/runs/{run}")).timeout(SHORT);
    let before = history.end(run);
    match api::read::<RunView>(request.send().await.ok()?).await {
        Ok(view) => {
            history.saw(name, &view, before, !must_resolve);
            Some(view)
        }
        Err(problem) if problem.status == 404 => {
            if must_resolve {
                history.wrong(format!("{name} was acknowledged as {run} and is not known"));
            }
            None
        }
        Err(_) => None,
    }
}

/// Follows a run's log by server-sent events from its first byte to its last, at its own pace.
pub async fn follow(
    api: Api,
    history: History,
    name: String,
    run: RunId,
    pace: Duration,
    heard: watch::Sender<String>,
) {
    loop {
        let (at, before) = (heard.borrow().len(), history.end(run));
        let path = format!("/api/v1/runs/{run}/events?stream=log&offset={at}");
        let opened = tokio::time::timeout(SHORT, api.request(Method::GET, &path).send()).await;
        if let Ok(Ok(response)) = opened
            && response.status().is_success()
            && take(&history, &name, Events::new(response), before, pace, &heard).await
        {
            return history.note(format!("follower of {name} has its end at {}", heard.borrow().len()));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// `true` when the stream reported the end. It may report the state of when it was opened.
async fn take(
    history: &History,
    name: &str,
    mut events: Events,
    before: Option<RunView>,
    pace: Duration,
    heard: &watch::Sender<String>,
) -> bool {
    loop {
        let Ok(Some(event)) = tokio::time::timeout(SILENT, events.next()).await else { return false };
        if event.kind == "end" {
            if let Ok(view) = serde_json::from_str::<RunView>(&event.data) {
                history.saw(name, &view, before, false);
                return view.output_complete;
            }
            return false;
        }
        let Ok(part) = serde_json::from_str::<OutputEvent>(&event.data) else { continue };
        let at = heard.borrow().len() as u64;
        if part.offset != at || part.next != at + part.text.len() as u64 {
            history.wrong(format!("a follower of {name} at {at} was sent {}..{}", part.offset, part.next));
            return false;
        }
        heard.send_modify(|text| text.push_str(&part.text));
        tokio::time::sleep(pace).await;
    }
}

/// Calls `stata_run_file` as Claude Code does: the same tool use again and again, until it is answered.
pub async fn call(api: Api, history: History, name: String, arguments: Value, answered: watch::Sender<Option<Value>>) {
    let client = Arc::new(Mcp::new(&api, "claude-code", "2.1.0"));
    loop {
        let meta = json!({"claudecode/toolUseId": format!("toolu_{name}"), "progressToken": 1});
        let params = json!({"name": "stata_run_file", "arguments": arguments, "_meta": meta});
        let sent = tokio::time::timeout(SHORT, client.request("tools/call", params).send()).await;
        if let Ok(Ok(response)) = sent
            && response.status().is_success()
        {
            let mut events = Events::new(response);
            while let Ok(Some(event)) = tokio::time::timeout(SILENT, events.next()).await {
                let message: Value = serde_json::from_str(&event.data).unwrap_or_default();
                let text = message["result"]["content"][0]["text"].as_str().unwrap_or_default();
                // While an agent is away it is unknown whether its do-files have changed: then the client asks again.
                let not_yet =
                    ["The run goes on by itself", "nothing was joined"].iter().any(|words| text.contains(words));
                if message.get("result").is_some() {
                    history.answered();
                }
                if message.get("result").is_some() && !not_yet {
                    answered.send_replace(Some(message));
                    return history.note(format!("call {name} is answered"));
                }
                if message.get("error").is_some() {
                    history.note(format!("call {name} got an error: {}", message["error"]["message"]));
                    break;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The whole of a stream, page by page; `None` while the gateway does not answer.
pub async fn output(api: &Api, run: RunId, stream: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let path = format!("/api/v1/runs/{run}/output?stream={stream}&offset={}", bytes.len());
        let response = api.request(Method::GET, &path).timeout(wait::SOON).send().await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let page = response.bytes().await.ok()?;
        if page.is_empty() {
            return Some(bytes);
        }
        bytes.extend_from_slice(&page);
    }
}
