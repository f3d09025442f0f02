//! What is told of a wait that has no end in sight, or that the caller itself can end: why, and what to do.

use std::time::Duration;

use jiff::Timestamp;
use longhaul_proto::{api::RunView, state::RunState};

use super::{call::Asker, joined, words};
use crate::runs::Behind;

/// Whether nothing that goes on moves this run on.
pub(super) fn no_end(view: &RunView) -> bool {
    !view.state.is_end() && view.no_end_since.is_some()
}

/// For how long that has been so.
pub(super) fn no_end_for(view: &RunView, now_ms: i64) -> Option<Duration> {
    let since = view.no_end_since.as_deref().filter(|_| no_end(view))?.parse::<Timestamp>().ok()?;
    Some(Duration::from_millis(u64::try_from(now_ms - since.as_millisecond()).unwrap_or_default()))
}

/// The run of the caller's own that this one waits for, when it is one.
pub(super) fn behind(asker: &Asker, view: &RunView) -> Option<Behind> {
    asker.face.core.runs.behind_own(&asker.who, view)
}

/// Sentences for the model; `None` when the wait ends by itself and is nobody's business.
pub(super) fn advice(asker: &Asker, view: &RunView) -> Option<String> {
    if let Some(behind) = behind(asker, view) {
        return Some(behind_own(&behind, asker.now_ms()));
    }
    no_end(view).then(|| mend(view))
}

fn behind_own(behind: &Behind, now_ms: i64) -> String {
    let (own, short) = (&behind.run, behind.run.run_id.short());
    let nobody = if behind.forgotten { ", and no call waits for it" } else { "" };
    format!(
        "It waits behind your own run {short} ({}), {}{nobody}: stata_cancel(run: \"{short}\") ends that one and frees its \
         seat, stata_wait(runs: \"{short}\") has its result.",
        joined::source(own),
        words::head(own, now_ms),
    )
}

fn mend(view: &RunView) -> String {
    let short = view.run_id.short();
    let contact = view.contact.as_ref().map(|contact| contact.words.clone());
    if view.state == RunState::Queued {
        let reason = view.waiting.clone().unwrap_or_else(|| "no agent takes it".to_owned());
        return format!(
            "Nothing that goes on moves it on: {reason}. Tell the people who look after the hosts; stata_hosts shows them. It begins \
             by itself once that is mended, and stata_cancel(run: \"{short}\") withdraws it."
        );
    }
    let reason = contact.or_else(|| view.note.clone()).unwrap_or_else(|| "its agent does not look after it".to_owned());
    format!(
        "Its agent is needed: {reason}. The run goes on there as far as we know, and its result comes when the agent \
         returns; stata_log(run: \"{short}\", tail: 50) shows the output so far. If that host is gone for good, an operator \
         can say so with `longhaul declare-dead {short}`: then this run is lost, its output so far is kept, and its seat is \
         free."
    )
}

#[cfg(test)]
mod tests {
    use longhaul_proto::clock::rfc3339;
    use serde_json::json;

    use super::{
        super::words::tests::{NOW, view},
        *,
    };

    #[test]
    fn words_name_what_to_do() {
        let queued = view(json!({
            "state": "queued", "host": null, "no_end_since": rfc3339(NOW - 61_000),
            "waiting": "no agent is connected: start one with `longhaul agent --gateway http://g:1`"
        }));
        assert_eq!(no_end_for(&queued, NOW), Some(Duration::from_secs(61)));
        let text = mend(&queued);
        for words in ["no agent is connected: start one", "stata_hosts", "stata_cancel(run: \"7f3a9c21\")"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let contact = json!({"state": "silent", "since": 76.0, "words": "agent stata1 is silent for 1 min 16 s"});
        let silent = view(json!({"contact": contact, "no_end_since": rfc3339(NOW - 76_000)}));
        let text = mend(&silent);
        for words in ["agent stata1 is silent for 1 min 16 s", "`longhaul declare-dead 7f3a9c21`", "output so far"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let ended = view(json!({"state": "succeeded", "cause": "completed", "no_end_since": rfc3339(NOW)}));
        assert_eq!(no_end_for(&ended, NOW), None, "an end is an end");
        assert_eq!(no_end_for(&view(json!({})), NOW), None);
    }

    #[test]
    fn ones_own_run_is_named_with_both_ways() {
        let own = view(json!({"args": ["1"]}));
        let text = behind_own(&Behind { run: own, forgotten: true }, NOW);
        assert_eq!(
            text,
            "It waits behind your own run 7f3a9c21 (/home/me/a.do 1), running 4 min 10 s on stata1, and no call waits for it: \
             stata_cancel(run: \"7f3a9c21\") ends that one and frees its seat, stata_wait(runs: \"7f3a9c21\") has its result."
        );
    }
}
