//! An answer as server-sent events: what the program says while it runs, and at the end all the rest.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use switchtower_contract::{Event, Events};
use switchtower_core::error::RequestError;
use switchtower_core::memory::Charge;
use switchtower_core::request::Request;
use switchtower_core::router::Router;
use tokio::sync::mpsc::Receiver;

use super::response::{Body, Displayed};
use crate::service::problem::Problem;

/// How long a refusal may still come as a status. After it, or after the first event, the stream has begun, and a
/// refusal is an event named `problem`.
const GRACE: Duration = Duration::from_secs(1);

type Execution<A> = Pin<Box<dyn Future<Output = Result<A, RequestError>> + Send>>;

/// A run that is told live: what it says, then its answer. Dropping it ends the program.
pub(super) struct Running<S, A> {
    said: Receiver<S>,
    phase: Phase<A>,
}

enum Phase<A> {
    /// The program runs.
    Live(Execution<A>),
    /// It has ended; what it said last is still in the channel.
    Over(Box<Result<A, RequestError>>),
    Told,
}

/// One thing to tell.
enum Told<S, A> {
    Said(S),
    End(Box<Result<A, RequestError>>),
}

/// True where the client takes events.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|value| value.split(',')).any(|range| {
        range.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// Runs a request and tells it live.
pub(super) async fn execute(router: Arc<Router>, request: Request, charge: Charge, keep_alive: Duration) -> Response {
    let (to, events) = Events::channel();
    let execution = async move {
        let answer = router.execute(request, Some(to)).await;
        drop(charge);
        answer
    };
    let end = |answer: &_| named("end", &Body::without_output(answer));
    Running::new(events, execution).told(event, end, keep_alive).await
}

impl<S: Send + 'static, A: Send + 'static> Running<S, A> {
    /// All that `execution` says is in the channel of `said` by the time it ends.
    pub(super) fn new(
        said: Receiver<S>,
        execution: impl Future<Output = Result<A, RequestError>> + Send + 'static,
    ) -> Self {
        Self { said, phase: Phase::Live(Box::pin(execution)) }
    }

    /// Tells it as events. A refusal that comes first, and soon, is a problem with its status.
    pub(super) async fn told(mut self, said: fn(S) -> Sent, end: fn(&A) -> Sent, keep_alive: Duration) -> Response {
        let sent = move |told: Told<S, A>| match told {
            Told::Said(word) => said(word),
            Told::End(ended) => match *ended {
                Ok(answer) => end(&answer),
                Err(error) => named("problem", &Problem::from(error).json()),
            },
        };
        let first = match tokio::time::timeout(GRACE, self.next()).await {
            Ok(Some(Told::End(ended))) => match *ended {
                Err(error) => return Problem::from(error).into_response(),
                answered => Some(sent(Told::End(Box::new(answered)))),
            },
            Ok(Some(told)) => Some(sent(told)),
            Ok(None) | Err(_) => None,
        };
        let rest =
            stream::unfold(
                self,
                move |mut running| async move { running.next().await.map(|told| (sent(told), running)) },
            );
        let told = stream::iter(first).chain(rest).map(Ok::<_, Infallible>);
        Sse::new(told).keep_alive(KeepAlive::new().interval(keep_alive)).into_response()
    }

    /// The next thing to tell; nothing after the end. Safe to cancel: what was received is returned at once.
    async fn next(&mut self) -> Option<Told<S, A>> {
        if let Phase::Live(execution) = &mut self.phase {
            tokio::select! {
                biased;
                Some(word) = self.said.recv() => return Some(Told::Said(word)),
                end = execution => self.phase = Phase::Over(Box::new(end)),
            }
        }
        // What was said before the end waits in the channel.
        if let Ok(word) = self.said.try_recv() {
            return Some(Told::Said(word));
        }
        match std::mem::replace(&mut self.phase, Phase::Told) {
            Phase::Over(end) => Some(Told::End(end)),
            Phase::Live(_) | Phase::Told => None,
        }
    }
}

/// What a program says.
pub(super) fn event(event: Event) -> Sent {
    match event {
        Event::Stdout(text) => named("stdout", &json!({ "text": text })),
        Event::Stderr(text) => named("stderr", &json!({ "text": text })),
        Event::Result { data, main } => named("result", &Displayed::new(&data, main)),
        Event::Error(failure) => named("error", &failure),
        Event::Restart => named("restart", &json!({})),
    }
}

pub(super) fn named(name: &str, data: &impl Serialize) -> Sent {
    let data = serde_json::to_string(data).expect("maps with text keys and finite numbers always serialize");
    Sent::default().event(name).data(data)
}
