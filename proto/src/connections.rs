//! Incoming connections: counted, bounded, and closed when they send nothing.
//!
//! - A connection that has not sent a whole request head within [`Bounds::head`] of its acceptance is closed, whatever
//!   the protocol: 0 bytes, half of a TLS or HTTP/2 greeting, half a head.
//! - A connection that has proved who it is (a token, the join secret, a pinned key) counts against its principal.
//!   Until then it counts against its address; beyond [`Bounds::per_address`] the oldest unproven one of that address
//!   is closed for the newest, so that silent connections cannot keep others out, not even from the same address.
//! - Beyond [`Bounds::max`] in all the oldest unproven one is closed; when all have proved who they are, the newest is
//!   refused.
//!
//! [`Guarded`] wraps the accepted stream, below TLS; [`Connection`] is the handle to which the layers above report what
//! they learned. Both sides of the wire use the same two.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::faults;

/// Connections that were asked to close and have not closed yet, beyond [`Bounds::max`].
const LEAVING: usize = 64;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections in all.
    pub max: usize,
    /// Connections of one address that are not proven yet.
    pub per_address: usize,
    /// Connections of one principal.
    pub per_principal: usize,
    /// From acceptance to a whole request head.
    pub head: Duration,
    /// From acceptance to a proof; `None` = no limit.
    pub proof: Option<Duration>,
}

/// Why a connection was refused or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// All places are taken by connections that have proved who they are.
    Full,
    /// It was closed for another of its address, or for another of all.
    Displaced,
    /// No whole request head, or no proof, in time.
    Slow,
    /// Its principal has enough of them.
    Principal,
    /// The process has no file descriptor left.
    Files,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Full, Self::Displaced, Self::Slow, Self::Principal, Self::Files];

    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Displaced => "displaced",
            Self::Slow => "slow",
            Self::Principal => "principal",
            Self::Files => "files",
        }
    }
}

/// There is no room for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} connections are open, which is as many as are allowed")]
pub struct Full {
    /// How many there are.
    pub count: usize,
}

/// A principal has enough connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} connections of this principal are open, which is as many as are allowed")]
pub struct TooMany {
    /// How many it has.
    pub count: usize,
}

/// All connections of one listener. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    book: Mutex<Book>,
    accepted: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Book {
    all: usize,
    next: u64,
    /// The unproven ones, oldest first.
    unproven: BTreeMap<u64, Unproven>,
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
    by_principal: HashMap<String, usize>,
}

#[derive(Debug)]
struct Unproven {
    address: Option<IpAddr>,
    /// It has sent a request head already.
    spoke: bool,
    displace: CancellationToken,
}

impl Connections {
    /// A listener without connections yet.
    pub fn new(bounds: Bounds) -> Self {
        let shared =
            Shared { bounds, book: Mutex::default(), accepted: AtomicU64::new(0), refused: Default::default() };
        Self(Arc::new(shared))
    }

    /// The limits.
    pub fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    /// Counts an accepted connection. `address` is counted while it is unproven; `None` for a proxy that is trusted to
    /// name the address of each request.
    ///
    /// # Errors
    /// When there are too many that have proved who they are.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<Connection, Full> {
        let bounds = self.0.bounds;
        let address = address.map(subscriber);
        let mut book = self.0.book();
        if !unbounded() {
            if let Some(of) = address.and_then(|a| book.by_address.get(&a))
                && of.len() >= bounds.per_address
                && let Some(id) = book.oldest(of.iter().copied())
            {
                self.displace(&mut book, id);
            }
            if book.all >= bounds.max {
                let oldest = book.oldest(book.unproven.keys().copied());
                let Some(id) = oldest.filter(|_| book.all < bounds.max + LEAVING) else {
                    self.count(Reason::Full);
                    return Err(Full { count: book.all });
                };
                self.displace(&mut book, id);
            }
        }
        let id = book.next;
        book.next += 1;
        book.all += 1;
        let displaced = CancellationToken::new();
        book.unproven.insert(id, Unproven { address, spoke: false, displace: displaced.clone() });
        if let Some(address) = address {
            book.by_address.entry(address).or_default().insert(id);
        }
        drop(book);
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(Connection(Arc::new(Inner {
            shared: self.0.clone(),
            id,
            direct: address.is_some(),
            spoke: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            principal: OnceLock::new(),
            displaced,
        })))
    }

    /// Counts a refusal that happened elsewhere.
    pub fn count(&self, reason: Reason) {
        self.0.count(reason);
    }

    fn displace(&self, book: &mut Book, id: u64) {
        if let Some(gone) = book.proved(id) {
            gone.displace.cancel();
            self.count(Reason::Displaced);
        }
    }

    /// Connections open now, and how many of them are unproven.
    pub fn open(&self) -> (usize, usize) {
        let book = self.0.book();
        (book.all, book.unproven.len())
    }

    /// Accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Refused or closed since the start, by reason.
    pub fn refused(&self) -> [(Reason, u64); Reason::ALL.len()] {
        Reason::ALL.map(|reason| (reason, self.0.refused[reason as usize].load(Ordering::Relaxed)))
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Book {
    /// The oldest of these that has not even sent a request head, else the oldest.
    fn oldest(&self, of: impl Iterator<Item = u64> + Clone) -> Option<u64> {
        let mut all = of.clone();
        let silent = of.into_iter().find(|id| self.unproven.get(id).is_some_and(|c| !c.spoke));
        silent.or_else(|| all.next())
    }

    /// Takes one out of the unproven ones.
    fn proved(&mut self, id: u64) -> Option<Unproven> {
        let gone = self.unproven.remove(&id)?;
        if let Some(address) = gone.address
            && let Some(of) = self.by_address.get_mut(&address)
        {
            of.remove(&id);
            if of.is_empty() {
                self.by_address.remove(&address);
            }
        }
        Some(gone)
    }
}

/// One connection, for as long as any handle or stream of it is left. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    id: u64,
    direct: bool,
    spoke: AtomicBool,
    proven: AtomicBool,
    principal: OnceLock<String>,
    displaced: CancellationToken,
}

impl Connection {
    /// A whole request head arrived.
    pub fn spoke(&self) {
        if !self.0.spoke.swap(true, Ordering::AcqRel)
            && let Some(of) = self.0.shared.book().unproven.get_mut(&self.0.id)
        {
            of.spoke = true;
        }
    }

    /// It showed a proof without a principal: of an agent, or through a proxy.
    pub fn proved(&self) {
        if !self.0.proven.swap(true, Ordering::AcqRel) {
            self.0.shared.book().proved(self.0.id);
        }
    }

    /// It showed the token of this principal. Through a proxy several principals do; there the connection has none.
    ///
    /// # Errors
    /// When the principal has too many connections; this one then stays unproven.
    pub fn belongs_to(&self, principal: &str) -> Result<(), TooMany> {
        if self.0.direct && self.0.principal.get().is_none() {
            let mut book = self.0.shared.book();
            let count = book.by_principal.get(principal).copied().unwrap_or(0);
            if count >= self.0.shared.bounds.per_principal && !unbounded() {
                drop(book);
                self.0.shared.count(Reason::Principal);
                return Err(TooMany { count });
            }
            if self.0.principal.set(principal.to_owned()).is_ok() {
                *book.by_principal.entry(principal.to_owned()).or_default() += 1;
            }
        }
        self.proved();
        Ok(())
    }

    /// Whether it comes from a proxy that names the address of each request.
    pub fn is_proxied(&self) -> bool {
        !self.0.direct
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut book = self.shared.book();
        book.all -= 1;
        book.proved(self.id);
        if let Some(principal) = self.principal.get()
            && let Some(count) = book.by_principal.get_mut(principal)
        {
            *count -= 1;
            if *count == 0 {
                book.by_principal.remove(principal);
            }
        }
    }
}

/// The deliberate bug that switches the bounds off.
fn unbounded() -> bool {
    faults::bug("connections_unbounded")
}

/// The subscriber behind an address: an IPv6 subscriber has a whole /64.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// A stream whose reads and writes fail once its connection is too slow or has to make room.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    connection: Connection,
    /// Dropped with the proof: no bound closes the connection after that.
    watch: Option<Pin<Box<Watch>>>,
}

#[derive(Debug)]
struct Watch {
    head: Pin<Box<Sleep>>,
    proof: Option<Pin<Box<Sleep>>>,
    displaced: Pin<Box<WaitForCancellationFutureOwned>>,
    late: bool,
}

impl<S> Guarded<S> {
    /// Around a stream that was accepted just now.
    pub fn new(stream: S, connection: Connection) -> Self {
        let bounds = connection.0.shared.bounds;
        let watch = (!unbounded()).then(|| {
            Box::pin(Watch {
                head: Box::pin(tokio::time::sleep(bounds.head)),
                proof: bounds.proof.map(|limit| Box::pin(tokio::time::sleep(limit))),
                displaced: Box::pin(connection.0.displaced.clone().cancelled_owned()),
                late: false,
            })
        });
        Self { stream, connection, watch }
    }

    /// The connection's handle.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let inner = &self.connection.0;
        if inner.proven.load(Ordering::Acquire) {
            self.watch = None;
            return Ok(());
        }
        if watch.displaced.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "made room for another connection"));
        }
        let late = !inner.spoke.load(Ordering::Acquire) && watch.head.as_mut().poll(cx).is_ready()
            || watch.proof.as_mut().is_some_and(|proof| proof.as_mut().poll(cx).is_ready());
        if late {
            if !std::mem::replace(&mut watch.late, true) {
                inner.shared.count(Reason::Slow);
            }
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S> tonic::transport::server::Connected for Guarded<S> {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

#[cfg(test)]
mod tests;
