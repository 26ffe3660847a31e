//! Templates as a client looks them up: by name, by id, and their tags.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::control::enter;
use super::refusal::api;
use crate::fake::Fake;
use crate::settings::Template;

/// `GET /templates/aliases/{name}`: the template behind a name.
pub(super) async fn by_name(State(fake): State<Fake>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    look(&fake, &headers, &name, |name, _| json!({ "templateID": name, "public": false }))
}

/// `GET /templates/{id}`. Ids are names here.
pub(super) async fn by_id(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    look(&fake, &headers, &id, |id, _| json!({ "templateID": id, "names": [id], "builds": [] }))
}

/// `GET /templates/{id}/tags`.
pub(super) async fn tags(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    look(&fake, &headers, &id, |_, template| {
        // Where every name is known, every tag is.
        let tag = template.map_or("default", |template| template.tag.as_str());
        json!([{ "tag": tag, "buildID": "00000000-0000-0000-0000-000000000000" }])
    })
}

fn look(
    fake: &Fake,
    headers: &HeaderMap,
    name: &str,
    found: impl Fn(&str, Option<&Template>) -> serde_json::Value,
) -> Response {
    if let Err(refused) = enter(fake, headers) {
        return *refused;
    }
    let templates = &fake.parts.settings.templates;
    match templates.get(name.rsplit('/').next().unwrap_or(name)) {
        Some(template) => Json(found(name, Some(template))).into_response(),
        None if templates.is_empty() => Json(found(name, None)).into_response(),
        None => api(StatusCode::NOT_FOUND, &format!("template '{name}' not found")),
    }
}
