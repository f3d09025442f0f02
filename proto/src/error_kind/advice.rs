//! What to do next, in a sentence.

use super::{ErrorKind, Facts, codes, official};
use crate::state::{Cause, RunState};

/// What to do about an end of this kind; empty where only its message tells.
pub fn advice(kind: ErrorKind, end: &Facts<'_>) -> String {
    let on = if end.host.is_empty() { "the host".to_owned() } else { end.host.to_owned() };
    let folder = match end.working_dir {
        "" => "the working directory".to_owned(),
        folder => format!("the working directory, {folder}"),
    };
    match kind {
        ErrorKind::CommandNotFound => match missing_command(end.message) {
            Some(name) if official::has(name) => format!(
                "`{name}` is a command of Stata's own and no package: the stand-in has few of them, and an older Stata not all; \
                 run it on a host whose Stata has it"
            ),
            Some(name) => format!(
                "check how `{name}` is spelt; if it is a package of users, it must be installed on {on}: `ssc install \
                 {name}` in a run there, or `longhaul packages install {name}`, where SSC has it under that name"
            ),
            None => format!("check its spelling; a package of users must be installed on {on} first (`ssc install`)"),
        },
        ErrorKind::FileNotFound => {
            format!("check the name and its case on {on}: a relative path is looked up in {folder}")
        }
        ErrorKind::FileIo => format!(
            "check on {on} that the folder exists and that its user may write there: a relative path is looked up in {folder}"
        ),
        ErrorKind::OutOfMemory => {
            format!("load fewer variables or observations, `compress`, or use a host with more memory free than {on}")
        }
        ErrorKind::PolicyBlocked if (end.state, end.cause) == (RunState::Errored, Cause::OverLimit) => {
            format!("make it use less, or ask the owner of the agent on {on}, who sets the limit")
        }
        ErrorKind::Timeout if end.message.contains("max_run_time") => {
            format!(
                "make it do less, or ask the owner of the agent on {on}, who sets this limit: a longer `timeout` changes nothing"
            )
        }
        ErrorKind::DiskFull => format!("make room on {on}, then run it again"),
        ErrorKind::Licence => format!("`longhaul doctor` on {on} says what was found of Stata and its licence"),
        ErrorKind::StartFailed => {
            format!("`longhaul doctor` on {on} says what is wrong with Stata there; the console has what it printed")
        }
        ErrorKind::Unknown if end.rc.is_some() && codes::leaves(end.command) => {
            "the code left by `exit` with a number of its own: the lines before that say why".to_owned()
        }
        _ => plain(kind).to_owned(),
    }
}

/// Of the kinds whose advice names nothing of the run.
fn plain(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Syntax => {
            "compare the command with its help: options, commas, parentheses, and what its macros expand to"
        }
        ErrorKind::VarnameNotFound => {
            "`describe` before that line shows the names that there are; check spelling, case, and that what makes it has run"
        }
        ErrorKind::InvalidName => "a name has at most 32 letters, digits and underscores, and begins with no digit",
        ErrorKind::TypeMismatch => {
            "`describe` shows which variables are text: quote text, or convert by `destring` or `tostring`"
        }
        ErrorKind::NameConflict => "`drop` it first (`capture drop`), use `replace`, or choose another name",
        ErrorKind::NotSorted => "`sort` by these variables first, or use `bysort`",
        ErrorKind::Convergence => {
            "look at the iterations in the log: simplify the model, check for collinear or separating variables, or use \
             `difficult`, `iterate()` or other starting values"
        }
        ErrorKind::Infeasible => "give starting values (`from()`), rescale the variables, or simplify the model",
        ErrorKind::EstimationFailure => {
            "`summarize` the variables in the estimation sample: what the message names does not allow it"
        }
        ErrorKind::NoEstimationResults => "run the estimation that it needs in the same run, before that line",
        ErrorKind::NoObservations => {
            "`count` with the same `if` and `in`, and look for missing values: nothing, or too little, is left"
        }
        ErrorKind::DataInMemory => "load data first, or say what becomes of those in memory: option `clear`, or `save`",
        ErrorKind::MatrixSingular => {
            "look for collinear variables or too few observations: the matrix cannot be inverted"
        }
        ErrorKind::MatrixConformability => "`matrix dir` shows the sizes: they do not fit each other",
        ErrorKind::MatrixMissing => "find what made the missing values of the matrix: `matrix list`",
        ErrorKind::FileExists => "add option `replace`, or choose another name",
        ErrorKind::FileCorrupt => "check that the file is whole and of the format that the command reads",
        ErrorKind::LogState => "put `capture log close` before `log using`",
        ErrorKind::Network => {
            "the other computer or the way to it failed: try it again later, and check that the host reaches it"
        }
        ErrorKind::Permission => "the host does not allow it: write elsewhere, or ask its owner",
        ErrorKind::StataLimit => {
            "stay below the limit: fewer values or variables, `set maxvar`, or a larger edition of Stata"
        }
        ErrorKind::Interrupt => "Break was pressed in Stata, and not by Longhaul",
        ErrorKind::ExpectationFailed => {
            "the data are not as the code expects: look at what it asserts just before that line"
        }
        ErrorKind::Timeout => {
            "give it a longer `timeout` or none, or make it do less: at the same limit it ends the same way"
        }
        ErrorKind::QueueTimeout => {
            "all seats were taken for as long as it could wait: give it a longer `queue_timeout`, or none"
        }
        ErrorKind::NoAgent => "no agent could take it: list the hosts, start or resume one, then submit it again",
        ErrorKind::AgentLost => {
            "it may have run to its end: if its agent returns with the record, asking again tells; look at what it wrote before it \
             is run again"
        }
        ErrorKind::StagingFailed => "check that the do-file or the bundle is there and can be read on the host",
        ErrorKind::PolicyBlocked => {
            "the agent's owner decides what it runs: use a file below its folders, or send the code as text"
        }
        ErrorKind::OutputTooLarge => {
            "write less: log with `quietly`, and large files outside the run's own folder; the agent's owner sets the limit"
        }
        ErrorKind::Crashed => "Stata or a plugin crashed: try it without the plugin that the log names last",
        ErrorKind::Killed => "someone or something on the host ended it: ask its owner, then run it again",
        ErrorKind::HostRebooted => "its host was restarted: look at what it wrote, then run it again",
        // Named with what is known of the run, or told by the message alone.
        ErrorKind::CommandNotFound
        | ErrorKind::FileNotFound
        | ErrorKind::FileIo
        | ErrorKind::OutOfMemory
        | ErrorKind::DiskFull
        | ErrorKind::Licence
        | ErrorKind::StartFailed
        | ErrorKind::Cancelled
        | ErrorKind::Unknown => "",
    }
}

/// The command that a message does not know, where it can be a package's name.
fn missing_command(message: &str) -> Option<&str> {
    let line = message.lines().next()?.trim();
    let name = line
        .strip_prefix("command ")
        .and_then(|rest| rest.strip_suffix(" is unrecognized"))
        .or_else(|| line.strip_prefix("unrecognized command:"))?
        .trim();
    let plain = name.len() <= 32 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Some(name).filter(|name| plain && !name.is_empty())
}
