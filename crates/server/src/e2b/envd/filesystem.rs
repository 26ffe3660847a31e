//! `filesystem.Filesystem` for a session without a machine.

use axum::Json;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use switchtower_core::session::files::{Entry, FileError, Files};

use super::super::response::zulu;
use super::super::sandbox_handle::SandboxHandle;
use super::connect::{self, Code, Error};
use super::local_reply::{LocalReply, reply_for_machine_path};
use super::messages::FilesystemMessage;
use super::watch::{self, Watchers};

pub(super) fn call(
    watchers: &Watchers,
    sandbox: &SandboxHandle,
    method: &str,
    parts: &Parts,
    body: &[u8],
) -> LocalReply {
    try_call(watchers, sandbox, method, parts, body)
        .unwrap_or_else(|error| LocalReply::Response(error.answer(&parts.headers)))
}

fn try_call(
    watchers: &Watchers,
    sandbox: &SandboxHandle,
    method: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<LocalReply, Error> {
    let message: FilesystemMessage = connect::message(&parts.headers, body)?;
    let files = sandbox.session.files();
    match method {
        "GetWatcherEvents" => return Ok(json(&watchers.events(&sandbox.session, &message.watcher)?)),
        "RemoveWatcher" => {
            watchers.remove(&sandbox.session, &message.watcher)?;
            return Ok(json(&json!({})));
        }
        _ => {}
    }
    let (path, to) = match method {
        "Move" => (Files::absolute(&message.source)?, Some(Files::absolute(&message.destination)?)),
        _ => (Files::absolute(&message.path)?, None),
    };
    if let Some(outside) = [Some(&path), to.as_ref()].into_iter().flatten().find(|path| !Files::is_scratch(path)) {
        return Ok(reply_for_machine_path(sandbox, outside)?);
    }
    let entry = |entry: Result<Entry, FileError>| entry.map(|entry| json(&json!({ "entry": entry_json(&entry) })));
    Ok(match (method, to) {
        ("Stat", _) => entry(files.stat(&path))?,
        ("MakeDir", _) => entry(files.make_folder(&path))?,
        ("Move", Some(to)) => entry(files.rename(&path, &to))?,
        ("ListDir", _) => {
            let entries = files.list(&path, message.depth)?;
            json(&json!({ "entries": entries.iter().map(entry_json).collect::<Vec<_>>() }))
        }
        ("Remove", _) => {
            match files.remove(&path) {
                // Removing a missing file succeeds.
                Ok(()) | Err(FileError::NotFound(_)) => json(&json!({})),
                Err(error) => return Err(error.into()),
            }
        }
        ("CreateWatcher", _) => json(&watchers.create(&sandbox.session, &path, message.recursive)?),
        ("WatchDir", _) => LocalReply::Response(watch::stream(sandbox, &path, message.recursive, parts, body)?),
        (other, _) => return Err(Error::new(Code::Unimplemented, format!("unknown method {other}"))),
    })
}

fn json(answer: &Value) -> LocalReply {
    LocalReply::Response(Json(answer).into_response())
}

fn entry_json(entry: &Entry) -> Value {
    let (kind, mode, permissions) = if entry.folder {
        ("FILE_TYPE_DIRECTORY", 0o755, "drwxr-xr-x")
    } else {
        ("FILE_TYPE_FILE", 0o644, "-rw-r--r--")
    };
    json!({
        "name": entry.path.rsplit('/').next().unwrap_or_default(),
        "type": kind,
        "path": entry.path,
        // proto3 writes large numbers as text.
        "size": entry.size.to_string(),
        "mode": mode,
        "permissions": permissions,
        "owner": "user",
        "group": "user",
        "modifiedTime": zulu(entry.modified),
    })
}
