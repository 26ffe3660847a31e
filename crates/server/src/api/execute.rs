//! Runs programs: in the native form, as one answer or as events, and in the form of the service that this one
//! replaces.

use std::sync::Arc;

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use switchtower_contract::Exit;
use switchtower_core::request::Caller;
use switchtower_core::router::Answer;

use super::response::AnswerBody;
use super::state::ApiState;
use super::{parse, stream};
use crate::service::attempts::millis;
use crate::service::body_limits::BodyKind;
use crate::service::problem::Problem;

/// `POST /v1/execute`. When the client disconnects, this future or the stream that it returned is dropped, which ends
/// the program.
pub(super) async fn execute(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let wants_events = stream::accepts_events(request.headers());
    let (body, charge) = api.read_json(&caller, BodyKind::Program, request).await?;
    let request = parse::request(body, &api.request_limits, caller)?;
    if wants_events {
        return Ok(stream::execute(Arc::clone(&api.router), request, charge, api.config.keep_alive_interval).await);
    }
    let answer = api.router.execute(request, None).await?;
    Ok(Json(AnswerBody::whole(&answer)).into_response())
}

/// The answer in the form of the replaced service.
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
pub(super) async fn execute_legacy(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let (body, _charge) = api.read_json(&caller, BodyKind::Program, request).await?;
    let answer = api.router.execute(parse::legacy_request(body, &api.request_limits, caller)?, None).await?;
    let data = LegacyData {
        output: printed(&answer),
        error: answer.outcome.exit != Exit::Finished(0),
        execution_time: format!("{:.2} ms", millis(answer.outcome.usage.wall)),
    };
    Ok(Json(Legacy { success: true, data }).into_response())
}

/// Returns everything that the program printed, followed by its failure, if it failed.
fn printed(answer: &Answer) -> String {
    let output = &answer.output;
    let mut text = format!("{}{}", output.stdout, output.stderr);
    let end = match (&output.error, answer.outcome.exit) {
        (Some(failure), _) => failure.traceback.as_str(),
        (None, Exit::TimedOut) => "the program exceeded its time limit",
        (None, Exit::OutOfMemory) => "the program exceeded its memory limit",
        (None, Exit::Killed) => "the program killed its own interpreter",
        (None, Exit::Finished(_) | Exit::Raised) => "",
    };
    for part in [end, answer.note.as_deref().unwrap_or("")] {
        if !text.is_empty() && !text.ends_with('\n') && !part.is_empty() {
            text.push('\n');
        }
        text.push_str(part);
    }
    // The replaced service omits the last newline.
    if text.ends_with('\n') {
        text.pop();
    }
    text
}
