//! One sandbox: its detail, time-out, pause, resumption and end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use switchtower_core::error::Kind;
use switchtower_core::request::Caller;
use switchtower_core::session::SessionState;
use switchtower_e2b_wire::control::{CPU_COUNT, DISK_MB, MEMORY_MB, timestamp};

use super::super::response::{self, Refusal};
use super::super::state::E2bState;
use super::request::{SandboxName, bad_request, find_sandbox, into_response, parse_timeout, read_json};
use super::view;

/// The body of every request that sets a time-out.
#[derive(Deserialize, Default)]
#[serde(default)]
struct TimeoutBody {
    timeout: Option<f64>,
    duration: Option<f64>,
}

/// Default time-out of `timeout` and `refreshes`, in seconds.
const DEFAULT_TIMEOUT: f64 = 15.0;
/// Default time-out of `connect`, in seconds.
const DEFAULT_CONNECT_TIMEOUT: f64 = 300.0;

/// Reads the time-out from a body.
async fn read_timeout(state: &E2bState, caller: &Caller, body: Body, default: f64) -> Result<Duration, Refusal> {
    let body: TimeoutBody = read_json(state, caller, body).await?;
    let seconds = body.timeout.or(body.duration).unwrap_or(default);
    parse_timeout(seconds, state.sessions.config().max_lifetime).map_err(|message| bad_request(&message))
}

type SandboxRequest = (State<Arc<E2bState>>, SandboxName, Extension<Caller>);

pub(super) async fn detail((State(state), SandboxName(id), Extension(caller)): SandboxRequest) -> Response {
    into_response(find_sandbox(&state, &caller, &id).map(|session| Json(view::detail(&session))))
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
        session.lifetime().set_timeout(read_timeout(&state, &caller, body, DEFAULT_TIMEOUT).await?);
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
        session.lifetime().extend(read_timeout(&state, &caller, body, DEFAULT_TIMEOUT).await?);
        Ok(StatusCode::NO_CONTENT)
    };
    into_response(set.await)
}

pub(super) async fn pause((State(state), SandboxName(id), Extension(caller)): SandboxRequest) -> Response {
    let paused = async {
        match find_sandbox(&state, &caller, &id)?.pause().await {
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
pub(super) async fn resume((State(state), SandboxName(id), Extension(caller)): SandboxRequest, body: Body) -> Response {
    match find_sandbox(&state, &caller, &id) {
        Ok(session) if session.lifetime().state() == SessionState::Running => {
            into_response(conflict::<StatusCode>(&format!("Sandbox {id} is already running")))
        }
        Ok(_) => connect((State(state), SandboxName(id), Extension(caller)), body).await,
        Err(refused) => *refused,
    }
}

/// Resumes a paused sandbox, or extends the time-out of a running one.
pub(super) async fn connect(
    (State(state), SandboxName(id), Extension(caller)): SandboxRequest,
    body: Body,
) -> Response {
    let connected = async {
        let session = find_sandbox(&state, &caller, &id)?;
        let max = state.sessions.config().max_lifetime;
        let time = read_timeout(&state, &caller, body, DEFAULT_CONNECT_TIMEOUT.min(max.as_secs_f64())).await?;
        let mut status = StatusCode::OK;
        if session.lifetime().state() == SessionState::Paused {
            let resumed = session.resume(time).await.map_err(|error| Box::new(response::refused(&error)))?;
            status = if resumed { StatusCode::CREATED } else { StatusCode::OK };
        }
        session.lifetime().extend(time);
        state.recent_sandboxes.record_use(&session);
        match session.lifetime().state() {
            SessionState::Running | SessionState::Paused => Ok((status, Json(view::connection(&session)))),
            SessionState::Ended => Err(Box::new(response::unknown_sandbox(&id))),
        }
    };
    into_response(connected.await)
}

/// Returns the current figures. Only the size of the files is measured.
pub(super) async fn metrics((State(state), SandboxName(id), Extension(caller)): SandboxRequest) -> Response {
    let metrics = find_sandbox(&state, &caller, &id).map(|session| {
        let wall = state.sessions.router().wall();
        let total = MEMORY_MB << 20;
        let used = if session.machine().is_none() { session.files().size() } else { 0 };
        Json(json!([{
            "timestamp": timestamp(wall.now()),
            "timestampUnix": wall.unix_millis() / 1000,
            "cpuCount": CPU_COUNT,
            "cpuUsedPct": 0.0,
            "memUsed": 0,
            "memTotal": total,
            "memCache": 0,
            "diskUsed": used,
            "diskTotal": DISK_MB << 20,
        }]))
    });
    into_response(metrics)
}
