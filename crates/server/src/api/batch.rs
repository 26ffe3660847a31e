//! `POST /v1/batch`: several programs in one request, run at the same time, answered in their order. Together they are no
//! larger than one request may be.

use std::sync::Arc;

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use switchtower_core::request::Caller;
use tokio::task::JoinSet;

use super::fields::Fields;
use super::response::Body;
use super::{Door, parse};
use crate::service::body_limits::BodyKind;
use crate::service::problem::{Kind, Problem};

/// Every field of the body.
pub const BATCH_FIELDS: [&str; 1] = ["requests"];

/// Most programs in one request.
const MOST: usize = 100;

/// Each answer is what `POST /v1/execute` would give, or its problem: one that is refused takes nothing from the others.
pub(super) async fn batch(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let door = &door.0;
    let (body, _charge) = door.body(&caller, BodyKind::Program, request).await?;
    let ceilings = &door.app.ceilings;
    let requests = Fields::of_body(body, &BATCH_FIELDS)?.list("requests", MOST)?;
    // Each in a task of its own: looking at a hundred programs must not keep other callers from being looked after. All of
    // them end when the client leaves.
    let mut running = JoinSet::new();
    let mut answers = vec![Value::Null; requests.len()];
    for (at, request) in requests.into_iter().enumerate() {
        let (router, request) = (Arc::clone(&door.router), parse::request(request, ceilings, caller.clone()));
        running.spawn(async move {
            let answer = match request {
                Ok(request) => router.execute(request, None).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            let answer = match answer {
                Ok(answer) => json!(Body::whole(&answer)),
                Err(problem) => problem.json(),
            };
            (at, answer)
        });
    }
    while let Some(ended) = running.join_next().await {
        let (at, answer) = ended.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
        answers[at] = answer;
    }
    Ok(Json(json!({ "answers": answers })).into_response())
}
