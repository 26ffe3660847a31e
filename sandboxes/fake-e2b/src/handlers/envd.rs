//! envd's own paths: its health, the sandbox's variables, its figures. `GET /health` is the interpreter's too.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use switchtower_e2b_wire::control::{CPU_COUNT, DISK_MB, INTERPRETER_PORT, MEMORY_MB};

use super::errors::Refusal;
use super::target;
use crate::fake::Fake;
use crate::sandbox::Envd;

pub(super) async fn health(State(fake): State<Fake>, headers: HeaderMap) -> Result<Response, Refusal> {
    target::sandbox(&fake, &headers)?;
    Ok(match target::address(&headers) {
        Some((port, _)) if port == INTERPRETER_PORT.to_string() => Json("OK").into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
}

pub(super) async fn envs(State(fake): State<Fake>, request: Request) -> Result<Response, Refusal> {
    let sandbox = target::sandbox_with_token(&fake, request.headers())?;
    Ok(match &sandbox.envd {
        Envd::Daemon(daemon) => daemon.call(request).await,
        Envd::Scripted(_) => Json(&sandbox.env).into_response(),
    })
}

pub(super) async fn init(State(fake): State<Fake>, request: Request) -> Result<Response, Refusal> {
    let sandbox = target::sandbox(&fake, request.headers())?;
    Ok(match &sandbox.envd {
        Envd::Daemon(daemon) => daemon.call(request).await,
        Envd::Scripted(_) => StatusCode::NO_CONTENT.into_response(),
    })
}

pub(super) async fn metrics(State(fake): State<Fake>, request: Request) -> Result<Response, Refusal> {
    let sandbox = target::sandbox_with_token(&fake, request.headers())?;
    Ok(match &sandbox.envd {
        Envd::Daemon(daemon) => daemon.call(request).await,
        Envd::Scripted(_) => Json(figures(&fake)).into_response(),
    })
}

/// Returns constants: a scripted sandbox has nothing to measure.
fn figures(fake: &Fake) -> Value {
    json!({
        "ts": fake.state.clock.unix_seconds(), "cpu_count": CPU_COUNT, "cpu_used_pct": 0.5,
        "mem_total": MEMORY_MB << 20, "mem_used": 256 << 20, "mem_cache": 64 << 20,
        "disk_used": 1 << 30, "disk_total": DISK_MB << 20,
    })
}
