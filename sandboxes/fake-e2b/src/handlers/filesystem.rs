//! envd's `filesystem.Filesystem`: the sandbox's daemon answers. Scripted sandboxes have files in memory and no watches.

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{self, Code, Error};
use switchtower_e2b_wire::files::{EntryInfo, EntryKind, permissions};

use super::errors::Refusal;
use super::target;
use crate::disk::{self, DiskError, HOME, MemoryDisk, absolute};
use crate::fake::Fake;
use crate::sandbox::Envd;

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
    request: Request,
) -> Result<Response, Refusal> {
    let sandbox = target::delayed_sandbox_with_token(&fake, request.headers()).await?;
    let disk = match &sandbox.envd {
        Envd::Daemon(daemon) => return Ok(daemon.call(request).await),
        Envd::Scripted(disk) => disk,
    };
    let (parts, body) = request.into_parts();
    let body = target::read_body(body).await?;
    let answered = if connect::is_stream(&parts.headers) {
        Err(unimplemented(&method))
    } else {
        unary(&fake, disk, &method, &parts.headers, &body)
    };
    Ok(answered.map_or_else(|error| error.response(&parts.headers), |answer| connect::unary(&answer)))
}

fn unimplemented(method: &str) -> Error {
    Error::new(Code::Unimplemented, format!("this stand-in has no {method}"))
}

fn unary(fake: &Fake, disk: &MemoryDisk, method: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Error> {
    let request: FilesystemRequest = connect::read_message(headers, body)?;
    let path = |path: &str| absolute(path, HOME);
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
        modified: fake.state.clock.at(entry.modified),
        symlink_target: None,
        metadata: Some(&entry.metadata).filter(|metadata| !metadata.is_empty()),
    };
    described.json()
}
