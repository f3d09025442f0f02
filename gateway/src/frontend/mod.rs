//! What the interfaces for clients, `api` and `mcp`, share.
//!
//! That is the state that handlers work with, the bodies of requests, reading a run's output, and the layers that keep an
//! answer alive and detect that its client went away. It knows no route and no tool.

pub mod bodies;
pub mod disconnect;
pub mod early_flush;
mod numbers;
pub(crate) mod panics;
pub(crate) mod part;
pub(crate) mod reading;
pub mod run_view;
pub(crate) mod search;
mod shown;
pub mod trace;
pub(crate) mod utf8;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use longhaul_proto::connections::Connections;
use tokio_util::sync::CancellationToken;

use crate::{
    Deps, Options,
    audit::Audit,
    auth::{handles::TaskKey, known_tokens::KnownTokens, lasting::Revocations, origin::Allowed, token_uses::TokenUses},
    blobs::Blobs,
    ca::Certificates,
    draw::Drawing,
    ledger::Ledger,
    limits::{incoming, quotas::Quotas},
    metrics::Metrics,
    notify::Notify,
    options::FrontendOptions,
    runs::Runs,
};
use bodies::Bodies;
pub use numbers::Numbers;
pub(crate) use shown::{Look, QuotaNumbers, Shown};

/// What the HTTP and MCP layers work with. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    /// Settings.
    pub options: Arc<Options>,
    /// The audit log.
    pub audit: Audit,
    /// The runs.
    pub runs: Runs,
    /// The blobs.
    pub blobs: Blobs,
    /// The ledger; these layers use its tokens.
    pub ledger: Arc<dyn Ledger>,
    /// Who is told of the ends of runs.
    pub notify: Notify,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What the port shows to clients that speak TLS; `None` = it speaks none to them.
    pub certificates: Option<Certificates>,
    /// The key that task handles are made and checked with.
    pub task_key: TaskKey,
    /// Clock, ids and spawning.
    pub deps: Deps,
    /// The address on which it listens.
    pub addr: SocketAddr,
    /// The URL that clients and agents use, such as `http://127.0.0.1:4747`.
    pub url: String,
    /// Id of this start of the gateway.
    pub incarnation: String,
    /// Fires when a stop drops the connections that are still open because their readers stall.
    pub hang_up: CancellationToken,
}

/// What handlers of the frontend share. Cheap to clone.
#[derive(Clone)]
pub struct Frontend {
    /// The gateway.
    pub core: Core,
    /// The frontend's own numbers.
    pub numbers: Arc<Numbers>,
    /// Hosts and origins that are allowed.
    pub allowed: Arc<Allowed>,
    /// Cancelled when MCP answers that are still open at a stop are cut.
    pub cut: CancellationToken,
    /// The port's connections.
    pub connections: Connections,
    /// What each principal holds.
    pub quotas: Quotas,
    /// Draws graphs.
    pub(crate) drawing: Drawing,
    /// Room for the bodies of requests.
    pub bodies: Bodies,
    /// Tokens that are revoked or expire while an answer lasts.
    pub revocations: Revocations,
    /// Tokens that were looked up just now.
    pub known_tokens: KnownTokens,
    /// When tokens were last used, over restarts.
    pub token_uses: TokenUses,
    /// When this process began to serve, Unix ms.
    pub started_ms: i64,
    /// Whether the gateway was ready when a probe without a token last looked, and when that was, by the monotonic clock.
    pub looked: Arc<tokio::sync::Mutex<Option<(Duration, bool)>>>,
    /// What `/metrics` shows that has to be asked for.
    pub(crate) shown: Arc<Shown>,
}

impl Frontend {
    /// The frontend of this gateway.
    pub fn new(core: Core) -> Self {
        let options = &core.options.frontend;
        let allowed = Allowed::new(core.addr, &core.url, &options.allowed_hosts, &options.allowed_origins);
        let connections = Connections::new(incoming::bounds(options));
        let bodies = Bodies::new(options.max_body_bytes);
        let quotas = core.options.quotas.clone();
        let numbers = Arc::<Numbers>::default();
        Numbers::show(&numbers, &core.metrics.meters);
        let drawing = Drawing::new(core.options.draw_program.clone());
        let known_tokens = KnownTokens::default();
        let now_ms = core.deps.clock.unix_ms();
        let token_uses = TokenUses::open(&core.options.data.join("gateway"), &known_tokens, now_ms);
        Self {
            token_uses,
            started_ms: core.deps.clock.unix_ms(),
            numbers,
            allowed: Arc::new(allowed),
            cut: CancellationToken::new(),
            connections,
            quotas: Quotas::new(quotas),
            drawing,
            bodies,
            revocations: Revocations::default(),
            known_tokens,
            looked: Arc::default(),
            shown: Arc::default(),
            core,
        }
    }

    /// Settings of the frontend.
    pub fn options(&self) -> &FrontendOptions {
        &self.core.options.frontend
    }
}
