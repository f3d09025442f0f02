//! Dials a registered agent back, keeps its connection, and dials again with back-off when it breaks.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{back_off::BackOff, transport::Fingerprint, words::chain};

use super::{
    Fleet,
    agent_port::Port,
    connection::{Certified, Connection, Who},
    invitations::needs_certificate,
    scheduler::Dialled,
};

/// An agent that was silent for this long is not dialled any more; its next heartbeat restarts the dialling.
const GIVE_UP_DIALLING: Duration = Duration::from_secs(60);

/// Keeps the connection to one incarnation of an agent, until another takes its place.
pub(super) async fn keep(fleet: Fleet, agent_id: String, incarnation: String, address: String, key: Fingerprint) {
    let (first, longest) = fleet.0.options.backoff;
    let mut back_off = BackOff::new(first, longest, &agent_id);
    loop {
        match dial(&fleet, &agent_id, &incarnation, &address, key).await {
            Ok(connection) => {
                if !fleet.dialled(&agent_id, &incarnation, Dialled::Connected(connection.clone())).await {
                    return;
                }
                tracing::info!(agent = %agent_id, %address, "agent reached");
                connection.broken().await;
                tracing::info!(agent = %agent_id, %address, "connection to the agent broke");
                back_off.reset();
                if !fleet.dialled(&agent_id, &incarnation, Dialled::Broken).await {
                    return;
                }
            }
            Err(problem) => {
                tracing::debug!(agent = %agent_id, %problem, "agent not reached");
                if !fleet.dialled(&agent_id, &incarnation, Dialled::Failed(problem)).await {
                    return;
                }
                tokio::time::sleep(back_off.wait()).await;
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
) -> Result<Port, String> {
    let shared = &fleet.0;
    let pin = fleet.pin(&key).await;
    let certified = fleet.identities().map(|identities| Certified {
        identities: identities.clone(),
        agent_id: agent_id.to_owned(),
        needed: pin.as_ref().is_some_and(needs_certificate),
        now_s: shared.deps.clock.unix_ms() / 1000,
    });
    let cluster_id = shared.ledger.cluster_id().to_owned();
    let who = Who { key, greeter: shared.greeter.clone(), cluster_id, certified };
    let connection = Connection::dial(&shared.dialer, address, &who, shared.options.dial_timeout);
    let connection = connection.await.map_err(|error| chain(&error))?;
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
    Ok(Arc::new(connection))
}

async fn wait_until_heard(fleet: &Fleet, agent_id: &str) {
    let now = fleet.now();
    let last_seen = match fleet.snapshot().agents.get(agent_id) {
        Some(agent) if agent.last_seen.silent(now) > GIVE_UP_DIALLING => agent.last_seen.clone(),
        _ => return,
    };
    last_seen.next().await;
}
