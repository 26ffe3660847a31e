//! A stream as its owner uses it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Shared;

/// One stream of a connection. When it is dropped, the other side reads what was written, and then its end.
#[derive(Debug)]
pub struct Stream {
    connection: Arc<Shared>,
    number: u32,
}

impl Stream {
    pub(crate) fn new(connection: Arc<Shared>, number: u32) -> Self {
        Self { connection, number }
    }
}

/// A stream of a connection is there until it is dropped.
fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.connection.lock();
        state.with(self.number, |entry, is_closed| entry.poll_read(cx, to, is_closed)).unwrap_or_else(gone)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.connection.lock();
        state.with(self.number, |entry, is_closed| entry.poll_write(cx, bytes, is_closed)).unwrap_or_else(gone)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The task of the connection sends what was written.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.lock().with(self.number, |entry, _| entry.end());
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.lock().with(self.number, |entry, _| entry.leave());
    }
}
