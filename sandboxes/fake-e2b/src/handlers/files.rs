//! envd's `/files`: the sandbox's daemon answers. Scripted sandboxes have files in memory.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use switchtower_e2b_wire::errors::{api, unauthorized};
use switchtower_e2b_wire::files::written;
use switchtower_e2b_wire::multipart::{Part, read_form};
use switchtower_envd::metadata;

use super::MAX_BODY_BYTES;
use super::errors::Refusal;
use super::target;
use crate::disk::{DiskError, HOME, MemoryDisk, absolute};
use crate::fake::Fake;
use crate::faults::FaultKind;
use crate::sandbox::{Envd, Sandbox};

#[derive(Deserialize)]
pub(super) struct FileQuery {
    path: Option<String>,
    username: Option<String>,
    signature: Option<String>,
    /// Seconds since 1970.
    signature_expiration: Option<i64>,
}

impl FileQuery {
    /// Whether the query has a valid signature, made with the sandbox's token. It replaces the token.
    fn is_signed(&self, fake: &Fake, sandbox: &Sandbox, operation: &str) -> bool {
        let Some(signature) = &self.signature else { return false };
        let (path, user) = (self.path.as_deref().unwrap_or_default(), self.username.as_deref().unwrap_or_default());
        let mut signed = format!("{path}:{operation}:{user}:{}", sandbox.token);
        if let Some(until) = self.signature_expiration {
            if until < fake.state.clock.unix_seconds() {
                return false;
            }
            signed.push_str(&format!(":{until}"));
        }
        *signature == format!("v1_{}", STANDARD_NO_PAD.encode(Sha256::digest(signed)))
    }
}

/// Simulates the latency of a call, then returns the sandbox if the request may use its files and no fault is injected.
async fn open(fake: &Fake, headers: &HeaderMap, query: &FileQuery, operation: &str) -> Result<Arc<Sandbox>, Refusal> {
    let sandbox = target::delayed_sandbox(fake, headers).await?;
    if !target::has_token(&sandbox, headers) && !query.is_signed(fake, &sandbox, operation) {
        return Err(unauthorized().into());
    }
    if fake.state.faults.triggers(FaultKind::Files500, &fake.state.random) {
        return Err(api(StatusCode::INTERNAL_SERVER_ERROR, "error opening file: injected fault").into());
    }
    Ok(sandbox)
}

fn failed(error: &DiskError) -> Response {
    let status = match error {
        DiskError::NotFound(_) => StatusCode::NOT_FOUND,
        DiskError::Exists(_) | DiskError::IsFolder(_) | DiskError::NotFolder(_) => StatusCode::BAD_REQUEST,
    };
    api(status, &error.to_string())
}

pub(super) async fn read(
    State(fake): State<Fake>,
    Query(query): Query<FileQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    let sandbox = open(&fake, request.headers(), &query, "read").await?;
    fake.state.sandboxes.count(|counts| counts.file_reads += 1);
    let disk = match &sandbox.envd {
        Envd::Daemon(daemon) => return Ok(daemon.call(request).await),
        Envd::Scripted(disk) => disk,
    };
    let path = absolute(query.path.as_deref().unwrap_or_default(), HOME);
    let content = disk.read(&path).map_err(|error| failed(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response())
}

pub(super) async fn write(
    State(fake): State<Fake>,
    Query(query): Query<FileQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    let sandbox = open(&fake, request.headers(), &query, "write").await?;
    let disk = match &sandbox.envd {
        Envd::Daemon(daemon) => return Ok(count_written(&fake, daemon.call(request).await).await),
        Envd::Scripted(disk) => disk,
    };
    let (parts, body) = request.into_parts();
    let body = target::read_body(body).await?;
    let written = write_all(&fake, disk, &query, &parts.headers, body).await?;
    Ok(Json(written).into_response())
}

pub(super) async fn compose(State(fake): State<Fake>, request: Request) -> Result<Response, Refusal> {
    let sandbox = target::delayed_sandbox_with_token(&fake, request.headers()).await?;
    Ok(match &sandbox.envd {
        Envd::Daemon(daemon) => daemon.call(request).await,
        Envd::Scripted(_) => api(StatusCode::NOT_IMPLEMENTED, "scripted sandboxes compose no files"),
    })
}

/// Counts the files that the daemon reports as written.
async fn count_written(fake: &Fake, answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    if parts.status.is_success() {
        let files = serde_json::from_slice::<Vec<Value>>(&body).map_or(0, |files| files.len() as u64);
        fake.state.sandboxes.count(|counts| counts.file_writes += files);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Writes one file that is the body, or those of a form.
async fn write_all(
    fake: &Fake,
    disk: &MemoryDisk,
    query: &FileQuery,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Vec<Value>, Refusal> {
    let bad = |message: &str| Refusal::from(api(StatusCode::BAD_REQUEST, message));
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(bad("scripted sandboxes take no compressed uploads"));
    }
    let parts = if content_type.starts_with("application/octet-stream") {
        vec![Part { field: "file".to_owned(), file_name: String::new(), content: body }]
    } else {
        read_form(content_type, &body).await.map_err(|error| bad(&error.to_string()))?
    };
    let metadata = metadata::of_headers(headers).map_err(|message| bad(&message))?;
    let files: Vec<_> = parts.into_iter().filter(|part| part.field == "file").collect();
    if files.is_empty() {
        return Err(bad("no files to upload"));
    }
    let mut answer = Vec::new();
    for file in files {
        let path = query.path.as_deref().unwrap_or(&file.file_name);
        if path.is_empty() {
            return Err(bad("path is required"));
        }
        let entry = disk.write(&absolute(path, HOME), &file.content, &metadata);
        let entry = entry.map_err(|error| failed(&error))?;
        fake.state.sandboxes.count(|counts| counts.file_writes += 1);
        answer.push(written(&entry.path, Some(&entry.metadata).filter(|metadata| !metadata.is_empty())));
    }
    Ok(answer)
}
