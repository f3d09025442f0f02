//! `token`: makes, lists, rotates and revokes the tokens of the gateway.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    access,
    args::{Expiry, Token, TokenAction},
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
        TokenAction::Add { .. } | TokenAction::Rotate { .. } => Begins::Never,
        TokenAction::List { .. } | TokenAction::Revoke { .. } => Begins::WithARecord,
    };
    let gateway = GatewayHandle::open(context, Need { begins, ..Need::default() }).await?;
    let done = act(context, &gateway, &args.action, &When::new(context.utc)).await;
    gateway.close().await;
    done
}

async fn act(context: &Context, gateway: &GatewayHandle, action: &TokenAction, when: &When) -> Result<u8, Failure> {
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
        TokenAction::Add { name, principal, scope, host, pool, root, expires, ask } => {
            let limits = json!({ "hosts": host, "pools": pool, "roots": root });
            let mut body = json!({ "name": name, "scope": scope, "limits": limits });
            if let Some(principal) = principal {
                body["principal"] = json!(principal);
            }
            match expires {
                Expiry::Never => body["never_expires"] = json!(true),
                Expiry::After(time) => body["expires_in"] = json!(time.0.as_secs_f64()),
            }
            let made = gateway.client.call(Method::POST, PATH, Some(&body)).await?;
            secret(&mut out, &made, ask.json, when)?;
        }
        TokenAction::Rotate { name, overlap, ask } => {
            let body = json!({ "overlap": overlap.0.as_secs_f64() });
            let path = format!("{PATH}/{}/rotate", escape(name));
            let shown = shown(gateway).await.filter(|(of, _)| of == name);
            let made = gateway.client.call(Method::POST, &path, Some(&body)).await?;
            // First what is kept: the secret is told once, and the reader of it may have gone.
            let kept =
                shown.map(|(_, before)| access::replace_token(context.data.path(), &before, word(&made, "token")));
            secret(&mut out, &made, ask.json, when)?;
            match kept {
                Some(Ok(files)) if !files.is_empty() => {
                    say(&format!("the new secret is in {} now", files.join(" and ")))
                }
                Some(Err(error)) => say(&format!(
                    "warning: the new secret could not be kept in the data folder {} ({error}): put it there yourself",
                    context.data.path().display()
                )),
                _ => {}
            }
        }
        TokenAction::Revoke { name, force, ask } => {
            let query = if *force { "?force=true" } else { "" };
            gateway.client.call(Method::DELETE, &format!("{PATH}/{}{query}", escape(name)), None).await?;
            if ask.json {
                out.json(&json!({ "name": name, "revoked": true }))?;
            } else {
                say(&format!("token {name} is worthless now"));
            }
        }
    }
    Ok(0)
}

/// The name and the secret of the token that this command shows.
async fn shown(gateway: &GatewayHandle) -> Option<(String, String)> {
    let me = gateway.client.call(Method::GET, "/api/v1/whoami", None).await.ok()?;
    Some((me["token"].as_str()?.to_owned(), gateway.client.token()?.to_owned()))
}

/// Prints a secret that was just made.
fn secret(out: &mut Out, made: &Value, json: bool, when: &When) -> Result<(), Failure> {
    if json {
        return Ok(out.json(made)?);
    }
    let at = |key: &str| made[key].as_str().map(|at| when.minute(at));
    let ends = at("expires_at").map_or("it never expires".to_owned(), |at| format!("it expires {at}"));
    let before = at("secret_before_until").map(|at| format!("; the secret before is accepted until {at}"));
    say(&format!(
        "shown this once; its holder sets LONGHAUL_TOKEN to it, or `token` in the configuration; {ends}{}",
        before.unwrap_or_default()
    ));
    if let Some(warning) = made["warning"].as_str() {
        say(&format!("warning: {warning}"));
    }
    if let Some(until) = at("ended_early") {
        say(&format!(
            "warning: it was rotated before, and the secret before that one was accepted until {until}: it is worthless now, and \
             what still uses it needs this one"
        ));
    }
    Ok(out.bytes(format!("{}\n", word(made, "token")).as_bytes())?)
}

fn word<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or("")
}
