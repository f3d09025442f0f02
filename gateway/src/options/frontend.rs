//! Settings of the side that clients see.

use std::time::Duration;

use super::proxies::Network;

/// Settings of HTTP and MCP. The numbers come from measurements of clients; each says which.
#[derive(Clone, Debug)]
pub struct FrontendOptions {
    /// How often a waiting MCP call sends progress. Claude Code gives up after 300 s without a progress notification,
    /// and other clients after 60 s without any byte.
    pub heartbeat: Duration,
    /// Whether it sends progress at all. Off only in the test that shows what happens then.
    pub heartbeat_enabled: bool,
    /// Limit of one progress notification: a reader that stalls blocks the send, never the run.
    pub send_timeout: Duration,
    /// After this time a waiting tool answers with a handle, to clients that are not known to extend their patience on
    /// progress. Below the 60 s that the TypeScript SDK waits for an answer.
    pub handle_after: Duration,
    /// After this time a waiting tool answers where only a person can move the run on (no agent, a silent one, a
    /// drained host), unless the caller asked to wait: with the run's id, the reason and what to do.
    pub no_end_after: Duration,
    /// How long a person is waited for who is asked about risky commands over the connection of a call.
    pub confirm_within: Duration,
    /// After this time a tool that runs code answers with a task, to clients that declare that they understand tasks.
    /// Not at once: a task's result comes in a later turn of the model, which a do-file of a second is not worth. No
    /// longer than the pause between two polls of a task, so that a client never learns of an end later than without.
    pub task_after: Duration,
    /// An MCP call that has not answered within this time gets its headers sent, so that the client's wait for the
    /// first byte (60 s in Claude Code) ends. Errors found at once come sooner and keep their status.
    pub early_flush_after: Duration,
    /// Pause between comments on a silent event stream, for the sake of proxies and of clients without a token.
    pub sse_keep_alive: Duration,
    /// What we tell clients of event streams to wait before they reconnect.
    pub sse_retry: Duration,
    /// Longest wait of one `stata_wait`.
    pub max_wait: Duration,
    /// A session of the older protocol era that was not used for so long is closed; an open call or stream is use.
    /// Claude Code sends no goodbye, and opens another session by itself when it comes back.
    pub session_idle: Duration,
    /// Names that `Host` may carry, beside loopback, the listen address and the advertised one.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://host:port`) of web pages that may call us.
    pub allowed_origins: Vec<String>,
    /// Largest text of one MCP result, bytes.
    pub inline_limit: usize,
    /// A connection that has not sent a whole request head within this time of its acceptance is closed.
    pub head_timeout: Duration,
    /// A kept-alive HTTP/1 connection that sends no further request for so long is closed.
    pub idle_timeout: Duration,
    /// Connections in all; fewer where the process may not have so many descriptors.
    pub max_connections: usize,
    /// Descriptors that connections leave to the ledger, the mirror and the connections to agents.
    pub reserved_files: usize,
    /// Connections of one address that have not shown a token yet.
    pub connections_per_address: usize,
    /// Connections of one principal.
    pub connections_per_principal: usize,
    /// Event streams and downloads of one principal at a time.
    pub streams_per_principal: usize,
    /// MCP calls of one principal at a time.
    pub calls_per_principal: usize,
    /// Open sessions of the older protocol era of one principal.
    pub sessions_per_principal: usize,
    /// The longest pause between two pieces of a request's body.
    pub body_timeout: Duration,
    /// Bytes of request bodies that are held at a time.
    pub max_body_bytes: u64,
    /// Proxies that are trusted to name their clients' addresses in `Forwarded` or `X-Forwarded-For`.
    pub trusted_proxies: Vec<Network>,
}

impl Default for FrontendOptions {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            heartbeat: s(10),
            heartbeat_enabled: true,
            send_timeout: s(5),
            handle_after: s(45),
            no_end_after: s(60),
            confirm_within: s(120),
            task_after: s(2),
            early_flush_after: Duration::from_millis(500),
            sse_keep_alive: s(15),
            sse_retry: s(10),
            max_wait: s(3600),
            session_idle: s(3600),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            inline_limit: 20_000,
            head_timeout: s(10),
            idle_timeout: s(30),
            max_connections: 16_384,
            reserved_files: 256,
            connections_per_address: 128,
            connections_per_principal: 4_096,
            streams_per_principal: 4_096,
            calls_per_principal: 4_096,
            sessions_per_principal: 1_024,
            body_timeout: s(30),
            max_body_bytes: 160 << 20,
            trusted_proxies: Vec::new(),
        }
    }
}
