//! `/files`: downloads and uploads of whole files.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value;
use switchtower_core::session::files::{FileError, FileMetadata, Files, PathUse};
use switchtower_e2b_wire::errors;
use switchtower_e2b_wire::files::written;
use switchtower_e2b_wire::multipart::read_form;

use super::super::sandbox_handle::SandboxHandle;
use super::file_error::file_response;
use super::local_reply::{LocalReply, reply_for_machine_path};
use super::user::{User, unknown_user};
use crate::service::body::{BodyError, ChargedBody};
use crate::service::body_limits::BodyKind;
use crate::service::coding::Coding;
use crate::service::gunzip::gunzip;

/// Prefix of the headers with the metadata of uploaded files.
const METADATA_PREFIX: &str = "x-metadata-";

/// The file by which clients see whether a sandbox has booted again.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

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
    let user = User::of(parts);
    if let User::Other(name) = &user {
        return reply_for_user(sandbox, name);
    }
    let read = || {
        let path = Files::absolute_from(&FileQuery::of(parts).path.unwrap_or_default(), user.home())?;
        let content = match path.as_str() {
            BOOT_ID => boot_id(sandbox.session.id()).into(),
            path if Files::is_scratch(path) => sandbox.session.files().read(path)?,
            path => return reply_for_machine_path(sandbox, path, PathUse::Read),
        };
        Ok(LocalReply::Response(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response()))
    };
    read().unwrap_or_else(|error| failed(&error))
}

/// Returns the boot id of a session without a machine, one line in the form of a UUID. Its memory is kept over a pause, so
/// it never boots again.
fn boot_id(session: &str) -> String {
    let digest = blake3::derive_key("switchtower: boot id of a session", session.as_bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts = [&digest[..4], &digest[4..6], &digest[6..8], &digest[8..10], &digest[10..16]];
    parts.map(hex).join("-") + "\n"
}

/// Returns the reply to a call as a user that only a machine can have.
fn reply_for_user(sandbox: &SandboxHandle, name: &str) -> LocalReply {
    if sandbox.session.can_promote() {
        LocalReply::NeedsMachine(format!("the user {name}"))
    } else {
        LocalReply::Response(errors::api(StatusCode::UNAUTHORIZED, &unknown_user(name)))
    }
}

/// Returns the metadata in the headers of an upload.
fn metadata(headers: &HeaderMap) -> Result<FileMetadata, FileError> {
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix(METADATA_PREFIX)?, value)));
    FileMetadata::new(named.map(|(key, value)| (key, value.as_bytes())))
}

/// Writes one file from the body, or several from the parts of a form. If one of them needs a machine, all are written
/// there.
pub(super) async fn write(sandbox: &SandboxHandle, parts: &Parts, body: &ChargedBody) -> LocalReply {
    let bad_request = |message: &str| LocalReply::Response(errors::api(StatusCode::BAD_REQUEST, message));
    let path = FileQuery::of(parts).path.filter(|path| !path.is_empty());
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let user = User::of(parts);
    if let User::Other(name) = &user {
        return reply_for_user(sandbox, name);
    }
    let metadata = match metadata(&parts.headers) {
        Ok(metadata) => metadata,
        Err(error) => return failed(&error),
    };
    let is_form = kind.starts_with("multipart/form-data");
    let charged = body.charge.bytes();
    let coding = match Coding::of(&parts.headers) {
        Ok(coding) => coding,
        Err(message) => return bad_request(&message),
    };
    let plain = match coding {
        Coding::Identity => body.bytes.clone(),
        // Charged beside the body, which a machine may need.
        Coding::Gzip => {
            let max = sandbox.state.bodies.limits.bytes(BodyKind::LocalUpload);
            match gunzip(&body.bytes, max, &body.charge).await {
                Ok(plain) => plain,
                Err(BodyError::NoSpace(no_space)) => return reply_to_failed_write(sandbox, &no_space.into()),
                Err(BodyError::TooLarge(_)) => {
                    let max = sandbox.state.sessions.config().max_files_size;
                    return reply_to_failed_write(sandbox, &FileError::Full { max });
                }
                Err(error) => return bad_request(&error.to_string()),
            }
        }
    };
    let with_plain = body.charge.bytes();
    let files: Vec<(String, Bytes)> = if is_form {
        // The parts are copies, charged beside the body until they are written.
        if let Err(no_space) = body.charge.resize(with_plain + plain.len() as u64) {
            body.charge.shrink(charged);
            return reply_to_failed_write(sandbox, &no_space.into());
        }
        let parts = match read_form(kind, &plain).await {
            Ok(parts) => parts,
            Err(error) => return bad_request(&error.to_string()),
        };
        let parts = parts.into_iter().filter(|part| part.field == "file");
        parts.map(|part| (path.clone().unwrap_or(part.file_name), part.content)).collect()
    } else {
        vec![(path.unwrap_or_default(), plain)]
    };
    if files.is_empty() {
        return bad_request("no files to upload");
    }
    if files.iter().any(|(path, _)| path.is_empty()) {
        return bad_request("path is required");
    }
    // Each file charges its bytes itself. Only a form and a compressed body are kept beside them.
    body.charge.shrink(if is_form || coding == Coding::Gzip { charged } else { 0 });
    let reply = match write_local(sandbox, files, &user, &metadata) {
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
        FileError::Full { .. } | FileError::TooMany { .. } | FileError::NoSpace(_) if sandbox.session.can_promote() => {
            LocalReply::NeedsMachine("more files, or larger ones, than a session has".to_owned())
        }
        error => failed(error),
    }
}

fn write_local(
    sandbox: &SandboxHandle,
    files: Vec<(String, Bytes)>,
    user: &User,
    metadata: &FileMetadata,
) -> Result<LocalReply, FileError> {
    let absolute = |(path, _): &(String, Bytes)| Files::absolute_from(path, user.home());
    let paths = files.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = paths.iter().find(|path| !Files::is_scratch(path)) {
        return reply_for_machine_path(sandbox, path, PathUse::Write);
    }
    let mut entries: Vec<Value> = Vec::new();
    for (path, (_, content)) in paths.iter().zip(files) {
        let entry = sandbox.session.files().write_with(path, content, metadata.clone())?;
        entries.push(written(&entry.path, entry.metadata.pairs()));
    }
    Ok(LocalReply::Response(Json(entries).into_response()))
}
