//! One call over the transport: sent, bounded by its deadline, its response read or turned into an error.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use serde::de::DeserializeOwned;
use switchtower_contract::rounded;
use tokio::time::timeout;

use crate::error::{CallError, CallKind};
use crate::transport::{BodyStream, Delivery, Transport, TransportError, TransportErrorKind};

/// Most bytes of a response that is read whole.
const MAX_RESPONSE_BYTES: usize = 64 << 20;
/// Most bytes of an error's body.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// A call to be sent.
pub(crate) struct ApiRequest {
    call: CallKind,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    deadline: Duration,
}

impl ApiRequest {
    pub(crate) fn new(call: CallKind, method: Method, url: String, deadline: Duration) -> Self {
        Self { call, method, url, headers: HeaderMap::new(), body: Bytes::new(), deadline }
    }

    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.body("application/json", Bytes::from(body.to_string()))
    }

    pub(crate) fn body(mut self, kind: &str, body: Bytes) -> Self {
        if let Ok(kind) = HeaderValue::from_str(kind) {
            self.headers.insert(header::CONTENT_TYPE, kind);
        }
        self.body = body;
        self
    }

    /// Returns the request as it is sent, with this body.
    pub(crate) fn into_request(self, body: Bytes) -> Result<Request<Bytes>, TransportError> {
        let mut request = Request::builder().method(self.method).uri(self.url);
        if let Some(headers) = request.headers_mut() {
            *headers = self.headers;
        }
        request.body(body).map_err(|error| TransportError {
            kind: TransportErrorKind::Other,
            reason: format!("the address cannot be used: {error}"),
            delivery: Delivery::NotSent,
        })
    }

    /// Sends the call. Returns the response when its headers have arrived; its body is not read yet.
    pub(crate) async fn send(self, transport: &dyn Transport) -> Result<Response<BodyStream>, CallError> {
        let (call, deadline) = (self.call, self.deadline);
        let response = async {
            let body = self.body.clone();
            let request = self.into_request(body).map_err(|error| CallError::from_transport(&error))?;
            let response = transport.send(request).await;
            let response = response.map_err(|error| CallError::from_transport(&error))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let (head, body) = response.into_parts();
            // If the body breaks off, the status is enough.
            let body = read_all(body, MAX_ERROR_BYTES).await.unwrap_or_default();
            Err(CallError::from_response(call, head.status, &head.headers, &body))
        };
        timeout(deadline, response).await.unwrap_or_else(|_| Err(CallError::from_transport(&timed_out(deadline))))
    }

    /// Sends the call. Returns the headers and the body of its response.
    pub(crate) async fn send_and_read(self, transport: &dyn Transport) -> Result<(HeaderMap, Bytes), CallError> {
        let deadline = self.deadline;
        let read = async {
            let (head, body) = self.send(transport).await?.into_parts();
            let body = read_all(body, MAX_RESPONSE_BYTES).await.map_err(|error| CallError::from_transport(&error))?;
            Ok((head.headers, body))
        };
        timeout(deadline, read).await.unwrap_or_else(|_| Err(CallError::from_transport(&timed_out(deadline))))
    }

    /// Sends the call. Returns the body of its response, parsed as JSON.
    pub(crate) async fn send_and_parse<T: DeserializeOwned>(self, transport: &dyn Transport) -> Result<T, CallError> {
        let (_, body) = self.send_and_read(transport).await?;
        parse_json(&body)
    }
}

pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body)
        .map_err(|error| CallError::unexpected(&format!("the response is not as expected: {error}")))
}

fn timed_out(deadline: Duration) -> TransportError {
    let reason = format!("none within {}", rounded(deadline));
    TransportError { kind: TransportErrorKind::TimedOut, reason, delivery: Delivery::Unknown }
}

async fn read_all(mut body: BodyStream, limit: usize) -> Result<Bytes, TransportError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if whole.len() + piece.len() > limit {
            let reason = format!("the response has more than {limit} bytes");
            return Err(TransportError { kind: TransportErrorKind::Other, reason, delivery: Delivery::Unknown });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
