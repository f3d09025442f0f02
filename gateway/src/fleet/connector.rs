//! Dials a registered agent back, keeps its connection, and dials again with back-off when it breaks.

use std::{sync::Arc, time::Duration};

use longhaul_proto::transport::Fingerprint;

use super::{
    Fleet,
    connection::{ConnectError, Connection, Who},
};

/// An agent that was silent for this long is not dialled any more; its next heartbeat restarts the dialling.
const GIVE_UP_DIALLING: Duration = Duration::from_secs(60);

/// Keeps the connection to one incarnation of an agent, until another takes its place.
pub(super) async fn keep(fleet: Fleet, agent_id: String, incarnation: String, address: String, key: Fingerprint) {
    let (first, longest) = fleet.0.options.backoff;
    let mut pause = first;
    loop {
        match dial(&fleet, &agent_id, &incarnation, &address, key).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                if !publish(&fleet, &agent_id, &incarnation, Some(connection.clone()), None) {
                    return;
                }
                tracing::info!(agent = %agent_id, %address, "agent reached");
                fleet.place();
                connection.broken().await;
                tracing::info!(agent = %agent_id, %address, "connection to the agent broke");
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
) -> Result<Connection, String> {
    let shared = &fleet.0;
    let who = Who { key, greeter: shared.greeter.clone(), cluster_id: shared.ledger.cluster_id().to_owned() };
    let connection = Connection::dial(&shared.dialer, address, &who, shared.options.dial_timeout);
    let connection = connection.await.map_err(|e| words(&e))?;
    if connection.described.agent_id != agent_id {
        let other = &connection.described.name;
        return Err(format!(
            "at its advertised address {address} agent {other} answers: give each agent its own --advertise"
        ));
    }
    if connection.described.incarnation != incarnation {
        // It restarted and has not yet reported what it holds.
        return Err("it is restarting".to_owned());
    }
    Ok(connection)
}

/// An error and its causes, in one line.
fn words(error: &ConnectError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// Publishes the connection; `false` when another incarnation has taken this one's place.
fn publish(
    fleet: &Fleet,
    agent_id: &str,
    incarnation: &str,
    connection: Option<Arc<Connection>>,
    problem: Option<String>,
) -> bool {
    let now = fleet.now();
    let mut scheduler = fleet.scheduler();
    let Some(agent) = scheduler.known(agent_id).filter(|a| a.info.incarnation == incarnation) else { return false };
    agent.dial_problem = problem;
    agent.unlinked = if connection.is_some() { None } else { agent.unlinked.or(Some(now)) };
    agent.connection.send_if_modified(|current| {
        let changed = current.is_some() || connection.is_some();
        *current = connection;
        changed
    });
    true
}

async fn wait_until_heard(fleet: &Fleet, agent_id: &str) {
    let now = fleet.now();
    let beat = {
        let mut scheduler = fleet.scheduler();
        match scheduler.known(agent_id) {
            Some(agent) if now.saturating_sub(agent.heard) > GIVE_UP_DIALLING => agent.beat.clone(),
            _ => return,
        }
    };
    beat.notified().await;
}
