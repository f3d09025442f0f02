//! The accept loop.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use longhaul_proto::{
    connections::{Bounded, Lingering},
    transport::{self, Key, dial::WINDOWS},
};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    frontend::Frontend,
    limits::incoming::{Incoming, Requests},
};

/// Pause after a failed accept, which happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// At a stop, open MCP calls have this long to end by themselves, with a message about their run, before they are cut.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Pings an idle HTTP/2 connection this often, and how long an answer may take before it is closed: an agent's host
/// that vanished sends no FIN.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));

/// Accepts until the tasks are asked to stop, then waits for the connections; the caller of the stop sets the deadline,
/// and drops the connections that are left then.
pub(super) async fn run(frontend: &Frontend, listener: TcpListener, key: Key, router: Router) -> io::Result<()> {
    let tasks = &frontend.core.deps.tasks;
    let stop = tasks.stopping();
    let graceful = GracefulShutdown::new();
    let incoming = Incoming::new(frontend.connections.clone(), frontend.options());
    let builder = Arc::new(builder(frontend.options().idle_timeout));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let admitted = match accepted {
            Ok((stream, peer)) => incoming.admit(peer, stream),
            Err(error) => {
                incoming.out_of_files(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (stream, connection) = match admitted {
            Ok(admitted) => admitted,
            Err(turned) => {
                if turned.may_be_told() {
                    tasks.spawn_until_stop(turned.tell());
                }
                continue;
            }
        };
        // Without this an answer waits for the peer's delayed ACK (48 ms instead of 2 ms, measured).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot set TCP_NODELAY");
        }
        // Boxed: moving a future into another stores it twice, for as long as the connection lasts. The time limit for
        // a request's head counts from here, a TLS handshake included.
        let stream = Bounded::new(Lingering::new(stream), connection.clone());
        let requests = Requests { connection, incoming: incoming.clone(), router: router.clone(), session: None };
        let connection = Box::pin(handshake(stream, key.clone(), builder.clone(), requests, graceful.watcher()));
        let (hang_up, stop) = (frontend.core.hang_up.clone(), stop.clone());
        tasks.spawn(async move {
            let Some(Some(connection)) = stop.run_until_cancelled(connection).await else { return };
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
    frontend.cut.cancel();
    if closed.is_err() {
        closing.await;
    }
    Ok(())
}

/// What HTTP connections are served with.
fn builder(idle_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1);
    builder
}

type Served = Pin<Box<dyn Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// Does the handshake where there is one, and says how to serve the connection; `None` = it speaks nothing that is
/// served.
async fn handshake(
    stream: Bounded<Lingering<TcpStream>>,
    key: Key,
    builder: Arc<Builder<TokioExecutor>>,
    mut requests: Requests,
    graceful: Watcher,
) -> Option<Served> {
    let accepted = match transport::accept(stream, &key).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no connection came about");
            return None;
        }
    };
    if let Some(session) = &accepted.session {
        session.counts_as(requests.connection.clone());
    }
    requests.session = accepted.session;
    let io = TokioIo::new(accepted.stream);
    let served = builder.serve_connection_with_upgrades(io, TowerToHyperService::new(requests)).into_owned();
    Some(Box::pin(graceful.watch(served)))
}
