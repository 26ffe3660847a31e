//! The description of the door is true: every path is in it, and every answer is as it says.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use switchtower::http::{BATCH_FIELDS, DOCUMENT, FIELDS, FILE_FIELDS, Kind, LEGACY_FIELDS, PATHS};

use crate::http::house::{House, get};
use crate::http::schema::objections;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn every_path_is_described_and_every_description_is_a_path() {
    let document = document();
    let mut described: Vec<(&str, &str)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(keys(methods).into_iter().map(|method| (method, path.as_str())));
    }
    described.sort_unstable();
    let mut paths = PATHS.to_vec();
    paths.sort_unstable();
    assert_eq!(described, paths);

    let house = House::new();
    for (method, path) in PATHS {
        let request = Request::builder().method(method.to_uppercase().as_str()).uri(path).body(Body::empty()).unwrap();
        let status = house.send(request).await.status;
        assert!(![404, 405].contains(&status), "{method} {path}: {status}");
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_field_and_every_problem_is_described() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let fields = |name: &str| keys(&schemas[name]["properties"]);
    assert_eq!(fields("Execute"), FIELDS.into());
    assert_eq!(fields("File"), FILE_FIELDS.into());
    assert_eq!(fields("Batch"), BATCH_FIELDS.into());
    assert_eq!(fields("LegacyExecute"), LEGACY_FIELDS.into());
    assert_eq!(schemas["Problem"]["properties"]["type"]["enum"], json!(Kind::ALL.map(Kind::urn)));
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_as_described() {
    let house = House::new();
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
        ("post", "/v1/explain", post("/v1/explain", json!({ "code": "import time, pandas\nprint(time.time())" }))),
        ("post", "/v1/explain", post("/v1/explain", json!({ "code": "for (" }))),
        ("post", "/v1/explain", post("/v1/explain", json!({ "code": "1", "isolation": "micro_vm" }))),
        ("post", "/api/code/execute", post("/api/code/execute", json!({ "code": "#: print 1" }))),
        ("get", "/health", get("/health")),
        ("get", "/ready", get("/ready")),
        ("get", "/v1/metrics", get("/v1/metrics")),
        ("get", "/v1/openapi.json", get("/v1/openapi.json")),
    ];
    let document = document();
    for (method, path, request) in requests {
        let answer = house.send(request).await;
        let described = &document["paths"][path][method]["responses"][answer.status.to_string()];
        let schema = &described["content"][answer.header("content-type")]["schema"];
        assert!(schema.is_object(), "{path}: {} {} is not described", answer.status, answer.header("content-type"));
        assert_eq!(objections(&document, schema, &answer.json), Vec::<String>::new(), "{path}: {}", answer.text);
    }
    // And the events of a stream.
    let mut request = post("/v1/execute", json!({ "code": "#: print 1; eprint 2; show 3; raise ValueError x" }));
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    let events =
        &document["paths"]["/v1/execute"]["post"]["responses"]["200"]["content"]["text/event-stream"]["x-events"];
    let stream = house.send(request).await.text;
    for event in stream.split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').unwrap();
        let name = name.trim_start_matches("event: ");
        let data: Value = serde_json::from_str(data.trim_start_matches("data: ")).unwrap();
        assert_eq!(objections(&document, &events[name], &data), Vec::<String>::new(), "{event}");
    }
}
