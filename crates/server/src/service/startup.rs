//! The door while the house is still being built: the port is bound, and says that it is not ready yet.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use switchtower_core::clock::Wall;
use tower::ServiceExt as _;

use super::problem::{Kind, Problem};

/// Opens the door, once.
#[derive(Clone)]
pub struct Opening {
    app: Arc<OnceLock<Router>>,
    wall: Wall,
    e2b_key: bool,
}

impl Opening {
    /// From now on `app` answers.
    pub fn open(&self, app: Router) {
        // A second opening changes nothing: the door is open already.
        let _ = self.app.set(app);
    }
}

/// A door that is opened later. Until then `/health` says `starting`, and everything else is a 503 that says when to
/// come back.
pub fn starting(wall: Wall, e2b_key: bool) -> (Opening, Router) {
    let opening = Opening { app: Arc::default(), wall, e2b_key };
    let door = Router::new().fallback(pass).with_state(opening.clone());
    (opening, door)
}

async fn pass(State(opening): State<Opening>, request: Request<Body>) -> Response {
    if let Some(app) = opening.app.get() {
        return match app.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    if request.uri().path() == "/health" {
        return Json(vitals("starting", &opening.wall, opening.e2b_key)).into_response();
    }
    let detail = "the tiers are being made ready; the first start compiles the guest, which takes longer";
    Problem::new(Kind::Starting, detail).retry_after(Duration::from_secs(1)).into_response()
}

/// The keys that `/health` has at all times.
pub(crate) fn vitals(status: &str, wall: &Wall, e2b_key: bool) -> Value {
    json!({
        "status": status,
        "timestamp": timestamp(wall),
        "e2bKey": if e2b_key { "configured" } else { "missing" },
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// ISO 8601 with milliseconds, UTC.
fn timestamp(wall: &Wall) -> String {
    let millis = i64::try_from(wall.unix_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}
