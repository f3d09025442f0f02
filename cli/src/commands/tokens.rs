//! `token`: makes, lists and revokes the tokens of the gateway.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::{Token, TokenAction},
    client::escape,
    context::{Context, Failure},
    gateway_handle::{Begins, GatewayHandle, Need},
    output::{self, Out, When, say},
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
    let done = act(&gateway, &args.action, &When::new(context.utc)).await;
    gateway.close().await;
    done
}

async fn act(gateway: &GatewayHandle, action: &TokenAction, when: &When) -> Result<u8, Failure> {
    let mut out = Out::default();
    match action {
        TokenAction::List { ask } => {
            let tokens = gateway.client.call(Method::GET, PATH, None).await?;
            let tokens = tokens.as_array().map(Vec::as_slice).unwrap_or_default();
            if ask.json {
                for token in tokens {
                    out.json(token)?;
                }
            } else {
                out.text(&output::tokens(tokens, when))?;
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
