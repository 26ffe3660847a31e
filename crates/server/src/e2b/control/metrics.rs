//! The figures of sandboxes. They are measured when they are asked for, and no earlier ones are kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use axum::{Extension, Json};
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use switchtower_contract::Machine;
use switchtower_core::request::Caller;
use switchtower_core::session::Session;
use switchtower_e2b_wire::control::{CPU_COUNT, DISK_MB, ENVD_PORT, MEMORY_MB, unix_timestamp};
use tokio::time::timeout;

use super::super::response::Refusal;
use super::super::state::E2bState;
use super::query::{KnownQuery, RawQuery};
use super::request::{SandboxName, bad_request, find_sandbox, into_response};

/// Seconds between two samples of E2B. A sample has the time at which its interval began, so a client that asks for
/// all samples until now also gets the one of now.
const INTERVAL_SECONDS: u64 = 5;
/// Maximum number of sandboxes in one request.
const MAX_SANDBOXES: usize = 100;
/// Most bytes of a daemon's figures, and how long it may take to answer.
const MAX_FIGURES: usize = 64 << 10;
const FIGURES_TIMEOUT: Duration = Duration::from_secs(5);

/// `GET /sandboxes/{id}/metrics`: the current sample if it lies between `start` and `end`.
pub(super) async fn of_sandbox(
    State(state): State<Arc<E2bState>>,
    SandboxName(id): SandboxName,
    Extension(caller): Extension<Caller>,
    query: RawQuery,
) -> Response {
    let samples = async {
        let session = find_sandbox(&state, &caller, &id)?;
        let interval = Interval::read(&query).map_err(|message| bad_request(&message))?;
        let (sampled_at, sample) = sample(&state, &session).await;
        let samples: Vec<Value> = if interval.contains(sampled_at) { vec![sample] } else { Vec::new() };
        Ok::<_, Refusal>(Json(samples))
    };
    into_response(samples.await)
}

/// `GET /sandboxes/metrics`: the current samples of the sandboxes in `sandbox_ids`. Those that the caller does not have
/// are left out.
pub(super) async fn of_sandboxes(
    State(state): State<Arc<E2bState>>,
    Extension(caller): Extension<Caller>,
    query: RawQuery,
) -> Response {
    let samples = async {
        let ids = sandbox_ids(&query).map_err(|message| bad_request(&message))?;
        let found = ids.into_iter().filter_map(|id| Some((id.to_owned(), find_sandbox(&state, &caller, id).ok()?)));
        // Side by side, since each machine may take its time.
        let samples = found.map(async |(id, session)| (id, sample(&state, &session).await.1));
        let samples: Map<String, Value> = join_all(samples).await.into_iter().collect();
        Ok::<_, Refusal>(Json(json!({ "sandboxes": samples })))
    };
    into_response(samples.await)
}

fn sandbox_ids(query: &RawQuery) -> Result<BTreeSet<&str>, String> {
    let query = KnownQuery::read(query, &["sandbox_ids"])?;
    let ids: BTreeSet<&str> = query.all("sandbox_ids").flat_map(|ids| ids.split(',')).collect();
    if ids.is_empty() || ids.len() > MAX_SANDBOXES {
        return Err(format!("sandbox_ids must be 1 to {MAX_SANDBOXES} ids of sandboxes, separated by commas"));
    }
    Ok(ids)
}

/// Returns the current figures, and their time in seconds since 1970. Those of a machine that is awake are its own; of any other
/// sandbox only the size of local files is measured.
async fn sample(state: &E2bState, session: &Session) -> (u64, Value) {
    let now = state.sessions.router().wall().unix_millis() / 1000;
    let started = switchtower_e2b_wire::control::unix_seconds(session.lifetime().started_at());
    let at = (now - now % INTERVAL_SECONDS).max(started);
    let machine = match session.awake_machine() {
        Some(machine) => of_machine(&*machine).await,
        None => Value::Null,
    };
    let used = if session.machine().is_none() { session.files().size() } else { 0 };
    let figure =
        |name: &str, otherwise: Value| if machine[name].is_number() { machine[name].clone() } else { otherwise };
    let sample = json!({
        "timestamp": unix_timestamp(at),
        "timestampUnix": at,
        "cpuCount": figure("cpu_count", CPU_COUNT.into()),
        "cpuUsedPct": figure("cpu_used_pct", 0.0.into()),
        "memUsed": figure("mem_used", 0.into()),
        "memTotal": figure("mem_total", (MEMORY_MB << 20).into()),
        "memCache": figure("mem_cache", 0.into()),
        "diskUsed": figure("disk_used", used.into()),
        "diskTotal": figure("disk_total", (DISK_MB << 20).into()),
    });
    (at, sample)
}

/// Returns the figures of a machine's daemon; null where it does not answer in time, since a sample is never worth an error.
async fn of_machine(machine: &dyn Machine) -> Value {
    let figures = async {
        let request = Request::get("/metrics").body(Bytes::new()).ok()?;
        let answer = machine.call(ENVD_PORT, request).await.ok().filter(|answer| answer.status().is_success())?;
        let body = Body::from_stream(answer.into_body().map_err(std::io::Error::other));
        let read = to_bytes(body, MAX_FIGURES).await.ok()?;
        serde_json::from_slice(&read).ok()
    };
    timeout(FIGURES_TIMEOUT, figures).await.ok().flatten().unwrap_or_default()
}

/// The times for which samples are asked, in seconds since 1970, both ends included.
#[derive(Debug, PartialEq, Eq)]
struct Interval {
    start: Option<u64>,
    end: Option<u64>,
}

impl Interval {
    fn read(query: &RawQuery) -> Result<Self, String> {
        let query = KnownQuery::read(query, &["start", "end"])?;
        let (start, end) = (query.seconds("start")?, query.seconds("end")?);
        match (start, end) {
            (Some(start), Some(end)) if start > end => Err(format!("start, {start}, must not be after end, {end}")),
            (start, end) => Ok(Self { start, end }),
        }
    }

    fn contains(&self, at: u64) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }
}
