//! What is run in a trial: do-files that count their own executions, outside Longhaul's code, and then do one of few
//! things.

use std::{path::PathBuf, time::Duration};

use longhaul_proto::{
    api::{Retry, SubmitRequest},
    state::{Cause, RunState},
};
use serde_json::{Value, json};

use super::{cell::Focus, rng::Rng};
use crate::lab::Lab;

/// One run to be submitted.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name, which its do-file counts.
    pub name: String,
    /// What it does.
    pub focus: Focus,
    /// The code it ends with, of [`Focus::Lines`].
    pub rc: i64,
    /// The submission.
    pub request: SubmitRequest,
    /// Between two events that its follower takes.
    pub pace: Duration,
}

/// The do-files of a trial.
#[derive(Clone, Debug)]
pub struct DoFiles {
    gated: PathBuf,
    lines: PathBuf,
    burst: PathBuf,
    filling: PathBuf,
}

impl DoFiles {
    /// Writes them.
    pub fn write(lab: &Lab) -> Self {
        let burst = "args name rounds\n\
                     forvalues i = 1/`rounds' {\n\
                     \x20   forvalues j = 1/60 {\n\
                     \x20       display \"`name' round `i' line `j' and some more words to make it longer\"\n\
                     \x20   }\n\
                     \x20   sleep 20\n\
                     }\n";
        let filling = "display \"started `1'\"\nshell head -c 20000000 /dev/zero > big.bin\nsleep 8000\n";
        let filling = lab.counted("filling.do", filling);
        Self { gated: lab.gated(), lines: lab.lines(), burst: lab.counted("burst.do", burst), filling }
    }

    /// A run that does `focus`; the rest is drawn.
    pub fn job(&self, name: &str, focus: Focus, rng: &mut Rng) -> Job {
        let rc = if focus == Focus::Lines && rng.coin() { 9 } else { 0 };
        let (file, more): (&PathBuf, Vec<String>) = match focus {
            Focus::Gated | Focus::Cancelled | Focus::TimedOut => (&self.gated, vec![]),
            Focus::Filling => (&self.filling, vec![]),
            Focus::Burst => (&self.burst, vec![(8 + rng.below(12)).to_string()]),
            Focus::Lines => (&self.lines, vec![(1 + rng.below(8)).to_string(), "5".into(), rc.to_string()]),
        };
        let path = file.to_str().unwrap().to_owned();
        let args = std::iter::once(name.to_owned()).chain(more).collect();
        let mut request = SubmitRequest { args, ..SubmitRequest::default() };
        // The files it writes must lie in its spool.
        if rng.coin() && focus != Focus::Filling {
            request.path = Some(path);
        } else {
            request.text = Some(std::fs::read_to_string(file).unwrap());
        }
        request.key = rng.coin().then(|| format!("key of {name}"));
        request.retry = rng.coin().then_some(Retry::IfProvenDead);
        // Longer than any trial: it must never be reached.
        request.queue_timeout = (rng.below(4) == 0).then_some(600.0);
        request.timeout = (focus == Focus::TimedOut).then_some(0.3);
        let pace = if rng.below(4) == 0 { Duration::from_millis(30) } else { Duration::ZERO };
        Job { name: name.to_owned(), focus, rc, request, pace }
    }

    /// The arguments with which a model requests the same by MCP.
    pub fn call(&self, name: &str, rng: &mut Rng) -> Value {
        let args = [name.to_owned(), (4 + rng.below(8)).to_string(), "10".into(), "0".into()];
        json!({"file_path": self.lines.to_str().unwrap(), "args": args})
    }
}

impl Job {
    /// How it ends when only its own code ends it.
    pub fn end(&self) -> (RunState, Cause) {
        match self.focus {
            Focus::Gated | Focus::Burst => (RunState::Succeeded, Cause::Completed),
            Focus::Lines if self.rc == 0 => (RunState::Succeeded, Cause::Completed),
            Focus::Lines => (RunState::Failed, Cause::StataError),
            Focus::Cancelled => (RunState::Cancelled, Cause::CancelRequested),
            Focus::TimedOut => (RunState::TimedOut, Cause::RunTimeout),
            Focus::Filling => (RunState::Errored, Cause::SpoolFull),
        }
    }
}
