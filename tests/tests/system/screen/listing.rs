//! Finding runs again: the list and its filters, parts of ids, names, waiting for several.

use longhaul_proto::api::RunView;
use longhaul_tests::{
    lab,
    lab::{Lab, Ran},
    pty::on_terminal,
};
use reqwest::Method;
use serde_json::json;

use super::terminal::Terminal;

/// The id that `run --detach` printed.
#[track_caller]
fn id(ran: &Ran) -> String {
    assert_eq!(ran.status, 0, "{ran:#?}");
    ran.out.trim().to_owned()
}

fn short(id: &str) -> &str {
    &id[id.len() - 8..]
}

/// The runs that are listed with these words, in order.
async fn listed(lab: &Lab, words: &[&str]) -> Vec<String> {
    let ran = lab.run([&["runs", "--json"], words].concat()).await;
    assert_eq!(ran.status, 0, "{words:?}: {ran:#?}");
    let runs = ran.out.lines().map(|line| serde_json::from_str::<RunView>(line).unwrap());
    runs.map(|run| run.run_id.to_string()).collect()
}

#[tokio::test]
async fn runs_are_found_again() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--serve-all"]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url());
    let asked = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ben"}));
    let token: serde_json::Value = asked.send().await.unwrap().json().await.unwrap();
    let ben = token["token"].as_str().unwrap().to_owned();
    let operator = gateway.api.token().to_owned();

    // As from a laptop: no agent sees this file.
    let away = lab.path().join("away");
    std::fs::create_dir(&away).unwrap();
    std::fs::write(away.join("weights.do"), "display \"`1'\"\n").unwrap();
    let fails = lab.file("fails.do", "display 1\nerror 9\n");
    let long = lab.file("long.do", "sleep 600000\n");

    lab.env("LONGHAUL_TOKEN", &operator);
    let text = away.join("weights.do");
    let text = text.to_str().unwrap();
    let named = id(&lab.run(["run", "--detach", text, "north", "--name", "nightly", "--note", "new GRÖSSE"]).await);
    let waited = lab.run(["wait", &named]).await;
    assert_eq!(waited.status, 0, "{waited:#?}");
    let failed = id(&lab.run(["run", "--detach", fails.to_str().unwrap()]).await);

    // Several are waited for, each has its verdict, and the worst counts.
    let waited = lab.run(["wait", short(&named), &failed, "last"]).await;
    assert_eq!(waited.status, 1, "{waited:#?}");
    let verdicts: Vec<&str> = waited.err.lines().filter(|line| line.contains(" of output · ")).collect();
    assert_eq!(verdicts.len(), 2, "{waited:#?}");
    assert!(verdicts[0].contains("succeeded") && verdicts[1].contains("failed: r(9)"), "{verdicts:?}");
    let waited = lab.run(["wait", &named, "deadbeef"]).await;
    assert_eq!(waited.status, 4, "{waited:#?}");
    assert!(waited.err.contains("no run `deadbeef`") && !waited.err.contains("stata_"), "{waited:#?}");

    lab.env("LONGHAUL_TOKEN", &ben);
    let running = id(&lab.run(["run", "--detach", long.to_str().unwrap()]).await);
    gateway
        .api
        .wait_run(running.parse().unwrap(), longhaul_tests::wait::SOON, "it runs", |r| r.state.as_str() == "running")
        .await;
    let queued = id(&lab.run(["run", "--detach", "--again", long.to_str().unwrap()]).await);
    let why = |run: &RunView| run.waiting.as_ref().is_some_and(|why| why.contains("seat"));
    gateway.api.wait_run(queued.parse().unwrap(), longhaul_tests::wait::SOON, "its reason", why).await;
    // Theirs alone.
    assert_eq!(listed(&lab, &[]).await, [queued.clone(), running.clone()]);
    assert_eq!(listed(&lab, &["--user", "ben"]).await.len(), 2);
    let refused = lab.run(["runs", "--user", "root"]).await;
    assert!(refused.status == 4 && refused.err.contains("you are ben"), "{refused:#?}");

    lab.env("LONGHAUL_TOKEN", &operator);
    let me = gateway.api.get(&named).await.unwrap().principal;
    let all = [&queued, &running, &failed, &named];
    for (words, want) in [
        (&[][..], &[0, 1, 2, 3][..]),
        (&["--state", "failed,running"], &[1, 2]),
        (&["--state", "failed", "--state", "queued"], &[0, 2]),
        (&["--name", "nightly"], &[3]),
        (&["--name", "night"], &[]),
        (&["--user", "ben"], &[0, 1]),
        (&["--user", &me], &[2, 3]),
        (&["--host", "stata1", "--user", "ben"], &[1]),
        (&["--host", "stata9"], &[]),
        (&["--since", "1h"], &[0, 1, 2, 3]),
        (&["--since", "2100-01-01"], &[]),
        (&["--text", "WEIGHTS"], &[3]),
        (&["--text", "größe"], &[]),
        (&["--text", "größse"], &[]),
        (&["--text", "grösse"], &[3]),
        (&["--text", "North"], &[3]),
        (&["--text", "fails.do", "--state", "failed"], &[2]),
        (&["--limit", "1"], &[0]),
        (&["--limit", "2", "--before", short(all[1])], &[2, 3]),
    ] {
        let want: Vec<String> = want.iter().map(|at| all[*at].clone()).collect();
        assert_eq!(listed(&lab, words).await, want, "{words:?}");
    }
    for (words, status, want) in [
        (&["--limit", "0"][..], 2, "1 or more"),
        (&["--state", "done"], 2, "succeeded"),
        (&["--since", "sometime"], 2, "7d"),
        (&["--before", ""], 2, "the first 4 or more"),
        (&["--name", ""], 2, "`name`"),
        (&["--before", "ffffffff"], 4, "no run `ffffffff`"),
    ] {
        let ran = lab.run([&["runs"], words].concat()).await;
        assert!(ran.status == status && ran.err.contains(want), "{words:?}: {ran:#?}");
    }

    // The next page is told, and is the next.
    let page = lab.run(["runs", "--limit", "3"]).await;
    let next = page.err.lines().find_map(|line| line.strip_prefix("older ones: longhaul ")).expect("the next page");
    let next: Vec<&str> = next.split(' ').collect();
    assert_eq!(listed(&lab, &next[1..]).await, std::slice::from_ref(&named), "{next:?}");

    // Parts of ids.
    let named_short = short(&named);
    for part in [&named, named_short, &named_short[..6], &named[..named.len() - 3]] {
        let shown = lab.run(["show", part, "--json"]).await;
        let found = serde_json::from_str::<RunView>(&shown.out).map(|run| run.run_id.to_string());
        assert_eq!(found.ok().as_ref(), Some(&named), "{part}: {shown:#?}");
    }
    let several = lab.run(["show", &named[..6]]).await;
    assert_eq!(several.status, 4);
    assert!(all.iter().all(|run| several.err.contains(short(run))), "{several:#?}");
    let last: RunView = serde_json::from_str(&lab.run(["show", "last", "--json"]).await.out).unwrap();
    assert_eq!(last.run_id.to_string(), failed, "the caller's own");

    // All of a run's record.
    let shown = lab.run(["show", &named, "--utc"]).await.out;
    for line in ["name          nightly", "user note     new GRÖSSE", "file          weights.do", "arguments     north"]
    {
        assert!(shown.lines().any(|l| l == line), "{line}: {shown}");
    }
    let recorded = shown.lines().find(|line| line.starts_with("recorded ")).unwrap();
    assert!(recorded.ends_with(" UTC"), "{shown}");

    the_table(&lab, &all).await;
}

/// Mistakes in a command line are told with what is right, and end with 2; what is right is taken.
#[tokio::test]
async fn command_lines_are_read_as_they_are_meant() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    lab.file("fine.do", "display \"got `1' `2'\"\n");
    let what = "its last 8 or more characters";
    for (words, want) in [
        (&["run", "fine.do", "--timeout", "0"][..], "timeout must be"),
        (&["run", "fine.do", "--queue-timeout", "0"], "queue_timeout must be"),
        (&["run", "fine.do", "--name", " "], "name must be"),
        (&["run", "fine.do", "--name", &"x".repeat(81)], "name must be"),
        (&["run", "fine.do", "--note", &"x".repeat(501)], "note must be"),
        (&["run", "fine.do", "--host", ""], "host must be"),
        (&["run", "fine.do", "a`b"], "backtick"),
        (&["token", "add", "a b"], "field `name`"),
        (&["token", "add", "x", "--expires", "0"], "field `expires_in`"),
        (&["show", ""], what),
        (&["wait", "last", " "], what),
        (&["cancel", ""], what),
        (&["log", ""], what),
        (&["rerun", ""], what),
        (&["do-files", ""], what),
        (&["declare-dead", ""], what),
        (&["runs", "adopt", ""], what),
    ] {
        let ran = lab.run(words).await;
        assert!(ran.status == 2 && ran.err.contains(want), "{words:?}: {ran:#?}");
    }
    let mut control = lab.command(["run", "fine.do", "--timeout", "0"]);
    control.env("LONGHAUL_FAULTS", "bug=usage_is_a_failure");
    assert_eq!(lab::finish(control).await.status, 4, "the control");

    // The first word that is no flag is the do-file, also after `--`; the verdict names it with its arguments.
    for words in [
        &["run", "--again", "fine.do", "north", "two words"][..],
        &["run", "--again", "--", "fine.do", "north", "two words"],
    ] {
        let ran = lab.run(words).await;
        assert!(ran.status == 0 && ran.out.contains("got north two words"), "{words:?}: {ran:#?}");
        assert!(ran.err.contains(" on stata1 · fine.do north \"two words\" · "), "{ran:#?}");
    }
    let ran = lab.run(["run"]).await;
    assert!(ran.status == 2 && ran.err.contains("FILE"), "{ran:#?}");

    // A date is one of the zone in which times are shown.
    let now_ms = longhaul_proto::clock::Clock::system().unix_ms();
    let soon = longhaul_proto::clock::rfc3339(now_ms + 30 * 60 * 1000).unwrap();
    let soon = soon[..16].replace('T', " ");
    for (flag, found) in [(None, true), (Some("--utc"), false)] {
        // In Tokyo the clocks are nine hours ahead: half past from now by the clock of UTC was long ago there.
        let mut command = lab.command(["runs", "--json", "--since", &soon]);
        command.env("TZ", "Asia/Tokyo").args(flag);
        let ran = lab::finish(command).await;
        assert_eq!((ran.status, !ran.out.is_empty()), (0, found), "{flag:?}: {ran:#?}");
    }
}

async fn the_table(lab: &Lab, all: &[&String; 4]) {
    let [queued, running, failed, named] = all.map(|id| short(id));
    let env = [("TERM", "xterm"), ("TZ", "Asia/Tokyo")];
    let seen = on_terminal(lab, &["runs"], &env).await.text();
    let rows: Vec<&str> = seen.split("\r\n").collect();
    let row = |id: &str| *rows.iter().find(|row| row.starts_with(id)).unwrap_or_else(|| panic!("{id}: {seen}"));
    assert!(rows[0].contains("WHEN (JST)") && rows[0].contains("WHO"), "{seen}");
    assert!(row(failed).contains("\u{1b}[31mfailed r(9)\u{1b}[0m") && row(failed).ends_with("fails.do"), "{seen}");
    assert!(row(named).contains("\u{1b}[32msucceeded\u{1b}[0m"), "{seen}");
    assert!(row(named).contains("nightly · weights.do"), "{seen}");
    assert!(row(running).contains(" s ") && row(running).contains("stata1"), "{seen}");
    let at = rows.iter().position(|row| row.starts_with(queued)).unwrap();
    assert!(rows[at + 1].starts_with("          1st: waiting for a seat"), "{seen}");
    let longest = rows.iter().map(|row| row.replace("\u{1b}[31m", "").chars().count()).max().unwrap();
    assert!(longest <= 100, "{longest}: {seen}");

    for (env, coloured) in [
        (&[("TERM", "xterm"), ("NO_COLOR", "1")][..], false),
        (&[("TERM", "dumb")], false),
        (&[("TERM", "xterm")], true),
    ] {
        let seen = on_terminal(lab, &["runs", "--utc"], env).await.text();
        assert_eq!(seen.contains("\u{1b}["), coloured, "{env:?}: {seen}");
        assert!(seen.contains("WHEN (UTC)"), "{seen}");
        if !coloured {
            assert!(seen.split("\r\n").all(|row| row.chars().count() <= 80), "{seen}");
        }
    }
    // Where a row has no room it is two, and none is wider than the screen.
    let screen = Terminal::start(lab, &["runs", "--utc"], &[("TERM", "xterm")], (60, 40));
    let (status, rows) = screen.end().await;
    assert_eq!(status, 0);
    assert!(rows[0].starts_with("RUN ") && rows[1].starts_with("  WHEN (UTC) · HOST · WHO"), "{rows:#?}");
    let at = rows.iter().position(|row| row.starts_with(failed)).unwrap();
    assert!(rows[at].contains("failed r(9)") && rows[at + 1].ends_with("fails.do"), "{rows:#?}");
    let whole =
        |row: &String| row.starts_with("  ") || row.split(' ').next().is_some_and(|id| id.len() == 8 || id == "RUN");
    assert!(rows.iter().all(whole), "{rows:#?}");
    for (force, coloured) in [(None, false), (Some("1"), true)] {
        let mut piped = lab.command(["wait", failed]);
        piped.env("TERM", "xterm");
        if let Some(force) = force {
            piped.env("CLICOLOR_FORCE", force);
        }
        let piped = lab::finish(piped).await;
        assert_eq!(piped.err.contains("\u{1b}[31mstand-in, not Stata: failed"), coloured, "{piped:#?}");
    }
}
