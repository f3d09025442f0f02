//! The accepted stream of a connection, which a bound can close.

use std::{
    io,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{Connection, Reason, unbounded};

/// A stream whose reads and writes fail once its connection is too slow or has to make room.
#[derive(Debug)]
pub struct Bounded<S> {
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

impl<S> Bounded<S> {
    /// Around a stream that was accepted just now.
    pub fn new(stream: S, connection: Connection) -> Self {
        let bounds = connection.0.listener.bounds;
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
        let late = !inner.sent_head.load(Ordering::Acquire) && watch.head.as_mut().poll(cx).is_ready()
            || watch.proof.as_mut().is_some_and(|proof| proof.as_mut().poll(cx).is_ready());
        if late {
            if !std::mem::replace(&mut watch.late, true) {
                inner.listener.count(Reason::Slow);
            }
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
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

impl<S> tonic::transport::server::Connected for Bounded<S> {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}
