//! Runs cells, and answers whole or as events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use switchtower_contract::{Failure, File, Output};
use switchtower_core::error::RequestError;
use switchtower_core::memory::Charge;
use switchtower_core::request::Caller;
use switchtower_core::route::TierName;
use switchtower_core::session::{CellAnswer, CellEvent, ExecuteCell, Session};
use tokio::sync::mpsc::{self, Receiver};

use super::super::parse;
use super::super::path_names::PathNames;
use super::super::response::{DecisionView, ResultView, UsageView};
use super::super::state::ApiState;
use super::super::stream::{self, NamedEvent};
use super::activity::SessionUse;
use super::files as session_files;
use crate::service::body_limits::BodyKind;
use crate::service::live::LiveRun;
use crate::service::problem::Problem;

/// Maximum number of events that wait for the client. A slow client slows the cell down.
const EVENT_BUFFER: usize = 64;

/// `POST /v1/sessions/{id}/execute`. When the client disconnects, this future or the stream that it returned is
/// dropped, which ends the cell; the session keeps the state that it had before the cell.
pub(super) async fn execute(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames(id): PathNames<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let wants_events = stream::accepts_events(request.headers());
    let (body, charge) = api.read_json(&caller, BodyKind::Program, request).await?;
    let (cell, files) = parse::cell(body, &api.request_limits)?;
    let (run, mut events) = begin(api.session(&caller, &id)?, cell, files, charge).await?;
    if wants_events {
        let run = LiveRun::new(events, run);
        return Ok(stream::into_response(run, event, end, api.config.keep_alive_interval).await);
    }
    let mut output = Output::default();
    let collect = async {
        while let Some(event) = events.recv().await {
            if let CellEvent::Output { event, .. } = event {
                output.push(event);
            }
        }
    };
    let (done, ()) = tokio::join!(run, collect);
    Ok(Json(CellBody::of(&done?, Some(&output))).into_response())
}

/// Writes the files of a cell. Returns its run, which nothing has polled yet, and its events. Dropping the run ends the
/// cell; the charge is kept until it has ended.
pub(super) async fn begin(
    session: Arc<Session>,
    cell: ExecuteCell,
    files: Vec<File>,
    charge: Charge,
) -> Result<(impl Future<Output = Result<CellAnswer, RequestError>> + Send + use<>, Receiver<CellEvent>), Problem> {
    let session_use = SessionUse::begin(session).await?;
    // A cell for an unknown context is refused below, so its files are not written.
    if cell.context.as_ref().is_none_or(|context| session_use.session().contexts().contains(context)) {
        let files = files.into_iter().map(|file| (file.path, file.content.into())).collect();
        session_use.run(session_files::put(session_use.session(), files)).await?;
    }
    let (sender, events) = mpsc::channel(EVENT_BUFFER);
    let run = async move {
        let done = session_use.run(session_use.session().execute(cell, &sender)).await;
        drop(charge);
        done
    };
    Ok((run, events))
}

/// Returns the last event of a cell.
pub(super) fn end(done: &CellAnswer) -> NamedEvent {
    stream::named("end", &CellBody::of(done, None))
}

pub(super) fn event(event: CellEvent) -> NamedEvent {
    match event {
        CellEvent::Started { number } => stream::named("began", &json!({ "number": number })),
        CellEvent::Output { event, .. } => stream::event(event),
    }
}

/// The answer to a cell: the fields of `POST /v1/execute`, and those of sessions.
#[derive(Serialize)]
struct CellBody<'a> {
    id: &'a str,
    /// Its execution count.
    number: u32,
    exit: &'static str,
    exit_code: i32,
    /// `None`: the stream has sent it before.
    #[serde(flatten)]
    output: Option<CellOutput<'a>>,
    truncated: bool,
    tier: &'a TierName,
    moved: Option<&'a str>,
    restarted: bool,
    decision: DecisionView<'a>,
    usage: UsageView,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct CellOutput<'a> {
    stdout: &'a str,
    stderr: &'a str,
    results: Vec<ResultView<'a>>,
    error: Option<&'a Failure>,
}

impl<'a> CellBody<'a> {
    fn of(done: &'a CellAnswer, output: Option<&'a Output>) -> Self {
        Self {
            id: &done.id,
            number: done.number,
            exit: done.outcome.exit.name(),
            exit_code: done.outcome.exit.code(),
            output: output.map(CellOutput::from),
            truncated: done.outcome.truncated,
            tier: &done.tier,
            moved: done.moved.as_deref(),
            restarted: done.restarted,
            decision: DecisionView::from(&*done.decision),
            usage: UsageView::from(&done.outcome.usage),
            note: done.note.as_deref(),
        }
    }
}

impl<'a> From<&'a Output> for CellOutput<'a> {
    fn from(output: &'a Output) -> Self {
        Self {
            stdout: &output.stdout,
            stderr: &output.stderr,
            results: output.results.iter().map(ResultView::from).collect(),
            error: output.error.as_ref(),
        }
    }
}
