//! Clients in debug mode (`E2B_DEBUG=true`): they name no sandbox and show no token, and know three ports by heart.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use switchtower_core::error::Error;
use switchtower_core::request::Caller;
use switchtower_core::session::{AtEnd, CreateSession, Session};
use tower::ServiceExt as _;

use super::plane::{ENVD, INTERPRETER};
use super::{Door, response};

/// The ports: the control plane, envd, the code interpreter.
pub const PORTS: [u16; 3] = [3000, ENVD, INTERPRETER];

/// The sandbox that such clients have.
pub(super) const SANDBOX: &str = "debug_sandbox_id";

/// The mark of a request that came by one of these ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debugged;

/// The door behind one of the ports. Put it behind a loopback address only: nobody is asked for a token.
pub fn app(port: u16, inner: Router) -> Router {
    Router::new().fallback(named).with_state((port, inner))
}

async fn named(State((port, app)): State<(u16, Router)>, mut request: Request) -> Response {
    if is_foreign(request.headers()) {
        return response::api(StatusCode::FORBIDDEN, "web pages from elsewhere may not call the debug ports");
    }
    request.extensions_mut().insert(Debugged);
    let headers = request.headers_mut();
    if matches!(port, ENVD | INTERPRETER) && !headers.contains_key("e2b-sandbox-id") {
        headers.insert("e2b-sandbox-id", HeaderValue::from_static(SANDBOX));
        headers.insert("e2b-sandbox-port", HeaderValue::from(port));
    }
    match app.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A browser that shows a page from another place, or that was led here under another name: it needs no key to send
/// what it likes.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = |text: &str| {
        let host = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(text, |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    };
    let is_far = |name: header::HeaderName| {
        headers.get(name).is_some_and(|value| {
            value.to_str().is_ok_and(|text| !host(text.split_once("://").map_or(text, |(_, host)| host)))
        })
    };
    is_far(header::ORIGIN) || is_far(header::HOST)
}

pub(super) fn caller() -> Caller {
    Caller::named("debug")
}

/// The one sandbox, made when it is first needed.
pub(super) async fn session(door: &Door) -> Result<Arc<Session>, Error> {
    let sessions = &door.parts.sessions;
    if let Some(session) = sessions.find_any(SANDBOX) {
        return Ok(session);
    }
    let asked = CreateSession {
        template: "code-interpreter-v1".to_owned(),
        timeout: sessions.config().max_lifetime,
        metadata: BTreeMap::new(),
        env: BTreeMap::new(),
        at_end: AtEnd::Kill,
        auto_resume: true,
        offline: false,
        public_ports: false,
    };
    sessions.open_with_id(SANDBOX, &caller(), asked).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_from_elsewhere_are_foreign() {
        let foreign = |name: header::HeaderName, value: &'static str| {
            is_foreign(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
        };
        assert!(!foreign(header::HOST, "localhost:49999") && !foreign(header::HOST, "[::1]:3000"));
        assert!(!foreign(header::ORIGIN, "http://localhost:5173"));
        assert!(foreign(header::ORIGIN, "https://evil.example") && foreign(header::ORIGIN, "null"));
        assert!(foreign(header::HOST, "rebound.example:49999"));
        assert!(!is_foreign(&HeaderMap::new()));
    }
}
