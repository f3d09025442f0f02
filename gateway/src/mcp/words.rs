//! A run in one line.

use std::{fmt::Write, time::Duration};

pub(super) use longhaul_proto::words::{cut, whole_duration as duration};
use longhaul_proto::{api::LocationView, faults, state::RunState, visible};

use crate::{frontend::run_view::seconds, model::RunSnapshot};

/// Longest progress message, characters.
pub(super) const MAX_MESSAGE: usize = 200;

/// Longest reason in an answer, characters: far above any of ours, and a bound on what agents add to them.
const MAX_REASON: usize = 2_000;

/// How long something took: tenths of seconds while they matter, then whole ones, as the command line says it.
pub(super) fn took(time: Duration) -> String {
    let seconds = seconds(time);
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    duration(Duration::from_secs(seconds.round() as u64))
}

/// `running 4 min 10 s on stata1`, `queued 30 s`, `succeeded after 3.0 s on stata1`.
pub(super) fn head(view: &RunSnapshot, now_ms: i64) -> String {
    let mut text = if view.cancel.is_some() && !view.state.is_end() {
        format!("cancelling, {}", view.state)
    } else {
        view.state.as_str().replace('_', " ")
    };
    if let Some(since) = view.since() {
        let _ = write!(text, " {}", duration(since.ago(now_ms)));
    }
    if let Some(took) = view.duration.filter(|_| view.state.is_end()).map(took) {
        let _ = write!(text, " after {took}");
    }
    if view.runs_again {
        text.push_str(", but running again");
    }
    if let Some(host) = view.host.as_deref().filter(|h| !h.is_empty() && view.state != RunState::Queued) {
        let _ = write!(text, " on {host}");
    }
    text
}

/// The do-file's name with its arguments: `fit.do 2024 "two words"`.
pub(super) fn named(view: &RunSnapshot) -> String {
    longhaul_proto::words::named(&view.source, view.file_name.as_deref(), view.name.as_deref(), &view.args)
}

/// A log that is quiet for so long is worth mentioning; shorter pauses are how Stata prints.
const QUIET: Duration = Duration::from_secs(30);
/// Share of a processor below which a process is idle.
const IDLE: f64 = 0.05;

/// `quiet for 3 min 5 s, Stata uses 1.0 CPU`, once the log has been quiet for long enough.
fn quiet(view: &RunSnapshot) -> Option<String> {
    let activity = view.activity.filter(|a| a.quiet >= QUIET)?;
    let long = duration(activity.quiet);
    Some(match activity.cpus.filter(|cpus| cpus.is_finite()) {
        Some(cpus) if cpus < IDLE => format!("quiet for {long} and idle: Stata waits for something"),
        Some(cpus) => format!("quiet for {long} and computing: Stata uses {cpus:.1} CPU"),
        None => format!("quiet for {long}"),
    })
}

/// What there is to say about an unfinished run beside its head.
enum Middle {
    /// Why it waits, or what is wrong between the gateway and its agent: such a reason ends with what to do.
    Reason(String),
    /// What it is doing.
    Doing(String),
}

/// What is wrong between the gateway and its agent first, then why it waits, then its quiet and its progress, or the
/// last line of its log.
fn middle(view: &RunSnapshot, last_line: Option<&str>, now_ms: i64) -> Option<Middle> {
    let waiting = || view.waiting.as_ref().map(|wait| wait.words().into_owned());
    if let Some(contact) = &view.contact {
        return Some(Middle::Reason(match view.state {
            RunState::Running => format!("{}; the run goes on there as far as we know", contact.words),
            _ => waiting().unwrap_or_else(|| contact.words.clone()),
        }));
    }
    if let Some(silent) = view.silent_for {
        let host = view.host.as_deref().unwrap_or_default();
        let silent = duration(silent);
        return Some(Middle::Reason(match view.state {
            RunState::Running => format!("agent {host} silent for {silent}; the run goes on there as far as we know"),
            _ => format!("agent {host} silent for {silent}; waiting for it to return"),
        }));
    }
    let progress = || view.progress.as_ref().map(|p| p.text.clone()).filter(|t| !t.trim().is_empty());
    let line = || last_line.map(str::to_owned);
    match view.state {
        RunState::Queued | RunState::Starting => waiting().map(Middle::Reason),
        _ => {
            let parts = [view.time_left(now_ms), quiet(view), progress().or_else(line)];
            let said: Vec<String> = parts.into_iter().flatten().collect();
            (!said.is_empty()).then(|| Middle::Doing(said.join(" · ")))
        }
    }
}

/// The progress message: `running 4 min 10 s on stata1 · fit.do · Iteration 12: … · 7f3a9c21`, at most [`MAX_MESSAGE`]
/// characters. What does not fit is cut from the middle part.
pub(super) fn message(view: &RunSnapshot, last_line: Option<&str>, now_ms: i64) -> String {
    line(view, last_line, now_ms, MAX_MESSAGE)
}

/// Likewise for an answer, where a reason stands whole: its end says what to do.
pub(super) fn whole(view: &RunSnapshot, last_line: Option<&str>, now_ms: i64) -> String {
    line(view, last_line, now_ms, if faults::bug("reasons_are_cut") { MAX_MESSAGE } else { MAX_REASON })
}

fn line(view: &RunSnapshot, last_line: Option<&str>, now_ms: i64, reason: usize) -> String {
    let head = format!("{} · {}", head(view, now_ms), named(view));
    let tail = view.run.short();
    let (middle, max) = match middle(view, last_line, now_ms) {
        Some(Middle::Reason(text)) => (plain(&text), reason),
        Some(Middle::Doing(text)) => (plain(&text), MAX_MESSAGE),
        None => (String::new(), MAX_MESSAGE),
    };
    if middle.is_empty() {
        return format!("{head} · {tail}");
    }
    let taken = head.chars().count() + tail.chars().count() + 6;
    format!("{head} · {} · {tail}", cut(&middle, max.saturating_sub(taken)))
}

/// Where a run failed: `/p/sub.do:12 (called from /p/main.do:3)`, innermost caller first. An unknown line number is
/// left out.
pub(super) fn place(at: &LocationView) -> String {
    let mut place = at.file.clone();
    if at.line > 0 {
        let _ = write!(place, ":{}", at.line);
    }
    if !at.callers.is_empty() && !place.is_empty() {
        let callers: Vec<&str> = at.callers.iter().rev().map(String::as_str).collect();
        let _ = write!(place, " (called from {})", callers.join(", "));
    }
    place
}

/// Suppressed errors that are named in an answer.
const SUPPRESSED: usize = 5;

/// What is told of a run's error besides its message: its kind, where the state's own word does not say it, what to do
/// next, and the errors before it that ended nothing.
pub(super) fn error(view: &RunSnapshot) -> Vec<(&'static str, String)> {
    let Some(error) = &view.error else { return Vec::new() };
    let said = error.kind.as_str() == view.state.as_str();
    let kind = if said { String::new() } else { error.kind_words() };
    let suppressed = error.suppressed_words(SUPPRESSED).unwrap_or_default();
    vec![("kind", kind), ("next", error.advice.clone()), ("errors before it that ended nothing", suppressed)]
}

/// One line without double blanks, and with every hidden character written out.
pub(super) fn plain(text: &str) -> String {
    visible::line(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use longhaul_proto::{
        api::{CancelRequested, ProgressView},
        clock::rfc3339,
    };

    use super::*;

    pub(in crate::mcp) const NOW: i64 = 1_790_000_000_000;

    /// A run with these fields of the API's object.
    pub(in crate::mcp) fn view(fields: serde_json::Value) -> RunSnapshot {
        let mut whole = serde_json::json!({
            "run_id": "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "state": "running", "cause": "first_output", "rc": null,
            "message": null, "host": "stata1", "attempt": 1, "created_at": rfc3339(NOW - 260_000),
            "started_at": rfc3339(NOW - 250_000), "finished_at": null, "output_bytes": 0, "trace_id": null,
            "principal": "me", "source": "/home/me/a.do"
        });
        for (name, value) in fields.as_object().unwrap() {
            whole[name] = value.clone();
        }
        crate::frontend::run_view::tests::read(whole)
    }

    #[test]
    fn times_taken() {
        let check = |ms: u64, want: &str| assert_eq!(took(Duration::from_millis(ms)), want, "{ms}");
        check(40, "0.0 s");
        check(2_960, "3.0 s");
        check(11_980, "12 s");
        check(662_900, "11 min 3 s");
    }

    #[test]
    fn messages() {
        let check = |fields: serde_json::Value, line: Option<&str>, want: &str| {
            assert_eq!(message(&view(fields), line, NOW), want);
        };
        let progress = ProgressView { percent: None, text: "Iteration 12: log likelihood = -43305.0".into() };
        check(
            serde_json::json!({ "progress": progress }),
            Some(". more"),
            "running 4 min 10 s on stata1 · a.do · Iteration 12: log likelihood = -43305.0 · 7f3a9c21",
        );
        check(
            serde_json::json!({}),
            Some(". sleep\t 720000\r"),
            "running 4 min 10 s on stata1 · a.do · . sleep 720000 · 7f3a9c21",
        );
        check(serde_json::json!({}), None, "running 4 min 10 s on stata1 · a.do · 7f3a9c21");
        check(
            serde_json::json!({"agent_silent_for": 12.4, "progress": progress}),
            None,
            "running 4 min 10 s on stata1 · a.do · agent stata1 silent for 12 s; the run goes on there as far as we know · 7f3a9c21",
        );
        let activity =
            |quiet_for: f64, cpus: Option<f64>| serde_json::json!({"activity": {"quiet_for": quiet_for, "cpus": cpus}});
        check(
            activity(185.0, Some(0.98)),
            Some("note: x"),
            "running 4 min 10 s on stata1 · a.do · quiet for 3 min 5 s and computing: Stata uses 1.0 CPU · note: x · 7f3a9c21",
        );
        check(
            activity(185.0, Some(0.01)),
            None,
            "running 4 min 10 s on stata1 · a.do · quiet for 3 min 5 s and idle: Stata waits for something · 7f3a9c21",
        );
        check(activity(40.0, None), None, "running 4 min 10 s on stata1 · a.do · quiet for 40 s · 7f3a9c21");
        check(activity(12.0, Some(0.0)), None, "running 4 min 10 s on stata1 · a.do · 7f3a9c21");
        let contact = |words: &str| serde_json::json!({"contact": {"state": "awaited", "since": 3.0, "words": words}});
        check(
            contact("the gateway restarted 3 s ago and waits for agent stata1 to return"),
            None,
            "running 4 min 10 s on stata1 · a.do · the gateway restarted 3 s ago and waits for agent stata1 to return; the run goes on there as far as we know · 7f3a9c21",
        );
        check(
            serde_json::json!({"state": "queued", "host": null, "waiting": "no free seat in pool lab (1 of 1 in use)"}),
            None,
            "queued 4 min 20 s · a.do · no free seat in pool lab (1 of 1 in use) · 7f3a9c21",
        );
        let cancel = CancelRequested { by: "me".into(), at: String::new(), delivered: true };
        check(
            serde_json::json!({ "cancel_requested": cancel }),
            None,
            "cancelling, running 4 min 10 s on stata1 · a.do · 7f3a9c21",
        );
    }

    #[test]
    fn a_reason_stands_whole_in_an_answer() {
        let reason =
            format!("waiting for a seat of pool lab: 1 of 1 in use by {}; do this", "run 7f3a9c21, ".repeat(20));
        let queued = view(serde_json::json!({"state": "queued", "host": null, "waiting": reason}));
        assert!(whole(&queued, None, NOW).contains("; do this · 7f3a9c21"));
        let long = "é".repeat(1000);
        assert_eq!(
            whole(&view(serde_json::json!({})), Some(&long), NOW).chars().count(),
            MAX_MESSAGE,
            "what it prints"
        );
        assert!(message(&queued, None, NOW).chars().count() <= MAX_MESSAGE, "progress");
    }

    #[test]
    fn messages_are_short() {
        let long = "é".repeat(1000);
        let text = message(&view(serde_json::json!({})), Some(&long), NOW);
        assert_eq!(text.chars().count(), MAX_MESSAGE);
        assert!(text.ends_with("…  · 7f3a9c21".replace("  ", " ").as_str()), "{text}");
    }
}
