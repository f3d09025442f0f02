//! An operator says that a host never comes back: it is shown and counted no more.

use longhaul_proto::api::{DrainBody, Forgotten};

use super::{DrainError, Runs};
use crate::{
    audit::{Event, Kind},
    model::Identity,
};

impl Runs {
    /// Forgets hosts, with their drains. The keys of their agents stay known: one that comes back after all is let in as
    /// before.
    ///
    /// # Errors
    /// See [`DrainError`]; where a host is connected or holds unfinished runs, nothing has changed.
    pub async fn forget_hosts(&self, who: &Identity, body: DrainBody) -> Result<Forgotten, DrainError> {
        if body.reason.is_some() {
            return Err(DrainError::Malformed("forgetting takes no reason: leave it out".to_owned()));
        }
        let _one_at_a_time = self.0.draining.lock().await;
        let hosts = self.meant(who, &body.hosts)?;
        for view in self.0.fleet.hosts_named(&hosts).await {
            if view.state != "silent" {
                return Err(DrainError::InUse(format!(
                    "host {} is connected ({}): stop its agent first, and forget it when it is silent",
                    view.name, view.state
                )));
            }
        }
        let holds = |host: &String| {
            let all = self.0.registry.all();
            let its = all.iter().find(|run| {
                let now = run.snapshot.borrow();
                !now.state.is_end() && now.host.as_ref() == Some(host)
            });
            its.map(|run| (host.clone(), run.run))
        };
        if let Some((host, run)) = hosts.iter().find_map(holds) {
            let short = run.short();
            return Err(DrainError::InUse(format!(
                "host {host} holds run {short}, which has not ended: `longhaul declare-dead {short}` says that it never will \
                 be heard of again"
            )));
        }
        let stored = self.0.ledger.agents().await.map_err(DrainError::Ledger)?;
        let known =
            self.0.fleet.infos().into_iter().map(|(info, _)| info).chain(stored.into_iter().map(|agent| agent.info));
        let mut ids: Vec<String> = known.filter(|info| hosts.contains(&info.name)).map(|info| info.agent_id).collect();
        ids.sort();
        ids.dedup();
        self.0.audit.must(Event::of(Kind::HostsForgotten, who).with("hosts", hosts.clone())).await?;
        self.0.ledger.forget_agents(ids.clone()).await.map_err(DrainError::Ledger)?;
        self.0.ledger.resume(hosts.clone()).await.map_err(DrainError::Ledger)?;
        if !self.0.fleet.forget(ids).await {
            return Err(DrainError::InUse("it came back in this very moment, and stays".to_owned()));
        }
        self.0.fleet.resume(&hosts).await;
        self.0.fleet.forget_certificates(&hosts);
        tracing::info!(by = %who.principal, ?hosts, "hosts are forgotten");
        Ok(Forgotten { hosts })
    }
}
