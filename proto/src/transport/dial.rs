//! The only place that dials.
//!
//! One TCP stream, one TLS handshake, one HTTP/2 connection: when it breaks it is never replaced without the caller's
//! knowledge, so what was proved on it stays proved, and a call that fails with [`never_sent`] did not leave this
//! machine.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use tonic::{Status, transport::Endpoint};

use super::{
    accept,
    channel::{Channel, Ends},
    key::Key,
    stream::{First, Stream, buffered},
};
use crate::grpc_transport::GrpcTransport;

/// Flow control windows of HTTP/2, bytes: a stream may be a megabyte ahead, a connection four.
pub const WINDOWS: (u32, u32) = (1 << 20, 4 << 20);

/// How often an idle connection is pinged, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Pings {
    /// How often.
    pub every: Duration,
    /// How long the other side may take to answer.
    pub patience: Duration,
}

/// A connection to another side.
#[derive(Clone, Debug)]
pub struct Dialled {
    /// Where calls go.
    pub transport: GrpcTransport,
    /// The keys of both sides.
    pub channel: Channel,
    /// How to learn of its end, and how to end it.
    pub ends: Ends,
    /// The address of this side's end.
    pub local: Option<SocketAddr>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not an address that can be dialled.
    #[error("`{0}` is no address to dial: write it as http://host:port (the connection is encrypted all the same)")]
    Address(String),
    /// The connection failed.
    #[error("it could not be reached")]
    Connect(#[source] io::Error),
    /// Another protocol answers there.
    #[error(
        "what answers there does not speak TLS as longhaul does: if it is a longhaul of protocol 1 (0.1.0), upgrade it; runs under way go on meanwhile"
    )]
    NotTls(#[source] io::Error),
    /// The connection broke before any message.
    #[error("the connection broke at once")]
    Channel(#[source] tonic::transport::Error),
}

/// Dials an address, `http://host:port`. Time limits are the caller's.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(address: &Uri, key: &Key, pings: Pings) -> Result<Dialled, DialError> {
    let (host, port) = place(address).ok_or_else(|| DialError::Address(address.to_string()))?;
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(DialError::Connect)?;
    // Without it every small message waits for the one before: 48 ms against 2.
    tcp.set_nodelay(true).map_err(DialError::Connect)?;
    let local = tcp.local_addr().ok();
    over(tcp, &format!("http://{host}:{port}"), key, pings, local).await
}

/// Dials the socket of a process on this machine, with TLS all the same.
///
/// # Errors
/// See [`DialError`].
pub async fn dial_socket(path: &Path, key: &Key, pings: Pings) -> Result<Dialled, DialError> {
    let stream = UnixStream::connect(path).await.map_err(DialError::Connect)?;
    over(stream, "http://localhost", key, pings, None).await
}

async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: S,
    place: &str,
    key: &Key,
    pings: Pings,
    local: Option<SocketAddr>,
) -> Result<Dialled, DialError> {
    // TLS wants a name, which means nothing here: the key says who answers.
    let name = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
    let io = buffered(First::new(None, io));
    let tls = TlsConnector::from(key.client()).connect(name, io).await.map_err(DialError::NotTls)?;
    let channel = accept::channel(key, tls.get_ref().1).map_err(|e| DialError::NotTls(io::Error::other(e)))?;
    let ends = Ends::default();
    let io = TokioIo::new(Stream::tls(tls.into(), None, &ends));
    let once = Arc::new(Mutex::new(Some(io)));
    let connector = tower::service_fn(move |_: Uri| {
        let io = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { io.ok_or(Spent) }
    });
    // The scheme is replaced: tonic must not know of TLS.
    let endpoint = Endpoint::from_shared(place.to_owned());
    let endpoint = endpoint.map_err(|_| DialError::Address(place.to_owned()))?;
    let connected = endpoint
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .http2_keep_alive_interval(pings.every)
        .keep_alive_timeout(pings.patience)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(DialError::Channel)?;
    Ok(Dialled { transport: GrpcTransport::new(connected), channel, ends, local })
}

fn place(address: &Uri) -> Option<(&str, u16)> {
    let standard = match address.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return None,
    };
    Some((address.host().filter(|host| !host.is_empty())?, address.port_u16().unwrap_or(standard)))
}

/// The only stream of a connection is used up: a call that fails with this was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke")]
pub struct Spent;

/// Whether this error proves that the call never left this machine: the connection was gone before it was made.
pub fn never_sent(status: &Status) -> bool {
    let mut error: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(e) = error {
        if e.is::<Spent>() {
            return true;
        }
        error = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_place_and_never_means_plain() {
        let of = |text: &str| text.parse::<Uri>().ok().and_then(|uri| place(&uri).map(|(h, p)| (h.to_owned(), p)));
        assert_eq!(of("http://gw.lab:7447"), Some(("gw.lab".to_owned(), 7447)));
        assert_eq!(of("http://[::1]:7447/"), Some(("[::1]".to_owned(), 7447)));
        assert_eq!(of("http://gw"), Some(("gw".to_owned(), 80)));
        assert_eq!(of("https://gw"), Some(("gw".to_owned(), 443)));
        assert_eq!(of("ftp://gw:1"), None);
        assert_eq!(of("gw:7447"), None);
    }
}
