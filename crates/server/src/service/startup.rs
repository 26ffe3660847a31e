//! Answers requests while the server starts: the port is bound before the tiers are ready.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use switchtower_core::clock::WallClock;
use tower::ServiceExt as _;

use super::problem::{Problem, ProblemKind};

/// Sets the API that answers once the server is ready.
#[derive(Debug, Clone)]
pub struct StartupHandle {
    app: Arc<OnceLock<Router>>,
    wall: WallClock,
    e2b_key: bool,
}

impl StartupHandle {
    /// Lets `app` answer from now on. A second call changes nothing.
    pub fn set_ready(&self, app: Router) {
        let _ = self.app.set(app);
    }
}

/// Returns a router that answers with the API of the handle once that is set. Before, `/health` reports `starting`, and
/// every other path answers 503 with `Retry-After`.
pub fn startup(wall: WallClock, e2b_key: bool) -> (StartupHandle, Router) {
    let handle = StartupHandle { app: Arc::default(), wall, e2b_key };
    let router = Router::new().fallback(dispatch).with_state(handle.clone());
    (handle, router)
}

async fn dispatch(State(handle): State<StartupHandle>, request: Request<Body>) -> Response {
    if let Some(app) = handle.app.get() {
        return match app.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    if request.uri().path() == "/health" {
        return Json(health_fields("starting", &handle.wall, handle.e2b_key)).into_response();
    }
    let detail = "the server is starting";
    Problem::new(ProblemKind::Starting, detail).retry_after(Duration::from_secs(1)).into_response()
}

/// Returns the fields that `/health` always has.
pub(crate) fn health_fields(status: &str, wall: &WallClock, e2b_key: bool) -> Value {
    json!({
        "status": status,
        "timestamp": timestamp(wall),
        "e2bKey": if e2b_key { "configured" } else { "missing" },
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// Returns the time as ISO 8601 in UTC, with milliseconds.
fn timestamp(wall: &WallClock) -> String {
    let millis = i64::try_from(wall.unix_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}
