//! How the app stands: alive, ready, and its figures.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use switchtower_core::route::Standing;
use switchtower_core::tier::Tier;

use super::Door;
use crate::service::startup::health_fields;

/// `GET /health`: 200 as long as the process answers; `status` is `degraded` when no tier is up.
pub(super) async fn health(State(door): State<Door>) -> Json<Value> {
    let standings = door.0.router.tiers().standings();
    let status = if standings.iter().any(|standing| standing.up) { "healthy" } else { "degraded" };
    let mut body = health_fields(status, door.0.router.wall(), door.0.app.e2b_key);
    body["tiers"] = tiers(&door, &standings);
    Json(body)
}

/// `GET /ready`: 200 once a tier is up, 503 while none is, or while less is warm than was told to
/// wait for.
pub(super) async fn ready(State(door): State<Door>) -> (StatusCode, Json<Value>) {
    let standings = door.0.router.tiers().standings();
    let ready = standings.iter().any(|standing| standing.up) && door.0.router.tiers().iter().all(Tier::is_ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "tiers": tiers(&door, &standings) })))
}

fn tiers(door: &Door, standings: &[Standing]) -> Value {
    let standing = |s: &Standing| {
        let mut standing = json!({
            "tier": s.tier,
            "up": s.up,
            "isolation": s.isolation.name(),
            "running": s.running,
            "queued": s.queued,
            "slots": s.slots,
        });
        let account = door.0.router.tiers().get(&s.tier).and_then(Tier::account);
        if let Some(problem) = account.and_then(|account| account.problem) {
            standing["problem"] = problem.into();
        }
        standing
    };
    let absent =
        door.0.router.tiers().absent().iter().map(|a| json!({ "tier": a.tier, "up": false, "reason": a.reason }));
    standings.iter().map(standing).chain(absent).collect()
}

/// `GET /metrics`, for Prometheus.
pub(super) async fn prometheus(State(door): State<Door>) -> Response {
    let text = door.0.router.metrics().prometheus();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// `GET /v1/metrics`: the same figures as JSON.
pub(super) async fn metrics(State(door): State<Door>) -> Json<Value> {
    Json(door.0.router.metrics().json(door.0.router.tiers()))
}
