//! The OpenAPI document. `tests/api/openapi.rs` validates every answer of the API against it, and compares the fields and bounds
//! of requests with the constants and default settings that the code enforces. It is a file rather than generated from types,
//! because the types of its answers are spread over crates that do not depend on axum or an OpenAPI library.

use axum::http::header;
use axum::response::IntoResponse;

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
