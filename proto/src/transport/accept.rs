//! The one place that accepts.
//!
//! The first byte of a connection tells TLS from plain HTTP, whose methods and preface are letters. Everything here
//! belongs into the connection's own task: a side that is slow, or says nothing, keeps nobody else waiting, and is given
//! up after [`HANDSHAKE`].

use std::{io, time::Duration};

use futures_util::{Stream as Incoming, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::{
    channel::{Channel, Ends, Session},
    key::Key,
    stream::{First, Stream},
    tls,
};
use crate::{
    connections::{Bounds, Connections, Guarded},
    tasks::Tasks,
};

/// Connections that have done their handshake and wait to be served.
const HANDED_ON: usize = 16;

/// Pause after an accept that failed, which happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Refusals are told in the log at most so often.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Limit from the accept to the end of the handshake; of a plain connection, to its first byte.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// First byte of a TLS connection: a handshake record.
const TLS: u8 = 0x16;

/// A connection that can be spoken on.
#[derive(Debug)]
pub struct Accepted<S> {
    /// Its bytes.
    pub stream: Stream<S>,
    /// What is known of it; `None` = it came without TLS.
    pub session: Option<Session>,
}

/// Why nothing can be spoken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Nothing, or not all, came in time.
    #[error("the other side sent nothing, or not its whole handshake, within {} s", HANDSHAKE.as_secs())]
    Slow,
    /// It left before its first byte.
    #[error("the other side left at once")]
    Left,
    /// No TLS came about.
    #[error("no TLS handshake")]
    Handshake(#[source] io::Error),
}

/// Looks at the first byte and does the handshake where it is one.
///
/// # Errors
/// See [`AcceptError`]; the connection is closed then.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(io: S, key: &Key) -> Result<Accepted<S>, AcceptError> {
    tokio::time::timeout(HANDSHAKE, at_leisure(io, key)).await.map_err(|_| AcceptError::Slow)?
}

async fn at_leisure<S: AsyncRead + AsyncWrite + Unpin>(mut io: S, key: &Key) -> Result<Accepted<S>, AcceptError> {
    let mut byte = [0];
    if io.read(&mut byte).await.map_err(AcceptError::Handshake)? == 0 {
        return Err(AcceptError::Left);
    }
    let io = First::new(Some(byte[0]), io);
    if byte[0] != TLS {
        return Ok(Accepted { stream: Stream::plain(io), session: None });
    }
    let io = TlsAcceptor::from(key.server()).accept(io).await.map_err(AcceptError::Handshake)?;
    let channel = channel(key, io.get_ref().1).map_err(|e| AcceptError::Handshake(io::Error::other(e)))?;
    let ends = Ends::default();
    let session = Session::new(channel, ends.clone());
    Ok(Accepted { stream: Stream::tls(io.into(), Some(session.clone()), &ends), session: Some(session) })
}

/// As [`within`], with bounds that a listener in a test never meets.
pub fn incoming(
    listener: TcpListener,
    key: Key,
    tasks: &Tasks,
) -> impl Incoming<Item = io::Result<Stream<Guarded<TcpStream>>>> + Send + 'static {
    let wide = Bounds { max: 4096, per_address: 4096, per_principal: usize::MAX, head: HANDSHAKE, proof: None };
    within(listener, key, Connections::new(wide), tasks)
}

/// Accepts until the tasks stop, each handshake in a task of its own; what comes out can be spoken on, and is counted
/// in `connections` until it is gone.
pub fn within(
    listener: TcpListener,
    key: Key,
    connections: Connections,
    tasks: &Tasks,
) -> impl Incoming<Item = io::Result<Stream<Guarded<TcpStream>>>> + Send + 'static {
    let (hand_on, done) = mpsc::channel(HANDED_ON);
    let spawner = tasks.clone();
    tasks.spawn_until_stop(async move {
        let mut told = None::<tokio::time::Instant>;
        // A stranger decides how often this happens, so not how often it is told.
        let mut tell = move |what: &dyn std::fmt::Display| {
            let now = tokio::time::Instant::now();
            if told.is_none_or(|at| now.duration_since(at) >= LOG_EVERY) {
                told = Some(now);
                tracing::warn!("a connection was refused: {what}");
            }
        };
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tell(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = match connections.admit(Some(peer.ip())) {
                Ok(connection) => connection,
                Err(full) => {
                    tell(&full);
                    continue;
                }
            };
            // Without it every small message waits for the one before: 48 ms against 2.
            let _ = stream.set_nodelay(true);
            // The time to a request's head runs from here, the handshake included.
            let stream = Guarded::new(stream, connection.clone());
            let (key, hand_on) = (key.clone(), hand_on.clone());
            spawner.spawn_until_stop(async move {
                match accept(stream, &key).await {
                    Ok(accepted) => {
                        if let Some(session) = &accepted.session {
                            session.counts_as(connection);
                        }
                        drop(hand_on.send(Ok(accepted.stream)).await);
                    }
                    Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "no connection came about"),
                }
            });
        }
    });
    stream::unfold(done, async |mut done: mpsc::Receiver<_>| Some((done.recv().await?, done)))
}

/// What both sides know of a connection whose handshake is done.
pub(super) fn channel<D>(key: &Key, tls: &rustls::ConnectionCommon<D>) -> Result<Channel, rustls::Error> {
    let shown = tls.peer_certificates().and_then(|all| all.first());
    let shown = shown.ok_or_else(|| rustls::Error::General("the other side showed no key".to_owned()))?;
    let peer = tls::fingerprint(shown)?;
    let exporter = tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)?;
    Ok(Channel { own: key.fingerprint(), peer, exporter })
}
