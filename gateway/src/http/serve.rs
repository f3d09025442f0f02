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
    connections::{Bounded, Connection, Lingering, Reason},
    faults,
    transport::{self, Https, Key, dial::WINDOWS},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

use super::{Listeners, local::Local};
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

/// What answers requests.
pub(super) struct Routers {
    /// All that there is.
    pub(super) all: Router,
    /// What requests are told that come in the clear and must not.
    pub(super) refusing: Router,
}

/// How one connection is answered.
struct Speaks {
    key: Key,
    /// TLS for clients.
    https: Option<Https>,
    /// What answers it in place of all others if it comes in the clear.
    refusing: Option<Router>,
    /// The kernel said that it is a process of this user.
    own_user: bool,
}

/// Accepts until the tasks are asked to stop, then waits for the connections; the caller of the stop sets the deadline,
/// and drops the connections that are left then.
pub(super) async fn run(frontend: &Frontend, listeners: Listeners, key: Key, routers: Routers) -> io::Result<()> {
    let tasks = &frontend.core.deps.tasks;
    let stop = tasks.stopping();
    let graceful = GracefulShutdown::new();
    let Listeners { port: listener, local } = listeners;
    let https = frontend.core.certificates.as_ref().map(|all| all.https().clone());
    let incoming = Incoming::new(frontend.connections.clone(), frontend.options());
    let builder = Arc::new(builder(frontend.options().idle_timeout));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            accepted = of_this_user(local.as_ref()) => {
                if let Some((stream, connection)) = admitted(&incoming, accepted).await {
                    let requests = requests(connection.clone(), &incoming, &routers);
                    let speaks = Speaks { key: key.clone(), https: None, refusing: None, own_user: true };
                    let stream = Bounded::new(stream, connection);
                    start(frontend, Box::pin(handshake(stream, speaks, builder.clone(), requests, graceful.watcher())));
                }
                continue;
            }
            () = stop.cancelled() => break,
        };
        let (near, admitted) = match accepted {
            Ok((stream, peer)) => (peer.ip().to_canonical().is_loopback(), incoming.admit(peer, stream)),
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
        let requests = requests(connection, &incoming, &routers);
        // In the clear only this machine itself is answered, once there is a certificate.
        let refusing = (https.is_some() && !near && !faults::bug("plain_is_served")).then(|| routers.refusing.clone());
        let speaks = Speaks { key: key.clone(), https: https.clone(), refusing, own_user: false };
        start(frontend, Box::pin(handshake(stream, speaks, builder.clone(), requests, graceful.watcher())));
    }
    drop((listener, local));
    let mut closing = std::pin::pin!(graceful.shutdown());
    let closed = tokio::time::timeout(LAST_WORDS, &mut closing).await;
    frontend.cut.cancel();
    if closed.is_err() {
        closing.await;
    }
    Ok(())
}

fn requests(connection: Connection, incoming: &Incoming, routers: &Routers) -> Requests {
    Requests { connection, incoming: incoming.clone(), router: routers.all.clone(), session: None }
}

/// The task of one connection.
fn start(frontend: &Frontend, connection: Pin<Box<dyn Future<Output = Option<Served>> + Send>>) {
    let tasks = &frontend.core.deps.tasks;
    let (hang_up, stop) = (frontend.core.hang_up.clone(), tasks.stopping());
    tasks.spawn(async move {
        let Some(Some(connection)) = stop.run_until_cancelled(connection).await else { return };
        match hang_up.run_until_cancelled(connection).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
            None => tracing::debug!("a connection was cut off at the stop"),
        }
    });
}

async fn of_this_user(local: Option<&Local>) -> io::Result<Option<UnixStream>> {
    match local {
        Some(local) => local.accept().await,
        None => std::future::pending().await,
    }
}

/// A connection over the socket, where there is one, its peer is this user, and there is room for it. It counts for no
/// address.
async fn admitted(incoming: &Incoming, accepted: io::Result<Option<UnixStream>>) -> Option<(UnixStream, Connection)> {
    match accepted {
        Ok(Some(stream)) => incoming.admit_local().map(|connection| (stream, connection)),
        Ok(None) => {
            incoming.refused(Reason::User, "it came over the socket from another user");
            None
        }
        Err(error) => {
            incoming.out_of_files(&error);
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
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
async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    speaks: Speaks,
    builder: Arc<Builder<TokioExecutor>>,
    mut requests: Requests,
    graceful: Watcher,
) -> Option<Served> {
    let accepted = match transport::accept_all(stream, &speaks.key, speaks.https.as_ref()).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no connection came about");
            return None;
        }
    };
    if let Some(session) = &accepted.session {
        session.counts_as(requests.connection.clone());
        if speaks.own_user {
            session.of_own_user();
        }
    }
    if let Some(refusing) = speaks.refusing.filter(|_| !accepted.encrypted) {
        requests.incoming.refused(Reason::Clear, "it came in the clear from another machine, where TLS is spoken");
        requests.router = refusing;
    }
    requests.session = accepted.session;
    let io = TokioIo::new(accepted.stream);
    let served = builder.serve_connection_with_upgrades(io, TowerToHyperService::new(requests)).into_owned();
    Some(Box::pin(graceful.watch(served)))
}
