//! One sandbox: its detail, time-out, pause, resumption and end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;
use switchtower_core::error::Kind;
use switchtower_core::request::Caller;
use switchtower_core::session::{AtEnd, Session, SessionState};
use switchtower_e2b_wire::control::{LONG_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS};

use super::super::response::{self, Refusal};
use super::super::state::E2bState;
use super::request::{
    ControlRequest, SandboxAction, SandboxName, bad_request, check_rest, find_sandbox, into_response, parse_timeout,
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
    /// Whether a pause fails if the sandbox does not respond. Such a pause fails whatever this says.
    #[serde(rename = "requireHealthyGuest")]
    require_healthy_guest: Option<bool>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What one of these requests is for, which decides the fields that have an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    SetTimeout,
    Refresh,
    Connect,
    /// `at_end`: what happens to the sandbox when its time is over, which a resumption cannot change.
    Resume {
        at_end: AtEnd,
    },
    Pause,
}

impl LifecycleBody {
    /// Checks that every field of a request has an effect.
    fn check(&self, operation: Operation) -> Result<(), String> {
        use Operation::{Connect, Pause, Refresh, Resume, SetTimeout};
        check_rest("", &self.rest)?;
        let keeps_memory = matches!(operation, Connect | Resume { .. } | Pause);
        if self.memory == Some(false) && keeps_memory {
            return Err("memory: false is not supported by Switchtower, which always keeps the memory of a paused sandbox: leave \
                        it out"
                .to_owned());
        }
        let pauses = matches!(operation, Resume { at_end: AtEnd::Pause });
        if matches!(operation, Resume { .. }) && self.auto_pause.is_some_and(|wanted| wanted != pauses) {
            return Err(format!(
                "autoPause is {pauses} since the creation of this sandbox and cannot be changed: leave it out"
            ));
        }
        let fields = [
            ("timeout", self.timeout.is_some(), matches!(operation, SetTimeout | Connect | Resume { .. })),
            ("duration", self.duration.is_some(), operation == Refresh),
            ("memory", self.memory.is_some(), keeps_memory),
            ("autoPause", self.auto_pause.is_some(), matches!(operation, Resume { .. })),
            ("requireHealthyGuest", self.require_healthy_guest.is_some(), operation == Pause),
        ];
        let ineffective = fields.into_iter().find(|(_, is_given, has_effect)| *is_given && !has_effect);
        ineffective.map_or(Ok(()), |(name, _, _)| Err(unsupported(name)))
    }
}

/// Reads a body whose fields all have an effect.
async fn read_body(
    state: &E2bState,
    request: &mut ControlRequest,
    operation: Operation,
) -> Result<LifecycleBody, Refusal> {
    let body: LifecycleBody = request.json(state).await?;
    body.check(operation).map_err(|message| bad_request(&message))?;
    Ok(body)
}

/// Reads the time-out from a body. `default`: that of a body without one, in seconds.
async fn read_timeout(
    state: &E2bState,
    request: &mut ControlRequest,
    operation: Operation,
    default: u64,
) -> Result<Duration, Refusal> {
    let body = read_body(state, request, operation).await?;
    let max = state.sessions.config().max_lifetime;
    match body.timeout.or(body.duration) {
        Some(seconds) => parse_timeout(seconds, max).map_err(|message| bad_request(&message)),
        None => Ok(Duration::from_secs(default).min(max)),
    }
}

type InSandbox = (State<Arc<E2bState>>, SandboxName);

pub(super) async fn detail((State(state), SandboxName(id)): InSandbox, request: ControlRequest) -> Response {
    let found = find_sandbox(&state, &request.caller, &id);
    into_response(found.map(|session| Json(view::detail(&session, &request.domain))))
}

pub(super) async fn end((State(state), SandboxName(id)): InSandbox, request: ControlRequest) -> Response {
    match find_sandbox(&state, &request.caller, &id) {
        Ok(session) if session.end() => StatusCode::NO_CONTENT.into_response(),
        Ok(_) => response::unknown_sandbox(&id),
        Err(refused) => *refused,
    }
}

pub(super) async fn set_timeout((State(state), SandboxName(id)): InSandbox, mut request: ControlRequest) -> Response {
    let set = async {
        let session = find_sandbox(&state, &request.caller, &id)?;
        let timeout = read_timeout(&state, &mut request, Operation::SetTimeout, SHORT_TIMEOUT_SECONDS).await?;
        session.lifetime().set_timeout(timeout);
        Ok(StatusCode::NO_CONTENT)
    };
    into_response(set.await)
}

pub(super) async fn refresh((State(state), SandboxName(id)): InSandbox, mut request: ControlRequest) -> Response {
    let set = async {
        let session = find_sandbox(&state, &request.caller, &id)?;
        let timeout = read_timeout(&state, &mut request, Operation::Refresh, SHORT_TIMEOUT_SECONDS).await?;
        session.lifetime().extend(timeout);
        Ok(StatusCode::NO_CONTENT)
    };
    into_response(set.await)
}

pub(super) async fn pause((State(state), SandboxName(id)): InSandbox, mut request: ControlRequest) -> Response {
    let paused = async {
        let session = find_sandbox(&state, &request.caller, &id)?;
        read_body(&state, &mut request, Operation::Pause).await?;
        match session.pause().await {
            Ok(true) => Ok(StatusCode::NO_CONTENT),
            Ok(false) => Err(conflict(&format!("Sandbox '{id}' is already paused"))),
            Err(error) => Err(Box::new(response::refused(&error))),
        }
    };
    into_response(paused.await)
}

fn conflict(message: &str) -> Refusal {
    Box::new(response::permanent_of(Kind::Conflict, message))
}

/// Resumes a paused sandbox: the older form of [`connect`], which refuses a running one.
pub(super) async fn resume((State(state), SandboxName(id)): InSandbox, request: ControlRequest) -> Response {
    let resumed = async {
        let session = find_sandbox(&state, &request.caller, &id)?;
        if session.lifetime().state() == SessionState::Running {
            return Err(conflict(&format!("Sandbox {id} is already running")));
        }
        wake(&state, &session, request, Operation::Resume { at_end: session.options().at_end }).await
    };
    into_response(resumed.await)
}

/// Resumes a paused sandbox, or extends the time-out of a running one.
pub(super) async fn connect((State(state), SandboxName(id)): InSandbox, request: ControlRequest) -> Response {
    let connected = async {
        let session = find_sandbox(&state, &request.caller, &id)?;
        wake(&state, &session, request, Operation::Connect).await
    };
    into_response(connected.await)
}

async fn wake(
    state: &E2bState,
    session: &Arc<Session>,
    mut request: ControlRequest,
    operation: Operation,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let time = read_timeout(state, &mut request, operation, LONG_TIMEOUT_SECONDS).await?;
    let mut status = StatusCode::OK;
    if session.lifetime().state() == SessionState::Paused {
        let resumed = session.resume(time).await.map_err(|error| Box::new(response::refused(&error)))?;
        status = if resumed { StatusCode::CREATED } else { StatusCode::OK };
    }
    session.lifetime().extend(time);
    state.recent_sandboxes.record_use(session);
    match session.lifetime().state() {
        SessionState::Running | SessionState::Paused => Ok((status, Json(view::connection(session, &request.domain)))),
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
