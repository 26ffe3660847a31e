//! What all ports of a sandbox share: which sandbox is meant, whether it runs, who may enter.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use switchtower_core::session::{MachineUse, Session, SessionState};

use switchtower_contract::Machine;

use super::access::Access;
use super::response::{self, Refusal};
use super::signed_link::SignedLink;
use super::{Door, debug, envd, forward, interpreter};
use crate::service::body::{BodyError, ChargedBody};
use crate::service::body_limits::BodyKind;

pub(super) const ENVD: u16 = 49983;
pub(super) const INTERPRETER: u16 = 49999;

/// What a sandbox that is woken by a call lives at least.
const WOKEN: Duration = Duration::from_secs(300);

/// Where in which sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) id: String,
    /// `None`: it was not said, or is none.
    pub(super) port: Option<u16>,
}

impl Address {
    /// From the headers, or from a host like `49999-ID.domain`. `None`: no sandbox is meant.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(id) = text("e2b-sandbox-id") {
            let port = text("e2b-sandbox-port").and_then(|port| port.trim().parse().ok());
            return Some(Self { id: bare(id).to_owned(), port });
        }
        let (port, id) = text(header::HOST.as_str())?.split_once('.')?.0.split_once('-')?;
        // No sandbox is called so, but machines are: `10-0-0-1.example`.
        if !id.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        Some(Self { id: bare(id).to_owned(), port: Some(port.parse().ok()?) })
    }

    /// From a signed link to a file. Links with the address of this door name no sandbox, so every token is tried.
    ///
    /// # Errors
    /// Too many wrong links came from where this one comes from.
    pub(super) fn of_link(door: &Door, request: &Request) -> Result<Option<Self>, Refusal> {
        if !SignedLink::is_link(request) {
            return Ok(None);
        }
        let found = SignedLink::find(door, request)?;
        Ok(found.map(|session| Self { id: session.id().to_owned(), port: Some(ENVD) }))
    }
}

/// Older clients add the id of a machine to that of a sandbox.
pub(super) fn bare(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

/// A request that has found its sandbox.
pub(super) struct Visit {
    pub(super) door: Door,
    pub(super) session: Arc<Session>,
}

impl Visit {
    /// Reads a body, which is charged to the sandbox's owner.
    pub(super) async fn read(&self, kind: BodyKind, headers: &HeaderMap, body: Body) -> Result<ChargedBody, BodyError> {
        self.door.parts.bodies.read(self.session.caller(), kind, headers, body).await
    }

    pub(super) fn gone(&self) -> Refusal {
        Box::new(response::gone(self.session.id()))
    }
}

/// A request to a port of a sandbox.
pub(super) async fn call(door: &Door, address: Address, request: Request) -> Result<Response, Refusal> {
    let access = Access::of(door, &address, &request)?;
    let Address { id, port } = address;
    let session = if access == Access::Trusted {
        debug::session(door).await.map_err(|error| Box::new(response::refused(&error)))?
    } else {
        let session = door.parts.sessions.find_any(&id).filter(|session| access.opens(session, port));
        session.ok_or_else(|| access.refusal(&id))?
    };
    let visit = Visit { door: door.clone(), session };
    if access == Access::Nothing {
        return public(&visit, port, request).await;
    }
    awake(&visit).await?;
    match port {
        Some(ENVD) => envd::call(visit, request).await,
        Some(INTERPRETER) => interpreter::call(visit, request).await,
        Some(port) => elsewhere(&visit, port, request).await,
        None => Err(Box::new(response::text(StatusCode::BAD_REQUEST, "Invalid sandbox port"))),
    }
}

/// Wakes a sandbox that sleeps, where it was asked to wake by itself.
async fn awake(visit: &Visit) -> Result<(), Refusal> {
    let session = &visit.session;
    match session.state() {
        SessionState::Running => Ok(()),
        SessionState::Paused if session.options().auto_resume => {
            let time = session.options().timeout.max(WOKEN);
            session.resume(time).await.map(drop).map_err(|error| Box::new(response::refused(&error)))
        }
        SessionState::Paused | SessionState::Ended => Err(visit.gone()),
    }
}

/// A port that a program of the sandbox may listen at: only a machine has any.
async fn elsewhere(visit: &Visit, port: u16, request: Request) -> Result<Response, Refusal> {
    let session = &visit.session;
    if session.machine().is_none() && !session.can_promote() {
        return Err(Box::new(response::closed(session.id(), port)));
    }
    let machine = session.promote(&format!("the port {port}")).await;
    let machine = machine.map_err(|error| Box::new(response::refused(&error)))?;
    session.record_machine_use(MachineUse::StartsProcess);
    sent_on(visit, machine.as_ref(), port, request).await
}

/// A port that its owner has opened to everybody. Whoever asks has shown nothing, so the machine must be there and awake
/// already, and the request does not prolong its life.
async fn public(visit: &Visit, port: Option<u16>, request: Request) -> Result<Response, Refusal> {
    match (port, visit.session.awake_machine()) {
        (Some(port), Some(machine)) => sent_on(visit, machine.as_ref(), port, request).await,
        (_, None) | (None, _) => Err(Access::Nothing.refusal(visit.session.id())),
    }
}

async fn sent_on(visit: &Visit, machine: &dyn Machine, port: u16, request: Request) -> Result<Response, Refusal> {
    let (parts, stream) = request.into_parts();
    let held = visit.read(BodyKind::Port, &parts.headers, stream).await;
    let held = held.map_err(|unread| Box::new(response::api(unread.status(), &unread.to_string())))?;
    Ok(forward::send(&visit.session, machine, port, parts, held.bytes).await)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> Option<Address> {
        let headers =
            pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
        Address::of(&headers.collect())
    }

    #[test]
    fn headers_go_before_the_host_and_without_both_no_sandbox_is_meant() {
        let is = |id: &str, port| Some(Address { id: id.to_owned(), port });
        let host = ("host", "49999-iabc.e2b.localhost:3001");
        assert_eq!(of(&[host]), is("iabc", Some(49999)));
        assert_eq!(of(&[("host", "8080-iabc-6532622b.x")]), is("iabc", Some(8080)));
        assert_eq!(of(&[host, ("e2b-sandbox-id", "idef"), ("e2b-sandbox-port", "49983")]), is("idef", Some(49983)));
        assert_eq!(of(&[("e2b-sandbox-id", "idef"), ("e2b-sandbox-port", "x")]), is("idef", None));
        for host in ["localhost:3001", "127.0.0.1:3001", "my-host.example", "99999-i.x", "49999-iabc", "10-0-0-1.x"] {
            assert_eq!(of(&[("host", host)]), None, "{host}");
        }
    }
}
