//! The transport to E2B: one HTTP call at a time. [`HttpTransport`] uses the network; tests use transports of their
//! own.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{Request, Response};

/// A body as it arrives. Dropping it closes the connection.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// Sends calls.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Resolves when the headers of the response are here. Dropping the future closes the connection.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<BodyStream>, TransportError>;
}

/// Why a call has no whole response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TransportError {
    pub reason: String,
    pub delivery: Delivery,
}

/// Whether a call that failed may have been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// There was no connection.
    NotSent,
    Unknown,
    /// Nothing was sent: the sandbox has as many connections as it may.
    TooManyConnections,
}

/// HTTP/1.1 over TLS, or in plain text where the address says so. Connections are reused.
///
/// HTTP/1.1 on purpose: closing the connection cancels a run, and affects no other call.
pub struct HttpTransport {
    client: reqwest::Client,
}

/// Longest that a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections that are kept open, for each host.
const MAX_IDLE_CONNECTIONS: usize = 32;

impl HttpTransport {
    /// # Errors
    /// This machine has no certificates to trust, or TLS cannot be set up; says why.
    pub fn new() -> Result<Self, TransportError> {
        // It fails where a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // E2B counts idle connections too.
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            // A key must not follow a redirect to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| transport_error(&error))?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(|error| transport_error(&error))?;
        let response = self.client.execute(request).await.map_err(|error| transport_error(&error))?;
        let mut builder = Response::builder().status(response.status());
        if let Some(headers) = builder.headers_mut() {
            *headers = response.headers().clone();
        }
        let pieces: BodyStream =
            Box::pin(response.bytes_stream().map(|piece| piece.map_err(|error| transport_error(&error))));
        builder.body(pieces).map_err(|error| TransportError { reason: error.to_string(), delivery: Delivery::Unknown })
    }
}

fn transport_error(error: &reqwest::Error) -> TransportError {
    let delivery = if error.is_connect() || error.is_builder() { Delivery::NotSent } else { Delivery::Unknown };
    // The innermost message says most; the outermost may contain the whole address.
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    TransportError { reason: source.to_string(), delivery }
}
