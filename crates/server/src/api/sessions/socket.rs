//! Cells over one WebSocket: several at once, each with the events of `POST /v1/sessions/{id}/execute`.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Extension;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use axum::extract::{Request, State};
use axum::response::Response;
use switchtower_contract::File;
use switchtower_core::error;
use switchtower_core::memory::Charge;
use switchtower_core::request::Caller;
use switchtower_core::session::{ExecuteCell, Session};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::{AbortHandle, JoinSet, unconstrained};
use tokio::time::{Instant, sleep_until};

use super::super::parse;
use super::super::path_names::PathNames;
use super::super::state::ApiState;
use super::super::stream::{self, NamedEvent};
use super::cells;
use crate::service::live::{LiveItem, LiveRun};
use crate::service::problem::Problem;
use crate::service::stopping::Stopping;
use crate::service::websocket::{self, UNANSWERED_PINGS};

/// Most bytes of a message. Larger cells and files have paths of their own.
const MAX_MESSAGE_BYTES: usize = 8 << 20;
/// Most cells of one socket at once.
const MAX_CELLS: usize = 16;
/// Most bytes of an id in JSON.
const MAX_ID_BYTES: usize = 128;
/// Events of all cells that wait for the client. A slow client slows the cells down.
const EVENT_BUFFER: usize = 64;

/// `GET /v1/sessions/{id}/ws`.
pub(super) async fn open(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames(id): PathNames<String>,
    request: Request,
) -> Result<Response, Problem> {
    let session = api.session(&caller, &id)?;
    let (upgrade, stopping) = websocket::accept(request, MAX_MESSAGE_BYTES).await?;
    Ok(upgrade.on_upgrade(async move |socket| Cells::new(api, caller, session).serve(socket, stopping).await))
}

/// The cells of a socket.
struct Cells {
    api: Arc<ApiState>,
    caller: Caller,
    session: Arc<Session>,
    /// Dropping it ends all cells.
    running: JoinSet<String>,
    /// The ids of the cells that run, as JSON.
    by_id: HashMap<String, AbortHandle>,
}

impl Cells {
    fn new(api: Arc<ApiState>, caller: Caller, session: Arc<Session>) -> Self {
        Self { api, caller, session, running: JoinSet::new(), by_id: HashMap::new() }
    }

    /// Serves a socket until its client, its session, or the server ends; the server lets cells that run end first.
    async fn serve(mut self, mut socket: WebSocket, stopping: Stopping) {
        let (sender, mut events) = mpsc::channel(EVENT_BUFFER);
        let session = Arc::clone(&self.session);
        let interval = self.api.config.keep_alive_interval;
        let (mut next_ping, mut last_received) = (Instant::now() + interval, Instant::now());
        let (mut stopping, mut is_stopping) = (std::pin::pin!(stopping.wait()), false);
        let (code, reason) = loop {
            if is_stopping && self.by_id.is_empty() && events.is_empty() {
                break (close_code::AWAY, "the server is shutting down");
            }
            let sent = tokio::select! {
                Some(event) = events.recv() => socket.send(Message::Text(event)).await,
                Some(ended) = self.running.join_next() => {
                    match ended {
                        Ok(id) => drop(self.by_id.remove(&id)),
                        Err(panicked) => self.by_id.retain(|_, cell| cell.id() != panicked.id()),
                    }
                    Ok(())
                }
                message = socket.recv() => {
                    last_received = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => match self.receive(text.as_str(), is_stopping, &sender).await {
                            Ok(()) => Ok(()),
                            Err(refusal) => socket.send(Message::Text(refusal)).await,
                        },
                        Some(Ok(Message::Binary(_))) => break (close_code::UNSUPPORTED, "messages are text: JSON objects"),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    }
                }
                () = session.lifetime().ended() => break (close_code::NORMAL, "the session has ended"),
                () = &mut stopping, if !is_stopping => {
                    is_stopping = true;
                    Ok(())
                }
                () = sleep_until(next_ping) => {
                    if last_received.elapsed() > interval * UNANSWERED_PINGS {
                        return;
                    }
                    next_ping = Instant::now() + interval;
                    socket.send(Message::Ping(Default::default())).await
                }
            };
            if sent.is_err() {
                return;
            }
        };
        // A client that has gone does not read it.
        let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }

    /// Starts the cell of a message, or returns why not.
    async fn receive(&mut self, text: &str, is_stopping: bool, sender: &Sender<Utf8Bytes>) -> Result<(), Utf8Bytes> {
        let parsed = self.parse(text, is_stopping);
        let (id, cell) = parsed.map_err(|(id, problem)| message(&id, &stream::problem(&problem)))?;
        let (session, sender, own_id) = (Arc::clone(&self.session), sender.clone(), id.clone());
        let mut running = Box::pin(async move {
            run(session, cell, &own_id, &sender).await;
            own_id
        });
        // It takes its place among the cells of its context here, before the next message is read: tasks start in any order.
        let mut first = unconstrained(running.as_mut());
        let begun = poll_fn(|context| Poll::Ready(Pin::new(&mut first).poll(context))).await;
        let handle = match begun {
            Poll::Ready(id) => self.running.spawn(std::future::ready(id)),
            Poll::Pending => self.running.spawn(running),
        };
        self.by_id.insert(id, handle);
        Ok(())
    }

    /// Returns the id of a message as JSON, and its cell.
    fn parse(&self, text: &str, is_stopping: bool) -> Result<(String, ParsedCell), (String, Problem)> {
        let without_id = |problem| ("null".to_owned(), problem);
        let (mut body, charge) = self.api.parse_message(&self.caller, text).map_err(without_id)?;
        let id = body.as_object_mut().and_then(|fields| fields.remove("id")).unwrap_or_default();
        let is_id = id.is_string() || id.is_i64() || id.is_u64();
        let id = id.to_string();
        if !is_id || id.len() > MAX_ID_BYTES {
            let detail = format!("id must be a text or an integer of at most {MAX_ID_BYTES} bytes in JSON");
            return Err(without_id(Problem::field("id", detail)));
        }
        let refused = |problem| Err((id.clone(), problem));
        if is_stopping {
            return refused(Problem::new(error::Kind::Overloaded, "the server is shutting down"));
        }
        if self.by_id.contains_key(&id) {
            return refused(Problem::field("id", "a cell with this id runs: give each cell another"));
        }
        if self.by_id.len() >= MAX_CELLS {
            let detail = format!("{MAX_CELLS} cells of this socket run, which is the limit: wait for one to end");
            return refused(Problem::new(error::Kind::LimitReached, detail));
        }
        match parse::cell(body, &self.api.request_limits) {
            Ok((cell, files)) => Ok((id, ParsedCell { cell, files, charge })),
            Err(problem) => refused(problem),
        }
    }
}

/// A cell with the files to write before it, and what its message is charged.
struct ParsedCell {
    cell: ExecuteCell,
    files: Vec<File>,
    charge: Charge,
}

/// Runs a cell and sends its events.
async fn run(session: Arc<Session>, cell: ParsedCell, id: &str, sender: &Sender<Utf8Bytes>) {
    let ParsedCell { cell, files, charge } = cell;
    let (run, events) = match cells::begin(session, cell, files, charge).await {
        Ok(begun) => begun,
        Err(problem) => {
            let _ = sender.send(message(id, &stream::problem(&problem))).await;
            return;
        }
    };
    let mut run = LiveRun::new(events, run);
    while let Some(item) = run.next().await {
        let event = match item {
            LiveItem::Event(it) => cells::event(it),
            LiveItem::Outcome(Ok(done)) => cells::end(&done),
            LiveItem::Outcome(Err(error)) => stream::problem(&Problem::from(error)),
        };
        if sender.send(message(id, &event)).await.is_err() {
            return;
        }
    }
}

/// Returns an event of the cell with this id, in JSON.
fn message(id: &str, event: &NamedEvent) -> Utf8Bytes {
    let NamedEvent { name, data } = event;
    format!(r#"{{"id":{id},"event":"{name}","data":{data}}}"#).into()
}
