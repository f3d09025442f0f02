//! `token`: makes, lists and revokes the tokens of the gateway.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::{Token, TokenAction},
    client::escape,
    context::{Context, Failure},
    gateway_handle::{Begins, GatewayHandle, Need},
    output::{Out, say},
};

const PATH: &str = "/api/v1/tokens";

/// `token`.
///
/// # Errors
/// With what to do.
pub(crate) async fn token(context: &Context, args: &Token) -> Result<u8, Failure> {
    // A token must be known to a gateway that stays, or its holder would find out only by using it.
    let begins = match args.action {
        TokenAction::Add { .. } => Begins::Never,
        TokenAction::List { .. } | TokenAction::Revoke { .. } => Begins::WithARecord,
    };
    let gateway = GatewayHandle::open(context, Need { begins, ..Need::default() }).await?;
    let done = act(&gateway, &args.action).await;
    gateway.close().await;
    done
}

async fn act(gateway: &GatewayHandle, action: &TokenAction) -> Result<u8, Failure> {
    let mut out = Out::default();
    match action {
        TokenAction::List { ask } => {
            let tokens = gateway.client.call(Method::GET, PATH, None).await?;
            for token in tokens.as_array().into_iter().flatten() {
                if ask.json {
                    out.json(token)?;
                } else {
                    out.text(&line(token))?;
                }
            }
        }
        TokenAction::Add { name, principal, scope, expires, ask } => {
            let mut body = json!({ "name": name, "scope": scope });
            if let Some(principal) = principal {
                body["principal"] = json!(principal);
            }
            if let Some(expires) = expires {
                body["expires_in"] = json!(expires.0.as_secs_f64());
            }
            let made = gateway.client.call(Method::POST, PATH, Some(&body)).await?;
            if ask.json {
                out.json(&made)?;
            } else {
                say("shown this once; its holder sets LONGHAUL_TOKEN to it, or `token` in the configuration");
                out.bytes(format!("{}\n", word(&made, "token")).as_bytes())?;
            }
        }
        TokenAction::Revoke { name, ask } => {
            gateway.client.call(Method::DELETE, &format!("{PATH}/{}", escape(name)), None).await?;
            if ask.json {
                out.json(&json!({ "name": name, "revoked": true }))?;
            } else {
                say(&format!("token {name} is worthless now"));
            }
        }
    }
    Ok(0)
}

fn word<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or("")
}

fn line(token: &Value) -> String {
    let state = match (word(token, "revoked_at"), word(token, "expires_at")) {
        ("", "") => "valid".to_owned(),
        ("", at) => format!("until {at}"),
        (at, _) => format!("revoked {at}"),
    };
    format!("{}  {}  {}  {state}\n", word(token, "name"), word(token, "principal"), word(token, "scope"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_listed_without_itself() {
        let token = json!({"name": "ci", "principal": "ana", "scope": "use", "expires_at": null, "revoked_at": null});
        assert_eq!(line(&token), "ci  ana  use  valid\n");
        let revoked = json!({"name": "ci", "principal": "ana", "scope": "use", "revoked_at": "2026-11-22T15:00:00Z"});
        assert_eq!(line(&revoked), "ci  ana  use  revoked 2026-11-22T15:00:00Z\n");
    }
}
