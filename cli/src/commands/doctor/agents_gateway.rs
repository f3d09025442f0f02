//! The gateway of the agent that works here. This user may have no token for it, so that only its address is tried.

use std::time::Duration;

use super::report::{Finding, ok, problem};
use crate::context::Context;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether it answers.
pub(super) async fn finding(context: &Context) -> Finding {
    let url = context.data.agents_gateway().unwrap_or_default();
    let what = "the agent's gateway";
    let address = url.parse::<http::Uri>().ok().and_then(|uri| {
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        Some((uri.host()?.trim_matches(['[', ']']).to_owned(), port))
    });
    let Some(address) = address else {
        return problem(what, format!("{url} is not a URL"), "start the agent again with --gateway URL");
    };
    let advice =
        "is it up, and does a firewall let this machine through? Runs here go on; the agent tries again by itself";
    match tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => ok(what, format!("{url} answers (`longhaul hosts` there says whether the agent is up)")),
        Ok(Err(error)) => problem(what, format!("{url}: {error}"), advice),
        Err(_) => problem(what, format!("{url}: no answer"), advice),
    }
}
