//! The list of sandboxes: filtered, newest first, in pages.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use switchtower_e2b_wire::control::{PAGE_SIZE, metadata_filter};

use super::api_key::check_and_wait;
use super::errors::Refusal;
use super::view;
use crate::fake::Fake;
use crate::sandboxes::{SandboxEntry, SandboxState};

type QueryPairs = Query<Vec<(String, String)>>;

/// The older list: running sandboxes.
pub(super) async fn running(
    State(fake): State<Fake>,
    query: QueryPairs,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    page(fake, query.0, headers, "running").await
}

pub(super) async fn all(State(fake): State<Fake>, query: QueryPairs, headers: HeaderMap) -> Result<Response, Refusal> {
    page(fake, query.0, headers, "running,paused").await
}

async fn page(
    fake: Fake,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    default_states: &str,
) -> Result<Response, Refusal> {
    check_and_wait(&fake, &headers).await?;
    fake.state.sandboxes.count(|counts| counts.lists += 1);
    let values = |name: &'static str| query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut states: Vec<&str> = values("state").flat_map(|states| states.split(',')).collect();
    if states.is_empty() {
        states = default_states.split(',').collect();
    }
    let metadata: Vec<(String, String)> = values("metadata").filter_map(metadata_filter).flatten().collect();
    let limit = values("limit").next().and_then(|limit| limit.parse().ok()).unwrap_or(PAGE_SIZE).clamp(1, PAGE_SIZE);
    let mut entries: Vec<SandboxEntry> = fake.state.sandboxes.all();
    entries.retain(|entry| {
        let state = if entry.state == SandboxState::Running { "running" } else { "paused" };
        states.contains(&state) && metadata.iter().all(|(key, value)| entry.sandbox.metadata.get(key) == Some(value))
    });
    if let Some(last) = values("nextToken").next().filter(|token| !token.is_empty()) {
        let next = entries.iter().position(|entry| entry.sandbox.id == last).map_or(entries.len(), |at| at + 1);
        entries.drain(..next);
    }
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let body: Vec<Value> = entries.iter().map(|entry| view::list_entry(&fake, entry)).collect();
    let mut response = Json(body).into_response();
    if let (true, Some(last)) = (has_more, entries.last())
        && let Ok(token) = last.sandbox.id.parse()
    {
        response.headers_mut().insert("x-next-token", token);
    }
    Ok(response)
}
