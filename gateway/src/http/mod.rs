//! One port for everything: gRPC for agents, HTTP for people and programs.

mod options;

use std::io;

use axum::{Router, routing::get, serve::ListenerExt};
use longhaul_proto::{MAX_MESSAGE, wire::fleet_server::FleetServer};
use tokio::net::TcpListener;

use crate::{Core, fleet::FleetService};

pub use options::FaceOptions;

/// Serves until the tasks of `core` are asked to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(core: Core, listener: TcpListener, fleet: FleetService) -> io::Result<()> {
    let fleet = FleetServer::new(fleet).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
    let grpc = tonic::service::Routes::new(fleet).into_axum_router();
    let router = Router::new().route("/healthz", get(async || "ok\n")).merge(grpc);
    let listener = listener.tap_io(|stream| {
        // Without this an answer waits for the other side's delayed ACK.
        let _ = stream.set_nodelay(true);
    });
    let stop = core.deps.tasks.stopping();
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}
