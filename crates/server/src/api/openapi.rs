//! The OpenAPI document. `tests/api/openapi.rs` validates every answer of the API against it, and compares the fields and bounds
//! of requests with the constants and default settings that the code enforces. It is a file rather than generated from types,
//! because the types of its answers are spread over crates that do not depend on axum or an OpenAPI library.

use std::borrow::Cow;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::Value;
use switchtower_contract::Language;

/// The document, with the built-in languages.
pub const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], with_languages(&Language::added()))
}

/// Returns the document with these languages added to the values of each field `language`.
fn with_languages(added: &[Language]) -> Cow<'static, str> {
    if added.is_empty() {
        return DOCUMENT.into();
    }
    let mut document = serde_json::from_str(DOCUMENT).expect("the document is JSON: the tests parse it");
    add_languages(&mut document, added);
    document.to_string().into()
}

fn add_languages(part: &mut Value, added: &[Language]) {
    match part {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field.get_mut("enum")) {
                    ("language", Some(Value::Array(names))) => {
                        names.extend(added.iter().map(|language| language.name().into()));
                    }
                    _ => add_languages(field, added),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| add_languages(item, added)),
        _ => {}
    }
}
