//! A connection that ends when its client no longer reads, and that has no buffers before the client's first byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Fails with `TimedOut` when a write has made no progress for `timeout`.
pub(super) struct WriteTimeout<Io> {
    io: Io,
    timeout: Duration,
    /// The first byte, until it is read.
    first: Option<u8>,
    /// Runs while a write is pending.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<Io> WriteTimeout<Io> {
    pub(super) fn new(io: Io, timeout: Duration) -> Self {
        Self { io, timeout, first: None, timer: None }
    }

    pub(super) fn io(&self) -> &Io {
        &self.io
    }

    fn check_timeout<T>(&mut self, poll: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.timer = None;
            return poll;
        }
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<Io: AsyncRead + Unpin> WriteTimeout<Io> {
    /// Waits for the first byte of the client, which is read again after that. Returns `None` when it has closed the
    /// connection.
    pub(super) async fn wait_for_first_byte(&mut self) -> Option<u8> {
        self.first = self.io.read_u8().await.ok();
        self.first
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for WriteTimeout<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Some(first) = self.first.take() else { return Pin::new(&mut self.io).poll_read(cx, buf) };
        buf.put_slice(&[first]);
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            // An error comes again at the next read; the first byte is delivered before it.
            Poll::Pending | Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(Ok(())),
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, buf);
        self.check_timeout(poll, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.check_timeout(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        self.check_timeout(poll, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_shutdown(cx);
        self.check_timeout(poll, cx)
    }
}
