//! The contexts of a session: each has names of its own, all share its files.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use switchtower_core::request::Caller;
use switchtower_core::session::files::Files;

use super::view::DescribedContext;
use crate::api::{Door, parse};
use crate::service::body_limits::BodyKind;
use crate::service::problem::{Kind, Problem};

/// `POST /v1/sessions/{id}/contexts`.
pub(super) async fn open(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<DescribedContext>), Problem> {
    let folder = parse::context(door.0.optional_body(&caller, BodyKind::Context, request).await?)?;
    let folder = folder.map(|folder| Files::absolute(&folder)).transpose();
    let folder = folder.map_err(|wrong| Problem::field("folder", wrong.to_string()))?;
    let used = door.0.used(&caller, &id).await?;
    let context = used.session().open_context(folder).await?;
    Ok((StatusCode::CREATED, Json(context.into())))
}

/// `POST /v1/sessions/{id}/contexts/{context}/restart`: when the cell that runs in it has ended.
pub(super) async fn restart(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path((id, context)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let used = door.0.used(&caller, &id).await?;
    let restarted = used.during(used.session().restart_context(&context)).await?;
    done(restarted, &context)
}

/// `DELETE /v1/sessions/{id}/contexts/{context}`.
pub(super) async fn close(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path((id, context)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let used = door.0.used(&caller, &id).await?;
    let closed = used.during(used.session().close_context(&context)).await?;
    done(closed, &context)
}

fn done(done: bool, context: &str) -> Result<StatusCode, Problem> {
    if done {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(Kind::NotFound, format!("the session has no context {context}")))
    }
}
