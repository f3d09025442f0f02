//! Commands of operators to hosts: drain, resume. They are made durable before they take effect.

use longhaul_proto::api::{DrainBody, Drained};

use super::{DrainError, Runs};
use crate::{
    audit::{Event, Kind},
    ledger::DrainRecord,
    model::Identity,
};

/// Most patterns of one command, and the longest reason, characters.
const MAX_PATTERNS: usize = 1_000;
const MAX_REASON: usize = 200;

impl Runs {
    /// Lets the hosts' runs finish and starts no new ones there. When this returns the drain is durable, and no further
    /// run is handed to these hosts; one that was being handed over at that moment counts as running there.
    ///
    /// # Errors
    /// See [`DrainError`]; nothing has changed then.
    pub async fn drain(&self, who: &Identity, body: DrainBody) -> Result<Drained, DrainError> {
        let reason = body.reason.as_deref().unwrap_or_default().trim();
        if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(DrainError::Malformed(format!("reason must be one line of at most {MAX_REASON} characters")));
        }
        let _one_at_a_time = self.0.draining.lock().await;
        let hosts = self.meant(who, &body.hosts)?;
        let event = Event::of(Kind::Drain, who).with("hosts", hosts.clone()).with("reason", reason);
        self.0.audit.must(event).await?;
        let at_ms = self.0.deps.clock.unix_ms();
        let drain = |host: &String| DrainRecord {
            host: host.clone(),
            by: who.principal.to_string(),
            reason: reason.to_owned(),
            at_ms,
        };
        let drains: Vec<DrainRecord> = hosts.iter().map(drain).collect();
        self.0.ledger.drain(drains.clone()).await.map_err(DrainError::Ledger)?;
        self.0.fleet.drain(drains).await;
        tracing::info!(by = %who.principal, ?hosts, reason, "hosts are draining");
        Ok(Drained { hosts: self.0.fleet.hosts_named(&hosts).await })
    }

    /// Lets the hosts take runs again; a host that was not drained stays as it is.
    ///
    /// # Errors
    /// See [`DrainError`]; nothing has changed then.
    pub async fn resume(&self, who: &Identity, body: DrainBody) -> Result<Drained, DrainError> {
        if body.reason.is_some() {
            return Err(DrainError::Malformed("resume takes no reason: leave it out".to_owned()));
        }
        let _one_at_a_time = self.0.draining.lock().await;
        let hosts = self.meant(who, &body.hosts)?;
        self.0.audit.must(Event::of(Kind::Resume, who).with("hosts", hosts.clone())).await?;
        self.0.ledger.resume(hosts.clone()).await.map_err(DrainError::Ledger)?;
        self.0.fleet.resume(&hosts).await;
        tracing::info!(by = %who.principal, ?hosts, "hosts take runs again");
        Ok(Drained { hosts: self.0.fleet.hosts_named(&hosts).await })
    }

    pub(super) fn meant(&self, who: &Identity, patterns: &[String]) -> Result<Vec<String>, DrainError> {
        if !who.may_operate() {
            return Err(DrainError::Forbidden);
        }
        if patterns.is_empty() || patterns.len() > MAX_PATTERNS {
            let text =
                format!("hosts must be 1 to {MAX_PATTERNS} names or patterns, such as [\"stata1\"] or [\"stata*\"]");
            return Err(DrainError::Malformed(text));
        }
        self.0.fleet.meant(patterns).map_err(|(pattern, known)| DrainError::Unknown {
            pattern: pattern.chars().take(64).collect(),
            known: match known.as_slice() {
                [] => "no agent has joined yet".to_owned(),
                known => format!("there are {}", known.join(", ")),
            },
        })
    }
}
