//! Tokens made worthless, but not the last one that may operate by mistake.

use axum::extract::State;
use http::StatusCode;
use longhaul_proto::faults;
use serde::Deserialize;

use super::unknown_token;
use crate::{
    api::{
        operator::Operator,
        strict::{Path, Strict},
    },
    audit::{Event, Kind},
    frontend::Frontend,
    ledger::TokenRecord,
    model::Scope,
    problem::{Problem, problem},
};

/// Query of `DELETE /api/v1/tokens/{name}`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct Revoke {
    /// The last token that may operate, too.
    force: bool,
}

/// `DELETE /api/v1/tokens/{name}`.
pub(in crate::api) async fn revoke(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    Path(name): Path<String>,
    Strict(ask): Strict<Revoke>,
) -> Result<StatusCode, Problem> {
    let _turn = frontend.revocations.turn().await;
    let now_ms = frontend.core.deps.clock.unix_ms();
    if !ask.force && is_last(&frontend.core.ledger.token_list().await?, &name, now_ms) {
        let detail = format!(
            "`{name}` is the last token that may operate: without it no client can make tokens, invite agents or drain hosts. Make \
             another one first (`longhaul token add NAME --scope operate`), or revoke it all the same (`longhaul token revoke {name} \
             --force`, `?force=true`): the gateway then makes a new one at its next start"
        );
        return Err(problem(StatusCode::CONFLICT, "last-operator", "The last token that may operate", detail));
    }
    faults::point("tokens.before_revoke");
    frontend.core.audit.must(Event::of(Kind::TokenRevoked, &who).with("token", name.clone())).await?;
    if !frontend.core.ledger.token_revoke(&name, now_ms).await? {
        return Err(unknown_token(&name));
    }
    frontend.known_tokens.forget();
    frontend.revocations.revoked(&name);
    frontend.core.runs.principals_changed().await;
    tracing::info!(by = %who.principal, %name, "token revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// Whether none is left that may operate everywhere and is still accepted, once this one is revoked.
fn is_last(all: &[TokenRecord], name: &str, now_ms: i64) -> bool {
    let operates = |token: &&TokenRecord| {
        token.scopes.may(Scope::Operate) && token.revoked_ms.is_none() && token.expires_ms.is_none_or(|at| at > now_ms)
    };
    let (named, others): (Vec<_>, Vec<_>) = all.iter().filter(operates).partition(|token| token.name == name);
    !named.is_empty() && others.is_empty() && !faults::bug("last_operator_goes")
}
