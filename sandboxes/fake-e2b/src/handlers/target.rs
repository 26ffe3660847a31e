//! What both data planes share: which sandbox is meant, and whether it runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::refusal;
use crate::fake::Fake;
use crate::sandbox::Sandbox;

const INTERPRETER: &str = "49999";

/// A sandbox and the port in it: from the headers, or from a host like `49999-ID.domain`.
fn meant(headers: &HeaderMap) -> Option<(String, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(id) = text("e2b-sandbox-id") {
        return Some((text("e2b-sandbox-port").unwrap_or_default().to_owned(), id.to_owned()));
    }
    let (port, id) = text(header::HOST.as_str())?.split('.').next()?.split_once('-')?;
    port.parse::<u16>().ok()?;
    Some((port.to_owned(), id.to_owned()))
}

/// The sandbox that a request means. `Err`: it names none, or it does not run.
pub(super) fn sandbox(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Box<Response>> {
    let Some((_, id)) = meant(headers) else {
        return Err(Box::new(refusal::text(StatusCode::BAD_REQUEST, "missing header")));
    };
    fake.parts.fleet.running(&id).ok_or_else(|| Box::new(refusal::gone(&id)))
}

/// Whether a request has the sandbox's token.
pub(super) fn has_token(sandbox: &Sandbox, headers: &HeaderMap) -> bool {
    headers.get("x-access-token").is_some_and(|token| token.as_bytes() == sandbox.token.as_bytes())
}

/// As `sandbox`, for those that ask for its token.
pub(super) fn with_token(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Box<Response>> {
    let sandbox = sandbox(fake, headers)?;
    if has_token(&sandbox, headers) { Ok(sandbox) } else { Err(Box::new(refusal::token())) }
}

/// The one path that both data planes have.
pub(super) async fn health(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    if let Err(refused) = sandbox(&fake, &headers) {
        return *refused;
    }
    match meant(&headers) {
        Some((port, _)) if port == INTERPRETER => Json("OK").into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

pub(super) async fn envs(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    match with_token(&fake, &headers) {
        Ok(sandbox) => Json(&sandbox.env).into_response(),
        Err(refused) => *refused,
    }
}

pub(super) async fn init(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    sandbox(&fake, &headers).map_or_else(|refused| *refused, |_| StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn metrics(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    match with_token(&fake, &headers) {
        Ok(_) => Json(figures(&fake)).into_response(),
        Err(refused) => *refused,
    }
}

/// A sandbox at rest: nothing is measured.
pub(super) fn figures(fake: &Fake) -> Value {
    json!({
        "ts": fake.parts.wall.unix(), "cpu_count": 2, "cpu_used_pct": 0.5, "mem_total": 2_u64 << 30,
        "mem_used": 256 << 20, "mem_cache": 64 << 20, "disk_used": 1 << 30, "disk_total": 10_u64 << 30,
    })
}
