//! `POST /v1/batch`: several programs in one request, run at the same time, answered in their order. Together they are no
//! larger than one request may be.

use std::sync::Arc;

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::answer::Body;
use super::fields::Fields;
use super::problem::Problem;
use super::{Door, asked};
use crate::request::Caller;

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
    let (body, ceilings) = (door.body(request).await?, &door.house.ceilings);
    let requests = Fields::of_body(body, &BATCH_FIELDS)?.list("requests", MOST)?;
    let running = requests.into_iter().map(|request| {
        let (router, caller) = (Arc::clone(&door.router), caller.clone());
        let request = asked::request(request, ceilings, caller);
        async move {
            let answer = match request {
                Ok(request) => router.execute(request, None).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            match answer {
                Ok(answer) => json!(Body::whole(&answer)),
                Err(problem) => problem.json(),
            }
        }
    });
    let answers: Vec<Value> = futures_util::future::join_all(running).await;
    Ok(Json(json!({ "answers": answers })).into_response())
}
