//! What is told: metadata of a run and nothing else. There is no code, path, output or data in it.

use std::time::Duration;

use longhaul_proto::{
    ids::RunId,
    state::{Cause, RunState},
};
use serde::{Deserialize, Serialize};

/// The type of a message about the end of a run.
pub const RUN_ENDED: &str = "run.ended";
/// The type of one that a person asked for, to see whether it comes.
pub const TEST: &str = "test";

/// A message, as a webhook has it in its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// [`RUN_ENDED`] or [`TEST`].
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, RFC 3339.
    pub timestamp: String,
    /// What.
    pub data: About,
}

/// What a message tells. Of a test only whose it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Whose run it is.
    pub principal: String,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// What its submitter called it, where the rule of its host lets that leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// Likewise, in a word of OpenTelemetry's `cicd.pipeline.result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Stata's return code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rc: Option<i64>,
    /// Who asked for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    /// When it was recorded, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Its first output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How long it ran, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// How often it was given to an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The pool whose seat it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Where people read that, if the gateway was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_url: Option<String>,
}

/// Subject and text of mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
}

impl Message {
    /// What is in the outbox, or is posted.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What mail says.
    pub fn letter(&self) -> Letter {
        let about = &self.data;
        let (Some(run), Some(state)) = (about.run_id, about.state) else {
            return Letter {
                subject: "Longhaul: a test".to_owned(),
                text: format!(
                    "{} asked Longhaul at {} to send this. Ends of runs are told to this address in the same way.\n",
                    about.principal, self.timestamp
                ),
            };
        };
        let short = run.short();
        let called = about.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        let subject = format!("Longhaul: {called}{} ({short})", in_words(state));
        let mut lines = vec![format!("Run {short} {}.", happened(about, state)), String::new()];
        let mut line = |label: &str, value: Option<String>| {
            if let Some(value) = value {
                lines.push(format!("{label:<10}{value}"));
            }
        };
        line("Name", about.name.clone());
        line("Run", Some(run.to_string()));
        line("State", Some(state.to_string()));
        line("Cause", about.cause.map(|cause| cause.to_string()).filter(|cause| *cause != state.to_string()));
        line("Code", about.rc.filter(|rc| *rc != 0).map(|rc| format!("r({rc})")));
        line("Host", about.host.clone());
        line("Pool", about.pool.clone().filter(|pool| Some(pool) != about.host.as_ref()));
        line("Attempts", about.attempts.filter(|attempts| *attempts > 1).map(|attempts| attempts.to_string()));
        line("Submitted", about.created_at.clone());
        line("Started", about.started_at.clone());
        line("Ended", about.finished_at.clone());
        line("Trace", about.trace_url.clone().or_else(|| about.trace_id.clone()));
        lines.push(String::new());
        lines.push(format!("More in a terminal:  longhaul show {short}"));
        lines.push(format!("What it printed:     longhaul log {short}"));
        lines.push(String::new());
        Letter { subject, text: lines.join("\n") }
    }
}

/// A state as a sentence has it.
fn in_words(state: RunState) -> String {
    match state {
        RunState::TimedOut => "timed out".to_owned(),
        RunState::Lost => "is lost".to_owned(),
        state => state.to_string(),
    }
}

/// What happened, without the run.
fn happened(about: &About, state: RunState) -> String {
    let took = about.duration.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let took = took.map(|seconds| format!(" after {}", humantime(seconds))).unwrap_or_default();
    let host = about.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let by = about.cancelled_by.as_ref().map(|who| format!(" for {who}")).unwrap_or_default();
    match state {
        RunState::Failed => match about.rc {
            Some(rc) => format!("failed with r({rc}){took}{host}"),
            None => format!("failed{took}{host}"),
        },
        RunState::Errored => format!("could not be completed by Longhaul{took}{host}"),
        RunState::Cancelled => format!("was cancelled{by}{took}{host}"),
        RunState::Lost => format!("is lost: its host has not been heard{host}; if it returns, its end is told anew"),
        state => format!("{}{took}{host}", in_words(state)),
    }
}

/// Seconds below ten with their tenths; beyond an hour without seconds.
fn humantime(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = Duration::from_secs_f64(seconds.min(1e9)).as_secs();
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes} min {rest} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(state: RunState, cause: Cause) -> Message {
        let data = About {
            principal: "ann".to_owned(),
            run_id: Some("0198c0de-0000-7000-8000-00007f3a9c21".parse().unwrap()),
            name: Some("nightly".to_owned()),
            state: Some(state),
            cause: Some(cause),
            rc: Some(111),
            host: Some("stata1".to_owned()),
            pool: Some("lab".to_owned()),
            attempts: Some(2),
            duration: Some(662.9),
            finished_at: Some("2026-11-29T02:00:00Z".to_owned()),
            ..About::default()
        };
        Message { kind: RUN_ENDED.to_owned(), timestamp: "2026-11-29T02:00:00Z".to_owned(), data }
    }

    #[test]
    fn a_letter_says_what_happened_and_how_to_look() {
        let letter = ended(RunState::Failed, Cause::StataError).letter();
        assert_eq!(letter.subject, "Longhaul: nightly failed (7f3a9c21)");
        assert_eq!(
            letter.text,
            "Run 7f3a9c21 failed with r(111) after 11 min 2 s on stata1.\n\n\
             Name      nightly\n\
             Run       0198c0de-0000-7000-8000-00007f3a9c21\n\
             State     failed\n\
             Cause     stata_error\n\
             Code      r(111)\n\
             Host      stata1\n\
             Pool      lab\n\
             Attempts  2\n\
             Ended     2026-11-29T02:00:00Z\n\n\
             More in a terminal:  longhaul show 7f3a9c21\n\
             What it printed:     longhaul log 7f3a9c21\n"
        );
    }

    #[test]
    fn what_is_told_comes_back_as_it_was() {
        let message = ended(RunState::Succeeded, Cause::Completed);
        assert_eq!(serde_json::from_str::<Message>(&message.json()).unwrap(), message);
        assert!(message.json().starts_with(r#"{"type":"run.ended","timestamp":"2026-11-29T02:00:00Z","data":{"#));
    }

    #[test]
    fn times_in_words() {
        let all = [0.04, 9.96, 12.0, 75.0, 3600.0, 90_061.0].map(humantime);
        assert_eq!(all, ["0.0 s", "10.0 s", "12 s", "1 min 15 s", "1 h 0 min", "25 h 1 min"]);
    }
}
