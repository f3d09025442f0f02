//! Asks agents which data file a path names.

use futures_util::{StreamExt, TryStreamExt, stream::FuturesUnordered};
use longhaul_proto::{
    visible::Foreign,
    wire::{self, data_part::Part},
};

use super::{Fleet, agent_port::Port, scheduler::Command};
use crate::model::{Need, Principal};

/// An agent's answer about a data file.
pub(crate) struct DataOn {
    pub(crate) agent_id: String,
    pub(crate) host: String,
    pub(crate) connection: Port,
    /// What it has there; `None` = its version reads no data files.
    pub(crate) file: Option<wire::DataFile>,
}

impl Fleet {
    /// Asks all agents that match and take this principal's runs, until all have answered or the time is up; in the order of
    /// their names.
    pub(crate) async fn find_data(&self, need: &Need, principal: &Principal, path: &str) -> Vec<DataOn> {
        let request = wire::DataRequest {
            path: path.to_owned(),
            action: wire::DataAction::Find.into(),
            principal_issuer: principal.issuer().to_owned(),
            principal: principal.subject().to_owned(),
            ..Default::default()
        };
        let (need, principal) = (Box::new(need.clone()), principal.clone());
        let asked = self.ask(|reply| Command::Candidates { principal, need, reply }).await.unwrap_or_default();
        let mut pending: FuturesUnordered<_> = asked
            .into_iter()
            .map(|(agent_id, host, connection)| {
                let request = request.clone();
                async move {
                    let file = if connection.reads_data() { Some(file(&connection, request).await?) } else { None };
                    Some(DataOn { agent_id, host, connection, file })
                }
            })
            .collect();
        let mut found = Vec::new();
        let all = async {
            while let Some(answer) = pending.next().await {
                found.extend(answer);
            }
        };
        let _ = tokio::time::timeout(self.options().inspect_timeout, all).await;
        found.sort_by(|a, b| a.host.cmp(&b.host));
        found
    }

    /// The agents, by id, that are asked when something is asked for this need.
    pub(crate) async fn candidates(&self, need: &Need, principal: &Principal) -> Vec<String> {
        let (need, principal) = (Box::new(need.clone()), principal.clone());
        let asked = self.ask(|reply| Command::Candidates { principal, need, reply }).await.unwrap_or_default();
        asked.into_iter().map(|(agent_id, ..)| agent_id).collect()
    }
}

async fn file(connection: &Port, request: wire::DataRequest) -> Option<wire::DataFile> {
    let mut part = connection.data_file(request).await.ok()?.try_next().await.ok()??;
    part.make_harmless();
    match part.part {
        Some(Part::File(file)) => Some(file),
        _ => None,
    }
}
