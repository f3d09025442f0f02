//! `stata_wait`: one or several runs, a bounded time.

use std::{fmt::Write, time::Duration};

use longhaul_proto::api::RunView;

use super::{
    call::{Call, Reply, Said},
    follow::{self, Followed, Until, Waited},
    result, run,
    tickets::Asked,
    words,
};
use crate::{
    http::reading::{Output, user_part},
    runs::Stream,
};

/// How long it waits when nobody says, seconds: below the 45 to 60 s after which clients give up.
const DEFAULT: u64 = 40;

/// Runs in one call.
const MAX_RUNS: usize = 50;

/// New output shown of an unfinished run when nobody gave an offset, bytes.
const GLIMPSE: usize = 2_000;

/// Least room for one run's text, bytes.
const LEAST: usize = 600;

/// The tool.
pub(super) async fn wait(call: &Call) -> Reply {
    let names = call.args.texts("runs");
    if names.len() > MAX_RUNS {
        return Err(format!("stata_wait takes at most {MAX_RUNS} runs at once, not {}", names.len()));
    }
    let runs = &call.face.core.runs;
    let mut followed = Vec::new();
    for name in &names {
        let run = runs.find(&call.who, name).await.map_err(|e| e.to_string())?;
        if followed.iter().any(|f: &Followed| f.run == run) {
            continue;
        }
        let live = runs.watch(&call.who, run).await.map_err(|e| e.to_string())?;
        followed.push(Followed { run, live });
    }
    let limit = Duration::from_secs(call.args.whole("seconds").unwrap_or(DEFAULT)).min(call.face.options().max_wait);
    let limit = limit.saturating_sub(call.already());
    if let Some(asked) = Asked::wait(call.args.all()) {
        call.resumable(asked);
    }
    let until = if call.args.text("until").as_deref() == Some("any") { Until::Any } else { Until::All };
    let waited = follow::follow(call, &mut followed, until, Some(limit)).await;

    let share = (call.face.options().inline_limit / followed.len().max(1)).max(LEAST);
    let mut parts = Vec::new();
    let mut is_error = false;
    for one in &followed {
        let view = one.view();
        let (full, short) = (view.run_id.to_string(), view.run_id.short());
        let asked: Vec<&str> = names.iter().map(String::as_str).filter(|n| full.ends_with(*n)).collect();
        let offset = call.args.offset("offset", &[&[full.as_str(), short.as_str()][..], &asked[..]].concat());
        if view.state.is_end() {
            run::deliver(call, &view);
            let said = result::of(call, &view, offset, None, share).await;
            is_error |= said.is_error;
            parts.push(said.text);
        } else {
            parts.push(unfinished(call, &view, offset, share).await);
        }
    }
    let mut text = parts.join("\n\n----\n\n");
    if waited == Waited::Stopping {
        text.push_str("\n\nThe gateway is restarting; the runs go on. Call stata_wait again in a few seconds.");
    }
    Ok(Said { is_error, ..Said::ok(text) })
}

/// State and new output of a run that goes on.
async fn unfinished(call: &Call, view: &RunView, offset: Option<u64>, share: usize) -> String {
    let short = view.run_id.short();
    let mut text = words::message(view, None, call.now_ms());
    let output =
        Output { runs: call.face.core.runs.clone(), who: call.who.clone(), run: view.run_id, stream: Stream::Log };
    let (start, end) = user_part(view);
    let from = offset.unwrap_or(start).max(start).min(end);
    let budget = if offset.is_some() { share.saturating_sub(LEAST / 2) } else { GLIMPSE.min(share / 2) };
    match result::excerpt(&output, from, end, budget).await {
        Err(error) => {
            let _ = write!(text, "\n(output not shown: {error})");
        }
        Ok(new) if new.text.trim().is_empty() => {
            text.push_str(if offset.is_some() { "\n(no new output)" } else { "\n(no output yet)" });
        }
        Ok(new) => {
            let what = if offset.is_some() { "new output" } else { "latest output" };
            let _ = write!(text, "\n{what} (bytes {} to {}):\n{}", new.from, new.end, new.text.trim_end());
        }
    }
    let _ = write!(text, "\nIt goes on. Next: stata_wait(runs: \"{short}\", offset: {end}).");
    text
}
