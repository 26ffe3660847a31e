//! Sessions: interpreters whose names and files last from call to call, until nobody has used them for a while.

mod activity;
mod cells;
mod contexts;
mod files;
mod known_sessions;
mod view;

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use switchtower_core::error;
use switchtower_core::request::Caller;
use switchtower_core::session::{Session, Sessions};

use super::{Door, Parts, parse};
use crate::service::body_limits::BodyKind;
use crate::service::problem::{Kind, Problem};
use activity::Use;
pub(super) use known_sessions::Opened;
use view::Described;

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/v1/sessions", post(create).get(list))
        .route("/v1/sessions/{id}", get(look).delete(end))
        .route("/v1/sessions/{id}/execute", post(cells::execute))
        .route("/v1/sessions/{id}/contexts", post(contexts::open))
        .route("/v1/sessions/{id}/contexts/{context}", delete(contexts::close))
        .route("/v1/sessions/{id}/contexts/{context}/restart", post(contexts::restart))
        .route("/v1/sessions/{id}/files", get(files::read).put(files::write))
}

impl Parts {
    fn sessions(&self) -> Result<&Sessions, Problem> {
        let none = || Problem::new(Kind::NotFound, "this server keeps no sessions");
        self.app.sessions.as_ref().ok_or_else(none)
    }

    /// A session of this caller's that has not ended.
    fn session(&self, caller: &Caller, id: &str) -> Result<Arc<Session>, Problem> {
        if let Some(session) = self.sessions()?.find(caller, id) {
            self.opened.remember(caller, id);
            return Ok(session);
        }
        Err(if self.opened.has(caller, id) {
            Problem::new(error::Kind::Gone, format!("the session {id} has ended"))
        } else {
            Problem::new(Kind::NotFound, format!("there is no session {id}"))
        })
    }

    /// The same, to be used: its time begins anew now and when the use is over.
    async fn used(&self, caller: &Caller, id: &str) -> Result<Use, Problem> {
        Ok(Use::begin(self.session(caller, id)?).await?)
    }

    /// A body of which nothing has to be there.
    async fn optional_body(&self, caller: &Caller, kind: BodyKind, request: Request<Body>) -> Result<Value, Problem> {
        if request.body().is_end_stream() {
            return Ok(json!({}));
        }
        // What is kept of it is charged where it is kept.
        let (body, _charge) = self.body(caller, kind, request).await?;
        Ok(body)
    }

    fn described(&self, session: &Session) -> Described {
        Described::of(session)
    }
}

/// `POST /v1/sessions`.
async fn create(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let door = &door.0;
    let sessions = door.sessions()?;
    let body = door.optional_body(&caller, BodyKind::Session, request).await?;
    let asked = parse::session(body, &door.app.ceilings, sessions.config())?;
    let session = sessions.create(&caller, asked).await?;
    door.opened.remember(&caller, session.id());
    let place = [(header::LOCATION, format!("/v1/sessions/{}", session.id()))];
    Ok((StatusCode::CREATED, place, Json(door.described(&session))).into_response())
}

/// `GET /v1/sessions`: the caller's own, the newest first.
async fn list(State(door): State<Door>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Problem> {
    let all = door.0.sessions()?.list(&caller);
    let all: Vec<Described> = all.iter().map(|session| door.0.described(session)).collect();
    Ok(Json(json!({ "sessions": all })))
}

/// `GET /v1/sessions/{id}`. Looking is no use of it.
async fn look(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Described>, Problem> {
    let session = door.0.session(&caller, &id)?;
    Ok(Json(door.0.described(&session)))
}

/// `DELETE /v1/sessions/{id}`: ends it and all that runs in it.
async fn end(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    door.0.session(&caller, &id)?.end();
    Ok(StatusCode::NO_CONTENT)
}
