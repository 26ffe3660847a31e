//! `filesystem.Filesystem` for a session without a machine.

use axum::http::request::Parts;
use serde_json::{Value, json};
use switchtower_core::session::files::{Entry, FileError, Files, PathUse};
use switchtower_e2b_wire::connect::{self, Code, Error};
use switchtower_e2b_wire::files::{self, EntryKind};

use super::super::sandbox_handle::SandboxHandle;
use super::file_error::connect_error;
use super::local_reply::{LocalReply, reply_for_machine_path};
use super::messages::FilesystemMessage;
use super::user::User;
use super::watch::{self, WatchOptions, Watchers};

pub(super) fn call(
    watchers: &Watchers,
    sandbox: &SandboxHandle,
    method: &str,
    parts: &Parts,
    body: &[u8],
) -> LocalReply {
    match try_call(watchers, sandbox, method, parts, body) {
        Ok(reply) => reply,
        Err(CallError::Refused(error)) => LocalReply::Response(error.response(&parts.headers)),
        Err(CallError::File(error)) => {
            let response = connect_error(&error).response(&parts.headers);
            if error == FileError::Moved { LocalReply::Moved(response) } else { LocalReply::Response(response) }
        }
    }
}

/// Why a call failed.
enum CallError {
    Refused(Error),
    File(FileError),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<FileError> for CallError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

fn try_call(
    watchers: &Watchers,
    sandbox: &SandboxHandle,
    method: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<LocalReply, CallError> {
    let message: FilesystemMessage = connect::read_message(&parts.headers, body)?;
    let session_files = sandbox.session.files();
    match method {
        "GetWatcherEvents" => return Ok(json(&watchers.events(&sandbox.session, &message.watcher)?)),
        "RemoveWatcher" => {
            watchers.remove(&sandbox.session, &message.watcher)?;
            return Ok(json(&json!({})));
        }
        _ => {}
    }
    let user = User::of_call(parts);
    let need = user.machine_need(&sandbox.session);
    if let Some(need) = need.map_err(|message| Error::new(Code::Unauthenticated, message))? {
        return Ok(LocalReply::NeedsMachine(need));
    }
    let absolute = |path: &str| Files::absolute_from(path, user.home());
    let (path, to) = match method {
        "Move" => (absolute(&message.source)?, Some(absolute(&message.destination)?)),
        _ => (absolute(&message.path)?, None),
    };
    if let Some(outside) = [Some(&path), to.as_ref()].into_iter().flatten().find(|path| !Files::is_scratch(path)) {
        let path_use = match method {
            "MakeDir" | "Move" | "Remove" => PathUse::Write,
            _ => PathUse::Read,
        };
        return Ok(reply_for_machine_path(sandbox, outside, path_use)?);
    }
    let watch_options = WatchOptions::of(&message);
    let entry = |entry: Entry| json(&json!({ "entry": entry_json(&entry) }));
    Ok(match (method, to) {
        ("Stat", _) => entry(session_files.stat(&path)?),
        ("MakeDir", _) => entry(session_files.make_folder(&path)?),
        ("Move", Some(to)) => entry(session_files.rename(&path, &to)?),
        ("ListDir", _) => {
            let entries = session_files.list(&path, message.depth)?;
            json(&json!({ "entries": entries.iter().map(entry_json).collect::<Vec<_>>() }))
        }
        ("Remove", _) => {
            match session_files.remove(&path) {
                // Removing a missing file succeeds.
                Ok(()) | Err(FileError::NotFound(_)) => json(&json!({})),
                Err(error) => return Err(error.into()),
            }
        }
        ("CreateWatcher", _) => json(&watchers.create(&sandbox.session, &path, watch_options)?),
        ("WatchDir", _) => LocalReply::Response(watch::stream(sandbox, &path, watch_options, parts, body)?),
        (other, _) => return Err(Error::new(Code::Unimplemented, format!("unknown method {other}")).into()),
    })
}

fn json(answer: &Value) -> LocalReply {
    LocalReply::Response(connect::unary(answer))
}

/// Bytes of a folder as Linux reports it: one block.
const FOLDER_BYTES: u64 = 4096;

pub(super) fn entry_json(entry: &Entry) -> Value {
    let (kind, mode, size) =
        if entry.folder { (EntryKind::Folder, 0o755, FOLDER_BYTES) } else { (EntryKind::File, 0o644, entry.size) };
    let described = files::EntryInfo {
        path: &entry.path,
        kind,
        size,
        mode,
        permissions: files::permissions(if entry.folder { 0o040_000 } else { 0 } | mode),
        owner: "user",
        group: "user",
        modified: entry.modified,
        symlink_target: None,
        metadata: entry.metadata.pairs(),
    };
    described.json()
}
