//! The control plane: sandboxes that exist, one at a time.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use switchtower_e2b_wire::control::{
    CPU_COUNT, DISK_MB, LONG_TIMEOUT_SECONDS, LifetimeRequest, MEMORY_MB, SHORT_TIMEOUT_SECONDS,
};
use switchtower_e2b_wire::errors::{api, unknown_sandbox};

use super::api_key::check_and_wait;
use super::errors::{Refusal, not_created};
use super::{lifetime, view};
use crate::fake::Fake;
use crate::faults::FaultKind;
use crate::sandboxes::{Deadline, EndReason};

/// Parses a body; an empty one is an empty object.
fn parse(body: &[u8]) -> Result<LifetimeRequest, Refusal> {
    if body.is_empty() {
        return Ok(LifetimeRequest::default());
    }
    let bad = |error| api(StatusCode::BAD_REQUEST, &format!("Error when parsing request: {error}")).into();
    serde_json::from_slice(body).map_err(bad)
}

pub(super) async fn get(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    check_and_wait(&fake, &headers).await?;
    fake.state.sandboxes.count(|counts| counts.gets += 1);
    if fake.state.faults.triggers(FaultKind::Get500, &fake.state.random) {
        return Err(api(StatusCode::INTERNAL_SERVER_ERROR, "Error getting sandbox").into());
    }
    let entry = fake.state.sandboxes.get(&id).ok_or_else(|| unknown_sandbox(&id))?;
    Ok(Json(view::detail(&fake, &entry)))
}

pub(super) async fn kill(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    check_and_wait(&fake, &headers).await?;
    if fake.state.faults.triggers(FaultKind::Kill500, &fake.state.random) {
        return Err(api(StatusCode::INTERNAL_SERVER_ERROR, "Error killing sandbox").into());
    }
    let ended = fake.state.sandboxes.end(&id, EndReason::Killed).await;
    if ended { Ok(StatusCode::NO_CONTENT) } else { Err(unknown_sandbox(&id).into()) }
}

/// Whether a pause or a resumption is to lose the memory: all programs end, and the files stay.
fn loses_memory(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["memory"] == false)
}

async fn set_end(
    fake: Fake,
    id: String,
    headers: HeaderMap,
    body: Bytes,
    deadline: Deadline,
) -> Result<StatusCode, Refusal> {
    check_and_wait(&fake, &headers).await?;
    fake.state.sandboxes.count(|counts| counts.timeouts_set += 1);
    let requested = parse(&body)?;
    let seconds = requested.timeout.or(requested.duration).unwrap_or(SHORT_TIMEOUT_SECONDS as f64);
    let lifetime = lifetime::allowed(&fake, seconds)?;
    let set = fake.state.sandboxes.set_end(&id, lifetime, deadline);
    if set { Ok(StatusCode::NO_CONTENT) } else { Err(unknown_sandbox(&id).into()) }
}

pub(super) async fn set_timeout(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    set_end(fake, id, headers, body, Deadline::Set).await
}

pub(super) async fn refresh(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    set_end(fake, id, headers, body, Deadline::Extend).await
}

pub(super) async fn pause(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    check_and_wait(&fake, &headers).await?;
    let paused = fake.state.sandboxes.pause(&id);
    if paused == Some(true) && loses_memory(&body) {
        reboot(&fake, &id).await;
    }
    match paused {
        Some(true) => Ok(StatusCode::NO_CONTENT),
        Some(false) => Err(api(StatusCode::CONFLICT, &format!("Sandbox '{id}' is already paused")).into()),
        None => Err(unknown_sandbox(&id).into()),
    }
}

/// Ends the programs of a paused sandbox.
async fn reboot(fake: &Fake, id: &str) {
    if let Some(entry) = fake.state.sandboxes.get(id) {
        entry.sandbox.reboot(fake.state.random.uuid()).await;
    }
}

/// The older way to resume a sandbox: one that runs is a conflict.
pub(super) async fn resume(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    // A call without a key is refused below.
    if fake.state.sandboxes.running(&id).is_some() && headers.contains_key("x-api-key") {
        return Err(api(StatusCode::CONFLICT, &format!("Sandbox {id} is already running")).into());
    }
    connect(State(fake), Path(id), headers, body).await
}

/// Resumes a sandbox, or extends the life of one that runs.
pub(super) async fn connect(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    check_and_wait(&fake, &headers).await?;
    let timeout = parse(&body)?.timeout.unwrap_or(LONG_TIMEOUT_SECONDS as f64);
    let lifetime = lifetime::allowed(&fake, timeout)?;
    let sandboxes = &fake.state.sandboxes;
    if sandboxes.set_end(&id, lifetime, Deadline::Extend) {
        let entry = sandboxes.get(&id).ok_or_else(|| unknown_sandbox(&id))?;
        return Ok(Json(view::connection(&entry)).into_response());
    }
    if loses_memory(&body) {
        reboot(&fake, &id).await;
    }
    let resumed = sandboxes.resume(&id, lifetime).ok_or_else(|| unknown_sandbox(&id))?;
    let entry = resumed.map_err(|error| not_created(error, &fake.state.settings.rates))?;
    Ok((StatusCode::CREATED, Json(view::connection(&entry))).into_response())
}

/// Replaces what a sandbox reaches.
pub(super) async fn set_network(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(mut rules): Json<Map<String, Value>>,
) -> Result<StatusCode, Refusal> {
    check_and_wait(&fake, &headers).await?;
    let entry = fake.state.sandboxes.running(&id).ok_or_else(|| unknown_sandbox(&id))?;
    let internet = rules.remove("allow_internet_access").and_then(|internet| internet.as_bool());
    entry.set_network(internet, rules);
    Ok(StatusCode::NO_CONTENT)
}

/// Answers with constants: nothing is measured.
pub(super) async fn metrics(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    check_and_wait(&fake, &headers).await?;
    if fake.state.sandboxes.get(&id).is_none() {
        return Err(unknown_sandbox(&id).into());
    }
    let clock = &fake.state.clock;
    Ok(Json(json!([{
        "timestamp": switchtower_e2b_wire::control::timestamp(clock.now()), "timestampUnix": clock.unix_seconds(),
        "cpuCount": CPU_COUNT, "cpuUsedPct": 0.5, "memUsed": 256 << 20, "memTotal": MEMORY_MB << 20,
        "memCache": 64 << 20, "diskUsed": 1 << 30, "diskTotal": DISK_MB << 20,
    }])))
}
