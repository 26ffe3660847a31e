//! envd's `filesystem.Filesystem`. It has no watches.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::connect::{self, Error};
use super::plane;
use crate::disk::{Entry, HOME, Modified, absolute};
use crate::fake::Fake;
use crate::latency::Act;
use crate::sandbox::Sandbox;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
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
    fake.pass(Act::Other).await;
    let sandbox = match plane::with_token(&fake, &headers) {
        Ok(sandbox) => sandbox,
        Err(refused) => return *refused,
    };
    if connect::is_stream(&headers) {
        return connect::failed(&Error::unimplemented(&method));
    }
    match answered(&fake, &sandbox, &method, &body) {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => error.into_response(),
    }
}

fn answered(fake: &Fake, sandbox: &Sandbox, method: &str, body: &[u8]) -> Result<Value, Error> {
    let asked: Asked = connect::message(body)?;
    let (disk, path) = (&sandbox.disk, |path: &str| absolute(path, HOME));
    let entry = |entry: &Entry| json!({"entry": described(fake, entry)});
    Ok(match method {
        "Stat" => entry(&disk.stat(&path(&asked.path))?),
        "MakeDir" => entry(&disk.make_dir(&path(&asked.path))?),
        "Move" => entry(&disk.rename(&path(&asked.source), &path(&asked.destination))?),
        "ListDir" => {
            let entries = disk.list(&path(&asked.path), asked.depth)?;
            json!({"entries": entries.iter().map(|entry| described(fake, entry)).collect::<Vec<_>>()})
        }
        "Remove" => {
            disk.remove(&path(&asked.path))?;
            json!({})
        }
        method => return Err(Error::unimplemented(method)),
    })
}

fn described(fake: &Fake, entry: &Entry) -> Value {
    let modified = match entry.modified {
        Modified::At(instant) => fake.parts.wall.zulu(instant),
        Modified::On(time) => jiff::Timestamp::try_from(time).map(|stamp| stamp.to_string()).unwrap_or_default(),
    };
    let mut described = json!({
        "name": entry.name(), "path": entry.path, "size": entry.size.to_string(), "mode": entry.mode,
        "type": if entry.is_dir { "FILE_TYPE_DIRECTORY" } else { "FILE_TYPE_FILE" },
        "permissions": entry.permissions(), "owner": "user", "group": "user", "modifiedTime": modified,
    });
    if let Some(target) = &entry.symlink {
        described["symlinkTarget"] = target.as_str().into();
    }
    described
}
