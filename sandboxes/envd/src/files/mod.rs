//! `/files`: contents of files are read and written, piece by piece.

mod coding;
mod compose;
mod download;
mod media_type;
mod range;
mod upload;

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use axum::extract::Query;
use axum::http::request::Parts;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use crate::daemon::Daemon;
use crate::file_error::FileError;
use crate::users::User;
pub(crate) use compose::compose;
pub(crate) use download::download;
pub(crate) use upload::upload;

/// Bytes of a file that are in memory at a time.
const PIECE_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
struct FileQuery {
    path: Option<String>,
    username: Option<String>,
}

impl FileQuery {
    fn of(parts: &Parts) -> Result<Self, FileError> {
        let query = Query::try_from_uri(&parts.uri);
        query
            .map(|query| query.0)
            .map_err(|wrong| FileError::Invalid(format!("the query is invalid: {}", wrong.body_text())))
    }

    fn user(&self, daemon: &Daemon) -> Result<User, FileError> {
        daemon.user(self.username.as_deref().filter(|name| !name.is_empty()))
    }
}

/// Opens a file for reading. A pipe or a device, which could hold the call for ever, is refused.
fn open_for_reading(located: &Path, path: &str) -> Result<(File, Metadata), FileError> {
    let failed = |error: &io::Error| FileError::of(error, path);
    let data = std::fs::metadata(located).map_err(|error| failed(&error))?;
    if data.is_dir() {
        return Err(FileError::IsFolder(path.to_owned()));
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::open(located, flags, Mode::empty()).map_err(|error| failed(&error.into()))?;
    let file = File::from(opened);
    // It may be another one than before.
    let data = file.metadata().map_err(|error| failed(&error))?;
    if data.is_file() { Ok((file, data)) } else { Err(FileError::Invalid(format!("path is not a file: {path}"))) }
}
