//! Asks agents what a path is on their hosts.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream::FuturesUnordered};
use longhaul_proto::{paths, visible::Foreign, wire};

use super::{Fleet, scheduler::Command};
use crate::model::{Need, Principal};

/// An agent's answer about a path.
pub(crate) struct Inspected {
    pub(crate) agent_id: String,
    pub(crate) host: String,
    pub(crate) reply: wire::InspectReply,
}

/// Whether it is to be looked for below an agent's folders.
pub(crate) fn is_relative(path: &str) -> bool {
    !path.is_empty() && !paths::is_absolute(path)
}

impl Fleet {
    /// Asks the schedulable agents that match what is at a path, and at a working directory, either of which may be empty:
    /// until one reports no problem, all have answered, or the time is up. What is relative may be another file on each
    /// host, so then all are asked.
    pub(crate) async fn inspect(
        &self,
        need: &Need,
        principal: &Principal,
        path: &str,
        working_dir: &str,
    ) -> Vec<Inspected> {
        let request =
            wire::InspectRequest { path: path.to_owned(), working_dir: working_dir.to_owned(), ..Default::default() };
        let relative = is_relative(path) || is_relative(working_dir);
        let finders = relative || path.is_empty();
        let mut found = Vec::new();
        self.ask_agents(need, principal, &request, finders, |answer| {
            let well = answer.reply.problem.is_empty();
            found.push(answer);
            well && !relative
        })
        .await;
        found
    }

    /// How the beginning of a path of an agent that takes this principal's runs may go on, in files with these endings and in
    /// folders; of these agents alone.
    pub(crate) async fn complete_path(
        &self,
        need: &Need,
        principal: &Principal,
        prefix: &str,
        endings: &[&str],
        of: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let request = wire::InspectRequest {
            path: prefix.to_owned(),
            complete: true,
            endings: endings.iter().map(|&ending| ending.to_owned()).collect(),
            ..Default::default()
        };
        let mut found = BTreeSet::new();
        self.ask_agents(need, principal, &request, true, |answer| {
            if of.contains(&answer.agent_id) {
                found.extend(answer.reply.near);
            }
            false
        })
        .await;
        found
    }

    /// Asks all of them side by side, or all that look for paths, until an answer is enough. A timeout is no error: a path
    /// that no agent could inspect is inspected when its run's turn comes.
    async fn ask_agents(
        &self,
        need: &Need,
        principal: &Principal,
        request: &wire::InspectRequest,
        finders: bool,
        mut enough: impl FnMut(Inspected) -> bool,
    ) {
        let (need, principal) = (Box::new(need.clone()), principal.clone());
        let asked = self.ask(|reply| Command::Candidates { principal, need, reply }).await.unwrap_or_default();
        let mut pending: FuturesUnordered<_> = asked
            .into_iter()
            .filter(|(.., connection)| !finders || connection.finds_paths())
            .map(|(agent_id, host, connection)| async move {
                let mut reply = connection.inspect(request.clone()).await.ok()?;
                reply.make_harmless();
                Some(Inspected { agent_id, host, reply })
            })
            .collect();
        let all = async {
            while let Some(answer) = pending.next().await {
                if answer.is_some_and(&mut enough) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(self.options().inspect_timeout, all).await;
    }
}
