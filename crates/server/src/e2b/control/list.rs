//! Lists sandboxes: filters, order, pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::Value;
use switchtower_core::request::Caller;
use switchtower_core::session::SessionState;
use switchtower_e2b_wire::control::{PAGE_SIZE, metadata_filter};

use super::super::response::Refusal;
use super::super::state::E2bState;
use super::request::{bad_request, into_response};
use super::view;

type QueryPairs = Vec<(String, String)>;

/// `GET /sandboxes`: running sandboxes, unless the query names other states.
pub(super) async fn list_running(
    state: State<Arc<E2bState>>,
    query: Query<QueryPairs>,
    caller: Extension<Caller>,
) -> Response {
    into_response(page(&state, &query, &caller, &[SessionState::Running]))
}

/// `GET /v2/sandboxes`: running and paused sandboxes, unless the query names other states.
pub(super) async fn list_all(
    state: State<Arc<E2bState>>,
    query: Query<QueryPairs>,
    caller: Extension<Caller>,
) -> Response {
    into_response(page(&state, &query, &caller, &[SessionState::Running, SessionState::Paused]))
}

fn page(
    state: &E2bState,
    query: &QueryPairs,
    caller: &Caller,
    default_states: &[SessionState],
) -> Result<Response, Refusal> {
    let query = ListQuery::read(query, default_states).map_err(|message| bad_request(&message))?;
    let mut all = state.sessions.list(caller);
    all.retain(|session| {
        let options = session.options();
        query.states.contains(&session.lifetime().state())
            && query.template.as_ref().is_none_or(|template| *template == options.template)
            && query.metadata.iter().all(|(key, value)| options.metadata.get(key) == Some(value))
    });
    let mut all: Vec<_> =
        all.into_iter().map(|session| (Cursor::of(session.lifetime().started_at(), session.id()), session)).collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    if !query.oldest_first {
        all.reverse();
    }
    // The token is the position where the previous page ended, whether or not that sandbox still exists.
    if let Some(last) = &query.after {
        all.retain(|(cursor, _)| if query.oldest_first { cursor > last } else { cursor < last });
    }
    let more = all.len() > query.max;
    all.truncate(query.max);
    let body: Vec<Value> = all.iter().map(|(_, session)| view::list_entry(session)).collect();
    let mut response = Json(body).into_response();
    if let (true, Some((last, _))) = (more, all.last())
        && let Ok(token) = HeaderValue::try_from(last.token())
    {
        response.headers_mut().insert("x-next-token", token);
    }
    Ok(response)
}

/// The position of a sandbox in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    started: u128,
    id: String,
}

impl Cursor {
    fn of(started: SystemTime, id: &str) -> Self {
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self { started, id: id.to_owned() }
    }

    fn token(&self) -> String {
        format!("{}-{}", self.started, self.id)
    }

    fn parse(token: &str) -> Option<Self> {
        let (started, id) = token.split_once('-')?;
        Some(Self { started: started.parse().ok()?, id: id.to_owned() })
    }
}

/// The query of a list.
#[derive(Debug, PartialEq, Eq)]
struct ListQuery {
    states: Vec<SessionState>,
    metadata: BTreeMap<String, String>,
    template: Option<String>,
    max: usize,
    after: Option<Cursor>,
    oldest_first: bool,
}

impl ListQuery {
    fn read(query: &QueryPairs, default_states: &[SessionState]) -> Result<Self, String> {
        let values = |name: &'static str| {
            let named = query.iter().filter(move |(key, _)| key.strip_suffix("[]").unwrap_or(key) == name);
            named.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let state = |name: &str| match name {
            "running" => Ok(SessionState::Running),
            "paused" => Ok(SessionState::Paused),
            other => Err(format!("state must be running or paused, not {other:?}")),
        };
        let states: Vec<SessionState> =
            values("state").flat_map(|states| states.split(',')).map(state).collect::<Result<_, _>>()?;
        let after = values("nextToken").next();
        let after = after.map(|token| Cursor::parse(token).ok_or("nextToken is invalid")).transpose()?;
        let max = values("limit").next().map_or(Ok(PAGE_SIZE), |limit| {
            limit.parse().map_err(|_| format!("limit must be a number from 1 to {PAGE_SIZE}, not {limit:?}"))
        })?;
        Ok(Self {
            states: if states.is_empty() { default_states.to_vec() } else { states },
            metadata: values("metadata").flat_map(metadata_filter).collect(),
            template: values("template").next().map(str::to_owned),
            max: max.clamp(1, PAGE_SIZE),
            after,
            oldest_first: values("order").next() == Some("asc"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> QueryPairs {
        Query::try_from_uri(&format!("http://x/?{text}").parse().unwrap()).unwrap().0
    }

    #[test]
    fn metadata_is_encoded_twice_inside_the_query() {
        let text = "metadata=user%3Da%252520b%26k%3D%252526%2525C3%2525A4&state=running,paused";
        let list = ListQuery::read(&query(text), &[]).unwrap();
        let pairs: Vec<_> = list.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("k", "&ä"), ("user", "a b")]);
        assert_eq!(list.states, [SessionState::Running, SessionState::Paused]);
        // By hand it is encoded once.
        assert_eq!(ListQuery::read(&query("metadata=user%3D%C3%A4%20b"), &[]).unwrap().metadata["user"], "ä b");
    }

    #[test]
    fn a_page_has_a_bounded_size_a_valid_start_and_known_states() {
        let list =
            ListQuery::read(&query("limit=1000&order=asc&nextToken=5-iabc&state="), &[SessionState::Running]).unwrap();
        assert_eq!((list.max, list.oldest_first, list.states), (PAGE_SIZE, true, vec![SessionState::Running]));
        assert_eq!(list.after.map(|cursor| cursor.token()).as_deref(), Some("5-iabc"));
        for wrong in ["limit=x", "state=dead", "nextToken=x"] {
            assert!(ListQuery::read(&query(wrong), &[]).is_err(), "{wrong}");
        }
    }
}
