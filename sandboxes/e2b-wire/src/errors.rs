//! Error bodies. E2B's clients tell causes apart by them, so they are spelt as E2B spells them.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The message of a refusal for exceeding a rate.
pub const RATE_LIMITED: &str = "Rate limit exceeded, please try again later.";

/// Returns an error in the form of the control plane and of envd.
pub fn api(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "code": status.as_u16(), "message": message }))).into_response()
}

/// Returns an error in the form of the interpreter.
pub fn text(status: StatusCode, message: &str) -> Response {
    (status, message.to_owned()).into_response()
}

/// Returns the interpreter's answer to an invalid body, in the form of FastAPI.
pub fn invalid_body(error: &serde_json::Error) -> Response {
    let kind = if error.is_data() { "value_error" } else { "json_invalid" };
    let detail = json!({ "detail": [{ "type": kind, "loc": ["body"], "msg": error.to_string() }] });
    (StatusCode::UNPROCESSABLE_ENTITY, Json(detail)).into_response()
}

/// Returns the control plane's answer for a sandbox that does not exist.
pub fn unknown_sandbox(id: &str) -> Response {
    api(StatusCode::NOT_FOUND, &format!("Sandbox \"{id}\" doesn't exist or you don't have access to it"))
}

/// Returns the proxy's answer for a sandbox that does not exist or is paused.
pub fn sandbox_not_running(id: &str) -> Response {
    let body = json!({ "sandboxId": id, "message": "The sandbox was not found", "code": 502 });
    (StatusCode::BAD_GATEWAY, Json(body)).into_response()
}

/// Returns the proxy's answer for a port that nothing listens on.
pub fn port_not_open(id: &str, port: u16) -> Response {
    let message = "The sandbox is running but port is not open";
    let body = json!({ "sandboxId": id, "message": message, "port": port, "code": 502 });
    (StatusCode::BAD_GATEWAY, Json(body)).into_response()
}

/// Returns the answer to a call into a sandbox with neither its token nor a valid signature.
pub fn unauthorized() -> Response {
    let message = "unauthorized access, please provide a valid access token or method signing if supported";
    api(StatusCode::UNAUTHORIZED, message)
}

/// Returns the interpreter's answer for a context that does not exist.
pub fn unknown_context(id: &str) -> Response {
    text(StatusCode::NOT_FOUND, &format!("Context {id} not found"))
}

/// Whether a refusal also has the retry time in `Retry-After`; proxies may remove that header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    Sent,
    Omitted,
}

/// Adds the headers of a refusal that ends in `seconds`.
pub fn add_rate_headers(headers: &mut HeaderMap, seconds: u64, retry_after: RetryAfter) {
    for (name, value) in [("ratelimit-remaining", 0), ("ratelimit-reset", seconds)] {
        headers.insert(name, HeaderValue::from(value));
    }
    if retry_after == RetryAfter::Sent {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}
