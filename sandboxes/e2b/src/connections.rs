//! The connections to one sandbox: as many are open at once as its service allows, and no more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::{Broken, Pieces, Reached, Transport};

/// A transport that counts the calls that are open: each one holds a connection until its answer has been read, or is let
/// go. Commands, streams, watchers and port proxies are such calls.
pub(crate) struct Connections {
    inner: Arc<dyn Transport>,
    most: usize,
    free: Arc<Semaphore>,
}

impl Connections {
    pub(crate) fn new(inner: Arc<dyn Transport>, most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { inner, most, free: Arc::new(Semaphore::new(most)) }
    }
}

#[async_trait]
impl Transport for Connections {
    /// At once refused where as many are open as may be: whoever holds them may hold them for hours.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Pieces>, Broken> {
        let Ok(open) = self.free.clone().try_acquire_owned() else {
            let reason = format!("the sandbox has {} open connections, which is the most; close some", self.most);
            return Err(Broken { reason, reached: Reached::Full });
        };
        let response = self.inner.send(request).await?;
        Ok(response.map(|pieces| Box::pin(Counted { pieces, _open: open }) as Pieces))
    }
}

/// A body that holds its connection.
struct Counted {
    pieces: Pieces,
    _open: OwnedSemaphorePermit,
}

impl Stream for Counted {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    /// Answers at once with a body that never ends.
    struct Endless;

    #[async_trait]
    impl Transport for Endless {
        async fn send(&self, _: Request<Bytes>) -> Result<Response<Pieces>, Broken> {
            let pieces = stream::once(async { Ok(Bytes::from_static(b"a")) }).chain(stream::pending());
            Ok(Response::new(Box::pin(pieces) as Pieces))
        }
    }

    #[tokio::test]
    async fn a_connection_is_counted_until_its_answer_is_let_go_and_what_is_beyond_is_refused_in_words() {
        let connections = Connections::new(Arc::new(Endless), 2_500);
        let call = async || connections.send(Request::new(Bytes::new())).await;
        let mut open = Vec::new();
        for _ in 0..2_500 {
            let mut body = call().await.unwrap().into_body();
            assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"a"))));
            open.push(body);
        }
        let refused = call().await.map(drop).unwrap_err();
        assert_eq!(refused.reached, Reached::Full);
        assert_eq!(refused.reason, "the sandbox has 2500 open connections, which is the most; close some");
        open.pop();
        open.push(call().await.unwrap().into_body());
        assert!(call().await.is_err());
        drop(open);
        assert_eq!(connections.free.available_permits(), 2_500);
    }
}
