//! The code interpreter: contexts, and programs that run in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::plane;
use super::refusal::{self, gone, text};
use crate::context::{Context, Ending, Reason, Told};
use crate::disk::{HOME, absolute};
use crate::fake::Fake;
use crate::faults::Kind;
use crate::fleet::End;
use crate::kernel::Cell;
use crate::latency::Act;
use crate::line::Lines;
use crate::sandbox::Sandbox;

#[derive(Deserialize)]
struct Order {
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

/// As FastAPI says that a body is not what it should be.
fn unprocessable(e: &serde_json::Error) -> Response {
    let detail = json!({"detail": [{"type": "json_invalid", "loc": ["body"], "msg": e.to_string()}]});
    (StatusCode::UNPROCESSABLE_ENTITY, Json(detail)).into_response()
}

pub(super) async fn execute(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    match started(&fake, &headers, &body).await {
        Ok(response) => response,
        Err(refused) => {
            fake.parts.fleet.count(|counts| counts.execute_refused += 1);
            *refused
        }
    }
}

async fn started(fake: &Fake, headers: &HeaderMap, body: &[u8]) -> Result<Response, Box<Response>> {
    let sandbox = plane::with_token(fake, headers)?;
    let order: Order = serde_json::from_slice(body).map_err(|e| unprocessable(&e))?;
    let fleet = &fake.parts.fleet;
    if let Err(empty) = fleet.may_execute() {
        let limited = text(StatusCode::TOO_MANY_REQUESTS, refusal::RATE);
        return Err(Box::new(refusal::limited(limited, Some(empty), &fake.parts.settings.rates)));
    }
    fail(fake, &sandbox.id).await?;
    let context = chosen(&sandbox, order.context_id.as_deref(), order.language.as_deref())?;
    fake.pass(if sandbox.runs_first() { Act::FirstRun } else { Act::Run }).await;
    // It may have gone while time passed.
    if fleet.running(&sandbox.id).is_none() {
        return Err(Box::new(gone(&sandbox.id)));
    }
    fleet.count(|counts| counts.executions += 1);
    let (lines, answer) = Lines::answer();
    let cell = Cell { code: order.code, env: order.env_vars.unwrap_or_default() };
    let cut = fake.parts.faults.strikes(Kind::ExecuteCut, &fake.parts.chance);
    let ending = if cut { Ending::Cut } else { Ending::Whole };
    let fake = fake.clone();
    let mut pauses = sandbox.pauses();
    // A task of its own: when the client leaves, the program is interrupted, which takes a moment.
    tokio::spawn(async move {
        let paused = async {
            if pauses.changed().await.is_ok() {
                lines.cut().await;
            }
            // The program's own end is still awaited.
            std::future::pending::<()>().await;
        };
        // The client may be gone, and back with a restart, before its leaving shows here.
        let wedge = context.wedge();
        let told = tokio::select! {
            told = context.execute(&cell, &lines, ending) => told,
            () = paused => Told::Nothing,
        };
        if told == Told::Nothing && fake.parts.faults.strikes(Kind::Wedge, &fake.parts.chance) {
            wedge();
        }
    });
    Ok(answer.into_response())
}

async fn fail(fake: &Fake, id: &str) -> Result<(), Box<Response>> {
    let (faults, chance) = (&fake.parts.faults, &fake.parts.chance);
    let delay = faults.delay(Kind::ExecuteSlow, chance);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if faults.strikes(Kind::Execute429, chance) {
        let limited = text(StatusCode::TOO_MANY_REQUESTS, refusal::RATE);
        return Err(Box::new(refusal::limited(limited, None, &fake.parts.settings.rates)));
    }
    if faults.strikes(Kind::Execute502, chance) {
        return Err(Box::new(gone(id)));
    }
    if faults.strikes(Kind::Execute500, chance) {
        return Err(Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")));
    }
    if faults.strikes(Kind::Vanish, chance) {
        fake.parts.fleet.end_soon(id, End::Vanished);
        return Err(Box::new(gone(id)));
    }
    Ok(())
}

/// The context that a program is for.
fn chosen(sandbox: &Sandbox, id: Option<&str>, language: Option<&str>) -> Result<Arc<Context>, Box<Response>> {
    let contexts = sandbox.contexts();
    match (id, language) {
        (Some(_), Some(_)) => {
            let message = "Only one of context_id or language can be provided";
            Err(Box::new(text(StatusCode::BAD_REQUEST, message)))
        }
        (Some(id), None) => contexts.iter().find(|context| context.id == id).cloned().ok_or_else(|| missing(id)),
        (None, language) => {
            python(language)?;
            contexts.first().cloned().ok_or_else(|| missing("default"))
        }
    }
}

fn missing(id: &str) -> Box<Response> {
    Box::new(text(StatusCode::NOT_FOUND, &format!("Context {id} not found")))
}

/// The one language that there is.
fn python(language: Option<&str>) -> Result<(), Box<Response>> {
    match language.map(str::to_ascii_lowercase).as_deref() {
        None | Some("python" | "python3" | "py") => Ok(()),
        Some(other) => {
            let message = format!("Failed to create context: this stand-in has no kernel for {other}");
            Err(Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, &message)))
        }
    }
}

fn described(context: &Context) -> Value {
    json!({"id": context.id, "language": context.language, "cwd": context.cwd})
}

/// As `plane::sandbox`, with the faults of contexts.
fn reached(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Box<Response>> {
    let sandbox = plane::sandbox(fake, headers)?;
    if fake.parts.faults.strikes(Kind::Contexts500, &fake.parts.chance) {
        return Err(Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, "Failed to create context: as asked for")));
    }
    Ok(sandbox)
}

pub(super) async fn contexts(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    fake.pass(Act::Other).await;
    match reached(&fake, &headers) {
        Ok(sandbox) => {
            let all: Vec<Value> = sandbox.contexts().iter().map(|context| described(context)).collect();
            Json(all).into_response()
        }
        Err(refused) => *refused,
    }
}

pub(super) async fn create_context(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    fake.pass(Act::Other).await;
    let created = || {
        let sandbox = reached(&fake, &headers)?;
        let asked: NewContext = serde_json::from_slice(&body).map_err(|e| unprocessable(&e))?;
        python(asked.language.as_deref())?;
        let cwd = absolute(asked.cwd.as_deref().unwrap_or(HOME), HOME);
        if !sandbox.disk.stat(&cwd).is_ok_and(|entry| entry.is_dir) {
            let message = format!("Failed to create context: no directory {cwd}");
            return Err(Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, &message)));
        }
        let context = Arc::new(sandbox.context(fake.parts.chance.uuid(), &cwd));
        sandbox.contexts().push(context.clone());
        fake.parts.fleet.count(|counts| counts.contexts += 1);
        Ok(Json(described(&context)).into_response())
    };
    created().unwrap_or_else(|refused: Box<Response>| *refused)
}

pub(super) async fn restart_context(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    fake.pass(Act::Other).await;
    let context = reached(&fake, &headers).and_then(|sandbox| chosen(&sandbox, Some(&id), None));
    match context {
        Ok(context) => {
            context.leave(Reason::Restart);
            Json(Value::Null).into_response()
        }
        Err(refused) => *refused,
    }
}

pub(super) async fn remove_context(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    fake.pass(Act::Other).await;
    let sandbox = match reached(&fake, &headers) {
        Ok(sandbox) => sandbox,
        Err(refused) => return *refused,
    };
    let mut contexts = sandbox.contexts();
    let Some(at) = contexts.iter().position(|context| context.id == id) else { return *missing(&id) };
    if at == 0 {
        // The default one comes back by itself.
        let anew = Arc::new(sandbox.context(fake.parts.chance.uuid(), HOME));
        std::mem::replace(&mut contexts[0], anew).leave(Reason::Restart);
    } else {
        contexts.remove(at).leave(Reason::Restart);
    }
    Json(Value::Null).into_response()
}
