//! Paths that E2B does not have: tests and operators control the stand-in by them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use switchtower_e2b_wire::errors::text;

use crate::counts::Counts;
use crate::fake::Fake;
use crate::faults::Faults;

pub(super) async fn counts(State(fake): State<Fake>) -> Json<Counts> {
    Json(fake.counts())
}

pub(super) async fn reset_counts(State(fake): State<Fake>) -> StatusCode {
    fake.reset_counts();
    StatusCode::NO_CONTENT
}

/// Sets the faults, and answers with those in force.
pub(super) async fn faults(State(fake): State<Fake>, body: String) -> Response {
    match body.parse::<Faults>() {
        Ok(faults) => {
            let in_force = faults.to_string();
            fake.set_faults(faults);
            in_force.into_response()
        }
        Err(error) => text(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}
