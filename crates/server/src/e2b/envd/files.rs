//! `/files`: downloads and uploads of whole files.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value;
use switchtower_core::session::files::{FileError, Files};
use switchtower_e2b_wire::errors;
use switchtower_e2b_wire::files::written;
use switchtower_e2b_wire::multipart::read_form;

use super::super::sandbox_handle::SandboxHandle;
use super::file_error::file_response;
use super::local_reply::{LocalReply, reply_for_machine_path};
use crate::service::body::ChargedBody;

#[derive(Deserialize)]
struct FileQuery {
    path: Option<String>,
}

impl FileQuery {
    fn of(parts: &Parts) -> Self {
        Query::try_from_uri(&parts.uri).map_or(Self { path: None }, |query| query.0)
    }
}

/// Returns the reply to a call that failed.
fn failed(error: &FileError) -> LocalReply {
    let response = file_response(error);
    if *error == FileError::Moved { LocalReply::Moved(response) } else { LocalReply::Response(response) }
}

pub(super) fn read(sandbox: &SandboxHandle, parts: &Parts) -> LocalReply {
    let read = || {
        let path = Files::absolute(&FileQuery::of(parts).path.unwrap_or_default())?;
        if !Files::is_scratch(&path) {
            return reply_for_machine_path(sandbox, &path);
        }
        let content = sandbox.session.files().read(&path)?;
        Ok(LocalReply::Response(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response()))
    };
    read().unwrap_or_else(|error| failed(&error))
}

/// Writes one file from the body, or several from the parts of a form. If one of them needs a machine, all are written
/// there.
pub(super) async fn write(sandbox: &SandboxHandle, parts: &Parts, body: &ChargedBody) -> LocalReply {
    let bad_request = |message: &str| LocalReply::Response(errors::api(StatusCode::BAD_REQUEST, message));
    let path = FileQuery::of(parts).path.filter(|path| !path.is_empty());
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return bad_request("compressed uploads are not supported");
    }
    let is_form = kind.starts_with("multipart/form-data");
    let charged = body.charge.bytes();
    let files: Vec<(String, Bytes)> = if is_form {
        // The parts are copies, charged beside the body until they are written.
        if let Err(no_space) = body.charge.resize(charged + body.bytes.len() as u64) {
            return reply_to_failed_write(sandbox, &no_space.into());
        }
        let parts = match read_form(kind, &body.bytes).await {
            Ok(parts) => parts,
            Err(error) => return bad_request(&error.to_string()),
        };
        let parts = parts.into_iter().filter(|part| part.field == "file");
        parts.map(|part| (path.clone().unwrap_or(part.file_name), part.content)).collect()
    } else {
        vec![(path.unwrap_or_default(), body.bytes.clone())]
    };
    if files.is_empty() {
        return bad_request("no files to upload");
    }
    if files.iter().any(|(path, _)| path.is_empty()) {
        return bad_request("path is required");
    }
    // Each file charges its bytes itself. Only a form keeps its body beside them.
    body.charge.shrink(if is_form { charged } else { 0 });
    let reply = match write_local(sandbox, files) {
        Ok(reply) => reply,
        Err(error) => reply_to_failed_write(sandbox, &error),
    };
    match reply {
        LocalReply::Response(response) => LocalReply::Response(response),
        // The body is used again, so it is charged again.
        reply => match body.charge.reach(charged) {
            Ok(()) => reply,
            Err(no_space) => failed(&no_space.into()),
        },
    }
}

/// Returns the reply to an upload that failed: a machine has more space, any other error is the response.
fn reply_to_failed_write(sandbox: &SandboxHandle, error: &FileError) -> LocalReply {
    match error {
        FileError::Full { .. } | FileError::NoSpace(_) if sandbox.session.can_promote() => {
            LocalReply::NeedsMachine("files of that size".to_owned())
        }
        error => failed(error),
    }
}

fn write_local(sandbox: &SandboxHandle, files: Vec<(String, Bytes)>) -> Result<LocalReply, FileError> {
    let paths = files.iter().map(|(path, _)| Files::absolute(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = paths.iter().find(|path| !Files::is_scratch(path)) {
        return reply_for_machine_path(sandbox, path);
    }
    let mut entries: Vec<Value> = Vec::new();
    for (path, (_, content)) in paths.iter().zip(files) {
        let entry = sandbox.session.files().write(path, content)?;
        entries.push(written(&entry.path));
    }
    Ok(LocalReply::Response(Json(entries).into_response()))
}
