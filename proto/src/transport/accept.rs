//! The only place that accepts connections.
//!
//! The first byte of a connection distinguishes TLS from plain HTTP, whose methods and preface are letters. The protocol
//! that a handshake names distinguishes agents and gateways from clients ([`super::https`]). Everything here belongs into the connection's own task: a side that is slow or silent delays no other connection, and is closed
//! after [`HANDSHAKE`].

use std::{io, time::Duration};

use futures_util::{Stream as Incoming, stream};
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::LazyConfigAcceptor;

use super::{
    channel::{Channel, Ends, Session},
    https::Https,
    identity::Shown,
    key::Key,
    stream::{First, Stream, buffered},
    tls,
};
use crate::{
    connections::{Bounded, Bounds, Connections},
    tasks::Tasks,
};

/// Connections that have done their handshake and wait to be served.
const HANDED_ON: usize = 16;

/// Pause after an accept that failed, which happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// At most one refusal in this time is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Limit from the accept to the end of the handshake; of a plain connection, to its first byte.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// First byte of a TLS connection: a handshake record.
const TLS: u8 = 0x16;

/// A connection that is ready for calls.
#[derive(Debug)]
pub struct Accepted<S> {
    /// Its bytes.
    pub stream: Stream<S>,
    /// What is known of it; `None` = it came without TLS, or from a client.
    pub session: Option<Session>,
    /// Whether it came with TLS.
    pub encrypted: bool,
}

/// Why a connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Nothing arrived in time, or not all of it.
    #[error("the other side sent nothing, or not its whole handshake, within {} s", HANDSHAKE.as_secs())]
    Slow,
    /// It closed before its first byte.
    #[error("the other side left at once")]
    Closed,
    /// The TLS handshake failed.
    #[error("no TLS handshake")]
    Handshake(#[source] io::Error),
}

/// Looks at the first byte and does the handshake where it is one.
///
/// # Errors
/// See [`AcceptError`]; the connection is closed then.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(io: S, key: &Key) -> Result<Accepted<S>, AcceptError> {
    accept_all(io, key, None).await
}

/// Likewise, for clients too where there is a certificate for them.
///
/// # Errors
/// See [`AcceptError`]; the connection is closed then.
pub async fn accept_all<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    key: &Key,
    clients: Option<&Https>,
) -> Result<Accepted<S>, AcceptError> {
    tokio::time::timeout(HANDSHAKE, at_leisure(io, key, clients)).await.map_err(|_| AcceptError::Slow)?
}

async fn at_leisure<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    key: &Key,
    clients: Option<&Https>,
) -> Result<Accepted<S>, AcceptError> {
    let mut byte = [0];
    if io.read(&mut byte).await.map_err(AcceptError::Handshake)? == 0 {
        return Err(AcceptError::Closed);
    }
    let io = First::new(Some(byte[0]), io);
    if byte[0] != TLS {
        return Ok(Accepted { stream: Stream::plain(io), session: None, encrypted: false });
    }
    let started = LazyConfigAcceptor::new(Acceptor::default(), buffered(io)).await.map_err(AcceptError::Handshake)?;
    let ours = started.client_hello().alpn().is_some_and(|mut all| all.any(|spoken| spoken == tls::SPOKEN));
    let ends = Ends::default();
    if let Some(clients) = clients.filter(|_| !ours) {
        let io = started.into_stream(clients.config()).await.map_err(AcceptError::Handshake)?;
        return Ok(Accepted { stream: Stream::tls(io.into(), None, &ends), session: None, encrypted: true });
    }
    let io = started.into_stream(key.server()).await.map_err(AcceptError::Handshake)?;
    let channel = channel(key, io.get_ref().1).map_err(|e| AcceptError::Handshake(io::Error::other(e)))?;
    let session = Session::new(channel, ends.clone());
    let stream = Stream::tls(io.into(), Some(session.clone()), &ends);
    Ok(Accepted { stream, session: Some(session), encrypted: true })
}

/// As [`within`], with bounds that a listener in a test never meets.
pub fn incoming(
    listener: TcpListener,
    key: Key,
    tasks: &Tasks,
) -> impl Incoming<Item = io::Result<Stream<Bounded<TcpStream>>>> + Send + 'static {
    let wide = Bounds { max: 4096, per_address: 4096, per_principal: usize::MAX, head: HANDSHAKE, proof: None };
    within(listener, key, Connections::new(wide), tasks)
}

/// Accepts until the tasks stop, each handshake in a task of its own; the connections that come out are ready for
/// calls, and are counted in `connections` until they are gone.
pub fn within(
    listener: TcpListener,
    key: Key,
    connections: Connections,
    tasks: &Tasks,
) -> impl Incoming<Item = io::Result<Stream<Bounded<TcpStream>>>> + Send + 'static {
    let (hand_on, done) = mpsc::channel(HANDED_ON);
    let spawner = tasks.clone();
    tasks.spawn_until_stop(async move {
        let mut logged_at = None::<tokio::time::Instant>;
        // A stranger decides how often this happens, so the log is limited.
        let mut log = move |what: &dyn std::fmt::Display| {
            let now = tokio::time::Instant::now();
            if logged_at.is_none_or(|at| now.duration_since(at) >= LOG_EVERY) {
                logged_at = Some(now);
                tracing::warn!("a connection was refused: {what}");
            }
        };
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    log(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = match connections.admit(Some(peer.ip())) {
                Ok(connection) => connection,
                Err(full) => {
                    log(&full);
                    continue;
                }
            };
            // Without it every small message waits for the one before: 48 ms against 2.
            let _ = stream.set_nodelay(true);
            // The time to a request's head runs from here, the handshake included.
            let stream = Bounded::new(stream, connection.clone());
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

/// What both sides know of a connection after its handshake.
pub(super) fn channel<D>(key: &Key, tls: &rustls::ConnectionCommon<D>) -> Result<Channel, rustls::Error> {
    let all = tls.peer_certificates().unwrap_or_default();
    let first = all.first().ok_or_else(|| rustls::Error::General("the other side showed no key".to_owned()))?;
    let peer = tls::fingerprint(first)?;
    let exporter = tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)?;
    Ok(Channel { own: key.fingerprint(), peer, exporter, shown: Shown::of(all) })
}

#[cfg(test)]
mod tests {
    use rustls::{NamedGroup, ProtocolVersion, pki_types::ServerName};
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::transport::{Dialled, Pings, dial};

    const PINGS: Pings = Pings { every: Duration::from_secs(10), patience: Duration::from_secs(20) };

    async fn connected(near: &Key, far: &Key) -> (Dialled, Accepted<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let accepts = async { accept(listener.accept().await.unwrap().0, far).await.unwrap() };
        let (dialled, accepted) = tokio::join!(dial(&address, near, PINGS), accepts);
        (dialled.unwrap(), accepted)
    }

    #[tokio::test]
    async fn both_ends_know_both_keys_and_share_what_no_other_connection_has() {
        let (near, far) = (Key::generate().unwrap(), Key::generate().unwrap());
        let mut exporters = Vec::new();
        for _ in 0..2 {
            let (dialled, accepted) = connected(&near, &far).await;
            let session = accepted.session.unwrap();
            assert_eq!((dialled.channel.own, dialled.channel.peer), (near.fingerprint(), far.fingerprint()));
            assert_eq!((session.channel().own, session.peer()), (far.fingerprint(), near.fingerprint()));
            assert_eq!(dialled.channel.exporter, session.channel().exporter);
            exporters.push(session.channel().exporter);
        }
        assert_ne!(exporters[0], exporters[1]);
    }

    #[tokio::test]
    async fn a_connection_can_be_ended_from_either_side() {
        let key = Key::generate().unwrap();
        let (dialled, mut accepted) = connected(&key, &key).await;
        let session = accepted.session.clone().unwrap();
        let mut preface = [0; 24];
        accepted.stream.read_exact(&mut preface).await.unwrap();
        assert!(preface.starts_with(b"PRI * HTTP/2.0"), "the first byte is there once more, behind TLS: {preface:?}");
        session.cut();
        let error = accepted.stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        drop(accepted);
        assert!(session.is_over());
        dialled.ends.closed.cancelled().await;
    }

    #[tokio::test]
    async fn what_is_no_handshake_is_plain_and_whole() {
        let (mut near, far) = duplex(64);
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut accepted = accept(far, &Key::generate().unwrap()).await.unwrap();
        assert!(accepted.session.is_none() && !accepted.encrypted);
        drop(near);
        let mut all = Vec::new();
        accepted.stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"GET / HTTP/1.1\r\n\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_given_up_also_in_the_middle_of_a_handshake() {
        let key = Key::generate().unwrap();
        for said in [b"".as_slice(), b"\x16", b"\x16\x03\x01\x02\x00"] {
            let (mut near, far) = duplex(64);
            near.write_all(said).await.unwrap();
            let began = tokio::time::Instant::now();
            let error = accept(far, &key).await.unwrap_err();
            assert!(matches!(error, AcceptError::Slow), "{error:?}");
            assert_eq!(began.elapsed(), HANDSHAKE);
            drop(near);
        }
        let (near, far) = duplex(64);
        drop(near);
        assert!(matches!(accept(far, &key).await.unwrap_err(), AcceptError::Closed));
    }

    #[tokio::test]
    async fn tls_is_of_version_1_3_with_a_post_quantum_key_exchange() {
        let (near, far) = (Key::generate().unwrap(), Key::generate().unwrap());
        let (a, b) = duplex(1 << 16);
        let name = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
        let (connector, acceptor) = (TlsConnector::from(near.client()), TlsAcceptor::from(far.server()));
        let (dialled, accepted) = tokio::join!(connector.connect(name, a), acceptor.accept(b));
        let (dialled, _accepted) = (dialled.unwrap(), accepted.unwrap());
        let tls = dialled.get_ref().1;
        assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(tls.negotiated_key_exchange_group().map(|g| g.name()), Some(NamedGroup::X25519MLKEM768));
        assert_eq!(tls.alpn_protocol(), Some(b"longhaul".as_slice()));
    }

    fn issued() -> (Https, rustls::RootCertStore) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["gw.lab".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let certified = crate::transport::Certified::from_pem(&certificate.pem(), &pair.serialize_pem()).unwrap();
        (Https::new(certified).unwrap(), roots)
    }

    /// What a client gets that offers these protocols: the one that is spoken, and whether it was taken for a peer.
    async fn offered(
        protocols: &[&[u8]],
        clients: Option<&Https>,
        roots: &rustls::RootCertStore,
    ) -> Option<(Option<Vec<u8>>, bool)> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        let (a, b) = duplex(1 << 16);
        let key = Key::generate().unwrap();
        let name = ServerName::try_from("gw.lab").unwrap();
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        let (dialled, accepted) = tokio::join!(connector.connect(name, a), accept_all(b, &key, clients));
        let (dialled, accepted) = (dialled.ok()?, accepted.ok()?);
        assert!(accepted.encrypted);
        let tls = dialled.get_ref().1;
        assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(tls.negotiated_key_exchange_group().map(|g| g.name()), Some(NamedGroup::X25519MLKEM768));
        Some((tls.alpn_protocol().map(<[u8]>::to_vec), accepted.session.is_some()))
    }

    #[tokio::test]
    async fn clients_are_told_from_peers_by_the_protocol_that_they_offer() {
        let (https, roots) = issued();
        let h2 = Some((Some(b"h2".to_vec()), false));
        assert_eq!(offered(&[b"http/1.1", b"h2"], Some(&https), &roots).await, h2);
        let h1 = Some((Some(b"http/1.1".to_vec()), false));
        assert_eq!(offered(&[b"http/1.1"], Some(&https), &roots).await, h1);
        assert_eq!(offered(&[], Some(&https), &roots).await, Some((None, false)));
        assert_eq!(offered(&[b"longhaul"], Some(&https), &roots).await, None, "a peer's certificate is no client's");
        assert_eq!(offered(&[b"h2"], None, &roots).await, None, "no TLS for clients");
    }

    #[tokio::test]
    async fn peers_connect_as_before_where_clients_speak_tls_too() {
        let (https, _) = issued();
        let (near, far) = (Key::generate().unwrap(), Key::generate().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let accepts = async { accept_all(listener.accept().await.unwrap().0, &far, Some(&https)).await.unwrap() };
        let (dialled, accepted) = tokio::join!(dial(&address, &near, PINGS), accepts);
        assert_eq!(accepted.session.unwrap().peer(), near.fingerprint());
        assert_eq!(dialled.unwrap().channel.peer, far.fingerprint());
    }
}
