//! Refusals: responses that end a handler early.

use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use switchtower_e2b_wire::errors::{RATE_LIMITED, RetryAfter, add_rate_headers, api};

use crate::rate::RateExceeded;
use crate::sandboxes::CreateError;
use crate::settings::Rates;

/// A response that ends a handler early. Boxed, because a response is large.
pub(super) struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Returns the control plane's answer to a creation, or a resumption, that is refused.
pub(super) fn not_created(error: CreateError, rates: &Rates) -> Response {
    match error {
        CreateError::Rate(exceeded) => {
            rate_limited(api(StatusCode::TOO_MANY_REQUESTS, RATE_LIMITED), Some(exceeded), rates)
        }
        CreateError::TooMany { limit } => api(
            StatusCode::TOO_MANY_REQUESTS,
            &format!(
                "you have reached the maximum number of concurrent E2B sandboxes ({limit}). \
                 If you need more, please contact us at 'https://e2b.dev/docs/getting-help'"
            ),
        ),
    }
}

/// Adds the headers that name the time of a retry; one second if no rate was exceeded.
pub(super) fn rate_limited(mut response: Response, exceeded: Option<RateExceeded>, rates: &Rates) -> Response {
    let (seconds, limit) =
        exceeded.map_or((1, 1), |rate| (rate.retry_after.as_secs_f64().ceil() as u64, rate.bucket_size));
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", HeaderValue::from(limit));
    let retry_after = if rates.send_retry_after { RetryAfter::Sent } else { RetryAfter::Omitted };
    add_rate_headers(headers, seconds, retry_after);
    response
}

pub(super) async fn unknown_path(uri: Uri) -> Response {
    api(StatusCode::NOT_FOUND, &format!("no such path in this stand-in: {}", uri.path()))
}
