//! How the planes say no: the exact bodies that E2B sends.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::fleet::Refusal;
use crate::quota::Empty;
use crate::settings::Rates;

pub(crate) const RATE: &str = "Rate limit exceeded, please try again later.";

/// The control plane's form, and envd's.
pub(crate) fn api(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"code": status.as_u16(), "message": message}))).into_response()
}

/// The interpreter's form.
pub(crate) fn text(status: StatusCode, message: &str) -> Response {
    (status, message.to_owned()).into_response()
}

/// The control plane has no such sandbox.
pub(crate) fn unknown(id: &str) -> Response {
    api(StatusCode::NOT_FOUND, &format!("Sandbox \"{id}\" doesn't exist or you don't have access to it"))
}

/// The proxy before the data planes has no such sandbox, or it sleeps.
pub(crate) fn gone(id: &str) -> Response {
    let body = json!({"sandboxId": id, "message": "The sandbox was not found", "code": 502});
    (StatusCode::BAD_GATEWAY, Json(body)).into_response()
}

pub(crate) fn token() -> Response {
    let message = "unauthorized access, please provide a valid access token or method signing if supported";
    api(StatusCode::UNAUTHORIZED, message)
}

/// No new sandbox.
pub(crate) fn refused(refusal: Refusal, rates: &Rates) -> Response {
    match refusal {
        Refusal::Rate(empty) => limited(api(StatusCode::TOO_MANY_REQUESTS, RATE), Some(empty), rates),
        Refusal::Cap(most) => api(
            StatusCode::TOO_MANY_REQUESTS,
            &format!(
                "you have reached the maximum number of concurrent E2B sandboxes ({most}). \
                 If you need more, please contact us at 'https://e2b.dev/docs/getting-help'"
            ),
        ),
    }
}

/// Adds when to come back.
pub(crate) fn limited(mut response: Response, empty: Option<Empty>, rates: &Rates) -> Response {
    let (seconds, limit) = empty.map_or((1, 1), |empty| (empty.retry_after.as_secs_f64().ceil() as u64, empty.limit));
    let headers = response.headers_mut();
    for (name, value) in [("ratelimit-limit", limit), ("ratelimit-remaining", 0), ("ratelimit-reset", seconds)] {
        headers.insert(name, HeaderValue::from(value));
    }
    if rates.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

pub(crate) async fn no_such_path(uri: Uri) -> Response {
    api(StatusCode::NOT_FOUND, &format!("no such path in this stand-in: {}", uri.path()))
}
