//! The code interpreter: contexts, and executions in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_e2b_wire::errors::{RATE_LIMITED, invalid_body, sandbox_not_running, text, unknown_context};

use super::errors::{Refusal, rate_limited};
use super::target;
use crate::context::{Context, DiscardReason, ExecutionEnd, StreamEnd};
use crate::disk::HOME;
use crate::fake::Fake;
use crate::faults::FaultKind;
use crate::kernel::{CellCode, Language};
use crate::latency::Operation;
use crate::row_stream::RowSender;
use crate::sandbox::Sandbox;
use crate::sandboxes::EndReason;

#[derive(Deserialize)]
struct ExecuteRequest {
    code: String,
    context_id: Option<String>,
    language: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct NewContext {
    language: Option<String>,
    cwd: Option<String>,
}

pub(super) async fn execute(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    match start(&fake, &headers, &body).await {
        Ok(response) => response,
        Err(refusal) => {
            fake.state.sandboxes.count(|counts| counts.execute_refused += 1);
            refusal.into_response()
        }
    }
}

/// Starts an execution and returns the response that its rows arrive in.
async fn start(fake: &Fake, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refusal> {
    let sandbox = target::sandbox_with_token(fake, headers)?;
    let request: ExecuteRequest = serde_json::from_slice(body).map_err(|error| invalid_body(&error))?;
    let sandboxes = &fake.state.sandboxes;
    if let Err(exceeded) = sandboxes.take_execution() {
        let response = text(StatusCode::TOO_MANY_REQUESTS, RATE_LIMITED);
        return Err(rate_limited(response, Some(exceeded), &fake.state.settings.rates).into());
    }
    apply_faults(fake, &sandbox.id).await?;
    let context = find_context(fake, &sandbox, request.context_id.as_deref(), request.language.as_deref())?;
    let is_first = sandbox.take_first_run();
    fake.simulate_latency(if is_first { Operation::FirstRun } else { Operation::Run }).await;
    // It may have ended while time passed.
    if sandboxes.running(&sandbox.id).is_none() {
        return Err(sandbox_not_running(&sandbox.id).into());
    }
    sandboxes.count(|counts| counts.executions += 1);
    let (rows, body) = RowSender::channel();
    let cell = CellCode { code: request.code, env: request.env_vars.unwrap_or_default() };
    let is_cut = fake.state.faults.triggers(FaultKind::ExecuteCut, &fake.state.random);
    let stream_end = if is_cut { StreamEnd::Cut } else { StreamEnd::Complete };
    let fake = fake.clone();
    let mut pauses = sandbox.pauses();
    // A task of its own: when the client leaves, the program is interrupted, which takes a moment.
    tokio::spawn(async move {
        let paused = async {
            if pauses.changed().await.is_ok() {
                rows.cut().await;
            }
            // The program's own end is still awaited.
            std::future::pending::<()>().await;
        };
        // The client may leave, and come back with a restart, before that shows here.
        let wedge = context.wedge();
        let end = tokio::select! {
            biased;
            end = context.execute(&cell, &rows, stream_end) => end,
            () = paused => ExecutionEnd::ClientLeft,
        };
        if end == ExecutionEnd::ClientLeft && fake.state.faults.triggers(FaultKind::Wedge, &fake.state.random) {
            wedge();
        }
    });
    Ok(body.into_response())
}

async fn apply_faults(fake: &Fake, id: &str) -> Result<(), Refusal> {
    let (faults, random) = (&fake.state.faults, &fake.state.random);
    let delay = faults.delay(FaultKind::ExecuteSlow, random);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if faults.triggers(FaultKind::Execute429, random) {
        let response = text(StatusCode::TOO_MANY_REQUESTS, RATE_LIMITED);
        return Err(rate_limited(response, None, &fake.state.settings.rates).into());
    }
    if faults.triggers(FaultKind::Execute502, random) {
        return Err(sandbox_not_running(id).into());
    }
    if faults.triggers(FaultKind::Execute500, random) {
        return Err(text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into());
    }
    if faults.triggers(FaultKind::Vanish, random) {
        fake.state.sandboxes.end_soon(id, EndReason::Vanished);
        return Err(sandbox_not_running(id).into());
    }
    Ok(())
}

/// Returns the context with this id, or the default one of a language, which is made when it is first needed.
fn find_context(fake: &Fake, sandbox: &Sandbox, id: Option<&str>, name: Option<&str>) -> Result<Arc<Context>, Refusal> {
    let mut contexts = sandbox.contexts();
    let missing = |id: &str| Refusal::from(unknown_context(id));
    match (id, name) {
        (Some(_), Some(_)) => {
            let message = "Only one of context_id or language can be provided";
            Err(text(StatusCode::BAD_REQUEST, message).into())
        }
        (Some(id), None) => contexts.iter().find(|context| context.id == id).cloned().ok_or_else(|| missing(id)),
        (None, name) => {
            let language = language(name)?;
            let known = contexts.iter().find(|context| context.language == language && context.is_default).cloned();
            Ok(known.unwrap_or_else(|| {
                let new = Arc::new(sandbox.new_context(fake.state.random.uuid(), language, HOME, true));
                contexts.push(new.clone());
                new
            }))
        }
    }
}

/// Returns the language of this name. Refuses those without a kernel.
fn language(name: Option<&str>) -> Result<Language, Refusal> {
    match name.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "python" | "python3" | "py") => Ok(Language::Python),
        Some("bash") => Ok(Language::Bash),
        Some(other) => {
            let message = format!("Failed to create context: this stand-in has no kernel for {other}");
            Err(text(StatusCode::INTERNAL_SERVER_ERROR, &message).into())
        }
    }
}

fn describe(context: &Context) -> Value {
    json!({ "id": context.id, "language": context.language.name(), "cwd": context.cwd })
}

/// Simulates the latency of a call about contexts, then returns its sandbox if no fault is injected.
async fn open(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Refusal> {
    let sandbox = target::delayed_sandbox(fake, headers).await?;
    if fake.state.faults.triggers(FaultKind::Contexts500, &fake.state.random) {
        let message = "Failed to create context: injected fault";
        return Err(text(StatusCode::INTERNAL_SERVER_ERROR, message).into());
    }
    Ok(sandbox)
}

pub(super) async fn contexts(State(fake): State<Fake>, headers: HeaderMap) -> Result<Json<Vec<Value>>, Refusal> {
    let sandbox = open(&fake, &headers).await?;
    let all = sandbox.contexts().iter().map(|context| describe(context)).collect();
    Ok(Json(all))
}

pub(super) async fn create_context(
    State(fake): State<Fake>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let sandbox = open(&fake, &headers).await?;
    let new: NewContext = serde_json::from_slice(&body).map_err(|error| invalid_body(&error))?;
    let language = language(new.language.as_deref())?;
    // A folder that does not exist is no error: the kernel stays in its home folder.
    let cwd = new.cwd.as_deref().unwrap_or(HOME);
    let context = Arc::new(sandbox.new_context(fake.state.random.uuid(), language, cwd, false));
    sandbox.contexts().push(context.clone());
    fake.state.sandboxes.count(|counts| counts.contexts += 1);
    Ok(Json(describe(&context)))
}

pub(super) async fn restart_context(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let sandbox = open(&fake, &headers).await?;
    find_context(&fake, &sandbox, Some(&id), None)?.discard_kernel(DiscardReason::Restart);
    Ok(Json(Value::Null))
}

pub(super) async fn remove_context(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let sandbox = open(&fake, &headers).await?;
    let mut contexts = sandbox.contexts();
    let Some(at) = contexts.iter().position(|context| context.id == id) else {
        return Err(unknown_context(&id).into());
    };
    if at == 0 {
        // A sandbox always has a default context.
        let new = Arc::new(sandbox.new_context(fake.state.random.uuid(), Language::Python, HOME, true));
        std::mem::replace(&mut contexts[0], new).discard_kernel(DiscardReason::Restart);
    } else {
        contexts.remove(at).discard_kernel(DiscardReason::Restart);
    }
    Ok(Json(Value::Null))
}
