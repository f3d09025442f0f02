//! Looks at what a submission names before it is recorded: hosts and labels that exist, and the do-file on an agent.

use std::{collections::BTreeSet, sync::Arc};

use longhaul_proto::{faults, wire::submission::Source};

use super::{Inner, SubmitError, check::Checked};
use crate::{fleet::Inspected, model::Identity};

/// Most names of hosts or labels in an error.
const MOST_NAMED: usize = 20;

/// Refuses a host or a label that no agent ever had: waiting for it would be useless.
pub(super) async fn known(inner: &Arc<Inner>, checked: &Checked) -> Result<(), SubmitError> {
    let need = &checked.need;
    if (need.host.is_empty() && need.labels.is_empty()) || faults::bug("unknown_host_waits") {
        return Ok(());
    }
    let wanted: Vec<String> = need.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let (mut names, mut labels) = inner.fleet.known();
    let has = |names: &BTreeSet<String>, labels: &BTreeSet<String>| {
        (need.host.is_empty() || names.contains(&need.host)) && wanted.iter().all(|label| labels.contains(label))
    };
    if has(&names, &labels) {
        return Ok(());
    }
    // Agents that have been away for long are not in the fleet, and may still return.
    for agent in inner.ledger.agents().await.map_err(SubmitError::Ledger)? {
        names.insert(agent.info.name);
        labels.extend(agent.info.labels.iter().map(|(key, value)| format!("{key}={value}")));
    }
    let list = |all: &BTreeSet<String>| {
        let mut shown: Vec<&str> =
            all.iter().filter(|one| !one.is_empty()).map(String::as_str).take(MOST_NAMED).collect();
        if all.len() > MOST_NAMED {
            shown.push("…");
        }
        shown.join(", ")
    };
    if !need.host.is_empty() && !names.contains(&need.host) {
        return Err(SubmitError::Refused(if names.is_empty() {
            let url = inner.fleet.url();
            format!(
                "no host is named `{}`: no agent has joined yet; start one with `longhaul agent --gateway {url}`",
                need.host
            )
        } else {
            format!("no host is named `{}`: there are {}; leave host out to take any", need.host, list(&names))
        }));
    }
    match wanted.iter().find(|label| !labels.contains(*label)) {
        None => Ok(()),
        Some(label) if labels.is_empty() => Err(SubmitError::Refused(format!(
            "no host has the label `{label}`: no host has any label; leave labels out"
        ))),
        Some(label) => {
            Err(SubmitError::Refused(format!("no host has the label `{label}`: there are {}", list(&labels))))
        }
    }
}

/// Asks the agents for a path while the caller waits, so that errors come at once and equal code is recognised as
/// equal. Returns the agents that have it.
pub(super) async fn look(
    inner: &Arc<Inner>,
    who: &Identity,
    checked: &mut Checked,
) -> Result<Vec<String>, SubmitError> {
    let Some(path) = checked.look_at.clone() else { return Ok(Vec::new()) };
    let seen = inner.fleet.inspect(&checked.need, &who.principal, &path, &checked.submission.working_dir).await;
    let well = seen.iter().find(|s| s.reply.problem.is_empty());
    if checked.path_if.is_some() {
        if let Some(well) = well
            && well.reply.sha256 == checked.code
        {
            checked.submission.source = Some(Source::Path(path.clone()));
            checked.submission.code_sha256.clone_from(&checked.code);
            checked.source = path;
            return Ok(vec![well.agent_id.clone()]);
        }
        return Ok(Vec::new());
    }
    let Some(well) = well else {
        // No agent could be asked: the run then waits for one, and the path is inspected again before the run is handed
        // over.
        return match seen.first() {
            None => Ok(Vec::new()),
            Some(_) => {
                let more = |s: &Inspected| whereabouts(inner, who, s, &path);
                let said: Vec<_> = seen.iter().map(|s| format!("{}: {}{}", s.host, s.reply.problem, more(s))).collect();
                Err(SubmitError::Refused(said.join("; ")))
            }
        };
    };
    let wanted = &checked.submission.code_sha256;
    if !wanted.is_empty() && *wanted != well.reply.sha256 {
        return Err(SubmitError::Refused(format!(
            "{path} on {} has other bytes (SHA-256 {}) than you passed ({wanted}): save the file there, or send the text",
            well.host, well.reply.sha256
        )));
    }
    checked.code.clone_from(&well.reply.sha256);
    Ok(vec![well.agent_id.clone()])
}

/// Where a path is on its host and where do-files may be there; only operators get this.
fn whereabouts(inner: &Inner, who: &Identity, seen: &Inspected, path: &str) -> String {
    if !who.may_operate() {
        return String::new();
    }
    let mut words = String::new();
    let there = &seen.reply.resolved;
    if !there.is_empty() && there != path {
        words.push_str(&format!("; {path} is {there} there"));
    }
    let roots = inner.fleet.roots(&seen.agent_id);
    if !roots.is_empty() {
        words.push_str(&format!("; the agent's folders for do-files: {}", roots.join(", ")));
    }
    words
}
