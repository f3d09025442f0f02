//! What a run is doing now: one line that is rewritten on a terminal, a line per change elsewhere.

use std::io::{self, IsTerminal, Write};

use longhaul_proto::{api::RunView, state::RunState, visible};

use super::duration;

/// Longest status line, characters; a wrapped line cannot be rewritten.
const WIDTH: usize = 100;

/// A log that is quiet for so long is worth mentioning, seconds; shorter pauses are how Stata prints.
const QUIET: f64 = 30.0;
/// Share of a processor below which a run is idle.
const IDLE: f64 = 0.05;

/// Where the live line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShownOn {
    /// On a terminal only.
    Terminals,
    /// Elsewhere too, as a line per change.
    Anything,
}

impl ShownOn {
    /// With `--json` only a person at a terminal wants it.
    pub(crate) fn for_json(json: bool) -> Self {
        if json { Self::Terminals } else { Self::Anything }
    }
}

/// The live line on stderr.
#[derive(Debug)]
pub(crate) struct Status {
    terminal: bool,
    shown_on: ShownOn,
    shown: bool,
    /// The output ended inside a line: a status there would split it.
    inside_line: bool,
    last: String,
}

impl Status {
    /// For this process's stderr.
    pub(crate) fn new(shown_on: ShownOn) -> Self {
        Self { terminal: io::stderr().is_terminal(), shown_on, shown: false, inside_line: false, last: String::new() }
    }

    /// Shows the run's present state, `elapsed` seconds after it started.
    pub(crate) fn show(&mut self, run: &RunView, elapsed: f64) {
        if self.terminal {
            if !self.inside_line {
                let line: String = status_text(run, Some(elapsed)).chars().take(WIDTH).collect();
                let line = visible::line(&line);
                let _ = write!(io::stderr().lock(), "\r\x1b[K{line}");
                self.shown = true;
            }
            return;
        }
        // Without a terminal only changes are worth a line: no times, no percents.
        let line = if run.state.is_end() { String::new() } else { status_text(run, None) };
        if self.shown_on == ShownOn::Anything && !line.is_empty() && line != self.last {
            super::say(&format!("{} · {line}", run.run_id.short()));
            self.last = line;
        }
    }

    /// Erases the line, before anything else is written.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
            self.shown = false;
        }
    }

    /// Records how the output that was just written ended.
    pub(crate) fn after_output(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.inside_line = *last != b'\n';
        }
    }

    /// Erases the line, and completes the output's last line if it is unfinished on this terminal.
    pub(crate) fn finish(&mut self) {
        self.clear();
        if self.inside_line && self.terminal {
            super::say("");
        }
        self.inside_line = false;
    }
}

/// The present state of a run, in one line. `elapsed` (seconds) adds what changes all the time.
pub(crate) fn status_text(run: &RunView, elapsed: Option<f64>) -> String {
    let mut line = match run.state {
        RunState::Running => {
            let host = run.host.as_deref().unwrap_or("?");
            match elapsed {
                Some(elapsed) => format!("running {} on {host}", duration(elapsed)),
                None => format!("running on {host}"),
            }
        }
        RunState::Queued | RunState::Starting => match &run.waiting {
            Some(why) => format!("{}: {why}", run.state),
            None => run.state.to_string(),
        },
        end => end.to_string(),
    };
    if run.engine.as_deref() == Some("standin") {
        line.push_str(" (stand-in, not Stata)");
    }
    if run.cancel_requested.is_some() && !run.state.is_end() {
        line.push_str(" · cancelling");
    }
    if let Some(elapsed) = elapsed {
        // The silence itself grows, so without a terminal it is reported once, below.
        if let Some(contact) = &run.contact {
            line.push_str(&format!(" · {}", contact.words));
        } else if let Some(silent) = run.agent_silent_for {
            line.push_str(&format!(" · agent silent for {}", duration(silent)));
        }
        if let Some(activity) = run.activity.filter(|a| a.quiet_for >= QUIET && run.contact.is_none()) {
            line.push_str(&format!(" · quiet for {}", duration(activity.quiet_for)));
            match activity.cpus {
                Some(cpus) if cpus < IDLE => line.push_str(", idle"),
                Some(cpus) => line.push_str(&format!(", using {cpus:.1} CPU")),
                None => {}
            }
        }
        let progress = run.progress.as_ref().filter(|_| run.state == RunState::Running);
        if let Some(percent) = progress.and_then(|p| p.percent) {
            line.push_str(&format!(" · {percent:.0} %"));
        }
        if let Some(text) = progress.map(|p| p.text.trim()).filter(|t| !t.is_empty() && elapsed >= 0.0) {
            line.push_str(&format!(" · {text}"));
        }
    } else if let Some(contact) = &run.contact {
        line.push_str(match contact.state.as_str() {
            "awaited" => " · the gateway restarted and waits for its agent",
            "unreachable" => " · its agent cannot be reached; the run may well go on",
            _ => " · its agent is silent; the run may well go on",
        });
    } else if run.agent_silent_for.is_some() {
        line.push_str(" · its agent is silent; the run may well go on");
    }
    line
}

#[cfg(test)]
mod tests {
    use longhaul_proto::api::{ActivityView, ContactView, ProgressView};

    use super::*;
    use crate::output::verdict::tests::run;

    #[test]
    fn one_line_says_where_a_run_stands() {
        fn check(change: impl Fn(&mut RunView), live: &str, quiet: &str) {
            let mut view = run(RunState::Running);
            change(&mut view);
            assert_eq!(status_text(&view, Some(250.0)), live);
            assert_eq!(status_text(&view, None), quiet);
        }
        check(|_| (), "running 4 min 10 s on stata1", "running on stata1");
        check(
            |r| r.progress = Some(ProgressView { percent: Some(41.6), text: "Iteration 12".into() }),
            "running 4 min 10 s on stata1 · 42 % · Iteration 12",
            "running on stata1",
        );
        check(
            |r| r.agent_silent_for = Some(12.0),
            "running 4 min 10 s on stata1 · agent silent for 12 s",
            "running on stata1 · its agent is silent; the run may well go on",
        );
        let activity = |quiet_for, cpus| Some(ActivityView { quiet_for, cpus });
        check(|r| r.activity = activity(10.0, Some(1.0)), "running 4 min 10 s on stata1", "running on stata1");
        check(
            |r| r.activity = activity(65.0, Some(0.97)),
            "running 4 min 10 s on stata1 · quiet for 1 min 05 s, using 1.0 CPU",
            "running on stata1",
        );
        check(
            |r| r.activity = activity(65.0, Some(0.0)),
            "running 4 min 10 s on stata1 · quiet for 1 min 05 s, idle",
            "running on stata1",
        );
        let contact = |state: &str| Some(ContactView { state: state.into(), since: 3.0, words: "in words".into() });
        check(
            |r| r.contact = contact("unreachable"),
            "running 4 min 10 s on stata1 · in words",
            "running on stata1 · its agent cannot be reached; the run may well go on",
        );
        check(
            |r| {
                r.state = RunState::Queued;
                r.waiting = Some("pool `lab` has 1 seat and it is taken".into());
            },
            "queued: pool `lab` has 1 seat and it is taken",
            "queued: pool `lab` has 1 seat and it is taken",
        );
    }
}
