//! An answer as server-sent events: what the program says while it runs, and at the end all the rest.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use switchtower_contract::{Event, Events};
use tokio::sync::mpsc::Receiver;

use super::answer::{Body, Displayed};
use super::problem::Problem;
use crate::error::Error;
use crate::request::Request;
use crate::router::{Answer, Router};

/// How long a refusal may still come as a status. After it, or after the first event, the stream has begun, and a
/// refusal is an event named `problem`.
const GRACE: Duration = Duration::from_secs(1);

type Execution = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// The run behind a stream. Dropping it ends the program.
struct Running {
    events: Receiver<Event>,
    phase: Phase,
}

enum Phase {
    /// The program runs.
    Live(Execution),
    /// It has ended; what it said last is still in the channel.
    Over(Box<Result<Answer, Error>>),
    Told,
}

/// Runs a request and tells it live.
pub(super) async fn execute(router: Arc<Router>, request: Request, keep_alive: Duration) -> Response {
    let (to, events) = Events::channel();
    let execution: Execution = Box::pin(async move { router.execute(request, Some(to)).await });
    let mut running = Running { events, phase: Phase::Live(execution) };
    let first = match tokio::time::timeout(GRACE, running.next()).await {
        Ok(Some(Told::End(end))) => match *end {
            Err(error) => return Problem::from(error).into_response(),
            answered => Some(Told::End(Box::new(answered)).sent()),
        },
        Ok(Some(event)) => Some(event.sent()),
        Ok(None) | Err(_) => None,
    };
    let rest = stream::unfold(running, async |mut running| running.next().await.map(|told| (told.sent(), running)));
    let told = stream::iter(first).chain(rest).map(Ok::<_, Infallible>);
    Sse::new(told).keep_alive(KeepAlive::new().interval(keep_alive)).into_response()
}

impl Running {
    /// The next thing to tell; nothing after the end. Safe to cancel: what was received is returned at once.
    async fn next(&mut self) -> Option<Told> {
        if let Phase::Live(execution) = &mut self.phase {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Some(Told::Event(event)),
                end = execution => self.phase = Phase::Over(Box::new(end)),
            }
        }
        // Every event has been sent by the time the execution ends, so what is left waits in the channel.
        if let Ok(event) = self.events.try_recv() {
            return Some(Told::Event(event));
        }
        match std::mem::replace(&mut self.phase, Phase::Told) {
            Phase::Over(end) => Some(Told::End(end)),
            Phase::Live(_) | Phase::Told => None,
        }
    }
}

/// One thing to tell.
enum Told {
    Event(Event),
    End(Box<Result<Answer, Error>>),
}

impl Told {
    fn sent(self) -> Sent {
        match self {
            Self::Event(Event::Stdout(text)) => named("stdout", &json!({ "text": text })),
            Self::Event(Event::Stderr(text)) => named("stderr", &json!({ "text": text })),
            Self::Event(Event::Result { data, main }) => named("result", &Displayed::new(&data, main)),
            Self::Event(Event::Error(failure)) => named("error", &failure),
            Self::Event(Event::Restart) => named("restart", &json!({})),
            Self::End(end) => match *end {
                Ok(answer) => named("end", &Body::without_output(&answer)),
                Err(error) => named("problem", &Problem::from(error).json()),
            },
        }
    }
}

fn named(name: &str, data: &impl Serialize) -> Sent {
    let data = serde_json::to_string(data).expect("maps with text keys and finite numbers always serialize");
    Sent::default().event(name).data(data)
}
