//! `POST /v1/batch`: runs several programs of one request concurrently and answers in their order. Together they may be
//! as large as one request.

use std::sync::Arc;

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use switchtower_core::request::Caller;
use tokio::task::JoinSet;

use super::fields::Fields;
use super::parse;
use super::response::AnswerBody;
use super::state::ApiState;
use crate::service::body_limits::BodyKind;
use crate::service::problem::{Problem, ProblemKind};

/// Every field of the body.
pub const BATCH_FIELDS: [&str; 1] = ["requests"];

/// Maximum number of programs in one request.
pub const MAX_PROGRAMS: usize = 100;

/// Each answer is that of `POST /v1/execute`, or its problem: a refusal does not affect the other programs.
pub(super) async fn batch(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let (body, _charge) = api.read_json(&caller, BodyKind::Program, request).await?;
    let request_limits = &api.request_limits;
    let requests = Fields::of_body(body, &BATCH_FIELDS)?.list("requests", MAX_PROGRAMS)?;
    // One task for each, so that the analysis of a hundred programs does not delay other callers. All end when the
    // client disconnects.
    let mut running = JoinSet::new();
    let mut answers = vec![Value::Null; requests.len()];
    for (at, request) in requests.into_iter().enumerate() {
        let (router, request) = (Arc::clone(&api.router), parse::request(request, request_limits, caller.clone()));
        running.spawn(async move {
            let answer = match request {
                Ok(request) => router.execute(request, None).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            let answer = match answer {
                Ok(answer) => json!(AnswerBody::whole(&answer)),
                Err(problem) => problem.json(),
            };
            (at, answer)
        });
    }
    while let Some(ended) = running.join_next().await {
        let (at, answer) = ended.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
        answers[at] = answer;
    }
    Ok(Json(json!({ "answers": answers })).into_response())
}
