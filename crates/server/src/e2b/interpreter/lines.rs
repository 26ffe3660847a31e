//! The stream of a cell: its lines as they come, and signs of life between them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use switchtower_contract::Event;
use switchtower_core::clock::WallClock;
use switchtower_core::error::{Error, RequestError};
use switchtower_core::memory::Charge;
use switchtower_core::session::{CellAnswer, CellEvent, ExecuteCell, Session, SessionState};
use tokio::sync::mpsc;

use super::line;

/// A line is sent at least this often. Until the first one, a refusal may still come as a status.
const SILENCE: Duration = Duration::from_secs(5);
/// Things said that nobody has read yet. A slow reader slows the cell down.
const ROOM: usize = 64;

type Execution = Pin<Box<dyn Future<Output = Result<CellAnswer, RequestError>> + Send>>;

/// The cell behind a stream. Dropping it ends the cell.
pub(super) struct Running {
    session: Arc<Session>,
    wall: WallClock,
    said: mpsc::Receiver<CellEvent>,
    phase: Phase,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// An error was among what it said.
    failed: bool,
}

enum Phase {
    Live(Execution),
    /// It has ended; what it said last is still in the channel.
    Over(Box<Result<CellAnswer, RequestError>>),
    Told,
}

/// What is next in a stream.
enum Next {
    Line(Value),
    End(Box<Result<CellAnswer, RequestError>>),
    /// The sandbox has ended under it.
    Cut,
    Nothing,
}

impl Running {
    /// `charge` is held until the cell has ended.
    pub(super) fn start(session: Arc<Session>, cell: ExecuteCell, charge: Charge, wall: WallClock) -> Self {
        let (to, said) = mpsc::channel(ROOM);
        let of = Arc::clone(&session);
        let execution: Execution = Box::pin(async move {
            let done = of.execute(cell, &to).await;
            drop(charge);
            done
        });
        let of = Arc::clone(&session);
        let ended = Box::pin(async move { of.ended().await });
        Self { session, wall, said, phase: Phase::Live(execution), ended, failed: false }
    }

    /// The answer, once there is something to tell or it has been silent for a while.
    pub(super) async fn begun(mut self) -> Result<Response, Error> {
        let first = match tokio::time::timeout(SILENCE, self.next()).await {
            Ok(Next::Line(line)) => Ok(line::text(&[line])),
            Ok(Next::End(end)) => match *end {
                Err(refused) => return Err(refused.error),
                Ok(done) => Ok(self.ending(&done)),
            },
            Ok(Next::Cut) => {
                return Err(Error::Unavailable { reason: "the sandbox has ended".to_owned(), retry_after: None });
            }
            Ok(Next::Nothing) => Ok(Bytes::new()),
            Err(_) => Ok(line::text(&[line::keepalive()])),
        };
        let rest = stream::unfold(self, async |mut running| running.piece().await.map(|piece| (piece, running)));
        Ok(answered(Body::from_stream(stream::iter([first]).chain(rest))))
    }

    /// The next lines. `Err`: the connection breaks off here.
    async fn piece(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        match tokio::time::timeout(SILENCE, self.next()).await {
            Ok(Next::Line(line)) => Some(Ok(line::text(&[line]))),
            Ok(Next::End(end)) => match *end {
                Ok(done) => Some(Ok(self.ending(&done))),
                Err(_) if self.session.state() != SessionState::Running => Some(self.cut()),
                Err(refused) => Some(Ok(line::text(&line::failure(&refused.error)))),
            },
            Ok(Next::Cut) => Some(self.cut()),
            Ok(Next::Nothing) => None,
            Err(_) => Some(Ok(line::text(&[line::keepalive()]))),
        }
    }

    fn ending(&self, done: &CellAnswer) -> Bytes {
        line::text(&line::ending(done, self.failed, self.wall.now()))
    }

    fn cut(&mut self) -> Result<Bytes, std::io::Error> {
        self.phase = Phase::Told;
        Err(std::io::ErrorKind::ConnectionReset.into())
    }

    /// Safe to cancel: what was received is returned at once.
    async fn next(&mut self) -> Next {
        if let Phase::Live(execution) = &mut self.phase {
            tokio::select! {
                biased;
                Some(said) = self.said.recv() => return self.line(said),
                end = execution => self.phase = Phase::Over(Box::new(end)),
                () = &mut self.ended => {
                    self.phase = Phase::Told;
                    return Next::Cut;
                }
            }
        }
        // Everything has been said by the time the execution ends, so what is left waits in the channel.
        if matches!(self.phase, Phase::Over(_))
            && let Ok(said) = self.said.try_recv()
        {
            return self.line(said);
        }
        match std::mem::replace(&mut self.phase, Phase::Told) {
            Phase::Over(end) => Next::End(end),
            Phase::Live(_) | Phase::Told => Next::Nothing,
        }
    }

    fn line(&mut self, said: CellEvent) -> Next {
        self.failed |= matches!(said, CellEvent::Output { event: Event::Error(_), .. });
        Next::Line(line::said(said, self.wall.now()))
    }
}

/// An answer that is whole already.
pub(super) fn whole(lines: &[Value]) -> Response {
    answered(Body::from(line::text(lines)))
}

fn answered(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}
