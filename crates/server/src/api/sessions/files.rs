//! The files of a session, wherever they are: here, or on its machine.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{Request as Call, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use switchtower_contract::{Change, Content, Fault, Machine};
use switchtower_core::error::{self, Error};
use switchtower_core::request::Caller;
use switchtower_core::session::Session;
use switchtower_core::session::files::{FileError, Files};

use crate::api::Door;
use crate::api::fields::Fields;
use crate::service::body;
use crate::service::body_limits::BodyKind;
use crate::service::json_body::body_problem;
use crate::service::problem::{Kind, Problem};

/// Where a machine's files are asked for.
const ENVD: u16 = 49983;
/// When to come back while the files are under way to a machine.
const SOON: Duration = Duration::from_secs(1);

/// `GET /v1/sessions/{id}/files?path=…`.
pub(super) async fn read(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let path = path(&uri)?;
    let used = door.0.used(&caller, &id).await?;
    let content = match machine(used.session()).await? {
        Some(machine) => used.during(read_there(machine.as_ref(), &path)).await?,
        None => used.session().files().read(&path).map_err(refused)?.into(),
    };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response())
}

/// `PUT /v1/sessions/{id}/files?path=…`: the body is the file.
pub(super) async fn write(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<StatusCode, Problem> {
    let door = &door.0;
    let path = path(request.uri())?;
    let used = door.used(&caller, &id).await?;
    let (parts, body) = request.into_parts();
    let written = async {
        let held = door.bodies.read(&caller, BodyKind::File, &parts.headers, body).await;
        let body::ChargedBody { bytes, charge } = held.map_err(|error| body_problem(&error))?;
        if used.session().machine().is_none() {
            // It is kept as it is, and charged as a file from now on.
            charge.shrink(0);
        }
        put(used.session(), vec![(path, bytes)]).await
    };
    used.during(written).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes files. Relative paths begin in the home.
pub(super) async fn put(session: &Session, files: Vec<(String, Bytes)>) -> Result<(), Problem> {
    let absolute = |(path, content): (String, Bytes)| Files::absolute(&path).map(|path| (path, content));
    let files: Vec<_> = files.into_iter().map(absolute).collect::<Result<_, _>>().map_err(refused)?;
    if files.is_empty() {
        return Ok(());
    }
    let written = match machine(session).await? {
        Some(machine) => return put_there(machine.as_ref(), &files).await,
        None => put_here(session.files(), &files),
    };
    match (written, session.machine()) {
        (Ok(()), _) => Ok(()),
        // It has moved in this moment.
        (Err(FileError::Moved), Some(machine)) => put_there(machine.as_ref(), &files).await,
        (Err(error), _) => Err(refused(error)),
    }
}

/// Where one of them belongs to nobody here, none is written.
fn put_here(here: &Files, files: &[(String, Bytes)]) -> Result<(), FileError> {
    if let Some((path, _)) = files.iter().find(|(path, _)| !Files::is_scratch(path)) {
        return Err(FileError::NotFound(path.clone()));
    }
    files.iter().try_for_each(|(path, content)| here.write(path, content.clone()).map(drop))
}

async fn put_there(machine: &dyn Machine, files: &[(String, Bytes)]) -> Result<(), Problem> {
    let change =
        |(path, content): &(String, Bytes)| Change { path: path.clone(), content: Content::File(content.clone()) };
    let changes: Vec<Change> = files.iter().map(change).collect();
    machine.apply(&changes).await.map_err(failed)
}

async fn read_there(machine: &dyn Machine, path: &str) -> Result<Body, Problem> {
    let call = Call::get(format!("/files?path={}", encoded(path))).body(Bytes::new());
    let call = call.map_err(|wrong| Problem::field("path", wrong.to_string()))?;
    let (head, body) = machine.call(ENVD, call).await.map_err(failed)?.into_parts();
    match head.status {
        status if status.is_success() => Ok(Body::from_stream(body.map_err(std::io::Error::other))),
        StatusCode::NOT_FOUND => Err(refused(FileError::NotFound(path.to_owned()))),
        StatusCode::BAD_REQUEST => Err(refused(FileError::IsFolder(path.to_owned()))),
        status => Err(failed(Fault::Unavailable { reason: format!("the machine answers {status}") })),
    }
}

/// The machine that a session has moved to.
async fn machine(session: &Session) -> Result<Option<Arc<dyn Machine>>, Error> {
    match session.machine() {
        // It is there already: this tells that it is used.
        Some(_) => session.promote("its files").await.map(Some),
        None => Ok(None),
    }
}

/// The path that is asked for, absolute.
fn path(uri: &Uri) -> Result<String, Problem> {
    let asked = Query::<serde_json::Map<String, Value>>::try_from_uri(uri);
    let Query(asked) = asked.map_err(|wrong| Problem::field("path", wrong.to_string()))?;
    let path = Fields::of_body(Value::Object(asked), &["path"])?.required_text("path")?;
    Files::absolute(&path).map_err(refused)
}

fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn refused(error: FileError) -> Problem {
    let detail = error.to_string();
    match error {
        FileError::NotFound(_) => Problem::new(Kind::NotFound, detail),
        FileError::AlreadyExists(_) | FileError::IsFolder(_) | FileError::NotFolder(_) | FileError::Invalid(_) => {
            Problem::field("path", detail)
        }
        FileError::Full { most } => Problem::new(Kind::TooLarge, detail).with("allowed", most),
        FileError::NoSpace(no_space) => Error::from(no_space).into(),
        FileError::Moved => Problem::new(error::Kind::Unavailable, detail).retry_after(SOON),
    }
}

/// The machine did not do it.
fn failed(fault: Fault) -> Problem {
    let reason = fault.to_string();
    match fault {
        Fault::Refused { retry_after, .. } => Error::Unavailable { reason, retry_after }.into(),
        Fault::Unavailable { .. } => Error::Unavailable { reason, retry_after: None }.into(),
        Fault::Unsupported(need) => {
            Error::Unsupported { reason: format!("the machine does not provide {need}") }.into()
        }
        Fault::Lost { reason } => Error::Lost { reason }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_comes_through_an_address_as_it_was() {
        let given = "/tmp/a b&c=%41+é?#";
        let uri: Uri = format!("/files?path={}", encoded(given)).parse().unwrap();
        assert_eq!(path(&uri).unwrap(), given);
    }
}
