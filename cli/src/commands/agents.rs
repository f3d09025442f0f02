//! `agents`: the keys of agents, listed, approved and revoked.

mod invitations;

use longhaul_proto::api::AgentKeyView;

use crate::{
    args::{Agents, AgentsAction},
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{self, Out, When, say},
};

/// `agents`.
///
/// # Errors
/// With what to do.
pub(crate) async fn agents(context: &Context, args: &Agents) -> Result<u8, Failure> {
    let (ask, act) = match &args.action {
        AgentsAction::Invite { .. } | AgentsAction::Invitations { .. } | AgentsAction::Withdraw { .. } => {
            return invitations::run(context, &args.action).await;
        }
        AgentsAction::List { ask } => (ask, None),
        AgentsAction::Approve { name, ask } => (ask, Some(("approve", name.as_str()))),
        AgentsAction::Revoke { name, ask } => (ask, Some(("revoke", name.as_str()))),
    };
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = gateway.client.agents(act).await;
    gateway.close().await;
    let keys = done?.agents;
    let mut out = Out::default();
    if ask.json {
        for key in &keys {
            out.json(key)?;
        }
    } else if act.is_none() {
        out.text(&output::agents(&keys, &When::new(context.utc)))?;
    } else {
        keys.iter().for_each(|key| say(&description(key)));
    }
    Ok(0)
}

/// One key in words.
fn description(key: &AgentKeyView) -> String {
    let name = &key.name;
    let short = key.key.get(..12).unwrap_or(&key.key);
    match key.state.as_str() {
        "revoked" => format!(
            "agent {name} (key {short}) is refused from now on and its connections have ended; its runs go on on its host. \
             `longhaul agents approve {name}` lets it in again"
        ),
        _ => format!("agent {name} (key {short}) is let in"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_it_did() {
        let key = |state: &str| AgentKeyView {
            name: "s1".into(),
            state: state.into(),
            key: "ab".repeat(32),
            ..Default::default()
        };
        assert_eq!(description(&key("accepted")), "agent s1 (key abababababab) is let in");
        assert!(description(&key("revoked")).contains("`longhaul agents approve s1` lets it in again"));
    }
}
