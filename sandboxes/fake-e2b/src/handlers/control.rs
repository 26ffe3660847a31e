//! The control plane: sandboxes that exist, one at a time.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use switchtower_e2b_wire::control::{
    CPU_COUNT, DISK_MB, LONG_TIMEOUT_SECONDS, Lifetime, MEMORY_MB, SHORT_TIMEOUT_SECONDS,
};
use switchtower_e2b_wire::errors::{api, unknown_sandbox};

use super::api_key::check_and_wait;
use super::errors::{Refusal, not_created};
use super::{lifetime, view};
use crate::fake::Fake;
use crate::faults::FaultKind;
use crate::sandboxes::{Deadline, EndReason};

/// Parses a body; an empty one is an empty object.
fn parse(body: &[u8]) -> Result<Lifetime, Refusal> {
    if body.is_empty() {
        return Ok(Lifetime::default());
    }
    let bad = |error| Box::new(api(StatusCode::BAD_REQUEST, &format!("Error when parsing request: {error}")));
    serde_json::from_slice(body).map_err(bad)
}

pub(super) async fn get(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refusal) = check_and_wait(&fake, &headers).await {
        return *refusal;
    }
    fake.state.sandboxes.count(|counts| counts.gets += 1);
    if fake.state.faults.triggers(FaultKind::Get500, &fake.state.random) {
        return api(StatusCode::INTERNAL_SERVER_ERROR, "Error getting sandbox");
    }
    let entry = fake.state.sandboxes.get(&id);
    entry.map_or_else(|| unknown_sandbox(&id), |entry| Json(view::detail(&fake, &entry)).into_response())
}

pub(super) async fn kill(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refusal) = check_and_wait(&fake, &headers).await {
        return *refusal;
    }
    if fake.state.faults.triggers(FaultKind::Kill500, &fake.state.random) {
        return api(StatusCode::INTERNAL_SERVER_ERROR, "Error killing sandbox");
    }
    if fake.state.sandboxes.end(&id, EndReason::Killed).await {
        StatusCode::NO_CONTENT.into_response()
    } else {
        unknown_sandbox(&id)
    }
}

async fn set_end(fake: Fake, id: String, headers: HeaderMap, body: Bytes, deadline: Deadline) -> Response {
    let set = async {
        check_and_wait(&fake, &headers).await?;
        fake.state.sandboxes.count(|counts| counts.timeouts_set += 1);
        let asked = parse(&body)?;
        let seconds = asked.timeout.or(asked.duration).unwrap_or(SHORT_TIMEOUT_SECONDS as f64);
        let lifetime = lifetime::allowed(&fake, seconds)?;
        let set = fake.state.sandboxes.set_end(&id, lifetime, deadline);
        if set { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(Box::new(unknown_sandbox(&id))) }
    };
    set.await.unwrap_or_else(|refusal: Refusal| *refusal)
}

pub(super) async fn set_timeout(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    set_end(fake, id, headers, body, Deadline::Set).await
}

pub(super) async fn refresh(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    set_end(fake, id, headers, body, Deadline::Extend).await
}

pub(super) async fn pause(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refusal) = check_and_wait(&fake, &headers).await {
        return *refusal;
    }
    match fake.state.sandboxes.pause(&id) {
        Some(true) => StatusCode::NO_CONTENT.into_response(),
        Some(false) => api(StatusCode::CONFLICT, &format!("Sandbox '{id}' is already paused")),
        None => unknown_sandbox(&id),
    }
}

/// The older way to resume a sandbox: one that runs is a conflict.
pub(super) async fn resume(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A call without a key is refused below.
    if fake.state.sandboxes.running(&id).is_some() && headers.contains_key("x-api-key") {
        return api(StatusCode::CONFLICT, &format!("Sandbox {id} is already running"));
    }
    connect(State(fake), Path(id), headers, body).await
}

/// Resumes a sandbox, or extends the life of one that runs.
pub(super) async fn connect(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let connected = async {
        check_and_wait(&fake, &headers).await?;
        let asked = parse(&body)?;
        let lifetime = lifetime::allowed(&fake, asked.timeout.unwrap_or(LONG_TIMEOUT_SECONDS as f64))?;
        let sandboxes = &fake.state.sandboxes;
        if sandboxes.set_end(&id, lifetime, Deadline::Extend) {
            let entry = sandboxes.get(&id).ok_or_else(|| unknown_sandbox(&id))?;
            return Ok(Json(view::connection(&entry)).into_response());
        }
        let resumed = sandboxes.resume(&id, lifetime).ok_or_else(|| unknown_sandbox(&id))?;
        let entry = resumed.map_err(|error| not_created(error, &fake.state.settings.rates))?;
        Ok((StatusCode::CREATED, Json(view::connection(&entry))).into_response())
    };
    connected.await.unwrap_or_else(|refusal: Refusal| *refusal)
}

/// Answers with constants: nothing is measured.
pub(super) async fn metrics(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refusal) = check_and_wait(&fake, &headers).await {
        return *refusal;
    }
    if fake.state.sandboxes.get(&id).is_none() {
        return unknown_sandbox(&id);
    }
    let clock = &fake.state.clock;
    Json(json!([{
        "timestamp": switchtower_e2b_wire::control::timestamp(clock.now()), "timestampUnix": clock.unix_seconds(),
        "cpuCount": CPU_COUNT, "cpuUsedPct": 0.5, "memUsed": 256 << 20, "memTotal": MEMORY_MB << 20,
        "memCache": 64 << 20, "diskUsed": 1 << 30, "diskTotal": DISK_MB << 20,
    }]))
    .into_response()
}
