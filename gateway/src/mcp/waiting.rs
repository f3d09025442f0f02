//! What an answer says of a wait that has no end in sight, or that the caller itself can end: why, and what to do.

use std::time::Duration;

use longhaul_proto::{faults, state::RunState};

use super::{call::Caller, joined, words};
use crate::{
    frontend::run_view::note,
    model::{ContactState, RunSnapshot},
    runs::Behind,
};

/// For how long this run has been waiting for something that nothing under way brings about.
pub(super) fn no_end_for(view: &RunSnapshot, now_ms: i64) -> Option<Duration> {
    view.no_end_since.filter(|_| view.has_no_end()).map(|since| since.ago(now_ms))
}

/// The run of the same caller that this one waits for, when there is one.
pub(super) fn behind(caller: &Caller, view: &RunSnapshot) -> Option<Behind> {
    let behind = caller.frontend.core.runs.behind_own(&caller.who, view)?;
    Some(Behind { run: caller.narrowed(behind.run), ..behind })
}

/// Sentences for the model; `None` when the wait ends by itself. They stand behind [`words::whole`], which gives the
/// reason.
pub(super) fn advice(caller: &Caller, view: &RunSnapshot) -> Option<String> {
    if let Some(behind) = behind(caller, view) {
        return Some(behind_own(&behind, caller.now_ms()));
    }
    view.has_no_end().then(|| mend(view))
}

fn behind_own(behind: &Behind, now_ms: i64) -> String {
    let own = &behind.run;
    let forgotten = if behind.forgotten { ", and no call waits for it" } else { "" };
    format!(
        "It waits behind your own run {} ({}), {}{forgotten}: {}",
        own.run.short(),
        joined::source(own),
        words::head(own, now_ms),
        frees(own)
    )
}

/// What frees the seat that this run holds: every advice given here frees it.
fn frees(own: &RunSnapshot) -> String {
    let short = own.run.short();
    let told = own.cancel.as_ref().is_some_and(|wish| wish.delivered);
    let wish = match &own.cancel {
        _ if told => String::new(),
        None => format!(" stata_cancel(run: \"{short}\") is only recorded until then, and frees nothing now."),
        Some(_) => " That it is to end is recorded, and carried out when its agent is reached.".to_owned(),
    };
    match unattended(own) {
        Some(Unattended::Unreached(words)) => {
            format!(
                "{words}. Its seat comes free when the gateway reaches the agent again and the run has ended.{wish}"
            )
        }
        Some(Unattended::Gone(words)) => format!(
            "{words}. Its seat comes free when that agent looks after it again and the run has ended; or, if that will never \
             be, when an operator says so with `longhaul declare-dead {short}`.{wish}"
        ),
        None if own.cancel.is_some() => format!(
            "its end is asked for already, and its seat comes free with that: stata_wait(runs: \"{short}\") says when; \
             stata_cancel(run: \"{short}\", mode: \"kill\") hurries it."
        ),
        None => format!(
            "stata_cancel(run: \"{short}\") ends that one and frees its seat, stata_wait(runs: \"{short}\") has its result."
        ),
    }
}

/// Why a run that holds a seat cannot be ended through its agent now, in words.
enum Unattended {
    /// The agent's heartbeats arrive, so the run may well be alive; the gateway cannot call the agent.
    Unreached(String),
    /// The agent is silent, or it is connected without the run.
    Gone(String),
}

fn unattended(run: &RunSnapshot) -> Option<Unattended> {
    if faults::bug("cancel_frees_all") {
        return None;
    }
    match &run.contact {
        // The agent has had no time yet to return.
        Some(contact) if contact.state == ContactState::Awaited => None,
        Some(contact) if contact.state == ContactState::Unreachable => {
            Some(Unattended::Unreached(contact.words.clone()))
        }
        Some(contact) => Some(Unattended::Gone(contact.words.clone())),
        None if run.state == RunState::Lost && !run.runs_again => {
            let host = run.host.as_deref().unwrap_or("its host");
            Some(Unattended::Gone(format!("the agent on {host} brought it back and is not heard again")))
        }
        None => run.has_no_end().then(|| Unattended::Gone(note(run).unwrap_or_else(|| NOT_LOOKED_AFTER.to_owned()))),
    }
}

const NOT_LOOKED_AFTER: &str = "its agent does not look after it";

fn mend(view: &RunSnapshot) -> String {
    let short = view.run.short();
    if view.state == RunState::Queued {
        return format!(
            "It does not start by waiting alone. Tell the people who look after the hosts; stata_hosts shows them. It starts by \
             itself once that is mended, and stata_cancel(run: \"{short}\") withdraws it."
        );
    }
    let contact = view.contact.as_ref().map(|contact| contact.words.clone());
    let reason = contact.or_else(|| note(view)).unwrap_or_else(|| NOT_LOOKED_AFTER.to_owned());
    let gone = match unattended(view) {
        Some(Unattended::Gone(_)) => format!(
            " If that host is gone for good, an operator can say so with `longhaul declare-dead {short}`: then this run is \
             lost, its output so far is kept, and its seat is free."
        ),
        _ => String::new(),
    };
    format!(
        "Its agent is needed: {reason}. The run goes on there as far as we know, and its result comes when the agent \
         returns; stata_log(run: \"{short}\", tail: 50) shows the output so far.{gone}"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        for words in ["It does not start by waiting alone", "stata_hosts", "stata_cancel(run: \"7f3a9c21\")"] {
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
        let text = behind_own(&Behind { run: Arc::new(own), forgotten: true }, NOW);
        assert_eq!(
            text,
            "It waits behind your own run 7f3a9c21 (/home/me/a.do 1), running 4 min 10 s on stata1, and no call waits for it: \
             stata_cancel(run: \"7f3a9c21\") ends that one and frees its seat, stata_wait(runs: \"7f3a9c21\") has its result."
        );
    }

    #[test]
    fn what_is_advised_frees_the_seat() {
        let contact =
            |state: &str| json!({"state": state, "since": 76.0, "words": "agent stata1 is not there for 1 min 16 s"});
        let wish = |told: bool| json!({"by": "me", "at": "", "told": told});
        let dead = "`longhaul declare-dead 7f3a9c21`";
        let cancel = "stata_cancel(run: \"7f3a9c21\") ends that one";
        let check = |fields: serde_json::Value, has: &[&str], has_not: &[&str]| {
            let text = frees(&view(fields));
            for words in has {
                assert!(text.contains(words), "{words}: {text}");
            }
            for words in has_not {
                assert!(!text.contains(words), "not {words}: {text}");
            }
        };
        check(json!({}), &[cancel], &[dead]);
        check(json!({"contact": contact("awaited")}), &[cancel], &[dead]);
        check(json!({"contact": contact("silent")}), &[dead, "is only recorded until then"], &[cancel]);
        check(
            json!({"contact": contact("silent"), "cancel_requested": wish(false)}),
            &[dead, "to end is recorded, and carried out when"],
            &["stata_cancel"],
        );
        check(json!({"contact": contact("unreachable")}), &["reaches the agent again"], &[dead, cancel]);
        check(json!({"no_end_since": rfc3339(NOW), "note": "agent stata1 does not know this run"}), &[dead], &[cancel]);
        check(json!({"cancel_requested": wish(true)}), &["mode: \"kill\"", "asked for already"], &[dead, cancel]);
        let lost = |again: bool| json!({"state": "lost", "cause": "declared_dead", "runs_again": again});
        check(lost(true), &[cancel], &[dead]);
        check(lost(false), &[dead], &[cancel]);
    }
}
