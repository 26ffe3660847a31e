//! `/files`: downloads and uploads of whole files.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_core::session::files::{FileError, Files};

use super::super::response;
use super::super::sandbox_handle::SandboxHandle;
use super::local_reply::{LocalReply, reply_for_machine_path};
use super::multipart;
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

fn error_response(error: &FileError) -> Response {
    let status = match error {
        FileError::NotFound(_) => StatusCode::NOT_FOUND,
        FileError::AlreadyExists(_) | FileError::IsFolder(_) | FileError::NotFolder(_) | FileError::Invalid(_) => {
            StatusCode::BAD_REQUEST
        }
        FileError::Full { .. } | FileError::NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
        FileError::Moved => StatusCode::SERVICE_UNAVAILABLE,
    };
    response::api(status, &error.to_string())
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
    read().unwrap_or_else(|error| LocalReply::Response(error_response(&error)))
}

/// Writes one file from the body, or several from the parts of a form. If one of them needs a machine, all are written
/// there.
pub(super) fn write(sandbox: &SandboxHandle, parts: &Parts, body: &ChargedBody) -> LocalReply {
    let bad_request = |message: &str| LocalReply::Response(response::api(StatusCode::BAD_REQUEST, message));
    let path = FileQuery::of(parts).path.filter(|path| !path.is_empty());
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return bad_request("compressed uploads are not supported");
    }
    let is_form = kind.starts_with("multipart/form-data");
    let files: Vec<(String, Bytes)> = if is_form {
        let Some(parts) = multipart::parts(kind, &body.bytes) else {
            return bad_request("error parsing multipart form");
        };
        let parts = parts.into_iter().filter(|part| part.field == "file");
        parts.map(|part| (path.clone().unwrap_or(part.filename), body.bytes.slice_ref(part.content))).collect()
    } else {
        vec![(path.unwrap_or_default(), body.bytes.clone())]
    };
    if files.is_empty() {
        return bad_request("no files to upload");
    }
    if files.iter().any(|(path, _)| path.is_empty()) {
        return bad_request("path is required");
    }
    let charged = body.charge.bytes();
    if !is_form {
        // The file keeps these bytes and charges them itself.
        body.charge.shrink(0);
    }
    let written = write_local(sandbox, &files, is_form);
    match written {
        Ok(reply @ LocalReply::Response(_)) => reply,
        // A machine has more space, or the folder that was named.
        Ok(LocalReply::NeedsMachine(_)) | Err(FileError::Full { .. } | FileError::NoSpace(_))
            if sandbox.session.can_promote() =>
        {
            let need = match written {
                Ok(LocalReply::NeedsMachine(need)) => need,
                Ok(LocalReply::Response(_)) | Err(_) => "files of that size".to_owned(),
            };
            match body.charge.reach(charged) {
                Ok(()) => LocalReply::NeedsMachine(need),
                Err(no_space) => LocalReply::Response(error_response(&no_space.into())),
            }
        }
        Ok(reply) => reply,
        Err(error) => LocalReply::Response(error_response(&error)),
    }
}

fn write_local(sandbox: &SandboxHandle, files: &[(String, Bytes)], is_form: bool) -> Result<LocalReply, FileError> {
    let paths = files.iter().map(|(path, _)| Files::absolute(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = paths.iter().find(|path| !Files::is_scratch(path)) {
        return reply_for_machine_path(sandbox, path);
    }
    let mut entries: Vec<Value> = Vec::new();
    for (path, (_, content)) in paths.iter().zip(files) {
        // Copied, so that one part does not keep the whole form in memory.
        let content = if is_form { Bytes::copy_from_slice(content) } else { content.clone() };
        let entry = sandbox.session.files().write(path, content)?;
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        entries.push(json!({ "path": entry.path, "name": name, "type": "file" }));
    }
    Ok(LocalReply::Response(Json(entries).into_response()))
}
