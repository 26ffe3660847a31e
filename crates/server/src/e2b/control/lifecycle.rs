//! One sandbox: how it is, how long it lives, its sleep and its end.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use switchtower_core::request::Caller;
use switchtower_core::session::SessionState;

use super::super::response::{self, Refusal, zulu};
use super::create::LONG;
use super::{Door, bad, either, found, lasting, read, view};

/// Every body of this room.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Times {
    timeout: Option<f64>,
    duration: Option<f64>,
}

/// What a refresh adds where it does not say.
const SHORT: f64 = 15.0;

async fn time(door: &Door, caller: &Caller, body: Body, otherwise: f64) -> Result<Duration, Refusal> {
    let times: Times = read(door, caller, body).await?;
    let seconds = times.timeout.or(times.duration).unwrap_or(otherwise);
    lasting(seconds, door.parts.sessions.config().max_lifetime).map_err(|message| bad(&message))
}

type Called = (State<Door>, Path<String>, Extension<Caller>);

pub(super) async fn detail((State(door), Path(id), Extension(caller)): Called) -> Response {
    either(found(&door, &caller, &id).map(|session| Json(view::detail(&session))))
}

pub(super) async fn end((State(door), Path(id), Extension(caller)): Called) -> Response {
    match found(&door, &caller, &id) {
        Ok(session) if session.end() => StatusCode::NO_CONTENT.into_response(),
        Ok(_) => response::unknown(&id),
        Err(refused) => *refused,
    }
}

pub(super) async fn timeout((State(door), Path(id), Extension(caller)): Called, body: Body) -> Response {
    let set = async {
        let session = found(&door, &caller, &id)?;
        session.set_timeout(time(&door, &caller, body, SHORT).await?);
        Ok(StatusCode::NO_CONTENT)
    };
    either(set.await)
}

pub(super) async fn refresh((State(door), Path(id), Extension(caller)): Called, body: Body) -> Response {
    let set = async {
        let session = found(&door, &caller, &id)?;
        session.extend(time(&door, &caller, body, SHORT).await?);
        Ok(StatusCode::NO_CONTENT)
    };
    either(set.await)
}

pub(super) async fn pause((State(door), Path(id), Extension(caller)): Called) -> Response {
    let paused = async {
        match found(&door, &caller, &id)?.pause().await {
            Ok(true) => Ok(StatusCode::NO_CONTENT),
            Ok(false) => conflict(&format!("Sandbox '{id}' is already paused")),
            Err(error) => Err(Box::new(response::refused(&error))),
        }
    };
    either(paused.await)
}

fn conflict<T>(message: &str) -> Result<T, Refusal> {
    Err(Box::new(response::finally(StatusCode::CONFLICT, message)))
}

/// The older way to wake a sandbox: one that runs is no sandbox to wake.
pub(super) async fn resume((State(door), Path(id), Extension(caller)): Called, body: Body) -> Response {
    match found(&door, &caller, &id) {
        Ok(session) if session.state() == SessionState::Running => {
            either(conflict::<StatusCode>(&format!("Sandbox {id} is already running")))
        }
        Ok(_) => connect((State(door), Path(id), Extension(caller)), body).await,
        Err(refused) => *refused,
    }
}

/// Wakes a sandbox, or moves the end of one that runs out.
pub(super) async fn connect((State(door), Path(id), Extension(caller)): Called, body: Body) -> Response {
    let connected = async {
        let session = found(&door, &caller, &id)?;
        let most = door.parts.sessions.config().max_lifetime;
        let time = time(&door, &caller, body, LONG.min(most.as_secs_f64())).await?;
        let mut status = StatusCode::OK;
        if session.state() == SessionState::Paused {
            let woken = session.resume(time).await.map_err(|error| Box::new(response::refused(&error)))?;
            status = if woken { StatusCode::CREATED } else { StatusCode::OK };
        }
        session.extend(time);
        match session.state() {
            SessionState::Running | SessionState::Paused => Ok((status, Json(view::sandbox(&session)))),
            SessionState::Ended => Err(Box::new(response::unknown(&id))),
        }
    };
    either(connected.await)
}

/// The one figure that there is: now. Nothing of it is measured but the files.
pub(super) async fn metrics((State(door), Path(id), Extension(caller)): Called) -> Response {
    let figures = found(&door, &caller, &id).map(|session| {
        let wall = door.parts.sessions.router().wall();
        let total = view::MEMORY_MB << 20;
        let used = if session.machine().is_none() { session.files().size() } else { 0 };
        Json(json!([{
            "timestamp": zulu(wall.now()),
            "timestampUnix": wall.unix_millis() / 1000,
            "cpuCount": view::CPUS,
            "cpuUsedPct": 0.0,
            "memUsed": 0,
            "memTotal": total,
            "memCache": 0,
            "diskUsed": used,
            "diskTotal": view::DISK_MB << 20,
        }]))
    });
    either(figures)
}
