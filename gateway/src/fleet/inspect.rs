//! Asks agents whether a do-file is at a path on their hosts.

use futures_util::{StreamExt, stream::FuturesUnordered};
use longhaul_proto::{visible::Foreign, wire};

use super::{Fleet, scheduler::Command};
use crate::model::{Need, Principal};

/// An agent's answer about a path.
pub(crate) struct Inspected {
    pub(crate) agent_id: String,
    pub(crate) host: String,
    pub(crate) reply: wire::InspectReply,
}

impl Fleet {
    /// Asks the schedulable agents that match what is at a path: until one reports no problem, all have answered, or
    /// the time is up.
    pub(crate) async fn inspect(
        &self,
        need: &Need,
        principal: &Principal,
        path: &str,
        working_dir: &str,
    ) -> Vec<Inspected> {
        let (need, principal) = (need.clone(), principal.clone());
        let asked = self.ask(|reply| Command::Candidates { principal, need, reply }).await.unwrap_or_default();
        let mut pending: FuturesUnordered<_> = asked
            .into_iter()
            .map(|(agent_id, host, connection)| async move {
                let request = wire::InspectRequest { path: path.to_owned(), working_dir: working_dir.to_owned() };
                let mut reply = connection.inspect(request).await.ok()?;
                reply.make_harmless();
                Some(Inspected { agent_id, host, reply })
            })
            .collect();
        let mut found = Vec::new();
        let all = async {
            while let Some(answer) = pending.next().await {
                let Some(answer) = answer else { continue };
                let well = answer.reply.problem.is_empty();
                found.push(answer);
                if well {
                    break;
                }
            }
        };
        // A timeout is no error: a path that no agent could inspect is inspected when its run's turn comes.
        let _ = tokio::time::timeout(self.options().inspect_timeout, all).await;
        found
    }
}
