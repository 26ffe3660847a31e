//! The properties of all ports of a sandbox: its address, its tokens, and the answers when it is not running.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use switchtower_core::session;
use tokio::time::sleep;

use super::harness::{Client, ENVD, INTERPRETER, with, without};
use crate::session::harness::{Cloud, Plan, seconds};

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_named_by_headers_or_by_the_host() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    let mut answers = Vec::new();
    for port in [ENVD, INTERPRETER] {
        let by_headers = sandbox.to(port, "GET /health", Body::empty());
        answers.push(client.send(by_headers).await.status_and_body());
        let host = format!("{port}-{}.e2b.localhost:3001", sandbox.id);
        let by_host = with(sandbox.to(port, "GET /health", Body::empty()), "host", &host);
        let by_host = without(without(by_host, "e2b-sandbox-id"), "e2b-sandbox-port");
        answers.push(client.send(by_host).await.status_and_body());
    }
    assert_eq!(answers, ["204 ", "204 ", "200 \"OK\"", "200 \"OK\""]);
    let portless = without(sandbox.to(ENVD, "GET /health", Body::empty()), "e2b-sandbox-port");
    assert_eq!(client.send(portless).await.status_and_body(), "400 Invalid sandbox port");
    let closed = client.send(sandbox.to(8080, "GET /", Body::empty())).await;
    assert_eq!(closed.status, 502);
    let expected = json!({
        "sandboxId": sandbox.id, "message": "The sandbox is running but port is not open", "port": 8080, "code": 502
    });
    assert_eq!(closed.json, expected);
}

#[tokio::test(start_paused = true)]
async fn every_call_into_a_sandbox_needs_its_token() {
    let client = Client::new();
    let (sandbox, other) = (client.create(json!({})).await, client.create(json!({})).await);
    let expected = json!({
        "code": 401,
        "message": "unauthorized access, please provide a valid access token or method signing if supported",
    });
    for (port, call) in [
        (INTERPRETER, "POST /execute"),
        (ENVD, "GET /files?path=/tmp/a"),
        (ENVD, "POST /filesystem.Filesystem/Stat"),
        (ENVD, "POST /process.Process/Start"),
        (ENVD, "GET /envs"),
    ] {
        for wrong in ["", &other.token] {
            let request = with(sandbox.to(port, call, "{\"code\": \"x\"}"), "x-access-token", wrong);
            let answer = client.send(request).await;
            assert_eq!((answer.status, &answer.json), (401, &expected), "{port} {call}");
        }
        let without = without(sandbox.to(port, call, "{\"code\": \"x\"}"), "x-access-token");
        assert_eq!(client.send(without).await.status, 401, "{port} {call}");
    }
    assert_eq!((client.harness.wasm.opened(), client.harness.machines.sandboxes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ended_or_paused_sandbox_is_not_found_and_one_with_auto_resume_is_resumed() {
    let client = Client::new();
    let (killed, late) = (client.create(json!({})).await, client.create(json!({ "timeout": 10 })).await);
    let (paused, resumes) = (
        client.create(json!({ "timeout": 10, "autoPause": true })).await,
        client.create(json!({ "timeout": 10, "autoPause": true, "autoResume": { "enabled": true } })).await,
    );
    client.execute(&resumes, "x = 1").await;
    client.call(&format!("DELETE /sandboxes/{}", killed.id), Value::Null).await;
    sleep(seconds(10)).await;
    for sandbox in [&killed, &late, &paused] {
        for (port, call) in [(ENVD, "GET /health"), (INTERPRETER, "POST /execute"), (8080, "GET /")] {
            let answer = client.send(sandbox.to(port, call, "{\"code\": \"x\"}")).await;
            let expected = json!({ "sandboxId": sandbox.id, "message": "The sandbox was not found", "code": 502 });
            assert_eq!((answer.status, &answer.json), (502, &expected), "{port} {call}");
        }
    }
    assert_eq!(client.execute(&resumes, "x").await, "number 2 | result 1 | end");
    // A resumed sandbox lives for at least five minutes.
    sleep(seconds(299)).await;
    let detail = client.call(&format!("GET /sandboxes/{}", resumes.id), Value::Null).await;
    assert_eq!(detail.json["state"], "running");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_or_too_slow_is_refused_at_once() {
    let sessions = session::Config { max_files_size: 1000, ..session::Config::default() };
    let client = Client::with_plan(Plan { sessions, cloud: Cloud::Absent(""), ..Plan::default() });
    let sandbox = client.create(json!({})).await;
    let mut text = String::new();
    for (port, call) in
        [(INTERPRETER, "POST /execute"), (ENVD, "POST /files?path=/tmp/a"), (ENVD, "POST /filesystem.Filesystem/Stat")]
    {
        // More than any of them accepts, in pieces, for as long as it is read.
        let pieces = stream::repeat(Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1 << 20]))).take(200);
        let large = client.send(sandbox.to(port, call, Body::from_stream(pieces))).await;
        let never = stream::iter([Ok::<_, Infallible>("{")]).chain(stream::pending());
        let slow = client.send(sandbox.to(port, call, Body::from_stream(never))).await;
        text.push_str(&format!("{call}\n{}\n{}\n", large.status_and_body(), slow.status_and_body()));
    }
    insta::assert_snapshot!(text, @r#"
    POST /execute
    413 the body has more than 27459584 bytes
    408 the body did not arrive in time
    POST /files?path=/tmp/a
    507 {"code":507,"message":"the files of a session may have 1000 bytes together: remove some"}
    408 {"code":408,"message":"the body did not arrive in time"}
    POST /filesystem.Filesystem/Stat
    413 {"code":413,"message":"the body has more than 1048576 bytes"}
    408 {"code":408,"message":"the body did not arrive in time"}
    "#);
    let create = Request::post("/v2/sandboxes").header("x-api-key", "x");
    let large = client.send(create.body(Body::from(vec![b' '; (1 << 20) + 1])).unwrap()).await;
    assert_eq!((large.status, large.header("should-retry")), (413, "false"));
}
