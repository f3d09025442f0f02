//! The HTTP API, version 1: runs, their output live or finished, hosts, tokens, and the gateway's own health.
//!
//! Handlers turn a request into one call of `runs` and its answer into JSON; every error is made in [`problem`].
//! Requests are strict ([`strict`]): a misspelt field is an error that names it. Output goes out as the reader takes
//! it, straight from the mirror: a slow reader costs one chunk, whatever the run prints ([`output`], [`events`]).

mod agents;
mod all_events;
mod audit;
mod blobs;
mod certificate;
mod data;
mod do_files;
mod events;
mod files;
mod filters;
pub(crate) mod health;
mod help;
mod history;
mod hosts;
mod invitations;
pub(crate) mod metrics;
mod notify;
pub mod openapi;
mod operator;
mod output;
mod quotas;
mod ranges;
mod record;
mod results;
mod runs;
mod search;
mod strict;
mod tokens;

use axum::{Router, middleware::from_fn_with_state};
use http::Method;
use longhaul_proto::api::{CA_CERTIFICATE, OPENAPI};

use crate::{
    auth::routes::{Routes, Row},
    frontend::{Frontend, disconnect},
    model::{Permission, Scope},
};

/// The router of the API, and what each of its routes needs.
pub fn router(frontend: Frontend) -> (Router, Vec<Row>) {
    routes().layer(from_fn_with_state(frontend.clone(), disconnect::seen)).with_state(frontend)
}

/// All routes of the API.
pub fn routes() -> Routes<Frontend> {
    let (get, post, delete) = (|| Method::GET, || Method::POST, || Method::DELETE);
    let (read, operate) = (Permission::READ, Permission::OPERATE);
    Routes::new()
        .on(get(), "/healthz", Permission::Nothing, health::alive)
        .on(get(), "/readyz", Permission::Nothing, health::ready)
        .on(get(), "/metrics", Permission::Token, metrics::get)
        .on(get(), CA_CERTIFICATE, Permission::Nothing, certificate::root)
        .on(get(), OPENAPI, Permission::Nothing, openapi::get)
        .on(get(), "/api/v1/quotas", Permission::Token, quotas::list)
        .on(get(), "/api/v1/runs", read, runs::list)
        .on(post(), "/api/v1/runs", Permission::SUBMIT, runs::submit)
        .on(post(), "/api/v1/runs/adopt", operate, runs::adopt_from)
        .on(get(), "/api/v1/runs/{run}", read, runs::get)
        .on(post(), "/api/v1/runs/{run}/adopt", operate, runs::adopt)
        .on(post(), "/api/v1/runs/{run}/cancel", Permission::CANCEL, runs::cancel)
        .on(post(), "/api/v1/runs/{run}/declare-dead", operate, runs::declare_dead)
        .on(post(), "/api/v1/runs/{run}/rerun", Permission::SUBMIT, runs::rerun)
        .on(post(), "/api/v1/runs/{run}/release", operate, runs::release)
        .on(post(), "/api/v1/clock/trust", operate, health::trust_clock)
        .on(get(), "/api/v1/runs/{run}/history", read, history::get)
        .on(get(), "/api/v1/runs/{run}/output", read, output::get)
        .on(get(), "/api/v1/runs/{run}/output/search", read, search::get)
        .on(get(), "/api/v1/runs/{run}/events", read, events::get)
        .on(get(), "/api/v1/events", read, all_events::get)
        .on(get(), "/api/v1/runs/{run}/do-files", read, do_files::list)
        .on(get(), "/api/v1/runs/{run}/do-files/{sha256}", read, do_files::get)
        .on(get(), "/api/v1/runs/{run}/files", read, files::list)
        .on(get(), "/api/v1/runs/{run}/files/{*name}", read, files::get)
        .on(get(), "/api/v1/runs/{run}/results", read, results::get)
        .on(get(), "/api/v1/runs/{run}/record", read, record::get)
        .on(post(), "/api/v1/blobs", Permission::SUBMIT, blobs::begin)
        .on(Method::OPTIONS, "/api/v1/blobs", Permission::Token, blobs::abilities)
        .on(get(), "/api/v1/blobs/{sha256}", read, blobs::get)
        .on(Method::HEAD, "/api/v1/blobs/{sha256}", Permission::SUBMIT, blobs::head)
        .on(Method::PUT, "/api/v1/blobs/{sha256}", Permission::SUBMIT, blobs::put)
        .on(Method::PATCH, "/api/v1/blobs/{sha256}", Permission::SUBMIT, blobs::patch)
        .on(delete(), "/api/v1/blobs/{sha256}", Permission::SUBMIT, blobs::end)
        .on(get(), "/api/v1/notify", read, notify::list)
        .on(post(), "/api/v1/notify/receivers", read, notify::add)
        .on(delete(), "/api/v1/notify/receivers", read, notify::remove)
        .on(post(), "/api/v1/notify/secret", read, notify::secret)
        .on(post(), "/api/v1/notify/test", read, notify::test)
        .on(get(), "/api/v1/help", Permission::Token, help::get)
        .on(get(), "/api/v1/data", Permission::SUBMIT, data::get)
        .on(get(), "/api/v1/hosts", Permission::Token, hosts::list)
        .on(post(), "/api/v1/hosts/drain", operate, hosts::drain)
        .on(post(), "/api/v1/hosts/resume", operate, hosts::resume)
        .on(post(), "/api/v1/hosts/forget", operate, hosts::forget)
        .on(get(), "/api/v1/audit", Permission::Any(&[Scope::Audit]), audit::get)
        .on(get(), "/api/v1/whoami", Permission::Token, tokens::whoami)
        .on(get(), "/api/v1/agents", operate, agents::list)
        .on(get(), "/api/v1/agents/invitations", operate, invitations::list)
        .on(post(), "/api/v1/agents/invitations", operate, invitations::add)
        .on(delete(), "/api/v1/agents/invitations/{name}", operate, invitations::withdraw)
        .on(post(), "/api/v1/agents/{name}/approve", operate, agents::approve)
        .on(post(), "/api/v1/agents/{name}/revoke", operate, agents::revoke)
        .on(get(), "/api/v1/tokens", operate, tokens::list)
        .on(post(), "/api/v1/tokens", operate, tokens::add)
        .on(post(), "/api/v1/tokens/{name}/rotate", Permission::Token, tokens::rotate)
        .on(delete(), "/api/v1/tokens/{name}", operate, tokens::revoke)
}
