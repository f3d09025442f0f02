//! Tables for people.

use longhaul_proto::api::{
    AgentKeyView, DoFileView, HostView, Hosts, InvitationView, PoolView, RunDoFiles, RunFileView, RunFiles,
};
use serde_json::Value;

use super::{When, bytes, colour, duration, shown};

/// The keys of agents, a line each.
pub(crate) fn agents(keys: &[AgentKeyView], when: &When) -> String {
    if keys.is_empty() {
        return "no agent has joined yet\n".into();
    }
    let row = |key: &AgentKeyView| {
        let state = if key.connected { format!("{}, connected", key.state) } else { key.state.clone() };
        let short = key.key.get(..12).unwrap_or(&key.key).to_owned();
        let until = key.certificate_until.as_ref().map_or_else(|| "-".to_owned(), |at| when.minute(at));
        [key.name.clone(), state, when.minute(&key.since), key.by.clone(), until, short]
    };
    let rows: Vec<[String; 6]> = keys.iter().map(row).collect();
    columns(["AGENT", "STATE", "SINCE", "BY", "CERTIFICATE UNTIL", "KEY"], &rows)
}

/// Invitations, a line each.
pub(crate) fn invitations(all: &[InvitationView], when: &When) -> String {
    if all.is_empty() {
        return "no agent is invited: `longhaul agents invite NAME`\n".into();
    }
    let row = |one: &InvitationView| {
        let state = match &one.used_at {
            Some(at) => format!("used {}", when.minute(at)),
            None => one.state.clone(),
        };
        [one.name.clone(), state, when.minute(&one.expires_at), one.serves.clone(), one.by.clone(), one.id.clone()]
    };
    let rows: Vec<[String; 6]> = all.iter().map(row).collect();
    columns(["AGENT", "STATE", "EXPIRES", "SERVES", "BY", "ID"], &rows)
}

/// The tokens of a gateway, a line each.
pub(crate) fn tokens(tokens: &[Value], when: &When) -> String {
    let word = |token: &Value, key: &str| token[key].as_str().unwrap_or("").to_owned();
    let day = |time: String| when.minute(&time);
    let row = |token: &Value| {
        let state = match (word(token, "revoked_at"), token["expired"].as_bool()) {
            (at, _) if !at.is_empty() => format!("revoked {}", day(at)),
            (_, Some(true)) => "expired".to_owned(),
            _ => "valid".to_owned(),
        };
        let expires = Some(word(token, "expires_at")).filter(|at| !at.is_empty()).map_or("never".to_owned(), day);
        let used = Some(word(token, "last_used_at")).filter(|at| !at.is_empty()).map_or("-".to_owned(), day);
        [word(token, "name"), word(token, "principal"), word(token, "scope"), state, expires, used]
    };
    let limited = |token: &Value| {
        let names = |key: &str, what: &str| {
            let names: Vec<&str> = token["limits"][key].as_array()?.iter().filter_map(Value::as_str).collect();
            (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
        };
        let all = [names("hosts", "host"), names("pools", "pool"), names("roots", "do-files below")];
        let words: Vec<String> = all.into_iter().flatten().collect();
        (!words.is_empty()).then(|| format!("{}: limited to {}\n", word(token, "name"), words.join("; ")))
    };
    let rows: Vec<[String; 6]> = tokens.iter().map(row).collect();
    let table = columns(["TOKEN", "PRINCIPAL", "SCOPE", "STATE", "EXPIRES", "LAST USED"], &rows);
    let table = tokens.iter().filter_map(limited).fold(table, |table, limits| table + &limits);
    let overlaps = |token: &Value| {
        let until = Some(word(token, "secret_before_until")).filter(|at| !at.is_empty())?;
        Some(format!("{}: the secret before is accepted until {}\n", word(token, "name"), day(until)))
    };
    let table = tokens.iter().filter_map(overlaps).fold(table, |table, overlap| table + &overlap);
    match tokens.iter().map(|token| word(token, "uses_known_since")).find(|since| !since.is_empty()) {
        Some(since) => format!("{table}uses are known since {}\n", day(since)),
        None => table,
    }
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

/// The files that a run left, a line each, and what is to be said of them. Harmless as it is.
pub(crate) fn files(listed: &RunFiles, when: &When) -> String {
    let row = |file: &RunFileView| {
        let mut said = vec![if file.created { "created" } else { "changed" }.to_owned()];
        said.push(if file.kept { "kept with the run" } else { "on its host" }.to_owned());
        said.extend(file.perhaps_changed.then(|| "written to after the run's end".to_owned()));
        said.extend(file.why_not.clone());
        let short = file.sha256.as_deref().and_then(|sha256| sha256.get(..12)).unwrap_or("-").to_owned();
        let at = file.modified_at.as_deref().map_or_else(|| "-".to_owned(), |at| when.minute(at));
        [short, bytes(file.bytes), at, file.name.clone(), said.join(", ")]
    };
    let rows: Vec<[String; 5]> = listed.files.iter().map(row).collect();
    let note = listed.note.as_ref().map(|note| format!("{note}\n"));
    let shared = listed.shared_with.iter().take(5).map(|id| id[id.len().saturating_sub(8)..].to_owned());
    let shared = shared.collect::<Vec<_>>().join(", ");
    let shared = match shared.is_empty() {
        true => String::new(),
        false => format!("run {shared} ran in the same folder meanwhile: these may be its files\n"),
    };
    let text = match (rows.is_empty(), note) {
        (true, note) => note.unwrap_or_else(|| "it left no file\n".to_owned()),
        (false, note) => {
            let place = listed.folder.as_deref().unwrap_or_default();
            let place = format!("in {}:{place}\n", listed.host.as_deref().unwrap_or("its host"));
            let table = columns(["SHA-256", "SIZE", "WRITTEN", "FILE", "WHAT"], &rows);
            place + &table + &note.unwrap_or_default() + &shared
        }
    };
    shown(&text).into_owned()
}

/// Agents, pools and the caller's queue; the states of agents in colour where colours are wanted. Harmless as it is.
pub(crate) fn hosts(hosts: &Hosts, when: &When, colours: bool) -> String {
    let text = when.in_text(&plain_hosts(hosts, when));
    let text = shown(&text);
    let mut out = String::with_capacity(text.len() + 32 * hosts.hosts.len());
    for (n, line) in text.split_inclusive('\n').enumerate() {
        // The first line is the head.
        let host = n.checked_sub(1).and_then(|n| hosts.hosts.get(n)).filter(|_| colours);
        out.push_str(&host.map_or_else(|| line.to_owned(), |host| painted(line, host)));
    }
    out
}

fn painted(line: &str, host: &HostView) -> String {
    let tone = match host.state.as_str() {
        "up" => colour::Tone::Good,
        "silent" | "unreachable" => colour::Tone::Bad,
        _ => colour::Tone::Warning,
    };
    line.replacen(&format!(" {}", host.state), &format!(" {}", colour::paint(&host.state, tone, true)), 1)
}

fn plain_hosts(hosts: &Hosts, when: &When) -> String {
    let mut out = String::new();
    if hosts.hosts.is_empty() {
        out.push_str("no agents yet: `longhaul agents invite NAME` prints the command that joins one, to be run on its Stata host\n");
    } else {
        let rows: Vec<[String; 10]> = hosts.hosts.iter().map(|host| row(host, &hosts.pools, when)).collect();
        let head = ["HOST", "STATE", "RUNS", "FREE", "POOL", "ENGINES", "CORES", "VERSION", "SINCE", "WHERE"];
        out.push_str(&columns(head, &rows));
        hosts.hosts.iter().for_each(|host| remarks(host, &hosts.pools, when, &mut out));
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

fn row(host: &HostView, pools: &[PoolView], when: &When) -> [String; 10] {
    let at = if host.os_user.is_empty() { "" } else { "@" };
    let seats =
        pools.iter().find(|pool| pool.name == host.pool).map_or(0, |pool| pool.seats.saturating_sub(pool.in_use));
    let free = if host.state == "up" { host.host_limit.saturating_sub(host.running).min(seats) } else { 0 };
    let known = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    [
        host.name.clone(),
        if host.state == "silent" { format!("silent {}", duration(host.last_seen)) } else { host.state.clone() },
        format!("{}/{}", host.running, host.host_limit),
        free.to_string(),
        host.pool.clone(),
        if host.engines.is_empty() { "none".into() } else { host.engines.join(", ") },
        host.cores.to_string(),
        known(&host.version),
        known(&host.since.as_deref().map(|at| when.minute(at)).unwrap_or_default()),
        format!("{}{at}{} · {} free", host.os_user, host.hostname, bytes(host.free_bytes)),
    ]
}

/// What is to be said of a host besides its row.
fn remarks(host: &HostView, pools: &[PoolView], when: &When, out: &mut String) {
    let seats = pools.iter().find(|pool| pool.name == host.pool).map_or(0, |pool| pool.seats);
    if let Some(problem) = &host.problem {
        out.push_str(&format!("{}: {problem}\n", host.name));
    }
    match (&host.note, &host.serves) {
        (Some(note), _) => out.push_str(&format!("{}: {note}\n", host.name)),
        (None, Some(names)) => out.push_str(&format!("{}: takes the runs of {}\n", host.name, names.join(", "))),
        (None, None) => {}
    }
    if let Some(limits) = &host.limits {
        out.push_str(&format!("{}: a run may use {}\n", host.name, limits.words()));
    }
    if let Some(licence) = &host.licence_terms {
        out.push_str(&format!("{}: licence: {}\n", host.name, licence.words));
    }
    if !host.labels.is_empty() {
        let labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        out.push_str(&format!("{}: labels {}\n", host.name, labels.join(", ")));
    }
    if let Some(egress) = &host.egress {
        out.push_str(&format!("{}: leaves to AI clients: {egress}\n", host.name));
    }
    if let Some(kinds) = &host.confirm {
        out.push_str(&format!("{}: a person must agree to a run with: {kinds}\n", host.name));
    }
    for foreign in &host.foreign {
        let by = foreign.user.as_deref().map(|user| format!(" by {user},")).unwrap_or_default();
        let since = foreign.since.as_deref().map(|at| format!(", since {}", when.minute(at))).unwrap_or_default();
        let n = foreign.processes;
        out.push_str(&match foreign.takes_seats {
            true => format!("{}: {n} of {seats} seats{by} outside Longhaul{since}\n", host.name),
            false => {
                format!("{}: {n} Stata{by} outside Longhaul{since}; with `count_foreign` it takes a seat\n", host.name)
            }
        });
    }
    for holder in &host.holders {
        let since = holder.since.as_deref().map_or("it starts".to_owned(), |at| format!("since {}", when.minute(at)));
        out.push_str(&format!("{}: run {} of {}, {since}\n", host.name, holder.run_id.short(), holder.principal));
    }
}

pub(crate) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
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
    use longhaul_proto::api::{HostView, PoolView};

    use super::*;

    #[test]
    fn a_token_is_listed_without_itself() {
        let token = |name: &str| {
            serde_json::json!({
                "name": name, "principal": "ana", "scope": "use", "expires_at": "2026-11-26T00:19:48Z", "expired": false,
                "revoked_at": null, "uses_known_since": "2026-11-22T15:00:00Z"
            })
        };
        let (mut old, mut gone) = (token("old"), token("gone"));
        old["expired"] = true.into();
        gone["revoked_at"] = "2026-11-22T15:00:00Z".into();
        gone["expires_at"] = Value::Null;
        gone["last_used_at"] = "2026-11-22T15:01:00Z".into();
        let want = "\
TOKEN  PRINCIPAL  SCOPE  STATE                         EXPIRES               LAST USED
ci     ana        use    valid                         2026-11-26 00:19 UTC  -
old    ana        use    expired                       2026-11-26 00:19 UTC  -
gone   ana        use    revoked 2026-11-22 15:00 UTC  never                 2026-11-22 15:01 UTC
uses are known since 2026-11-22 15:00 UTC
";
        assert_eq!(tokens(&[token("ci"), old, gone], &When::new(true)), want);
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
        let text = hosts(&Hosts { hosts: vec![host], pools: vec![pool], ..Hosts::default() }, &When::new(true), false);
        assert!(text.contains("stata1: no Stata found\n"), "{text}");
        assert!(text.contains("lab   0/1"), "{text}");
        assert!(hosts(&Hosts::default(), &When::new(true), false).contains("longhaul agents invite"));
    }
}
