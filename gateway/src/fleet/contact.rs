//! Dials a registered agent back, keeps its links, and dials again when they break.

use std::{sync::Arc, time::Duration};

use longhaul_proto::transport::Fingerprint;

use super::{
    Fleet,
    link::{Link, LinkError, Who},
};

/// An agent that was not heard for so long is not dialled any more; its next heartbeat starts the dialling again.
const GIVE_UP_DIALLING: Duration = Duration::from_secs(60);

/// Keeps the links of one incarnation of an agent, until another takes its place.
pub(super) async fn keep(fleet: Fleet, agent_id: String, incarnation: String, address: String, key: Fingerprint) {
    let (first, longest) = fleet.0.options.backoff;
    let mut pause = first;
    loop {
        match dial(&fleet, &agent_id, &incarnation, &address, key).await {
            Ok(link) => {
                let link = Arc::new(link);
                if !publish(&fleet, &agent_id, &incarnation, Some(link.clone()), None) {
                    return;
                }
                tracing::info!(agent = %agent_id, %address, "agent reached");
                fleet.place();
                link.broken().await;
                tracing::info!(agent = %agent_id, %address, "link to the agent broke");
                pause = first;
                if !publish(&fleet, &agent_id, &incarnation, None, None) {
                    return;
                }
            }
            Err(problem) => {
                tracing::debug!(agent = %agent_id, %problem, "agent not reached");
                if !publish(&fleet, &agent_id, &incarnation, None, Some(problem)) {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
                wait_until_heard(&fleet, &agent_id).await;
            }
        }
    }
}

async fn dial(
    fleet: &Fleet,
    agent_id: &str,
    incarnation: &str,
    address: &str,
    key: Fingerprint,
) -> Result<Link, String> {
    let shared = &fleet.0;
    let who = Who { key, greeter: shared.greeter.clone(), cluster_id: shared.ledger.cluster_id().to_owned() };
    let link = Link::dial(&shared.dialer, address, &who, shared.options.dial_timeout);
    let link = link.await.map_err(|e| words(&e))?;
    if link.described.agent_id != agent_id {
        let other = &link.described.name;
        return Err(format!(
            "at its advertised address {address} agent {other} answers: give each agent its own --advertise"
        ));
    }
    if link.described.incarnation != incarnation {
        // It restarted and has not told us yet what it holds.
        return Err("it is restarting".to_owned());
    }
    Ok(link)
}

/// An error with what caused it, in one line.
fn words(error: &LinkError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// Tells everybody about the link; `false` when another incarnation has taken this one's place.
fn publish(fleet: &Fleet, agent_id: &str, incarnation: &str, link: Option<Arc<Link>>, problem: Option<String>) -> bool {
    let now = fleet.now();
    let mut floor = fleet.floor();
    let Some(agent) = floor.known(agent_id).filter(|a| a.info.incarnation == incarnation) else { return false };
    agent.dial_problem = problem;
    agent.unlinked = if link.is_some() { None } else { agent.unlinked.or(Some(now)) };
    agent.link.send_if_modified(|current| {
        let changed = current.is_some() || link.is_some();
        *current = link;
        changed
    });
    true
}

async fn wait_until_heard(fleet: &Fleet, agent_id: &str) {
    let now = fleet.now();
    let beat = {
        let mut floor = fleet.floor();
        match floor.known(agent_id) {
            Some(agent) if now.saturating_sub(agent.heard) > GIVE_UP_DIALLING => agent.beat.clone(),
            _ => return,
        }
    };
    beat.notified().await;
}
