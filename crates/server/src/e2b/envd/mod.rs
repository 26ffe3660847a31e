//! envd, the daemon in every sandbox: files and processes.
//!
//! While a session is local, its own files are served from memory. Anything else, every process among it, is a matter for
//! a machine; once there is one, all calls go there.

mod connect;
mod files;
mod filesystem;
mod multipart;
mod process;
mod watch;

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use switchtower_contract::Machine;
use switchtower_core::error::Error;
use switchtower_core::session::files::FileError;

use super::forward;
use super::plane::{ENVD, Visit};
use super::response::{self, Refusal};
use crate::service::body::{BodyError, ChargedBody};
use crate::service::body_limits::BodyKind;
use connect::Code;
pub(super) use watch::Watchers;

/// What a call comes to while a session is local.
enum Local {
    Answer(Response),
    /// It needs a machine, for this.
    Needs(String),
}

pub(super) async fn call(visit: Visit, request: Request) -> Result<Response, Refusal> {
    let (parts, stream) = request.into_parts();
    let path = parts.uri.path().to_owned();
    match (&parts.method, path.as_str()) {
        (&Method::GET, "/health") => return Ok(StatusCode::NO_CONTENT.into_response()),
        (&Method::POST, "/init") => return Ok(StatusCode::NO_CONTENT.into_response()),
        _ => {}
    }
    // What a machine could take is read for it.
    let kind = match path.as_str() {
        "/files" if visit.session.can_promote() => BodyKind::Upload,
        "/files" => BodyKind::LocalUpload,
        path if path.starts_with("/process.") => BodyKind::Process,
        _ => BodyKind::Message,
    };
    let held =
        visit.read(kind, &parts.headers, stream).await.map_err(|unread| unread_as(&visit, kind, &parts, &unread))?;
    if visit.session.files().is_closed() {
        // It may move at this moment: its files are neither here nor there.
        visit.session.wait_for_move().await;
    }
    if let Some(machine) = visit.session.machine() {
        return Ok(forwarded(&visit, machine.as_ref(), parts, held.bytes).await);
    }
    let answered = local(&visit, &parts, &held).await;
    let body = held.bytes;
    match answered {
        Local::Answer(response) => match visit.session.machine() {
            // It has moved in between, and what was written here may have stayed behind.
            Some(machine) if path == "/files" && response.status().is_success() => {
                Ok(forwarded(&visit, machine.as_ref(), parts, body).await)
            }
            Some(_) | None => Ok(response),
        },
        Local::Needs(need) => match visit.session.promote(&need).await {
            Ok(machine) => Ok(forwarded(&visit, machine.as_ref(), parts, body).await),
            Err(error) => Ok(refused(&error, &need, &parts)),
        },
    }
}

/// A body that was not read, as envd says it.
fn unread_as(visit: &Visit, kind: BodyKind, parts: &Parts, unread: &BodyError) -> Refusal {
    let too_large = matches!(unread, BodyError::TooLarge(_));
    if too_large && matches!(kind, BodyKind::Upload | BodyKind::LocalUpload) {
        let full = FileError::Full { most: visit.door.parts.sessions.config().files };
        return Box::new(response::api(StatusCode::INSUFFICIENT_STORAGE, &full.to_string()));
    }
    if matches!(unread, BodyError::NoSpace(_)) && is_rpc(&parts.headers, parts.uri.path()) {
        return Box::new(connect::Error::new(Code::ResourceExhausted, unread.to_string()).answer(&parts.headers));
    }
    Box::new(response::api(unread.status(), &unread.to_string()))
}

async fn forwarded(visit: &Visit, machine: &dyn Machine, parts: Parts, body: Bytes) -> Response {
    // A watcher that was made here knows no machine.
    if let Some(response) = visit.door.watchers.on_machine(visit, machine, &parts, &body).await {
        return response;
    }
    let body = match parts.uri.path() {
        "/process.Process/Start" => process::start(&body, &visit.session.options().env),
        // The machine was made without the session's variables.
        "/envs" => return Json(&visit.session.options().env).into_response(),
        _ => body,
    };
    forward::forward(&visit.session, machine, ENVD, parts, body).await
}

/// A call to a session without a machine.
async fn local(visit: &Visit, parts: &Parts, held: &ChargedBody) -> Local {
    let body = &held.bytes;
    let method = |service: &str| parts.uri.path().strip_prefix(service).and_then(|rest| rest.strip_prefix('/'));
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/envs") => Local::Answer(Json(&visit.session.options().env).into_response()),
        (&Method::GET, "/metrics") => Local::Answer(Json(figures(visit)).into_response()),
        (&Method::GET, "/files") => files::read(visit, parts),
        (&Method::POST, "/files") => files::write(visit, parts, held),
        (&Method::POST, _) if method("/filesystem.Filesystem").is_some() => {
            filesystem::call(visit, method("/filesystem.Filesystem").unwrap_or_default(), parts, body)
        }
        (&Method::POST, "/process.Process/List") => Local::Answer(Json(json!({ "processes": [] })).into_response()),
        (&Method::POST, "/process.Process/Start") => Local::Needs("a command".to_owned()),
        (&Method::POST, _) if method("/process.Process").is_some() => {
            // Without a machine there is no process to reach.
            let error = connect::Error::new(Code::NotFound, "the process was not found: none runs here");
            Local::Answer(error.answer(&parts.headers))
        }
        _ => Local::Answer(response::api(StatusCode::NOT_FOUND, &format!("there is nothing at {}", parts.uri.path()))),
    }
}

/// The figures of a sandbox that has no machine: its files are all that is counted.
fn figures(visit: &Visit) -> serde_json::Value {
    let sessions = &visit.door.parts.sessions;
    json!({
        "ts": sessions.router().wall().unix_millis() / 1000,
        "cpu_count": 1, "cpu_used_pct": 0.0,
        "mem_total": 0, "mem_used": 0, "mem_cache": 0,
        "disk_used": visit.session.files().size(), "disk_total": sessions.config().files,
    })
}

/// A path that is not the session's own: a machine may have it.
fn beyond(visit: &Visit, path: &str) -> Result<Local, FileError> {
    if visit.session.can_promote() {
        Ok(Local::Needs(format!("the file {path}")))
    } else {
        Err(FileError::NotFound(path.to_owned()))
    }
}

/// There is no machine for a call that needs one.
fn refused(error: &Error, need: &str, parts: &Parts) -> Response {
    let sentence = match error {
        Error::NoTier { reason } => reason.clone(),
        other => format!("{need} needs a cloud sandbox: {}", response::sentence(other)),
    };
    if is_rpc(&parts.headers, parts.uri.path()) {
        // `unavailable` would be read as a sandbox that is gone, and tried again.
        let code = match error {
            Error::Quota { .. } | Error::Overloaded { .. } | Error::NoSpace(_) => Code::ResourceExhausted,
            Error::NoTier { .. } | Error::Invalid(_) => Code::PermissionDenied,
            Error::TimedOut { .. } => Code::DeadlineExceeded,
            Error::Unavailable { .. } | Error::Gone { .. } | Error::Lost { .. } | Error::Rules { .. } => Code::Internal,
        };
        return connect::Error::new(code, sentence).answer(&parts.headers);
    }
    match error {
        Error::Quota { .. } | Error::Overloaded { .. } => response::api(StatusCode::TOO_MANY_REQUESTS, &sentence),
        Error::TimedOut { .. } => response::api(StatusCode::GATEWAY_TIMEOUT, &sentence),
        Error::NoSpace(_) => response::api(StatusCode::INSUFFICIENT_STORAGE, &sentence),
        Error::NoTier { .. }
        | Error::Invalid(_)
        | Error::Unavailable { .. }
        | Error::Gone { .. }
        | Error::Lost { .. }
        | Error::Rules { .. } => response::api(StatusCode::INTERNAL_SERVER_ERROR, &sentence),
    }
}

fn is_rpc(headers: &HeaderMap, path: &str) -> bool {
    connect::is_stream(headers) || path.starts_with("/process.") || path.starts_with("/filesystem.")
}
