//! `stata_wait`: waits for one or several runs, for a bounded time.

use std::{collections::BTreeSet, fmt::Write, sync::Arc, time::Duration};

use super::{
    call::{Call, Reply},
    fence,
    follow::{self, Followed, Until, Waited},
    output::ToolOutput,
    result,
    resumable::CallTarget,
    waiting, words,
};
use crate::{
    frontend::part::Part,
    model::{RunSnapshot, Stream},
};

/// Default time limit, seconds: below the 45 to 60 s after which clients give up.
const DEFAULT: u64 = 40;

/// Most runs in one call.
const MAX_RUNS: usize = 50;

/// New output shown of an unfinished run when the call gave no offset, bytes.
const GLIMPSE: usize = 2_000;

/// Room in an unfinished run's text for what stands around its output, bytes.
const FRAME: usize = 400 + fence::ROOM;

/// Between the texts of two runs.
const BETWEEN: &str = "\n\n----\n\n";

/// The tool.
pub(super) async fn wait(call: &Call) -> Reply {
    let names = call.args.texts("runs");
    if names.len() > MAX_RUNS {
        return Err(format!("stata_wait takes at most {MAX_RUNS} runs at once, not {}", names.len()));
    }
    let runs = &call.frontend.core.runs;
    let mut followed = Vec::new();
    for name in &names {
        let run = runs.find(&call.who, name).await.map_err(|e| e.to_string())?;
        if followed.iter().any(|f: &Followed| f.run == run) {
            continue;
        }
        let live = call.watched(run).await.map_err(|e| e.to_string())?;
        followed.push(Followed { run, live });
    }
    let limit =
        Duration::from_secs(call.args.whole("seconds").unwrap_or(DEFAULT)).min(call.frontend.options().max_wait);
    let limit = limit.saturating_sub(call.already());
    if let Some(asked) = CallTarget::wait(call.args.all()) {
        call.resumable(asked);
    }
    let until = if call.args.text("until").as_deref() == Some("any") { Until::Any } else { Until::All };
    let waited = follow::follow(call, &mut followed, until, Some(limit), None).await;

    let views: Vec<_> = followed.iter().map(Followed::view).collect();
    let is_error = views.iter().any(|view| result::is_error(view.state));
    let room = result::room(is_error, call.frontend.options().inline_limit);
    let share = room / views.len().max(1);
    let mut parts = Vec::new();
    for view in &views {
        let (full, short) = (view.run.to_string(), view.run.short());
        let asked: Vec<&str> = names.iter().map(String::as_str).filter(|n| full.ends_with(*n)).collect();
        let offset = call.args.offset("offset", &[&[full.as_str(), short.as_str()][..], &asked[..]].concat());
        parts.push(if view.runs_again {
            let text = result::of(call, view, offset, None, share.saturating_sub(FRAME)).await.text;
            format!("{text}\nIt goes on there, and its own record will count. stata_cancel(run: \"{short}\") ends it.")
        } else if view.state.is_end() {
            result::of(call, view, offset, None, share).await.text
        } else {
            unfinished(call, view, offset, share).await
        });
    }
    let mut text = parts.join(BETWEEN);
    if views.len() > 1 && text.len() > room {
        text = brief(&views, room, call.now_ms());
    }
    // Also where there was room for one line each: the answer tells how they ended.
    views.iter().for_each(|view| call.shows(view));
    if waited == Waited::Stopping {
        text.push_str("\n\nThe gateway is restarting; the runs go on. Call stata_wait again in a few seconds.");
    }
    let said = ToolOutput { is_error, ..ToolOutput::ok(text) };
    Ok(views.iter().fold(said, |said, view| said.about(view)))
}

/// One line for each of many runs whose texts have no room side by side: a client would cut out some of them. What was
/// cut out of a reason is said once below: its end says what to do.
fn brief(views: &[Arc<RunSnapshot>], room: usize, now_ms: i64) -> String {
    let share = (room / views.len().max(1)).min(words::MAX_MESSAGE);
    let mut text = String::new();
    let mut reasons = BTreeSet::new();
    for view in views {
        let line = if view.state.is_end() { result::line(view) } else { words::message(view, None, now_ms) };
        let whole = if view.state.is_end() { line.clone() } else { words::whole(view, None, now_ms) };
        let line = words::cut(&line, share);
        if line != whole {
            reasons.extend(view.waiting.as_ref().map(|wait| words::plain(&wait.words())));
        }
        let _ = writeln!(text, "{line}");
    }
    for reason in reasons {
        let _ = writeln!(text, "In full: {reason}.");
    }
    let n = views.len();
    let _ = write!(text, "There is no room for the output of {n} runs in one answer: stata_wait(runs: id) shows one.");
    if views.iter().any(|view| !view.state.is_end()) {
        text.push_str(" Those that go on can be waited for again.");
    }
    text
}

/// State and new output of a run that goes on.
async fn unfinished(call: &Call, view: &RunSnapshot, offset: Option<u64>, share: usize) -> String {
    let short = view.run.short();
    let mut text = words::whole(view, None, call.now_ms());
    let output = call.output(view, Stream::Log);
    let part = Part::user(view);
    let from = offset.unwrap_or_default();
    let half = share / 2;
    let budget = if offset.is_some() { half.max(share.saturating_sub(FRAME)) } else { GLIMPSE.min(half) };
    match result::excerpt(&output, &part, from, budget).await {
        Err(error) => {
            let _ = write!(text, "\n(output not shown: {error})");
        }
        Ok(_) if view.kept_in.is_some() => {
            let _ = write!(text, "\n({})", view.kept_in.as_deref().unwrap_or_default());
        }
        Ok(new) if new.text.trim().is_empty() && view.withheld().is_some() => {
            let _ = write!(text, "\n(no output: {})", view.withheld().unwrap_or_default());
        }
        Ok(new) if new.text.trim().is_empty() => {
            text.push_str(if offset.is_some() { "\n(no new output)" } else { "\n(no output yet)" });
        }
        Ok(new) => {
            let what = if offset.is_some() { "new output" } else { "latest output" };
            let fenced = fence::fenced(&call.frontend.core.deps.ids, &new.text);
            let _ = write!(text, "\n{what} (bytes {} to {}):\n{fenced}", new.from, new.end);
        }
    }
    if let Some(advice) = waiting::advice(call, view) {
        let _ = write!(text, "\n{advice}");
    }
    let next = from.max(part.end());
    let _ = write!(text, "\nIt goes on. Next: stata_wait(runs: \"{short}\", offset: {next}).");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::words::tests::{NOW, view},
        *,
    };

    #[test]
    fn many_runs_are_a_line_each() {
        let failed =
            json!({"state": "failed", "cause": "stata_error", "rc": 111, "duration": 3.2, "message": "x not found"});
        let views = [view(failed), view(json!({"state": "succeeded", "cause": "completed", "duration": 12.0}))];
        let check = |views: &[RunSnapshot], want: &str| {
            let views: Vec<_> = views.iter().cloned().map(Arc::new).collect();
            assert_eq!(brief(&views, 2_000, NOW), want);
        };
        check(
            &views,
            "failed: r(111) after 3.2 s on stata1 · a.do · run 7f3a9c21 · x not found\n\
             succeeded after 12 s on stata1 · a.do · run 7f3a9c21\n\
             There is no room for the output of 2 runs in one answer: stata_wait(runs: id) shows one.",
        );
        check(
            &[view(json!({}))],
            "running 4 min 10 s on stata1 · a.do · 7f3a9c21\n\
             There is no room for the output of 1 runs in one answer: stata_wait(runs: id) shows one. Those that go on can \
             be waited for again.",
        );
    }
    #[test]
    fn a_reason_that_was_cut_is_said_once_in_full() {
        let why = format!("waiting for a seat: {}; an operator says `longhaul declare-dead 385f5190`", "x".repeat(200));
        let queued = Arc::new(view(json!({"state": "queued", "host": null, "waiting": why})));
        let text = brief(&[queued.clone(), queued], 4_000, NOW);
        assert_eq!(text.matches("`longhaul declare-dead 385f5190`").count(), 1, "{text}");
    }
}
