//! One port for everything: gRPC for agents, MCP for AI clients, the HTTP API for programs and people.
//!
//! ```text
//! connection -> incoming -> measure -> panics -> auth::gate -> /longhaul.v1.Fleet/*   agents (over TLS, their key instead of a token)
//!                                                -> /mcp                   front (early flush, callers that go away) -> mcp
//!                                                -> /api/v1/*, /metrics, /readyz, /healthz, gRPC's health
//! ```
//!
//! The first byte of a connection tells TLS from plain HTTP, and the protocol that a handshake names tells agents from
//! clients. Agents come over TLS only, and their requests carry the connection's
//! [`longhaul_proto::transport::Session`]. Where there is a certificate for clients ([`crate::ca`]), plain HTTP is
//! answered to this machine alone. Commands of the gateway's own OS user come in by a socket ([`local`]).

mod fleet_service;
mod local;
mod measure;
mod serve;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use longhaul_proto::{
    MAX_MESSAGE,
    health::{self, HealthServer, Healthy},
    transport::{Guarded, Key, Role, hello},
    wire::fleet_server::FleetServer,
};
use tokio::net::TcpListener;

use crate::{
    api,
    auth::{
        self, Gate, Mode,
        gate::NotLoopback,
        lasting::Lasting,
        routes::{MCP, Row, Table},
    },
    frontend::{self, Core, Frontend},
    model::{Identity, Permission, Scopes},
    problem::{Problem, problem},
};

pub(crate) use fleet_service::FleetService;
pub(crate) use local::Local;
use measure::Measure;

/// Why the port was not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `--no-auth` where others can reach the port.
    #[error(transparent)]
    NotLoopback(#[from] NotLoopback),
    /// The listener failed.
    #[error("the listening socket failed")]
    Listen(#[source] io::Error),
}

/// How requests are authenticated, from the settings.
///
/// # Errors
/// When tokens are switched off on an address that others can reach.
pub fn mode(core: &Core) -> Result<Mode, NotLoopback> {
    if core.options.no_auth {
        Mode::open(core.addr, Identity::local(auth::credentials::os_user(), Scopes::OPERATE))
    } else {
        Ok(Mode::Token(core.ledger.clone()))
    }
}

/// Its name, under which probes by gRPC may ask for it.
const FLEET: &str = "longhaul.v1.Fleet";

/// The agents' service. The gate lets agents through to it, whose connections prove their keys, and no token.
pub(crate) const AGENTS: Row = Row { method: None, path: "/longhaul.v1.Fleet/{*call}", needs: Permission::Nothing };

/// What the port answers besides the API, and what it needs.
pub(crate) fn others() -> impl Iterator<Item = Row> {
    MCP.into_iter().chain([AGENTS, HEALTH])
}

/// Everything the port answers; `mcp` is what [`crate::mcp::router`] made.
pub fn router(frontend: &Frontend, mode: Mode, fleet: FleetService, mcp: Router) -> Router {
    let fleet = guarded(fleet);
    let options = frontend.options();
    let lasting = Lasting {
        quotas: frontend.quotas.clone(),
        streams: options.streams_per_principal,
        calls: options.calls_per_principal,
    };
    let (api, rows) = api::router(frontend.clone());
    let gate = Arc::new(Gate {
        mode,
        allowed: (*frontend.allowed).clone(),
        clock: frontend.core.deps.clock.clone(),
        lasting,
        revocations: frontend.revocations.clone(),
        known: frontend.known_tokens.clone(),
        table: Table::of(rows.into_iter().chain(others())),
        audit: frontend.core.audit.clone(),
    });
    let measure = Measure { metrics: frontend.core.metrics.clone(), clock: frontend.core.deps.clock.clone() };
    Router::new()
        .merge(api)
        .merge(mcp)
        .route_service(AGENTS.path, fleet)
        .route_service(HEALTH.path, health(frontend))
        .fallback(async || nothing_here())
        .method_not_allowed_fallback(async || wrong_method())
        .layer(from_fn_with_state(frontend.core.deps.clock.clone(), frontend::trace::offer))
        .layer(from_fn_with_state(gate, auth::gate::check))
        .layer(from_fn(frontend::panics::answer))
        .layer(from_fn_with_state(measure, measure::measure))
}

/// What probes by gRPC ask for.
const HEALTH: Row = Row { method: None, path: auth::gate::GRPC_HEALTH, needs: Permission::Nothing };

/// Ready as `/readyz` says it.
fn health(frontend: &Frontend) -> HealthServer<Healthy> {
    let frontend = frontend.clone();
    health::server(FLEET, move || {
        let frontend = frontend.clone();
        async move { api::health::looked(&frontend).await }
    })
}

/// The agents' gRPC service, as a route of the port.
pub(crate) fn guarded(fleet: FleetService) -> Guarded<FleetServer<FleetService>> {
    let all = FleetServer::new(fleet).max_encoding_message_size(MAX_MESSAGE);
    let hello = all.clone().max_decoding_message_size(hello::LIMIT);
    Guarded::new(Role::Gateway, hello, all.max_decoding_message_size(MAX_MESSAGE))
}

/// What answers connections in the clear that must be encrypted: an agent of protocol 1 that it is too old, and everybody
/// else what to do.
fn refusing(fleet: FleetService) -> Router {
    Router::new()
        .route_service(&format!("{}{{*call}}", auth::gate::FLEET_PREFIX), guarded(fleet))
        .fallback(async |headers: HeaderMap| in_the_clear(&headers))
}

fn in_the_clear(headers: &HeaderMap) -> Response {
    let exposed = if headers.contains_key(header::AUTHORIZATION) {
        ". The token in this request has crossed the network in the clear: revoke it and use another"
    } else {
        ""
    };
    let detail = format!("this port speaks TLS: use https:// in place of http://{exposed}");
    let mut response = problem(StatusCode::BAD_REQUEST, "speaks-tls", "This port speaks TLS", detail).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn nothing_here() -> Problem {
    let detail = "there is nothing at this path: the API is under /api/v1, MCP is at /mcp";
    problem(StatusCode::NOT_FOUND, "not-found", "Nothing here", detail)
}

fn wrong_method() -> Problem {
    let detail = "this path exists, but not for this method: see the Allow header";
    problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Wrong method", detail)
}

/// Where clients and agents come in.
pub(crate) struct Listeners {
    /// The port.
    pub(crate) port: TcpListener,
    /// The socket of this user.
    pub(crate) local: Option<Local>,
}

/// Serves until the tasks of the gateway are asked to stop, then lets requests under way end.
///
/// # Errors
/// When tokens are switched off where others can reach the port, or the listener fails.
pub(crate) async fn serve(
    frontend: Frontend,
    listeners: Listeners,
    key: Key,
    fleet: FleetService,
    mcp: Router,
) -> Result<(), ServeError> {
    let mode = mode(&frontend.core)?;
    let expiring = auth::lasting::expire(frontend.revocations.clone(), frontend.core.deps.clock.clone());
    frontend.core.deps.tasks.spawn_until_stop(expiring);
    api::metrics::show(&frontend);
    if frontend.core.metrics.meters.pushes() {
        frontend.core.deps.tasks.spawn_until_stop(api::metrics::keep_looking(frontend.clone()));
    }
    let refusing = refusing(fleet.clone());
    let all = router(&frontend, mode, fleet, mcp);
    serve::run(&frontend, listeners, key, serve::Routers { all, refusing }).await.map_err(ServeError::Listen)
}
