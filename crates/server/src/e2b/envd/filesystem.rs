//! `filesystem.Filesystem`: what is where, while the files are held here.

use axum::Json;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_core::session::files::{Entry, FileError, Files};

use super::super::plane::Visit;
use super::super::response::zulu;
use super::connect::{self, Code, Error};
use super::{Local, beyond};

/// Every field of every message.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) depth: u32,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) recursive: bool,
    #[serde(rename = "watcherId")]
    pub(super) watcher: String,
}

pub(super) fn call(visit: &Visit, method: &str, parts: &Parts, body: &[u8]) -> Local {
    answered(visit, method, parts, body).unwrap_or_else(|error| Local::Answer(error.answer(&parts.headers)))
}

fn answered(visit: &Visit, method: &str, parts: &Parts, body: &[u8]) -> Result<Local, Error> {
    let asked: Asked = connect::message(&parts.headers, body)?;
    let files = visit.session.files();
    let watchers = &visit.door.watchers;
    match method {
        "GetWatcherEvents" => return Ok(json(&watchers.events(&visit.session, &asked.watcher)?)),
        "RemoveWatcher" => {
            watchers.remove(&visit.session, &asked.watcher)?;
            return Ok(json(&json!({})));
        }
        _ => {}
    }
    let (path, to) = match method {
        "Move" => (Files::absolute(&asked.source)?, Some(Files::absolute(&asked.destination)?)),
        _ => (Files::absolute(&asked.path)?, None),
    };
    if let Some(outside) = [Some(&path), to.as_ref()].into_iter().flatten().find(|path| !Files::is_scratch(path)) {
        return Ok(beyond(visit, outside)?);
    }
    let entry = |entry: Result<Entry, FileError>| entry.map(|entry| json(&json!({ "entry": described(&entry) })));
    Ok(match (method, to) {
        ("Stat", _) => entry(files.stat(&path))?,
        ("MakeDir", _) => entry(files.make_folder(&path))?,
        ("Move", Some(to)) => entry(files.rename(&path, &to))?,
        ("ListDir", _) => {
            let entries = files.list(&path, asked.depth)?;
            json(&json!({ "entries": entries.iter().map(described).collect::<Vec<_>>() }))
        }
        ("Remove", _) => {
            match files.remove(&path) {
                // What is not there is removed already.
                Ok(()) | Err(FileError::NotFound(_)) => json(&json!({})),
                Err(error) => return Err(error.into()),
            }
        }
        ("CreateWatcher", _) => json(&watchers.create(&visit.session, &path, asked.recursive)?),
        ("WatchDir", _) => Local::Answer(super::watch::stream(visit, &path, asked.recursive, parts, body)?),
        (other, _) => return Err(Error::new(Code::Unimplemented, format!("there is no {other}"))),
    })
}

fn json(answer: &Value) -> Local {
    Local::Answer(Json(answer).into_response())
}

fn described(entry: &Entry) -> Value {
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
