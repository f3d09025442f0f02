//! Tools that list runs and hosts, and the tool that cancels a run.

use std::{fmt::Write, sync::Arc, time::Duration};

use longhaul_proto::{
    api::{CancelMode, Hosts},
    state::RunState,
};

use super::{
    call::{Call, Reply},
    output::ToolOutput,
    result, words,
};
use crate::{
    model::{ContactState, RunSnapshot, UnixMs},
    runs::{ListFilter, RunFilter},
};

/// How long a cancel waits for the agent to confirm the request.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Runs listed by default, and at most.
const PAGE: (u64, u64) = (20, 100);

/// `stata_runs`.
pub(super) async fn runs(call: &Call) -> Reply {
    let runs = &call.frontend.core.runs;
    let before = match call.args.text("before") {
        Some(name) => Some(runs.find(&call.who, &name).await.map_err(|e| e.to_string())?),
        None => None,
    };
    let limit = u32::try_from(call.args.whole("limit").unwrap_or(PAGE.0).min(PAGE.1)).unwrap_or(u32::MAX);
    let state = call.args.text("state").and_then(|word| word.parse::<RunState>().ok());
    let page = call
        .runs(ListFilter { limit, before, which: RunFilter::in_state(state), ..ListFilter::default() })
        .await
        .map_err(|e| e.to_string())?;
    if page.runs.is_empty() {
        return Ok(ToolOutput::ok("no runs"));
    }
    page.runs.iter().for_each(|view| call.shows(view));
    let now = call.now_ms();
    let mut text: String = page.runs.iter().map(|view| line(call, view, now)).collect();
    text.push_str("Result or new output: stata_wait(runs: id). Output: stata_log(run: id).");
    if let Some(next) = page.next {
        let _ = write!(text, " Older: stata_runs(before: \"{}\").", next.short());
    }
    Ok(ToolOutput::ok(text))
}

/// `7f3a9c21  failed: … · /home/me/a.do · 2026-11-22T15:00:00.000Z`.
fn line(call: &Call, view: &RunSnapshot, now_ms: i64) -> String {
    let short = view.run.short();
    let told = if view.state.is_end() {
        let first = result::head(view, None);
        first.lines().next().unwrap_or_default().replace(&format!(" · run {short}"), "")
    } else {
        words::whole(view, None, now_ms).replace(&format!(" · {short}"), "")
    };
    let mut text = format!("{short}  {told}");
    if let Some(error) = view.error.as_ref().filter(|_| view.state == RunState::Failed) {
        let _ = write!(text, " · {}", error.kind);
    }
    if let Some(name) = view.name.as_ref().filter(|name| !told.contains(name.as_str())) {
        let _ = write!(text, " · {}", words::cut(&words::plain(name), 80));
    }
    if view.source.contains(['/', '\\']) {
        let _ = write!(text, " · {}", words::cut(&words::plain(&view.source), 100));
    }
    if let Some(at) = view.created.map(UnixMs::rfc3339) {
        let _ = write!(text, " · {at}");
    }
    if view.unverified {
        text.push_str(" · unverified: an agent brought it, and it has no principal");
    } else if call.who.principal != view.principal {
        let _ = write!(text, " · of {}", view.principal);
    }
    text.push('\n');
    text
}

/// `stata_cancel`.
pub(super) async fn cancel(call: &Call) -> Reply {
    let name = call.args.text("run").unwrap_or_default();
    let mode = match call.args.text("mode").as_deref() {
        Some("terminate") => CancelMode::Terminate,
        Some("kill") => CancelMode::Kill,
        _ => CancelMode::Break,
    };
    let runs = &call.frontend.core.runs;
    let run = runs.find(&call.who, &name).await.map_err(|e| e.to_string())?;
    let mut view = call.narrowed(runs.cancel(&call.who, run, mode).await.map_err(|e| e.to_string())?);
    if view.contact.is_none() && (!view.state.is_end() || view.runs_again) {
        // A connected agent confirms within a moment, and then the answer can say so.
        let mut live = call.watched(run).await.map_err(|e| e.to_string())?;
        let done = |view: &Arc<RunSnapshot>| {
            (view.state.is_end() && !view.runs_again) || view.cancel.as_ref().is_some_and(|wish| wish.delivered)
        };
        let _ = tokio::time::timeout(TOLD_WITHIN, live.until(done)).await;
        view = live.now();
    }
    call.shows(&view);
    let short = run.short();
    let state = words::whole(&view, None, call.now_ms());
    Ok(ToolOutput::ok(if view.state == RunState::Cancelled {
        format!("{state}\nIts output is kept: stata_log(run: \"{short}\", tail: 50).")
    } else if view.state.is_end() && (view.state != RunState::Lost || view.cancel.is_none()) {
        format!("run {short} had ended already: {state}\nIts result: stata_wait(runs: \"{short}\").")
    } else {
        format!(
            "{state}\nThe request to end it is recorded{}. stata_wait(runs: \"{short}\") says when it has ended.",
            told(&view)
        )
    }))
}

/// Whether the agent knows of a request, worded to follow "The request to end it is recorded".
fn told(view: &RunSnapshot) -> String {
    let host = view.host.as_deref().unwrap_or("its host");
    if view.cancel.as_ref().is_some_and(|wish| wish.delivered) {
        return " and its agent is told".to_owned();
    }
    match &view.contact {
        Some(contact) if contact.state == ContactState::Silent => format!(
            "; its agent is not told yet ({}): it is when it returns, and its seat is taken until then, or until an operator \
             says with `longhaul declare-dead {}` that it never will",
            contact.words,
            view.run.short()
        ),
        Some(contact) => format!("; its agent is not told yet ({}): it is when it is reached", contact.words),
        None if view.state == RunState::Lost && !view.runs_again => {
            format!("; if the agent on {host} returns and the run still goes on there, it is ended")
        }
        None => "; its agent is being told".to_owned(),
    }
}

/// `stata_hosts`.
pub(super) async fn hosts(call: &Call) -> Reply {
    Ok(ToolOutput::ok(hosts_text(&call.frontend.core.runs.hosts(&call.who).await)))
}

fn hosts_text(all: &Hosts) -> String {
    let mut text = String::new();
    if all.hosts.is_empty() {
        text.push_str(
            "no agent has joined: runs wait until one does. Start `longhaul agent --gateway URL` on the Stata host.\n",
        );
    }
    for host in &all.hosts {
        let engines = if host.engines.is_empty() { "no Stata found".to_owned() } else { host.engines.join(", ") };
        let _ = writeln!(
            text,
            "{}: {}, {} of {} runs, pool {}, {engines}, {} cores{}",
            host.name,
            host.state,
            host.running,
            host.host_limit,
            host.pool,
            host.cores,
            if host.os_user.is_empty() { String::new() } else { format!(", as user {}", host.os_user) }
        );
        if let Some(egress) = &host.egress {
            let _ = writeln!(text, "  leaves to AI clients: {egress}");
        }
        if let Some(problem) = &host.problem {
            let _ = writeln!(text, "  problem: {problem}");
        }
        if let Some(note) = &host.note {
            let _ = writeln!(text, "  note: {note}");
        }
        if let Some(licence) = &host.licence_terms {
            let _ = writeln!(text, "  licence: {}", licence.words);
        }
        for holder in &host.holders {
            let since = holder.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
            let _ =
                writeln!(text, "  seat: run {} of {}{since}", holder.run_id.short(), words::plain(&holder.principal));
        }
        for foreign in &host.foreign {
            let by = foreign.user.as_ref().map(|user| format!(" by {}", words::plain(user))).unwrap_or_default();
            let since = foreign.since.as_ref().map(|since| format!(", since {since}")).unwrap_or_default();
            let seats = if foreign.takes_seats { ", each takes a seat" } else { "" };
            let _ = writeln!(text, "  Stata outside Longhaul: {}{by}{since}{seats}", foreign.processes);
        }
        if !host.roots.is_empty() {
            let _ = writeln!(text, "  do-files under: {}", host.roots.join(", "));
        }
    }
    for pool in &all.pools {
        let _ = write!(text, "pool {}: {} of {} seats in use", pool.name, pool.in_use, pool.seats);
        let _ = match &pool.note {
            Some(note) => writeln!(text, " ({note})"),
            None => writeln!(text),
        };
    }
    for waiting in &all.queue {
        let _ = writeln!(text, "waiting {}: {}", waiting.run_id.short(), waiting.waiting);
    }
    for run in &all.returned {
        let _ = writeln!(text, "run {}: {}", run.run_id.short(), run.waiting);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use longhaul_proto::api::{ForeignView, HolderView, HostView, LicenceView, PoolView};

    use super::*;

    #[test]
    fn hosts_in_words() {
        assert!(hosts_text(&Hosts::default()).contains("longhaul agent"));
        let host = HostView {
            name: "stata1".into(),
            state: "up".into(),
            running: 1,
            host_limit: 2,
            pool: "lab".into(),
            cores: 8,
            os_user: "me".into(),
            problem: Some("clock".into()),
            holders: vec![HolderView {
                run_id: "01a20414-49e1-74ff-9b78-91133be83fb6".parse().unwrap(),
                principal: "ana".into(),
                since: Some("2026-11-26T09:12:00Z".into()),
            }],
            licence_terms: Some(LicenceView { words: "2 seats, 4 cores".into(), ..LicenceView::default() }),
            foreign: vec![ForeignView { user: Some("ben".into()), processes: 2, since: None, takes_seats: true }],
            ..HostView::default()
        };
        let pool = PoolView { name: "lab".into(), seats: 1, in_use: 1, ..PoolView::default() };
        let text = hosts_text(&Hosts { hosts: vec![host], pools: vec![pool], ..Hosts::default() });
        assert_eq!(
            text,
            "stata1: up, 1 of 2 runs, pool lab, no Stata found, 8 cores, as user me\n  problem: clock\n  licence: 2 seats, 4 cores\n  seat: run 3be83fb6 of \
             ana since 2026-11-26T09:12:00Z\n  Stata outside Longhaul: 2 by ben, each takes a seat\npool lab: 1 of 1 seats in use"
        );
    }
}
