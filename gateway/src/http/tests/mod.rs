//! The frontend on a real port: real runs over a ledger in a temporary folder, no agent (so runs stay queued), raw HTTP.

mod api;
mod blobs;
mod bounds;
mod client;
mod doors;
mod events;
mod mcp;
mod resume;
mod tasks;
mod waits;

use std::{path::PathBuf, time::Duration};

use longhaul_proto::{clock::Clock, free_space::MinFree, ids::Ids, tasks::Tasks};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    Deps, Gateway, Options,
    auth::token,
    ledger::TokenRecord,
    model::{Principal, Scopes, TokenLimits},
    options::FrontendOptions,
};
use client::Client;

/// A gateway and the folder it lives in.
struct World {
    gateway: Gateway,
    folder: TempDir,
}

impl World {
    async fn new(frontend: FrontendOptions) -> Self {
        Self::with(Options { frontend, ..Options::default() }).await
    }

    async fn with(options: Options) -> Self {
        Self::at(tempfile::tempdir().unwrap(), options).await
    }

    /// Whether one of the gateway's counters, which has no labels, has counted.
    fn counted(&self, name: &str) -> bool {
        let text = self.gateway.core.metrics.meters.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name}: {text}")) > 0.0
    }

    /// Stops it and starts another on the same folder.
    async fn again(self, frontend: FrontendOptions) -> Self {
        assert!(self.gateway.shutdown(Duration::from_secs(20)).await, "everything ended");
        Self::at(self.folder, Options { frontend, ..Options::default() }).await
    }

    async fn at(folder: TempDir, options: Options) -> Self {
        Self::timed(folder, options, Clock::system()).await
    }

    async fn timed(folder: TempDir, options: Options, clock: Clock) -> Self {
        // How full the disk of the machine is that runs the tests must not decide what they see.
        let min_free = MinFree { bytes: 0, percent: 0 };
        let options = Options { data: folder.path().to_owned(), min_free, ..options };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deps = Deps { clock, ids: Ids::system(), tasks: Tasks::new() };
        let gateway = crate::start(options, listener, deps).await.unwrap();
        Self { gateway, folder }
    }

    /// As the user who started the gateway, an operator.
    fn client(&self) -> Client {
        let path: PathBuf = self.folder.path().join("credentials.json");
        let held: crate::auth::credentials::Credentials =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        Client { addr: self.gateway.addr, token: held.token, name: ("mcp", "2.3.0") }
    }

    /// As another principal, with scope `use`.
    async fn other(&self, name: &str) -> Client {
        let body = format!("{{\"name\": \"{name}\"}}");
        let (status, made) = self.client().api("POST", "/api/v1/tokens", &body).await;
        assert_eq!(status, 201, "{made}");
        Client { token: made["token"].as_str().unwrap().to_owned(), ..self.client() }
    }

    /// As a principal of another issuer, whose token is put into the ledger.
    async fn foreign(&self, issuer: &str, subject: &str) -> Client {
        let secret = format!("lh_{issuer}_{subject}");
        let token = TokenRecord {
            principal: Principal::new(issuer, subject),
            ..stale(&format!("{issuer}-{subject}"), &secret, None, None)
        };
        assert!(self.gateway.core.ledger.token_add(token).await.unwrap());
        Client { token: secret, ..self.client() }
    }

    /// A run that stays queued, because there is no agent.
    async fn waiting_run(&self, client: &Client, text: &str) -> String {
        let (status, run) = client.api("POST", "/api/v1/runs", &serde_json::json!({ "text": text }).to_string()).await;
        assert_eq!((status, &run["state"]), (201, &"queued".into()), "{run}");
        run["run_id"].as_str().unwrap().to_owned()
    }

    async fn stop(self) {
        assert!(self.gateway.shutdown(Duration::from_secs(20)).await, "everything ended");
    }
}

/// All times ten to a hundred times shorter.
fn quick() -> FrontendOptions {
    FrontendOptions {
        heartbeat: Duration::from_millis(100),
        handle_after: Duration::from_millis(700),
        early_flush_after: Duration::from_millis(50),
        sse_keep_alive: Duration::from_millis(100),
        ..FrontendOptions::default()
    }
}

/// A token that was valid once.
fn stale(name: &str, secret: &str, expires_ms: Option<i64>, revoked_ms: Option<i64>) -> TokenRecord {
    TokenRecord {
        name: name.to_owned(),
        principal: Principal::local(name),
        sha256: token::digest(secret),
        scopes: Scopes::USE,
        limits: TokenLimits::default(),
        created_ms: 1,
        expires_ms,
        revoked_ms,
        rotated_ms: None,
        before: None,
    }
}
