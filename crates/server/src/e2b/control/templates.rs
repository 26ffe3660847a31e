//! Templates and snapshots, as far as clients look them up. A machine has the template of its tier, so that nothing can
//! be built, tagged or changed here.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::response::{self, Refusal};
use super::super::state::E2bState;
use super::query::{KnownQuery, RawQuery};
use super::request::{bad_request, into_response};

/// The name of a template in the path of a request, without its tag.
pub(super) struct TemplateName(String);

impl<S: Send + Sync> FromRequestParts<S> for TemplateName {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name.split(':').next().unwrap_or_default().to_owned())),
            Err(_) => Err(*bad_request("The name of the template must be UTF-8 after percent-decoding")),
        }
    }
}

/// `GET /templates/aliases/{name}`: whether there is a template of this name. It is its own id, as in the answer to a
/// creation.
pub(super) async fn by_alias(State(state): State<Arc<E2bState>>, TemplateName(name): TemplateName) -> Response {
    into_response(check_known(&state, &name).map(|()| Json(json!({ "templateID": name, "public": true }))))
}

/// `GET /templates/{id}/tags`: none, since the tag that a creation names is not looked up.
pub(super) async fn tags(State(state): State<Arc<E2bState>>, TemplateName(name): TemplateName) -> Response {
    into_response(check_known(&state, &name).map(|()| Json(Vec::<Value>::new())))
}

/// Refuses to read or to change a template that exists: what its builds are is not known here.
pub(super) async fn refuse_known(State(state): State<Arc<E2bState>>, TemplateName(name): TemplateName) -> Response {
    match check_known(&state, &name) {
        Ok(()) => refuse().await,
        Err(refused) => *refused,
    }
}

/// Refuses everything that would list, build, tag or change templates.
pub(super) async fn refuse() -> Response {
    *bad_request(
        "building, tagging and listing templates is not supported by Switchtower, whose machines have the template of \
         their tier: use E2B's own API for it (unset E2B_API_URL), then name the template in the setting \
         clouds.e2b.account.template",
    )
}

/// Checks whether there is a template of this name.
///
/// # Errors
/// There is none.
fn check_known(state: &E2bState, name: &str) -> Result<(), Refusal> {
    if state.sessions.config().has_template(name) {
        return Ok(());
    }
    let message =
        format!("template '{name}' not found: the setting sessions.templates has the names of those that exist");
    Err(Box::new(response::permanent(StatusCode::NOT_FOUND, &message)))
}

/// `GET /snapshots`: none, since none can be made.
pub(super) async fn snapshots(query: RawQuery) -> Response {
    let read = || {
        let query = KnownQuery::read(&query, &["sandboxID", "name", "limit", "nextToken"])?;
        query.limit()?;
        query.one("nextToken")?.map_or(Ok(()), |_| Err("nextToken is invalid".to_owned()))
    };
    into_response(read().map(|()| Json(Vec::<Value>::new())).map_err(|message| bad_request(&message)))
}
