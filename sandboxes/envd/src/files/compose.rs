//! `POST /files/compose`: files become one, in their order, and are removed.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use rustix::fs::fchown;
use serde::Deserialize;
use switchtower_e2b_wire::files::written;

use super::open_for_reading;
use crate::daemon::{Daemon, blocking};
use crate::file_error::FileError;
use crate::folders::Folders;
use crate::paths::parent;
use crate::users::User;

#[derive(Deserialize)]
struct ComposeRequest {
    #[serde(default)]
    source_paths: Vec<String>,
    #[serde(default)]
    destination: String,
    username: Option<String>,
}

pub(crate) async fn compose(daemon: &Daemon, body: &[u8]) -> Result<Response, FileError> {
    let invalid = |message: String| FileError::Invalid(message);
    let request: ComposeRequest =
        serde_json::from_slice(body).map_err(|error| invalid(format!("invalid request body: {error}")))?;
    if request.source_paths.is_empty() {
        return Err(invalid("source_paths must not be empty".to_owned()));
    }
    if request.destination.is_empty() {
        return Err(invalid("destination is required".to_owned()));
    }
    let user = daemon.user(request.username.as_deref())?;
    let destination = daemon.absolute(&request.destination, &user)?;
    let sources = request.source_paths.iter().map(|path| daemon.absolute(path, &user));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    if let Some(source) = sources.iter().find(|source| **source == destination) {
        return Err(invalid(format!("source path {source:?} cannot be the same as destination")));
    }
    let (folders, answer) = (daemon.folders.clone(), written(&destination, None));
    blocking(move || join(&folders, &sources, &destination, &user)).await?;
    Ok(Json(answer).into_response())
}

fn join(folders: &Folders, sources: &[String], destination: &str, user: &User) -> Result<(), FileError> {
    for source in sources {
        open_for_reading(&folders.writable(source)?, source)?;
    }
    let target = folders.writable(destination)?;
    folders.make_all(parent(destination), user)?;
    if target.is_dir() {
        return Err(FileError::IsFolder(destination.to_owned()));
    }
    // Beside the target, so that a file there stays as it is until the new one is whole.
    static COMPOSED: AtomicU64 = AtomicU64::new(0);
    let mut new = target.clone().into_os_string();
    new.push(format!(".e2b-compose.{}-{}.tmp", std::process::id(), COMPOSED.fetch_add(1, Ordering::Relaxed)));
    let new = Path::new(&new);
    let composed = copy(folders, sources, new, user)
        .and_then(|()| std::fs::rename(new, &target).map_err(|error| FileError::of(&error, destination)));
    if composed.is_err() {
        // It may not exist.
        let _ = std::fs::remove_file(new);
        return composed;
    }
    for source in sources {
        // The new file is whole, so one that cannot be removed is no failure.
        let _ = std::fs::remove_file(folders.root.locate(source));
    }
    Ok(())
}

fn copy(folders: &Folders, sources: &[String], new: &Path, user: &User) -> Result<(), FileError> {
    let failed = |error: io::Error| FileError::of(&error, &new.to_string_lossy());
    let mut file = OpenOptions::new().write(true).create_new(true).open(new).map_err(failed)?;
    let (uid, gid) = user.owner();
    fchown(&file, uid, gid).map_err(|error| failed(error.into()))?;
    for source in sources {
        let (mut from, _) = open_for_reading(&folders.root.locate(source), source)?;
        io::copy(&mut from, &mut file).map_err(failed)?;
    }
    Ok(())
}
