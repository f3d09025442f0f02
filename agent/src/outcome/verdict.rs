//! How a run ended: the supervisor's facts and Stata's log, weighed in one order.
//!
//! 1. The sentinel shows that the user's code came to its end. Only one fact outweighs it: a log whose end leaves the
//!    user's do-file by an error, with nothing of the wrapper after it. Then the wrapper did not make the sentinel.
//! 2. The run was being ended: that cause, whatever the log shows of the break.
//! 3. A signal that Longhaul did not send, or the host's restart: the log's last line then proves nothing, since `end
//! of do-file` also ends nested do-files.
//! 4. Stata's verdict at the log's end.
//! 5. Otherwise: no licence, no start, a full disk, or an end without a message.

use longhaul_proto::state::{Cause, RunState};

use super::over_limit;
use crate::{
    spool::{Ending, Exit},
    stata::{
        judge::{Judgement, LogEnd},
        licence::LicenceFailure,
    },
};

/// All that is known about an end.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// The supervisor's facts.
    pub exit: &'a Exit,
    /// Why it was being ended, if it was.
    pub ending: Option<&'a Ending>,
    /// The wrapper's last line was reached.
    pub completed: bool,
    /// There is a sentinel, but the log's end shows that the wrapper's last line cannot have been reached.
    pub contradicted: bool,
    /// The judgement of the log.
    pub judgement: &'a Judgement,
    /// A licence failure found in the console.
    pub licence: Option<LicenceFailure>,
    /// The last lines of the console, for people.
    pub console: String,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The end.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or Longhaul's.
    pub message: String,
    /// What else a person should know.
    pub note: Option<String>,
}

impl Verdict {
    fn new(state: RunState, cause: Cause, message: impl Into<String>) -> Self {
        Self { state, cause, rc: None, message: message.into(), note: None }
    }

    fn errored(cause: Cause, message: impl Into<String>) -> Self {
        Self::new(RunState::Errored, cause, message)
    }

    fn noting(mut self, note: impl Into<String>) -> Self {
        let note = note.into();
        self.note = Some(match self.note.take() {
            Some(first) => format!("{first}; {note}"),
            None => note,
        });
        self
    }

    /// A verdict stands even when the disk was full, but its log may be incomplete.
    fn noting_full(self, exit: &Exit) -> Self {
        let full =
            "the file system of the spool was full: the log may lack what was printed then; make room on the host";
        if exit.disk_full { self.noting(full) } else { self }
    }
}

/// Weighs the evidence.
pub(crate) fn weigh(evidence: &Evidence<'_>) -> Verdict {
    let verdict = weighed(evidence);
    if !evidence.contradicted {
        return verdict;
    }
    let code = evidence.judgement.rc.map_or_else(String::new, |rc| format!(" in r({rc});"));
    verdict.noting(format!(
        "the run's sentinel was there, the sign of a do-file that came to its end, but the log ends{code} and nothing \
         comes after: the log was believed"
    ))
}

fn weighed(evidence: &Evidence<'_>) -> Verdict {
    let Evidence { exit, judgement, .. } = evidence;
    let asked = evidence.ending.or(exit.ending.as_ref());
    if let (None, Some(words)) = (asked, over_limit::refused_processes(exit)) {
        return Verdict::errored(Cause::OverLimit, words);
    }
    if evidence.completed {
        return Verdict::new(RunState::Succeeded, Cause::Completed, "").noting_full(exit);
    }
    if let (Some(licence), true) = (&evidence.licence, exit.log.len == 0) {
        let doubt = if licence.confirmed { "" } else { " (these words are not known to be Stata's own)" };
        let text = format!("Stata refused to start: {}; {}", licence.text, licence.trouble.advice());
        return Verdict::errored(Cause::Licence, text + doubt);
    }
    if let Some(ending) = asked {
        return ended(ending, evidence);
    }
    if let Some(why) = &exit.unreadable {
        return unreadable(why, judgement);
    }
    if let Some(error) = &exit.spawn_error {
        return Verdict::errored(exit.spawn_cause.unwrap_or(Cause::SpawnFailed), error.clone());
    }
    if !exit.spawned {
        return Verdict::errored(Cause::SpawnFailed, "the supervisor could not be started; nothing was run");
    }
    if exit.rebooted {
        return Verdict::errored(
            Cause::HostRebooted,
            "the host was restarted while the run went on; the output up to then is kept",
        );
    }
    if let Some(signal) = exit.signal {
        return killed(signal, exit, judgement);
    }
    match judgement.state {
        LogEnd::Failed => failed(judgement).noting_full(exit),
        // A nested do-file's end looks like this too, and the wrapper's last line was not reached.
        LogEnd::Succeeded => incomplete(evidence),
        LogEnd::Incomplete if judgement.exit_stata && exit.code.is_some_and(|code| code != 0) => {
            let code = exit.code.unwrap_or_default();
            let mut verdict = Verdict::new(RunState::Failed, Cause::StataError, "the code left Stata by `exit, STATA`");
            verdict.rc = Some(code.into());
            verdict
        }
        LogEnd::Incomplete if judgement.exit_stata && exit.code == Some(0) => {
            Verdict::new(RunState::Succeeded, Cause::CompletedUnconfirmed, "")
                .noting("the code left Stata by `exit, STATA`, so that its success could not be confirmed")
        }
        LogEnd::Incomplete => incomplete(evidence),
    }
}

/// The facts of the end are lost; what the log shows is reported, but proves nothing.
fn unreadable(why: &str, judgement: &Judgement) -> Verdict {
    let log = match (judgement.state, judgement.rc) {
        (LogEnd::Failed, Some(rc)) => format!("ends in r({rc});"),
        (LogEnd::Succeeded, _) => "ends as that of a do-file that came to its end".to_owned(),
        _ => "has no end".to_owned(),
    };
    Verdict::errored(
        Cause::Incomplete,
        format!(
            "the record of the run's end could not be read ({why}), so how Stata ended is not known; its log is kept \
             and {log}"
        ),
    )
}

fn failed(judgement: &Judgement) -> Verdict {
    let mut verdict = Verdict::new(RunState::Failed, Cause::StataError, judgement.message.clone().unwrap_or_default());
    verdict.rc = judgement.rc;
    verdict
}

fn ended(ending: &Ending, evidence: &Evidence<'_>) -> Verdict {
    let verdict = match ending.cause {
        Cause::RunTimeout => Verdict::new(
            RunState::TimedOut,
            Cause::RunTimeout,
            match ending.words.as_str() {
                "" => "the run reached the time limit that was set for it; the output up to then is kept".to_owned(),
                words => words.to_owned(),
            },
        ),
        Cause::StartTimeout => Verdict::errored(
            Cause::StartTimeout,
            format!("Stata was started but wrote no log in time{}", console_text(&evidence.console)),
        ),
        cause @ (Cause::SpoolFull | Cause::OutOfMemory | Cause::OverLimit) => {
            Verdict::errored(cause, ending.words.clone())
        }
        _ => {
            let by = if ending.by.is_empty() { String::new() } else { format!(" by {}", ending.by) };
            Verdict::new(RunState::Cancelled, Cause::CancelRequested, format!("cancelled{by}"))
        }
    };
    if evidence.exit.spawned { verdict } else { verdict.noting("it was ended before Stata was started") }
}

fn killed(signal: i32, exit: &Exit, judgement: &Judgement) -> Verdict {
    if let Some((cause, words)) = over_limit::by_kernel(signal, exit) {
        return Verdict::errored(cause, words);
    }
    if exit.out_of_memory && signal == 9 {
        return Verdict::errored(
            Cause::OutOfMemory,
            "the kernel ended Stata because memory ran out; run it where more is free, or with less data at once",
        );
    }
    let name = signal_name(signal);
    // A failure that unwound to the wrapper was Stata's own verdict; the signal came after it.
    if judgement.state == LogEnd::Failed {
        return failed(judgement).noting(format!("Stata was then ended by signal {signal} ({name})"));
    }
    match signal {
        4 | 6 | 7 | 8 | 11 | 31 | 5 => Verdict::errored(
            Cause::Crashed,
            format!("Stata crashed: signal {signal} ({name}), its own fault or a plugin's"),
        ),
        _ => Verdict::errored(
            Cause::Killed,
            format!("Stata was ended by signal {signal} ({name}), which was not sent from here"),
        ),
    }
}

fn incomplete(evidence: &Evidence<'_>) -> Verdict {
    let exit = evidence.exit;
    if exit.disk_full {
        return Verdict::errored(
            Cause::SpoolFull,
            "the file system of the spool was full, so that Stata's log has no end: make room on the host",
        );
    }
    if exit.status_lost {
        return Verdict::errored(
            Cause::Incomplete,
            "the run has no verdict in its log, and how Stata ended is not known",
        );
    }
    let status = exit.code.map_or_else(String::new, |code| format!(" with status {code}"));
    if exit.log.len == 0 {
        let text = format!("Stata left{status} before it wrote a log{}", console_text(&evidence.console));
        return Verdict::errored(Cause::SpawnFailed, text);
    }
    Verdict::errored(
        Cause::Incomplete,
        format!("Stata left{status} without a verdict in its log{}", console_text(&evidence.console)),
    )
}

fn console_text(console: &str) -> String {
    if console.is_empty() { String::new() } else { format!("; on its console: {console}") }
}

/// Signal names for people; numbers are Linux's.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => "no common name",
    }
}

#[cfg(test)]
mod tests;
