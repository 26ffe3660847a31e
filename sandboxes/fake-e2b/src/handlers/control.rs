//! The control plane: sandboxes that exist.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::create::LONG;
use super::refusal::{api, refused, unknown};
use crate::fake::Fake;
use crate::faults::Kind;
use crate::fleet::{End, Held, Standing};
use crate::latency::Act;

/// The envd that is stood in for: its features are those that are implemented.
const ENVD: &str = "0.5.7";
const CLIENT: &str = "6532622b";
/// Sandboxes on a page, where no number was asked for.
const PAGE: usize = 100;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    timeout: Option<u64>,
    duration: Option<u64>,
}

/// Counts the call and looks at the key.
pub(super) fn enter(fake: &Fake, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let parts = &fake.parts;
    parts.fleet.count(|counts| counts.api_calls += 1);
    let refuse = |message: &str| Err(Box::new(api(StatusCode::UNAUTHORIZED, message)));
    let key = headers.get("x-api-key").map(HeaderValue::as_bytes).unwrap_or_default();
    if parts.faults.strikes(Kind::Auth, &parts.chance) {
        return refuse("Invalid API key");
    }
    match &parts.settings.key {
        _ if key.is_empty() => refuse("Invalid API key format"),
        Some(known) if known.as_bytes() != key => refuse("Invalid API key"),
        _ => Ok(()),
    }
}

/// As `enter`, and lets its time pass.
async fn pass(fake: &Fake, headers: &HeaderMap) -> Result<(), Box<Response>> {
    enter(fake, headers)?;
    fake.pass(Act::Other).await;
    Ok(())
}

/// How long a sandbox may live, of what was asked for.
pub(super) fn lasts(fake: &Fake, seconds: u64) -> Result<Duration, Box<Response>> {
    let most = fake.parts.settings.plan.lifetime();
    let asked = Duration::from_secs(seconds);
    if asked <= most {
        return Ok(asked);
    }
    let hours = most.as_secs() / 3600;
    Err(Box::new(api(StatusCode::BAD_REQUEST, &format!("Timeout cannot be greater than {hours} hours"))))
}

/// An empty body is an empty object.
fn body(bytes: &[u8]) -> Result<Body, Box<Response>> {
    if bytes.is_empty() {
        return Ok(Body::default());
    }
    let bad = |e| Box::new(api(StatusCode::BAD_REQUEST, &format!("Error when parsing request: {e}")));
    serde_json::from_slice(bytes).map_err(bad)
}

/// What creations and connections are answered with.
pub(super) fn sandbox_body(held: &Held) -> Value {
    let sandbox = &held.sandbox;
    json!({
        "templateID": sandbox.template, "alias": sandbox.template, "sandboxID": sandbox.id, "clientID": CLIENT,
        "envdVersion": ENVD, "envdAccessToken": sandbox.token, "domain": null,
    })
}

fn listed(fake: &Fake, held: &Held) -> Value {
    let (sandbox, wall) = (&held.sandbox, &fake.parts.wall);
    json!({
        "templateID": sandbox.template, "alias": sandbox.template, "sandboxID": sandbox.id, "clientID": CLIENT,
        "startedAt": wall.zulu(sandbox.started), "endAt": wall.zulu(held.ends), "envdVersion": ENVD,
        "cpuCount": 2, "memoryMB": 2048, "diskSizeMB": 10240, "metadata": sandbox.metadata,
        "state": match held.standing { Standing::Running => "running", Standing::Paused => "paused" },
    })
}

pub(super) async fn get(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = pass(&fake, &headers).await {
        return *refused;
    }
    fake.parts.fleet.count(|counts| counts.gets += 1);
    if fake.parts.faults.strikes(Kind::Get500, &fake.parts.chance) {
        return api(StatusCode::INTERNAL_SERVER_ERROR, "Error getting sandbox");
    }
    let Some(held) = fake.parts.fleet.get(&id) else { return unknown(&id) };
    let mut detail = listed(&fake, &held);
    detail["envdAccessToken"] = held.sandbox.token.clone().into();
    detail["domain"] = Value::Null;
    Json(detail).into_response()
}

type Asked = Query<Vec<(String, String)>>;

/// The older listing: what runs.
pub(super) async fn list_running(State(fake): State<Fake>, query: Asked, headers: HeaderMap) -> Response {
    page(fake, query.0, headers, "running").await
}

pub(super) async fn list(State(fake): State<Fake>, query: Asked, headers: HeaderMap) -> Response {
    page(fake, query.0, headers, "running,paused").await
}

async fn page(fake: Fake, query: Vec<(String, String)>, headers: HeaderMap, otherwise: &str) -> Response {
    if let Err(refused) = pass(&fake, &headers).await {
        return *refused;
    }
    fake.parts.fleet.count(|counts| counts.lists += 1);
    let asked = |name: &'static str| query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut states: Vec<&str> = asked("state").flat_map(|states| states.split(',')).collect();
    if states.is_empty() {
        states = otherwise.split(',').collect();
    }
    let wanted: Vec<(String, String)> = asked("metadata").flat_map(pairs).collect();
    let most = asked("limit").next().and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE);
    let mut all: Vec<Held> = fake.parts.fleet.all();
    all.retain(|held| {
        let state = if held.standing == Standing::Running { "running" } else { "paused" };
        states.contains(&state) && wanted.iter().all(|(key, value)| held.sandbox.metadata.get(key) == Some(value))
    });
    if let Some(last) = asked("nextToken").next().filter(|token| !token.is_empty()) {
        let after = all.iter().position(|held| held.sandbox.id == last).map_or(all.len(), |at| at + 1);
        all.drain(..after);
    }
    let more = all.len() > most;
    all.truncate(most);
    let body: Vec<Value> = all.iter().map(|held| listed(&fake, held)).collect();
    let mut response = Json(body).into_response();
    if let (true, Some(last)) = (more, all.last())
        && let Ok(token) = last.sandbox.id.parse()
    {
        response.headers_mut().insert("x-next-token", token);
    }
    response
}

/// `a=b&c=d`, where the SDKs percent-encode each part, and then the whole as a query.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| -> Vec<(String, String)> {
        let uri = format!("http://x/?{text}").parse().ok();
        uri.and_then(|uri| Query::try_from_uri(&uri).ok()).map(|query| query.0).unwrap_or_default()
    };
    let once = decoded(text).into_iter();
    once.map(|(key, value)| match <[_; 1]>::try_from(decoded(&format!("{key}={value}"))) {
        Ok([twice]) => twice,
        // It was encoded once.
        Err(_) => (key, value),
    })
    .collect()
}

pub(super) async fn kill(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = pass(&fake, &headers).await {
        return *refused;
    }
    if fake.parts.faults.strikes(Kind::Kill500, &fake.parts.chance) {
        return api(StatusCode::INTERNAL_SERVER_ERROR, "Error killing sandbox");
    }
    if fake.parts.fleet.end(&id, End::Killed).await { StatusCode::NO_CONTENT.into_response() } else { unknown(&id) }
}

/// Sets the end, or only moves it out.
async fn extend(fake: Fake, id: String, headers: HeaderMap, bytes: Bytes, only_extend: bool) -> Response {
    let set = async {
        pass(&fake, &headers).await?;
        fake.parts.fleet.count(|counts| counts.timeouts_set += 1);
        let body = body(&bytes)?;
        let lifetime = lasts(&fake, body.timeout.or(body.duration).unwrap_or(15))?;
        let set = fake.parts.fleet.set_end(&id, lifetime, only_extend);
        if set { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(Box::new(unknown(&id))) }
    };
    set.await.unwrap_or_else(|refused: Box<Response>| *refused)
}

pub(super) async fn set_timeout(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    extend(fake, id, headers, bytes, false).await
}

pub(super) async fn refresh(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    extend(fake, id, headers, bytes, true).await
}

pub(super) async fn pause(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = pass(&fake, &headers).await {
        return *refused;
    }
    match fake.parts.fleet.pause(&id) {
        Some(true) => StatusCode::NO_CONTENT.into_response(),
        Some(false) => api(StatusCode::CONFLICT, &format!("Sandbox '{id}' is already paused")),
        None => unknown(&id),
    }
}

/// The older way to wake a sandbox: one that runs is no sandbox to wake.
pub(super) async fn resume(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    // Without a key it is refused below.
    if fake.parts.fleet.running(&id).is_some() && headers.contains_key("x-api-key") {
        return api(StatusCode::CONFLICT, &format!("Sandbox {id} is already running"));
    }
    connect(State(fake), Path(id), headers, bytes).await
}

/// Wakes a sandbox, or moves the end of one that runs out.
pub(super) async fn connect(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let connected = async {
        pass(&fake, &headers).await?;
        let body = body(&bytes)?;
        let lifetime = lasts(&fake, body.timeout.unwrap_or(LONG))?;
        let fleet = &fake.parts.fleet;
        if fleet.set_end(&id, lifetime, true) {
            let held = fleet.get(&id).ok_or_else(|| unknown(&id))?;
            return Ok(Json(sandbox_body(&held)).into_response());
        }
        let resumed = fleet.resume(&id, lifetime).ok_or_else(|| unknown(&id))?;
        let held = resumed.map_err(|refusal| refused(refusal, &fake.parts.settings.rates))?;
        Ok((StatusCode::CREATED, Json(sandbox_body(&held))).into_response())
    };
    connected.await.unwrap_or_else(|refused: Box<Response>| *refused)
}

pub(super) async fn metrics(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = pass(&fake, &headers).await {
        return *refused;
    }
    if fake.parts.fleet.get(&id).is_none() {
        return unknown(&id);
    }
    let (wall, now) = (&fake.parts.wall, tokio::time::Instant::now());
    Json(json!([{
        "timestamp": wall.zulu(now), "timestampUnix": wall.unix(), "cpuCount": 2, "cpuUsedPct": 0.5,
        "memUsed": 256 << 20, "memTotal": 2_u64 << 30, "memCache": 64 << 20, "diskUsed": 1 << 30,
        "diskTotal": 10_u64 << 30,
    }]))
    .into_response()
}
