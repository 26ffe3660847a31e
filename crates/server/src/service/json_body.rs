//! Reads JSON bodies: checks the media type, the limits of [`body`](super::body), and the grammar.

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use serde_json::Value;
use switchtower_core::error::Error;
use switchtower_core::memory::Charge;
use switchtower_core::request::Caller;

use super::body::{BodyError, BodyReader};
use super::body_limits::{BodyKind, MAX_JSON_VALUES};
use super::problem::{Problem, ProblemKind};

/// Returns the body as JSON, and its charge, to be kept until the request is answered.
///
/// # Errors
/// The media type is not JSON, the body exceeds a limit, or it is not valid JSON.
pub(crate) async fn read_json(
    reader: &BodyReader,
    caller: &Caller,
    kind: BodyKind,
    request: Request<Body>,
) -> Result<(Value, Charge), Problem> {
    let (parts, body) = request.into_parts();
    check_media_type(&parts.headers)?;
    let read = reader.read(caller, kind, &parts.headers, body).await.map_err(|error| body_problem(&error))?;
    let value = serde_json::from_slice(&read.bytes).map_err(|wrong| malformed(&wrong))?;
    Ok((value, read.charge))
}

/// Returns a message of a WebSocket as JSON, and its charge, to be kept until the message is answered.
///
/// # Errors
/// It has too many values, is more than its caller may hold, or is not valid JSON.
pub(crate) fn parse_message(reader: &BodyReader, caller: &Caller, text: &str) -> Result<(Value, Charge), Problem> {
    let charge = reader.charge_json(caller, text.as_bytes()).map_err(|error| body_problem(&error))?;
    let value = serde_json::from_str(text).map_err(|wrong| malformed(&wrong))?;
    Ok((value, charge))
}

fn malformed(wrong: &serde_json::Error) -> Problem {
    Problem::new(ProblemKind::Malformed, wrong.to_string()).with("line", wrong.line()).with("column", wrong.column())
}

/// Returns the problem for a body that was not read.
pub(crate) fn body_problem(error: &BodyError) -> Problem {
    let detail = error.to_string();
    match error {
        BodyError::TooLarge(max) => Problem::new(ProblemKind::TooLarge, detail).with("allowed", *max),
        BodyError::TooManyValues => Problem::new(ProblemKind::TooLarge, detail).with("allowed", MAX_JSON_VALUES),
        BodyError::TimedOut => Problem::new(ProblemKind::SlowBody, detail),
        BodyError::Incomplete(_) | BodyError::NotGzip(_) => Problem::new(ProblemKind::Malformed, detail),
        BodyError::Encoded => Problem::new(ProblemKind::UnsupportedMedia, detail).with("allowed", "identity"),
        BodyError::NoSpace(no_space) => Error::from(no_space.clone()).into(),
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let detail = if media_type.is_empty() {
        "Content-Type is missing".to_owned()
    } else {
        format!("Content-Type is {media_type:?}")
    };
    Err(Problem::new(ProblemKind::UnsupportedMedia, detail).with("allowed", "application/json"))
}
