//! Requests to a port of a sandbox: authorizes them, wakes the sandbox, and passes them to envd, to the interpreter, or
//! to the machine of the sandbox.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use switchtower_core::error::Kind;
use switchtower_core::session::SessionState;
use switchtower_e2b_wire::errors;

use super::access::{Access, Credentials};
use super::address::{Address, ENVD_PORT, INTERPRETER_PORT};
use super::envd::Watchers;
use super::response::{self, Refusal};
use super::sandbox_handle::SandboxHandle;
use super::state::E2bState;
use super::{debug, envd, forward, interpreter};
use crate::service::body::ChargedBody;
use crate::service::body_limits::BodyKind;

/// Shortest time-out of a sandbox that a request has woken.
const MIN_WOKEN_TIMEOUT: Duration = Duration::from_secs(300);

/// Handles a request to a port of a sandbox.
///
/// # Errors
/// The request is not authorized for the port, or there is no such sandbox or port.
pub(super) async fn handle(
    state: &Arc<E2bState>,
    watchers: &Watchers,
    address: Address,
    mut request: Request,
) -> Result<Response, Refusal> {
    let credentials = Credentials::of(state, &address, &request)?;
    credentials.remove(request.headers_mut());
    let Address { id, port } = address;
    let (session, access) = if credentials.is_debug() {
        let session = debug::session(state).await.map_err(|error| Box::new(response::refused(&error)))?;
        (session, Access::Full)
    } else {
        let found = state.sessions.find_any(&id);
        let allowed = found.and_then(|session| credentials.access(&session, port).map(|access| (session, access)));
        allowed.ok_or_else(|| credentials.refusal(&id, port))?
    };
    if access == Access::Full && !credentials.is_debug() {
        state.recent_sandboxes.record_use(&session);
    }
    let sandbox = SandboxHandle { state: Arc::clone(state), session };
    if let (Access::Public, Some(port)) = (access, port.filter(|port| *port != INTERPRETER_PORT)) {
        // The machine must already be awake, and the call does not extend its life.
        let machine = sandbox.session.awake_machine().ok_or_else(|| credentials.refusal(&id, Some(port)))?;
        let (parts, body) = read_request(&sandbox, request).await?;
        return Ok(forward::send(&sandbox.session, machine.as_ref(), port, parts, body.bytes).await);
    }
    wake(&sandbox).await?;
    match port {
        Some(ENVD_PORT) => envd::call(watchers, sandbox, request).await,
        Some(INTERPRETER_PORT) => interpreter::call(sandbox, request).await,
        Some(port) => call_port(&sandbox, port, request).await,
        None => Err(Box::new(errors::text(StatusCode::BAD_REQUEST, "Invalid sandbox port"))),
    }
}

/// Resumes a paused sandbox that was created with `autoResume`.
async fn wake(sandbox: &SandboxHandle) -> Result<(), Refusal> {
    let session = &sandbox.session;
    match session.lifetime().state() {
        SessionState::Running => Ok(()),
        SessionState::Paused if session.options().auto_resume => {
            let timeout = session.options().timeout.max(MIN_WOKEN_TIMEOUT);
            session.resume(timeout).await.map(drop).map_err(|error| Box::new(response::refused(&error)))
        }
        SessionState::Paused | SessionState::Ended => Err(sandbox.not_running()),
    }
}

/// Calls a port that a program in the sandbox may listen on. Without a machine nothing listens, and a new machine would
/// have no program that does, so none is acquired.
async fn call_port(sandbox: &SandboxHandle, port: u16, request: Request) -> Result<Response, Refusal> {
    let session = &sandbox.session;
    let Some(machine) = session.machine() else { return Err(Box::new(errors::port_not_open(session.id(), port))) };
    let (parts, body) = read_request(sandbox, request).await?;
    Ok(forward::forward(session, machine.as_ref(), port, parts, body.bytes).await)
}

/// Reads a request for a port. One that is refused is no use of the machine.
async fn read_request(sandbox: &SandboxHandle, request: Request) -> Result<(Parts, ChargedBody), Refusal> {
    let (parts, stream) = request.into_parts();
    let upgrade = parts.headers.get(header::UPGRADE).and_then(|protocol| protocol.to_str().ok()).unwrap_or_default();
    // Other protocols may be ignored by the rules of HTTP.
    if upgrade.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket")) {
        let message = "WebSocket is not supported by Switchtower on the ports of a sandbox: use HTTP requests, or server-sent \
                       events for what the program sends";
        return Err(Box::new(errors::api(response::status_of(Kind::Unsupported), message)));
    }
    let body = sandbox.read(BodyKind::Port, &parts.headers, stream).await;
    let body = body.map_err(|error| Box::new(errors::api(error.status(), &error.to_string())))?;
    Ok((parts, body))
}
