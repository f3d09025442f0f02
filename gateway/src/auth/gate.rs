//! The authentication layer: it finds the [`Identity`] of each request, or refuses the request.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use longhaul_proto::{
    api::OPENAPI,
    clock::Clock,
    connections::{Connection, TooMany},
};

use super::{
    known_tokens::KnownTokens,
    lasting::{self, Lasting, Revocations},
    origin::{Allowed, Refused},
    routes::Table,
    token,
};
use crate::{
    audit::{Audit, Event, Kind},
    ledger::{LedgerError, TokenRecord, TokenStore},
    limits::incoming,
    model::{Identity, RequestOrigin},
    problem::{Problem, problem},
};

/// What probes of balancers and monitors ask for. They have no token and may know us by an address that is none of our
/// names, so these answer under any `Host`, and with nothing that is not for everybody: details are for those who show a
/// token under a name of ours.
pub const PROBES: [&str; 3] = ["/healthz", "/readyz", GRPC_HEALTH];

/// The call of gRPC's health service that probes make; it has no other here.
pub const GRPC_HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Where clients look for OAuth metadata, of which there is none.
const WELL_KNOWN: &str = "/.well-known/";

/// Prefix of the agents' service. Its connections prove an agent's key instead of a token.
pub const FLEET_PREFIX: &str = "/longhaul.v1.Fleet/";

/// Time limit of one call of an agent.
const FLEET_CALL: Duration = Duration::from_secs(60);

/// The token that a request showed, in its extensions.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Whether it was its present secret, and not the one before.
    pub present: bool,
    sha256: String,
    ends_ms: Option<i64>,
}

/// How requests are authenticated.
pub enum Mode {
    /// By bearer token.
    Token(Arc<dyn TokenStore>),
    /// Not at all: every client that can reach the port has this identity.
    Open(Identity),
}

/// `--no-auth` was asked for where others can reach the port.
#[derive(Debug, thiserror::Error)]
#[error(
    "--no-auth works on a loopback address only, and {0} can be reached from other machines: listen on 127.0.0.1, or leave --no-auth out"
)]
pub struct NotLoopback(SocketAddr);

impl Mode {
    /// No tokens, for a listener that only this machine can reach.
    ///
    /// # Errors
    /// When the listener is reachable from elsewhere.
    pub fn open(listen: SocketAddr, identity: Identity) -> Result<Self, NotLoopback> {
        if listen.ip().is_loopback() { Ok(Self::Open(identity)) } else { Err(NotLoopback(listen)) }
    }
}

/// What the layer needs.
pub struct Gate {
    /// How requests are authenticated.
    pub mode: Mode,
    /// Hosts and origins.
    pub allowed: Allowed,
    /// For tokens that expire.
    pub clock: Clock,
    /// What a principal may have open.
    pub lasting: Lasting,
    /// For tokens that are revoked or expire while an answer lasts.
    pub revocations: Revocations,
    /// Tokens that were looked up just now.
    pub known: KnownTokens,
    /// What each route needs.
    pub table: Table,
    /// Where refusals are written down.
    pub audit: Audit,
}

/// The layer itself: `axum::middleware::from_fn_with_state(gate, auth::gate::check)`.
pub async fn check(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let fleet = path.starts_with(FLEET_PREFIX);
    // Clients look there for OAuth; 401 would make them look further, 404 says that there is none.
    // What the API is like is no secret: it is the same at every gateway of a version.
    let open = path.starts_with(WELL_KNOWN) || path == OPENAPI;
    let probe = PROBES.contains(&path);
    if let Err(refused) = gate.check_place(&request, fleet || probe) {
        tracing::warn!(%refused, "request turned away");
        let response = refused_response(&refused);
        gate.note_refusal(Event::from(Kind::Refused, gate.origin(&request, None)), &request_line(&request), &response);
        return response;
    }
    if fleet {
        // An agent's calls are short; one whose message never ends is given up.
        let (address, asked) = (address(&request), request_line(&request));
        return match tokio::time::timeout(FLEET_CALL, next.run(request)).await {
            Ok(response) => {
                gate.note_agent(address, &asked, &response);
                response
            }
            Err(_) => Problem::unavailable("the call took too long").into_response(),
        };
    }
    if probe {
        if gate.allowed.check_host(request.uri(), request.headers()).is_ok()
            && let Ok((identity, _)) = gate.identify(request.headers()).await
        {
            request.extensions_mut().insert(identity);
        }
        return next.run(request).await;
    }
    if open {
        return next.run(request).await;
    }
    let asked = request_line(&request);
    match gate.identify(request.headers()).await {
        Ok((identity, token)) => {
            let origin = gate.origin(&request, token.as_ref().map(|shown| shown.name.clone()));
            let identity = identity.from(origin);
            if let Err(refused) = gate.table.check(&request, &identity) {
                let response = refused.into_response();
                gate.note_refusal(Event::of(Kind::Refused, &identity), &asked, &response);
                return response;
            }
            if let Some(connection) = request.extensions().get::<Connection>()
                && let Err(TooMany { count }) = connection.belongs_to(&identity.principal.to_string())
            {
                return incoming::too_many(count);
            }
            // From here on the connection is the principal's, and no longer counts for its address.
            request.extensions_mut().remove::<Option<Arc<incoming::Asking>>>();
            let held = match gate.lasting.take(&identity.principal, request.method(), request.uri()) {
                Ok(held) => held,
                Err(refused) => return *refused,
            };
            let refused = Event::of(Kind::Refused, &identity);
            request.extensions_mut().insert(identity);
            let revoked = token.map(|shown| {
                let revoked = gate.revocations.of(&shown.name, &shown.sha256, shown.ends_ms);
                request.extensions_mut().insert(shown);
                revoked
            });
            let response = next.run(request).await;
            gate.note_refusal(refused, &asked, &response);
            lasting::watched(response, held, revoked)
        }
        Err(response) => {
            gate.note_refusal(Event::from(Kind::Refused, gate.origin(&request, None)), &asked, &response);
            *response
        }
    }
}

impl Gate {
    /// Where a request comes from; once for each.
    fn origin(&self, request: &Request, token: Option<String>) -> RequestOrigin {
        RequestOrigin::new(address(request), self.audit.request_id(), token)
    }

    /// Writes down that an agent was refused: for its secret, or for its key.
    fn note_agent(&self, address: Option<IpAddr>, asked: &str, response: &Response) {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        // The statuses of gRPC for these two.
        let status = match text("grpc-status") {
            Some("16") => StatusCode::UNAUTHORIZED,
            Some("7") => StatusCode::FORBIDDEN,
            _ => return,
        };
        let event = Event::from(Kind::Refused, RequestOrigin::new(address, self.audit.request_id(), None));
        let event =
            event.with("asked", asked).with("agent", true).with("why", words(text("grpc-message").unwrap_or_default()));
        self.audit.refused(event, status.as_u16());
    }

    /// Writes down that a request was refused: for its token, its rights, or its host.
    fn note_refusal(&self, event: Event, asked: &str, response: &Response) {
        let refusals = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::MISDIRECTED_REQUEST];
        if refusals.contains(&response.status()) {
            self.audit.refused(event.with("asked", asked), response.status().as_u16());
        }
    }

    /// Agents and probes dial any name that their host has for us, so `Host` says nothing about them; a page is still
    /// refused.
    fn check_place(&self, request: &Request, any_host: bool) -> Result<(), Refused> {
        if !any_host {
            self.allowed.check_host(request.uri(), request.headers())?;
        }
        self.allowed.check_origin(request.headers())
    }

    /// The identity, and its token.
    async fn identify(&self, headers: &HeaderMap) -> Result<(Identity, Option<Shown>), Box<Response>> {
        let ledger = match &self.mode {
            Mode::Open(identity) => return Ok((identity.clone(), None)),
            Mode::Token(ledger) => ledger,
        };
        let given = headers.get(header::AUTHORIZATION);
        let Some(token) = given.and_then(|v| v.to_str().ok()).and_then(token::of_header) else {
            let why = if given.is_some() { "the Authorization header holds no bearer token" } else { "no token given" };
            return Err(Box::new(unauthorized(why, false)));
        };
        let digest = token::digest(token);
        let found = self.known.find(&**ledger, &self.clock, &digest).await.map_err(|e| Box::new(ledger_down(&e)))?;
        let is = |secret: &str| token::same(secret, &digest);
        let known = |r: &TokenRecord| is(&r.sha256) || r.before.as_ref().is_some_and(|before| is(&before.sha256));
        let Some(record) = found.filter(known) else {
            return Err(Box::new(unauthorized("this gateway does not know the token", true)));
        };
        if record.revoked_ms.is_some() {
            return Err(Box::new(unauthorized(&format!("the token `{}` was revoked", record.name), true)));
        }
        let ends_ms = record.ends_ms(&digest);
        if ends_ms.is_some_and(|at| at <= self.clock.unix_ms()) {
            let why = match record.sha256 == digest {
                true => format!("the token `{}` has expired", record.name),
                false => format!("the token `{}` has another secret now (`longhaul token rotate`)", record.name),
            };
            return Err(Box::new(unauthorized(&why, true)));
        }
        let identity = Identity { limits: Arc::new(record.limits), ..Identity::new(record.principal, record.scopes) };
        let present = record.sha256 == digest;
        Ok((identity, Some(Shown { name: record.name, present, sha256: digest, ends_ms })))
    }
}

/// Words as they were, which gRPC sends with a percent sign before what is no plain character.
fn words(message: &str) -> String {
    percent_encoding::percent_decode_str(message).decode_utf8_lossy().into_owned()
}

/// The client's address: the connection's, or behind a trusted proxy the one that it names.
fn address(request: &Request) -> Option<IpAddr> {
    let asking = request.extensions().get::<Option<Arc<incoming::Asking>>>().and_then(Option::as_ref);
    let direct = request.extensions().get::<Connection>().and_then(Connection::address);
    asking.map(|asking| asking.address()).or(direct)
}

/// `GET /api/v1/runs`: without what follows a question mark.
fn request_line(request: &Request) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

fn refused_response(refused: &Refused) -> Response {
    let detail = refused.to_string();
    match refused {
        Refused::Host(_) => {
            problem(StatusCode::MISDIRECTED_REQUEST, "wrong-host", "Host not served here", detail).into_response()
        }
        Refused::Origin(_) => {
            problem(StatusCode::FORBIDDEN, "wrong-origin", "Origin not allowed", detail).into_response()
        }
    }
}

fn unauthorized(why: &str, given: bool) -> Response {
    let detail = format!(
        "{why}: `longhaul mcp install --client claude --user` writes one for Claude Code, `longhaul token add NAME` makes one. It goes into `Authorization: Bearer <token>`; on the gateway's machine the operator's is in credentials.json of its data folder"
    );
    let mut response =
        problem(StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed", detail).into_response();
    let challenge =
        if given { r#"Bearer realm="longhaul", error="invalid_token""# } else { r#"Bearer realm="longhaul""# };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

fn ledger_down(error: &LedgerError) -> Response {
    tracing::error!(error = error as &dyn std::error::Error, "cannot look up a token");
    Problem::unavailable("the gateway cannot read its ledger to check the token; try again in a moment").into_response()
}
