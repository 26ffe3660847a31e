//! Who may use a sandbox: a request shows the sandbox's token, a signature made with it, or the key of its owner.
//!
//! A refusal depends on what was shown and never on whether the sandbox exists, so that ids cannot be tried out.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use switchtower_core::request::Caller;
use switchtower_core::session::{Session, TokenCheck, TokenKind};

use super::plane::{Address, ENVD, INTERPRETER};
use super::response::{self, Refusal};
use super::signed_link::SignedLink;
use super::{Door, control, debug};

/// What a request has shown for a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// It came by a port that needs no token.
    Trusted,
    Token,
    TrafficToken,
    /// A signed link to a file.
    Link,
    /// The key of this caller, who must be the sandbox's owner.
    Key(Caller),
    /// Nothing, or nothing that is valid. It may only reach ports that their owner has opened to everybody.
    Nothing,
}

impl Access {
    /// Checks what a request shows for a sandbox.
    ///
    /// # Errors
    /// It shows nothing that opens this route; or a token of an earlier start of the server, whose sandboxes are gone.
    pub(super) fn of(door: &Door, address: &Address, request: &Request) -> Result<Self, Refusal> {
        let headers = request.headers();
        let debugged = request.extensions().get::<debug::Debugged>().is_some();
        if debugged && address.id == debug::SANDBOX {
            return Ok(Self::Trusted);
        }
        if address.port == Some(ENVD) && !headers.contains_key(ACCESS) && SignedLink::is_link(request) {
            return SignedLink::check(door, &address.id, request).map(|()| Self::Link);
        }
        let access = Self::shown(door, address, headers, debugged)?;
        let is_cell = request.uri().path().trim_matches('/') == "execute";
        let opens = match (&access, address.port) {
            (Self::TrafficToken, Some(ENVD)) => false,
            (Self::TrafficToken, Some(INTERPRETER)) => !is_cell,
            (Self::Nothing, Some(ENVD | INTERPRETER) | None) => false,
            (Self::Trusted | Self::Token | Self::TrafficToken | Self::Link | Self::Key(_) | Self::Nothing, _) => true,
        };
        if opens { Ok(access) } else { Err(Box::new(response::token())) }
    }

    fn shown(door: &Door, address: &Address, headers: &HeaderMap, debugged: bool) -> Result<Self, Refusal> {
        for (name, kind, access) in
            [(ACCESS, TokenKind::Access, Self::Token), (TRAFFIC, TokenKind::Traffic, Self::TrafficToken)]
        {
            let Some(shown) = headers.get(name) else { continue };
            match door.parts.sessions.check_token(kind, &address.id, shown.as_bytes()) {
                TokenCheck::Valid => return Ok(access),
                TokenCheck::Stale => return Err(Box::new(response::gone(&address.id))),
                // A wrong token is refused whatever else is shown.
                TokenCheck::Invalid => return Ok(Self::Nothing),
            }
        }
        let shows_key = headers.contains_key("x-api-key") || headers.contains_key(header::AUTHORIZATION);
        let caller = if shows_key { control::caller(door, headers, debugged) } else { None };
        Ok(caller.map_or(Self::Nothing, Self::Key))
    }

    /// Whether it opens this sandbox, which exists.
    pub(super) fn opens(&self, session: &Session, port: Option<u16>) -> bool {
        match self {
            Self::Trusted | Self::Token | Self::TrafficToken | Self::Link => true,
            Self::Key(caller) => caller == session.caller(),
            Self::Nothing => !matches!(port, Some(ENVD | INTERPRETER) | None) && session.has_public_ports(),
        }
    }

    /// The answer where there is no such sandbox, or it is not open to what was shown.
    pub(super) fn refusal(&self, id: &str) -> Refusal {
        Box::new(match self {
            Self::Nothing => response::token(),
            Self::Trusted | Self::Token | Self::TrafficToken | Self::Link | Self::Key(_) => response::gone(id),
        })
    }
}

/// Opens all of a sandbox.
const ACCESS: &str = "x-access-token";
/// Opens the ports of a sandbox, and the contexts of its interpreter.
const TRAFFIC: &str = "e2b-traffic-access-token";
