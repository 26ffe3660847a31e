//! Running a cell: whole, or as events.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::sse::Event as Sent;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use switchtower_contract::{Failure, Output};
use switchtower_core::request::Caller;
use switchtower_core::route::TierName;
use switchtower_core::session::{CellAnswer, CellEvent};
use tokio::sync::mpsc;

use super::files;
use crate::api::response::{Decided, Displayed, Used};
use crate::api::stream::{self, Running};
use crate::api::{Door, parse};
use crate::service::body_limits::BodyKind;
use crate::service::problem::Problem;

/// Room for what nobody has read yet. A slow reader slows the cell down.
const ROOM: usize = 64;

/// `POST /v1/sessions/{id}/execute`. A client that goes away drops this future, or the stream it returned, and so ends
/// its cell; the session goes on as it was before the cell.
pub(super) async fn execute(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let door = &door.0;
    let live = stream::is_wanted(request.headers());
    let (body, charge) = door.body(&caller, BodyKind::Program, request).await?;
    let (cell, given) = parse::cell(body, &door.app.ceilings)?;
    let used = door.used(&caller, &id).await?;
    // A cell for a context that is not there is refused below, and changes nothing.
    if cell.context.as_ref().is_none_or(|context| used.session().has_context(context)) {
        let given = given.into_iter().map(|file| (file.path, file.content.into())).collect();
        used.during(files::put(used.session(), given)).await?;
    }
    let (to, mut said) = mpsc::channel(ROOM);
    let execution = async move {
        let done = used.during(used.session().execute(cell, &to)).await;
        drop(charge);
        done
    };
    if live {
        let end = |done: &CellAnswer| stream::named("end", &Answered::of(done, None));
        return Ok(Running::new(said, execution).told(sent, end, door.config.keep_alive_interval).await);
    }
    let mut output = Output::default();
    let hear = async {
        while let Some(said) = said.recv().await {
            if let CellEvent::Output { event, .. } = said {
                output.push(event);
            }
        }
    };
    let (done, ()) = tokio::join!(execution, hear);
    Ok(Json(Answered::of(&done?, Some(&output))).into_response())
}

fn sent(said: CellEvent) -> Sent {
    match said {
        CellEvent::Started { number } => stream::named("began", &json!({ "number": number })),
        CellEvent::Output { event, .. } => stream::event(event),
    }
}

/// How a cell ended: as of `POST /v1/execute`, and what is a session's own.
#[derive(Serialize)]
struct Answered<'a> {
    id: &'a str,
    /// Its execution count.
    number: u32,
    exit: &'static str,
    exit_code: i32,
    /// None: it was told before.
    #[serde(flatten)]
    output: Option<Printed<'a>>,
    truncated: bool,
    tier: &'a TierName,
    moved: Option<&'a str>,
    restarted: bool,
    decision: Decided<'a>,
    usage: Used,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct Printed<'a> {
    stdout: &'a str,
    stderr: &'a str,
    results: Vec<Displayed<'a>>,
    error: Option<&'a Failure>,
}

impl<'a> Answered<'a> {
    fn of(done: &'a CellAnswer, output: Option<&'a Output>) -> Self {
        Self {
            id: &done.id,
            number: done.number,
            exit: done.outcome.exit.name(),
            exit_code: done.outcome.exit.code(),
            output: output.map(Printed::from),
            truncated: done.outcome.truncated,
            tier: &done.tier,
            moved: done.moved.as_deref(),
            restarted: done.restarted,
            decision: Decided::from(&done.decision),
            usage: Used::from(&done.outcome.usage),
            note: done.note.as_deref(),
        }
    }
}

impl<'a> From<&'a Output> for Printed<'a> {
    fn from(output: &'a Output) -> Self {
        Self {
            stdout: &output.stdout,
            stderr: &output.stderr,
            results: output.results.iter().map(Displayed::from).collect(),
            error: output.error.as_ref(),
        }
    }
}
