//! envd, the daemon of a sandbox: files and processes.
//!
//! While a session is local, its own files are served from memory. Processes and all other files need a machine; once
//! there is one, all calls are forwarded to it.

mod file_error;
mod files;
mod filesystem;
mod local_reply;
mod messages;
mod process;
mod user;
mod watch;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use switchtower_contract::Machine;
use switchtower_core::error::{Error, Kind};
use switchtower_core::session::files::FileError;
use switchtower_e2b_wire::connect::{self, Code};
use switchtower_e2b_wire::errors;

use super::address::ENVD_PORT;
use super::forward;
use super::response::{self, Refusal};
use super::sandbox_handle::SandboxHandle;
use crate::service::body::{BodyError, ChargedBody};
use crate::service::body_limits::BodyKind;
use file_error::{connect_code, file_response};
use local_reply::LocalReply;
pub(super) use watch::Watchers;

pub(super) async fn call(watchers: &Watchers, sandbox: SandboxHandle, request: Request) -> Result<Response, Refusal> {
    let (parts, stream) = request.into_parts();
    let path = parts.uri.path().to_owned();
    match (&parts.method, path.as_str()) {
        (&Method::GET, "/health") => return Ok(StatusCode::NO_CONTENT.into_response()),
        (&Method::POST, "/init") => return Ok(StatusCode::NO_CONTENT.into_response()),
        _ => {}
    }
    // A body that a machine could take is read up to the limit of a machine.
    let kind = match path.as_str() {
        "/files" if sandbox.session.can_promote() => BodyKind::Upload,
        "/files" => BodyKind::LocalUpload,
        path if path.starts_with("/process.") => BodyKind::Process,
        _ => BodyKind::Message,
    };
    let body = sandbox
        .read(kind, &parts.headers, stream)
        .await
        .map_err(|error| body_refusal(&sandbox, kind, &parts, &error))?;
    if sandbox.session.files().is_closed() {
        // During a promotion the files are transferred to the machine.
        sandbox.session.machine_slot().wait_for_move().await;
    }
    if sandbox.session.machine().is_some() {
        if let Err(error) = move_for_command(&sandbox, &parts, &body.bytes).await {
            return Ok(refused(&error, "a command", &parts));
        }
        return Ok(call_machine(watchers, &sandbox, parts, body.bytes).await);
    }
    let mut reply = call_local(watchers, &sandbox, &parts, &body).await;
    if let LocalReply::Moved(_) = reply {
        // A promotion has begun since the check above. If it fails, the files are here again.
        sandbox.session.machine_slot().wait_for_move().await;
        if sandbox.session.machine().is_some() {
            return Ok(call_machine(watchers, &sandbox, parts, body.bytes).await);
        }
        reply = call_local(watchers, &sandbox, &parts, &body).await;
    }
    let body = body.bytes;
    match reply {
        LocalReply::Response(response) | LocalReply::Moved(response) => match sandbox.session.machine() {
            // The session was promoted meanwhile, so the files that were just written may not have been transferred.
            Some(_) if path == "/files" && response.status().is_success() => {
                Ok(call_machine(watchers, &sandbox, parts, body).await)
            }
            Some(_) | None => Ok(response),
        },
        LocalReply::NeedsMachine(need) => match promoted(&sandbox, &need, &parts, &body).await {
            Ok(_) => Ok(call_machine(watchers, &sandbox, parts, body).await),
            Err(error) => Ok(refused(&error, &need, &parts)),
        },
    }
}

/// Moves a session that has a machine to another one, if a command needs that.
async fn move_for_command(sandbox: &SandboxHandle, parts: &Parts, body: &Bytes) -> Result<(), Error> {
    match line_of(parts, body) {
        Some(line) => sandbox.session.promote_for_command(&line).await.map(drop),
        None => Ok(()),
    }
}

/// Forwards a call to the machine of a session, which stays the same until it has answered.
async fn call_machine(watchers: &Watchers, sandbox: &SandboxHandle, parts: Parts, body: Bytes) -> Response {
    let _call = sandbox.session.machine_slot().begin_call().await;
    match sandbox.session.machine() {
        Some(machine) => forward_call(watchers, sandbox, machine.as_ref(), parts, body).await,
        None => errors::sandbox_not_running(sandbox.session.id()),
    }
}

/// Moves a session to a machine for a request.
async fn promoted(sandbox: &SandboxHandle, need: &str, parts: &Parts, body: &Bytes) -> Result<Arc<dyn Machine>, Error> {
    match line_of(parts, body) {
        Some(line) => sandbox.session.promote_for_command(&line).await,
        None => sandbox.session.promote(need).await,
    }
}

/// Returns the line for a shell that a request starts.
fn line_of(parts: &Parts, body: &Bytes) -> Option<String> {
    (parts.uri.path() == "/process.Process/Start").then(|| process::command_line(body)).flatten()
}

/// Returns the answer to a request whose body was not read, as envd gives it.
fn body_refusal(sandbox: &SandboxHandle, kind: BodyKind, parts: &Parts, error: &BodyError) -> Refusal {
    let too_large = matches!(error, BodyError::TooLarge(_));
    // Without a machine the files of the session are the limit; with one, that of a single upload is.
    if too_large && matches!(kind, BodyKind::LocalUpload) {
        let full = FileError::Full { max: sandbox.state.sessions.config().max_files_size };
        return Box::new(file_response(&full));
    }
    if matches!(error, BodyError::NoSpace(_)) && is_rpc(&parts.headers, parts.uri.path()) {
        return Box::new(connect::Error::new(connect_code(Kind::NoSpace), error.to_string()).response(&parts.headers));
    }
    Box::new(errors::api(error.status(), &error.to_string()))
}

async fn forward_call(
    watchers: &Watchers,
    sandbox: &SandboxHandle,
    machine: &dyn Machine,
    parts: Parts,
    body: Bytes,
) -> Response {
    // The machine does not know watchers that were created before the promotion.
    if let Some(response) = watchers.call_on_machine(sandbox, machine, &parts, &body).await {
        return response;
    }
    let body = match parts.uri.path() {
        "/process.Process/Start" => process::add_session_env(&body, &sandbox.session.options().env),
        // The machine was created without the session's variables.
        "/envs" => return Json(&sandbox.session.options().env).into_response(),
        _ => body,
    };
    forward::forward(&sandbox.session, machine, ENVD_PORT, parts, body).await
}

/// Handles a call to a session without a machine.
async fn call_local(watchers: &Watchers, sandbox: &SandboxHandle, parts: &Parts, body: &ChargedBody) -> LocalReply {
    let method = |service: &str| parts.uri.path().strip_prefix(service).and_then(|rest| rest.strip_prefix('/'));
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/envs") => LocalReply::Response(Json(&sandbox.session.options().env).into_response()),
        (&Method::GET, "/metrics") => LocalReply::Response(Json(metrics(sandbox)).into_response()),
        (&Method::GET, "/files") => files::read(sandbox, parts),
        (&Method::POST, "/files") => files::write(sandbox, parts, body).await,
        (&Method::POST, _) if method("/filesystem.Filesystem").is_some() => {
            let method = method("/filesystem.Filesystem").unwrap_or_default();
            filesystem::call(watchers, sandbox, method, parts, &body.bytes)
        }
        (&Method::POST, "/process.Process/List") => LocalReply::Response(connect::unary(&json!({ "processes": [] }))),
        (&Method::POST, "/process.Process/Start") => LocalReply::NeedsMachine("a command".to_owned()),
        (&Method::POST, _) if method("/process.Process").is_some() => {
            // Without a machine there is no process to reach.
            let error =
                connect::Error::new(Code::NotFound, "the process was not found: no process runs in this sandbox");
            LocalReply::Response(error.response(&parts.headers))
        }
        _ => LocalReply::Response(errors::api(
            StatusCode::NOT_FOUND,
            &format!("there is nothing at {}", parts.uri.path()),
        )),
    }
}

/// Returns the figures of a sandbox without a machine. Only the size of its files is measured.
fn metrics(sandbox: &SandboxHandle) -> serde_json::Value {
    let sessions = &sandbox.state.sessions;
    json!({
        "ts": sessions.router().wall().unix_millis() / 1000,
        "cpu_count": 1, "cpu_used_pct": 0.0,
        "mem_total": 0, "mem_used": 0, "mem_cache": 0,
        "disk_used": sandbox.session.files().size(), "disk_total": sessions.config().max_files_size,
    })
}

/// Returns the answer to a call that needs a machine, when there is none.
fn refused(error: &Error, need: &str, parts: &Parts) -> Response {
    let sentence = match error {
        Error::NoTier { reason } | Error::NotMovable { reason } => reason.clone(),
        other => format!("{need} needs a machine: {}", other.public_message()),
    };
    if is_rpc(&parts.headers, parts.uri.path()) {
        return connect::Error::new(connect_code(error.kind()), sentence).response(&parts.headers);
    }
    errors::api(response::envd_status_of(error.kind()), &sentence)
}

fn is_rpc(headers: &HeaderMap, path: &str) -> bool {
    connect::is_stream(headers) || path.starts_with("/process.") || path.starts_with("/filesystem.")
}
