//! A stream that closes only when the other side has had time to read the last answer.
//!
//! A server may answer before it has read the whole request: a refused upload, a body that is too large. Closing the socket
//! while bytes are unread resets the connection, and a reset throws away the answer that the other side has not read yet.
//! So the shutdown of this stream ends its own direction first, then reads and discards what still comes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::faults;

/// How long after the last byte the other side counts as silent: several round trips of the field's slowest lines.
const QUIET: Duration = Duration::from_secs(2);
/// How long bytes are discarded at most.
const LONGEST: Duration = Duration::from_secs(10);
/// Bytes discarded at a time.
const PIECE: usize = 16 * 1024;

/// Wraps an accepted stream, below TLS.
#[derive(Debug)]
pub struct Lingering<S> {
    stream: S,
    /// Since when its own direction is closed; `None` = it is open.
    closing: Option<Pin<Box<Closing>>>,
}

#[derive(Debug)]
struct Closing {
    ends: Instant,
    quiet: Pin<Box<Sleep>>,
}

impl<S> Lingering<S> {
    /// Around a stream that was accepted.
    pub fn new(stream: S) -> Self {
        Self { stream, closing: None }
    }
}

impl<S: AsyncRead + Unpin> Lingering<S> {
    /// Ready when the other side has closed, is silent, or has sent for too long.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let closing = self.closing.get_or_insert_with(|| {
            let quiet = Box::pin(tokio::time::sleep(QUIET));
            Box::pin(Closing { ends: Instant::now() + LONGEST, quiet })
        });
        let mut piece = [0; PIECE];
        loop {
            let mut piece = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    let now = Instant::now();
                    if now >= closing.ends {
                        return Poll::Ready(());
                    }
                    let silent = (now + QUIET).min(closing.ends);
                    closing.quiet.as_mut().reset(silent);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return closing.quiet.as_mut().poll(cx),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if faults::bug("close_at_once") {
            return Poll::Ready(Ok(()));
        }
        self.poll_discard(cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::tasks::Tasks;

    #[tokio::test(start_paused = true)]
    async fn it_closes_when_the_other_side_does_or_is_silent_or_never_stops() {
        let closed_after = async |sends: Duration, leaves: bool| {
            let (near, mut far) = duplex(1 << 20);
            let began = Instant::now();
            let sender = Tasks::default().spawn(async move {
                while began.elapsed() < sends && far.write_all(b"more").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                let mut all = Vec::new();
                if !leaves {
                    far.read_to_end(&mut all).await.unwrap();
                    tokio::time::sleep(LONGEST * 2).await;
                }
                drop(far);
            });
            let mut near = Lingering::new(near);
            near.write_all(b"no").await.unwrap();
            near.shutdown().await.unwrap();
            let took = began.elapsed();
            drop(near);
            sender.abort();
            took
        };
        assert_eq!(closed_after(Duration::ZERO, true).await, Duration::ZERO);
        assert_eq!(closed_after(Duration::from_secs(3), true).await, Duration::from_secs(3));
        assert_eq!(closed_after(Duration::ZERO, false).await, QUIET);
        assert_eq!(closed_after(LONGEST * 2, false).await, LONGEST);
    }
}
