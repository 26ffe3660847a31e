//! The client's transport put on the stand-in's app: every call takes the whole way but the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::StreamExt as _;
use switchtower_e2b::{Address, BodyStream, Config, Delivery, E2b, Identity, Key, Liveness, Transport, TransportError};
use switchtower_fake_e2b::Fake;
use tower::ServiceExt as _;

/// Calls go to the stand-in as function calls.
pub(crate) struct Through(pub(crate) axum::Router);

#[async_trait]
impl Transport for Through {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let request = request.map(Body::from);
        let response = self.0.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        Ok(response.map(|body| {
            let broken = |error: axum::Error| TransportError { reason: error.to_string(), delivery: Delivery::Unknown };
            Box::pin(body.into_data_stream().map(move |piece| piece.map_err(broken))) as BodyStream
        }))
    }
}

/// Calls go out, and the first creation's answer never comes in.
pub(crate) struct Deaf {
    inner: Through,
    heard: AtomicBool,
}

impl Deaf {
    pub(crate) fn new(fake: &Fake) -> Self {
        Self { inner: Through(fake.app()), heard: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Transport for Deaf {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let creates = request.method() == "POST" && request.uri().path() == "/v2/sandboxes";
        let response = self.inner.send(request).await;
        if creates && !self.heard.swap(true, Ordering::Relaxed) {
            return Err(TransportError { reason: "the line went dead".to_owned(), delivery: Delivery::Unknown });
        }
        response
    }
}

/// An account at the stand-in.
pub(crate) fn account(fake: &Fake, config: Config) -> E2b {
    account_of(fake, config, "one", |_| Liveness::Dead)
}

/// An account as a process of this name has it, which takes those for alive that `lives` says.
pub(crate) fn account_of(fake: &Fake, config: Config, process: &str, lives: fn(&str) -> Liveness) -> E2b {
    account_over(Through(fake.app()), config, process, lives)
}

/// An account whose calls are carried like this.
pub(crate) fn account_over(
    transport: impl Transport + 'static,
    config: Config,
    process: &str,
    lives: fn(&str) -> Liveness,
) -> E2b {
    let address = Address::new(Some("http://e2b.test"), Some("http://e2b.test"), None);
    let identity = Identity { owner: "test".to_owned(), process: process.to_owned(), liveness: Arc::new(lives) };
    // The stand-in's own clock begins in the same way.
    let wall = switchtower_core::clock::Wall::real();
    let now = Arc::new(move || wall.now());
    let key = Key::new("e2b_0123456789abcdef").unwrap();
    E2b::new(config, address, key, Arc::new(transport), identity, now)
}
