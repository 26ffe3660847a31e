//! Bodies of requests and responses that record their progress in the table of connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::connections::{Connection, Stage};

/// The body of a request. While its next chunk is awaited, the connection is [`Stage::Receiving`].
struct TrackedRequestBody {
    body: Incoming,
    connection: Arc<Connection>,
}

/// The body of a response. Dropping it ends the request.
struct TrackedResponseBody {
    body: Body,
    _guard: RequestGuard,
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

/// Returns the request with a body that records its progress.
pub(super) fn track_request(request: Request<Incoming>, connection: &Arc<Connection>) -> Request<Body> {
    request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(TrackedRequestBody { body, connection: Arc::clone(connection) })
    })
}

/// Returns the response with a body that ends the request. A request that has changed the protocol does not end: its
/// connection stays busy.
pub(super) fn track_response(response: Response<Body>, mut guard: RequestGuard) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        guard.0 = None;
    }
    response.map(|body| Body::new(TrackedResponseBody { body, _guard: guard }))
}

impl HttpBody for TrackedRequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            self.connection.set_stage(Stage::Receiving);
        }
        let frame = ready!(polled);
        self.connection.record_progress();
        if frame.is_none() || self.body.is_end_stream() {
            self.connection.set_stage(Stage::Busy);
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

impl HttpBody for TrackedResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
