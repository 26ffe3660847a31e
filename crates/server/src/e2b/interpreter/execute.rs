//! `POST /execute`: a cell, told live.

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

use super::super::address::INTERPRETER;
use super::super::forward;
use super::super::response::{self, Refusal};
use super::super::sandbox_handle::SandboxHandle;
use super::lines::{Running, whole};
use super::{is_python, line, missing, parsed, text};

#[derive(Deserialize)]
struct Order {
    code: String,
    context_id: Option<String>,
    language: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

/// `charge` is for the body, until the cell has ended.
pub(super) async fn execute(
    sandbox: SandboxHandle,
    parts: Parts,
    body: Bytes,
    charge: Charge,
) -> Result<Response, Refusal> {
    let order: Order = parsed(&body)?;
    let session = &sandbox.session;
    let of_machine = match (&order.context_id, &order.language) {
        (Some(_), Some(_)) => {
            return Err(text(StatusCode::BAD_REQUEST, "Only one of context_id or language can be provided"));
        }
        (Some(id), None) if session.has_context(id) => None,
        // A context of another language, where a machine has any.
        (Some(id), None) if session.machine().is_none() => return Err(missing(id)),
        (Some(id), None) => Some(format!("the context {id}")),
        (None, Some(language)) if !is_python(language) => Some(format!("a cell in {language}")),
        (None, _) => None,
    };
    if let Some(need) = of_machine {
        return match session.promote(&need).await {
            Ok(machine) => Ok(forward::forward(session, machine.as_ref(), INTERPRETER, parts, body).await),
            Err(error) => refused(&sandbox, &error),
        };
    }
    let cell = ExecuteCell {
        context: order.context_id,
        source: order.code,
        env: order.env_vars.unwrap_or_default(),
        stdin: None,
        timeout: None,
    };
    let wall = *sandbox.state.sessions.router().wall();
    match Running::start(sandbox.session.clone(), cell, charge, wall).begun().await {
        Ok(response) => Ok(response),
        Err(error) => refused(&sandbox, &error),
    }
}

/// Nothing ran. What no repeating changes is told as the cell's own failure: agents read that.
fn refused(sandbox: &SandboxHandle, error: &Error) -> Result<Response, Refusal> {
    if sandbox.session.state() != SessionState::Running {
        return Err(sandbox.not_running());
    }
    match error.class().e2b.form {
        CellForm::Exception => Ok(whole(&line::failure(error))),
        CellForm::Status => Err(Box::new(response::refused_as_text(error))),
    }
}
