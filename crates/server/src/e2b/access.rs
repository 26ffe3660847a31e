//! Authorizes requests to a sandbox: by the sandbox's token, a signature made with it, or the key of its owner.
//!
//! A refusal depends only on what was shown and never on whether the sandbox exists, so that ids cannot be probed.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use switchtower_core::request::Caller;
use switchtower_core::session::{Session, SessionState, TokenCheck, TokenKind};
use switchtower_e2b_wire::errors;

use super::address::{Address, ENVD_PORT, INTERPRETER_PORT};
use super::caller;
use super::debug::{self, DebugPort};
use super::response::Refusal;
use super::signed_link::SignedLink;
use super::state::E2bState;

/// Header with the token for all of a sandbox.
const ACCESS_HEADER: &str = "x-access-token";
/// Header with the token for the ports of a sandbox and the contexts of its interpreter.
const TRAFFIC_HEADER: &str = "e2b-traffic-access-token";

/// What a request may use of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// All of it.
    Full,
    /// The ports of programs, and the contexts of the interpreter.
    Ports,
    /// What its owner has opened to everybody: public ports, and an interpreter that was created without a token.
    Public,
}

/// What a request shows for a sandbox. All of it counts: each credential adds to what is open without it, and a wrong
/// token of a sandbox is refused wherever it is shown; only at a program's own port, `X-Access-Token` may be the program's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Credentials {
    /// The sandbox's token, a signed link to the file that is requested, or a debug port, which needs neither.
    full: bool,
    traffic_token: bool,
    /// The holder of the API key. Only a sandbox's owner gains by it. A key that is not of this server is none: it may be
    /// meant for a program in the sandbox.
    caller: Option<Caller>,
    is_debug: bool,
    /// Whether the request is for a cell, for which the traffic token is not valid.
    is_cell: bool,
    /// Whether the request is for the port of a program.
    is_programs: bool,
}

impl Credentials {
    /// Checks what a request shows for a sandbox, whether or not that exists.
    ///
    /// # Errors
    /// A token or a signature is wrong, or a token is of an earlier start of the server, whose sandboxes have ended.
    pub(super) fn of(state: &E2bState, address: &Address, request: &Request) -> Result<Self, Refusal> {
        let headers = request.headers();
        let debug_port = request.extensions().get::<DebugPort>().copied();
        if debug_port.is_some() && address.id == debug::SANDBOX {
            return Ok(Self { full: true, is_debug: true, ..Self::default() });
        }
        if address.port == Some(ENVD_PORT) && !headers.contains_key(ACCESS_HEADER) && SignedLink::is_link(request) {
            SignedLink::check(state, &address.id, request)?;
            return Ok(Self { full: true, ..Self::default() });
        }
        let is_programs = address.port.is_some_and(|port| port != ENVD_PORT && port != INTERPRETER_PORT);
        let is_shown = |name: &str, kind: TokenKind| {
            let Some(token) = headers.get(name) else { return Ok(false) };
            match state.sessions.check_token(kind, &address.id, token.as_bytes()) {
                TokenCheck::Valid => Ok(true),
                TokenCheck::Invalid if is_programs && name == ACCESS_HEADER => Ok(false),
                TokenCheck::Stale => Err(Box::new(errors::sandbox_not_running(&address.id))),
                TokenCheck::Invalid => Err(Box::new(errors::unauthorized())),
            }
        };
        let full = is_shown(ACCESS_HEADER, TokenKind::Access)?;
        let traffic_token = is_shown(TRAFFIC_HEADER, TokenKind::Traffic)?;
        let shows_key = headers.contains_key("x-api-key") || headers.contains_key(header::AUTHORIZATION);
        let caller = if shows_key { caller::identify(state, headers, debug_port) } else { None };
        let is_cell = address.port == Some(INTERPRETER_PORT) && request.uri().path().trim_matches('/') == "execute";
        Ok(Self { full, traffic_token, caller, is_debug: false, is_cell, is_programs })
    }

    /// Whether the request is for the one sandbox of the debug ports.
    pub(super) fn is_debug(&self) -> bool {
        self.is_debug
    }

    /// Returns what the request may use of this existing sandbox; `None` if this port is closed to it.
    pub(super) fn access(&self, session: &Session, port: Option<u16>) -> Option<Access> {
        if self.full || self.caller.as_ref() == Some(session.caller()) {
            return Some(Access::Full);
        }
        if self.has_ports(port) {
            return Some(Access::Ports);
        }
        let options = session.options();
        let is_public = match port {
            Some(ENVD_PORT) | None => false,
            Some(INTERPRETER_PORT) => options.open_interpreter,
            Some(_) => options.public_ports,
        };
        (is_public && is_running(session)).then_some(Access::Public)
    }

    /// Whether the traffic token was shown, and is valid for this route.
    fn has_ports(&self, port: Option<u16>) -> bool {
        self.traffic_token && port != Some(ENVD_PORT) && !self.is_cell
    }

    /// Removes this server's credentials from headers that are forwarded to programs in the sandbox otherwise: its key as
    /// `Authorization`, and the sandbox's token.
    pub(super) fn remove(&self, headers: &mut HeaderMap) {
        if self.full || !self.is_programs {
            headers.remove(ACCESS_HEADER);
        }
        if self.caller.is_some() && !headers.contains_key("x-api-key") {
            headers.remove(header::AUTHORIZATION);
        }
    }

    /// Returns the answer for a sandbox that does not exist, or whose port is closed to the request. It depends only on
    /// what was shown.
    pub(super) fn refusal(&self, id: &str, port: Option<u16>) -> Refusal {
        let is_valid = self.full || self.caller.is_some() || self.has_ports(port);
        Box::new(if is_valid { errors::sandbox_not_running(id) } else { errors::unauthorized() })
    }
}

/// Requests without a token never wake a sandbox.
fn is_running(session: &Session) -> bool {
    session.lifetime().state() == SessionState::Running
}
