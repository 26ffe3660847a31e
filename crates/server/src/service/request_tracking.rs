//! Bodies that tell their connection how far a request is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::connections::{Connection, Stage};

/// The body of a request: while it is waited for, the connection is receiving.
struct Received {
    body: Incoming,
    connection: Arc<Connection>,
}

/// The body of a response: when it is gone, its request is answered.
struct Sent {
    body: Body,
    _answering: Answering,
}

/// A request until it is answered or given up.
pub(super) struct Answering(Arc<Connection>);

impl Answering {
    pub(super) fn begin(connection: &Arc<Connection>) -> Self {
        connection.enters(Stage::Busy);
        Self(Arc::clone(connection))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A request as the connection sees its body arrive.
pub(super) fn received(request: Request<Incoming>, connection: &Arc<Connection>) -> Request<Body> {
    request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Received { body, connection: Arc::clone(connection) })
    })
}

/// A response that ends its request with its body.
pub(super) fn sent(response: Response<Body>, answering: Answering) -> Response<Body> {
    response.map(|body| Body::new(Sent { body, _answering: answering }))
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            self.connection.enters(Stage::Receiving);
        }
        let frame = ready!(polled);
        self.connection.progresses();
        if frame.is_none() || self.body.is_end_stream() {
            self.connection.enters(Stage::Busy);
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

impl HttpBody for Sent {
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
