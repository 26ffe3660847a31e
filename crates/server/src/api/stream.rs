//! Answers as server-sent events: the events of a program while it runs, then the rest of its answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use switchtower_contract::{Event, Events};
use switchtower_core::error::RequestError;
use switchtower_core::memory::Charge;
use switchtower_core::request::Request;
use switchtower_core::router::Router;
use switchtower_e2b_wire::ascii;

use super::response::{AnswerBody, ResultView};
use crate::service::live::{LiveItem, LiveRun};
use crate::service::problem::Problem;

/// Time within which a refusal is still sent as an HTTP status. After it, or after the first event, the stream has
/// begun, and a refusal is an event named `problem`.
const STATUS_GRACE: Duration = Duration::from_secs(1);

/// Whether the client accepts server-sent events.
pub(super) fn accepts_events(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|value| value.split(',')).any(|range| {
        range.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// Runs a request and streams its events.
pub(super) async fn execute(router: Arc<Router>, request: Request, charge: Charge, keep_alive: Duration) -> Response {
    let (sender, events) = Events::channel();
    let run = async move {
        let answer = router.execute(request, Some(sender)).await;
        drop(charge);
        answer
    };
    let end = |answer: &_| named("end", &AnswerBody::without_output(answer));
    into_response(LiveRun::new(events, run), event, end, keep_alive).await
}

/// Streams a live run. A refusal that comes first and within [`STATUS_GRACE`] is a problem with its status.
pub(super) async fn into_response<E: Send + 'static, A: Send + 'static>(
    mut run: LiveRun<E, Result<A, RequestError>>,
    event: fn(E) -> NamedEvent,
    end: fn(&A) -> NamedEvent,
    keep_alive: Duration,
) -> Response {
    let to_sse = move |item: LiveItem<E, Result<A, RequestError>>| {
        let NamedEvent { name, data } = match item {
            LiveItem::Event(it) => event(it),
            LiveItem::Outcome(Ok(answer)) => end(&answer),
            LiveItem::Outcome(Err(error)) => problem(&Problem::from(error)),
        };
        SseEvent::default().event(name).data(data)
    };
    let first = match tokio::time::timeout(STATUS_GRACE, run.next()).await {
        Ok(Some(LiveItem::Outcome(Err(error)))) => return Problem::from(error).into_response(),
        Ok(Some(item)) => Some(to_sse(item)),
        Ok(None) | Err(_) => None,
    };
    let rest = stream::unfold(run, move |mut run| async move { run.next().await.map(|item| (to_sse(item), run)) });
    let events = stream::iter(first).chain(rest).map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::new().interval(keep_alive)).into_response()
}

/// An event as it is sent: its name, and its data as JSON.
pub(super) struct NamedEvent {
    pub(super) name: &'static str,
    pub(super) data: String,
}

/// Returns an event of a program.
pub(super) fn event(event: Event) -> NamedEvent {
    match event {
        Event::Stdout(text) => named("stdout", &json!({ "text": text })),
        Event::Stderr(text) => named("stderr", &json!({ "text": text })),
        Event::Result { data, main } => named("result", &ResultView::new(&data, main)),
        Event::Error(failure) => named("error", &failure),
        Event::Restart => named("restart", &json!({})),
    }
}

/// Returns the event of a refusal.
pub(super) fn problem(problem: &Problem) -> NamedEvent {
    named("problem", &problem.json())
}

pub(super) fn named(name: &'static str, data: &impl Serialize) -> NamedEvent {
    let data = ascii::to_string(data).expect("maps with text keys and finite numbers always serialize");
    NamedEvent { name, data }
}
