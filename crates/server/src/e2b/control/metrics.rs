//! The figures of sandboxes. They are measured when they are asked for, and no earlier ones are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use switchtower_core::request::Caller;
use switchtower_core::session::Session;
use switchtower_e2b_wire::control::{CPU_COUNT, DISK_MB, MEMORY_MB, unix_timestamp};

use super::super::response::Refusal;
use super::super::state::E2bState;
use super::query::{KnownQuery, RawQuery};
use super::request::{SandboxName, bad_request, find_sandbox, into_response};

/// Seconds between two samples of E2B. A sample has the time at which its interval began, so a client that asks for
/// all samples until now also gets the one of now.
const INTERVAL_SECONDS: u64 = 5;
/// Maximum number of sandboxes in one request.
const MAX_SANDBOXES: usize = 100;

/// `GET /sandboxes/{id}/metrics`: the current sample if it lies between `start` and `end`.
pub(super) async fn of_sandbox(
    State(state): State<Arc<E2bState>>,
    SandboxName(id): SandboxName,
    Extension(caller): Extension<Caller>,
    query: RawQuery,
) -> Response {
    let samples = || {
        let session = find_sandbox(&state, &caller, &id)?;
        let interval = Interval::read(&query).map_err(|message| bad_request(&message))?;
        let (sampled_at, sample) = sample(&state, &session);
        let samples: Vec<Value> = if interval.contains(sampled_at) { vec![sample] } else { Vec::new() };
        Ok::<_, Refusal>(Json(samples))
    };
    into_response(samples())
}

/// `GET /sandboxes/metrics`: the current samples of the sandboxes in `sandbox_ids`. Those that the caller does not have
/// are left out.
pub(super) async fn of_sandboxes(
    State(state): State<Arc<E2bState>>,
    Extension(caller): Extension<Caller>,
    query: RawQuery,
) -> Response {
    let samples = || {
        let ids = sandbox_ids(&query).map_err(|message| bad_request(&message))?;
        let mut samples = Map::new();
        for id in ids {
            if let Ok(session) = find_sandbox(&state, &caller, id) {
                samples.insert(id.to_owned(), sample(&state, &session).1);
            }
        }
        Ok::<_, Refusal>(Json(json!({ "sandboxes": samples })))
    };
    into_response(samples())
}

fn sandbox_ids(query: &RawQuery) -> Result<BTreeSet<&str>, String> {
    let query = KnownQuery::read(query, &["sandbox_ids"])?;
    let ids: BTreeSet<&str> = query.all("sandbox_ids").flat_map(|ids| ids.split(',')).collect();
    if ids.is_empty() || ids.len() > MAX_SANDBOXES {
        return Err(format!("sandbox_ids must be 1 to {MAX_SANDBOXES} ids of sandboxes, separated by commas"));
    }
    Ok(ids)
}

/// Returns the current figures, and their time in seconds since 1970. Only the size of local files is measured.
fn sample(state: &E2bState, session: &Session) -> (u64, Value) {
    let now = state.sessions.router().wall().unix_millis() / 1000;
    let started = switchtower_e2b_wire::control::unix_seconds(session.lifetime().started_at());
    let at = (now - now % INTERVAL_SECONDS).max(started);
    let used = if session.machine().is_none() { session.files().size() } else { 0 };
    let sample = json!({
        "timestamp": unix_timestamp(at),
        "timestampUnix": at,
        "cpuCount": CPU_COUNT,
        "cpuUsedPct": 0.0,
        "memUsed": 0,
        "memTotal": MEMORY_MB << 20,
        "memCache": 0,
        "diskUsed": used,
        "diskTotal": DISK_MB << 20,
    });
    (at, sample)
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
