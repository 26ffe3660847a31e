//! Runs programs: in the native form, as one answer or as events, and in the form of the service that this one
//! replaces.

use std::sync::Arc;

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use switchtower_contract::Exit;
use switchtower_core::error;
use switchtower_core::request::Caller;

use super::response::AnswerBody;
use super::state::ApiState;
use super::{parse, printed, stream};
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
    /// False if the program was not executed, as far as is known.
    success: bool,
    data: LegacyData,
    #[serde(flatten)]
    not_executed: Option<NotExecuted>,
}

/// What clients of the replaced service show where a program could not be executed: its code, and why.
#[derive(Serialize)]
struct NotExecuted {
    /// `not_executed`, or `outcome_unknown` where the program may have run.
    class: &'static str,
    reason: String,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LegacyData {
    output: String,
    error: bool,
    execution_time: String,
}

/// `POST /api/code/execute`. Where no tier can execute the program now, the answer says so with the status 200, because
/// the clients of the replaced service then show the code; what the caller has to change is refused as elsewhere.
pub(super) async fn execute_legacy(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let (body, _charge) = api.read_json(&caller, BodyKind::Program, request).await?;
    let request = parse::legacy_request(body, &api.request_limits, caller, parse::language)?;
    let code = request.program.source.clone();
    let answer = match api.router.execute(request, None).await.map_err(Problem::from) {
        Ok(answer) => answer,
        Err(problem) if problem.kind.status().is_server_error() || problem.kind == error::Kind::NoTier.into() => {
            return Ok(not_executed(problem, code));
        }
        Err(problem) => return Err(problem),
    };
    let data = LegacyData {
        output: printed::lines(&[
            &printed::streams(&answer),
            printed::end(&answer),
            printed::note(&answer),
            printed::cut(&answer),
        ]),
        error: answer.outcome.exit != Exit::Finished(0),
        execution_time: format!("{:.2} ms", millis(answer.outcome.usage.wall)),
    };
    Ok(Json(Legacy { success: true, data, not_executed: None }).into_response())
}

fn not_executed(problem: Problem, code: String) -> Response {
    let retry_after_ms = problem.members.get("retry_after_ms").and_then(Value::as_u64);
    let data = LegacyData { output: String::new(), error: true, execution_time: format!("{:.2} ms", 0.0) };
    let lost = problem.kind == error::Kind::Lost.into();
    let class = if lost { "outcome_unknown" } else { "not_executed" };
    let not_executed = Some(NotExecuted { class, reason: problem.detail, code, retry_after_ms });
    Json(Legacy { success: false, data, not_executed }).into_response()
}
