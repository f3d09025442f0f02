//! What a run is doing now: one row that is written anew on a terminal; elsewhere a line per change, and now and then one
//! that says how far it is.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use longhaul_proto::{api::RunView, state::RunState, visible, words};

use super::{duration, row::Row, terminal::LineEnd};

/// A log that is quiet for so long is worth mentioning, seconds; shorter pauses are how Stata prints.
const QUIET: f64 = 30.0;
/// A wait of which the length is worth mentioning, seconds.
const LONG_WAIT: f64 = 10.0;
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
pub(crate) enum Status {
    /// One row of a terminal, and its text.
    Row(Row, String),
    /// Lines for a file or another program.
    Lines(Lines),
    /// Nothing.
    Nowhere,
}

impl Status {
    /// For this process's stderr.
    pub(crate) fn new(shown_on: ShownOn) -> Self {
        match shown_on {
            _ if io::stderr().is_terminal() => Self::Row(Row::default(), String::new()),
            ShownOn::Anything => Self::Lines(Lines::default()),
            ShownOn::Terminals => Self::Nowhere,
        }
    }

    /// Shows the run's present state, `elapsed` after it started (or was recorded, while it waits); `now` is any clock
    /// that never goes back.
    pub(crate) fn show(&mut self, run: &RunView, elapsed: Duration, now: Duration) {
        match self {
            Self::Row(row, text) => {
                *text = visible::line(&status_text(run, Some(elapsed.as_secs_f64()))).into_owned();
                row.show(text);
            }
            Self::Lines(lines) => {
                if let Some(line) = lines.next(run, elapsed, now) {
                    super::say(&format!("{} · {line}", run.run_id.short()));
                }
            }
            Self::Nowhere => {}
        }
    }

    /// Shows it anew after the terminal got another size.
    pub(crate) fn resized(&mut self) {
        if let Self::Row(row, text) = self
            && !text.is_empty()
        {
            row.show(text);
        }
    }

    /// Erases the row, before output that begins with this byte.
    pub(crate) fn before_output(&mut self, first: Option<&u8>) {
        if let Self::Row(row, _) = self {
            row.before_output(first);
        }
    }

    /// Records how the output that was just written ended on this terminal.
    pub(crate) fn after_output(&mut self, end: LineEnd) {
        if let Self::Row(row, text) = self {
            row.after_output(end);
            if !text.is_empty() {
                row.show(text);
            }
        }
    }

    /// Erases the row, and completes the output's last line if it is unfinished on this terminal.
    pub(crate) fn finish(&mut self) {
        if let Self::Row(row, text) = self {
            row.finish();
            text.clear();
        }
    }
}

/// The state in lines: one per change, one per tenth of the way, and one a minute.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    last: String,
    /// When the last line was written.
    at: Duration,
    /// Whole tenths of the way that were reported.
    tenths: u32,
}

/// Between two lines about a run whose state does not change.
const EVERY: Duration = Duration::from_secs(60);
/// Shortest time between two such lines, though it gets on fast.
const AT_LEAST: Duration = Duration::from_secs(5);

impl Lines {
    /// The line that is due, if one is.
    fn next(&mut self, run: &RunView, elapsed: Duration, now: Duration) -> Option<String> {
        if run.state.is_end() {
            return None;
        }
        let change = status_text(run, None);
        let percent = run.progress.as_ref().and_then(|progress| progress.percent).unwrap_or(0.0);
        // In range, so nothing is cut off.
        let tenths = (percent.clamp(0.0, 100.0) / 10.0) as u32;
        let quiet = now.saturating_sub(self.at);
        let line = if change != self.last {
            change.clone()
        } else if quiet >= EVERY || (tenths > self.tenths && quiet >= AT_LEAST) {
            status_text(run, Some(elapsed.as_secs_f64()))
        } else {
            return None;
        };
        *self = Self { last: change, at: now, tenths };
        Some(line)
    }
}

/// How long it probably still takes, in words.
fn time_left(last_time: f64, elapsed: f64) -> Option<String> {
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    words::time_left(time(last_time)?, time(elapsed)?)
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
        RunState::Queued | RunState::Starting => {
            let since =
                elapsed.filter(|elapsed| *elapsed >= LONG_WAIT).map(|elapsed| format!(" {}", duration(elapsed)));
            let since = since.unwrap_or_default();
            match &run.waiting {
                Some(why) => format!("{}{since}: {why}", run.state),
                None => format!("{}{since}", run.state),
            }
        }
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
        let learnt = run.expected.as_ref().filter(|_| run.state == RunState::Running);
        let left = learnt.and_then(|expected| time_left(expected.duration, elapsed));
        if let Some(left) = left {
            line.push_str(&format!(" · {left}"));
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
    use longhaul_proto::api::{ActivityView, ContactView, ExpectedView, ProgressView};

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
            |r| {
                let run_id = r.run_id;
                r.expected = Some(ExpectedView { duration: 662.0, run_id, same_host: true });
            },
            "running 4 min 10 s on stata1 · about 7 min left, as last time",
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
            "queued 4 min 10 s: pool `lab` has 1 seat and it is taken",
            "queued: pool `lab` has 1 seat and it is taken",
        );
    }

    #[test]
    fn without_a_terminal_a_line_a_minute_or_a_tenth_of_the_way() {
        let mut lines = Lines::default();
        let mut view = run(RunState::Running);
        let mut told = vec![];
        for second in 0..=600_u64 {
            // A tenth each 100 s, but for a fast stretch at the end.
            let percent = if second < 590 { second as f64 / 10.0 } else { 60.0 + (second - 590) as f64 * 4.0 };
            view.progress = Some(ProgressView { percent: Some(percent), text: String::new() });
            let now = Duration::from_secs(second);
            if let Some(line) = lines.next(&view, now, now + Duration::from_secs(1000)) {
                told.push((second, line));
            }
        }
        let at: Vec<u64> = told.iter().map(|(second, _)| *second).collect();
        assert_eq!(at, [0, 60, 100, 160, 200, 260, 300, 360, 400, 460, 500, 560, 590, 595, 600], "{told:#?}");
        assert_eq!(told[0].1, "running on stata1");
        assert_eq!(told[3].1, "running 2 min 40 s on stata1 · 16 %");
        view.state = RunState::Succeeded;
        assert_eq!(lines.next(&view, Duration::ZERO, Duration::from_secs(9999)), None);
    }
}
