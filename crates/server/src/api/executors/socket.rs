//! One connection: messages, one after the other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use switchtower_contract::Language;
use switchtower_core::error;
use switchtower_core::memory::Charge;
use switchtower_core::request::{Caller, Request};
use tokio::time::{Instant, sleep_until};
use tungstenite::Error as SocketError;

use super::message::{self, Languages};
use crate::api::fields::Fields;
use crate::api::parse;
use crate::api::state::ApiState;
use crate::service::problem::{Problem, ProblemKind};
use crate::service::stopping::Stopping;
use crate::service::websocket::UNANSWERED_PINGS;

/// Most messages of a connection that wait for the one before them. While so many wait, no more are read.
const MAX_WAITING: usize = 8;
/// Between two pings while no messages are read: only a ping that cannot be sent shows then that the client has gone.
const PING_PAUSE: Duration = Duration::from_secs(1);

/// How long before the end of its connections a server ends the programs that still run: their clients get an answer in this time.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The program of a message with the memory that it is charged, or why it does not run.
type Received = Result<(Request, Charge), Problem>;

/// The run of a program, to its answer. Dropping it ends the program.
type Running = Pin<Box<dyn Future<Output = Utf8Bytes> + Send>>;

/// Why the server closes a connection.
type Closing = (u16, &'static str);

/// The executor of one connection.
pub(super) struct Executor {
    pub(super) api: Arc<ApiState>,
    pub(super) languages: Arc<Languages>,
    pub(super) caller: Caller,
    /// The language of its path.
    pub(super) language: Option<Language>,
    /// Most bytes of a message.
    pub(super) max_message: usize,
}

impl Executor {
    /// Serves a connection until its client or the server ends; the server lets the program that runs end first, as long as it
    /// waits. Answers have the order of their messages: they have no ids.
    pub(super) async fn serve(self, mut socket: WebSocket, stopping: Stopping) {
        let mut waiting: VecDeque<Received> = VecDeque::new();
        let mut running: Option<Running> = None;
        let interval = self.api.config.keep_alive_interval;
        let (mut last_ping, mut last_received) = (Instant::now(), Instant::now());
        let mut next_ping = last_ping + interval;
        let (mut stopping, mut is_stopping) = (std::pin::pin!(stopping.wait()), false);
        let mut ends_at: Option<Instant> = None;
        let mut closing: Option<Closing> = None;
        let (code, reason) = loop {
            if running.is_none() {
                match (waiting.pop_front(), closing) {
                    (Some(received), _) => {
                        let received = if is_stopping { received.and(Err(shutting_down())) } else { received };
                        running = Some(Box::pin(answer(Arc::clone(&self.api), received)));
                    }
                    (None, Some(closing)) => break closing,
                    (None, None) if is_stopping => break (close_code::AWAY, "the server is shutting down"),
                    (None, None) => {}
                }
            }
            let is_full = waiting.len() >= MAX_WAITING;
            let receives = closing.is_none() && !is_full;
            let pings_at = if closing.is_none() && is_full { next_ping.min(last_ping + PING_PAUSE) } else { next_ping };
            let sent = tokio::select! {
                answer = ended(&mut running), if running.is_some() => {
                    running = None;
                    socket.send(Message::Text(answer)).await
                }
                message = socket.recv(), if receives => {
                    last_received = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => waiting.push_back(self.parse(text.as_str())),
                        Some(Ok(Message::Binary(_))) => waiting.push_back(Err(not_text())),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Err(error)) => match self.unreadable(error) {
                            Some((problem, reason)) => {
                                waiting.push_back(Err(problem));
                                closing = Some(reason);
                            }
                            None => return,
                        },
                        Some(Ok(Message::Close(_))) | None => return,
                    }
                    Ok(())
                }
                () = &mut stopping, if !is_stopping => {
                    is_stopping = true;
                    ends_at = Some(Instant::now() + self.api.config.drain_timeout.saturating_sub(ANSWER_TIME));
                    Ok(())
                }
                () = sleep_until(ends_at.unwrap_or(last_received)), if ends_at.is_some() && running.is_some() => {
                    running = None;
                    socket.send(Message::Text(message::refused(&ended_by_shutdown()))).await
                }
                () = sleep_until(pings_at) => {
                    if !receives {
                        // Its answers are not read now.
                        last_received = Instant::now();
                    }
                    if last_received.elapsed() > interval * UNANSWERED_PINGS {
                        return;
                    }
                    last_ping = Instant::now();
                    next_ping = last_ping + interval;
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

    fn parse(&self, text: &str) -> Received {
        let (body, charge) = self.api.parse_message(&self.caller, text)?;
        let choose = |fields: &mut Fields| self.languages.choose(self.language, fields.text("language")?.as_deref());
        let request = parse::legacy_request(body, &self.api.request_limits, self.caller.clone(), choose)?;
        Ok((request, charge))
    }

    /// Returns what is wrong with a message after which none can be read, and how the connection closes; `None` if it has
    /// ended.
    fn unreadable(&self, error: axum::Error) -> Option<(Problem, Closing)> {
        match *error.into_inner().downcast::<SocketError>().ok()? {
            SocketError::Capacity(_) => {
                let detail = format!("the message has more than {} bytes", self.max_message);
                let problem = Problem::new(ProblemKind::TooLarge, detail).with("allowed", self.max_message);
                Some((problem, (close_code::SIZE, "the message is too long")))
            }
            SocketError::Utf8(_) => Some((not_text(), (close_code::INVALID, "a text must be UTF-8"))),
            _ => None,
        }
    }
}

/// Runs a program and returns its answer.
async fn answer(api: Arc<ApiState>, received: Received) -> Utf8Bytes {
    let ran = match received {
        Ok((request, _charge)) => api.router.execute(request, None).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    ran.map_or_else(|problem| message::refused(&problem), |answer| message::ran(&answer))
}

/// Returns the answer of the program that runs; never, if none does.
async fn ended(running: &mut Option<Running>) -> Utf8Bytes {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

fn not_text() -> Problem {
    let detail = "a message must be text: a JSON object with code, and input if it has any";
    Problem::new(ProblemKind::UnsupportedMedia, detail)
}

fn ended_by_shutdown() -> Problem {
    Problem::new(error::Kind::Lost, "the server is shutting down: the program was ended before its own end")
}

fn shutting_down() -> Problem {
    Problem::new(error::Kind::Overloaded, "the server is shutting down")
}
