//! Running a program: the native form, whole or as events, and the form of the service that this one replaces.

use std::sync::Arc;

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use switchtower_contract::Exit;
use switchtower_core::request::Caller;
use switchtower_core::router::Answer;

use super::response::Body;
use super::{Door, parse, stream};
use crate::service::attempts::millis;
use crate::service::body_limits::BodyKind;
use crate::service::problem::Problem;

/// `POST /v1/execute`. A client that goes away drops this future, or the stream it returned, and so ends its program.
pub(super) async fn native(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let door = &door.0;
    let live = stream::is_wanted(request.headers());
    let (body, charge) = door.body(&caller, BodyKind::Program, request).await?;
    let request = parse::request(body, &door.app.ceilings, caller)?;
    if live {
        return Ok(stream::execute(Arc::clone(&door.router), request, charge, door.config.keep_alive_interval).await);
    }
    let answer = door.router.execute(request, None).await?;
    Ok(Json(Body::whole(&answer)).into_response())
}

/// The answer in the old form.
#[derive(Serialize)]
struct Legacy {
    success: bool,
    data: LegacyData,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LegacyData {
    output: String,
    error: bool,
    execution_time: String,
}

/// `POST /api/code/execute`.
pub(super) async fn legacy(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let door = &door.0;
    let (body, _charge) = door.body(&caller, BodyKind::Program, request).await?;
    let answer = door.router.execute(parse::legacy(body, &door.app.ceilings, caller)?, None).await?;
    let data = LegacyData {
        output: printed(&answer),
        error: answer.outcome.exit != Exit::Finished(0),
        execution_time: format!("{:.2} ms", millis(answer.outcome.usage.wall)),
    };
    Ok(Json(Legacy { success: true, data }).into_response())
}

/// All that the program printed, then how it ended where that was not well.
fn printed(answer: &Answer) -> String {
    let output = &answer.output;
    let mut text = format!("{}{}", output.stdout, output.stderr);
    let end = match (&output.error, answer.outcome.exit) {
        (Some(failure), _) => failure.traceback.as_str(),
        (None, Exit::TimedOut) => "the program took longer than it may",
        (None, Exit::OutOfMemory) => "the program took more memory than it may",
        (None, Exit::Killed) => "the program destroyed its own interpreter",
        (None, Exit::Finished(_) | Exit::Raised) => "",
    };
    for part in [end, answer.note.as_deref().unwrap_or("")] {
        if !text.is_empty() && !text.ends_with('\n') && !part.is_empty() {
            text.push('\n');
        }
        text.push_str(part);
    }
    // As the old service had it: without the last line's end.
    if text.ends_with('\n') {
        text.pop();
    }
    text
}
