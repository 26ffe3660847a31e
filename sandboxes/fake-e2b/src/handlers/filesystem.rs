//! envd's `filesystem.Filesystem`. Watches are not implemented.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{self, Code, Error};
use switchtower_e2b_wire::files::{Entry, EntryKind};

use super::target;
use crate::disk::{self, DiskError, HOME, Modified, absolute};
use crate::fake::Fake;
use crate::latency::Operation;
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
) -> Response {
    fake.simulate_latency(Operation::Other).await;
    let sandbox = match target::sandbox_with_token(&fake, &headers) {
        Ok(sandbox) => sandbox,
        Err(refusal) => return *refusal,
    };
    let answered = if connect::is_stream(&headers) {
        Err(unimplemented(&method))
    } else {
        unary(&fake, &sandbox, &method, &headers, &body)
    };
    match answered {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => error.response(&headers),
    }
}

fn unimplemented(method: &str) -> Error {
    Error::new(Code::Unimplemented, format!("this stand-in does not implement {method}"))
}

fn unary(fake: &Fake, sandbox: &Sandbox, method: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Error> {
    let asked: FilesystemRequest = connect::read_message(headers, body)?;
    let (disk, path) = (&sandbox.disk, |path: &str| absolute(path, HOME));
    let entry = |entry: Result<disk::Entry, DiskError>| {
        entry.map(|entry| json!({ "entry": describe(fake, &entry) })).map_err(|error| failed(&error))
    };
    match method {
        "Stat" => entry(disk.stat(&path(&asked.path))),
        "MakeDir" => entry(disk.make_folder(&path(&asked.path))),
        "Move" => entry(disk.rename(&path(&asked.source), &path(&asked.destination))),
        "ListDir" => {
            let entries = disk.list(&path(&asked.path), asked.depth).map_err(|error| failed(&error))?;
            Ok(json!({ "entries": entries.iter().map(|entry| describe(fake, entry)).collect::<Vec<_>>() }))
        }
        "Remove" => disk.remove(&path(&asked.path)).map(|()| json!({})).map_err(|error| failed(&error)),
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
    let described = Entry {
        path: &entry.path,
        kind: if entry.is_folder { EntryKind::Folder } else { EntryKind::File },
        size: entry.size,
        mode: entry.mode,
        modified: match entry.modified {
            Modified::Runtime(instant) => fake.state.clock.at(instant),
            Modified::System(time) => time,
        },
        symlink_target: entry.symlink.as_deref(),
    };
    described.json()
}
