//! `filesystem.Filesystem` for a session without a machine.

use axum::Json;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use switchtower_core::session::files::{Entry, FileError, Files};
use switchtower_e2b_wire::connect::{self, Code, Error};
use switchtower_e2b_wire::files::{self, EntryKind};

use super::super::sandbox_handle::SandboxHandle;
use super::file_error::connect_error;
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
        .unwrap_or_else(|error| LocalReply::Response(error.response(&parts.headers)))
}

fn try_call(
    watchers: &Watchers,
    sandbox: &SandboxHandle,
    method: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<LocalReply, Error> {
    let message: FilesystemMessage = connect::read_message(&parts.headers, body)?;
    let session_files = sandbox.session.files();
    let absolute = |path: &str| Files::absolute(path).map_err(|error| connect_error(&error));
    match method {
        "GetWatcherEvents" => return Ok(json(&watchers.events(&sandbox.session, &message.watcher)?)),
        "RemoveWatcher" => {
            watchers.remove(&sandbox.session, &message.watcher)?;
            return Ok(json(&json!({})));
        }
        _ => {}
    }
    let (path, to) = match method {
        "Move" => (absolute(&message.source)?, Some(absolute(&message.destination)?)),
        _ => (absolute(&message.path)?, None),
    };
    if let Some(outside) = [Some(&path), to.as_ref()].into_iter().flatten().find(|path| !Files::is_scratch(path)) {
        return reply_for_machine_path(sandbox, outside).map_err(|error| connect_error(&error));
    }
    let entry = |entry: Result<Entry, FileError>| {
        entry.map(|entry| json(&json!({ "entry": entry_json(&entry) }))).map_err(|error| connect_error(&error))
    };
    Ok(match (method, to) {
        ("Stat", _) => entry(session_files.stat(&path))?,
        ("MakeDir", _) => entry(session_files.make_folder(&path))?,
        ("Move", Some(to)) => entry(session_files.rename(&path, &to))?,
        ("ListDir", _) => {
            let entries = session_files.list(&path, message.depth).map_err(|error| connect_error(&error))?;
            json(&json!({ "entries": entries.iter().map(entry_json).collect::<Vec<_>>() }))
        }
        ("Remove", _) => {
            match session_files.remove(&path) {
                // Removing a missing file succeeds.
                Ok(()) | Err(FileError::NotFound(_)) => json(&json!({})),
                Err(error) => return Err(connect_error(&error)),
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
    let (kind, mode) = if entry.folder { (EntryKind::Folder, 0o755) } else { (EntryKind::File, 0o644) };
    let described = files::EntryInfo {
        path: &entry.path,
        kind,
        size: entry.size,
        mode,
        modified: entry.modified,
        symlink_target: None,
    };
    described.json()
}
