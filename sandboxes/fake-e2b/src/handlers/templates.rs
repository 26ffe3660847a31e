//! Templates as a client looks them up: by name, by id, and their tags.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use switchtower_e2b_wire::errors::api;

use super::api_key;
use super::errors::Refusal;
use crate::fake::Fake;
use crate::settings::Template;

/// `GET /templates/aliases/{name}`: the template that a name leads to.
pub(super) async fn by_name(
    State(fake): State<Fake>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    answer(&fake, &headers, &name, |name, _| json!({ "templateID": name, "public": false }))
}

/// `GET /templates/{id}`. Ids are names here.
pub(super) async fn by_id(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    answer(&fake, &headers, &id, |id, _| json!({ "templateID": id, "names": [id], "builds": [] }))
}

/// `GET /templates/{id}/tags`.
pub(super) async fn tags(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    answer(&fake, &headers, &id, |_, template| {
        // Where every name is known, every tag is.
        let tag = template.map_or("default", |template| template.tag.as_str());
        json!([{ "tag": tag, "buildID": "00000000-0000-0000-0000-000000000000" }])
    })
}

/// Answers with `describe`'s description of the template of this name; its template is `None` where every name is known.
fn answer(
    fake: &Fake,
    headers: &HeaderMap,
    name: &str,
    describe: impl Fn(&str, Option<&Template>) -> Value,
) -> Result<Json<Value>, Refusal> {
    api_key::check(fake, headers)?;
    let templates = &fake.state.settings.templates;
    match templates.get(name.rsplit('/').next().unwrap_or(name)) {
        Some(template) => Ok(Json(describe(name, Some(template)))),
        None if templates.is_empty() => Ok(Json(describe(name, None))),
        None => Err(api(StatusCode::NOT_FOUND, &format!("template '{name}' not found")).into()),
    }
}
