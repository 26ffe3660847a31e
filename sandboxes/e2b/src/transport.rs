//! The way to E2B: one HTTP call at a time. [`Web`] goes over the network; tests put something else in its place.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{Request, Response};

/// A body as it arrives. Dropping it closes the connection.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;

/// Carries a call out.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Resolves when the headers of the answer are here. Dropping the future closes the connection.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Pieces>, Broken>;
}

/// A call that got no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Broken {
    pub reason: String,
    pub reached: Reached,
}

/// Whether a call that broke may have been heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// No connection came about.
    No,
    Maybe,
    /// Nothing was sent: as many connections are open there as may be.
    Full,
}

/// HTTP/1.1 over TLS, or in plain text where the address says so. Connections are kept and used again.
///
/// HTTP/1.1 on purpose: there, closing the connection is how a run is cancelled, and it does not touch other calls.
pub struct Web {
    client: reqwest::Client,
}

/// Longest that a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(10);
/// Connections that are kept open for the next call, to each host.
const IDLE: usize = 32;

impl Web {
    /// # Errors
    /// This machine has no certificates to trust, or TLS cannot be set up; says why.
    pub fn new() -> Result<Self, Broken> {
        // Whoever set one up before us has chosen; both serve.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .http1_only()
            .connect_timeout(CONNECTING)
            .tcp_nodelay(true)
            // They count as connections over there although nothing goes over them.
            .pool_max_idle_per_host(IDLE)
            // A key must not follow a redirect to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| broken(&error))?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for Web {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Pieces>, Broken> {
        let request = reqwest::Request::try_from(request).map_err(|error| broken(&error))?;
        let response = self.client.execute(request).await.map_err(|error| broken(&error))?;
        let mut answer = Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            *headers = response.headers().clone();
        }
        let pieces: Pieces = Box::pin(response.bytes_stream().map(|piece| piece.map_err(|error| broken(&error))));
        answer.body(pieces).map_err(|error| Broken { reason: error.to_string(), reached: Reached::Maybe })
    }
}

fn broken(error: &reqwest::Error) -> Broken {
    let reached = if error.is_connect() || error.is_builder() { Reached::No } else { Reached::Maybe };
    // The outermost message says the least, and may carry the address with all its parts.
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    Broken { reason: source.to_string(), reached }
}
