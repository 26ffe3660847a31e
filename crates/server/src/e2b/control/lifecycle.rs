//! One sandbox: its detail, time-out, pause, resumption and end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;
use switchtower_core::error::Kind;
use switchtower_core::request::Caller;
use switchtower_core::session::{AtEnd, Session, SessionState};

use super::super::response::{self, Refusal};
use super::super::state::E2bState;
use super::request::{
    Domain, SandboxAction, SandboxName, bad_request, check_rest, find_sandbox, into_response, parse_timeout, read_json,
    unsupported,
};
use super::view;

/// The body of a request that sets a time-out, that pauses or that resumes.
#[derive(Deserialize, Default)]
#[serde(default)]
struct LifecycleBody {
    timeout: Option<f64>,
    /// The name of the time-out in `refreshes`.
    duration: Option<f64>,
    /// Whether memory is kept over a pause. It always is.
    memory: Option<bool>,
    /// Only in `resume`.
    #[serde(rename = "autoPause")]
    auto_pause: Option<bool>,
    /// Whether a pause fails if the sandbox does not respond. It then always fails.
    #[serde(rename = "requireHealthyGuest")]
    require_healthy_guest: Option<bool>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// The fields of one of these requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Timeout,
    Duration,
    Connect,
    /// `at_end`: what happens to the sandbox when its time is over, which a resumption cannot change.
    Resume {
        at_end: AtEnd,
    },
    Pause,
}

impl LifecycleBody {
    /// Checks that every field of a request has an effect.
    fn check(&self, allowed: Allowed) -> Result<(), String> {
        check_rest("", &self.rest)?;
        let is_connect = matches!(allowed, Allowed::Connect | Allowed::Resume { .. });
        if self.memory == Some(false) && (is_connect || allowed == Allowed::Pause) {
            return Err("memory: false is not supported by Switchtower, which always keeps the memory of a paused sandbox: leave \
                        it out"
                .to_owned());
        }
        let pauses = matches!(allowed, Allowed::Resume { at_end: AtEnd::Pause });
        if matches!(allowed, Allowed::Resume { .. }) && self.auto_pause.is_some_and(|wanted| wanted != pauses) {
            return Err(format!(
                "autoPause is {pauses} since the creation of this sandbox and cannot be changed: leave it out"
            ));
        }
        let misplaced = [
            ("timeout", self.timeout.is_some() && matches!(allowed, Allowed::Duration | Allowed::Pause)),
            ("duration", self.duration.is_some() && allowed != Allowed::Duration),
            ("memory", self.memory.is_some() && !is_connect && allowed != Allowed::Pause),
            ("autoPause", self.auto_pause.is_some() && !matches!(allowed, Allowed::Resume { .. })),
            ("requireHealthyGuest", self.require_healthy_guest.is_some() && allowed != Allowed::Pause),
        ];
        misplaced.into_iter().find(|(_, is_misplaced)| *is_misplaced).map_or(Ok(()), |(name, _)| Err(unsupported(name)))
    }
}

/// Default time-out of `timeout` and `refreshes`, in seconds.
const DEFAULT_TIMEOUT: f64 = 15.0;
/// Default time-out of `connect`, in seconds.
const DEFAULT_CONNECT_TIMEOUT: f64 = 300.0;

/// Reads a body whose fields are all allowed.
async fn read_body(state: &E2bState, caller: &Caller, body: Body, allowed: Allowed) -> Result<LifecycleBody, Refusal> {
    let body: LifecycleBody = read_json(state, caller, body).await?;
    body.check(allowed).map_err(|message| bad_request(&message))?;
    Ok(body)
}

/// Reads the time-out from a body.
async fn read_timeout(
    state: &E2bState,
    caller: &Caller,
    body: Body,
    (allowed, default): (Allowed, f64),
) -> Result<Duration, Refusal> {
    let body = read_body(state, caller, body, allowed).await?;
    let seconds = body.timeout.or(body.duration).unwrap_or(default);
    parse_timeout(seconds, state.sessions.config().max_lifetime).map_err(|message| bad_request(&message))
}

type SandboxRequest = (State<Arc<E2bState>>, SandboxName, Extension<Caller>);

pub(super) async fn detail(
    (State(state), SandboxName(id), Extension(caller)): SandboxRequest,
    Domain(domain): Domain,
) -> Response {
    into_response(find_sandbox(&state, &caller, &id).map(|session| Json(view::detail(&session, &domain))))
}

pub(super) async fn end((State(state), SandboxName(id), Extension(caller)): SandboxRequest) -> Response {
    match find_sandbox(&state, &caller, &id) {
        Ok(session) if session.end() => StatusCode::NO_CONTENT.into_response(),
        Ok(_) => response::unknown_sandbox(&id),
        Err(refused) => *refused,
    }
}

pub(super) async fn set_timeout(
    (State(state), SandboxName(id), Extension(caller)): SandboxRequest,
    body: Body,
) -> Response {
    let set = async {
        let session = find_sandbox(&state, &caller, &id)?;
        session.lifetime().set_timeout(read_timeout(&state, &caller, body, (Allowed::Timeout, DEFAULT_TIMEOUT)).await?);
        Ok(StatusCode::NO_CONTENT)
    };
    into_response(set.await)
}

pub(super) async fn refresh(
    (State(state), SandboxName(id), Extension(caller)): SandboxRequest,
    body: Body,
) -> Response {
    let set = async {
        let session = find_sandbox(&state, &caller, &id)?;
        session.lifetime().extend(read_timeout(&state, &caller, body, (Allowed::Duration, DEFAULT_TIMEOUT)).await?);
        Ok(StatusCode::NO_CONTENT)
    };
    into_response(set.await)
}

pub(super) async fn pause((State(state), SandboxName(id), Extension(caller)): SandboxRequest, body: Body) -> Response {
    let paused = async {
        let session = find_sandbox(&state, &caller, &id)?;
        read_body(&state, &caller, body, Allowed::Pause).await?;
        match session.pause().await {
            Ok(true) => Ok(StatusCode::NO_CONTENT),
            Ok(false) => conflict(&format!("Sandbox '{id}' is already paused")),
            Err(error) => Err(Box::new(response::refused(&error))),
        }
    };
    into_response(paused.await)
}

fn conflict<T>(message: &str) -> Result<T, Refusal> {
    Err(Box::new(response::permanent_of(Kind::Conflict, message)))
}

/// Resumes a paused sandbox: the older form of [`connect`], which refuses a running one.
pub(super) async fn resume(
    (State(state), SandboxName(id), Extension(caller)): SandboxRequest,
    Domain(domain): Domain,
    body: Body,
) -> Response {
    let resumed = async {
        let session = find_sandbox(&state, &caller, &id)?;
        if session.lifetime().state() == SessionState::Running {
            return conflict(&format!("Sandbox {id} is already running"));
        }
        wake(&state, &session, &domain, body, Allowed::Resume { at_end: session.options().at_end }).await
    };
    into_response(resumed.await)
}

/// Resumes a paused sandbox, or extends the time-out of a running one.
pub(super) async fn connect(
    (State(state), SandboxName(id), Extension(caller)): SandboxRequest,
    Domain(domain): Domain,
    body: Body,
) -> Response {
    let connected = async {
        let session = find_sandbox(&state, &caller, &id)?;
        wake(&state, &session, &domain, body, Allowed::Connect).await
    };
    into_response(connected.await)
}

async fn wake(
    state: &E2bState,
    session: &Arc<Session>,
    domain: &str,
    body: Body,
    allowed: Allowed,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let default = DEFAULT_CONNECT_TIMEOUT.min(state.sessions.config().max_lifetime.as_secs_f64());
    let time = read_timeout(state, session.caller(), body, (allowed, default)).await?;
    let mut status = StatusCode::OK;
    if session.lifetime().state() == SessionState::Paused {
        let resumed = session.resume(time).await.map_err(|error| Box::new(response::refused(&error)))?;
        status = if resumed { StatusCode::CREATED } else { StatusCode::OK };
    }
    session.lifetime().extend(time);
    state.recent_sandboxes.record_use(session);
    match session.lifetime().state() {
        SessionState::Running | SessionState::Paused => Ok((status, Json(view::connection(session, domain)))),
        SessionState::Ended => Err(Box::new(response::unknown_sandbox(session.id()))),
    }
}

/// Refuses to fork a sandbox, to make a snapshot of it, or to read its log. One that does not exist is not found.
pub(super) async fn refuse_action(
    (State(state), SandboxAction { id, action }, Extension(caller)): (
        State<Arc<E2bState>>,
        SandboxAction,
        Extension<Caller>,
    ),
) -> Response {
    into_response(find_sandbox(&state, &caller, &id).and_then(|_| -> Result<StatusCode, Refusal> {
        let remedy = "copy its files into a new sandbox instead";
        Err(bad_request(&match action.as_str() {
            "fork" => format!("forking a sandbox is not supported by Switchtower: {remedy}"),
            "snapshots" => format!("snapshots are not supported by Switchtower: {remedy}"),
            "logs" => "logs of a sandbox are not supported by Switchtower: the server's own log has them".to_owned(),
            other => format!("/sandboxes/{id}/{other} is not supported by Switchtower"),
        }))
    }))
}
