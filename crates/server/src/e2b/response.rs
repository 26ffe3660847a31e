//! Refusals: the bodies that E2B sends, since its clients tell causes apart by them, and when to retry.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use switchtower_core::error::{Error, Kind};
use switchtower_e2b_wire::errors::{self, RetryAfter, add_rate_headers, api, text};

/// A refusal; boxed, for a response is large.
pub(super) type Refusal = Box<Response>;

/// Returns a refusal of the control plane that its clients must not retry. They retry all others.
pub(super) fn permanent(status: StatusCode, message: &str) -> Response {
    let mut response = api(status, message);
    response.headers_mut().insert("should-retry", HeaderValue::from_static("false"));
    response
}

/// Returns the control plane's answer for a sandbox that does not exist.
pub(super) fn unknown_sandbox(id: &str) -> Response {
    let mut response = errors::unknown_sandbox(id);
    response.headers_mut().insert("should-retry", HeaderValue::from_static("false"));
    response
}

/// Returns a refusal of this kind whose message is E2B's, and which the clients of the control plane must not retry.
pub(super) fn permanent_of(kind: Kind, message: &str) -> Response {
    permanent(status_of(kind), message)
}

/// Returns the status of this kind in the control plane and in the interpreter.
pub(super) fn status_of(kind: Kind) -> StatusCode {
    status(kind.class().e2b.status)
}

/// Returns the status of this kind in envd.
pub(super) fn envd_status_of(kind: Kind) -> StatusCode {
    status(kind.class().e2b.envd_status)
}

/// Returns a status of the table of refusals.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Returns an error in the form of the control plane and of envd.
pub(super) fn refused(error: &Error) -> Response {
    with_retry(error, api(status_of(error.kind()), &error.public_message()))
}

/// Returns an error in the form of the interpreter.
pub(super) fn refused_as_text(error: &Error) -> Response {
    with_retry(error, text(status_of(error.kind()), &error.public_message()))
}

/// Adds when to retry, or that a retry does not help.
fn with_retry(error: &Error, mut response: Response) -> Response {
    let headers = response.headers_mut();
    match error.retry_after() {
        Some(after) => add_retry_after(headers, after),
        None => drop(headers.insert("should-retry", HeaderValue::from_static("false"))),
    }
    response
}

/// Adds the headers of a refusal that may be retried after this time, rounded up to whole seconds.
pub(super) fn add_retry_after(headers: &mut HeaderMap, after: Duration) {
    let seconds = (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1);
    add_rate_headers(headers, seconds, RetryAfter::Sent);
}
