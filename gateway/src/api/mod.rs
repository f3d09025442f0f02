//! The HTTP API, version 1: runs, their output live or finished, hosts, tokens, and the gateway's own health.
//!
//! Handlers turn a request into one call of `runs` and its answer into JSON; every error is made in [`problem`].
//! Requests are strict ([`strict`]): a misspelt field is an error that names it. Output goes out as the reader takes
//! it, straight from the mirror: a slow reader costs one chunk, whatever the run prints ([`output`], [`events`]).

mod agents;
mod blobs;
mod certificate;
mod data;
mod do_files;
mod events;
mod files;
mod filters;
mod health;
mod help;
mod history;
mod hosts;
mod operator;
mod output;
mod ranges;
mod record;
mod results;
mod runs;
mod strict;
mod tokens;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{delete, get, post},
};

use crate::frontend::{Frontend, disconnect};
use longhaul_proto::api::CA_CERTIFICATE;

/// All routes of the API.
pub fn router(frontend: Frontend) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route(CA_CERTIFICATE, get(certificate::root))
        .route("/api/v1/runs", get(runs::list).post(runs::submit))
        .route("/api/v1/runs/adopt", post(runs::adopt_from))
        .route("/api/v1/runs/{run}", get(runs::get))
        .route("/api/v1/runs/{run}/adopt", post(runs::adopt))
        .route("/api/v1/runs/{run}/cancel", post(runs::cancel))
        .route("/api/v1/runs/{run}/declare-dead", post(runs::declare_dead))
        .route("/api/v1/runs/{run}/rerun", post(runs::rerun))
        .route("/api/v1/runs/{run}/release", post(runs::release))
        .route("/api/v1/clock/trust", post(health::trust_clock))
        .route("/api/v1/runs/{run}/history", get(history::get))
        .route("/api/v1/runs/{run}/output", get(output::get))
        .route("/api/v1/runs/{run}/events", get(events::get))
        .route("/api/v1/runs/{run}/do-files", get(do_files::list))
        .route("/api/v1/runs/{run}/do-files/{sha256}", get(do_files::get))
        .route("/api/v1/runs/{run}/files", get(files::list))
        .route("/api/v1/runs/{run}/files/{*name}", get(files::get))
        .route("/api/v1/runs/{run}/results", get(results::get))
        .route("/api/v1/runs/{run}/record", get(record::get))
        .route("/api/v1/blobs", post(blobs::begin).options(blobs::abilities))
        .route(
            "/api/v1/blobs/{sha256}",
            get(blobs::get).head(blobs::head).put(blobs::put).patch(blobs::patch).delete(blobs::end),
        )
        .route("/api/v1/help", get(help::get))
        .route("/api/v1/data", get(data::get))
        .route("/api/v1/hosts", get(hosts::list))
        .route("/api/v1/hosts/drain", post(hosts::drain))
        .route("/api/v1/hosts/resume", post(hosts::resume))
        .route("/api/v1/hosts/forget", post(hosts::forget))
        .route("/api/v1/whoami", get(tokens::whoami))
        .route("/api/v1/agents", get(agents::list))
        .route("/api/v1/agents/{name}/approve", post(agents::approve))
        .route("/api/v1/agents/{name}/revoke", post(agents::revoke))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::add))
        .route("/api/v1/tokens/{name}", delete(tokens::revoke))
        .layer(from_fn_with_state(frontend.clone(), disconnect::seen))
        .with_state(frontend)
}
