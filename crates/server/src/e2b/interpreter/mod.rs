//! The code interpreter of a sandbox: contexts, and cells that run in them.
//!
//! A context belongs to the session, locally or on its machine. Languages that Switchtower does not know have contexts only on
//! a machine in a cloud.

mod execute;
mod row_stream;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, Request as MachineRequest, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use switchtower_contract::{Language, Machine};
use switchtower_core::error::Error;
use switchtower_core::session::ContextInfo;
use switchtower_core::session::files::{FileError, Files, PathUse};
use switchtower_e2b_wire::errors;

use super::address::{ENVD_PORT, INTERPRETER_PORT};
use super::forward;
use super::response::{self, Refusal};
use super::sandbox_handle::SandboxHandle;
use crate::service::body::{self, ChargedBody};
use crate::service::body_limits::BodyKind;

#[derive(Deserialize, Default)]
#[serde(default)]
struct NewContext {
    language: Option<String>,
    cwd: Option<String>,
}

pub(super) async fn call(sandbox: SandboxHandle, request: Request) -> Result<Response, Refusal> {
    let (parts, stream) = request.into_parts();
    let path = parts.uri.path().trim_matches('/').to_owned();
    let steps: Vec<&str> = path.split('/').collect();
    let kind = if steps == ["execute"] { BodyKind::Program } else { BodyKind::Context };
    let read = sandbox.read(kind, &parts.headers, stream).await;
    let held = read.map_err(|unread| text(unread.status(), &unread.to_string()))?;
    let ChargedBody { bytes: body, charge } = held;
    match (&parts.method, steps.as_slice()) {
        (&Method::POST, ["execute"]) => execute::execute(sandbox, parts, body, charge).await,
        (&Method::GET, ["health"]) => Ok(Json("OK").into_response()),
        (&Method::GET, ["contexts"]) => Ok(contexts(&sandbox, parts).await),
        (&Method::POST, ["contexts"]) => open(&sandbox, parts, body).await,
        (&Method::POST, ["contexts", id, "restart"]) => {
            let restarted = sandbox.session.restart_context(id).await;
            changed(&sandbox, id, restarted, parts, body).await
        }
        (&Method::DELETE, ["contexts", id]) => {
            let closed = sandbox.session.close_context(id).await;
            changed(&sandbox, id, closed, parts, body).await
        }
        _ => Err(text(StatusCode::NOT_FOUND, "Not Found")),
    }
}

fn text(status: StatusCode, message: &str) -> Refusal {
    Box::new(errors::text(status, message))
}

/// Parses a body.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Box::new(errors::invalid_body(&error)))
}

/// Returns the language with this name; `None`: it is not known here, and only a cloud may have it.
fn known_language(name: Option<&str>) -> Option<Language> {
    name.map_or(Some(Language::default()), |name| name.parse().ok())
}

fn unknown_context(id: &str) -> Refusal {
    Box::new(errors::unknown_context(id))
}

fn context_view(context: &ContextInfo) -> Value {
    json!({ "id": context.id, "language": context.language.name(), "cwd": context.folder })
}

/// Lists the contexts of the session, and those of other languages on its machine. E2B's templates have one for JavaScript from the
/// start (code-interpreter 7df1757, template/server/main.py).
async fn contexts(sandbox: &SandboxHandle, parts: Parts) -> Response {
    // Without space for it, it is not listed.
    let _ = sandbox.session.open_context_of(Language::JavaScript);
    let mut all: Vec<Value> = sandbox.session.contexts().infos().iter().map(context_view).collect();
    if let Some(machine) = sandbox.session.machine().filter(|_| sandbox.session.has_remote_machine()) {
        let answer = forward::forward(&sandbox.session, machine.as_ref(), INTERPRETER_PORT, parts, Bytes::new()).await;
        let (status, timeout) = (answer.status(), sandbox.state.bodies.timeout);
        let whole = body::read_response(answer.into_body(), 1 << 20, timeout).await;
        let of_machine: Vec<Value> = match whole {
            Ok(bytes) if status.is_success() => serde_json::from_slice(&bytes).unwrap_or_default(),
            Ok(_) | Err(_) => Vec::new(),
        };
        let known: BTreeSet<String> =
            all.iter().filter_map(|context| Some(context["id"].as_str()?.to_owned())).collect();
        let is_own = |context: &Value| {
            context["id"].as_str().is_some_and(|id| known.contains(id))
                || context["language"].as_str().is_some_and(|language| language.parse::<Language>().is_ok())
        };
        all.extend(of_machine.into_iter().filter(|context| !is_own(context)));
    }
    Json(all).into_response()
}

async fn open(sandbox: &SandboxHandle, parts: Parts, body: Bytes) -> Result<Response, Refusal> {
    let options: NewContext = parse(&body)?;
    let failed = |why: &str| text(StatusCode::INTERNAL_SERVER_ERROR, &format!("Failed to create context: {why}"));
    if let Some(folder) = machine_folder(sandbox, options.cwd.as_deref()) {
        match sandbox.session.promote(&format!("the folder {folder}")).await {
            Ok(machine) if has_folder(sandbox, machine.as_ref(), &folder).await => {}
            Ok(_) => return Err(failed(&format!("no directory {folder}"))),
            Err(error) => {
                let (path, path_use) = (folder, PathUse::Read);
                let outside = FileError::Outside { path, path_use, remedy: sandbox.session.machine_remedy() };
                let is_local = matches!(error, Error::NoTier { .. });
                let message = if is_local { outside.to_string() } else { error.public_message() };
                return Err(text(response::status_of(error.kind()), &message));
            }
        }
    }
    match (known_language(options.language.as_deref()), options.language) {
        (Some(_), _) if !is_folder(sandbox, options.cwd.as_deref()) => {
            Err(failed(&format!("no directory {}", options.cwd.unwrap_or_default())))
        }
        (Some(language), _) => match sandbox.session.open_context(language, options.cwd).await {
            Ok(context) => Ok(Json(context_view(&context)).into_response()),
            Err(error @ Error::NoTier { .. }) => Err(failed(&error.public_message())),
            Err(error) => Err(Box::new(response::refused_as_text(&error))),
        },
        (None, language) => match promote_for(sandbox, &language.unwrap_or_default()).await {
            Ok(machine) => {
                Ok(forward::forward(&sandbox.session, machine.as_ref(), INTERPRETER_PORT, parts, body).await)
            }
            Err(error) => Err(failed(&error.public_message())),
        },
    }
}

/// Returns a machine for a language that is not known here.
async fn promote_for(sandbox: &SandboxHandle, language: &str) -> Result<Arc<dyn Machine>, Error> {
    let machine = sandbox.session.promote(&format!("a context for {language}")).await?;
    if sandbox.session.has_remote_machine() {
        return Ok(machine);
    }
    let known = Language::names().join(", ");
    Err(Error::NoTier { reason: format!("no tier has a kernel for {language}: known are {known}") })
}

/// Returns the folder if only a machine can have it, and the session has none.
fn machine_folder(sandbox: &SandboxHandle, path: Option<&str>) -> Option<String> {
    let path = path.filter(|_| sandbox.session.machine().is_none())?;
    Files::absolute(path).ok().filter(|folder| !Files::is_scratch(folder))
}

/// Returns whether a machine has a folder. If it does not answer, the first cell of the context finds out.
async fn has_folder(sandbox: &SandboxHandle, machine: &dyn Machine, folder: &str) -> bool {
    let request = MachineRequest::post("/filesystem.Filesystem/Stat").header("content-type", "application/json");
    let Ok(request) = request.body(json!({ "path": folder }).to_string().into()) else { return true };
    let Ok(answer) = machine.call(ENVD_PORT, request).await else { return true };
    let (parts, body) = answer.into_parts();
    if parts.status == StatusCode::NOT_FOUND {
        return false;
    }
    let whole = body::read_response(Body::from_stream(body), 1 << 16, sandbox.state.bodies.timeout).await;
    let stat: Value = whole.ok().and_then(|whole| serde_json::from_slice(&whole).ok()).unwrap_or_default();
    stat["entry"]["type"] != "FILE_TYPE_FILE"
}

/// Returns whether a context can start in a folder. A machine checks its own folders; without one only the session's
/// folders exist.
fn is_folder(sandbox: &SandboxHandle, path: Option<&str>) -> bool {
    let Some(path) = path.filter(|_| sandbox.session.machine().is_none()) else { return true };
    sandbox.session.files().stat(path).is_ok_and(|entry| entry.folder)
}

/// Returns the result of a change to a context. A context that is not the session's may be the machine's.
async fn changed(
    sandbox: &SandboxHandle,
    id: &str,
    changed: Result<bool, Error>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, Refusal> {
    let machine = sandbox.session.machine().filter(|_| sandbox.session.has_remote_machine());
    match (changed, machine) {
        (Ok(true), _) => Ok(Json(Value::Null).into_response()),
        (Ok(false), Some(machine)) => {
            Ok(forward::forward(&sandbox.session, machine.as_ref(), INTERPRETER_PORT, parts, body).await)
        }
        (Ok(false), None) => Err(unknown_context(id)),
        (Err(error), _) => Err(Box::new(response::refused_as_text(&error))),
    }
}
