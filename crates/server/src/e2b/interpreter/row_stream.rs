//! The streamed response to a cell: its rows, and keepalives between them.

use std::pin::Pin;
use std::sync::Arc;

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
use switchtower_e2b_wire::rows::{KEEPALIVE_INTERVAL, encode, keepalive};
use tokio::sync::mpsc;

use super::rows::{self, CellError};
use crate::service::live::{LiveItem, LiveRun};

/// Events that are buffered. A client that reads slowly slows the cell down.
const BUFFERED_EVENTS: usize = 64;

/// A running cell and its rows. Dropping it interrupts the cell.
pub(super) struct CellStream {
    session: Arc<Session>,
    wall: WallClock,
    /// `None` when the stream has been cut off.
    run: Option<LiveRun<CellEvent, Result<CellAnswer, RequestError>>>,
    session_end: Pin<Box<dyn Future<Output = ()> + Send>>,
    cell_error: CellError,
}

/// The next item of a stream.
enum Next {
    Row(Value),
    End(Box<Result<CellAnswer, RequestError>>),
    /// The sandbox has ended.
    Cut,
    Complete,
}

impl CellStream {
    /// Starts a cell. `charge` is held until the cell has ended.
    pub(super) fn start(session: Arc<Session>, cell: ExecuteCell, charge: Charge, wall: WallClock) -> Self {
        let (sender, events) = mpsc::channel(BUFFERED_EVENTS);
        let cell_session = Arc::clone(&session);
        let run = LiveRun::new(events, async move {
            let answer = cell_session.execute(cell, &sender).await;
            drop(charge);
            answer
        });
        let ending_session = Arc::clone(&session);
        let session_end = Box::pin(async move { ending_session.lifetime().ended().await });
        Self { session, wall, run: Some(run), session_end, cell_error: CellError::None }
    }

    /// Returns the response with its first row, which is a keepalive when the cell is silent for too long.
    ///
    /// # Errors
    /// The cell was refused before its first row: the error can still be a status.
    pub(super) async fn response(mut self) -> Result<Response, Error> {
        let first = match tokio::time::timeout(KEEPALIVE_INTERVAL, self.next()).await {
            Ok(Next::Row(row)) => Ok(encode(&[row])),
            Ok(Next::End(end)) => match *end {
                Err(refused) => return Err(refused.error),
                Ok(answer) => Ok(self.end_rows(&answer)),
            },
            Ok(Next::Cut) => {
                return Err(Error::Unavailable { reason: "the sandbox has ended".to_owned(), retry_after: None });
            }
            Ok(Next::Complete) => Ok(Bytes::new()),
            Err(_) => Ok(encode(&[keepalive()])),
        };
        let rest = stream::unfold(self, async |mut cell| cell.next_chunk().await.map(|chunk| (chunk, cell)));
        Ok(ndjson_response(Body::from_stream(stream::iter([first]).chain(rest))))
    }

    /// Returns the next rows. An error breaks the connection.
    async fn next_chunk(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        match tokio::time::timeout(KEEPALIVE_INTERVAL, self.next()).await {
            Ok(Next::Row(row)) => Some(Ok(encode(&[row]))),
            Ok(Next::End(end)) => match *end {
                Ok(answer) => Some(Ok(self.end_rows(&answer))),
                Err(_) if self.session.lifetime().state() != SessionState::Running => Some(self.cut()),
                Err(refused) => Some(Ok(encode(&rows::refusal(&refused.error)))),
            },
            Ok(Next::Cut) => Some(self.cut()),
            Ok(Next::Complete) => None,
            Err(_) => Some(Ok(encode(&[keepalive()]))),
        }
    }

    fn end_rows(&self, answer: &CellAnswer) -> Bytes {
        encode(&rows::of_end(answer, self.cell_error, self.wall.now()))
    }

    fn cut(&mut self) -> Result<Bytes, std::io::Error> {
        self.run = None;
        Err(std::io::ErrorKind::ConnectionReset.into())
    }

    /// Cancel-safe: a received event is returned at once.
    async fn next(&mut self) -> Next {
        let Some(run) = &mut self.run else { return Next::Complete };
        let is_running = run.is_running();
        let item = tokio::select! {
            biased;
            item = run.next() => item,
            () = &mut self.session_end, if is_running => {
                self.run = None;
                return Next::Cut;
            }
        };
        match item {
            Some(LiveItem::Event(event)) => self.row(event),
            Some(LiveItem::Outcome(outcome)) => Next::End(Box::new(outcome)),
            None => Next::Complete,
        }
    }

    fn row(&mut self, event: CellEvent) -> Next {
        if matches!(event, CellEvent::Output { event: Event::Error(_), .. }) {
            self.cell_error = CellError::Sent;
        }
        Next::Row(rows::of_event(event, self.wall.now()))
    }
}

/// Returns a response with all its rows.
pub(super) fn complete_response(rows: &[Value]) -> Response {
    ndjson_response(Body::from(encode(rows)))
}

fn ndjson_response(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}
