//! Tokens, for operators: made, listed, given another secret, revoked. A token is shown once, in the answer that makes it.

mod revoke;
mod unknown_hosts;

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use longhaul_proto::{clock::rfc3339, faults, paths};
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(super) use self::revoke::Revoke;
pub(super) use self::revoke::revoke;
use super::{
    operator::Operator,
    strict::{self, Path},
};
use crate::{
    audit::{Event, Kind},
    auth::{gate::Shown, token},
    frontend::Frontend,
    ledger::{Rotation, TokenRecord},
    model::{Identity, Permission, Principal, Scope, Scopes, TokenLimits, Typed},
    problem::{Problem, problem},
};

/// Longest name of a token or principal, characters.
const MAX_NAME: usize = 64;

/// How long a token lives of which nothing else is said. Long enough for a project, short enough that one that leaked and was
/// forgotten ends.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long a secret that was replaced is accepted too, of which nothing else is said: time to put the new one into place.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Most names of hosts, pools or folders that a token is limited to, and the longest of them, bytes.
const MAX_LIMITS: (usize, usize) = (100, 1024);

/// Body of `POST /api/v1/tokens`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct AddToken {
    /// Its name for people; must be new.
    name: String,
    /// The principal it stands for; the name when absent, which then must be no principal yet.
    #[serde(default)]
    principal: Option<String>,
    /// `use` when absent.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = String))]
    scope: Scopes,
    /// Where it permits that; everywhere when absent.
    #[serde(default)]
    limits: TokenLimits,
    /// Seconds from now; [`LIFE`] when absent.
    #[serde(default)]
    expires_in: Option<f64>,
    /// It never expires.
    #[serde(default)]
    never_expires: bool,
}

/// Body of `POST /api/v1/tokens/{name}/rotate`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RotateToken {
    /// How long the secret before is accepted too, seconds; [`OVERLAP`] when absent.
    overlap: Option<f64>,
}

/// A token as listed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct TokenView {
    name: String,
    principal: String,
    #[cfg_attr(test, schema(value_type = String))]
    scope: Scopes,
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    scopes: Vec<Scope>,
    #[serde(skip_serializing_if = "TokenLimits::is_none")]
    limits: TokenLimits,
    created_at: Option<String>,
    /// When its secret was last replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_at: Option<String>,
    /// Until when the secret before is accepted too.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_before_until: Option<String>,
    /// Until when an earlier secret would have been accepted, which this rotation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_early: Option<String>,
    /// What may be a mistake in what was asked for, in words; in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    expires_at: Option<String>,
    expired: bool,
    revoked_at: Option<String>,
    /// When a request last showed it; absent = not since `uses_known_since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    /// From when on uses are known: the first start of a gateway that notes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses_known_since: Option<String>,
    /// Only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn of(record: TokenRecord, now_ms: i64, token: Option<String>) -> Self {
        Self {
            expired: record.expires_ms.is_some_and(|at| at <= now_ms),
            last_used_at: None,
            uses_known_since: None,
            ended_early: None,
            warning: None,
            name: record.name,
            principal: record.principal.to_string(),
            scope: record.scopes,
            scopes: record.scopes.list(),
            limits: record.limits,
            rotated_at: record.rotated_ms.and_then(rfc3339),
            secret_before_until: record
                .before
                .filter(|before| before.until_ms > now_ms)
                .and_then(|before| rfc3339(before.until_ms)),
            created_at: rfc3339(record.created_ms),
            expires_at: record.expires_ms.and_then(rfc3339),
            revoked_at: record.revoked_ms.and_then(rfc3339),
            token,
        }
    }
}

/// `POST /api/v1/tokens`.
pub(super) async fn add(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    request: Request,
) -> Result<Response, Problem> {
    let (ask, _room): (AddToken, _) = strict::json(&frontend, request, strict::SMALL).await?;
    let explicit = ask.principal.is_some();
    let principal = named(&frontend, ask.principal.as_deref().unwrap_or(&ask.name)).await?;
    for (field, value) in [("name", ask.name.as_str()), ("principal", principal.subject())] {
        let plain = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
        if value.is_empty() || value.chars().count() > MAX_NAME || !value.chars().all(plain) {
            let detail = format!("field `{field}`: 1 to {MAX_NAME} letters, digits and the characters - _ . @");
            return Err(Problem::bad_request(detail));
        }
    }
    let now = frontend.core.deps.clock.unix_ms();
    let limits = checked(ask.limits)?;
    let expires_ms = match ask.expires_in {
        Some(_) if ask.never_expires => {
            return Err(Problem::bad_request("fields `expires_in` and `never_expires`: pass one of them"));
        }
        None if ask.never_expires => None,
        None => Some(now + i64::try_from(LIFE.as_millis()).unwrap_or(i64::MAX)),
        Some(seconds) if seconds.is_finite() && (1.0..=1e10).contains(&seconds) => Some(now + (seconds * 1e3) as i64),
        Some(_) => return Err(Problem::bad_request("field `expires_in`: seconds from now, 1 or more")),
    };
    let secret = generated()?;
    let record = TokenRecord {
        name: ask.name,
        principal,
        sha256: token::digest(&secret),
        scopes: ask.scope,
        limits,
        created_ms: now,
        expires_ms,
        revoked_ms: None,
        rotated_ms: None,
        before: None,
    };
    if !explicit && !faults::bug("principals_taken_over") {
        unknown(&frontend, &record).await?;
    }
    let event = Event::of(Kind::TokenMade, &who).with("token", record.name.clone());
    let event = event
        .with("principal", record.principal.to_string())
        .with("scope", record.scopes.to_string())
        .with("limits", serde_json::to_value(&record.limits).unwrap_or_default());
    frontend.core.audit.must(event.with("expires_at", record.expires_ms.and_then(rfc3339))).await?;
    if !frontend.core.ledger.token_add(record.clone()).await? {
        return Err(taken(&frontend, &record).await?);
    }
    frontend.core.runs.principals_changed().await;
    tracing::info!(by = %who.principal, name = %record.name, principal = %record.principal, "token made");
    let warning = unknown_hosts::warning(&frontend, &record.limits.hosts).await?;
    Ok((StatusCode::CREATED, Json(TokenView { warning, ..TokenView::of(record, now, Some(secret)) })).into_response())
}

/// The limits of a new token, each name as it is compared.
fn checked(limits: TokenLimits) -> Result<TokenLimits, Problem> {
    for (field, names) in [("hosts", &limits.hosts), ("pools", &limits.pools), ("roots", &limits.roots)] {
        let wrong = |name: &String| name.is_empty() || name.len() > MAX_LIMITS.1 || name.chars().any(char::is_control);
        if names.len() > MAX_LIMITS.0 || names.iter().any(wrong) {
            let detail = format!(
                "field `limits.{field}`: at most {} names of 1 to {} bytes, without control characters",
                MAX_LIMITS.0, MAX_LIMITS.1
            );
            return Err(Problem::bad_request(detail));
        }
    }
    if let Some(root) = limits.roots.iter().find(|root| !paths::is_absolute(root) || !limits.allows_path(root)) {
        let detail = format!("field `limits.roots`: `{root}` is no full path of a folder, without `..`");
        return Err(Problem::bad_request(detail));
    }
    Ok(limits)
}

/// Refuses a token whose name alone would make its holder a principal that has runs or had a token already.
async fn unknown(frontend: &Frontend, token: &TokenRecord) -> Result<(), Problem> {
    let name = &token.name;
    if frontend.core.ledger.token_list().await?.iter().any(|known| known.name == *name) {
        return Err(taken(frontend, token).await?);
    }
    if !frontend.core.ledger.principals_called(name).await?.contains(&token.principal) {
        return Ok(());
    }
    let detail = format!(
        "{name} is a principal already, and the holder of this token would see and end the runs of {name}: say that this is \
         meant with the principal too (`longhaul token add NAME --principal {name}`), or choose another name"
    );
    Err(problem(StatusCode::CONFLICT, "principal-known", "There is such a principal already", detail))
}

/// Why the name of a token cannot be given.
async fn taken(frontend: &Frontend, token: &TokenRecord) -> Result<Problem, Problem> {
    let name = &token.name;
    let all = frontend.core.ledger.token_list().await?;
    let before = all.iter().find(|known| known.name == *name);
    let detail = match before.and_then(|known| Some((known, known.revoked_ms.and_then(rfc3339)?))) {
        None => format!("there is a token `{name}` already: choose another name"),
        Some((known, at)) => format!(
            "there was a token `{name}`, revoked {at}, and names of tokens are not used again: choose another name, such as \
             {name}-2; with --principal {0} its holder is {0} again and has the runs of {0}, without it a new principal",
            known.principal
        ),
    };
    Ok(problem(StatusCode::CONFLICT, "name-taken", "The name is taken", detail))
}

/// The principal that an operator named for a token.
async fn named(frontend: &Frontend, text: &str) -> Result<Principal, Problem> {
    let wrong = |detail: String| Problem::bad_request(format!("field `principal`: {detail}"));
    let typed = Typed::read(text);
    let known = match &typed {
        Typed::Bare(subject) => frontend.core.ledger.principals_called(subject).await?,
        Typed::Whole(_) => Vec::new(),
    };
    let principal = typed.among(&known).map_err(|ambiguous| wrong(ambiguous.to_string()))?;
    if !principal.is_local() {
        let detail =
            format!("tokens of this gateway stand for its own principals, and {principal} is another issuer's");
        return Err(wrong(detail));
    }
    Ok(principal)
}

/// `GET /api/v1/tokens`.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Operator(_): Operator,
) -> Result<Json<Vec<TokenView>>, Problem> {
    let all = frontend.core.ledger.token_list().await?;
    let now_ms = frontend.core.deps.clock.unix_ms();
    let view = |token: TokenRecord| {
        let used = |sha256: &String| frontend.known_tokens.last_used(sha256);
        let before = token.before.as_ref().and_then(|before| used(&before.sha256));
        let last_used_at = used(&token.sha256).max(before).and_then(rfc3339);
        let uses_known_since = rfc3339(frontend.token_uses.since_ms());
        TokenView { last_used_at, uses_known_since, ..TokenView::of(token, now_ms, None) }
    };
    Ok(Json(all.into_iter().map(view).collect()))
}

/// There is no token of this name that can be changed.
fn unknown_token(name: &str) -> Problem {
    let detail = format!("there is no valid token `{name}`: `longhaul token list` lists them");
    problem(StatusCode::NOT_FOUND, "unknown-token", "No such token", detail)
}

/// `POST /api/v1/tokens/{name}/rotate`: another secret for the same token, which lives as long again as it was made for. Its
/// holder may do that with the present secret, and operators.
pub(super) async fn rotate(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let shown = request.extensions().get::<Shown>().filter(|shown| shown.name == name);
    let (own, before) = (shown.is_some_and(|shown| shown.present), shown.is_some_and(|shown| !shown.present));
    if !own && !who.may_operate() && !faults::bug("scopes_ignored") {
        if before && !faults::bug("replaced_secret_has_wrong_scope") {
            return Err(replaced(&frontend, &name).await?);
        }
        return Err(Problem::scope_missing(&Permission::OPERATE.words(), &who.scopes.to_string()));
    }
    let (ask, _room): (RotateToken, _) = strict::json(&frontend, request, strict::SMALL).await?;
    let overlap = match ask.overlap {
        None => OVERLAP,
        Some(seconds) if seconds.is_finite() && (0.0..=1e8).contains(&seconds) => Duration::from_secs_f64(seconds),
        Some(_) => return Err(Problem::bad_request("field `overlap`: seconds from now, 0 or more")),
    };
    let unknown = || unknown_token(&name);
    let all = frontend.core.ledger.token_list().await?;
    let known = all.into_iter().find(|token| token.name == name).ok_or_else(unknown)?;
    let now = frontend.core.deps.clock.unix_ms();
    if known.expires_ms.is_some_and(|at| at <= now) {
        let detail = format!("the token `{name}` has expired: make another one with `longhaul token add`");
        return Err(problem(StatusCode::CONFLICT, "expired", "The token has expired", detail));
    }
    let secret = generated()?;
    let life = known.expires_ms.map(|at| at - known.rotated_ms.unwrap_or(known.created_ms));
    let rotation = Rotation {
        sha256: token::digest(&secret),
        at_ms: now,
        expires_ms: life.map(|life| now + life),
        before_until_ms: now.saturating_add(i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX)),
    };
    let event = Event::of(Kind::TokenRotated, &who).with("token", name.clone());
    frontend.core.audit.must(event.with("expires_at", rotation.expires_ms.and_then(rfc3339))).await?;
    let rotated = frontend.core.ledger.token_rotate(&name, rotation).await?.ok_or_else(unknown)?;
    frontend.known_tokens.forget();
    // Answers under way that were asked for with a secret before end with it.
    let over = known.before.as_ref().map(|before| (&before.sha256, now));
    let before = rotated.before.as_ref().map(|before| (&before.sha256, before.until_ms));
    over.into_iter().chain(before).for_each(|(sha256, until_ms)| frontend.revocations.replaced(sha256, until_ms));
    tracing::info!(by = %who.principal, %name, "token has another secret");
    let ended_early = known.before.filter(|before| before.until_ms > now).and_then(|before| rfc3339(before.until_ms));
    Ok(Json(TokenView { ended_early, ..TokenView::of(rotated, now, Some(secret)) }).into_response())
}

/// Why a secret that was replaced does not replace the present one.
async fn replaced(frontend: &Frontend, name: &str) -> Result<Problem, Problem> {
    let all = frontend.core.ledger.token_list().await?;
    let token = all.into_iter().find(|token| token.name == name).ok_or_else(|| unknown_token(name))?;
    let at = token.rotated_ms.and_then(rfc3339).unwrap_or_default();
    let until = token.before.and_then(|before| rfc3339(before.until_ms)).unwrap_or_default();
    let detail = format!(
        "the token `{name}` was rotated at {at}, and this is its secret before that, which is accepted until {until} but \
         rotates nothing: use the secret that was shown then. Where it is lost, an operator runs `longhaul token \
         rotate {name}`; if the rotation was none of yours, an operator revokes the token"
    );
    Ok(problem(StatusCode::CONFLICT, "rotated", "The token was rotated already", detail))
}

fn generated() -> Result<String, Problem> {
    token::generate().map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot make a token");
        Problem::internal()
    })
}

/// The principal that the request's token stands for.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct WhoAmI {
    principal: String,
    issuer: String,
    #[cfg_attr(test, schema(value_type = String))]
    scope: Scopes,
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    scopes: Vec<Scope>,
    #[serde(skip_serializing_if = "TokenLimits::is_none")]
    limits: TokenLimits,
    /// The name of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// `GET /api/v1/whoami`.
pub(super) async fn whoami(Extension(who): Extension<Identity>, shown: Option<Extension<Shown>>) -> Response {
    if faults::bug("answers_undescribed") {
        return Json(serde_json::json!({"principal": 7, "unknown": true})).into_response();
    }
    Json(WhoAmI {
        principal: who.principal.to_string(),
        issuer: who.principal.issuer().to_owned(),
        scope: who.scopes,
        scopes: who.scopes.list(),
        limits: (*who.limits).clone(),
        token: shown.map(|Extension(shown)| shown.name),
    })
    .into_response()
}
