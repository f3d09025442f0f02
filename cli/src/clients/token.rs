//! The token for a client's configuration: one of scope `use`, never one that may operate the gateway.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    access::{self, Access},
    client::{Client, ClientError},
    context::{Context, Failure},
    output::say,
};

/// Stands in for a token where none may be shown.
const PLACE: &str = "YOUR_TOKEN";

/// What the token is for.
pub(super) enum Wanted {
    /// The entry is printed: no token is made for it.
    Shown,
    /// The entry is written into a file; the token that is in it now, if there is one.
    Written(Option<String>),
}

/// The token for a client of the gateway at `url`, where `found` is the one that this user has.
///
/// # Errors
/// When one must be made and that fails.
pub(super) async fn for_client(context: &Context, url: &str, found: String, wanted: Wanted) -> Result<String, Failure> {
    let with = |token: &str| Ok::<_, Failure>(Access { token: Some(token.to_owned()), ..access::of(context, url)? });
    let client = Client::new(url, with(&found)?)?;
    let me = if access::may_send(context, url, &found) { who(&client).await.map_err(Some) } else { Err(None) };
    let me = match me {
        Ok(me) => me,
        // A token that the user configured is taken as it is; the local operator's is recognised.
        Err(error) if is_local(context, &found) => {
            if matches!(wanted, Wanted::Shown) {
                return Ok(placeholder());
            }
            let error = error.map_or_else(|| "no gateway holds the data folder".to_owned(), |error| error.to_string());
            return Err(Failure::system(format!(
                "{error}. Your token may operate the gateway, and one for a client can be made only while it runs: \
                 start it and do this again"
            )));
        }
        Err(_) => {
            say("the gateway does not say what the token may do: it is taken as it is");
            return Ok(found);
        }
    };
    if me["scope"] != "operate" {
        return Ok(found);
    }
    let Wanted::Written(present) = wanted else { return Ok(placeholder()) };
    if let Some(present) = present {
        // Made by an earlier call of this command: still valid, and for the same principal.
        let its = who(&Client::new(url, with(&present)?)?).await.ok();
        if its.is_some_and(|its| its["scope"] == "use" && its["principal"] == me["principal"]) {
            return Ok(present);
        }
    }
    let name: String = context.ids.name().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let body = json!({"name": format!("mcp-{name}"), "principal": me["principal"], "scope": "use"});
    let made: Value = client.call(Method::POST, "/api/v1/tokens", Some(&body)).await?;
    let token = made["token"].as_str().ok_or_else(|| Failure::system("the gateway made no token"))?;
    let ends = made["expires_at"].as_str().and_then(|at| at.get(..10)).unwrap_or("never");
    say(&format!(
        "made the token mcp-{name} of scope `use` for it, which expires {ends} (this command makes another one then): \
         `longhaul token revoke mcp-{name}` makes it worthless"
    ));
    Ok(token.to_owned())
}

async fn who(client: &Client) -> Result<Value, ClientError> {
    client.call(Method::GET, "/api/v1/whoami", None).await
}

/// Whether this is the token of the data folder's owner, an operator.
fn is_local(context: &Context, token: &str) -> bool {
    context.data.credentials().is_some_and(|own| own.token == token)
}

fn placeholder() -> String {
    say(&format!(
        "your token may operate the gateway, so it is not shown: `longhaul token add NAME` makes one for a client, to \
         stand where {PLACE} is; `longhaul mcp install` does both"
    ));
    PLACE.to_owned()
}
