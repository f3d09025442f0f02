//! Invitations of agents, for operators: made, listed, withdrawn. A token is shown once, in the answer that makes it.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use longhaul_proto::{
    api::{InvitationView, Invitations},
    faults,
    invitation::LONGEST,
    words,
};
use serde::Deserialize;

use super::{
    operator::Operator,
    strict::{self, Path},
};
use crate::{
    frontend::Frontend,
    model::{Principal, Typed},
    problem::Problem,
    runs::Inviting,
};

/// How long an invitation can be used of which nothing else is said: time to walk to the host.
const LIFE: Duration = Duration::from_secs(3600);

/// Body of `POST /api/v1/agents/invitations`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Invite {
    /// The name that the agent joins under.
    name: String,
    /// The principal whose runs it takes unless it says otherwise; the inviting one when absent.
    #[serde(default, rename = "for")]
    principal: Option<String>,
    /// Seconds from now; [`LIFE`] when absent.
    #[serde(default)]
    expires_in: Option<f64>,
}

/// Longest name of a principal, bytes.
const LONGEST_NAME: usize = 200;

/// `POST /api/v1/agents/invitations`.
pub(super) async fn add(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    request: Request,
) -> Result<Response, Problem> {
    let (ask, _room): (Invite, _) = strict::json(&frontend, request, strict::SMALL).await?;
    let mut warning = None;
    let principal = match ask.principal.as_deref().map(str::trim) {
        None => who.principal.clone(),
        Some("") => return Err(Problem::bad_request("field `for`: the name of a principal")),
        Some(text) if text.len() > LONGEST_NAME || text.chars().any(char::is_control) => {
            return Err(Problem::bad_request(format!(
                "field `for`: the name of a principal has at most {LONGEST_NAME} bytes and no control characters"
            )));
        }
        Some(text) => {
            let (principal, known) = named(&frontend, text).await?;
            if !known && !faults::bug("unknown_names_pass") {
                warning = Some(stranger(&frontend, &principal).await?);
            }
            principal
        }
    };
    let expires = match ask.expires_in {
        None => LIFE,
        Some(seconds) if seconds.is_finite() && (1.0..=LONGEST.as_secs_f64()).contains(&seconds) => {
            Duration::from_secs_f64(seconds)
        }
        Some(_) => return Err(Problem::bad_request("field `expires_in`: seconds from now, 1 to 2592000 (30 days)")),
    };
    let inviting = Inviting { name: ask.name, principal, expires, gateway: address(&frontend) };
    let made = frontend.core.runs.invite_agent(&who, inviting).await?;
    Ok((StatusCode::CREATED, Json(InvitationView { warning, ..made })).into_response())
}

/// `GET /api/v1/agents/invitations`.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
) -> Result<Json<Invitations>, Problem> {
    Ok(Json(frontend.core.runs.invitations(&who).await?))
}

/// `DELETE /api/v1/agents/invitations/{name}`: by an agent's name, or the beginning of an id.
pub(super) async fn withdraw(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    Path(name): Path<String>,
) -> Result<Json<Invitations>, Problem> {
    let withdrawn: Vec<InvitationView> = frontend.core.runs.withdraw_invitations(&who, &name).await?;
    Ok(Json(Invitations { invitations: withdrawn }))
}

/// What is said of a principal for which there is neither a token nor a run.
async fn stranger(frontend: &Frontend, principal: &Principal) -> Result<String, Problem> {
    let tokens = frontend.core.ledger.token_list().await?;
    let meant = words::nearest(principal.subject(), tokens.iter().map(|token| token.principal.subject()));
    let meant = meant.map(|name| format!("; is {name} meant?")).unwrap_or_default();
    Ok(format!(
        "there is no token and no run of {principal} yet, so the agent has no runs to take until there is one{meant}"
    ))
}

/// The principal that an operator named, and whether there is one.
async fn named(frontend: &Frontend, text: &str) -> Result<(Principal, bool), Problem> {
    let typed = Typed::read(text);
    let known = frontend.core.ledger.principals_called(typed.subject()).await?;
    let principal =
        typed.among(&known).map_err(|ambiguous| Problem::bad_request(format!("field `for`: {ambiguous}")))?;
    let is_known = known.contains(&principal);
    Ok((principal, is_known))
}

/// Where other machines find this gateway: the URL that it tells, with this machine's name where it answers on all of its
/// addresses and no name was set.
fn address(frontend: &Frontend) -> String {
    let url = &frontend.core.url;
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let near = ["127.0.0.1", "[::1]"].into_iter().find(|near| url.contains(near));
    match near.filter(|_| frontend.core.addr.ip().is_unspecified() && !name.is_empty()) {
        Some(near) => url.replacen(near, &name, 1),
        None => url.clone(),
    }
}
