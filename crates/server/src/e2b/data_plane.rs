//! Requests to a port of a sandbox: authorizes them, wakes the sandbox, and passes them to envd, to the interpreter, or
//! to the machine of the sandbox.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use switchtower_core::error::Kind;
use switchtower_core::session::SessionState;
use switchtower_e2b_wire::errors;

use super::access::{Access, Credentials};
use super::address::{Address, ENVD_PORT, INTERPRETER_PORT};
use super::envd::Watchers;
use super::response::{self, Refusal};
use super::sandbox_handle::SandboxHandle;
use super::state::E2bState;
use super::tunnel::{self, Counted};
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
        let PortRequest { parts, body, upgrade } = PortRequest::read(&sandbox, request).await?;
        return Ok(match upgrade {
            Some(client) => tunnel::open(&sandbox.session, machine.as_ref(), port, parts, client, Counted::No).await,
            None => forward::send(&sandbox.session, machine.as_ref(), port, parts, body.bytes).await,
        });
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
    let PortRequest { parts, body, upgrade } = PortRequest::read(sandbox, request).await?;
    Ok(match upgrade {
        Some(client) => tunnel::open(session, machine.as_ref(), port, parts, client, Counted::Yes).await,
        None => forward::forward(session, machine.as_ref(), port, parts, body.bytes).await,
    })
}

/// A request for a port, read whole.
struct PortRequest {
    parts: Parts,
    body: ChargedBody,
    /// The connection, of a request for WebSocket.
    upgrade: Option<OnUpgrade>,
}

impl PortRequest {
    /// Reads a request. One that is refused is no use of the machine.
    async fn read(sandbox: &SandboxHandle, request: Request) -> Result<Self, Refusal> {
        let (mut parts, stream) = request.into_parts();
        let upgrade = tunnel::is_requested(&parts.headers).then(|| parts.extensions.remove::<OnUpgrade>());
        if let Some(None) = upgrade {
            let message = "WebSocket needs a GET request by HTTP/1.1 with the header Connection: Upgrade";
            return Err(Box::new(errors::api(response::status_of(Kind::Invalid), message)));
        }
        let body = sandbox.read(BodyKind::Port, &parts.headers, stream).await;
        let body = body.map_err(|error| Box::new(errors::api(error.status(), &error.to_string())))?;
        Ok(Self { parts, body, upgrade: upgrade.flatten() })
    }
}
