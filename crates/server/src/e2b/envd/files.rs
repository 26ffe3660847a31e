//! `/files`: whole files in and out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_core::session::files::{FileError, Files};

use super::super::plane::Visit;
use super::super::response;
use super::{Local, beyond, multipart};
use crate::service::body::ChargedBody;

#[derive(Deserialize)]
struct Asked {
    path: Option<String>,
}

impl Asked {
    fn of(parts: &Parts) -> Self {
        Query::try_from_uri(&parts.uri).map_or(Self { path: None }, |asked| asked.0)
    }
}

fn failed(error: &FileError) -> Response {
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

pub(super) fn read(visit: &Visit, parts: &Parts) -> Local {
    let read = || {
        let path = Files::absolute(&Asked::of(parts).path.unwrap_or_default())?;
        if !Files::is_scratch(&path) {
            return beyond(visit, &path);
        }
        let content = visit.session.files().read(&path)?;
        Ok(Local::Answer(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response()))
    };
    read().unwrap_or_else(|error| Local::Answer(failed(&error)))
}

/// One file as the body, or several as the parts of a form. Those that a machine would have go there all together.
pub(super) fn write(visit: &Visit, parts: &Parts, held: &ChargedBody) -> Local {
    let body = &held.bytes;
    let bad = |message: &str| Local::Answer(response::api(StatusCode::BAD_REQUEST, message));
    let asked = Asked::of(parts).path.filter(|path| !path.is_empty());
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return bad("compressed uploads are not taken here");
    }
    let is_form = kind.starts_with("multipart/form-data");
    let sent: Vec<(String, Bytes)> = if is_form {
        let Some(sent) = multipart::parts(kind, body) else { return bad("error parsing multipart form") };
        let files = sent.into_iter().filter(|part| part.field == "file");
        files.map(|part| (asked.clone().unwrap_or(part.filename), body.slice_ref(part.content))).collect()
    } else {
        vec![(asked.unwrap_or_default(), body.clone())]
    };
    if sent.is_empty() {
        return bad("no files to upload");
    }
    if sent.iter().any(|(path, _)| path.is_empty()) {
        return bad("path is required");
    }
    let charged = held.charge.bytes();
    if !is_form {
        // It is kept as it is, and charged as a file from now on.
        held.charge.shrink(0);
    }
    let written = written(visit, &sent, is_form);
    match written {
        Ok(local @ Local::Answer(_)) => local,
        // A machine has more room, or what is asked for.
        Ok(Local::Needs(_)) | Err(FileError::Full { .. } | FileError::NoSpace(_)) if visit.session.can_promote() => {
            let need = match written {
                Ok(Local::Needs(need)) => need,
                Ok(Local::Answer(_)) | Err(_) => "files of that size".to_owned(),
            };
            match held.charge.reach(charged) {
                Ok(()) => Local::Needs(need),
                Err(no_space) => Local::Answer(failed(&no_space.into())),
            }
        }
        Ok(local) => local,
        Err(error) => Local::Answer(failed(&error)),
    }
}

fn written(visit: &Visit, sent: &[(String, Bytes)], is_form: bool) -> Result<Local, FileError> {
    let paths = sent.iter().map(|(path, _)| Files::absolute(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = paths.iter().find(|path| !Files::is_scratch(path)) {
        return beyond(visit, path);
    }
    let mut told: Vec<Value> = Vec::new();
    for (path, (_, content)) in paths.iter().zip(sent) {
        // A copy of a part: what is kept must not keep the whole body with it.
        let content = if is_form { Bytes::copy_from_slice(content) } else { content.clone() };
        let entry = visit.session.files().write(path, content)?;
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        told.push(json!({ "path": entry.path, "name": name, "type": "file" }));
    }
    Ok(Local::Answer(Json(told).into_response()))
}
