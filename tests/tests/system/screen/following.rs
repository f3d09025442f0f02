//! While a run is followed, one row says where it stands: never more, whatever the width, whatever the output's last line.

use std::fs;

use longhaul_proto::api::SubmitRequest;
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
};

use super::{
    golden,
    terminal::{Narrowed, Terminal, plain},
};

/// Stops after a whole line. What is under way is named in wide characters.
const LINE: &str = "\
display \"数据解析 first\"
display \"second\"
shell : 等待数据等待数据; while [ ! -e ../../gate ]; do sleep 0.02; done; : 等待数据等待数据等待数据等待数据等待数据等待
display \"the end\"
";

/// Stops inside a line of forty dots, which a program of the do-file prints outside of the log.
const DOTS: &str = "\
shell printf 'first\\n%s' '........................................'; while [ ! -e ../../gate ]; do sleep 0.02; done; echo ' more'
";

/// The row that says where the run stands, and how many there are.
fn status(rows: &[String]) -> (usize, Option<usize>) {
    let is = |row: &&String| row.starts_with("running ") && row.contains(" s on");
    (rows.iter().filter(is).count(), rows.iter().position(|row| is(&row)))
}

/// Times and ids differ from run to run.
fn masked(rows: &[String]) -> String {
    let (_, at) = status(rows);
    let ids = rows.iter().find(|row| row.starts_with("run "));
    let ids = ids.and_then(|row| row.split(' ').nth(1));
    let mask = |(n, row): (usize, &String)| match ids {
        _ if Some(n) == at => row.replacen(|c: char| c.is_ascii_digit(), "0", 2),
        Some(id) if row.contains(id) => row.chars().map(|c| if c.is_ascii_hexdigit() { '0' } else { c }).collect(),
        _ => row.clone(),
    };
    rows.iter().enumerate().map(mask).collect::<Vec<_>>().join("\n") + "\n"
}

struct Case<'a> {
    lab: &'a Lab,
    gateway: &'a Gateway,
    columns: u16,
    rows: u16,
    /// Widths that the window gets, and how its rows follow.
    resizes: &'a [(u16, Narrowed)],
}

impl Case<'_> {
    /// Follows a run with the row below what ends with `below`, and then to its end.
    async fn check(&self, kind: &str, args: &[&str], below: &str) {
        let Self { lab, gateway, columns, rows, resizes } = *self;
        let env = [("LONGHAUL_GATEWAY", gateway.api.url()), ("LONGHAUL_TOKEN", gateway.api.token())];
        let terminal = Terminal::start(lab, args, &env, (rows, columns));
        let last = |rows: &[String]| {
            let (count, at) = status(rows);
            assert!(count <= 1, "{columns} columns:\n{}", rows.join("\n"));
            // Nothing is below it.
            at.filter(|at| *at > 0 && *at == rows.len() - 1)
        };
        let what = format!("the row below {below}");
        let seen = terminal.until(&what, |rows| {
            let at = last(rows)?;
            // What is under way is told a moment later than the state.
            if !rows[at].ends_with('…') && !rows[at].contains("shell") {
                return None;
            }
            let before = &rows[at - 1];
            // The last command was echoed as it began.
            let begun = if below.is_empty() {
                before.starts_with("> ") || before.starts_with(". shell")
            } else {
                before.ends_with(below)
            };
            begun.then(|| rows.to_vec())
        });
        let seen = seen.await;
        if resizes.is_empty() {
            golden(&format!("{kind}-{columns}.txt"), &masked(&seen));
        }
        let (mut width, mut narrowest) = (columns, usize::MAX);
        for (to, how) in resizes {
            let narrower = *to < width;
            width = *to;
            terminal.resize(*to, *how);
            let what = format!("one row after {how:?} to {to}");
            let seen = terminal.until(&what, |rows| {
                let (count, at) = status(rows);
                let at = at.filter(|at| count == 1 && *at == rows.len() - 1)?;
                let fits = longest(&rows[at..]) < usize::from(*to);
                // What the terminal did to the old row is not ours, until it was erased.
                let drawn = if narrower { rows[at].ends_with('…') } else { rows[at].contains("shell") };
                (fits && drawn).then(|| rows.to_vec())
            });
            let seen = seen.await;
            if kind == "dots" {
                let dots: usize = seen.iter().map(|row| row.matches('.').count().max(1) - 1).sum();
                // What a terminal cuts off is gone.
                narrowest = if *how == Narrowed::Cut { narrowest.min(usize::from(*to)) } else { narrowest };
                let all = narrowest.min(40);
                assert!(dots + 5 >= all, "{what}: the dots stay\n{}", seen.join("\n"));
            }
        }
        fs::write(lab.path().join("gate"), "").unwrap();
        let (ended, seen) = terminal.end().await;
        fs::remove_file(lab.path().join("gate")).unwrap();
        assert_eq!(ended, 0, "{}", seen.join("\n"));
        assert_eq!(status(&seen).0, 0, "{}", seen.join("\n"));
        if resizes.is_empty() {
            golden(&format!("{kind}-{columns}-end.txt"), &masked_end(&seen));
            self.intact(kind, &seen).await;
        }
    }

    /// The output is on the screen as if there had been no such row.
    async fn intact(&self, kind: &str, seen: &[String]) {
        let api = &self.gateway.api;
        let run = api.list().await.unwrap().runs[0].run_id;
        let bytes = match kind {
            "dots" => api.output(run, "console").await.unwrap(),
            _ => {
                let view = api.get(run).await.unwrap().view.unwrap();
                let all = api.output(run, "log").await.unwrap();
                let (start, end) = (usize::try_from(view.start).unwrap(), usize::try_from(view.end.unwrap()).unwrap());
                all[start..end].to_vec()
            }
        };
        let want = plain(String::from_utf8_lossy(&bytes).trim_end(), self.columns);
        let verdict = seen.iter().position(|row| row.contains("succeeded after")).expect("a verdict");
        let mut found = &seen[..verdict];
        while found.last().is_some_and(String::is_empty) {
            found = &found[..found.len() - 1];
        }
        let n = found.len().min(want.len());
        assert!(n >= 2, "{seen:#?}");
        // Above may be the line that names the run, and a small screen has lost its first rows.
        let n = if found.len() > want.len() { want.len() } else { n };
        assert_eq!(found[found.len() - n..], want[want.len() - n..]);
    }
}

/// Cells of the longest of these rows.
fn longest(rows: &[String]) -> usize {
    rows.iter()
        .map(|row| row.chars().map(|c| if ('\u{1100}'..'\u{ff00}').contains(&c) && c != '…' { 2 } else { 1 }).sum())
        .max()
        .unwrap_or(0)
}

/// Without what is said about the run.
fn masked_end(rows: &[String]) -> String {
    let verdict = rows.iter().position(|row| row.contains("succeeded after")).unwrap_or(rows.len());
    masked(&rows[..verdict])
}

#[tokio::test]
async fn one_row_says_where_a_run_stands() {
    use Narrowed::{Cut, Wrapped};
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let (line, dots) = (lab.file("line.do", LINE), lab.file("dots.do", DOTS));
    let wrapped = [(50, Wrapped), (30, Wrapped), (20, Wrapped), (100, Wrapped)];
    let cut = [(60, Cut), (30, Cut), (100, Cut)];
    for (columns, rows, resizes) in
        [(40, 40, &[][..]), (80, 10, &[]), (200, 40, &[]), (80, 40, &wrapped), (80, 10, &wrapped), (80, 40, &cut)]
    {
        let case = Case { lab: &lab, gateway: &gateway, columns, rows, resizes };
        case.check("line", &["run", "--again", line.to_str().unwrap()], "").await;
        let request =
            SubmitRequest { path: Some(dots.to_str().unwrap().to_owned()), again: true, ..SubmitRequest::default() };
        let run = gateway.api.submit(&request).await.unwrap().run.run_id.to_string();
        case.check("dots", &["log", "-f", "--console", &run], &".".repeat(40)).await;
    }
}

/// Seconds that the row below the output tells.
fn seconds(rows: &[String]) -> Option<f64> {
    rows[status(rows).1?].split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn who_looks_later_is_told_how_long_it_has_been_running() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let file = lab.file("long.do", "display \"begun\"\nsleep 60000\n");
    let run = gateway.api.submit_path(&file, &[]).await.run_id.to_string();
    let env = [("LONGHAUL_GATEWAY", gateway.api.url()), ("LONGHAUL_TOKEN", gateway.api.token())];
    let first = Terminal::start(&lab, &["wait", &run], &env, (20, 100));
    let before = first.until("some time", |rows| seconds(rows).filter(|seconds| *seconds >= 4.0)).await;
    for args in [&["wait", &run][..], &["log", "-f", &run]] {
        let later = Terminal::start(&lab, args, &env, (20, 100));
        let told = later.until("the first row", seconds).await;
        assert!(told >= before - 1.0, "{args:?}: {told} s, after {before} s");
    }
}

#[tokio::test]
async fn without_a_terminal_it_is_told_now_and_then_how_far_it_is() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let file = lab.examples().join("simulation.do");
    let run = gateway.api.submit_path(&file, &["600", "20"]).await.run_id.to_string();
    let mut waiting = lab.command(["wait", &run]);
    waiting.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let told = lab::finish(waiting).await;
    let far = told.err.lines().filter(|line| line.contains(" · running ") && line.contains(" %"));
    let far: Vec<&str> = far.collect();
    assert!((1..=4).contains(&far.len()), "{told:#?}");
    assert!(far.iter().all(|line| line.contains(" s on ")), "{told:#?}");
}
