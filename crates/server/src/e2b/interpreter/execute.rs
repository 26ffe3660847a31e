//! `POST /execute`: runs a cell and streams its rows.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use switchtower_core::error::Error;
use switchtower_core::error::class::CellForm;
use switchtower_core::memory::Charge;
use switchtower_core::session::{ExecuteCell, SessionState};

use super::super::address::INTERPRETER_PORT;
use super::super::forward;
use super::super::response::{self, Refusal};
use super::super::sandbox_handle::SandboxHandle;
use super::row_stream::{CellStream, complete_response};
use super::{known_language, parse, promote_for, rows, text, unknown_context};

#[derive(Deserialize)]
struct ExecuteRequest {
    code: String,
    context_id: Option<String>,
    language: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

/// Runs a cell. `charge` is the body's, and is held until the cell has ended.
pub(super) async fn execute(
    sandbox: SandboxHandle,
    parts: Parts,
    body: Bytes,
    charge: Charge,
) -> Result<Response, Refusal> {
    let request: ExecuteRequest = parse(&body)?;
    let session = &sandbox.session;
    let machine_need = match (&request.context_id, &request.language) {
        (Some(_), Some(_)) => {
            return Err(text(StatusCode::BAD_REQUEST, "Only one of context_id or language can be provided"));
        }
        (Some(id), None) if session.contexts().contains(id) => None,
        // A context of another language exists only on a machine.
        (Some(id), None) if !session.has_remote_machine() => return Err(unknown_context(id)),
        (Some(id), None) => Some(format!("the context {id}")),
        (None, Some(language)) if known_language(Some(language)).is_none() => {
            return match promote_for(&sandbox, language).await {
                Ok(machine) => Ok(forward::forward(session, machine.as_ref(), INTERPRETER_PORT, parts, body).await),
                Err(error) => refused(&sandbox, &error),
            };
        }
        (None, _) => None,
    };
    if let Some(need) = machine_need {
        return match session.promote(&need).await {
            Ok(machine) => Ok(forward::forward(session, machine.as_ref(), INTERPRETER_PORT, parts, body).await),
            Err(error) => refused(&sandbox, &error),
        };
    }
    let cell = ExecuteCell {
        context: request.context_id,
        language: request.language.as_deref().and_then(|language| known_language(Some(language))),
        source: request.code,
        env: request.env_vars.unwrap_or_default(),
        stdin: None,
        timeout: None,
    };
    let wall = *sandbox.state.sessions.router().wall();
    match CellStream::start(sandbox.session.clone(), cell, charge, wall).response().await {
        Ok(response) => Ok(response),
        Err(error) => refused(&sandbox, &error),
    }
}

/// Returns the answer to a cell that did not run. An error that a retry does not change is sent as an exception of the
/// cell, since agents read those.
fn refused(sandbox: &SandboxHandle, error: &Error) -> Result<Response, Refusal> {
    if sandbox.session.lifetime().state() != SessionState::Running {
        return Err(sandbox.not_running());
    }
    match error.class().e2b.form {
        CellForm::Exception => Ok(complete_response(&rows::refusal(error))),
        CellForm::Status => Err(Box::new(response::refused_as_text(error))),
    }
}
