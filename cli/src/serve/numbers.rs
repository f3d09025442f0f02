//! Where a daemon's numbers are read and sent.

use longhaul_proto::telemetry::Push;
use tokio::net::TcpListener;

use super::listen;
use crate::context::{Context, Failure};

/// A daemon sends its metrics by OTLP where there is an endpoint.
pub(crate) fn push(context: &Context) -> Push {
    Push { on: true, endpoint: context.config.settings.otlp_endpoint.clone() }
}

/// The listener for an agent's numbers; `None` = they are not read.
///
/// # Errors
/// When other machines could read them and nothing says that they may, or the address cannot be listened on.
pub(crate) async fn listener(context: &Context) -> Result<Option<TcpListener>, Failure> {
    let settings = &context.config.settings;
    let Some(address) = &settings.metrics_listen else { return Ok(None) };
    let named = |failure: Failure| Failure { message: format!("metrics_listen: {}", failure.message), ..failure };
    let listener = listen(address).await.map_err(named)?;
    let is_loopback = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
    if !is_loopback && settings.insecure_network != Some(true) {
        return Err(Failure::usage(format!(
            "metrics_listen is {address}: there this agent's numbers would cross the network in the clear, for all to read. \
             Listen on 127.0.0.1 and let a monitor on this host read them; where something else protects the network, say \
             `insecure_network = true` (LONGHAUL_INSECURE_NETWORK=true)"
        )));
    }
    Ok(Some(listener))
}
