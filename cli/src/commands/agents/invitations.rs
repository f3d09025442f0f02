//! `agents invite`, `agents invitations`, `agents withdraw`.

use std::time::Duration;

use longhaul_proto::{
    api::{InvitationView, Invitations},
    invitation::LONGEST,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::AgentsAction,
    context::{Context, Failure},
    gateway_handle::{Begins, GatewayHandle, Need},
    output::{self, Out, When, say},
};

/// One of the three.
///
/// # Errors
/// With what to do.
pub(super) async fn run(context: &Context, action: &AgentsAction) -> Result<u8, Failure> {
    let path = "/api/v1/agents/invitations";
    let (method, path, body, as_json) = match action {
        AgentsAction::Invite { expires, .. } if !(Duration::from_secs(1)..=LONGEST).contains(&expires.0) => {
            return Err(Failure::usage("--expires: an invitation can be used for 1 s to 30 days"));
        }
        AgentsAction::Invite { name, principal, expires, ask } => {
            let mut body = json!({"name": name, "expires_in": expires.0.as_secs_f64()});
            if let Some(principal) = principal {
                body["for"] = json!(principal);
            }
            (Method::POST, path.to_owned(), Some(body), ask.json)
        }
        AgentsAction::Withdraw { name, ask } => {
            (Method::DELETE, format!("{path}/{}", crate::client::escape(name)), None, ask.json)
        }
        AgentsAction::Invitations { ask }
        | AgentsAction::List { ask }
        | AgentsAction::Approve { ask, .. }
        | AgentsAction::Revoke { ask, .. } => (Method::GET, path.to_owned(), None, ask.json),
    };
    // A gateway inside this process would be gone before the agent came.
    let begins = if matches!(action, AgentsAction::Invite { .. }) { Begins::Never } else { Begins::default() };
    let gateway = GatewayHandle::open(context, Need { begins, ..Need::default() }).await?;
    let done = gateway.client.call(method, &path, body.as_ref()).await;
    gateway.close().await;
    let done = done?;
    let mut out = Out::default();
    if as_json {
        out.json(&done)?;
        return Ok(0);
    }
    let when = When::new(context.utc);
    match action {
        AgentsAction::Invite { .. } => {
            let made = read::<InvitationView>(done)?;
            let until = when.minute(&made.expires_at);
            say(&format!(
                "agent {} is invited until {until}, once, and will take the runs of {} unless its --serve says otherwise. On its \
                 host, as the user whose Stata it is, run:",
                made.name, made.serves
            ));
            if let Some(warning) = &made.warning {
                say(&format!("warning: {warning}"));
            }
            out.text(&format!("{}\n", command(&made)))?;
        }
        AgentsAction::Withdraw { .. } => {
            for one in read::<Invitations>(done)?.invitations {
                say(&format!("the invitation {} for agent {} is withdrawn", one.id, one.name));
            }
        }
        _ => out.text(&output::invitations(&read::<Invitations>(done)?.invitations, &when))?,
    }
    Ok(0)
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::system(format!("the gateway's answer makes no sense: {error}")))
}

/// What to run on the host.
fn command(made: &InvitationView) -> String {
    let (gateway, token) = (made.gateway.as_deref().unwrap_or_default(), made.token.as_deref().unwrap_or_default());
    let near = ["127.0.0.1", "localhost", "[::1]"].iter().any(|near| gateway.contains(near));
    // The gateway dials the agent too; on one machine its default address does.
    let listen = if near { "" } else { " --listen 0.0.0.0:7448" };
    format!("longhaul agent --gateway {gateway} --join {token} --name {}{listen}", made.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_all_that_the_host_needs() {
        let made = |gateway: &str| InvitationView {
            name: "stata1".into(),
            gateway: Some(gateway.into()),
            token: Some("lhj_x".into()),
            ..InvitationView::default()
        };
        assert_eq!(
            command(&made("https://gw.lab:7447")),
            "longhaul agent --gateway https://gw.lab:7447 --join lhj_x --name stata1 --listen 0.0.0.0:7448"
        );
        assert!(!command(&made("http://127.0.0.1:7447")).contains("--listen"));
    }
}
