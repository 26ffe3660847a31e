//! `POST /v1/explain`: the decision for a program and the profile behind it. Runs nothing.

use std::sync::Arc;

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use switchtower_core::analyse::Profile;
use switchtower_core::error::Error;
use switchtower_core::request::Caller;
use switchtower_core::router::Explanation;

use super::parse;
use super::response::DecisionView;
use super::state::ApiState;
use crate::service::body_limits::BodyKind;
use crate::service::problem::Problem;

/// A profile, and the decision or why there is none.
#[derive(Serialize)]
pub struct ExplanationView<'a> {
    profile: &'a Profile,
    decision: Option<DecisionView<'a>>,
    decision_error: Option<String>,
}

/// Returns an explanation in the form of the API.
pub fn explanation_view(explanation: &Explanation) -> ExplanationView<'_> {
    ExplanationView {
        profile: &explanation.profile,
        decision: explanation.decision.as_ref().ok().map(|decision| DecisionView::from(&**decision)),
        decision_error: explanation.decision.as_ref().err().map(ToString::to_string),
    }
}

pub(super) async fn explain(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let (body, _charge) = api.read_json(&caller, BodyKind::Program, request).await?;
    let explanation = api.router.explain(&parse::request(body, &api.request_limits, caller)?);
    // "No tier can run this" is an explanation; an unknown tier is an error of the request.
    if let Err(error @ (Error::Invalid(_) | Error::Rules { .. })) = &explanation.decision {
        return Err(error.clone().into());
    }
    Ok(Json(explanation_view(&explanation)).into_response())
}
