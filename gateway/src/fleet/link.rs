//! One connection to an agent, on which it has proved the join secret.
//!
//! The proof belongs to a connection and not to an address: `Hello` is answered on the very TCP stream that later calls
//! use, and a stream that broke is never replaced behind our back. So a process that takes over an agent's port gets
//! no code, and a call that fails with [`never_sent`] did not leave this machine.
//!
//! An agent has two: short calls must not wait behind a run's output.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use longhaul_proto::{
    MAX_MESSAGE,
    door::Door,
    join::{Greeting, JoinSecret, NotJoined, Proof},
    version,
    wire::{self, agent_client::AgentClient},
};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Status, transport::Endpoint};

/// Flow control windows of HTTP/2, bytes: a stream may be a megabyte ahead, a connection four.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 4 << 20;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not a URL that can be dialled.
    #[error("its advertised address {0} is not http://host:port: set --advertise on the agent")]
    Address(String),
    /// The connection failed.
    #[error("its advertised address {address} cannot be dialled ({source}): check --advertise, --listen and firewalls")]
    Dial {
        /// Where.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("its advertised address {0} does not answer: check --advertise, --listen and firewalls")]
    Timeout(String),
    /// Something else answers there.
    #[error("what answers at {address} is not that agent ({reason})")]
    Stranger {
        /// Where.
        address: String,
        /// What was wrong.
        reason: String,
    },
    /// It does not hold the join secret.
    #[error("at {address}, {source}: give gateway and agent the same join secret")]
    Secret {
        /// Where.
        address: String,
        /// What was wrong.
        #[source]
        source: NotJoined,
    },
    /// It is too old or too new.
    #[error("{0}")]
    Protocol(String),
    /// The kernel has no randomness.
    #[error("no randomness")]
    Random(#[source] io::Error),
}

/// The links to one agent.
#[derive(Debug)]
pub struct Link {
    /// For short calls.
    control: Half,
    /// For runs and their output.
    data: Half,
    /// Who answered.
    pub described: wire::AgentInfo,
}

#[derive(Debug)]
struct Half {
    client: AgentClient<Door>,
    proof: Proof,
    closed: CancellationToken,
}

impl Link {
    /// Dials an agent twice and proves the secret on both connections, within `limit`.
    ///
    /// # Errors
    /// See [`LinkError`]; the texts are for the agent's owner.
    pub async fn dial(dialer: &Dialer, address: &str, secret: &JoinSecret, limit: Duration) -> Result<Self, LinkError> {
        let both = async {
            let (control, data) =
                tokio::try_join!(Half::dial(dialer, address, secret), Half::dial(dialer, address, secret))?;
            let described = control.client.clone().describe(control.with(wire::DescribeRequest {})).await;
            let described = described.map_err(|s| stranger(address, s.message()))?.into_inner();
            let described = described.agent.ok_or_else(|| stranger(address, "it does not say who it is"))?;
            Ok(Self { control, data, described })
        };
        tokio::time::timeout(limit, both).await.map_err(|_| LinkError::Timeout(address.to_owned()))?
    }

    /// Ends when one of the two connections is gone.
    pub async fn broken(&self) {
        tokio::select! {
            biased;
            () = self.control.closed.cancelled() => {}
            () = self.data.closed.cancelled() => {}
        }
    }

    /// Whether one of the two connections is gone.
    pub fn is_broken(&self) -> bool {
        self.control.closed.is_cancelled() || self.data.closed.is_cancelled()
    }

    /// The client and a request for a short call.
    pub fn control<T>(&self, message: T) -> (AgentClient<Door>, Request<T>) {
        (self.control.client.clone(), self.control.with(message))
    }

    /// The client and a request for a run or its output.
    pub fn data<T>(&self, message: T) -> (AgentClient<Door>, Request<T>) {
        (self.data.client.clone(), self.data.with(message))
    }
}

impl Half {
    fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.proof.put(&mut request);
        request
    }

    async fn dial(dialer: &Dialer, address: &str, secret: &JoinSecret) -> Result<Self, LinkError> {
        let (door, closed) = dialer(address.to_owned()).await?;
        let mut client =
            AgentClient::new(door).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let greeting = Greeting::new(secret.clone()).map_err(LinkError::Random)?;
        let reply = client.hello(greeting.request()).await.map_err(|s| stranger(address, s.message()))?;
        let (protocol, version) = (reply.get_ref().protocol, &reply.get_ref().version);
        if let Some(words) = version::objection("gateway", "agent", protocol, version) {
            return Err(LinkError::Protocol(words));
        }
        let proof = greeting
            .prove(reply.get_ref())
            .map_err(|source| LinkError::Secret { address: address.to_owned(), source })?;
        Ok(Self { client, proof, closed })
    }
}

/// Opens one connection; the token is cancelled when it is gone.
pub type Dialer = Arc<dyn Fn(String) -> BoxFuture<'static, Result<(Door, CancellationToken), LinkError>> + Send + Sync>;

/// Connections over TCP.
pub(crate) fn tcp(silent_after: Duration) -> Dialer {
    Arc::new(move |address| Box::pin(dial_tcp(address, silent_after)))
}

async fn dial_tcp(address: String, silent_after: Duration) -> Result<(Door, CancellationToken), LinkError> {
    let address = address.as_str();
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| LinkError::Address(address.to_owned()))?;
    let (host, port) = match (endpoint.uri().host(), endpoint.uri().port_u16()) {
        (Some(host), Some(port)) if endpoint.uri().scheme_str() == Some("http") => {
            (host.trim_matches(['[', ']']).to_owned(), port)
        }
        _ => return Err(LinkError::Address(address.to_owned())),
    };
    let failed = |source| LinkError::Dial { address: address.to_owned(), source };
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let closed = CancellationToken::new();
    let io = Watched { io: TokioIo::new(stream), _closed: closed.clone().drop_guard() };
    let once = Arc::new(Mutex::new(Some(io)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let io = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { io.ok_or(Spent) }
    });
    let channel = endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(silent_after)
        .keep_alive_timeout(silent_after * 2)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|e| failed(io::Error::other(e)))?;
    Ok((Door::new(channel), closed))
}

fn stranger(address: &str, reason: &str) -> LinkError {
    LinkError::Stranger { address: address.to_owned(), reason: reason.to_owned() }
}

/// The one stream of this link is used up: a call that fails so did not leave.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the agent broke")]
pub struct Spent;

/// Whether this error is proof that the call never left this machine: the connection was gone before it was made.
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

/// A stream that tells when it is let go of.
struct Watched {
    io: TokioIo<TcpStream>,
    _closed: DropGuard,
}

impl hyper::rt::Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }
}
