//! `POST /v1/execute`, answered by server-sent events.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::api::harness::TestHarness;

fn event_stream(body: &Value) -> Request<Body> {
    Request::post("/v1/execute")
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .body(Body::from(body.to_string()))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn events_are_streamed_and_the_end_repeats_no_output() {
    let harness = TestHarness::new();
    let code = "x = 1\n#: print one\n#: sleep 2s\n#: eprint two\n#: sleep 2s\n#: show 3\n#: raise KeyError four";
    let answer = harness.send(event_stream(&json!({ "code": code }))).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    insta::assert_snapshot!(answer.text, @r#"
event: stdout
data: {"text":"one\n"}

event: stderr
data: {"text":"two\n"}

event: result
data: {"data":{"text/plain":"3"},"main":true}

event: error
data: {"name":"KeyError","value":"four","traceback":"line 7\nKeyError: four\n","line":7}

event: end
data: {"id":"689405500b670cc6e9efab12e1c1daeb","exit":"raised","exit_code":1,"truncated":false,"tier":"wasm","cache":"miss","pure":true,"stored":"kept","decision":{"class":"simple_math","score":0.01,"route":[{"tier":"wasm","budget_ms":null}],"rule":"default.local","reason":"imports nothing; no effects: runs in wasm"},"attempts":[{"tier":"wasm","waited_ms":0.0,"ran_ms":4000.0,"outcome":"raised"}],"usage":{"wall_ms":4000.0,"cpu_ms":0.0,"memory_mb":0.0},"note":null}
"#);
}

#[tokio::test(start_paused = true)]
async fn every_event_is_ascii_whatever_the_program_writes() {
    let harness = TestHarness::new();
    let odd = "\u{b}-\u{c}-\u{1c}-\u{1d}-\u{1e}-\u{85}-\u{2028}-\u{2029}-\u{1f600}";
    let code = format!("#: print a{odd}b\n#: show 'a{odd}b'\n#: raise KeyError a{odd}b");
    let text = harness.send(event_stream(&json!({ "code": code }))).await.text;
    assert!(text.is_ascii() && !text.contains(|it: char| it.is_ascii_control() && it != '\n'), "{text}");
    let events = text.split("\n\n").filter_map(|event| event.split_once("\ndata: "));
    let events: Vec<(&str, Value)> =
        events.map(|(name, data)| (&name["event: ".len()..], serde_json::from_str(data).unwrap())).collect();
    let event = |name: &str| &events.iter().find(|(of, _)| *of == name).unwrap().1;
    assert_eq!(event("stdout")["text"], format!("a{odd}b\n"));
    assert_eq!(event("result")["data"]["text/plain"], format!("'a{odd}b'"));
    assert_eq!(event("error")["value"], format!("a{odd}b"));
    assert!(event("error")["traceback"].as_str().unwrap().contains(odd));
}

#[tokio::test(start_paused = true)]
async fn output_arrives_while_the_program_runs() {
    let harness = TestHarness::new();
    let body = json!({ "code": "#: print one\n#: sleep 20s" });
    let started = tokio::time::Instant::now();
    let mut body = harness.respond(event_stream(&body)).await.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: stdout"), "{first:?}");
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(harness.backend.counts().running, 1);

    // The client disconnects: its program ends with it.
    drop(body);
    let counts = harness.backend.counts();
    assert_eq!((counts.running, counts.live), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive_by_comments() {
    let harness = TestHarness::new();
    let answer = harness.send(event_stream(&json!({ "code": "#: sleep 25s" }))).await;
    assert_eq!(answer.text.matches(":\n\n").count(), 1, "{}", answer.text);
    assert!(answer.text.contains("event: end"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_before_the_start_has_its_status() {
    let harness = TestHarness::new();
    let answer = harness.send(event_stream(&json!({ "code": "1", "tier": "moon" }))).await;
    assert_eq!((answer.status, answer.header("content-type")), (422, "application/problem+json"));
}
