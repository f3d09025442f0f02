//! Two results for one attempt: the recorded one is never changed by the second, and the second is noted.

use longhaul_proto::{
    faults,
    state::{Cause, RunState},
    wire,
};

use crate::model::{AttemptRecord, Record};

/// The parts of a result in which two honest reports of it cannot differ.
struct RecordedEnd<'a> {
    agent_id: &'a str,
    host: &'a str,
    /// `None` = the attempt is unfinished.
    state: Option<RunState>,
    log_sha256: &'a str,
    console_sha256: &'a str,
}

/// The words for another result in an agent's summary of a run: by another agent than the one whose result is recorded,
/// or with another verdict or other output. `None` = the summary agrees with the record.
pub(super) fn second(record: &Record, info: &wire::AgentInfo, summary: &wire::RunSummary) -> Option<String> {
    let outcome = summary.outcome.as_ref().filter(|_| !summary.revoked && !faults::bug("second_result_swallowed"))?;
    let earlier = record.detail.dead().find(|dead| dead.number.number() == summary.attempt).map(dead);
    let first = match earlier {
        Some(first) => first,
        None if record.attempt_number() == summary.attempt => present(record),
        None => return None,
    };
    let other_agent = !first.agent_id.is_empty() && first.agent_id != info.agent_id;
    let state = RunState::from_wire(outcome.state);
    let differs = first.state.is_some()
        && ((state.is_some() && first.state != state)
            || first.log_sha256 != outcome.log_sha256
            || first.console_sha256 != outcome.console_sha256);
    // A lost run may be corrected by its own agent: that is the first result, not a second.
    let corrects = record.state == RunState::Lost && !other_agent;
    if corrects || !(other_agent || differs) {
        return None;
    }
    let state = state.map_or_else(|| outcome.state.to_string(), |state| state.to_string());
    let cause = Cause::from_wire(outcome.cause).map_or_else(String::new, |cause| format!(", {cause}"));
    let rc = outcome.rc.map(|rc| format!(", r({rc})")).unwrap_or_default();
    let stands = match first.state {
        None => format!("it is followed at agent {}", first.host),
        Some(state) => format!("what stands here ({state}) was told by agent {}", first.host),
    };
    Some(format!(
        "agent {} tells another result of attempt {}: {state}{cause}{rc}, {} bytes of log with SHA-256 {}; {stands}",
        info.name,
        summary.attempt,
        outcome.log_len,
        outcome.log_sha256.get(..12).unwrap_or("not told"),
    ))
}

fn present(record: &Record) -> RecordedEnd<'_> {
    let present = record.detail.present();
    let ended = record.state.is_end() && record.state != RunState::Lost;
    RecordedEnd {
        agent_id: record.agent_id(),
        host: record.host(),
        state: ended.then_some(record.state),
        log_sha256: present.map_or("", |attempt| &attempt.log_sha256),
        console_sha256: present.map_or("", |attempt| &attempt.console_sha256),
    }
}

fn dead(attempt: &AttemptRecord) -> RecordedEnd<'_> {
    RecordedEnd {
        agent_id: &attempt.at.agent_id,
        host: &attempt.at.host,
        state: Some(RunState::Errored),
        log_sha256: &attempt.log_sha256,
        console_sha256: &attempt.console_sha256,
    }
}
