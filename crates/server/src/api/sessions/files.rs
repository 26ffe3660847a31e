//! The files of a session, held in memory or on its machine.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{Request as Call, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use switchtower_contract::python::OWN_FOLDERS;
use switchtower_contract::{Change, Content, Fault, Machine};
use switchtower_core::error::{self, Error};
use switchtower_core::request::Caller;
use switchtower_core::session::Session;
use switchtower_core::session::files::{FileError, Files, PathUse};

use super::super::fields::Fields;
use super::super::path_names::PathNames;
use super::super::state::ApiState;
use super::activity::SessionUse;
use crate::service::body;
use crate::service::body_limits::BodyKind;
use crate::service::coding::Coding;
use crate::service::gunzip::gunzip;
use crate::service::json_body::body_problem;
use crate::service::problem::{Problem, ProblemKind};

/// The port of envd on a machine, which serves its files.
const ENVD: u16 = 49983;
/// `Retry-After` while the files are transferred to a machine.
const TRANSFER_RETRY: Duration = Duration::from_secs(1);

/// `GET /v1/sessions/{id}/files?path=…`.
pub(super) async fn read(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames(id): PathNames<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let path = path(&uri)?;
    let session_use = SessionUse::begin(api.session(&caller, &id)?).await?;
    let _call = session_use.session().machine_slot().begin_call().await;
    let content = match machine(session_use.session()).await? {
        Some(machine) => session_use.run(read_remote(machine.as_ref(), &path)).await?,
        None => session_use.session().files().read(&path).map_err(file_problem)?.into(),
    };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response())
}

/// `PUT /v1/sessions/{id}/files?path=…`: the body is the file.
pub(super) async fn write(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames(id): PathNames<String>,
    request: Request<Body>,
) -> Result<StatusCode, Problem> {
    let path = path(request.uri())?;
    let session_use = SessionUse::begin(api.session(&caller, &id)?).await?;
    let (parts, body) = request.into_parts();
    let written = async {
        let body = api.bodies().read(&caller, BodyKind::File, &parts.headers, body).await;
        let body::ChargedBody { mut bytes, charge } = body.map_err(|error| body_problem(&error))?;
        let coding = Coding::of(&parts.headers).map_err(|message| Problem::field("content-encoding", message))?;
        if coding == Coding::Gzip {
            let max = api.bodies().limits.bytes(BodyKind::File);
            bytes = gunzip(&bytes, max, &charge).await.map_err(|error| body_problem(&error))?;
        }
        if session_use.session().machine().is_none() {
            // The file keeps these bytes and charges them itself.
            charge.shrink(0);
        }
        put(session_use.session(), vec![(path, bytes)]).await
    };
    session_use.run(written).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes files. Relative paths are in the home folder.
pub(super) async fn put(session: &Session, files: Vec<(String, Bytes)>) -> Result<(), Problem> {
    let absolute = |(path, content): (String, Bytes)| Files::absolute(&path).map(|path| (path, content));
    let files: Vec<_> = files.into_iter().map(absolute).collect::<Result<_, _>>().map_err(file_problem)?;
    if files.is_empty() {
        return Ok(());
    }
    let _call = session.machine_slot().begin_call().await;
    let written = match machine(session).await? {
        Some(machine) => return put_remote(machine.as_ref(), &files).await,
        None => put_local(session.files(), &files),
    };
    match (written, session.machine()) {
        (Ok(()), _) => Ok(()),
        // The session was promoted in between.
        (Err(FileError::Moved), Some(machine)) => put_remote(machine.as_ref(), &files).await,
        (Err(error), _) => Err(file_problem(error)),
    }
}

/// Writes all files, or none if one of them is outside the session's own folders.
fn put_local(files_of_session: &Files, files: &[(String, Bytes)]) -> Result<(), FileError> {
    if let Some((path, _)) = files.iter().find(|(path, _)| !Files::is_scratch(path)) {
        return Err(FileError::Outside { path: path.clone(), path_use: PathUse::Write, remedy: None });
    }
    files.iter().try_for_each(|(path, content)| files_of_session.write(path, content.clone()).map(drop))
}

async fn put_remote(machine: &dyn Machine, files: &[(String, Bytes)]) -> Result<(), Problem> {
    let change =
        |(path, content): &(String, Bytes)| Change { path: path.clone(), content: Content::File(content.clone()) };
    let changes: Vec<Change> = files.iter().map(change).collect();
    machine.apply(&changes).await.map_err(machine_problem)
}

async fn read_remote(machine: &dyn Machine, path: &str) -> Result<Body, Problem> {
    let call = Call::get(format!("/files?path={}", encoded(path))).body(Bytes::new());
    let call = call.map_err(|wrong| Problem::field("path", wrong.to_string()))?;
    let (head, body) = machine.call(ENVD, call).await.map_err(machine_problem)?.into_parts();
    match head.status {
        status if status.is_success() => Ok(Body::from_stream(body.map_err(std::io::Error::other))),
        StatusCode::NOT_FOUND => Err(file_problem(FileError::NotFound(path.to_owned()))),
        StatusCode::BAD_REQUEST => Err(file_problem(FileError::IsFolder(path.to_owned()))),
        status => Err(machine_problem(Fault::Unavailable { reason: format!("the machine answered {status}") })),
    }
}

/// Returns the machine of a session that has been promoted.
async fn machine(session: &Session) -> Result<Option<Arc<dyn Machine>>, Error> {
    match session.machine() {
        // The machine exists already; `promote` records the use and returns it.
        Some(_) => session.promote("its files").await.map(Some),
        None => Ok(None),
    }
}

/// Returns the path of the query, absolute.
fn path(uri: &Uri) -> Result<String, Problem> {
    let query = Query::<serde_json::Map<String, Value>>::try_from_uri(uri);
    let Query(query) = query.map_err(|wrong| Problem::field("path", wrong.to_string()))?;
    let path = Fields::of_body(Value::Object(query), &["path"])?.required_text("path")?;
    Files::absolute(&path).map_err(file_problem)
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

fn file_problem(error: FileError) -> Problem {
    let detail = error.to_string();
    match error {
        FileError::NotFound(_) | FileError::Outside { path_use: PathUse::Read, .. } => {
            Problem::new(ProblemKind::NotFound, detail)
        }
        FileError::AlreadyExists(_) | FileError::IsFolder(_) | FileError::NotFolder(_) | FileError::Invalid(_) => {
            Problem::field("path", detail)
        }
        FileError::Outside { path_use: PathUse::Write, .. } => {
            Problem::field("path", detail).with("allowed", OWN_FOLDERS.to_vec())
        }
        FileError::Full { max } => Problem::new(ProblemKind::TooLarge, detail).with("allowed", max),
        FileError::TooMany { max } => Problem::new(ProblemKind::TooLarge, detail).with("allowed", max),
        FileError::NoSpace(no_space) => Error::from(no_space).into(),
        FileError::Moved => Problem::new(error::Kind::Unavailable, detail).retry_after(TRANSFER_RETRY),
    }
}

/// Returns the problem for a fault of the machine.
fn machine_problem(fault: Fault) -> Problem {
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
    fn any_path_is_unchanged_by_encoding_and_decoding() {
        let given = "/tmp/a b&c=%41+é?#";
        let uri: Uri = format!("/files?path={}", encoded(given)).parse().unwrap();
        assert_eq!(path(&uri).unwrap(), given);
    }
}
