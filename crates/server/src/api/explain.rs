//! `POST /v1/explain`: the decision and the whole sum behind it. Runs nothing.

use axum::body::Body as Raw;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use switchtower_core::analyse::Profile;
use switchtower_core::error::Error;
use switchtower_core::request::Caller;
use switchtower_core::router::Explanation;

use super::response::Decided;
use super::{Door, parse};
use crate::service::body_limits::BodyKind;
use crate::service::problem::Problem;

/// A profile, and the decision or why there is none.
#[derive(Serialize)]
pub struct Explained<'a> {
    profile: &'a Profile,
    decision: Option<Decided<'a>>,
    undecided: Option<String>,
}

/// An explanation in the form that the door gives it.
pub fn explained(explanation: &Explanation) -> Explained<'_> {
    Explained {
        profile: &explanation.profile,
        decision: explanation.decision.as_ref().ok().map(Decided::from),
        undecided: explanation.decision.as_ref().err().map(ToString::to_string),
    }
}

pub(super) async fn explain(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    request: Request<Raw>,
) -> Result<Response, Problem> {
    let door = &door.0;
    let (body, _charge) = door.body(&caller, BodyKind::Program, request).await?;
    let explanation = door.router.explain(&parse::request(body, &door.app.ceilings, caller)?);
    // That no tier may take it explains something; a tier that does not exist is a mistake of the request.
    if let Err(error @ (Error::Invalid(_) | Error::Rules { .. })) = &explanation.decision {
        return Err(error.clone().into());
    }
    Ok(Json(explained(&explanation)).into_response())
}
