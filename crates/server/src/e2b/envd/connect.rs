//! The Connect protocol with JSON: unary calls, and streams of enveloped messages.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use switchtower_core::session::files::FileError;

/// The flag of the message that ends a stream.
const LAST: u8 = 0x02;

/// An error of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    code: Code,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    Unimplemented,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
}

impl Code {
    const ALL: [Self; 9] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::Unimplemented,
        Self::DeadlineExceeded,
        Self::FailedPrecondition,
        Self::Internal,
    ];

    /// Returns the code of this name in the table of refusals.
    pub(super) fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|code| code.parts().0 == name).unwrap_or(Self::Internal)
    }

    fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
            Self::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
            Self::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            Self::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
            Self::DeadlineExceeded => ("deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
            Self::FailedPrecondition => ("failed_precondition", StatusCode::BAD_REQUEST),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl Error {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn json(&self) -> Value {
        json!({ "code": self.code.parts().0, "message": self.message })
    }

    /// As the call expects it: a status, or the end of a stream.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        if is_stream(headers) {
            return stream(Body::from(last(Some(self))));
        }
        (self.code.parts().1, Json(self.json())).into_response()
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        let code = match &error {
            FileError::NotFound(_) => Code::NotFound,
            FileError::AlreadyExists(_) => Code::AlreadyExists,
            FileError::IsFolder(_) | FileError::NotFolder(_) | FileError::Invalid(_) => Code::InvalidArgument,
            FileError::NoSpace(_) => Code::ResourceExhausted,
            FileError::Full { .. } | FileError::Moved => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/connect+"))
}

/// The one message of a call, enveloped where it opens a stream.
pub(super) fn message<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    let invalid = |why: String| Error::new(Code::InvalidArgument, why);
    let text =
        if is_stream(headers) { first(body).ok_or_else(|| invalid("incomplete envelope".into()))? } else { body };
    let text = if text.is_empty() { b"{}".as_slice() } else { text };
    serde_json::from_slice(text).map_err(|wrong| invalid(format!("unmarshal message: {wrong}")))
}

/// What is in the first envelope.
fn first(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_first_chunk::<5>()?;
    let [flag, length @ ..] = *head;
    // A stream that ends at once has no message.
    if flag & LAST != 0 { None } else { rest.get(..usize::try_from(u32::from_be_bytes(length)).ok()?) }
}

fn envelope(flag: u8, message: &Value) -> Bytes {
    let payload = message.to_string().into_bytes();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&[flag], length.to_be_bytes().as_slice(), &payload].concat().into()
}

pub(super) fn data(message: &Value) -> Bytes {
    envelope(0, message)
}

/// The end of a stream, with or without an error.
pub(super) fn last(error: Option<&Error>) -> Bytes {
    envelope(LAST, &error.map_or_else(|| json!({}), |error| json!({ "error": error.json() })))
}

pub(super) fn stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/connect+json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn every_code_of_the_table_of_refusals_is_known() {
        for kind in switchtower_core::error::Kind::ALL {
            let name = kind.class().e2b.connect;
            assert_eq!(Code::of(name).parts().0, name);
        }
    }

    #[test]
    fn a_message_is_the_same_in_and_out_of_an_envelope() {
        let streams =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/connect+json"))]);
        let sent = json!({ "path": "/tmp" });
        assert_eq!(message::<Value>(&streams, &data(&sent)), Ok(sent.clone()));
        assert_eq!(message::<Value>(&HeaderMap::new(), sent.to_string().as_bytes()), Ok(sent.clone()));
        assert_eq!(message::<Value>(&HeaderMap::new(), b""), Ok(json!({})));
        let whole = data(&sent);
        for broken in [&whole[..whole.len() - 1], &whole[..4], b"", &last(None)] {
            assert!(message::<Value>(&streams, broken).is_err());
        }
    }

    #[test]
    fn an_error_ends_a_stream_within_it() {
        let error = Error::new(Code::PermissionDenied, "no");
        let text = r#"{"error":{"code":"permission_denied","message":"no"}}"#;
        assert_eq!(last(Some(&error)), [&[2, 0, 0, 0, 53], text.as_bytes()].concat());
        assert_eq!(last(None), [2, 0, 0, 0, 2, b'{', b'}'].as_slice());
    }
}
