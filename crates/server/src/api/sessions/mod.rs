//! Sessions: interpreters that keep their variables and files from call to call, until they have been idle for a while.

mod activity;
mod cells;
mod contexts;
mod files;
mod socket;
mod view;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use switchtower_core::request::Caller;

use super::parse;
use super::path_names::PathNames;
use super::state::ApiState;
use crate::service::body_limits::BodyKind;
use crate::service::problem::Problem;
use view::SessionView;

pub(super) fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/v1/sessions", post(create).get(list))
        .route("/v1/sessions/{id}", get(get_session).delete(end))
        .route("/v1/sessions/{id}/execute", post(cells::execute))
        .route("/v1/sessions/{id}/ws", get(socket::open))
        .route("/v1/sessions/{id}/contexts", post(contexts::open))
        .route("/v1/sessions/{id}/contexts/{context}", delete(contexts::close))
        .route("/v1/sessions/{id}/contexts/{context}/restart", post(contexts::restart))
        .route("/v1/sessions/{id}/files", get(files::read).put(files::write))
}

/// `POST /v1/sessions`.
async fn create(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let sessions = api.sessions()?;
    let body = api.read_optional_json(&caller, BodyKind::Session, request).await?;
    let options = parse::session(body, &api.request_limits, sessions.config())?;
    let session = sessions.create(&caller, options).await?;
    api.known_sessions.record(&caller, session.id());
    let location = [(header::LOCATION, format!("/v1/sessions/{}", session.id()))];
    Ok((StatusCode::CREATED, location, Json(SessionView::of(&session))).into_response())
}

/// `GET /v1/sessions`: the sessions of the caller, the newest first.
async fn list(State(api): State<Arc<ApiState>>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Problem> {
    let all = api.sessions()?.list(&caller);
    let all: Vec<SessionView> = all.iter().map(|session| SessionView::of(session)).collect();
    Ok(Json(json!({ "sessions": all })))
}

/// `GET /v1/sessions/{id}`. It does not count as a use.
async fn get_session(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames(id): PathNames<String>,
) -> Result<Json<SessionView>, Problem> {
    let session = api.session(&caller, &id)?;
    Ok(Json(SessionView::of(&session)))
}

/// `DELETE /v1/sessions/{id}`: ends the session and everything that runs in it.
async fn end(
    State(api): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    PathNames(id): PathNames<String>,
) -> Result<StatusCode, Problem> {
    api.session(&caller, &id)?.end();
    Ok(StatusCode::NO_CONTENT)
}
