//! Health, readiness and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use switchtower_contract::Language;
use switchtower_core::route::TierStatus;
use switchtower_core::tier::Tier;

use super::state::ApiState;
use crate::service::startup::health_fields;

/// `GET /health`: 200 as long as the process answers; `status` is `starting` or `degraded` when no tier is up.
/// `tls.problem` says why changed files of the certificate are not in force. `records_dropped` counts the
/// records that the sink did not write.
pub(super) async fn health(State(api): State<Arc<ApiState>>) -> Json<Value> {
    let statuses = api.router.tiers().statuses();
    let status = match api.router.tiers().starting().next() {
        _ if statuses.iter().any(|status| status.up) => "healthy",
        Some(_) => "starting",
        None => "degraded",
    };
    let mut body = health_fields(status, api.router.wall(), api.e2b_key);
    body["records_dropped"] = api.router.recorder().dropped().into();
    body["tiers"] = tiers(&api, &statuses);
    if let Some(tls) = &api.tls {
        body["tls"] = json!({ "problem": tls.problem() });
    }
    Json(body)
}

/// `GET /ready`: 200 when no tier is starting, one is up, all pools have their minimum of ready sandboxes (`min_ready`), and
/// a tier that is up runs each required language; else 503.
pub(super) async fn ready(State(api): State<Arc<ApiState>>) -> (StatusCode, Json<Value>) {
    let statuses = api.router.tiers().statuses();
    let ready = api.router.tiers().are_ready_for(&api.required_languages);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": ready, "tiers": tiers(&api, &statuses) });
    if !api.required_languages.is_empty() {
        let runs = |language: &Language| (language.to_string(), api.router.tiers().runs(*language).into());
        body["languages"] = Value::Object(api.required_languages.iter().map(runs).collect());
    }
    (status, Json(body))
}

fn tiers(api: &ApiState, statuses: &[TierStatus]) -> Value {
    let status = |s: &TierStatus| {
        let mut status = json!({
            "tier": s.tier,
            "up": s.up,
            "isolation": s.isolation.name(),
            "running": s.running,
            "queued": s.queued,
            "slots": s.slots,
        });
        let account = api.router.tiers().get(&s.tier).and_then(Tier::account);
        if let Some(reason) = api.router.tiers().get(&s.tier).and_then(Tier::starting) {
            status["starting"] = true.into();
            status["reason"] = reason.into();
        }
        if let Some(problem) = account.and_then(|account| account.problem) {
            status["problem"] = problem.into();
        }
        status
    };
    let tiers = api.router.tiers();
    let absent = tiers.absent().map(|a| json!({ "tier": a.tier, "up": false, "reason": a.reason }));
    // Nothing else is known of them yet.
    let unknown = tiers.starting().filter(|(tier, _)| tiers.get(tier).is_none());
    let unknown =
        unknown.map(|(tier, reason)| json!({ "tier": tier, "up": false, "starting": true, "reason": reason }));
    statuses.iter().map(status).chain(unknown).chain(absent).collect()
}

/// `GET /metrics`, for Prometheus.
pub(super) async fn prometheus(State(api): State<Arc<ApiState>>) -> Response {
    let text = api.router.metrics().prometheus();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// `GET /v1/metrics`: the same figures as JSON.
pub(super) async fn metrics(State(api): State<Arc<ApiState>>) -> Json<Value> {
    Json(api.router.metrics().json(api.router.tiers()))
}
