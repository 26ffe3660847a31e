//! Paths of our own, for whoever holds the stand-in from outside.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::refusal::text;
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

/// Sets the faults; answers with those in force.
pub(super) async fn faults(State(fake): State<Fake>, body: String) -> Response {
    match body.parse::<Faults>() {
        Ok(faults) => {
            let told = faults.to_string();
            fake.set_faults(faults);
            told.into_response()
        }
        Err(e) => text(StatusCode::BAD_REQUEST, &e.to_string()),
    }
}
