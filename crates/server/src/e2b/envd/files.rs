//! `/files`: downloads and uploads of whole files.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value;
use switchtower_core::memory::NoSpace;
use switchtower_core::session::files::{FileError, FileMetadata, Files, PathUse};
use switchtower_e2b_wire::errors;
use switchtower_e2b_wire::files::written;
use switchtower_e2b_wire::multipart::read_form;

use super::super::sandbox_handle::SandboxHandle;
use super::file_error::file_response;
use super::local_reply::{LocalReply, reply_for_machine_path};
use super::user::User;
use crate::service::body::{BodyError, ChargedBody};
use crate::service::body_limits::BodyKind;
use crate::service::coding::Coding;
use crate::service::gunzip::gunzip;

/// Prefix of the headers with the metadata of uploaded files.
const METADATA_PREFIX: &str = "x-metadata-";

/// The file by which clients see whether a sandbox has booted again.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Why a call is refused.
enum Refused {
    Malformed(String),
    UnknownUser(String),
    File(FileError),
}

impl From<FileError> for Refused {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<NoSpace> for Refused {
    fn from(no_space: NoSpace) -> Self {
        Self::File(no_space.into())
    }
}

impl From<Refused> for LocalReply {
    fn from(refused: Refused) -> Self {
        let api = |status, message: &str| Self::Response(errors::api(status, message));
        match refused {
            Refused::Malformed(message) => api(StatusCode::BAD_REQUEST, &message),
            Refused::UnknownUser(message) => api(StatusCode::UNAUTHORIZED, &message),
            Refused::File(error @ FileError::Moved) => Self::Moved(file_response(&error)),
            Refused::File(error) => Self::Response(file_response(&error)),
        }
    }
}

#[derive(Deserialize)]
struct FileQuery {
    path: Option<String>,
    username: Option<String>,
}

impl FileQuery {
    fn of(parts: &Parts) -> Result<Self, Refused> {
        let query = Query::try_from_uri(&parts.uri);
        query
            .map(|query| query.0)
            .map_err(|wrong| Refused::Malformed(format!("the query is invalid: {}", wrong.body_text())))
    }

    fn user(&self) -> User {
        User::named(self.username.as_deref())
    }
}

pub(super) fn read(sandbox: &SandboxHandle, parts: &Parts) -> LocalReply {
    let read = || {
        let query = FileQuery::of(parts)?;
        let user = query.user();
        if let Some(need) = user.machine_need(&sandbox.session).map_err(Refused::UnknownUser)? {
            return Ok(LocalReply::NeedsMachine(need));
        }
        let path = Files::absolute_from(&query.path.unwrap_or_default(), user.home())?;
        let content = match path.as_str() {
            BOOT_ID => boot_id(sandbox.session.id()).into(),
            path if Files::is_scratch(path) => sandbox.session.files().read(path)?,
            path => return Ok(reply_for_machine_path(sandbox, path, PathUse::Read)?),
        };
        Ok(LocalReply::Response(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response()))
    };
    read().unwrap_or_else(|refused: Refused| refused.into())
}

/// Returns the boot id of a session without a machine, one line in the form of a UUID. Its memory is kept over a pause, so
/// it never boots again.
fn boot_id(session: &str) -> String {
    let digest = blake3::derive_key("switchtower: boot id of a session", session.as_bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts = [&digest[..4], &digest[4..6], &digest[6..8], &digest[8..10], &digest[10..16]];
    parts.map(hex).join("-") + "\n"
}

/// Returns the metadata in the headers of an upload.
fn metadata(headers: &HeaderMap) -> Result<FileMetadata, FileError> {
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix(METADATA_PREFIX)?, value)));
    FileMetadata::new(named.map(|(key, value)| (key, value.as_bytes())))
}

/// Writes one file from the body, or several from the parts of a form. If one of them needs a machine, all are written
/// there.
pub(super) async fn write(sandbox: &SandboxHandle, parts: &Parts, body: &ChargedBody) -> LocalReply {
    let charged = body.charge.bytes();
    let reply = match try_write(sandbox, parts, body).await {
        Ok(reply) => reply,
        // A machine has more space.
        Err(Refused::File(FileError::Full { .. } | FileError::TooMany { .. } | FileError::NoSpace(_)))
            if sandbox.session.can_promote() =>
        {
            LocalReply::NeedsMachine("more files, or larger ones, than a session has".to_owned())
        }
        Err(refused) => refused.into(),
    };
    body.charge.shrink(charged);
    match reply {
        LocalReply::Response(response) => LocalReply::Response(response),
        // The body is used again, so all of it is charged again.
        reply => match body.charge.reach(charged) {
            Ok(()) => reply,
            Err(no_space) => Refused::from(no_space).into(),
        },
    }
}

async fn try_write(sandbox: &SandboxHandle, parts: &Parts, body: &ChargedBody) -> Result<LocalReply, Refused> {
    let query = FileQuery::of(parts)?;
    let user = query.user();
    if let Some(need) = user.machine_need(&sandbox.session).map_err(Refused::UnknownUser)? {
        return Ok(LocalReply::NeedsMachine(need));
    }
    let metadata = metadata(&parts.headers)?;
    let charged = body.charge.bytes();
    let coding = Coding::of(&parts.headers).map_err(Refused::Malformed)?;
    let plain = match coding {
        Coding::Identity => body.bytes.clone(),
        // Charged beside the body, which a machine may need.
        Coding::Gzip => {
            let max = sandbox.state.bodies.limits.bytes(BodyKind::LocalUpload);
            gunzip(&body.bytes, max, &body.charge).await.map_err(|error| match error {
                BodyError::NoSpace(no_space) => no_space.into(),
                BodyError::TooLarge(_) => {
                    FileError::Full { max: sandbox.state.sessions.config().max_files_size }.into()
                }
                error => Refused::Malformed(error.to_string()),
            })?
        }
    };
    let path = query.path.filter(|path| !path.is_empty());
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = kind.starts_with("multipart/form-data");
    let files: Vec<(String, Bytes)> = if is_form {
        // The parts are copies, charged beside the body until they are written.
        body.charge.resize(body.charge.bytes() + plain.len() as u64)?;
        let parts = read_form(kind, &plain).await.map_err(|error| Refused::Malformed(error.to_string()))?;
        let parts = parts.into_iter().filter(|part| part.field == "file");
        parts.map(|part| (path.clone().unwrap_or(part.file_name), part.content)).collect()
    } else {
        vec![(path.unwrap_or_default(), plain)]
    };
    if files.is_empty() {
        return Err(Refused::Malformed("no files to upload".to_owned()));
    }
    if files.iter().any(|(path, _)| path.is_empty()) {
        return Err(Refused::Malformed("path is required".to_owned()));
    }
    // Each file charges its bytes itself. Only a form and a compressed body are kept beside them.
    body.charge.shrink(if is_form || coding == Coding::Gzip { charged } else { 0 });
    Ok(write_local(sandbox, files, &user, &metadata)?)
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
