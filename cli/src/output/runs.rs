//! The table of runs: a row each, that fits the terminal, and below it whole what the run waits for.

use std::time::Duration;

use jiff::Timestamp;
use longhaul_proto::{api::RunView, state::RunState, visible, words::whole_duration};

use super::{When, colour, duration, terminal};

/// Cells of a host or a person at most.
const NAME: usize = 14;
/// Cells that what runs has at least.
const LEAST: usize = 12;
/// Before what is said below a row.
const INDENT: &str = "          ";
/// The same in a narrow terminal.
const NARROW: &str = "  ";

/// How runs are listed.
#[derive(Debug)]
pub(crate) struct RunsTable {
    /// The gateway's time.
    pub(crate) now: Timestamp,
    /// In which zone.
    pub(crate) when: When,
}

impl RunsTable {
    /// The table, which is harmless to a terminal; `width` = its cells, `None` = nothing is cut.
    pub(crate) fn text(&self, runs: &[RunView], width: Option<usize>, colours: bool) -> String {
        let zones = self.when.zones(runs.iter().filter_map(|run| run.created_at.as_deref()));
        let several = runs.iter().any(|run| run.principal != runs[0].principal);
        let mut head =
            vec!["RUN".to_owned(), format!("WHEN ({zones})"), "STATE".into(), "ELAPSED".into(), "HOST".into()];
        head.extend(several.then(|| "WHO".to_owned()));
        head.push("WHAT".into());
        let rows: Vec<Vec<String>> = runs.iter().map(|run| self.cells(run, several)).collect();
        let columns = head.len() - 1;
        let widths: Vec<usize> = (0..columns)
            .map(|at| rows.iter().chain([&head]).map(|row| terminal::cells(&row[at])).max().unwrap_or(0))
            .collect();
        let before: usize = widths.iter().map(|width| width + 2).sum();
        if let Some(width) = width.filter(|width| before + LEAST > *width) {
            return self.narrow(runs, &head, &rows, width, colours);
        }
        let left = width.map(|width| width.saturating_sub(before).max(LEAST));
        let line = |row: &[String], tone: Option<colour::Tone>| {
            let mut out = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width.saturating_sub(terminal::cells(cell)) + 2);
                let tone = tone.filter(|_| at == 2);
                out.push_str(&tone.map_or_else(|| cell.clone(), |tone| colour::paint(cell, tone, colours)));
                out.push_str(&padding);
            }
            let what = &row[columns];
            out.push_str(&left.map_or_else(|| what.clone(), |left| terminal::cut(what, left)));
            out.trim_end().to_owned() + "\n"
        };
        let mut text = line(&head, None);
        for (run, row) in runs.iter().zip(&rows) {
            text.push_str(&line(row, Some(colour::Tone::of(run.state))));
            text.push_str(&self.remarks(run, INDENT, width));
        }
        text
    }

    /// For a terminal that has no room for a row: two rows, what came of it and below it what it is.
    fn narrow(&self, runs: &[RunView], head: &[String], rows: &[Vec<String>], width: usize, colours: bool) -> String {
        let state = rows.iter().map(|row| terminal::cells(&row[2])).max().unwrap_or(0);
        let first = |row: &[String]| {
            let padding = " ".repeat(state.saturating_sub(terminal::cells(&row[2])));
            terminal::cut(format!("{:<8}  {}{padding}  {}", row[0], row[2], row[3]).trim_end(), width)
        };
        let second = |row: &[String]| {
            let words: Vec<&str> = [&row[1]].into_iter().chain(&row[4..]).map(String::as_str).collect();
            terminal::cut(&format!("{NARROW}{}", words.join(" \u{b7} ")), width) + "\n"
        };
        let mut text = format!("{}\n{}", first(head), second(head));
        for (run, row) in runs.iter().zip(rows) {
            let painted = colour::paint(&row[2], colour::Tone::of(run.state), colours);
            text.push_str(&first(row).replacen(&row[2], &painted, 1));
            text.push('\n');
            text.push_str(&second(row));
            text.push_str(&self.remarks(run, NARROW, Some(width)));
        }
        text
    }

    /// What is said below a run's row, in rows.
    fn remarks(&self, run: &RunView, indent: &str, width: Option<usize>) -> String {
        let mut text = String::new();
        for words in below(&self.when.of_run(run)) {
            let words = visible::line(&words).into_owned();
            let room = width.map(|width| width.saturating_sub(indent.len()).max(LEAST));
            wrapped(&words, room).iter().for_each(|row| text.push_str(&format!("{indent}{row}\n")));
        }
        text
    }

    fn cells(&self, run: &RunView, several: bool) -> Vec<String> {
        let plain = |text: &str| visible::line(text).into_owned();
        let mut cells = vec![
            run.run_id.short(),
            run.created_at.as_deref().map(|at| self.when.short(at, self.now)).unwrap_or_default(),
            plain(&state(run)),
            self.elapsed(run).unwrap_or_default(),
            terminal::cut(&plain(run.host.as_deref().unwrap_or("-")), NAME),
        ];
        cells.extend(several.then(|| terminal::cut(&plain(&run.principal), NAME)));
        cells.push(plain(&what(run)));
        cells
    }

    /// How long it took, or has been running or waiting.
    fn elapsed(&self, run: &RunView) -> Option<String> {
        if run.state.is_end() {
            return run.duration.map(duration);
        }
        let since: Timestamp = run.started_at.as_deref().or(run.created_at.as_deref())?.parse().ok()?;
        // The gateway's header has whole seconds.
        let seconds = u64::try_from(self.now.as_second() - since.as_second()).unwrap_or(0);
        Some(whole_duration(Duration::from_secs(seconds)))
    }
}

fn state(run: &RunView) -> String {
    match (run.state, run.rc) {
        _ if run.runs_again => format!("{}, runs again", run.state),
        (RunState::Running, _) if run.cancel_requested.is_some() => "cancelling".into(),
        (RunState::Running, _) => match run.progress.as_ref().and_then(|progress| progress.percent) {
            Some(percent) => format!("running {percent:.0} %"),
            None => "running".into(),
        },
        (state, Some(rc)) if state.is_end() => format!("{state} r({rc})"),
        (RunState::Queued, _) if run.priority.is_some() => {
            format!("queued, {}", run.priority.as_ref().map_or("", |priority| priority.level.as_str()))
        }
        (RunState::TimedOut, _) => "timed out".into(),
        (state, _) => state.to_string(),
    }
}

/// Name, do-file and arguments.
fn what(run: &RunView) -> String {
    let file = run.what();
    let file = file.strip_prefix("bundle: ").unwrap_or(file);
    let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let command = [&[file.to_owned()], run.args.as_slice()].concat().join(" ");
    match &run.name {
        Some(name) => format!("{name} \u{b7} {command}"),
        None => command,
    }
}

/// What is said below its row.
fn below(run: &RunView) -> Vec<String> {
    let mut words = vec![];
    if !run.state.is_end() {
        words.extend(run.waiting.clone());
        words.extend(run.contact.as_ref().map(|contact| contact.words.clone()));
    }
    if run.runs_again {
        let host = run.host.as_deref().unwrap_or("its host");
        words.push(format!("its agent has returned, and it runs again on {host}"));
    }
    if run.unverified {
        let whom = run.claims.as_deref().map(|name| format!(", said to be {name}'s")).unwrap_or_default();
        words.push(format!("unverified{whom}: `longhaul runs adopt {}`", run.run_id.short()));
    }
    words
}

/// A text in rows of so many cells.
fn wrapped(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut rows = vec![String::new()];
    for word in text.split(' ') {
        let last = rows.last().map(|row| terminal::cells(row)).unwrap_or_default();
        if last > 0 && last + 1 + terminal::cells(word) > room {
            rows.push(String::new());
        }
        if let Some(row) = rows.last_mut() {
            let space = if row.is_empty() { "" } else { " " };
            row.push_str(space);
            row.push_str(word);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use jiff::tz::{self, TimeZone};
    use longhaul_proto::api::ProgressView;

    use super::*;
    use crate::output::verdict::tests::run;

    #[test]
    fn rows_fit_and_reasons_are_whole() {
        let mut failed = run(RunState::Failed);
        (failed.rc, failed.args, failed.name) = (Some(9), vec!["north".into(), "x".repeat(90)], Some("nightly".into()));
        let mut running = run(RunState::Running);
        running.started_at = Some("2026-11-22T15:00:10.000Z".into());
        running.progress = Some(ProgressView { percent: Some(41.6), text: "x".into() });
        (running.source, running.file_name) = ("text".into(), Some("\u{6570}\u{636e}.do".into()));
        let mut queued = run(RunState::Queued);
        (queued.host, queued.principal) = (None, "ben".into());
        queued.waiting = Some(
            "waiting for a seat of pool lab: 2 of 2 in use by run f0caaa8c on stata1, run f4c3c935 on stata2".into(),
        );
        let mut old = run(RunState::Succeeded);
        old.created_at = Some("2025-07-22T15:00:00.000Z".into());
        (old.unverified, old.claims) = (true, Some("bob".into()));
        let table = RunsTable {
            now: "2026-11-22T15:04:20Z".parse().unwrap(),
            when: When::in_zone(TimeZone::fixed(tz::offset(1))),
        };
        let all = [queued, running, failed, old];
        let text = table.text(&all, Some(80), false);
        let want = "\
RUN       WHEN (+01)  STATE         ELAPSED     HOST    WHO  WHAT
7f3a9c21  16:00       queued        4 min 20 s  -       ben  main.do
          waiting for a seat of pool lab: 2 of 2 in use by run f0caaa8c on
          stata1, run f4c3c935 on stata2
7f3a9c21  16:00       running 42 %  4 min 10 s  stata1  ana  \u{6570}\u{636e}.do
7f3a9c21  16:00       failed r(9)   4 min 10 s  stata1  ana  nightly \u{b7} main.do \u{2026}
7f3a9c21  2025-07-22  succeeded     4 min 10 s  stata1  ana  main.do
          unverified, said to be bob's: `longhaul runs adopt 7f3a9c21`
";
        assert_eq!(text, want);
        assert!(text.lines().all(|row| terminal::cells(row) <= 80));
        let want = "\
RUN       STATE         ELAPSED
  WHEN (+01) \u{b7} HOST \u{b7} WHO \u{b7} WHAT
7f3a9c21  queued        4 min 20 s
  16:00 \u{b7} - \u{b7} ben \u{b7} main.do
  waiting for a seat of pool lab: 2 of 2
  in use by run f0caaa8c on stata1, run
  f4c3c935 on stata2
7f3a9c21  running 42 %  4 min 10 s
  16:00 \u{b7} stata1 \u{b7} ana \u{b7} \u{6570}\u{636e}.do
7f3a9c21  failed r(9)   4 min 10 s
  16:00 \u{b7} stata1 \u{b7} ana \u{b7} nightly \u{b7} main\u{2026}
7f3a9c21  succeeded     4 min 10 s
  2025-07-22 \u{b7} stata1 \u{b7} ana \u{b7} main.do
  unverified, said to be bob's:
  `longhaul runs adopt 7f3a9c21`
";
        assert_eq!(table.text(&all, Some(40), false), want);
        assert!(table.text(&all, Some(30), false).lines().all(|row| terminal::cells(row) <= 30));
        assert!(table.text(&all, Some(40), true).contains("7f3a9c21  \u{1b}[31mfailed r(9)\u{1b}[0m"));
        let whole = table.text(&all, None, true);
        assert!(whole.contains(&"x".repeat(90)) && whole.contains("\u{1b}[31mfailed r(9)\u{1b}[0m"), "{whole}");
    }
}
