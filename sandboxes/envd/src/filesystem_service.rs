//! `filesystem.Filesystem`: files and folders are looked up, listed, made, moved, removed and watched.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use switchtower_e2b_wire::connect::{self, Code, Error};

use crate::basic_auth::user_name;
use crate::daemon::{Daemon, blocking, entry_answer, json_text, read_body};
use crate::stream_times::StreamTimes;
use crate::watch::{self, WatchOptions};

/// The fields of all messages together; each method reads its own.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct FilesystemRequest {
    path: String,
    depth: u32,
    source: String,
    destination: String,
    recursive: bool,
    #[serde(alias = "include_entry")]
    include_entry: bool,
    #[serde(alias = "allow_network_mounts")]
    allow_network_mounts: bool,
    #[serde(alias = "watcher_id")]
    watcher_id: String,
}

pub(crate) async fn call(daemon: &Daemon, method: &str, headers: &HeaderMap, body: Body) -> Result<Response, Error> {
    let body = read_body(body).await?;
    let request: FilesystemRequest = connect::read_message(headers, &body)?;
    match method {
        "GetWatcherEvents" => {
            let events = daemon.watchers.events(&request.watcher_id)?;
            return Ok(connect::unary(&json!({ "events": events })));
        }
        "RemoveWatcher" => {
            daemon.watchers.remove(&request.watcher_id)?;
            return Ok(connect::unary(&json!({})));
        }
        _ => {}
    }
    let user = daemon.user(user_name(headers).as_deref())?;
    let folders = daemon.folders.clone();
    if method == "Move" {
        let from = daemon.absolute(&request.source, &user)?;
        let to = daemon.absolute(&request.destination, &user)?;
        return Ok(entry_answer(&blocking(move || folders.rename(&from, &to, &user)).await?));
    }
    let path = daemon.absolute(&request.path, &user)?;
    let FilesystemRequest { recursive, include_entry, allow_network_mounts, depth, .. } = request;
    let options = WatchOptions { recursive, include_entry, allow_network_mounts };
    match (method, connect::is_stream(headers)) {
        ("Stat", false) => Ok(entry_answer(&blocking(move || folders.stat(&path)).await?)),
        ("MakeDir", false) => Ok(entry_answer(&blocking(move || folders.make(&path, &user)).await?)),
        ("ListDir", false) => {
            let entries = blocking(move || folders.list(&path, depth)).await?;
            Ok(json_text(format!("{{\"entries\":{entries}}}")))
        }
        ("Remove", false) => {
            blocking(move || folders.remove(&path)).await?;
            Ok(connect::unary(&json!({})))
        }
        ("CreateWatcher", false) => {
            let id = daemon.watchers.create(folders, path, options).await?;
            Ok(connect::unary(&json!({ "watcherId": id })))
        }
        ("WatchDir", true) => {
            let times = StreamTimes::of(headers)?;
            let watch = daemon.watchers.open(folders, path, options).await?;
            Ok(connect::stream(watch::stream(watch, times)?))
        }
        _ => Err(Error::new(Code::Unimplemented, format!("unknown method {method}"))),
    }
}
