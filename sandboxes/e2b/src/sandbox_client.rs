//! The client of one sandbox: its addresses, its tokens, and the limits that every call into it obeys.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use tokio::time::sleep;

use crate::address::{Address, ENVD, INTERPRETER};
use crate::connections::ConnectionLimiter;
use crate::control::SandboxAccess;
use crate::error::{CallError, CallKind, Cause};
use crate::limits::{AccountLimits, CallClass};
use crate::request::ApiRequest;
use crate::transport::{BodyStream, Switched, Transport, TransportError};

/// Pauses before a call is repeated.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// Whether a repeated call may succeed in a moment.
pub(crate) fn is_transient(error: &CallError) -> bool {
    matches!(error.cause, Cause::Server | Cause::Capacity | Cause::Transition)
}

/// Makes calls into a sandbox.
#[derive(Clone)]
pub(crate) struct SandboxClient {
    /// Limits the connections to this sandbox.
    pub(crate) transport: Arc<ConnectionLimiter>,
    pub(crate) limits: Arc<AccountLimits>,
    address: Address,
    access: SandboxAccess,
}

impl SandboxClient {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        limits: Arc<AccountLimits>,
        address: Address,
        access: SandboxAccess,
    ) -> Self {
        let transport = Arc::new(ConnectionLimiter::new(transport, limits.connections_per_sandbox()));
        Self { transport, limits, address, access }
    }

    pub(crate) fn id(&self) -> &str {
        &self.access.id
    }

    /// Replaces the tokens, which change when a sandbox is resumed.
    pub(crate) fn set_access(&mut self, new: SandboxAccess) {
        let old = &mut self.access;
        self.access = SandboxAccess { id: old.id.clone(), domain: new.domain.or(old.domain.take()), ..new };
    }

    pub(crate) fn interpreter(&self, call: CallKind, method: Method, path: &str, deadline: Duration) -> ApiRequest {
        self.request(call, INTERPRETER, method, path, deadline)
    }

    pub(crate) fn envd(&self, method: Method, path: &str, deadline: Duration) -> ApiRequest {
        self.request(CallKind::Sandbox, ENVD, method, path, deadline)
    }

    /// Makes an idempotent call within the limits and records its outcome. It is repeated where E2B fails: such
    /// failures are short, and without a repetition the whole sandbox would be lost.
    pub(crate) async fn call_limited<T, F>(&self, call: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut pauses = RETRY_PAUSES.iter();
        loop {
            let reservation = self.limits.operation().await?;
            let outcome = call().await;
            drop(reservation);
            self.limits.record_outcome(CallClass::Operation, outcome.as_ref().err());
            match (outcome, pauses.next()) {
                (Err(error), Some(pause)) if is_transient(&error) => sleep(*pause).await,
                (outcome, _) => return outcome,
            }
        }
    }

    /// Sends a client's request to a port, with the sandbox's own tokens.
    pub(crate) async fn forward(
        &self,
        port: u16,
        request: Request<Bytes>,
    ) -> Result<Response<BodyStream>, TransportError> {
        self.transport.send(self.port_request(port, request)?).await
    }

    /// Sends a client's request for another protocol to a port, with the sandbox's own tokens.
    pub(crate) async fn upgrade(&self, port: u16, request: Request<Bytes>) -> Result<Switched, TransportError> {
        self.transport.upgrade(self.port_request(port, request)?).await
    }

    fn port_request(&self, port: u16, request: Request<Bytes>) -> Result<Request<Bytes>, TransportError> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request =
            self.request(CallKind::Sandbox, port, head.method, path, Duration::ZERO).into_request(body)?;
        for (name, value) in &head.headers {
            // The sandbox's own headers win over the client's.
            if !request.headers().contains_key(name) {
                request.headers_mut().append(name, value.clone());
            }
        }
        Ok(request)
    }

    fn request(&self, call: CallKind, port: u16, method: Method, path: &str, deadline: Duration) -> ApiRequest {
        let origin = self.address.sandbox(self.id(), port, self.access.domain.as_deref());
        let mut request = ApiRequest::new(call, method, format!("{origin}{path}"), deadline)
            .headers(Address::headers(self.id(), port));
        for (name, token) in
            [("x-access-token", &self.access.access_token), ("e2b-traffic-access-token", &self.access.traffic_token)]
        {
            if let Some(mut value) = token.as_deref().and_then(|token| HeaderValue::from_str(token).ok()) {
                value.set_sensitive(true);
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        request
    }
}
