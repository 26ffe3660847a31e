//! Calls into one sandbox: who it is, how it is reached, and what every such call carries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use tokio::time::sleep;

use crate::address::{Address, ENVD, INTERPRETER};
use crate::cause::{Call, Cause, Trouble};
use crate::connections::Connections;
use crate::control::Made;
use crate::limits::{Kind, Limits};
use crate::transport::{Broken, Pieces, Transport};
use crate::wire::Ask;

/// Pauses before a call is made again.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// It may well go better in a moment.
pub(crate) fn passes(trouble: &Trouble) -> bool {
    matches!(trouble.cause, Cause::Server | Cause::Capacity | Cause::Transition)
}

/// The way into a sandbox.
#[derive(Clone)]
pub(crate) struct Inside {
    /// Counts the connections to this sandbox.
    pub(crate) transport: Arc<Connections>,
    pub(crate) limits: Arc<Limits>,
    address: Address,
    made: Made,
}

impl Inside {
    pub(crate) fn new(transport: Arc<dyn Transport>, limits: Arc<Limits>, address: Address, made: Made) -> Self {
        let transport = Arc::new(Connections::new(transport, limits.connections_per_sandbox()));
        Self { transport, limits, address, made }
    }

    pub(crate) fn id(&self) -> &str {
        &self.made.id
    }

    /// Its tokens change when it wakes.
    pub(crate) fn woken(&mut self, made: Made) {
        self.made = Made { id: self.made.id.clone(), domain: made.domain.or(self.made.domain.take()), ..made };
    }

    pub(crate) fn interpreter(&self, call: Call, method: Method, path: &str, deadline: Duration) -> Ask {
        self.ask(call, INTERPRETER, method, path, deadline)
    }

    pub(crate) fn envd(&self, method: Method, path: &str, deadline: Duration) -> Ask {
        self.ask(Call::Sandbox, ENVD, method, path, deadline)
    }

    /// Waits for the right to a call, makes it, and lets the limits hear how it went. A call that may be made twice is
    /// made again where E2B failed: such failures pass at once, and the whole sandbox would have to be given up.
    pub(crate) async fn counted<T, F>(&self, call: impl Fn() -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut pauses = AGAIN.iter();
        loop {
            let right = self.limits.operation().await?;
            let done = call().await;
            drop(right);
            self.limits.hears(Kind::Operation, done.as_ref().err());
            match (done, pauses.next()) {
                (Err(trouble), Some(pause)) if passes(&trouble) => sleep(*pause).await,
                (done, _) => return done,
            }
        }
    }

    /// Sends somebody's request to a port, with what this sandbox asks for to let it in.
    pub(crate) async fn pass_on(&self, port: u16, request: Request<Bytes>) -> Result<Response<Pieces>, Broken> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut ask = self.ask(Call::Sandbox, port, head.method, path, Duration::ZERO).into_request(body)?;
        for (name, value) in &head.headers {
            // What this sandbox asks for comes before what the client says.
            if !ask.headers().contains_key(name) {
                ask.headers_mut().append(name, value.clone());
            }
        }
        self.transport.send(ask).await
    }

    fn ask(&self, call: Call, port: u16, method: Method, path: &str, deadline: Duration) -> Ask {
        let origin = self.address.sandbox(self.id(), port, self.made.domain.as_deref());
        let mut ask =
            Ask::new(call, method, format!("{origin}{path}"), deadline).headers(Address::headers(self.id(), port));
        for (name, token) in [("x-access-token", &self.made.token), ("e2b-traffic-access-token", &self.made.traffic)] {
            if let Some(mut value) = token.as_deref().and_then(|token| HeaderValue::from_str(token).ok()) {
                value.set_sensitive(true);
                ask = ask.header(HeaderName::from_static(name), value);
            }
        }
        ask
    }
}
