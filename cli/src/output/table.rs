//! Tables for people.

use longhaul_proto::api::{AgentKeyView, DoFileView, HostView, Hosts, RunDoFiles, RunView};

use super::{bytes, duration, status_text};

/// The runs, newest first, a line each.
pub(crate) fn runs(runs: &[RunView]) -> String {
    let rows: Vec<[String; 5]> = runs
        .iter()
        .map(|run| {
            let state = match (run.rc, run.state.is_end()) {
                _ if run.runs_again => {
                    format!("{}, but running again on {}", run.state, run.host.as_deref().unwrap_or("its host"))
                }
                (Some(rc), true) => format!("{} r({rc})", run.state),
                (_, true) => run.state.to_string(),
                (_, false) => status_text(run, None).chars().take(60).collect(),
            };
            [
                run.run_id.short(),
                run.created_at.as_deref().map(minute).unwrap_or_default(),
                state,
                run.duration.map(duration).unwrap_or_default(),
                what(run),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no runs yet\n".into();
    }
    columns(["RUN", "SUBMITTED (UTC)", "STATE", "TIME", "WHAT"], &rows)
}

/// The keys of agents, a line each.
pub(crate) fn agents(keys: &[AgentKeyView]) -> String {
    if keys.is_empty() {
        return "no agent has joined yet\n".into();
    }
    let row = |key: &AgentKeyView| {
        let state = if key.connected { format!("{}, connected", key.state) } else { key.state.clone() };
        let short = key.key.get(..12).unwrap_or(&key.key).to_owned();
        [key.name.clone(), state, minute(&key.since), key.by.clone(), short]
    };
    let rows: Vec<[String; 5]> = keys.iter().map(row).collect();
    columns(["AGENT", "STATE", "SINCE (UTC)", "BY", "KEY"], &rows)
}

/// The do-files that a run entered, a line each, and what is to be said of them.
pub(crate) fn do_files(listed: &RunDoFiles) -> String {
    let row = |file: &DoFileView| {
        let kept = match (&file.why_not, file.perhaps_changed) {
            (Some(why), _) => format!("not kept: {why}"),
            (None, true) => "kept; perhaps not what ran: it was changed while the run went on".to_owned(),
            (None, false) => "kept".to_owned(),
        };
        let short = file.sha256.as_deref().and_then(|sha256| sha256.get(..12)).unwrap_or("-").to_owned();
        [file.order.to_string(), short, bytes(file.bytes), file.path.clone(), kept]
    };
    let rows: Vec<[String; 5]> = listed.do_files.iter().map(row).collect();
    let note = listed.note.as_ref().map(|note| format!("{note}\n"));
    match (rows.is_empty(), note) {
        (true, note) => note.unwrap_or_else(|| "it entered no do-file\n".to_owned()),
        (false, note) => columns(["#", "SHA-256", "SIZE", "DO-FILE", "BYTES"], &rows) + &note.unwrap_or_default(),
    }
}

/// The source of a run; for an unverified run also the principal that its spool names.
fn what(run: &RunView) -> String {
    let what = [std::slice::from_ref(&run.source), &run.args].concat().join(" ");
    if !run.unverified {
        return what;
    }
    let whom = run.claims.as_deref().map(|name| format!(", said to be {name}'s")).unwrap_or_default();
    format!("[unverified{whom}; `longhaul runs adopt {}`] {what}", run.run_id.short())
}

/// `2026-11-22 15:04` of an RFC 3339 time.
fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

/// Agents, pools and the caller's queue.
pub(crate) fn hosts(hosts: &Hosts) -> String {
    let mut out = String::new();
    if hosts.hosts.is_empty() {
        out.push_str("no agents yet: start one on a Stata host with `longhaul agent --gateway URL`\n");
    } else {
        let rows: Vec<[String; 6]> = hosts.hosts.iter().map(row).collect();
        out.push_str(&columns(["HOST", "STATE", "RUNS", "POOL", "ENGINES", "WHERE"], &rows));
        hosts.hosts.iter().for_each(|host| remarks(host, &mut out));
    }
    if !hosts.pools.is_empty() {
        let rows: Vec<[String; 4]> = hosts
            .pools
            .iter()
            .map(|p| {
                let note = p.note.clone().unwrap_or_default();
                [p.name.clone(), format!("{}/{}", p.in_use, p.seats), p.hosts.join(", "), note]
            })
            .collect();
        out.push('\n');
        out.push_str(&columns(["POOL", "SEATS", "HOSTS", ""], &rows));
    }
    if !hosts.queue.is_empty() {
        let rows: Vec<[String; 2]> = hosts.queue.iter().map(|q| [q.run_id.short(), q.waiting.clone()]).collect();
        out.push('\n');
        out.push_str(&columns(["WAITING", "WHY"], &rows));
    }
    for run in &hosts.returned {
        out.push_str(&format!("\n{}: {}\n", run.run_id.short(), run.waiting));
    }
    out
}

fn row(host: &HostView) -> [String; 6] {
    let at = if host.os_user.is_empty() { "" } else { "@" };
    [
        host.name.clone(),
        if host.state == "silent" { format!("silent {}", duration(host.last_seen)) } else { host.state.clone() },
        format!("{}/{}", host.running, host.host_limit),
        host.pool.clone(),
        if host.engines.is_empty() { "none".into() } else { host.engines.join(", ") },
        format!("{}{at}{} · {} free", host.os_user, host.hostname, bytes(host.free_bytes)),
    ]
}

/// What is to be said of a host besides its row.
fn remarks(host: &HostView, out: &mut String) {
    if let Some(problem) = &host.problem {
        out.push_str(&format!("{}: {problem}\n", host.name));
    }
    match (&host.note, &host.serves) {
        (Some(note), _) => out.push_str(&format!("{}: {note}\n", host.name)),
        (None, Some(names)) => out.push_str(&format!("{}: takes the runs of {}\n", host.name, names.join(", "))),
        (None, None) => {}
    }
}

fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let width: [usize; N] = std::array::from_fn(|i| all().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for row in all() {
        let cells: Vec<String> = row.iter().zip(width).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use longhaul_proto::{
        api::{HostView, PoolView},
        state::RunState,
    };

    use super::*;
    use crate::output::verdict::tests::run;

    #[test]
    fn runs_stand_in_columns() {
        let mut failed = run(RunState::Failed);
        failed.rc = Some(9);
        failed.args = vec!["north".into()];
        let want = "\
RUN       SUBMITTED (UTC)   STATE              TIME        WHAT
7f3a9c21  2026-11-22 15:00  failed r(9)        4 min 10 s  /home/ana/main.do north
7f3a9c21  2026-11-22 15:00  running on stata1  4 min 10 s  /home/ana/main.do
";
        assert_eq!(runs(&[failed, run(RunState::Running)]), want);
        let mut found = run(RunState::Succeeded);
        (found.unverified, found.claims) = (true, Some("bob".into()));
        let text = runs(&[found]);
        assert!(text.contains("[unverified, said to be bob's; `longhaul runs adopt 7f3a9c21`] /home"), "{text}");
        assert_eq!(runs(&[]), "no runs yet\n");
    }

    #[test]
    fn a_host_that_takes_no_runs_says_why() {
        let host = HostView {
            name: "stata1".into(),
            state: "idle".into(),
            problem: Some("no Stata found".into()),
            os_user: "ana".into(),
            hostname: "s1".into(),
            pool: "lab".into(),
            host_limit: 1,
            ..HostView::default()
        };
        let pool = PoolView { name: "lab".into(), seats: 1, hosts: vec!["stata1".into()], ..PoolView::default() };
        let text = hosts(&Hosts { hosts: vec![host], pools: vec![pool], ..Hosts::default() });
        assert!(text.contains("stata1: no Stata found\n"), "{text}");
        assert!(text.contains("lab   0/1"), "{text}");
        assert!(hosts(&Hosts::default()).contains("longhaul agent --gateway"));
    }
}
