//! Transports that call the stand-in in this process: the real client and the real wire, without a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::StreamExt as _;
use switchtower_e2b::{
    Address, BodyStream, Config, Delivery, E2b, Identity, Key, Liveness, Transport, TransportError, TransportErrorKind,
};
use switchtower_fake_e2b::Fake;
use tower::ServiceExt as _;

/// Calls the stand-in as a function.
pub(crate) struct InProcess(pub(crate) axum::Router);

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let request = request.map(Body::from);
        let response = self.0.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        Ok(response.map(|body| {
            let broken = |error: axum::Error| TransportError {
                kind: TransportErrorKind::Other,
                reason: error.to_string(),
                delivery: Delivery::Unknown,
            };
            Box::pin(body.into_data_stream().map(move |piece| piece.map_err(broken))) as BodyStream
        }))
    }
}

/// Loses the response to the first creation.
pub(crate) struct LostResponse {
    inner: InProcess,
    has_lost: AtomicBool,
}

impl LostResponse {
    pub(crate) fn new(fake: &Fake) -> Self {
        Self { inner: InProcess(fake.app()), has_lost: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Transport for LostResponse {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let creates = request.method() == "POST" && request.uri().path() == "/v2/sandboxes";
        let response = self.inner.send(request).await;
        if creates && !self.has_lost.swap(true, Ordering::Relaxed) {
            return Err(TransportError {
                kind: TransportErrorKind::Other,
                reason: "connection reset".to_owned(),
                delivery: Delivery::Unknown,
            });
        }
        response
    }
}

/// Returns an account at the stand-in.
pub(crate) fn account(fake: &Fake, config: Config) -> E2b {
    account_of_process(fake, config, "one", |_| Liveness::Dead)
}

/// Returns the account of a process with this identifier.
pub(crate) fn account_of_process(fake: &Fake, config: Config, process: &str, liveness: fn(&str) -> Liveness) -> E2b {
    account_with_transport(InProcess(fake.app()), config, process, liveness)
}

/// Returns an account with this transport.
pub(crate) fn account_with_transport(
    transport: impl Transport + 'static,
    config: Config,
    process: &str,
    liveness: fn(&str) -> Liveness,
) -> E2b {
    let address = Address::new(Some("http://e2b.test"), Some("http://e2b.test"), None);
    let identity = Identity { owner: "test".to_owned(), process: process.to_owned(), liveness: Arc::new(liveness) };
    // The stand-in's clock starts with the system's time too.
    let wall = switchtower_core::clock::WallClock::real();
    let now = Arc::new(move || wall.now());
    let key = Key::new("e2b_0123456789abcdef").unwrap();
    E2b::new(config, address, key, Arc::new(transport), identity, now)
}
