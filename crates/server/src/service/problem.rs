//! Refusals as `application/problem+json` (RFC 9457): each kind has a stable `type`, a title and a status.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use switchtower_core::error::{self, Error, RequestError};
use switchtower_core::memory::NoSpace;
use switchtower_core::request::Invalid;
use switchtower_core::tier::Attempt;

use super::attempts::AttemptView;

/// The kind of a problem. Its slug is part of the API: it never changes and is never reused for another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    Malformed,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    SlowBody,
    TooLarge,
    UnsupportedMedia,
    Starting,
    Internal,
    /// A refusal of the request path, by the table of [`error::ErrorClass`].
    Refused(error::Kind),
}

impl From<error::Kind> for ProblemKind {
    fn from(kind: error::Kind) -> Self {
        Self::Refused(kind)
    }
}

impl ProblemKind {
    pub const ALL: [Self; 23] = [
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::SlowBody,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Refused(error::Kind::Invalid),
        Self::Refused(error::Kind::NoTier),
        Self::Refused(error::Kind::Quota),
        Self::Refused(error::Kind::Overloaded),
        Self::Refused(error::Kind::Unavailable),
        Self::Refused(error::Kind::Lost),
        Self::Refused(error::Kind::Gone),
        Self::Starting,
        Self::Internal,
        Self::Refused(error::Kind::TimedOut),
        Self::Refused(error::Kind::NoSpace),
        Self::Refused(error::Kind::LimitReached),
        Self::Refused(error::Kind::NotMovable),
        Self::Refused(error::Kind::Unsupported),
        Self::Refused(error::Kind::Conflict),
    ];

    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Malformed => ("malformed", "Malformed JSON", StatusCode::BAD_REQUEST),
            Self::Unauthorized => ("unauthorized", "API key required", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "Disabled on this server", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", "Not found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method-not-allowed", "Method not allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::SlowBody => ("slow-body", "Request body timed out", StatusCode::REQUEST_TIMEOUT),
            Self::TooLarge => ("too-large", "Request body too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMedia => {
                ("unsupported-media", "Unsupported media type", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::Starting => ("starting", "Server starting", StatusCode::SERVICE_UNAVAILABLE),
            // One problem for callers; the log has the cause.
            Self::Internal => Self::Refused(error::Kind::Rules).parts(),
            Self::Refused(kind) => {
                let class = kind.class();
                let status = StatusCode::from_u16(class.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (class.slug, class.title, status)
            }
        }
    }

    /// The stable identifier, a URN.
    pub fn urn(self) -> String {
        format!("urn:switchtower:problem:{}", self.parts().0)
    }

    pub fn status(self) -> StatusCode {
        self.parts().2
    }
}

/// A problem: its kind, the reason, and what is accepted.
#[derive(Debug, Clone)]
pub struct Problem {
    pub kind: ProblemKind,
    pub detail: String,
    /// Members beyond the standard ones: `field`, `allowed`, `line`, `column`, `retry_after_ms`, `attempts`.
    pub members: Map<String, Value>,
    /// Headers that belong to this refusal.
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
}

impl Problem {
    pub fn new(kind: impl Into<ProblemKind>, detail: impl Into<String>) -> Self {
        Self { kind: kind.into(), detail: detail.into(), members: Map::new(), retry_after: None, allow: None }
    }

    /// Returns the problem of an invalid field.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(error::Kind::Invalid, detail).with("field", field.into())
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Adds the time after which to retry: to the header in whole seconds, rounded up, and to the body in milliseconds.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self.with("retry_after_ms", u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    }

    /// Adds the header with the methods of the path.
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// The body.
    pub fn json(&self) -> Value {
        let (_, title, status) = self.kind.parts();
        let mut body = json!({
            "type": self.kind.urn(),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.members.clone());
        }
        body
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let detail = invalid.to_string();
        Self::field(invalid.field, detail).with("allowed", invalid.allowed)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), Json(self.json())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let problem = Self::new(error.kind(), error.public_message());
        let problem = match error.retry_after() {
            Some(after) => problem.retry_after(after),
            None => problem,
        };
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NoSpace(NoSpace { wanted, held, allowed }) => {
                problem.with("wanted", wanted).with("held", held).with("allowed", allowed)
            }
            _ => problem,
        }
    }
}

impl From<RequestError> for Problem {
    fn from(RequestError { error, attempts }: RequestError) -> Self {
        let problem = Self::from(error);
        if attempts.is_empty() { problem } else { problem.with("attempts", tried(&attempts)) }
    }
}

fn tried(attempts: &[Attempt]) -> Value {
    json!(attempts.iter().map(AttemptView::from).collect::<Vec<_>>())
}
