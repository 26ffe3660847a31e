//! Reading a JSON body: its type, its size, its time, its grammar.

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use serde_json::Value;
use switchtower_core::error::Error;
use switchtower_core::memory::Charge;
use switchtower_core::request::Caller;

use super::body::{Bodies, Unread};
use super::body_limits::{BodyKind, VALUES};
use super::problem::{Kind, Problem};

/// The whole body as JSON, and what is charged for it until its request is answered.
pub(crate) async fn json(
    bodies: &Bodies,
    caller: &Caller,
    kind: BodyKind,
    request: Request<Body>,
) -> Result<(Value, Charge), Problem> {
    let (parts, body) = request.into_parts();
    is_json(&parts.headers)?;
    let held = bodies.read(caller, kind, &parts.headers, body).await.map_err(|why| unread(&why))?;
    let value = serde_json::from_slice(&held.bytes).map_err(|wrong| {
        Problem::new(Kind::Malformed, wrong.to_string()).with("line", wrong.line()).with("column", wrong.column())
    })?;
    Ok((value, held.charge))
}

/// Why a body was not read.
pub(crate) fn unread(why: &Unread) -> Problem {
    let detail = why.to_string();
    match why {
        Unread::TooLarge(most) => Problem::new(Kind::TooLarge, detail).with("allowed", *most),
        Unread::TooManyValues => Problem::new(Kind::TooLarge, detail).with("allowed", VALUES),
        Unread::Slow => Problem::new(Kind::SlowBody, detail),
        Unread::Broken(_) => Problem::new(Kind::Malformed, detail),
        Unread::NoSpace(no_space) => Error::from(no_space.clone()).into(),
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let detail = if given.is_empty() { "there is no Content-Type".to_owned() } else { format!("this is {given:?}") };
    Err(Problem::new(Kind::UnsupportedMedia, detail).with("allowed", "application/json"))
}
