//! A gateway of Longhaul's with the tools, prompts and resources that the official MCP conformance suite calls.
//!
//! The suite tests a server by fixtures of fixed names, which no product has. So this program is the product's gateway,
//! started as the product starts it, with other answers behind `/mcp`: the port, the origin checks, the early flush,
//! the sessions, the event ids and the answers to panics are the product's.
//!
//! ```text
//! port -> panics -> auth::gate -> http::front -> rmcp -> Fixture -- say, ask, texts   answers of the suite's own
//!  the product's, all of them                               \------ jobs -- runs of the product, seen as tasks
//! ```
//!
//! `longhaul-conformance fixtures --listen ADDRESS --data FOLDER` serves without tokens, on loopback; an agent must
//! have joined for the tools that run. `--allow-host HOST` opens the check of hosts and origins to HOST, and `--wrong
//! answers` makes an answer and a schema wrong: a count of failures must find these. All other arguments go to
//! `longhaul`.

// This program is a test: a failed step here is a failed test, and a panic reports it best.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// What only the older revision has is deprecated in the library; the suite tries that revision too.
#![allow(deprecated)]

mod ask;
mod fixture;
mod jobs;
mod say;
mod texts;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use longhaul_gateway::{Deps, Options, frontend::Frontend};
use longhaul_proto::{clock::Clock, durable, ids::Ids, tasks::Tasks};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use fixture::Fixture;

/// How long connections may take to end at a stop.
const LEAVE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|first| first != "fixtures") {
        return longhaul::main();
    }
    let (listen, options, wrong) = read(args);
    tokio::runtime::Runtime::new().unwrap().block_on(serve(&listen, options, wrong));
    ExitCode::SUCCESS
}

fn read(mut args: impl Iterator<Item = OsString>) -> (String, Options, bool) {
    let mut options = Options { no_auth: true, ..Options::default() };
    // A run is a task from the first moment: the suite's shortest job ends before the product's default would make it
    // one.
    options.frontend.task_after = Duration::ZERO;
    let (mut listen, mut wrong) = ("127.0.0.1:0".to_owned(), false);
    while let Some(flag) = args.next() {
        let value = args.next().expect("a value");
        let text = value.to_str().expect("text").to_owned();
        match flag.to_str() {
            Some("--listen") => listen = text,
            Some("--data") => options.data = PathBuf::from(value),
            Some("--allow-host") => {
                options.frontend.allowed_origins = vec![format!("http://{text}")];
                options.frontend.allowed_hosts = vec![text];
            }
            Some("--wrong") => wrong = text == "answers",
            _ => panic!("--listen, --data, --allow-host or --wrong, not {flag:?}"),
        }
    }
    (listen, options, wrong)
}

async fn serve(listen: &str, options: Options, wrong: bool) {
    let listener = TcpListener::bind(listen).await.unwrap();
    let deps = Deps { clock: Clock::system(), ids: Ids::system(), tasks: Tasks::new() };
    let data = options.data.clone();
    let fixture = move |frontend: &Frontend| Fixture::new(frontend, wrong);
    let gateway = longhaul_gateway::start_with(options, listener, deps, fixture).await.unwrap();
    let endpoint = json!({"url": gateway.url, "pid": std::process::id()});
    durable::replace(&data.join("endpoint.json"), endpoint.to_string().as_bytes()).unwrap();
    println!("{}/mcp", gateway.url);
    signal(SignalKind::terminate()).unwrap().recv().await;
    gateway.shutdown(LEAVE).await;
}
