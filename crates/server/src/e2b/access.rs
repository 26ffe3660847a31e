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

/// What a request has shown for a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// The request came by a debug port, which needs no token.
    Trusted,
    Token,
    TrafficToken,
    /// A signed link to a file.
    Link,
    /// The key of this caller, who must be the sandbox's owner.
    Key(Caller),
    /// Nothing valid. Only ports that their owner has made public are open to it, and an interpreter that was created
    /// without a token.
    None,
}

impl Access {
    /// Checks what a request shows for a sandbox.
    ///
    /// # Errors
    /// The request shows nothing that is valid for this route, or a token of an earlier start of the server, whose
    /// sandboxes have ended.
    pub(super) fn of(state: &E2bState, address: &Address, request: &Request) -> Result<Self, Refusal> {
        let headers = request.headers();
        let debug_port = request.extensions().get::<DebugPort>().copied();
        if debug_port.is_some() && address.id == debug::SANDBOX {
            return Ok(Self::Trusted);
        }
        if address.port == Some(ENVD_PORT) && !headers.contains_key(ACCESS_HEADER) && SignedLink::is_link(request) {
            return SignedLink::check(state, &address.id, request).map(|()| Self::Link);
        }
        let access = Self::from_headers(state, address, headers, debug_port)?;
        let is_cell = request.uri().path().trim_matches('/') == "execute";
        let is_allowed = match (&access, address.port) {
            (Self::TrafficToken, Some(ENVD_PORT)) => false,
            (Self::TrafficToken, Some(INTERPRETER_PORT)) => !is_cell,
            // Whether a sandbox has an open interpreter or public ports is seen later.
            (Self::None, Some(ENVD_PORT) | None) => false,
            (Self::Trusted | Self::Token | Self::TrafficToken | Self::Link | Self::Key(_) | Self::None, _) => true,
        };
        if is_allowed { Ok(access) } else { Err(Box::new(errors::unauthorized())) }
    }

    fn from_headers(
        state: &E2bState,
        address: &Address,
        headers: &HeaderMap,
        debug_port: Option<DebugPort>,
    ) -> Result<Self, Refusal> {
        for (name, kind, access) in
            [(ACCESS_HEADER, TokenKind::Access, Self::Token), (TRAFFIC_HEADER, TokenKind::Traffic, Self::TrafficToken)]
        {
            let Some(token) = headers.get(name) else { continue };
            match state.sessions.check_token(kind, &address.id, token.as_bytes()) {
                TokenCheck::Valid => return Ok(access),
                TokenCheck::Stale => return Err(Box::new(errors::sandbox_not_running(&address.id))),
                // A wrong token is refused, even together with another valid credential.
                TokenCheck::Invalid => return Ok(Self::None),
            }
        }
        let shows_key = headers.contains_key("x-api-key") || headers.contains_key(header::AUTHORIZATION);
        let caller = if shows_key { caller::identify(state, headers, debug_port) } else { None };
        Ok(caller.map_or(Self::None, Self::Key))
    }

    /// Returns whether this is valid for a port of this existing sandbox.
    pub(super) fn allows(&self, session: &Session, port: Option<u16>) -> bool {
        match self {
            Self::Trusted | Self::Token | Self::TrafficToken | Self::Link => true,
            Self::Key(caller) => caller == session.caller(),
            Self::None => match port {
                Some(ENVD_PORT) | None => false,
                Some(INTERPRETER_PORT) => session.options().open_interpreter && is_running(session),
                Some(_) => session.options().public_ports && is_running(session),
            },
        }
    }

    /// Removes this server's key from a request that has shown it as `Authorization`, which is forwarded to programs in
    /// the sandbox otherwise.
    pub(super) fn remove_key(&self, headers: &mut HeaderMap) {
        if matches!(self, Self::Key(_)) && !headers.contains_key("x-api-key") {
            headers.remove(header::AUTHORIZATION);
        }
    }

    /// Returns the answer for a sandbox that does not exist or that this is not valid for.
    pub(super) fn refusal(&self, id: &str) -> Refusal {
        Box::new(match self {
            Self::None => errors::unauthorized(),
            Self::Trusted | Self::Token | Self::TrafficToken | Self::Link | Self::Key(_) => {
                errors::sandbox_not_running(id)
            }
        })
    }
}

/// Requests without a token never wake a sandbox.
fn is_running(session: &Session) -> bool {
    session.lifetime().state() == SessionState::Running
}
