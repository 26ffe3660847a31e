//! Requests that the native API refuses, and its answers.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use switchtower_server::service::Config;

use crate::api::harness::{Answer, TestHarness};

fn post(path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", kind).body(body.into()).unwrap()
}

fn write_line(text: &mut String, name: &str, answer: &Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{name}");
    let _ = writeln!(text, "{name}: {}", serde_json::to_string(&answer.json).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_field_and_what_is_allowed() {
    let harness = TestHarness::new();
    let mut text = String::new();
    for (name, body) in [
        ("unknown field", json!({ "code": "1", "codee": "2" })),
        ("missing", json!({ "stdin": "" })),
        ("wrong type", json!({ "code": 1 })),
        ("wrong type inside", json!({ "code": "1", "files": [{ "path": "a", "content": "b" }, { "path": 3 }] })),
        ("not an object", json!(["code"])),
        ("language", json!({ "code": "1", "language": "cobol" })),
        ("tier", json!({ "code": "1", "tier": "moon" })),
        ("priority", json!({ "code": "1", "priority": "urgent" })),
        ("cache", json!({ "code": "1", "cache": "no" })),
        ("isolation", json!({ "code": "1", "isolation": "none" })),
        ("timeout", json!({ "code": "1", "timeout_ms": 0 })),
        ("negative", json!({ "code": "1", "timeout_ms": -5 })),
        ("memory", json!({ "code": "1", "memory_mb": 1_000_000 })),
        ("seed alone", json!({ "code": "1", "seed": 3 })),
        ("two contents", json!({ "code": "1", "files": [{ "path": "a", "content": "", "base64": "" }] })),
        ("bad base64", json!({ "code": "1", "files": [{ "path": "a", "base64": "?" }] })),
        ("path out", json!({ "code": "1", "files": [{ "path": "../a", "content": "" }] })),
        ("env", json!({ "code": "1", "env": { "A": 1 } })),
        ("floor", json!({ "code": "1", "isolation": "micro_vm" })),
    ] {
        let answer = harness.post("/v1/execute", &body).await;
        assert_eq!(answer.status, 422, "{name}");
        write_line(&mut text, name, &answer);
    }
    insta::assert_snapshot!(text, @r#"
unknown field: {"allowed":["code","language","stdin","files","env","timeout_ms","memory_mb","user","priority","tier","isolation","cache","deterministic","seed"],"detail":"there is no field codee: known here are code, language, stdin, files, env, timeout_ms, memory_mb, user, priority, tier, isolation, cache, deterministic, seed","field":"codee","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
missing: {"allowed":"a string","detail":"code must be a string; it is missing","field":"code","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
wrong type: {"allowed":"a string","detail":"code must be a string, not 1","field":"code","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
wrong type inside: {"allowed":"a string","detail":"files[1].path must be a string, not 3","field":"files[1].path","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
not an object: {"detail":"the body must be an object, not a list","field":"the body","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
language: {"allowed":["python","javascript","typescript","c","cpp","bash","r","java"],"detail":"language must be one of python, javascript, typescript, c, cpp, bash, r, java, not \"cobol\"","field":"language","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
tier: {"allowed":"one of wasm","detail":"tier must be one of wasm","field":"tier","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
priority: {"allowed":["high","normal","low"],"detail":"priority must be one of high, normal, low, not \"urgent\"","field":"priority","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
cache: {"allowed":["use","bypass","refresh"],"detail":"cache must be one of use, bypass, refresh, not \"no\"","field":"cache","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
isolation: {"allowed":["process","container","gvisor","wasm","micro_vm"],"detail":"isolation must be one of process, container, gvisor, wasm, micro_vm, not \"none\"","field":"isolation","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
timeout: {"allowed":"between 1 and 300000","detail":"timeout_ms must be between 1 and 300000","field":"timeout_ms","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
negative: {"allowed":"a whole number from 0","detail":"timeout_ms must be a whole number from 0, not -5","field":"timeout_ms","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
memory: {"allowed":"between 1 and 2048","detail":"memory_mb must be between 1 and 2048","field":"memory_mb","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
seed alone: {"detail":"a seed needs \"deterministic\": true","field":"seed","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
two contents: {"detail":"a file has either content or base64","field":"files[0].content","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
bad base64: {"detail":"files[0].base64 is not standard base64 with padding: Invalid symbol 63, offset 0.","field":"files[0].base64","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
path out: {"allowed":"at paths that are not empty and contain neither NUL nor '..'","detail":"files must be at paths that are not empty and contain neither NUL nor '..'","field":"files","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
env: {"allowed":"a string","detail":"env.A must be a string, not 1","field":"env.A","status":422,"title":"Invalid field value","type":"urn:switchtower:problem:invalid"}
floor: {"detail":"no tier can run this: none has isolation micro_vm or stronger","status":422,"title":"No tier can run this program","type":"urn:switchtower:problem:no-tier"}
"#);
    assert_eq!(harness.backend.counts().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_read_is_refused_with_its_status() {
    let harness = TestHarness::new();
    let mut text = String::new();
    let large = format!("{{\"code\": \"{}\"}}", "x".repeat(40 << 20));
    for (name, status, request) in [
        ("malformed", 400, post("/v1/execute", "application/json", "{\"code\": \"1\",\n  }")),
        ("lone surrogate", 400, post("/v1/execute", "application/json", r#"{"code": "\ud800"}"#)),
        ("empty", 400, post("/v1/explain", "application/json", "")),
        ("deep", 400, post("/v1/execute", "application/json", "[".repeat(100_000))),
        ("too large", 413, post("/v1/execute", "application/json", large)),
        ("form", 415, post("/api/code/execute", "application/x-www-form-urlencoded", "code=1")),
        ("no type", 415, Request::post("/v1/execute").body(Body::from("{}")).unwrap()),
        ("encoded", 415, encoded("/v1/execute", "gzip")),
        ("encoded", 415, encoded("/v1/explain", "br")),
        ("elsewhere", 404, Request::get("/v2/execute").body(Body::empty()).unwrap()),
        ("method", 405, Request::get("/v1/execute").body(Body::empty()).unwrap()),
        ("method", 405, Request::delete("/health").body(Body::empty()).unwrap()),
    ] {
        let answer = harness.send(request).await;
        assert_eq!(answer.status, status, "{name}");
        if status == 405 {
            assert_eq!(answer.header("allow"), answer.json["allowed"].as_str().unwrap());
        }
        write_line(&mut text, name, &answer);
    }
    insta::assert_snapshot!(text, @r#"
malformed: {"column":3,"detail":"trailing comma at line 2 column 3","line":2,"status":400,"title":"Malformed JSON","type":"urn:switchtower:problem:malformed"}
lone surrogate: {"column":17,"detail":"unexpected end of hex escape at line 1 column 17","line":1,"status":400,"title":"Malformed JSON","type":"urn:switchtower:problem:malformed"}
empty: {"column":0,"detail":"EOF while parsing a value at line 1 column 0","line":1,"status":400,"title":"Malformed JSON","type":"urn:switchtower:problem:malformed"}
deep: {"column":128,"detail":"recursion limit exceeded at line 1 column 128","line":1,"status":400,"title":"Malformed JSON","type":"urn:switchtower:problem:malformed"}
too large: {"allowed":27459584,"detail":"the body has more than 27459584 bytes","status":413,"title":"Request body too large","type":"urn:switchtower:problem:too-large"}
form: {"allowed":"application/json","detail":"Content-Type is \"application/x-www-form-urlencoded\"","status":415,"title":"Unsupported media type","type":"urn:switchtower:problem:unsupported-media"}
no type: {"allowed":"application/json","detail":"Content-Type is missing","status":415,"title":"Unsupported media type","type":"urn:switchtower:problem:unsupported-media"}
encoded: {"allowed":"identity","detail":"Content-Encoding is not supported for JSON: send the body as it is","status":415,"title":"Unsupported media type","type":"urn:switchtower:problem:unsupported-media"}
encoded: {"allowed":"identity","detail":"Content-Encoding is not supported for JSON: send the body as it is","status":415,"title":"Unsupported media type","type":"urn:switchtower:problem:unsupported-media"}
elsewhere: {"allowed":["/v1/execute","/v1/batch","/v1/explain","/v1/sessions","/v1/sessions/{id}","/v1/sessions/{id}/execute","/v1/sessions/{id}/ws","/v1/sessions/{id}/contexts","/v1/sessions/{id}/contexts/{context}","/v1/sessions/{id}/contexts/{context}/restart","/v1/sessions/{id}/files","/api/code/execute","/health","/ready","/metrics","/v1/metrics","/v1/openapi.json","/v1/admin/tiers","/v1/admin/pool","/v1/admin/tiers/{tier}/budget","/v1/admin/tiers/{tier}/usage","/v1/admin/tiers/{tier}/breaker/reset","/v1/admin/cache","/v1/admin/cache/bars/reset"],"detail":"there is nothing at /v2/execute","status":404,"title":"Not found","type":"urn:switchtower:problem:not-found"}
method: {"allowed":"POST","detail":"/v1/execute has no GET","status":405,"title":"Method not allowed","type":"urn:switchtower:problem:method-not-allowed"}
method: {"allowed":"GET, HEAD","detail":"/health has no DELETE","status":405,"title":"Method not allowed","type":"urn:switchtower:problem:method-not-allowed"}
"#);
}

/// Returns a body that never ends.
fn endless() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>())
}

/// Returns a request whose encoded body never ends: it is answered only if the body is not read.
fn encoded(path: &str, coding: &str) -> Request<Body> {
    let mut request = post(path, "application/json", endless());
    request.headers_mut().insert("content-encoding", coding.parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_times_out() {
    let harness = TestHarness::new();
    let answer = harness.send(post("/v1/execute", "application/json", endless())).await;
    assert_eq!(answer.status, 408);
}

#[tokio::test(start_paused = true)]
async fn a_parameter_of_a_request_that_has_none_is_refused_by_its_name() {
    let harness = TestHarness::new();
    for (method, path) in [
        ("POST", "/v1/execute?timeout_ms=5"),
        ("POST", "/v1/batch?timeout_ms=5"),
        ("POST", "/v1/explain?timeout_ms"),
        ("POST", "/batch?timeout_ms=5"),
        ("POST", "/api/code/execute?timeout_ms=5"),
        ("POST", "/v1/sessions?timeout_ms=5"),
        ("DELETE", "/v1/sessions/none?timeout_ms=5"),
        ("POST", "/v1/sessions/none/execute?timeout_ms=5"),
        ("POST", "/v1/sessions/none/contexts?timeout_ms=5"),
        ("PUT", "/v1/sessions/none/files?path=a&timeout_ms=5"),
    ] {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let answer = harness.send(request.body(Body::from(r#"{"code": "1"}"#)).unwrap()).await;
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!("timeout_ms")), "{path}: {}", answer.json);
    }
    // Scrapers and checks may add their own.
    for path in ["/health?t=1", "/metrics?t=1", "/v1/metrics?t=1"] {
        assert_eq!(harness.send(Request::get(path).body(Body::empty()).unwrap()).await.status, 200, "{path}");
    }
    assert_eq!(harness.backend.counts().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_tier_is_a_503_with_retry_after() {
    let harness = TestHarness::new();
    let answer = harness.post("/v1/execute", &json!({ "code": "#: fault unavailable" })).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(answer.json["type"], "urn:switchtower:problem:unavailable");
    assert_eq!(answer.json["attempts"][0]["outcome"], "unavailable");
}

#[tokio::test(start_paused = true)]
async fn if_keys_are_configured_only_their_holders_run_programs() {
    let keys = [("ada", "0123456789abcdef"), ("bob", "fedcba9876543210")];
    let keys = keys.map(|(name, key)| (name.to_owned(), key.to_owned())).into();
    let harness = TestHarness::with(Config { keys, ..Config::default() });
    let body = json!({ "code": "#: print 1" });
    let request = |name: &str, value: &str| {
        let request = Request::post("/v1/execute").header("content-type", "application/json");
        request.header(name, value).body(Body::from(body.to_string())).unwrap()
    };
    for (name, value, status) in [
        ("accept", "*/*", 401),
        ("authorization", "Bearer 0123456789abcdeg", 401),
        ("authorization", "Basic 0123456789abcdef", 401),
        ("authorization", "bearer 0123456789abcdef", 200),
        ("x-api-key", "fedcba9876543210", 200),
        ("x-api-key", "", 401),
    ] {
        let answer = harness.send(request(name, value)).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    for (path, status) in
        [("/health", 200), ("/ready", 200), ("/v1/openapi.json", 200), ("/metrics", 401), ("/v1/metrics", 401)]
    {
        assert_eq!(harness.get(path).await.status, status, "{path}");
    }
}
