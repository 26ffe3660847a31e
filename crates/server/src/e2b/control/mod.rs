//! The control plane: sandboxes that are made, listed, kept, paused and ended.

mod create;
mod lifecycle;
mod list;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde::de::DeserializeOwned;
use switchtower_core::request::Caller;
use switchtower_core::session::Session;

use super::debug::{self, Debugged};
use super::response::{self, Refusal};
use super::{Door, plane};
use crate::service::body_limits::BodyKind;

pub(super) fn routes(door: &Door) -> Router {
    let mut routes = Router::new()
        .route("/sandboxes", get(list::running).post(create::short))
        .route("/v2/sandboxes", get(list::all).post(create::long))
        .route("/sandboxes/{id}", get(lifecycle::detail).delete(lifecycle::end))
        .route("/sandboxes/{id}/timeout", post(lifecycle::timeout))
        .route("/sandboxes/{id}/refreshes", post(lifecycle::refresh))
        .route("/sandboxes/{id}/pause", post(lifecycle::pause))
        .route("/sandboxes/{id}/resume", post(lifecycle::resume))
        .route("/sandboxes/{id}/connect", post(lifecycle::connect))
        .route("/v2/sandboxes/{id}/connect", post(lifecycle::connect))
        .route("/sandboxes/{id}/metrics", get(lifecycle::metrics))
        .route("/sandboxes/{id}/{what}", any(absent))
        .route("/v2/sandboxes/{id}/{what}", any(absent));
    for place in ["/templates", "/v2/templates", "/v3/templates", "/snapshots", "/volumes"] {
        routes = routes.route(place, any(absent)).route(&format!("{place}/{{*rest}}"), any(absent));
    }
    routes
        .route_layer(from_fn_with_state(door.clone(), admit))
        .method_not_allowed_fallback(other_method)
        .with_state(door.clone())
}

/// What E2B has at this path and this door has not.
async fn absent(uri: Uri) -> Response {
    response::finally(StatusCode::NOT_IMPLEMENTED, &format!("{} is not supported by Switchtower", uri.path()))
}

async fn other_method(method: Method, uri: Uri) -> Response {
    response::finally(StatusCode::METHOD_NOT_ALLOWED, &format!("{} has no {method}", uri.path()))
}

/// Lets in whoever shows a key, and says who that is.
async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let debugged = request.extensions().get::<Debugged>().is_some();
    match caller(&door, request.headers(), debugged) {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => {
            let message = "Invalid API key: send one that this server knows as X-API-Key";
            response::api(StatusCode::UNAUTHORIZED, message)
        }
    }
}

/// Returns who calls. Where no keys are set, any key will do, and another key is another caller. The key itself is not
/// kept.
pub(super) fn caller(door: &Door, headers: &HeaderMap, debugged: bool) -> Option<Caller> {
    let keys = &door.parts.keys;
    if !keys.is_empty() {
        return keys.caller(headers).ok();
    }
    match headers.get("x-api-key").filter(|key| !key.is_empty()) {
        Some(key) => Some(Caller::of_key(key.as_bytes())),
        None => debugged.then(debug::caller),
    }
}

/// A body as JSON; an empty one is an empty object.
async fn read<T: DeserializeOwned>(door: &Door, caller: &Caller, body: Body) -> Result<T, Refusal> {
    let held = door.parts.bodies.read(caller, BodyKind::Control, &HeaderMap::new(), body).await;
    let held = held.map_err(|unread| Box::new(response::finally(unread.status(), &unread.to_string())))?;
    let bytes = held.bytes;
    let text = if bytes.trim_ascii().is_empty() { b"{}".as_slice() } else { &bytes };
    serde_json::from_slice(text).map_err(|wrong| bad(&format!("Error when parsing request: {wrong}")))
}

fn bad(message: &str) -> Refusal {
    Box::new(response::finally(StatusCode::BAD_REQUEST, message))
}

/// How long a sandbox is asked to live, of seconds from a body.
fn lasting(seconds: f64, most: Duration) -> Result<Duration, String> {
    if !(0.0..=f64::from(u32::MAX)).contains(&seconds) {
        return Err("Timeout must be a number of seconds, 1 or more".to_owned());
    }
    let asked = Duration::from_secs(seconds.ceil() as u64);
    if asked <= most {
        return Ok(asked);
    }
    let hours = most.as_secs_f64() / 3600.0;
    Err(format!("Timeout cannot be greater than {hours} hours"))
}

/// A sandbox of this caller.
fn found(door: &Door, caller: &Caller, id: &str) -> Result<Arc<Session>, Refusal> {
    let session = door.parts.sessions.find(caller, plane::bare(id));
    session.ok_or_else(|| Box::new(response::unknown(id)))
}

/// Either way an answer.
fn either(answered: Result<impl IntoResponse, Refusal>) -> Response {
    answered.map_or_else(|refused| *refused, IntoResponse::into_response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_whole_seconds_and_no_longer_than_may_be() {
        let most = Duration::from_secs(3600);
        assert_eq!(lasting(0.2, most), Ok(Duration::from_secs(1)));
        assert_eq!(lasting(3600.0, most), Ok(most));
        assert_eq!(lasting(3601.0, most), Err("Timeout cannot be greater than 1 hours".to_owned()));
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e18] {
            assert!(lasting(wrong, most).is_err(), "{wrong}");
        }
    }
}
