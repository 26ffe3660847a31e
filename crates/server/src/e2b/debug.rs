//! Clients in debug mode (`E2B_DEBUG=true`): they use three fixed ports, name no sandbox and show no token.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use switchtower_contract::NetworkPolicy;
use switchtower_core::error::Error;
use switchtower_core::request::Caller;
use switchtower_core::session::{AtEnd, CreateSession, Session};
use switchtower_e2b_wire::errors;
use tower::ServiceExt as _;

use super::address::{ENVD_PORT, INTERPRETER_PORT, control_path};
use super::state::E2bState;
use crate::service::config::{parse_port, split_port};

/// The ports: the control plane, envd, the code interpreter.
pub const PORTS: [u16; 3] = [3000, ENVD_PORT, INTERPRETER_PORT];

/// The id of the one sandbox that such clients use.
pub(super) const SANDBOX: &str = "debug_sandbox_id";

/// Extension of a request that came by one of these ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct DebugPort;

/// Returns the API of one of the ports. Serve it on a loopback address only: it requires no token.
pub fn app(port: u16, inner: Router) -> Router {
    Router::new().fallback(add_address).with_state((port, inner))
}

async fn add_address(State((port, inner)): State<(u16, Router)>, mut request: Request) -> Response {
    if is_foreign(request.headers()) {
        return errors::api(StatusCode::FORBIDDEN, "web pages of other origins may not call the debug ports");
    }
    request.extensions_mut().insert(DebugPort);
    let headers = request.headers_mut();
    if matches!(port, ENVD_PORT | INTERPRETER_PORT) && !headers.contains_key("e2b-sandbox-id") {
        headers.insert("e2b-sandbox-id", HeaderValue::from_static(SANDBOX));
        headers.insert("e2b-sandbox-port", HeaderValue::from(port));
    }
    match inner.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Returns whether a request comes from a browser page of another origin, or was sent to another host name (DNS
/// rebinding). The debug ports require no key, so such pages could run programs.
fn is_foreign(headers: &HeaderMap) -> bool {
    let is_own = |text: &str| {
        let (name, port) = split_port(text.split_once("://").map_or(text, |(_, host)| host));
        matches!(name, "localhost" | "127.0.0.1" | "[::1]") && port.is_none_or(|port| parse_port(port).is_some())
    };
    let is_other = |name: header::HeaderName| headers.get(name).is_some_and(|value| !value.to_str().is_ok_and(is_own));
    is_other(header::ORIGIN) || is_other(header::HOST)
}

/// Returns whether a path of the control plane is one of the debug sandbox.
pub(super) fn is_for_sandbox(uri: &Uri) -> bool {
    control_path(uri.path()).is_some_and(|rest| rest.split('/').nth(1) == Some(SANDBOX))
}

pub(super) fn caller() -> Caller {
    Caller::named("debug")
}

/// Returns the one sandbox, which is created when it is first needed.
pub(super) async fn session(state: &E2bState) -> Result<Arc<Session>, Error> {
    let sessions = &state.sessions;
    if let Some(session) = sessions.find_any(SANDBOX) {
        return Ok(session);
    }
    let options = CreateSession {
        template: "code-interpreter-v1".to_owned(),
        timeout: sessions.config().max_lifetime,
        metadata: BTreeMap::new(),
        env: BTreeMap::new(),
        at_end: AtEnd::Kill,
        auto_resume: true,
        network: NetworkPolicy::OPEN,
        public_ports: false,
        open_interpreter: false,
    };
    sessions.open_with_id(SANDBOX, &caller(), options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_origins_are_foreign() {
        let foreign = |name: header::HeaderName, value: &'static str| {
            is_foreign(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
        };
        assert!(!foreign(header::HOST, "localhost:49999") && !foreign(header::HOST, "[::1]:3000"));
        assert!(!foreign(header::ORIGIN, "http://localhost:5173"));
        assert!(foreign(header::ORIGIN, "https://evil.example") && foreign(header::ORIGIN, "null"));
        assert!(foreign(header::HOST, "rebound.example:49999") && foreign(header::HOST, "localhost:+80"));
        assert!(!is_foreign(&HeaderMap::new()));
    }
}
