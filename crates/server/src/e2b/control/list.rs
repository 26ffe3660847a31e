//! The list of sandboxes: which ones, in which order, page by page.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::Value;
use switchtower_core::request::Caller;
use switchtower_core::session::SessionState;

use super::{Door, Refusal, bad, either, view};

/// Most sandboxes of a page, and as many where no number was asked for.
const PAGE: usize = 100;

type Pairs = Vec<(String, String)>;

/// The older listing: what runs.
pub(super) async fn running(door: State<Door>, query: Query<Pairs>, caller: Extension<Caller>) -> Response {
    either(page(&door, &query, &caller, &[SessionState::Running]))
}

pub(super) async fn all(door: State<Door>, query: Query<Pairs>, caller: Extension<Caller>) -> Response {
    either(page(&door, &query, &caller, &[SessionState::Running, SessionState::Paused]))
}

fn page(door: &Door, query: &Pairs, caller: &Caller, otherwise: &[SessionState]) -> Result<Response, Refusal> {
    let wish = Wish::read(query, otherwise).map_err(|message| bad(&message))?;
    let mut all = door.parts.sessions.list(caller);
    all.retain(|session| {
        let asked = session.options();
        wish.states.contains(&session.state())
            && wish.template.as_ref().is_none_or(|template| *template == asked.template)
            && wish.metadata.iter().all(|(key, value)| asked.metadata.get(key) == Some(value))
    });
    let mut all: Vec<_> =
        all.into_iter().map(|session| (Place::of(session.started_at(), session.id()), session)).collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    if !wish.oldest_first {
        all.reverse();
    }
    // A token says where the page before ended, whether or not that sandbox is still there.
    if let Some(last) = &wish.after {
        all.retain(|(place, _)| if wish.oldest_first { place > last } else { place < last });
    }
    let more = all.len() > wish.most;
    all.truncate(wish.most);
    let body: Vec<Value> = all.iter().map(|(_, session)| view::listed(session)).collect();
    let mut response = Json(body).into_response();
    if let (true, Some((last, _))) = (more, all.last())
        && let Ok(token) = HeaderValue::try_from(last.token())
    {
        response.headers_mut().insert("x-next-token", token);
    }
    Ok(response)
}

/// A sandbox's place in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    started: u128,
    id: String,
}

impl Place {
    fn of(started: SystemTime, id: &str) -> Self {
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self { started, id: id.to_owned() }
    }

    fn token(&self) -> String {
        format!("{}-{}", self.started, self.id)
    }

    fn read(token: &str) -> Option<Self> {
        let (started, id) = token.split_once('-')?;
        Some(Self { started: started.parse().ok()?, id: id.to_owned() })
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    states: Vec<SessionState>,
    metadata: BTreeMap<String, String>,
    template: Option<String>,
    most: usize,
    after: Option<Place>,
    oldest_first: bool,
}

impl Wish {
    fn read(query: &Pairs, otherwise: &[SessionState]) -> Result<Self, String> {
        let asked = |name: &'static str| {
            let named = query.iter().filter(move |(key, _)| key.strip_suffix("[]").unwrap_or(key) == name);
            named.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let state = |name: &str| match name {
            "running" => Ok(SessionState::Running),
            "paused" => Ok(SessionState::Paused),
            other => Err(format!("state is running or paused, not {other:?}")),
        };
        let states: Vec<SessionState> =
            asked("state").flat_map(|states| states.split(',')).map(state).collect::<Result<_, _>>()?;
        let after = asked("nextToken").next();
        let after = after.map(|token| Place::read(token).ok_or("nextToken is none of this server")).transpose()?;
        let most = asked("limit").next().map_or(Ok(PAGE), |limit| {
            limit.parse().map_err(|_| format!("limit is a number from 1 to {PAGE}, not {limit:?}"))
        })?;
        Ok(Self {
            states: if states.is_empty() { otherwise.to_vec() } else { states },
            metadata: asked("metadata").flat_map(pairs).collect(),
            template: asked("template").next().map(str::to_owned),
            most: most.clamp(1, PAGE),
            after,
            oldest_first: asked("order").next() == Some("asc"),
        })
    }
}

/// `a=b&c=d`, where the SDKs percent-encode each part before they make a query of all, which is encoded once more.
fn pairs(text: &str) -> Pairs {
    let twice = |text: &str| unescaped(&unescaped(text));
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (twice(key), twice(value)));
    text.split('&').filter_map(pair).collect()
}

/// Without the escapes of a query; what is no escape stays as it is.
fn unescaped(text: &str) -> String {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (*first, after) {
            (b'%', [high, low, after @ ..]) if digit(high).is_some() && digit(low).is_some() => {
                bytes.extend(digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low));
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Pairs {
        Query::try_from_uri(&format!("http://x/?{text}").parse().unwrap()).unwrap().0
    }

    #[test]
    fn metadata_is_encoded_twice_inside_the_query() {
        let text = "metadata=user%3Da%252520b%26k%3D%252526%2525C3%2525A4&state=running,paused";
        let wish = Wish::read(&query(text), &[]).unwrap();
        let pairs: Vec<_> = wish.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("k", "&ä"), ("user", "a b")]);
        assert_eq!(wish.states, [SessionState::Running, SessionState::Paused]);
        // By hand it is encoded once.
        assert_eq!(Wish::read(&query("metadata=user%3D%C3%A4%20b"), &[]).unwrap().metadata["user"], "ä b");
        assert_eq!(unescaped("100% %zz +"), "100% %zz  ");
    }

    #[test]
    fn a_page_has_a_size_a_beginning_and_states_that_exist() {
        let wish =
            Wish::read(&query("limit=1000&order=asc&nextToken=5-iabc&state="), &[SessionState::Running]).unwrap();
        assert_eq!((wish.most, wish.oldest_first, wish.states), (PAGE, true, vec![SessionState::Running]));
        assert_eq!(wish.after.map(|place| place.token()).as_deref(), Some("5-iabc"));
        for wrong in ["limit=x", "state=dead", "nextToken=x"] {
            assert!(Wish::read(&query(wrong), &[]).is_err(), "{wrong}");
        }
    }
}
