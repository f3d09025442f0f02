//! The accept loop.

use std::{io, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;

use super::Face;

/// Pause after an accept that failed, which happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// At a stop, open MCP calls get so long to end by themselves, with a word about their run, before they are cut.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Ping an idle HTTP/2 connection this often, and give it up when it does not answer: an agent's host that vanished
/// sends no FIN.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));

/// Accepts until the tasks are asked to stop, then waits for the connections; whoever stops us sets the deadline, and
/// drops those that are left then.
pub(super) async fn run(face: &Face, listener: TcpListener, router: Router) -> io::Result<()> {
    let tasks = &face.core.deps.tasks;
    let stop = tasks.stopping();
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(face.options().head_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without this an answer waits for the other side's delayed ACK (48 ms instead of 2 ms, measured).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot set TCP_NODELAY");
        }
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router.clone()))
            .into_owned();
        // Boxed, since a future that is handed on into another one takes its room twice, for as
        // long as the connection lasts.
        let connection = Box::pin(graceful.watch(connection));
        let hang_up = face.core.hang_up.clone();
        tasks.spawn(async move {
            match hang_up.run_until_cancelled(connection).await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
                None => tracing::debug!("a connection was cut off at the stop"),
            }
        });
    }
    drop(listener);
    let mut closing = std::pin::pin!(graceful.shutdown());
    let closed = tokio::time::timeout(LAST_WORDS, &mut closing).await;
    face.cut.cancel();
    if closed.is_err() {
        closing.await;
    }
    Ok(())
}
