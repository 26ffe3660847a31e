//! The OpenAPI document: it has every path and field, and every answer is valid against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use switchtower_core::request::{MAX_USER_BYTES, MIN_MEMORY, RequestLimits};
use switchtower_core::session;
use switchtower_core::session::files::{MAX_NAME_BYTES, MAX_PATH_BYTES};
use switchtower_server::api::{
    BATCH_FIELDS, CELL_FIELDS, CONTEXT_FIELDS, DOCUMENT, FIELDS, FILE_FIELDS, LEGACY_FIELDS, MAX_PROGRAMS, MIN_IDLE,
    PATHS, SESSION_FIELDS,
};
use switchtower_server::service::{Config, ProblemKind};

use crate::api::harness::{Answer, TestHarness, get};
use crate::api::schema::violations;
use crate::kernels::ScriptedKernels;

pub(super) fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn the_document_has_exactly_the_paths_of_the_api() {
    let document = document();
    let mut described: Vec<(&str, &str)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(keys(methods).into_iter().map(|method| (method, path.as_str())));
    }
    described.sort_unstable();
    let mut paths = PATHS.to_vec();
    paths.sort_unstable();
    assert_eq!(described, paths);

    let harness = TestHarness::with_sessions(
        &Config::default(),
        &session::Config::default(),
        vec![("wasm", Arc::new(ScriptedKernels::replayable()))],
    );
    for (method, path) in PATHS {
        let session = harness.post("/v1/sessions", &json!({})).await.json;
        let named = |name: &Value| name.as_str().unwrap().to_owned();
        let uri =
            path.replace("{id}", &named(&session["id"])).replace("{context}", &named(&session["contexts"][0]["id"]));
        let uri = uri.replace("/files", "/files?path=/tmp");
        let request = Request::builder().method(method.to_uppercase().as_str()).uri(uri).body(Body::empty()).unwrap();
        let status = harness.send(request).await.status;
        assert!(![404, 405].contains(&status), "{method} {path}: {status}");
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let operations = || document["paths"].as_object().unwrap().values().flat_map(|it| it.as_object().unwrap().values());
    let ids: BTreeSet<&str> = operations().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), PATHS.len());
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    assert!(operations().all(|operation| tags.contains(&&operation["tags"][0])));
}

#[test]
fn the_document_has_every_field_and_every_problem() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let fields = |name: &str| keys(&schemas[name]["properties"]);
    assert_eq!(fields("Execute"), FIELDS.into());
    assert_eq!(fields("File"), FILE_FIELDS.into());
    assert_eq!(fields("Batch"), BATCH_FIELDS.into());
    assert_eq!(fields("LegacyExecute"), LEGACY_FIELDS.into());
    assert_eq!(fields("OpenSession"), SESSION_FIELDS.into());
    assert_eq!(fields("OpenContext"), CONTEXT_FIELDS.into());
    assert_eq!(fields("Cell"), CELL_FIELDS.into());
    assert_eq!(schemas["Problem"]["properties"]["type"]["enum"], json!(ProblemKind::ALL.map(ProblemKind::urn)));
}

/// The bounds of each field of a request, by `Schema.field`; of an object of strings those of its values, as `Schema.field.*`.
fn documented_bounds(document: &Value) -> BTreeMap<String, Value> {
    let bounds = |schema: &Value| -> Value {
        let kept = schema.as_object().unwrap().iter().filter(|(key, value)| {
            key.starts_with("min") || key.starts_with("max") || (*key == "default" && value.is_number())
        });
        kept.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let mut found = BTreeMap::new();
    for name in ["Execute", "File", "Batch", "LegacyExecute", "OpenSession", "OpenContext", "Cell"] {
        for (field, schema) in document["components"]["schemas"][name]["properties"].as_object().unwrap() {
            found.insert(format!("{name}.{field}"), bounds(schema));
            if schema["additionalProperties"].is_object() {
                found.insert(format!("{name}.{field}.*"), bounds(&schema["additionalProperties"]));
            }
        }
    }
    let body = &document["paths"]["/v1/sessions/{id}/files"]["put"]["requestBody"]["content"];
    found.insert("a session's file".to_owned(), bounds(&body["application/octet-stream"]["schema"]));
    found
}

#[test]
fn the_bounds_of_request_fields_are_those_that_the_code_enforces() {
    let (limits, sessions) = (RequestLimits::default(), session::Config::default());
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap();
    let timeout =
        json!({ "minimum": 1, "maximum": millis(limits.max_timeout), "default": millis(limits.default_timeout) });
    let base64 = limits.files.div_ceil(3) * 4;
    let bounds = [
        ("Execute.code", json!({ "maxLength": limits.code })),
        ("Execute.stdin", json!({ "maxLength": limits.stdin })),
        ("Execute.files", json!({ "maxItems": limits.file_count })),
        ("Execute.env.*", json!({ "maxLength": limits.env })),
        ("Execute.timeout_ms", timeout.clone()),
        ("Execute.memory_mb", json!({ "minimum": MIN_MEMORY >> 20, "maximum": limits.max_memory >> 20 })),
        ("Execute.user", json!({ "maxLength": MAX_USER_BYTES })),
        ("Execute.seed", json!({ "minimum": 0, "maximum": u64::MAX, "default": 0 })),
        ("File.path", json!({ "minLength": 1 })),
        ("File.content", json!({ "maxLength": limits.files })),
        ("File.base64", json!({ "maxLength": base64 })),
        ("Batch.requests", json!({ "minItems": 1, "maxItems": MAX_PROGRAMS })),
        ("LegacyExecute.code", json!({ "maxLength": limits.code })),
        ("LegacyExecute.input", json!({ "maxLength": limits.stdin })),
        (
            "OpenSession.idle_ms",
            json!({
                "minimum": millis(MIN_IDLE),
                "maximum": millis(sessions.max_lifetime),
                "default": millis(sessions.idle_timeout),
            }),
        ),
        ("OpenSession.env.*", json!({ "maxLength": limits.env })),
        ("OpenSession.metadata.*", json!({ "maxLength": limits.env })),
        ("Cell.code", json!({ "maxLength": limits.code })),
        ("Cell.stdin", json!({ "maxLength": limits.stdin })),
        ("Cell.files", json!({ "maxItems": limits.file_count })),
        ("Cell.env.*", json!({ "maxLength": limits.env })),
        ("Cell.timeout_ms", timeout),
        ("a session's file", json!({ "maxLength": sessions.max_files_size })),
    ];
    let mut expected: BTreeMap<String, Value> = bounds.map(|(field, bounds)| (field.to_owned(), bounds)).into();
    // Texts that are compared with names, flags, objects whose values have the bounds, and paths, whose bounds hold after `.`
    // and `..` are resolved.
    let unbounded = [
        "Execute.language",
        "Execute.env",
        "Execute.priority",
        "Execute.tier",
        "Execute.isolation",
        "Execute.cache",
        "Execute.deterministic",
        "LegacyExecute.language",
        "OpenSession.env",
        "OpenSession.metadata",
        "OpenContext.folder",
        "OpenContext.language",
        "Cell.language",
        "Cell.context",
        "Cell.env",
    ];
    expected.extend(unbounded.map(|field| (field.to_owned(), json!({}))));
    assert_eq!(documented_bounds(&document()), expected);
}

#[test]
fn the_document_names_the_settings_of_its_bounds_with_their_defaults() {
    let settings = json!({ "limits": RequestLimits::default(), "sessions": session::Config::default() });
    let document = document();
    let schemas = &document["components"]["schemas"];
    let described = [
        ("Execute", "code", &["limits.code"][..]),
        ("Execute", "stdin", &["limits.stdin"]),
        ("Execute", "files", &["limits.file_count", "limits.files"]),
        ("Execute", "env", &["limits.env"]),
        ("Execute", "timeout_ms", &["limits.max_timeout", "limits.default_timeout"]),
        ("Execute", "memory_mb", &["limits.max_memory"]),
        ("File", "content", &["limits.files"]),
        ("File", "base64", &["limits.files"]),
        ("LegacyExecute", "code", &["limits.code"]),
        ("LegacyExecute", "input", &["limits.stdin"]),
        ("OpenSession", "idle_ms", &["sessions.max_lifetime", "sessions.idle_timeout"]),
        ("OpenSession", "env", &["limits.env"]),
        ("OpenSession", "metadata", &["limits.env"]),
        ("Cell", "code", &["limits.code"]),
        ("Cell", "stdin", &["limits.stdin"]),
        ("Cell", "files", &["limits.file_count", "limits.files"]),
        ("Cell", "env", &["limits.env"]),
        ("Cell", "timeout_ms", &["limits.max_timeout", "limits.default_timeout"]),
    ];
    for (schema, field, names) in described {
        let text = schemas[schema]["properties"][field]["description"].as_str().unwrap();
        for name in names {
            let (table, key) = name.split_once('.').unwrap();
            let value = &settings[table][key];
            let default = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let sentence = format!("{name}, {default} by default");
            assert!(text.contains(&sentence), "{schema}.{field} does not say {sentence:?}: {text}");
        }
    }
    let paths = format!("At most {MAX_PATH_BYTES} bytes as an absolute path, and {MAX_NAME_BYTES} bytes for each name");
    for text in [&schemas["File"]["properties"]["path"], &schemas["OpenContext"]["properties"]["folder"]] {
        let text = text["description"].as_str().unwrap();
        assert!(text.to_lowercase().contains(&paths.to_lowercase()), "{text}");
    }
}

#[test]
fn the_documentation_lists_every_problem_with_its_status() {
    let page = include_str!("../../docs/http-api.md");
    for kind in ProblemKind::ALL {
        let urn = kind.urn();
        let slug = urn.rsplit(':').next().unwrap();
        let row = format!("| `{slug}` | {} |", kind.status().as_u16());
        assert!(page.contains(&row), "docs/http-api.md has no row {row}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_valid_against_the_document() {
    let harness = TestHarness::new();
    let post = |path: &str, body: Value| {
        Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
    };
    let requests = vec![
        ("post", "/v1/execute", post("/v1/execute", json!({ "code": "#: print 1; show 2" }))),
        ("post", "/v1/execute", post("/v1/execute", json!({ "code": "#: print 1; show 2" }))),
        ("post", "/v1/execute", post("/v1/execute", json!({ "code": "#: raise ValueError x" }))),
        ("post", "/v1/execute", post("/v1/execute", json!({ "code": "#: need module pandas" }))),
        ("post", "/v1/execute", post("/v1/execute", json!({ "code": "#: fault unavailable" }))),
        ("post", "/v1/execute", post("/v1/execute", json!({ "code": 3 }))),
        ("post", "/v1/execute", post("/v1/execute", json!({ "code": "1", "tier": "moon" }))),
        (
            "post",
            "/v1/batch",
            post(
                "/v1/batch",
                json!({ "requests": [{ "code": "#: print 1" }, { "code": 3 }, { "code": "#: exit 2" }] }),
            ),
        ),
        ("post", "/v1/batch", post("/v1/batch", json!({ "requests": [] }))),
        ("post", "/v1/batch", post("/batch", json!({ "requests": [{ "code": "#: print 1" }] }))),
        ("post", "/v1/explain", post("/v1/explain", json!({ "code": "import time, pandas\nprint(time.time())" }))),
        ("post", "/v1/explain", post("/v1/explain", json!({ "code": "for (" }))),
        ("post", "/v1/explain", post("/v1/explain", json!({ "code": "1", "isolation": "micro_vm" }))),
        ("post", "/api/code/execute", post("/api/code/execute", json!({ "code": "#: print 1" }))),
        ("post", "/api/code/execute", post("/api/code/execute", json!({ "code": "#: fault unavailable" }))),
        ("get", "/health", get("/health")),
        ("get", "/ready", get("/ready")),
        ("get", "/v1/metrics", get("/v1/metrics")),
        ("get", "/v1/openapi.json", get("/v1/openapi.json")),
    ];
    let document = document();
    for (method, path, request) in requests {
        assert_matches(&document, method, path, &harness.send(request).await);
    }
    // The events of a stream are described too.
    let mut request = post("/v1/execute", json!({ "code": "#: print 1; eprint 2; show 3; raise ValueError x" }));
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    assert_events_match(&document, "/v1/execute", &harness.send(request).await);
}

/// Asserts that the document describes this answer for this path.
pub(super) fn assert_matches(document: &Value, method: &str, path: &str, answer: &Answer) {
    let described = &document["paths"][path][method]["responses"][answer.status.to_string()];
    assert!(described.is_object(), "{method} {path}: {} is not described: {}", answer.status, answer.text);
    let kind = answer.header("content-type");
    if kind.is_empty() {
        assert!(described["content"].is_null() && answer.text.is_empty(), "{path}: {} has no body", answer.status);
        return;
    }
    let schema = &described["content"][kind]["schema"];
    assert!(schema.is_object(), "{path}: {} {kind} is not described", answer.status);
    if kind.contains("json") {
        assert_eq!(violations(document, schema, &answer.json), Vec::<String>::new(), "{path}: {}", answer.text);
    }
}

/// Asserts that the document describes the events of this stream for this path.
pub(super) fn assert_events_match(document: &Value, path: &str, answer: &Answer) {
    let events = &document["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]["x-events"];
    for event in answer.text.split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').unwrap();
        let name = name.trim_start_matches("event: ");
        let data: Value = serde_json::from_str(data.trim_start_matches("data: ")).unwrap();
        assert!(events[name].is_object(), "{path}: the event {name} is not described");
        assert_eq!(violations(document, &events[name], &data), Vec::<String>::new(), "{event}");
    }
}
