//! The bytes of one connection, with TLS or without.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_rustls::TlsStream;
use tokio_util::sync::{DropGuard, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::channel::{Ends, Session};

/// Bytes that are read from the socket at once. The TLS library asks for 4 KiB at a time, a call of the kernel each; a record
/// has up to 16 KiB.
const READ_AHEAD: usize = 64 * 1024;

/// What TLS is spoken over.
pub(super) type Buffered<S> = BufReader<First<S>>;

/// Around a stream over which TLS will be spoken.
pub(super) fn buffered<S: AsyncRead + Unpin>(io: First<S>) -> Buffered<S> {
    BufReader::with_capacity(READ_AHEAD, io)
}

/// One connection over some stream of bytes. With TLS it signals its end and can be cut.
#[derive(Debug)]
pub struct Stream<S>(Kind<S>);

#[derive(Debug)]
enum Kind<S> {
    Plain(First<S>),
    Tls(Box<Tls<S>>),
}

#[derive(Debug)]
struct Tls<S> {
    io: TlsStream<Buffered<S>>,
    session: Option<Session>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _closed: DropGuard,
}

impl<S> Stream<S> {
    pub(super) fn plain(io: First<S>) -> Self {
        Self(Kind::Plain(io))
    }

    pub(super) fn tls(io: TlsStream<Buffered<S>>, session: Option<Session>, ends: &Ends) -> Self {
        let cut = Box::pin(ends.cut.clone().cancelled_owned());
        Self(Kind::Tls(Box::new(Tls { io, session, cut, _closed: ends.closed.clone().drop_guard() })))
    }
}

impl<S> Connected for Stream<S> {
    type ConnectInfo = Option<Session>;

    fn connect_info(&self) -> Option<Session> {
        match &self.0 {
            Kind::Plain(_) => None,
            Kind::Tls(tls) => tls.session.clone(),
        }
    }
}

impl<S> Tls<S> {
    fn cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was ended")),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Kind::Tls(tls) => {
                tls.cut(cx)?;
                Pin::new(&mut tls.io).poll_read(cx, buffer)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(io) => Pin::new(io).poll_write(cx, data),
            Kind::Tls(tls) => {
                tls.cut(cx)?;
                Pin::new(&mut tls.io).poll_write(cx, data)
            }
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(io) => Pin::new(io).poll_flush(cx),
            Kind::Tls(tls) => {
                tls.cut(cx)?;
                Pin::new(&mut tls.io).poll_flush(cx)
            }
        }
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Kind::Tls(tls) => {
                tls.cut(cx)?;
                Pin::new(&mut tls.io).poll_shutdown(cx)
            }
        }
    }
    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Plain(io) => io.is_write_vectored(),
            Kind::Tls(tls) => tls.io.is_write_vectored(),
        }
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(io) => Pin::new(io).poll_write_vectored(cx, data),
            Kind::Tls(tls) => {
                tls.cut(cx)?;
                Pin::new(&mut tls.io).poll_write_vectored(cx, data)
            }
        }
    }
}

/// A stream whose first byte was examined, and is read again.
#[derive(Debug)]
pub(super) struct First<S> {
    byte: Option<u8>,
    io: S,
}

impl<S> First<S> {
    pub(super) fn new(byte: Option<u8>, io: S) -> Self {
        Self { byte, io }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for First<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(byte) = self.byte.take()
        {
            buffer.put_slice(&[byte]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for First<S> {
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
