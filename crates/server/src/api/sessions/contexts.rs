//! The contexts of a session: each has variables of its own, all share the files.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use switchtower_core::request::Caller;
use switchtower_core::session::files::Files;

use super::super::parse;
use super::super::path_names::PathNames;
use super::super::state::ApiState;
use super::activity::SessionUse;
use super::view::ContextView;
use crate::service::body_limits::BodyKind;
use crate::service::problem::{Problem, ProblemKind};

/// `POST /v1/sessions/{id}/contexts`.
pub(super) async fn open(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames(id): PathNames<String>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<ContextView>), Problem> {
    let (language, folder) = parse::context(api.read_optional_json(&caller, BodyKind::Context, request).await?)?;
    let folder = folder.map(|folder| Files::absolute(&folder)).transpose();
    let folder = folder.map_err(|wrong| Problem::field("folder", wrong.to_string()))?;
    let session_use = SessionUse::begin(api.session(&caller, &id)?).await?;
    let context = session_use.session().open_context(language, folder).await?;
    Ok((StatusCode::CREATED, Json(context.into())))
}

/// `POST /v1/sessions/{id}/contexts/{context}/restart`: restarts the context after the cell that runs in it.
pub(super) async fn restart(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames((id, context)): PathNames<(String, String)>,
) -> Result<StatusCode, Problem> {
    let session_use = SessionUse::begin(api.session(&caller, &id)?).await?;
    let restarted = session_use.run(session_use.session().restart_context(&context)).await?;
    done(restarted, &context)
}

/// `DELETE /v1/sessions/{id}/contexts/{context}`.
pub(super) async fn close(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames((id, context)): PathNames<(String, String)>,
) -> Result<StatusCode, Problem> {
    let session_use = SessionUse::begin(api.session(&caller, &id)?).await?;
    let closed = session_use.run(session_use.session().close_context(&context)).await?;
    done(closed, &context)
}

fn done(done: bool, context: &str) -> Result<StatusCode, Problem> {
    if done {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(ProblemKind::NotFound, format!("the session has no context {context}")))
    }
}
