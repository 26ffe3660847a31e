//! Bodies of requests and responses that record their progress in the table of connections.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::connections::{Connection, Stage};

/// Most bytes of a body that are read after the request was answered without it, and how long they may take: enough for the call of
/// a client that has sent it already.
const MAX_REST: usize = 64 << 10;
const REST_TIMEOUT: Duration = Duration::from_millis(100);

/// The body of a request. While its next chunk is awaited, the connection is [`Stage::Receiving`].
struct TrackedRequestBody {
    /// `None` only while it is dropped.
    body: Option<Incoming>,
    connection: Arc<Connection>,
    rest: Arc<Mutex<Option<Incoming>>>,
}

/// What a handler did not read of a request's body.
pub(super) struct UnreadBody {
    /// Set when the handler has dropped the body before its end. Held for a moment.
    rest: Arc<Mutex<Option<Incoming>>>,
    /// The client sends its body only when it is asked to.
    is_awaited: bool,
}

impl UnreadBody {
    /// Reads what is left of the body, within the limits above. If it does not end, the response says that the connection closes: the
    /// client would otherwise use it again, and its next request would be lost.
    pub(super) async fn finish(self, mut response: Response<Body>) -> Response<Body> {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(rest) = rest else { return response };
        if self.is_awaited || !timeout(REST_TIMEOUT, ends(rest)).await.unwrap_or(false) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Returns whether a body ends within [`MAX_REST`] bytes.
async fn ends(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MAX_REST {
            return false;
        }
    }
    true
}

/// The body of a response. Dropping it ends the request.
struct TrackedResponseBody {
    body: Body,
    guard: RequestGuard,
}

/// A request, until its response is complete or it is dropped.
pub(super) struct RequestGuard(Option<Arc<Connection>>);

impl RequestGuard {
    pub(super) fn begin(connection: &Arc<Connection>) -> Self {
        connection.set_stage(Stage::Busy);
        Self(Some(Arc::clone(connection)))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.record_response_complete();
        }
    }
}

/// Returns the request with a body that records its progress, and what will be left of it.
pub(super) fn track_request(request: Request<Incoming>, connection: &Arc<Connection>) -> (Request<Body>, UnreadBody) {
    let rest = Arc::default();
    let unread = UnreadBody { rest: Arc::clone(&rest), is_awaited: request.headers().contains_key(EXPECT) };
    let request = request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(TrackedRequestBody { body: Some(body), connection: Arc::clone(connection), rest })
    });
    (request, unread)
}

/// Returns the response with a body that ends the request. A request that has changed the protocol does not end: its
/// connection stays busy.
pub(super) fn track_response(response: Response<Body>, mut guard: RequestGuard) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        guard.0 = None;
    }
    response.map(|body| Body::new(TrackedResponseBody { body, guard }))
}

impl HttpBody for TrackedRequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if polled.is_pending() {
            self.connection.set_stage(Stage::Receiving);
        }
        let frame = ready!(polled);
        self.connection.record_progress();
        if frame.is_none() || self.is_end_stream() {
            self.connection.set_stage(Stage::Busy);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for TrackedRequestBody {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }
}

impl HttpBody for TrackedResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(Err(_)), Some(connection)) = (&frame, &self.guard.0) {
            connection.break_off();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
