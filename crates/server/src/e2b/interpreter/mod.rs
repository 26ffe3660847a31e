//! The code interpreter of a sandbox: contexts, and cells that run in them.
//!
//! Python runs in the session, wherever that is. Other languages have kernels only on a machine.

mod execute;
mod line;
mod lines;

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use switchtower_core::session::ContextInfo;

use super::forward;
use super::plane::{INTERPRETER, Visit};
use super::response::{self, Refusal};
use crate::service::body::{self, ChargedBody};
use crate::service::body_limits::BodyKind;

#[derive(Deserialize, Default)]
#[serde(default)]
struct NewContext {
    language: Option<String>,
    cwd: Option<String>,
}

pub(super) async fn call(visit: Visit, request: Request) -> Result<Response, Refusal> {
    let (parts, stream) = request.into_parts();
    let path = parts.uri.path().trim_matches('/').to_owned();
    let steps: Vec<&str> = path.split('/').collect();
    let kind = if steps == ["execute"] { BodyKind::Program } else { BodyKind::Context };
    let read = visit.read(kind, &parts.headers, stream).await;
    let held = read.map_err(|unread| text(unread.status(), &unread.to_string()))?;
    let ChargedBody { bytes: body, charge } = held;
    match (&parts.method, steps.as_slice()) {
        (&Method::POST, ["execute"]) => execute::execute(visit, parts, body, charge).await,
        (&Method::GET, ["health"]) => Ok(Json("OK").into_response()),
        (&Method::GET, ["contexts"]) => Ok(contexts(&visit, parts).await),
        (&Method::POST, ["contexts"]) => open(&visit, parts, body).await,
        (&Method::POST, ["contexts", id, "restart"]) => {
            let restarted = visit.session.restart_context(id).await;
            changed(&visit, id, restarted, parts, body).await
        }
        (&Method::DELETE, ["contexts", id]) => {
            let closed = visit.session.close_context(id).await;
            changed(&visit, id, closed, parts, body).await
        }
        _ => Err(text(StatusCode::NOT_FOUND, "Not Found")),
    }
}

fn text(status: StatusCode, message: &str) -> Refusal {
    Box::new(response::text(status, message))
}

/// A body as JSON, refused as FastAPI does.
fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|wrong| {
        let kind = if wrong.is_data() { "value_error" } else { "json_invalid" };
        let detail = json!({ "detail": [{ "type": kind, "loc": ["body"], "msg": wrong.to_string() }] });
        Box::new((StatusCode::UNPROCESSABLE_ENTITY, Json(detail)).into_response())
    })
}

fn is_python(language: &str) -> bool {
    matches!(language.to_ascii_lowercase().as_str(), "python" | "python3" | "py")
}

fn missing(id: &str) -> Refusal {
    text(StatusCode::NOT_FOUND, &format!("Context {id} not found"))
}

fn described(context: &ContextInfo) -> Value {
    json!({ "id": context.id, "language": context.language, "cwd": context.folder })
}

/// Those of the session, and those of other languages on its machine.
async fn contexts(visit: &Visit, parts: Parts) -> Response {
    let mut all: Vec<Value> = visit.session.contexts().iter().map(described).collect();
    if let Some(machine) = visit.session.machine() {
        let answer = forward::forward(&visit.session, machine.as_ref(), INTERPRETER, parts, Bytes::new()).await;
        let (status, patience) = (answer.status(), visit.door.parts.bodies.timeout);
        let whole = body::read_response(answer.into_body(), 1 << 20, patience).await;
        let of_machine: Vec<Value> = match whole {
            Ok(bytes) if status.is_success() => serde_json::from_slice(&bytes).unwrap_or_default(),
            Ok(_) | Err(_) => Vec::new(),
        };
        all.extend(of_machine.into_iter().filter(|context| context["language"] != "python"));
    }
    Json(all).into_response()
}

async fn open(visit: &Visit, parts: Parts, body: Bytes) -> Result<Response, Refusal> {
    let asked: NewContext = parsed(&body)?;
    let failed = |why: &str| text(StatusCode::INTERNAL_SERVER_ERROR, &format!("Failed to create context: {why}"));
    match asked.language.as_deref().filter(|language| !is_python(language)) {
        None if !is_folder(visit, asked.cwd.as_deref()) => {
            Err(failed(&format!("no directory {}", asked.cwd.unwrap_or_default())))
        }
        None => match visit.session.open_context(asked.cwd).await {
            Ok(context) => Ok(Json(described(&context)).into_response()),
            Err(error) if response::status(&error).is_server_error() => {
                Err(Box::new(response::refused_as_text(&error)))
            }
            Err(error) => Err(failed(&response::sentence(&error))),
        },
        Some(language) => match visit.session.promote(&format!("a context for {language}")).await {
            Ok(machine) => Ok(forward::forward(&visit.session, machine.as_ref(), INTERPRETER, parts, body).await),
            Err(error) => Err(failed(&response::sentence(&error))),
        },
    }
}

/// Whether a context can begin there. What is on a machine, the machine knows; elsewhere only the session's own folders are.
fn is_folder(visit: &Visit, path: Option<&str>) -> bool {
    let Some(path) = path.filter(|_| visit.session.machine().is_none()) else { return true };
    visit.session.files().stat(path).is_ok_and(|entry| entry.folder)
}

/// What became of a context; one that the session does not know may be the machine's own.
async fn changed(
    visit: &Visit,
    id: &str,
    changed: Result<bool, switchtower_core::error::Error>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, Refusal> {
    match (changed, visit.session.machine()) {
        (Ok(true), _) => Ok(Json(Value::Null).into_response()),
        (Ok(false), Some(machine)) => {
            Ok(forward::forward(&visit.session, machine.as_ref(), INTERPRETER, parts, body).await)
        }
        (Ok(false), None) => Err(missing(id)),
        (Err(error), _) => Err(Box::new(response::refused_as_text(&error))),
    }
}
