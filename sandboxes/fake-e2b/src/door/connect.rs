//! The Connect protocol with JSON: unary calls, and streams of enveloped messages.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::disk::Trouble;

/// The flag of the message that ends a stream.
const LAST: u8 = 0x02;

/// An error of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) code: Code,
    pub(super) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    DeadlineExceeded,
    Unimplemented,
    Internal,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Error {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn unimplemented(method: &str) -> Self {
        Self::new(Code::Unimplemented, format!("this stand-in has no {method}"))
    }

    fn json(&self) -> Value {
        json!({"code": self.code.name(), "message": self.message})
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        let code = match &trouble {
            Trouble::NotFound(_) => Code::NotFound,
            Trouble::Exists(_) => Code::AlreadyExists,
            Trouble::IsDir(_) | Trouble::NotDir(_) => Code::InvalidArgument,
            Trouble::Denied(_) => Code::PermissionDenied,
            Trouble::Other(_) => Code::Internal,
        };
        Self::new(code, trouble.to_string())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.code.status(), Json(self.json())).into_response()
    }
}

/// The one message of a unary call.
pub(super) fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.is_empty() { b"{}".as_slice() } else { body };
    serde_json::from_slice(body).map_err(|e| Error::new(Code::InvalidArgument, format!("unmarshal message: {e}")))
}

/// The messages of a stream that a client sent.
pub(super) fn messages(body: &[u8]) -> Result<Vec<Value>, Error> {
    let short = || Error::new(Code::InvalidArgument, "protocol error: incomplete envelope");
    let mut rest = body;
    let mut found = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (payload, after) = after.split_at_checked(length).ok_or_else(short)?;
        if head[0] & LAST == 0 {
            found.push(message(payload)?);
        }
        rest = after;
    }
    if rest.is_empty() { Ok(found) } else { Err(short()) }
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
    envelope(LAST, &error.map_or_else(|| json!({}), |error| json!({"error": error.json()})))
}

pub(super) fn stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/connect+json")], body).into_response()
}

/// A stream that is over at once.
pub(super) fn failed(error: &Error) -> Response {
    stream(Body::from(last(Some(error))))
}

pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/connect+"))
}

/// Bytes as proto3 writes them in JSON.
pub(super) fn bytes(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn read_bytes(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|e| Error::new(Code::InvalidArgument, format!("bytes: {e}")))
}
