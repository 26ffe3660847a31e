//! Processes, ports and files outside the home folder, which only a machine has.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use switchtower_contract::Fault;
use tokio::time::Instant;

use super::harness::{Client, ENVD, INTERPRETER, Sandbox, frames, with, without};

fn start(sandbox: &Sandbox) -> Request<Body> {
    let process = json!({ "cmd": "/bin/bash", "args": ["-l", "-c", "echo hi"], "envs": { "A": "own" } });
    sandbox.streamed("process.Process/Start", &json!({ "process": process, "stdin": false }))
}

#[tokio::test(start_paused = true)]
async fn without_machines_a_process_is_refused_by_a_connect_error() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    // The refusal does not wait for the running cell.
    let (cell, (started, waited)) = tokio::join!(client.execute(&sandbox, "sleep 4"), async {
        let began = Instant::now();
        (client.send(start(&sandbox)).await, began.elapsed())
    });
    assert_eq!((cell.as_str(), waited), ("number 1 | end", Duration::ZERO));
    assert_eq!((started.status, started.header("content-type")), (200, "application/connect+json"));
    let why = "a command needs a machine: set E2B_API_KEY";
    let error = format!(r#"2 {{"error":{{"code":"permission_denied","message":"{why}"}}}}"#);
    assert_eq!(frames(&started.bytes), [error.as_str()]);
    // A sandbox that reaches nothing is no exception.
    let offline = client.create(json!({ "allow_internet_access": false })).await;
    assert_eq!(frames(&client.send(start(&offline)).await.bytes), [error.as_str()]);
    let list = client.send(sandbox.rpc("process.Process/List", &json!({}))).await;
    assert_eq!(list.status_and_body(), r#"200 {"processes":[]}"#);
    let signal = json!({ "process": { "pid": 3 }, "signal": "SIGNAL_SIGKILL" });
    let signal = client.send(sandbox.rpc("process.Process/SendSignal", &signal)).await;
    assert_eq!((signal.status, &signal.json["code"]), (404, &json!("not_found")));
    let connect = client.send(sandbox.streamed("process.Process/Connect", &json!({ "process": { "pid": 3 } }))).await;
    assert!(connect.status == 200 && frames(&connect.bytes)[0].contains("not_found"), "{}", connect.status);
}

#[tokio::test(start_paused = true)]
async fn a_command_fails_when_the_cloud_is_full_and_the_sandbox_stays_usable() {
    let client = Client::new();
    client.harness.machines.behaviour().open_fault =
        Some(Fault::Refused { reason: "20 are running".into(), retry_after: None });
    let sandbox = client.create(json!({})).await;
    client.execute(&sandbox, "x = 1").await;
    let started = client.send(start(&sandbox)).await;
    let outside = client.send(sandbox.to(ENVD, "GET /files?path=/etc/hosts", Body::empty())).await;
    let text = frames(&started.bytes).join("\n");
    insta::assert_snapshot!(format!("{text}\n{}", outside.status_and_body()), @r#"
    2 {"error":{"code":"internal","message":"a command needs a machine: unavailable: e2b: refused: 20 are running"}}
    500 {"code":500,"message":"the file /etc/hosts needs a machine: unavailable: e2b: refused: 20 are running"}
    "#);
    assert_eq!(client.execute(&sandbox, "x").await, "number 2 | result 1 | end");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_forwarded_without_this_servers_credentials_and_with_the_sessions_variables() {
    let client = Client::new();
    let sandbox = client.create(json!({ "envVars": { "A": "session", "B": "session" } })).await;
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/a", "given")).await;
    let mut request = start(&sandbox);
    for (name, value) in [
        ("authorization", "Basic dXNlcjo="),
        ("connect-timeout-ms", "60000"),
        ("x-api-key", "secret"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
    ] {
        request = with(request, name, value);
    }
    let echo = client.send(request).await;
    assert_eq!((echo.status, echo.header("x-answered-by")), (200, "machine"));
    let headers: Vec<&String> = echo.json["headers"].as_object().unwrap().keys().collect();
    assert_eq!(headers, ["authorization", "connect-timeout-ms", "content-type"]);
    assert_eq!((&echo.json["port"], &echo.json["uri"]), (&json!(ENVD), &json!("/process.Process/Start")));
    let body = echo.json["body"].as_str().unwrap();
    let message: Value = serde_json::from_str(&body[body.find('{').unwrap()..]).unwrap();
    let envs = &message["process"]["envs"];
    assert_eq!((&envs["A"], &envs["B"], &envs["E2B_SANDBOX"]), (&json!("own"), &json!("session"), &json!("true")));
    // The session is on the machine now, with its files and variables.
    for (path, expected) in [("/tmp/a", "200 given"), ("/etc/none", "404 ")] {
        let read = client.send(sandbox.to(ENVD, &format!("GET /files?path={path}"), Body::empty())).await;
        assert_eq!(read.status_and_body(), expected);
    }
    let envs = client.send(sandbox.to(ENVD, "GET /envs", Body::empty())).await;
    assert_eq!(envs.json["B"], "session");
    assert_eq!((client.harness.machines.sandboxes(), client.harness.wasm.opened()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn other_languages_and_files_outside_the_home_folder_promote_a_session() {
    let client = Client::new();
    let language = client.create(json!({})).await;
    let echo = client.send(language.cell(&json!({ "code": "1", "language": "deno" }))).await;
    assert_eq!((&echo.json["port"], &echo.json["uri"]), (&json!(INTERPRETER), &json!("/execute")));
    assert_eq!(echo.json["body"], r#"{"code":"1","language":"deno"}"#);
    let file = client.create(json!({})).await;
    assert_eq!(client.send(file.to(ENVD, "POST /files?path=/opt/a", "1")).await.status, 200);
    assert_eq!(client.execute(&file, "read /opt/a").await, "number 1 | stdout 1 | end");
    assert_eq!((client.harness.machines.sandboxes(), client.harness.wasm.opened()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_port_is_reached_at_the_domain_of_the_answer_and_never_acquires_a_machine() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    // As the client makes the address from the answer: `get_host(8000)`.
    let detail = client.call(&format!("GET /sandboxes/{}", sandbox.id), Value::Null).await;
    let host = format!("8000-{}.{}", sandbox.id, detail.json["domain"].as_str().unwrap());
    let by_host = |call: &str| {
        let request = with(sandbox.to(8000, call, Body::empty()), "host", &host);
        without(without(without(request, "e2b-sandbox-id"), "e2b-sandbox-port"), "x-access-token")
    };
    let call = |call: &str| with(by_host(call), "e2b-traffic-access-token", &sandbox.traffic);
    let closed = client.send(call("GET /")).await;
    let expected = json!({
        "sandboxId": sandbox.id, "message": "The sandbox is running but port is not open", "port": 8000, "code": 502
    });
    assert_eq!((closed.status, &closed.json, client.harness.machines.sandboxes()), (502, &expected, 0));
    client.promote(&sandbox).await;
    let page = client.send(call("GET /page?q=1")).await;
    assert_eq!((page.status, &page.json["port"], &page.json["uri"]), (200, &json!(8000), &json!("/page?q=1")));
    assert_eq!(page.json["headers"], json!({}));
    assert_eq!(client.send(by_host("GET /page?q=1")).await.status, 401);
    let ignored = with(with(call("GET /page"), "connection", "Upgrade"), "upgrade", "h2c");
    assert_eq!(client.send(ignored).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_opens_a_port_is_not_passed_to_the_program_behind_it_and_other_credentials_are() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    client.promote(&sandbox).await;
    let headers = async |credentials: [(&'static str, &str); 2]| {
        let request = without(sandbox.to(8000, "GET /", Body::empty()), "x-access-token");
        let request = credentials.into_iter().fold(request, |request, (name, value)| with(request, name, value));
        let echo = client.send(request).await;
        assert_eq!(echo.status, 200, "{}", echo.text);
        echo.json["headers"].clone()
    };
    let own = "Bearer of-the-page";
    let passed = json!({ "authorization": own });
    assert_eq!(headers([("e2b-traffic-access-token", &sandbox.traffic), ("authorization", own)]).await, passed);
    assert_eq!(headers([("x-api-key", client.key), ("authorization", own)]).await, passed);
    // The program may have tokens of its own under this name.
    let traffic = ("e2b-traffic-access-token", sandbox.traffic.as_str());
    assert_eq!(headers([traffic, ("x-access-token", "of-the-page")]).await, json!({ "x-access-token": "of-the-page" }));
    let token = ("x-access-token", sandbox.token.as_str());
    assert_eq!(headers([token, ("authorization", own)]).await, passed);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_port_that_is_refused_starts_no_process_which_would_keep_the_machine_awake() {
    let client = Client::new();
    let sandbox = client.create(json!({ "timeout": 3000 })).await;
    client.execute(&sandbox, "import pandas").await;
    let sleeps = async || {
        client.harness.machines.log();
        client.harness.run_maintenance(Duration::from_secs(900)).await;
        client.harness.machines.log().contains(&"asleep".to_owned())
    };
    let upgrade = with(sandbox.to(8000, "GET /", Body::empty()), "connection", "upgrade");
    let large = with(sandbox.to(8000, "POST /", Body::empty()), "content-length", "9999999999");
    for (request, status) in [(with(upgrade, "upgrade", "websocket, h2c"), 400), (large, 413)] {
        assert_eq!(client.send(request).await.status, status);
    }
    assert!(sleeps().await);
    assert_eq!(client.send(sandbox.to(8000, "GET /", Body::empty())).await.status, 200);
    assert!(!sleeps().await);
}
