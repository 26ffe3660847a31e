//! envd's `filesystem.Filesystem`. Watches are refused.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{self, Code, Error};
use switchtower_e2b_wire::files::{EntryInfo, EntryKind, permissions};

use super::errors::Refusal;
use super::target;
use crate::disk::{self, DiskError, HOME, Modified, absolute};
use crate::fake::Fake;
use crate::sandbox::Sandbox;

/// The fields of all messages together.
#[derive(Deserialize, Default)]
#[serde(default)]
struct FilesystemRequest {
    path: String,
    depth: u32,
    source: String,
    destination: String,
}

pub(super) async fn call(
    State(fake): State<Fake>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let sandbox = target::delayed_sandbox_with_token(&fake, &headers).await?;
    let answered = if connect::is_stream(&headers) {
        Err(unimplemented(&method))
    } else {
        unary(&fake, &sandbox, &method, &headers, &body)
    };
    Ok(answered.map_or_else(|error| error.response(&headers), |answer| connect::unary(&answer)))
}

fn unimplemented(method: &str) -> Error {
    Error::new(Code::Unimplemented, format!("this stand-in has no {method}"))
}

fn unary(fake: &Fake, sandbox: &Sandbox, method: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Error> {
    let request: FilesystemRequest = connect::read_message(headers, body)?;
    let (disk, path) = (&sandbox.disk, |path: &str| absolute(path, HOME));
    let entry = |entry: Result<disk::Entry, DiskError>| {
        entry.map(|entry| json!({ "entry": describe(fake, &entry) })).map_err(|error| failed(&error))
    };
    match method {
        "Stat" => entry(disk.stat(&path(&request.path))),
        "MakeDir" => entry(disk.make_folder(&path(&request.path))),
        "Move" => entry(disk.rename(&path(&request.source), &path(&request.destination))),
        "ListDir" => {
            let entries = disk.list(&path(&request.path), request.depth).map_err(|error| failed(&error))?;
            Ok(json!({ "entries": entries.iter().map(|entry| describe(fake, entry)).collect::<Vec<_>>() }))
        }
        "Remove" => disk.remove(&path(&request.path)).map(|()| json!({})).map_err(|error| failed(&error)),
        method => Err(unimplemented(method)),
    }
}

fn failed(error: &DiskError) -> Error {
    let code = match error {
        DiskError::NotFound(_) => Code::NotFound,
        DiskError::Exists(_) => Code::AlreadyExists,
        DiskError::IsFolder(_) | DiskError::NotFolder(_) => Code::InvalidArgument,
        DiskError::Denied(_) => Code::PermissionDenied,
        DiskError::Other(_) => Code::Internal,
    };
    Error::new(code, error.to_string())
}

fn describe(fake: &Fake, entry: &disk::Entry) -> Value {
    let described = EntryInfo {
        path: &entry.path,
        kind: if entry.is_folder { EntryKind::Folder } else { EntryKind::File },
        size: entry.size,
        mode: entry.mode,
        permissions: permissions(if entry.is_folder { 0o040_000 } else { 0 } | entry.mode),
        owner: "user",
        group: "user",
        modified: match entry.modified {
            Modified::Runtime(instant) => fake.state.clock.at(instant),
            Modified::System(time) => time,
        },
        symlink_target: entry.symlink.as_deref(),
        metadata: Some(&entry.metadata).filter(|metadata| !metadata.is_empty()),
    };
    described.json()
}
