//! How the planes say no: the bodies that E2B sends, for its clients tell causes apart by them.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use switchtower_core::error::Error;

/// A refusal; boxed, for a response is large.
pub(super) type Refusal = Box<Response>;

/// The control plane's form, and envd's.
pub(super) fn api(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "code": status.as_u16(), "message": message }))).into_response()
}

/// A form of the control plane for what stays as it is: its clients repeat the others.
pub(super) fn finally(status: StatusCode, message: &str) -> Response {
    let mut response = api(status, message);
    response.headers_mut().insert("should-retry", HeaderValue::from_static("false"));
    response
}

/// The interpreter's form.
pub(super) fn text(status: StatusCode, message: &str) -> Response {
    (status, message.to_owned()).into_response()
}

/// The control plane has no such sandbox.
pub(super) fn unknown(id: &str) -> Response {
    finally(StatusCode::NOT_FOUND, &format!("Sandbox \"{id}\" doesn't exist or you don't have access to it"))
}

/// The data planes have no such sandbox, or it sleeps.
pub(super) fn gone(id: &str) -> Response {
    let body = json!({ "sandboxId": id, "message": "The sandbox was not found", "code": 502 });
    (StatusCode::BAD_GATEWAY, Json(body)).into_response()
}

/// Nothing listens there.
pub(super) fn closed(id: &str, port: u16) -> Response {
    let message = "The sandbox is running but port is not open";
    let body = json!({ "sandboxId": id, "message": message, "port": port, "code": 502 });
    (StatusCode::BAD_GATEWAY, Json(body)).into_response()
}

pub(super) fn token() -> Response {
    let message = "unauthorized access, please provide a valid access token or method signing if supported";
    api(StatusCode::UNAUTHORIZED, message)
}

/// Returns a status of the table of refusals.
pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error in the control plane's form.
pub(super) fn refused(error: &Error) -> Response {
    when(error, api(status(error.class().e2b.status), &error.public_message()))
}

/// An error in the interpreter's form.
pub(super) fn refused_as_text(error: &Error) -> Response {
    when(error, text(status(error.class().e2b.status), &error.public_message()))
}

/// Says when to come back, or not to.
fn when(error: &Error, mut response: Response) -> Response {
    let headers = response.headers_mut();
    match error.retry_after() {
        Some(after) => later(headers, after),
        None => drop(headers.insert("should-retry", HeaderValue::from_static("false"))),
    }
    response
}

/// The headers of a refusal that passes.
pub(super) fn later(headers: &mut HeaderMap, after: Duration) {
    let seconds = (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1);
    for (name, value) in [("ratelimit-remaining", 0), ("ratelimit-reset", seconds)] {
        headers.insert(name, HeaderValue::from(value));
    }
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
}

/// A time as the control plane and envd write it.
pub(super) fn zulu(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX).to_string()
}
