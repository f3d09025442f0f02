//! What a collector of traces gets of runs: a real collector, both protocols, and what becomes of runs without one.

mod collector;
mod ends;
mod logs;
mod outage;
mod restarts;

use longhaul_proto::api::{SubmitRequest, Submitted};
use longhaul_tests::{api, api::Api};
use reqwest::Method;

/// A client's span, in a trace that is named by one digit.
fn traceparent(digit: char, flags: &str) -> String {
    format!("00-{}-{CALLER}-{flags}", trace(digit))
}

fn trace(digit: char) -> String {
    digit.to_string().repeat(32)
}

/// The client's own span, the root of the trace as far as Longhaul sees it.
const CALLER: &str = "b7ad6b7169203331";

/// Submits under a client's span.
async fn submit(api: &Api, request: &SubmitRequest, traceparent: &str) -> Submitted {
    let post = api.request(Method::POST, "/api/v1/runs").header("traceparent", traceparent);
    let post = post.header("tracestate", "vendor=1").json(request);
    api::read(post.send().await.unwrap()).await.unwrap()
}
