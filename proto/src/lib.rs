//! What Longhaul's parts share.
//!
//! The gateway and the agents speak over [`wire`] (generated from `proto/longhaul/v1/*.proto`; a test keeps it fresh,
//! so that building needs no `protoc`). Clients and the gateway speak the JSON objects of [`api`]. The other modules
//! are what both sides must do alike:
//!
//! - [`ids`], [`clock`] and [`tasks`]: ids, time and spawning are passed in, so that tests can replay them;
//! - [`back_off`]: the wait between two tries;
//! - [`ordered_watch`] and [`grpc_transport`]: a value that many follow, and a transport for calls, likewise;
//! - [`certificate`]: what is read of a certificate without trusting it;
//! - [`digest`]: the digest of some content;
//! - [`paths`]: clients' paths, of any operating system;
//! - [`principal`]: who owns a run, and how people write that;
//! - [`state`]: a run's states and causes, and the one table of what each end means to the command line, MCP and
//!   telemetry;
//! - [`connections`] and [`descriptors`]: bounds on connections and on open files;
//! - [`durable`]: every write that must survive a crash;
//! - [`faults`]: named stop points and deliberate bugs for tests, absent from the shipped program;
//! - [`free_space`]: how much of a disk must stay free;
//! - [`health`]: what probes by gRPC are told;
//! - [`progress`]: the numbers of progress notifications;
//! - [`private`]: folders and files that must be this user's alone;
//! - [`transport`]: connections between gateway and agents, with TLS and a key on each side; [`invitation`]: the token
//!   by which an agent joins; [`join`]: the secret that both could prove in its place;
//! - [`telemetry`]: tracing to stderr and, when asked, to an OTLP endpoint;
//! - [`version`]: which versions of the protocol work together;
//! - [`stata_log`]: Stata's logs, line by line;
//! - [`visible`]: text from outside, made harmless before it is shown; [`words`]: amounts and errors for people.

pub mod amounts;
pub mod api;
pub mod back_off;
pub mod certificate;
pub mod clock;
pub mod connections;
pub mod descriptors;
pub mod digest;
pub mod durable;
pub mod egress;
pub mod encoding;
pub mod error_kind;
pub mod faults;
pub mod files;
pub mod free_space;
pub mod grpc_transport;
pub mod health;
pub mod ids;
pub mod invitation;
pub mod join;
pub mod licence;
pub mod not_dumpable;
pub mod ordered_watch;
pub mod paths;
pub mod principal;
pub mod private;
pub mod progress;
pub mod results_text;
pub mod risk;
pub mod seal;
pub mod stata_log;
pub mod state;
pub mod tasks;
pub mod telemetry;
pub mod transport;
pub mod version;
pub mod visible;
pub mod words;

/// Messages and services generated from the `.proto` files, which hold the documentation.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod wire {
    include!("wire/longhaul.v1.rs");
}

/// Version of the gateway-agent protocol; both sides send theirs in `Hello`. See [`version`] for when it is raised.
pub const PROTOCOL: u32 = 2;

/// Largest chunk of output in one message, bytes.
pub const CHUNK: usize = 64 * 1024;

/// Most bytes of one read of a file that a run left.
pub const MAX_ARTIFACT_READ: u64 = 1024 * 1024;

/// Largest gRPC message either side accepts, bytes: a 32 MiB bundle and its envelope.
pub const MAX_MESSAGE: usize = 36 * 1024 * 1024;

/// Largest code in a request by MCP, bytes.
pub const MAX_CODE_MCP: usize = 1024 * 1024;

/// Largest code or bundle in a request by the HTTP API, bytes.
pub const MAX_CODE_API: usize = 32 * 1024 * 1024;
/// Largest do-file of which an agent and the gateway keep the bytes for a run that entered it, bytes.
pub const MAX_DO_FILE: u64 = 1 << 20;
/// Most bytes of do-files that are kept of one run.
pub const MAX_DO_FILES_BYTES: u64 = 16 << 20;
/// Most contents of do-files that are kept of one run.
pub const MAX_DO_FILES: usize = 500;
/// Most contents of do-files that are named of one run.
pub const MAX_DO_FILES_NAMED: usize = 1000;

/// Lower-case hexadecimal of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The bytes that exactly so many hexadecimal digits stand for, of either case; `None` = the text is something else.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

/// SHA-256 of some bytes, as lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    digest::ContentDigest::of(bytes).to_string()
}
