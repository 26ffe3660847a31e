//! `POST /files`: one file that is the body, or those of a form.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use rustix::fs::{Mode, OFlags, fchown};
use rustix::io::Errno;
use serde_json::Value;
use switchtower_e2b_wire::files::written;
use switchtower_e2b_wire::multipart::Form;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::FileQuery;
use super::coding::{self, Coding};
use crate::daemon::{Daemon, blocking};
use crate::file_error::FileError;
use crate::folders::Folders;
use crate::metadata::{self, Metadata};
use crate::paths::parent;
use crate::users::User;

/// Most bytes of a refused upload that are read, as the HTTP server of Go does, with which E2B's daemon is written.
const MAX_UNREAD: usize = 256 << 10;
/// How long they are awaited.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(1);

/// What all files of an upload have in common.
struct Upload<'a> {
    daemon: &'a Daemon,
    user: User,
    metadata: Metadata,
    /// The bytes of the request, where it says how many there are.
    length: Option<u64>,
}

pub(crate) async fn upload(daemon: &Daemon, parts: &Parts, body: Body) -> Result<Response, FileError> {
    let unread = Arc::new(Mutex::new(body.into_data_stream()));
    let pieces = stream::unfold(Arc::clone(&unread), async |unread| {
        let piece = unread.lock().await.next().await;
        piece.map(|piece| (piece, unread))
    });
    let answered = write_files(daemon, parts, pieces.boxed()).await;
    if answered.is_err() {
        read_rest(&mut *unread.lock().await).await;
    }
    answered
}

/// Reads a little of what a refusal has left unread. A connection that is closed with unread bytes breaks the client's writing,
/// and the client does not see the answer.
async fn read_rest(unread: &mut BodyDataStream) {
    let mut left = MAX_UNREAD;
    let rest = async {
        while let Some(Ok(piece)) = unread.next().await
            && piece.len() < left
        {
            left -= piece.len();
        }
    };
    // The answer does not wait for a client that sends nothing.
    let _ = timeout(UNREAD_TIMEOUT, rest).await;
}

async fn write_files(
    daemon: &Daemon,
    parts: &Parts,
    body: BoxStream<'static, Result<Bytes, axum::Error>>,
) -> Result<Response, FileError> {
    let query = FileQuery::of(parts)?;
    let text = |name| parts.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let upload = Upload {
        daemon,
        user: query.user(daemon)?,
        metadata: metadata::of_headers(&parts.headers).map_err(FileError::Invalid)?,
        length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
    };
    let content: BoxStream<'static, Result<Bytes, FileError>> =
        match coding::of_body(&parts.headers).map_err(FileError::Invalid)? {
            Coding::Identity => body
                .map(|piece| piece.map_err(|error| FileError::Invalid(format!("the body was not read: {error}"))))
                .boxed(),
            Coding::Gzip => coding::expand(body).boxed(),
        };
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let path = query.path.filter(|path| !path.is_empty());
    let written = if content_type.starts_with("multipart/") {
        upload.write_form(content_type, path.as_deref(), content).await?
    } else {
        let path = path.ok_or_else(|| FileError::Invalid("path is required".to_owned()))?;
        let path = daemon.absolute(&path, &upload.user)?;
        vec![upload.write(&path, content).await?]
    };
    Ok(Json(written).into_response())
}

impl Upload<'_> {
    /// Writes the files of a form, each as it arrives.
    async fn write_form(
        &self,
        content_type: &str,
        path: Option<&str>,
        body: BoxStream<'static, Result<Bytes, FileError>>,
    ) -> Result<Vec<Value>, FileError> {
        let malformed = |error: &dyn std::fmt::Display| FileError::Invalid(error.to_string());
        let mut form = Form::new(content_type, body).map_err(|error| malformed(&error))?;
        let (mut answer, mut paths) = (Vec::new(), Vec::new());
        while let Some(part) = form.next_part().await.map_err(|error| malformed(&error))? {
            if part.field != "file" {
                continue;
            }
            let path = path.unwrap_or(&part.file_name);
            if path.is_empty() {
                return Err(FileError::Invalid("path is required".to_owned()));
            }
            let path = self.daemon.absolute(path, &self.user)?;
            if paths.contains(&path) {
                let message =
                    format!("you cannot upload multiple files to the same path '{path}' in one upload request");
                return Err(FileError::Invalid(message));
            }
            let content = stream::unfold(&mut form, async |form| {
                let piece =
                    form.next_piece().await.map_err(|error| FileError::Invalid(error.to_string())).transpose()?;
                Some((piece, form))
            });
            answer.push(self.write(&path, content).await?);
            paths.push(path);
        }
        if answer.is_empty() {
            return Err(FileError::Invalid("no files to upload".to_owned()));
        }
        Ok(answer)
    }

    /// Writes a file, and creates the folders of its path, for the user.
    async fn write(
        &self,
        path: &str,
        content: impl Stream<Item = Result<Bytes, FileError>> + Send,
    ) -> Result<Value, FileError> {
        let (folders, user, opened) = (self.daemon.folders.clone(), self.user.clone(), path.to_owned());
        let mut file = blocking(move || open(&folders, &opened, &user)).await?;
        let mut content = std::pin::pin!(content);
        while let Some(piece) = content.next().await {
            let (piece, path) = (piece?, path.to_owned());
            let written = blocking(move || match file.write_all(&piece) {
                Ok(()) => Ok(file),
                Err(error) => Err(FileError::of(&error, &path)),
            });
            file = written.await.map_err(|error| self.with_length(error))?;
        }
        let (metadata, located) = (self.metadata.clone(), self.daemon.folders.root.locate(path));
        let replaced = path.to_owned();
        let metadata = blocking(move || {
            metadata::replace(&file, &metadata).map_err(|error| FileError::of(&error, &replaced))?;
            Ok(metadata::read(&located))
        });
        let metadata = metadata.await?;
        Ok(written(path, Some(&metadata).filter(|metadata| !metadata.is_empty())))
    }

    /// Adds the bytes of the request to a refusal for want of space.
    fn with_length(&self, error: FileError) -> FileError {
        match (error, self.length) {
            (FileError::Full, Some(length)) => FileError::FullFor(length),
            (error, _) => error,
        }
    }
}

/// Opens a file for writing, empty, and makes the user its owner.
fn open(folders: &Folders, path: &str, user: &User) -> Result<File, FileError> {
    let located = folders.writable(path)?;
    folders.make_all(parent(path), user)?;
    let failed = |error: &io::Error| FileError::of(error, path);
    let is_new = match std::fs::metadata(&located) {
        Ok(data) if data.is_dir() => return Err(FileError::IsFolder(path.to_owned())),
        Ok(_) => false,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(&error)),
    };
    // A pipe that nobody reads from must not hold the call.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = match rustix::fs::open(&located, flags, Mode::from_raw_mode(0o666)) {
        Err(Errno::NXIO) => return Err(FileError::Invalid(format!("path is not a file: {path}"))),
        opened => opened.map_err(|error| failed(&error.into()))?,
    };
    let (uid, gid) = user.owner();
    match fchown(&opened, uid, gid) {
        // Such a file belongs to the system, like those of `/proc`, or to another user of a machine that has one only.
        Err(Errno::PERM | Errno::ROFS | Errno::INVAL) if !is_new => {}
        changed => changed.map_err(|error| failed(&error.into()))?,
    }
    Ok(File::from(opened))
}
