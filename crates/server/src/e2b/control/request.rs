//! What the handlers of the control plane read from requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use switchtower_core::error::Kind;
use switchtower_core::request::Caller;
use switchtower_core::session::Session;

use super::super::address::sandbox_id;
use super::super::domain;
use super::super::response::{self, Refusal};
use super::super::state::E2bState;
use crate::service::body_limits::BodyKind;

/// The id of a sandbox in the path of a request, as [`Path`]; rejections have the form of the control plane.
pub(super) struct SandboxName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for SandboxName {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => {
                Err(response::permanent_of(Kind::Invalid, "The id of the sandbox must be UTF-8 after percent-decoding"))
            }
        }
    }
}

/// The id of a sandbox and what is asked of it, in the path of a request.
pub(super) struct SandboxAction {
    pub(super) id: String,
    pub(super) action: String,
}

impl<S: Send + Sync> FromRequestParts<S> for SandboxAction {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((id, action))) => Ok(Self { id, action }),
            Err(_) => Err(*bad_request("The path must be UTF-8 after percent-decoding")),
        }
    }
}

/// A request of an authorized caller, whose body has not been read yet.
pub(super) struct ControlRequest {
    pub(super) caller: Caller,
    /// The domain of sandboxes in the answer.
    pub(super) domain: String,
    pub(super) headers: HeaderMap,
    body: Body,
}

impl FromRequest<Arc<E2bState>> for ControlRequest {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<E2bState>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let caller = Extension::from_request_parts(&mut parts, state).await;
        let Extension(caller) = caller.map_err(IntoResponse::into_response)?;
        let domain = domain::of_request(state.domain.as_deref(), &parts.headers);
        Ok(Self { caller, domain, headers: parts.headers, body })
    }
}

impl ControlRequest {
    /// Reads the body as JSON; an empty one is an empty object.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, state: &E2bState) -> Result<T, Refusal> {
        let body = std::mem::take(&mut self.body);
        let body = state.bodies.read(&self.caller, BodyKind::Control, &self.headers, body).await;
        let body = body.map_err(|error| Box::new(response::permanent(error.status(), &error.to_string())))?.bytes;
        let text = if body.trim_ascii().is_empty() { b"{}".as_slice() } else { &body };
        serde_json::from_slice(text).map_err(|error| bad_request(&format!("Error when parsing request: {error}")))
    }
}

/// Refuses fields that were not read, unless they are empty: no option is ignored. `parent`: the field that has them.
///
/// # Errors
/// A field has a value.
pub(super) fn check_rest(parent: &str, rest: &BTreeMap<String, Value>) -> Result<(), String> {
    match rest.iter().find(|(_, value)| !is_empty(value)) {
        Some((name, _)) => Err(unsupported(&format!("{parent}{name}"))),
        None => Ok(()),
    }
}

/// Returns the refusal of an option.
pub(super) fn unsupported(option: &str) -> String {
    format!("{option} is not supported by Switchtower: leave it out")
}

/// Returns whether a value says no more than its absence.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

pub(super) fn bad_request(message: &str) -> Refusal {
    Box::new(response::permanent_of(Kind::Invalid, message))
}

/// Returns a time-out in seconds as a duration of whole seconds, rounded up.
///
/// # Errors
/// It is no number of seconds, or longer than `max`.
pub(super) fn parse_timeout(seconds: f64, max: Duration) -> Result<Duration, String> {
    if !(0.0..=f64::from(u32::MAX)).contains(&seconds) {
        return Err("Timeout must be a number of seconds, 1 or more".to_owned());
    }
    let timeout = Duration::from_secs(seconds.ceil() as u64);
    if timeout <= max {
        return Ok(timeout);
    }
    let hours = max.as_secs_f64() / 3600.0;
    Err(format!("Timeout cannot be greater than {hours} hours"))
}

/// Returns a sandbox of this caller.
///
/// # Errors
/// The caller has no sandbox of this id.
pub(super) fn find_sandbox(state: &E2bState, caller: &Caller, id: &str) -> Result<Arc<Session>, Refusal> {
    let session = state.sessions.find(caller, sandbox_id(id));
    session.ok_or_else(|| Box::new(response::unknown_sandbox(id)))
}

pub(super) fn into_response(result: Result<impl IntoResponse, Refusal>) -> Response {
    result.map_or_else(|refusal| *refusal, IntoResponse::into_response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_to_whole_seconds_and_bounded() {
        let max = Duration::from_secs(3600);
        assert_eq!(parse_timeout(0.2, max), Ok(Duration::from_secs(1)));
        assert_eq!(parse_timeout(3600.0, max), Ok(max));
        assert_eq!(parse_timeout(3601.0, max), Err("Timeout cannot be greater than 1 hours".to_owned()));
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e18] {
            assert!(parse_timeout(wrong, max).is_err(), "{wrong}");
        }
    }
}
