//! The stream of a client: plain or over TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;

use super::connections::Connection;
use super::peer::PeerStream;
use super::write_timeout::WriteTimeout;

/// A stream that records when all that was written has been flushed, and that is reset where a response has broken off.
pub(super) struct ClientStream<Io: PeerStream> {
    stream: Stream<Io>,
    connection: Arc<Connection>,
    /// Dropped with the stream, which may outlive HTTP on it.
    _open: oneshot::Sender<()>,
}

enum Stream<Io> {
    Plain(WriteTimeout<Io>),
    // Boxed, because it is large.
    Tls(Box<TlsStream<WriteTimeout<Io>>>),
}

impl<Io: PeerStream> ClientStream<Io> {
    /// The sender is dropped with the stream.
    pub(super) fn plain(io: WriteTimeout<Io>, connection: Arc<Connection>, open: oneshot::Sender<()>) -> Self {
        Self { stream: Stream::Plain(io), connection, _open: open }
    }

    /// The sender is dropped with the stream.
    pub(super) fn tls(io: TlsStream<WriteTimeout<Io>>, connection: Arc<Connection>, open: oneshot::Sender<()>) -> Self {
        Self { stream: Stream::Tls(Box::new(io)), connection, _open: open }
    }
}

impl<Io: PeerStream> AsyncRead for ClientStream<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl<Io: PeerStream> AsyncWrite for ClientStream<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Stream::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_flush(cx),
            Stream::Tls(io) => Pin::new(io).poll_flush(cx),
        });
        if flushed.is_ok() {
            self.connection.record_flush();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl<Io: PeerStream> Drop for ClientStream<Io> {
    fn drop(&mut self) {
        if self.connection.is_broken_off() {
            match &self.stream {
                Stream::Plain(io) => io.io().reset_when_dropped(),
                Stream::Tls(io) => io.get_ref().0.io().reset_when_dropped(),
            }
        }
    }
}
