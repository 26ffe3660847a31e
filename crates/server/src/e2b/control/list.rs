//! Lists sandboxes: filters, order, pages.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::Value;
use switchtower_core::request::Caller;
use switchtower_core::session::SessionState;
use switchtower_e2b_wire::control::metadata_filter;

use super::super::response::Refusal;
use super::super::state::E2bState;
use super::query::{KnownQuery, RawQuery};
use super::request::{bad_request, into_response};
use super::view;

/// `GET /sandboxes`: running sandboxes, unless the query names other states.
pub(super) async fn list_running(state: State<Arc<E2bState>>, query: RawQuery, caller: Extension<Caller>) -> Response {
    into_response(page(&state, &query, &caller, &[SessionState::Running]))
}

/// `GET /v2/sandboxes`: running and paused sandboxes, unless the query names other states.
pub(super) async fn list_all(state: State<Arc<E2bState>>, query: RawQuery, caller: Extension<Caller>) -> Response {
    into_response(page(&state, &query, &caller, &[SessionState::Running, SessionState::Paused]))
}

fn page(
    state: &E2bState,
    query: &RawQuery,
    caller: &Caller,
    default_states: &[SessionState],
) -> Result<Response, Refusal> {
    let query = ListQuery::read(query, default_states).map_err(|message| bad_request(&message))?;
    let mut all = state.sessions.list(caller);
    let running = all.iter().filter(|session| session.lifetime().state() == SessionState::Running).count();
    all.retain(|session| {
        let options = session.options();
        query.states.contains(&session.lifetime().state())
            && query.template.as_ref().is_none_or(|template| is_of(&options.template, template))
            && query.started_after.is_none_or(|time| session.lifetime().started_at() >= time)
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
    response.headers_mut().insert("x-total-running", running.into());
    if let (true, Some((last, _))) = (more, all.last())
        && let Ok(token) = HeaderValue::try_from(last.token())
    {
        response.headers_mut().insert("x-next-token", token);
    }
    Ok(response)
}

/// Returns whether a sandbox of `template` belongs to `wanted`: a template with its tag, or without for all of its tags.
fn is_of(template: &str, wanted: &str) -> bool {
    template == wanted || template.split_once(':').is_some_and(|(name, _)| name == wanted)
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

/// The names in the query of a list.
const NAMES: [&str; 7] = ["metadata", "state", "order", "startedAfter", "template", "limit", "nextToken"];

/// The query of a list.
#[derive(Debug, PartialEq, Eq)]
struct ListQuery {
    states: Vec<SessionState>,
    metadata: Vec<(String, String)>,
    template: Option<String>,
    /// Sandboxes that were started at this time or later.
    started_after: Option<SystemTime>,
    max: usize,
    after: Option<Cursor>,
    oldest_first: bool,
}

impl ListQuery {
    fn read(query: &RawQuery, default_states: &[SessionState]) -> Result<Self, String> {
        let query = KnownQuery::read(query, &NAMES)?;
        let state = |name: &str| match name {
            "running" => Ok(SessionState::Running),
            "paused" => Ok(SessionState::Paused),
            other => Err(format!("state must be running or paused, not {other:?}")),
        };
        let states: Vec<SessionState> =
            query.all("state").flat_map(|states| states.split(',')).map(state).collect::<Result<_, _>>()?;
        let pairs = |text: &str| {
            metadata_filter(text)
                .ok_or_else(|| format!("metadata must be pairs such as user=ada&app=prod, not {text:?}"))
        };
        let metadata: Vec<_> = query.all("metadata").map(pairs).collect::<Result<_, _>>()?;
        let after = query.one("nextToken")?;
        let after = after.map(|token| Cursor::parse(token).ok_or("nextToken is invalid")).transpose()?;
        let oldest_first = match query.one("order")? {
            Some("asc") => true,
            Some("desc") | None => false,
            Some(other) => return Err(format!("order must be asc or desc, not {other:?}")),
        };
        Ok(Self {
            states: if states.is_empty() { default_states.to_vec() } else { states },
            metadata: metadata.into_iter().flatten().collect(),
            template: query.one("template")?.map(str::to_owned),
            started_after: query.time("startedAfter")?,
            max: query.limit()?,
            after,
            oldest_first,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> RawQuery {
        RawQuery::try_from_uri(&format!("http://x/?{text}").parse().unwrap()).unwrap()
    }

    #[test]
    fn metadata_is_encoded_twice_inside_the_query() {
        let text = "metadata=user%3Da%252520b%26k%3D%252526%2525C3%2525A4&state=running,paused";
        let list = ListQuery::read(&query(text), &[]).unwrap();
        let pairs: Vec<_> = list.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("user", "a b"), ("k", "&ä")]);
        assert_eq!(list.states, [SessionState::Running, SessionState::Paused]);
        // By hand it is encoded once.
        let by_hand = ListQuery::read(&query("metadata=user%3D%C3%A4%20b"), &[]).unwrap().metadata;
        assert_eq!(by_hand, [("user".to_owned(), "ä b".to_owned())]);
    }

    #[test]
    fn a_filter_that_is_not_understood_is_refused_and_never_ignored() {
        let text = "limit=100&order=asc&nextToken=5-iabc&state=&startedAfter=2026-08-21T09:30:00%2B00:00";
        let list = ListQuery::read(&query(text), &[SessionState::Running]).unwrap();
        assert_eq!((list.max, list.oldest_first, list.states), (100, true, vec![SessionState::Running]));
        assert_eq!(list.after.map(|cursor| cursor.token()).as_deref(), Some("5-iabc"));
        assert!(list.started_after.is_some());
        for (wrong, names) in [
            ("limit=x", "limit"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=1&limit=2", "limit"),
            ("state=dead", "state"),
            ("nextToken=x", "nextToken"),
            ("order=up", "order"),
            ("startedAfter=yesterday", "startedAfter"),
            ("metadata=user", "metadata"),
            ("teamID=t", "teamID"),
        ] {
            let refused = ListQuery::read(&query(wrong), &[]).unwrap_err();
            assert!(refused.contains(names), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_template_without_a_tag_is_found_with_every_tag() {
        assert!(is_of("t:prod", "t") && is_of("t", "t") && is_of("t:prod", "t:prod"));
        assert!(!is_of("t", "t:prod") && !is_of("tt", "t") && !is_of("t:prod", "prod"));
    }
}
