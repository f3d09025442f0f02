//! Looks at what a submission names before it is recorded: hosts and labels that exist, the do-file and the working
//! directory on an agent.

use std::{collections::BTreeSet, sync::Arc};

use longhaul_proto::{faults, risk, wire, wire::submission::Source};

use super::{
    Inner, SubmitError,
    check::Checked,
    not_there::{MissingOn, NotThere},
};
use crate::{
    fleet::{Inspected, is_relative, pool_name},
    model::{Identity, Need},
};

/// Most names of hosts or labels in an error.
const MOST_NAMED: usize = 20;
/// Most agents whose trouble is told in an error.
const MOST_SAID: usize = 5;

/// Refuses a host or a label that no agent ever had: waiting for it would be useless.
pub(super) async fn known(inner: &Arc<Inner>, need: &Need) -> Result<(), SubmitError> {
    if (need.host.is_empty() && need.labels.is_empty()) || faults::bug("unknown_host_waits") {
        return Ok(());
    }
    let wanted: Vec<String> = need.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let (mut names, mut labels) = inner.fleet.known();
    let may_know = |name: &String| need.only_hosts.is_empty() || need.only_hosts.contains(name);
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
    names.retain(may_know);
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
            let how = inner.fleet.how_an_agent_joins();
            format!("no host is named `{}`: no agent has joined yet; {how}", need.host)
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

/// Refuses what its token lets no agent take that there is: waiting for one would be useless until that is changed.
pub(super) async fn permitted(inner: &Arc<Inner>, need: &Need) -> Result<(), SubmitError> {
    if need.only_hosts.is_empty() && need.only_pools.is_empty() {
        return Ok(());
    }
    let fits = |info: &wire::AgentInfo| !info.name.is_empty() && need.asks_for(&info.name, |key| info.labels.get(key));
    let takes = |info: &wire::AgentInfo| fits(info) && need.permits(&info.name, &pool_name(info));
    if inner.fleet.any_agent(|info, _| takes(info)) {
        return Ok(());
    }
    // Agents that have been away for long may return.
    if inner.ledger.agents().await.map_err(SubmitError::Ledger)?.iter().any(|agent| takes(&agent.info)) {
        return Ok(());
    }
    let asked = match need.host.is_empty() {
        true => "no agent there fits".to_owned(),
        false => format!("`{}` is not among them", need.host),
    };
    Err(SubmitError::Refused(format!(
        "your token is limited to {}, and {asked}: leave host and labels out, or ask the operator for another token",
        need.limits()
    )))
}

/// Refuses what no agent could ever run: every one that matches is here, and says that it has no engine, or not the one that
/// is asked for. One that was never heard of may still come, and one that is away may return with another description.
pub(super) async fn runnable(inner: &Arc<Inner>, checked: &Checked) -> Result<(), SubmitError> {
    let need = &checked.need;
    let fits = |info: &wire::AgentInfo| !info.name.is_empty() && need.asks_for(&info.name, |key| info.labels.get(key));
    let has = |info: &wire::AgentInfo| match need.engine.as_str() {
        "" => !info.engines.is_empty(),
        _ if faults::bug("other_engine_waits") => true,
        engine => info.engines.iter().any(|has| has.kind == engine),
    };
    // What says neither what it has nor why it has nothing may still say it.
    let may =
        |info: &wire::AgentInfo, here: bool| !here || has(info) || (info.engines.is_empty() && info.problem.is_empty());
    if inner.fleet.any_agent(|info, here| fits(info) && may(info, here)) || faults::bug("no_engine_waits") {
        return Ok(());
    }
    let fit: Vec<_> = inner.fleet.infos().into_iter().filter(|(info, _)| fits(info)).collect();
    if fit.is_empty() {
        return Ok(());
    }
    let stored = inner.ledger.agents().await.map_err(SubmitError::Ledger)?;
    if stored.iter().any(|agent| fits(&agent.info) && has(&agent.info)) {
        return Ok(());
    }
    let mut said: Vec<String> = fit.iter().take(MOST_SAID).map(|(info, _)| engines(info)).collect();
    if fit.len() > MOST_SAID {
        said.push("…".to_owned());
    }
    let said = said.join("; ");
    if need.engine.is_empty() || fit.iter().all(|(info, _)| info.engines.is_empty()) {
        return Err(SubmitError::Refused(format!("no agent can run it: {said}")));
    }
    let whose = if need.host.is_empty() && need.labels.is_empty() { "no agent" } else { "no agent that fits" };
    Err(SubmitError::Refused(format!(
        "{whose} has the engine `{}`: {said}; leave the engine out to take what there is, or start an agent that has it: \
         `longhaul agent --gateway {}` on its host",
        need.engine,
        inner.fleet.url()
    )))
}

/// What an agent has, or why it has nothing.
fn engines(info: &wire::AgentInfo) -> String {
    let kinds: BTreeSet<&str> = info.engines.iter().map(|engine| engine.kind.as_str()).collect();
    match kinds.is_empty() {
        true => format!("{}: {}", info.name, info.problem),
        false => format!("{} has {}", info.name, kinds.into_iter().collect::<Vec<_>>().join(" and ")),
    }
}

/// Asks the agents for a path and a working directory while the caller waits, so that errors come at once and equal code is
/// recognised as equal. Returns the agents that have them.
pub(super) async fn look(
    inner: &Arc<Inner>,
    who: &Identity,
    checked: &mut Checked,
) -> Result<Vec<String>, SubmitError> {
    let working_dir = checked.submission.working_dir.clone();
    let Some(path) = checked.look_at.clone() else {
        within_roots(who, checked, None)?;
        return folder_alone(inner, who, checked, &working_dir).await;
    };
    let seen = inner.fleet.inspect(&checked.need, &who.principal, &path, &working_dir).await;
    if checked.path_if.is_some() {
        // The bytes may be there and the folder not.
        let there = seen.iter().find(|s| s.reply.found && s.reply.sha256 == checked.code);
        let Some(there) = there else {
            within_roots(who, checked, None)?;
            return folder_alone(inner, who, checked, &working_dir).await;
        };
        within_roots(who, checked, Some(&there.reply))?;
        if !there.reply.problem.is_empty() {
            return Err(not_there(inner, who, std::slice::from_ref(there), &path));
        }
        checked.risks = risk::from_wire(&there.reply.risks);
        checked.submission.source = Some(Source::Path(path.clone()));
        checked.submission.code_sha256.clone_from(&checked.code);
        take_folder(checked, there);
        checked.source = path;
        return Ok(vec![there.agent_id.clone()]);
    }
    let Some(well) = the_one(&seen, &path, &working_dir)? else {
        // No agent could be asked: the run then waits for one, and the path is inspected again before the run is handed
        // over. Where it leads must be known before, if the token is limited to folders.
        return match seen.first() {
            None if !who.limits.roots.is_empty() => Err(SubmitError::Refused(format!(
                "no agent can be asked now where {path} leads, and your token is limited to folders: try again later"
            ))),
            None => unasked(&path, &working_dir),
            Some(_) => Err(not_there(inner, who, &seen, &path)),
        };
    };
    within_roots(who, checked, Some(&well.reply))?;
    if is_relative(&path) {
        checked.submission.source = Some(Source::Path(well.reply.resolved.clone()));
        checked.source.clone_from(&well.reply.resolved);
    }
    take_folder(checked, well);
    let wanted = &checked.submission.code_sha256;
    if !wanted.is_empty() && *wanted != well.reply.sha256 {
        return Err(SubmitError::Refused(format!(
            "{path} on {} has other bytes (SHA-256 {}) than you passed ({wanted}): save the file there, or send the text",
            well.host, well.reply.sha256
        )));
    }
    checked.risks = risk::from_wire(&well.reply.risks);
    checked.code.clone_from(&well.reply.sha256);
    Ok(vec![well.agent_id.clone()])
}

/// Refuses code that stands in no folder that the caller's token is limited to, or that is sent along (`None`).
fn within_roots(who: &Identity, checked: &Checked, found: Option<&wire::InspectReply>) -> Result<(), SubmitError> {
    let limits = &who.limits;
    if limits.roots.is_empty() || faults::bug("token_limits_ignored") {
        return Ok(());
    }
    let roots = limits.roots.join(", ");
    let Some(found) = found else {
        if let Some(path) = &checked.path_if {
            return Err(SubmitError::Refused(format!(
                "no agent that can be asked now has {path} with these bytes in its folders, and your token starts do-files that \
                 stand below {roots} on the host, and no code that is sent: is the agent away (`longhaul hosts`), try again when \
                 it is back; else save the file there, or ask the operator for another token"
            )));
        }
        return Err(SubmitError::Refused(format!(
            "your token starts do-files that stand below {roots} on the host, and no code that is sent: pass the path of one, \
             or ask the operator for another token"
        )));
    };
    // It may lead out of them by a link, and what is run or read by its name alone would be another's.
    if !checked.submission.working_dir.is_empty() {
        return Err(SubmitError::Refused(format!(
            "your token is limited to {roots}, and its do-files run in the folder where they stand: leave working_dir out"
        )));
    }
    if limits.allows_path(&found.resolved) {
        return Ok(());
    }
    Err(SubmitError::Refused(format!(
        "your token is limited to {roots}, and {} is not below: pass a path below, or ask the operator for another token",
        found.resolved
    )))
}

/// Asks for the working directory of code that is sent along.
async fn folder_alone(
    inner: &Arc<Inner>,
    who: &Identity,
    checked: &mut Checked,
    working_dir: &str,
) -> Result<Vec<String>, SubmitError> {
    if working_dir.is_empty() || faults::bug("folders_unlooked") {
        return Ok(Vec::new());
    }
    let seen = inner.fleet.inspect(&checked.need, &who.principal, "", working_dir).await;
    match the_one(&seen, "", working_dir)? {
        Some(well) => {
            take_folder(checked, well);
            Ok(vec![well.agent_id.clone()])
        }
        None if seen.is_empty() => unasked("", working_dir),
        None => Err(not_there(inner, who, &seen, "")),
    }
}

/// A relative working directory is recorded as what it stands for.
fn take_folder(checked: &mut Checked, seen: &Inspected) {
    if is_relative(&checked.submission.working_dir) {
        checked.submission.working_dir.clone_from(&seen.reply.working_dir);
    }
}

/// An agent that has what was asked for.
///
/// # Errors
/// When hosts have different files for a relative path.
fn the_one<'a>(seen: &'a [Inspected], path: &str, working_dir: &str) -> Result<Option<&'a Inspected>, SubmitError> {
    let mut well = seen.iter().filter(|s| s.reply.problem.is_empty());
    let Some(first) = well.next() else { return Ok(None) };
    let at = |s: &Inspected| {
        let file = if is_relative(path) { &s.reply.resolved } else { "" };
        let folder = if is_relative(working_dir) { &s.reply.working_dir } else { "" };
        (file.to_owned(), folder.to_owned())
    };
    if well.all(|other| at(other) == at(first)) {
        return Ok(Some(first));
    }
    let said = seen.iter().filter(|s| s.reply.problem.is_empty()).map(|s| {
        let (file, folder) = at(s);
        format!(
            "{} on {}",
            [file, folder].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" in "),
            s.host
        )
    });
    let said: Vec<String> = said.take(MOST_NAMED).collect();
    let given = if is_relative(path) { path } else { working_dir };
    Err(SubmitError::Refused(format!(
        "{given} is not the same on every host: it is {}; pass one of these paths, or the host too",
        said.join(", ")
    )))
}

/// Nobody could be asked. What is absolute may wait.
fn unasked(path: &str, working_dir: &str) -> Result<Vec<String>, SubmitError> {
    match [path, working_dir].into_iter().find(|given| is_relative(given)) {
        None => Ok(Vec::new()),
        Some(given) => Err(SubmitError::Refused(format!(
            "{given} is not absolute, and no agent that could look for it can be asked now: pass the full path, as the \
             Stata host sees it or as the agent's path map has it, or try again later"
        ))),
    }
}

fn not_there(inner: &Inner, who: &Identity, seen: &[Inspected], path: &str) -> SubmitError {
    let one = |seen: &Inspected| {
        let there = &seen.reply.resolved;
        // Where a client's path leads is told to operators alone.
        let mapped = (who.may_operate() || faults::bug("mapped_paths_told"))
            && !path.is_empty()
            && !there.is_empty()
            && there != path;
        MissingOn {
            host: seen.host.clone(),
            problem: seen.reply.problem.clone(),
            mapped: (mapped && !is_relative(path)).then(|| format!("{path} is {there} there")),
            near: seen.reply.near.iter().filter(|path| who.limits.allows_path(path)).cloned().collect(),
            roots: inner.fleet.roots(&seen.agent_id),
        }
    };
    let folder = path.is_empty() || seen.iter().any(|s| !s.reply.sha256.is_empty());
    SubmitError::NotThere(NotThere { folder, on: seen.iter().map(one).collect() })
}
