//! The port's connections and requests, bounded before anything else is done with them.
//!
//! [`Connections`] counts a connection from its acceptance to its end. The wait for a head ends with the first whole
//! one; the first valid token makes the connection its principal's. Where there is no room HTTP still answers, on a few
//! connections at a time: 503 with `Retry-After`. Behind a trusted proxy, addresses belong to requests and not to
//! connections, and count for as long as a request has not shown a token.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, StatusCode, header};
use longhaul_proto::{
    connections::{Bounds, Connection, Connections, Reason},
    descriptors,
    transport::Session,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};
use tower::Service;

use crate::{
    options::{FrontendOptions, proxies},
    problem::{Problem, busy},
};

/// How long a refused client is told to wait before it comes again, seconds.
pub const RETRY_AFTER: u32 = 5;
/// Most connections at a time that are told why they are refused; more are closed without an answer.
const TOLD: usize = 16;
/// Time limit for telling one of them.
const TELLING: Duration = Duration::from_secs(2);
/// Largest head that is read from one of them.
const TOLD_HEAD: usize = 8192;
/// Shortest time between two log lines about refusals.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The bounds of the port, within the descriptors that the process may have open.
pub fn bounds(options: &FrontendOptions) -> Bounds {
    let files = usize::try_from(descriptors::limit()).unwrap_or(usize::MAX);
    // Where the limit is small, half of it is reserve enough.
    let reserved = options.reserved_files.min(files / 2);
    Bounds {
        max: options.max_connections.min(files - reserved).max(1),
        per_address: options.connections_per_address.max(1),
        per_principal: options.connections_per_principal.max(1),
        head: options.head_timeout,
        proof: None,
    }
}

/// What the accept loop and every request share.
#[derive(Clone)]
pub struct Incoming(Arc<Shared>);

struct Shared {
    connections: Connections,
    proxies: Vec<proxies::Network>,
    per_address: usize,
    /// Requests behind proxies that have not shown a token yet, by address.
    asking: Mutex<HashMap<IpAddr, usize>>,
    telling: Arc<Semaphore>,
    /// When a refusal was last logged, and how many were not logged since.
    told: Mutex<(Option<tokio::time::Instant>, u64)>,
}

impl Incoming {
    /// For a port with these settings.
    pub fn new(connections: Connections, options: &FrontendOptions) -> Self {
        Self(Arc::new(Shared {
            connections,
            proxies: options.trusted_proxies.clone(),
            per_address: options.connections_per_address.max(1),
            asking: Mutex::default(),
            telling: Arc::new(Semaphore::new(TOLD)),
            told: Mutex::default(),
        }))
    }

    /// Counts a connection that was accepted; one without room is told so, and the result is `None`.
    pub fn admit(&self, peer: SocketAddr, stream: TcpStream) -> Result<(TcpStream, Connection), Turned> {
        let trusted = proxies::trusts(&self.0.proxies, peer.ip());
        match self.0.connections.admit((!trusted).then(|| peer.ip())) {
            Ok(connection) => Ok((stream, connection)),
            Err(full) => {
                self.log(&full.to_string());
                Err(Turned { stream, permit: self.0.telling.clone().try_acquire_owned().ok() })
            }
        }
    }

    /// Counts a connection over the socket of this user; `None` = there is no room for it.
    pub fn admit_local(&self) -> Option<Connection> {
        self.0.connections.admit(None).inspect_err(|full| self.log(&full.to_string())).ok()
    }

    /// Logs that something was refused, at a bounded rate.
    pub fn log(&self, what: &str) {
        let now = tokio::time::Instant::now();
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0.is_some_and(|at| now.duration_since(at) < LOG_EVERY) {
            told.1 += 1;
            return;
        }
        let untold = std::mem::take(&mut told.1);
        told.0 = Some(now);
        drop(told);
        tracing::warn!(untold, "a connection was refused: {what}. `longhaul_connections_refused_total` counts them");
    }

    /// Counts a connection that is refused for what it is, and logs it.
    pub fn refused(&self, reason: Reason, what: &str) {
        self.0.connections.count(reason);
        self.log(what);
    }

    /// The process has no descriptor left.
    pub fn out_of_files(&self, error: &std::io::Error) {
        self.0.connections.count(Reason::Files);
        self.log(&format!("cannot accept it ({error})"));
    }

    /// Counts a request against its client's bound, behind proxies; `None` elsewhere.
    fn asks(&self, connection: &Connection, request: &Request<impl Sized>) -> Result<Option<Asking>, Box<Problem>> {
        let address = connection.is_proxied().then(|| proxies::client(&self.0.proxies, request.headers())).flatten();
        let Some(address) = address else { return Ok(None) };
        let mut asking = self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asking.entry(address).or_default();
        if *count >= self.0.per_address {
            drop(asking);
            self.0.connections.count(Reason::Displaced);
            return Err(Box::new(busy("too many requests of your address wait to show a token", RETRY_AFTER)));
        }
        *count += 1;
        Ok(Some(Asking { incoming: self.clone(), address }))
    }
}

/// A request without a token so far counts against its client's address.
pub struct Asking {
    incoming: Incoming,
    address: IpAddr,
}

impl Asking {
    /// The client's address, as the proxy names it.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut asking = self.incoming.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = asking.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                asking.remove(&self.address);
            }
        }
    }
}

/// A connection for which there is no room.
pub struct Turned {
    stream: TcpStream,
    permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Turned {
    /// Whether there is room to say why it is refused.
    pub fn may_be_told(&self) -> bool {
        self.permit.is_some()
    }

    /// Answers its first request, if it speaks HTTP/1, and closes.
    pub async fn tell(mut self) {
        // Where the time runs out, the connection is closed without an answer.
        let _ = tokio::time::timeout(TELLING, async {
            let mut head = vec![0; TOLD_HEAD];
            let mut got = 0;
            while got < head.len() && !head[..got].windows(4).any(|w| w == b"\r\n\r\n") {
                match self.stream.read(&mut head[got..]).await {
                    Ok(n) if n > 0 => got += n,
                    _ => return,
                }
            }
            if head[0].is_ascii_uppercase() && !head.starts_with(b"PRI ") {
                let _ = self.stream.write_all(no_room().as_bytes()).await;
                let _ = self.stream.shutdown().await;
            }
        })
        .await;
    }
}

/// The whole answer to a connection for which there is no room.
fn no_room() -> String {
    let body = busy("as many connections are open as are allowed", RETRY_AFTER).to_json();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: {RETRY_AFTER}\r\n\
         cache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection's requests: each carries the connection's handle, and the first one ends the wait for a head.
#[derive(Clone)]
pub struct Requests {
    /// Whose they are.
    pub connection: Connection,
    /// What all connections share.
    pub incoming: Incoming,
    /// The service that answers.
    pub router: Router,
    /// The connection's TLS session; `None` = it came without TLS.
    pub session: Option<Session>,
}

impl<B> Service<Request<B>> for Requests
where
    Router: Service<Request<B>, Response = Response, Error = Infallible>,
    <Router as Service<Request<B>>>::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.connection.sent_head();
        match self.incoming.asks(&self.connection, &request) {
            Err(problem) => Box::pin(std::future::ready(Ok(kept_nowhere(problem.into_response())))),
            Ok(asking) => {
                request.extensions_mut().insert(self.connection.clone());
                if let Some(session) = &self.session {
                    request.extensions_mut().insert(session.clone());
                }
                // Shared, since a request's extensions can be cloned; the gate takes it out together with the token.
                request.extensions_mut().insert(asking.map(Arc::new));
                let answer = self.router.call(request);
                Box::pin(async move { answer.await.map(kept_nowhere) })
            }
        }
    }
}

/// Forbids caches to keep our answers, and browsers to guess their type.
fn kept_nowhere(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A principal's bound, as an answer.
pub fn too_many(count: usize) -> Response {
    let detail = format!("{count} connections of yours are open, which is as many as are allowed: close some");
    let problem = busy(detail, RETRY_AFTER).with_status(StatusCode::TOO_MANY_REQUESTS);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
