//! The limit of connections to one sandbox.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::{Request, Response};
use switchtower_contract::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::{BodyStream, Delivery, Switched, Transport, TransportError, TransportErrorKind};

/// A transport with a limit of open calls. Each holds a connection until its response has been read or is dropped:
/// commands, streams, watchers and port proxies too.
pub(crate) struct ConnectionLimiter {
    inner: Arc<dyn Transport>,
    limit: usize,
    permits: Arc<Semaphore>,
}

impl ConnectionLimiter {
    pub(crate) fn new(inner: Arc<dyn Transport>, limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self { inner, limit, permits: Arc::new(Semaphore::new(limit)) }
    }
}

#[async_trait]
impl Transport for ConnectionLimiter {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let permit = self.permit()?;
        let response = self.inner.send(request).await?;
        Ok(response.map(|pieces| counted(pieces, permit)))
    }

    async fn upgrade(&self, request: Request<Bytes>) -> Result<Switched, TransportError> {
        let permit = self.permit()?;
        Ok(match self.inner.upgrade(request).await? {
            Switched::To(head, connection) => {
                Switched::To(head, Box::new(Counted { inner: connection, _permit: permit }))
            }
            Switched::Refused(response) => Switched::Refused(response.map(|pieces| counted(pieces, permit))),
        })
    }
}

impl ConnectionLimiter {
    /// Refuses at once if the limit is reached, since open calls may last for hours.
    fn permit(&self) -> Result<OwnedSemaphorePermit, TransportError> {
        self.permits.clone().try_acquire_owned().map_err(|_| {
            let reason = format!("the sandbox has {} open connections, which is its limit; close some", self.limit);
            TransportError { kind: TransportErrorKind::Other, reason, delivery: Delivery::TooManyConnections }
        })
    }
}

fn counted(pieces: BodyStream, permit: OwnedSemaphorePermit) -> BodyStream {
    Box::pin(Counted { inner: pieces, _permit: permit })
}

/// A body, or a connection whose protocol has changed, with its permit.
struct Counted<T> {
    inner: T,
    _permit: OwnedSemaphorePermit,
}

impl Stream for Counted<BodyStream> {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

impl AsyncRead for Counted<Box<dyn Connection>> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted<Box<dyn Connection>> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    /// Responds at once with a body that never ends.
    struct Endless;

    #[async_trait]
    impl Transport for Endless {
        async fn send(&self, _: Request<Bytes>) -> Result<Response<BodyStream>, TransportError> {
            let pieces = stream::once(async { Ok(Bytes::from_static(b"a")) }).chain(stream::pending());
            Ok(Response::new(Box::pin(pieces) as BodyStream))
        }
    }

    #[tokio::test]
    async fn a_connection_counts_until_its_response_is_dropped_and_one_over_the_limit_is_refused() {
        let connections = ConnectionLimiter::new(Arc::new(Endless), 2_500);
        let call = async || connections.send(Request::new(Bytes::new())).await;
        let mut open = Vec::new();
        for _ in 0..2_500 {
            let mut body = call().await.unwrap().into_body();
            assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"a"))));
            open.push(body);
        }
        let refused = call().await.map(drop).unwrap_err();
        assert_eq!(refused.delivery, Delivery::TooManyConnections);
        assert_eq!(refused.reason, "the sandbox has 2500 open connections, which is its limit; close some");
        open.pop();
        open.push(call().await.unwrap().into_body());
        assert!(call().await.is_err());
        drop(open);
        assert_eq!(connections.permits.available_permits(), 2_500);
    }
}
