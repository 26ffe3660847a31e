//! The code interpreter of a sandbox, row by row.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use switchtower_core::quota;
use switchtower_core::session::Config;
use tokio::time::{Instant, sleep};

use super::harness::{Client, INTERPRETER, Sandbox};
use crate::session::harness::{Cloud, Plan, seconds};

#[tokio::test(start_paused = true)]
async fn a_cell_is_answered_with_the_rows_that_e2b_sends() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({ "envVars": { "A": "sandbox", "B": "sandbox" } })).await;
    client.execute(&sandbox, "x = 'it'").await;
    let code = "print hi\nx\nenv A\nenv B\nenv E2B_SANDBOX\nraise KeyError: none";
    let body = json!({ "code": code, "context_id": null, "language": "python", "env_vars": { "A": "cell" } });
    let answer = client.send(sandbox.cell(&body)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    insta::assert_snapshot!(answer.text, @r#"
    {"execution_count":2,"type":"number_of_executions"}
    {"text":"hi\n","timestamp":"2025-07-31T02:14:51.023000+00:00","type":"stdout"}
    {"extra":{},"is_main_result":true,"text":"it","type":"result"}
    {"text":"cell\nsandbox\ntrue\n","timestamp":"2025-07-31T02:14:51.023000+00:00","type":"stdout"}
    {"name":"KeyError","traceback":"line 6\nKeyError: none\n","type":"error","value":"none"}
    {"type":"end_of_execution"}
    "#);
    assert_eq!(
        client.execute(&sandbox, "exit").await,
        "number 3 | error ContextRestarting: Context was restarted | end"
    );
    assert_eq!(client.execute(&sandbox, "x").await, "number 1 | error NameError: x | end");
}

/// Characters at which clients end lines besides `\n`, and one that UTF-16 writes as two units.
const ODD: &str = "\u{b}-\u{c}-\u{1c}-\u{1d}-\u{1e}-\u{85}-\u{2028}-\u{2029}-\u{1f600}";

#[tokio::test(start_paused = true)]
async fn every_row_is_one_line_of_ascii_whatever_the_program_writes() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    let code = format!("x = 'a{ODD}b'\nx\nprint a{ODD}b\nraise E{ODD}E: a{ODD}b");
    let answer = client.send(sandbox.cell(&json!({ "code": code }))).await;
    assert!(answer.text.is_ascii(), "{}", answer.text);
    let controls = ['\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\r'];
    assert!(!answer.text.contains(controls), "{}", answer.text);
    let rows: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |kind: &str| rows.iter().find(|row| row["type"] == kind).unwrap();
    assert_eq!(row("result")["text"], format!("a{ODD}b"));
    assert_eq!(row("stdout")["text"], format!("a{ODD}b\n"));
    let error = row("error");
    assert_eq!((&error["name"], &error["value"]), (&json!(format!("E{ODD}E")), &json!(format!("a{ODD}b"))));
    assert!(error["traceback"].as_str().unwrap().contains(ODD));
}

#[tokio::test(start_paused = true)]
async fn keepalives_are_sent_every_five_seconds_and_a_later_failure_is_a_row() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    let first = client.execute(&sandbox, "sleep 7");
    let second = async {
        sleep(seconds(1)).await;
        client.execute(&sandbox, "sleep 11\ndie").await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first, "number 1 | keepalive | end");
    let failed = "error SandboxUnavailableError: unavailable: wasm: lost: it died | end";
    let first_run = "keepalive | number 2 | keepalive | keepalive";
    // The cell ran twice; before the second time the first cell was replayed.
    assert_eq!(second, format!("{first_run} | keepalive | keepalive | keepalive | {failed}"));
    assert_eq!(client.execute(&sandbox, "x = 1\nx").await, "number 3 | keepalive | result 1 | end");
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_cannot_start_is_refused_with_a_status_or_with_an_error_row_if_its_code_is_the_cause() {
    let (quota, cloud) = (quota::Config { per_minute: 1, burst: 2 }, Cloud::Absent("set E2B_API_KEY"));
    let client = Client::with_plan(Plan { quota, cloud, ..Plan::default() });
    let sandbox = client.create(json!({ "allow_internet_access": false })).await;
    let mut text = String::new();
    for body in [
        json!({ "code": "x", "context_id": "none" }),
        json!({ "code": "x", "context_id": "none", "language": "python" }),
        json!({ "source": "x" }),
        json!({ "code": "x", "env_vars": 3 }),
        json!({ "code": "x".repeat((1 << 20) + 1) }),
        json!({ "code": "x", "language": "r" }),
        json!({ "code": "import pandas\npandas.x = 1" }),
        json!({ "code": "x" }),
    ] {
        let answer = client.send(sandbox.cell(&body)).await;
        let after = answer.header("retry-after");
        text.push_str(&format!("{} [{after}]\n", answer.status_and_body().trim_end().replace('\n', " ")));
    }
    insta::assert_snapshot!(text, @r#"
    404 Context none not found []
    400 Only one of context_id or language can be provided []
    422 {"detail":[{"loc":["body"],"msg":"missing field `code` at line 1 column 14","type":"value_error"}]} []
    422 {"detail":[{"loc":["body"],"msg":"invalid type: integer `3`, expected a map at line 1 column 24","type":"value_error"}]} []
    400 code must be at most 1048576 bytes, this has 1048577 []
    200 {"name":"SandboxCapabilityError","traceback":"no tier can run this: a cell in r needs a machine: set E2B_API_KEY","type":"error","value":"no tier can run this: a cell in r needs a machine: set E2B_API_KEY"} {"type":"end_of_execution"} []
    200 {"execution_count":1,"type":"number_of_executions"} {"name":"ModuleNotFoundError","traceback":"line 1\nModuleNotFoundError: No module named 'pandas'\n","type":"error","value":"No module named 'pandas'"} {"text":"[switchtower] it needs the module pandas; set E2B_API_KEY\n","timestamp":"2025-07-31T02:14:51.023000+00:00","type":"stderr"} {"type":"end_of_execution"} []
    429 rate limit exceeded; retry after 60s [60]
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_ends_its_cell() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    client.execute(&sandbox, "x = 1").await;
    let response = client.respond(sandbox.cell(&json!({ "code": "x = 2\nsleep 100" }))).await;
    let mut pieces = response.into_body().into_data_stream();
    assert!(pieces.next().await.unwrap().is_ok());
    let alive = tokio::time::timeout(seconds(3), pieces.next()).await;
    assert!(alive.is_err() && client.harness.wasm.running() == 1);
    drop(pieces);
    assert_eq!(client.harness.wasm.running(), 0);
    assert_eq!(client.execute(&sandbox, "x").await, "number 3 | result 1 | end");
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_ends_or_pauses_closes_the_stream_of_its_cell() {
    for pauses in [false, true] {
        let client = Client::new();
        let sandbox = client.create(json!({ "timeout": 12, "autoPause": pauses })).await;
        let began = Instant::now();
        let response = client.respond(sandbox.cell(&json!({ "code": "sleep 100" }))).await;
        assert_eq!(response.status(), 200);
        let pieces: Vec<_> = response.into_body().into_data_stream().collect().await;
        assert_eq!((pieces.len(), began.elapsed()), (4, seconds(12)), "{pieces:?}");
        assert!(pieces.last().unwrap().is_err() && client.harness.wasm.running() == 0);
        assert_eq!(client.send(sandbox.cell(&json!({ "code": "x" }))).await.status, 502);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_is_promoted_to_a_machine_is_one_stream() {
    let client = Client::new();
    let sandbox = client.create(json!({ "envVars": { "A": "sandbox" } })).await;
    client.execute(&sandbox, "x = 1").await;
    let code = "x += 1\nprint(\"a\")\nsleep(1)\nimport pandas\nx\nenv(\"A\")";
    assert_eq!(client.execute(&sandbox, code).await, "number 2 | stdout a | result 2 | stdout sandbox | end");
    let code = "x = 'VALUE'\nx";
    assert_eq!(client.execute(&sandbox, code).await, "number 3 | result 'VALUE' | end");
    assert_eq!((client.harness.machines.sandboxes(), client.harness.wasm.kernels()), (1, 0));
}

async fn open(client: &Client, sandbox: &Sandbox, body: Value) -> (u16, Value) {
    let answer = client.send(sandbox.to(INTERPRETER, "POST /contexts", body.to_string())).await;
    (answer.status, if answer.json.is_null() { json!(answer.text) } else { answer.json })
}

#[tokio::test(start_paused = true)]
async fn contexts_are_opened_listed_restarted_and_closed() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    let (status, context) = open(&client, &sandbox, json!({ "language": "python", "cwd": "/tmp" })).await;
    assert_eq!((status, &context["language"], &context["cwd"]), (200, &json!("python"), &json!("/tmp")));
    let id = context["id"].as_str().unwrap();
    let call = async |call: &str| {
        let answer = client.send(sandbox.to(INTERPRETER, &call.replace("ID", id), Body::empty())).await;
        answer.status_and_body().replace(id, "ID")
    };
    let listed = client.send(sandbox.to(INTERPRETER, "GET /contexts", Body::empty())).await;
    assert_eq!((listed.json.as_array().unwrap().len(), &listed.json[1]), (2, &context));
    let run = async |code: &str| client.send(sandbox.cell(&json!({ "code": code, "context_id": id }))).await.lines();
    assert_eq!(run("x = 1").await, "number 1 | end");
    assert_eq!(client.execute(&sandbox, "x").await, "number 1 | error NameError: x | end");
    assert_eq!(call("POST /contexts/ID/restart").await, "200 null");
    assert_eq!(run("x").await, "number 1 | error NameError: x | end");
    assert_eq!(call("DELETE /contexts/ID").await, "200 null");
    for closed in ["DELETE /contexts/ID", "POST /contexts/ID/restart"] {
        assert_eq!(call(closed).await, "404 Context ID not found");
    }
    assert_eq!(call("GET /nothing").await, "404 Not Found");
    let unknown = open(&client, &sandbox, json!({ "cwd": "/etc" })).await;
    let why = "path \"/etc\" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY";
    assert_eq!(unknown, (422, json!(why)));
    let unknown = open(&client, &sandbox, json!({ "cwd": "/tmp/none" })).await;
    assert_eq!(unknown, (500, json!("Failed to create context: no directory /tmp/none")));
    let (status, message) = open(&client, &sandbox, json!({ "language": "r" })).await;
    assert_eq!(status, 500);
    let why = "no tier can run this: a context for r needs a machine: set E2B_API_KEY";
    assert_eq!(message, json!(format!("Failed to create context: {why}")));
    let (status, message) = open(&client, &sandbox, json!({ "language": "cpp" })).await;
    let why = "a context for cpp, whose programs keep no names: send a whole program (POST /v1/execute)";
    assert!(status == 501 && message.as_str().unwrap().contains(why), "{status} {message}");
}

#[tokio::test(start_paused = true)]
async fn a_context_in_a_folder_that_only_a_machine_has_moves_the_session_to_one() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    client.execute(&sandbox, "x = 1").await;
    let (status, id) = open(&client, &sandbox, json!({ "cwd": "/root" })).await;
    assert_eq!((status, client.harness.machines.sandboxes()), (200, 1), "{id}");
    assert_eq!(client.execute(&sandbox, "x").await, "number 2 | result 1 | end");
}

#[tokio::test(start_paused = true)]
async fn restarting_a_context_ends_the_cell_that_runs_in_it() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    let listed = client.send(sandbox.to(INTERPRETER, "GET /contexts", Body::empty())).await;
    let restart = format!("POST /contexts/{}/restart", listed.json[0]["id"].as_str().unwrap());
    let began = Instant::now();
    let restart_later = async {
        sleep(seconds(1)).await;
        let restarted = client.send(sandbox.to(INTERPRETER, &restart, Body::empty())).await;
        (restarted.status_and_body(), began.elapsed())
    };
    let (cell, restarted) = tokio::join!(client.execute(&sandbox, "x = 1\nsleep 100"), restart_later);
    assert_eq!(restarted, ("200 null".to_owned(), seconds(1)));
    assert_eq!(cell, "number 1 | error ContextRestarting: Context was restarted | end");
    assert_eq!(client.execute(&sandbox, "x").await, "number 1 | error NameError: x | end");
}

#[tokio::test(start_paused = true)]
async fn cells_in_sandboxes_of_one_key_take_no_more_than_twice_as_long_beside_endless_ones_of_another() {
    let mut client = Client::without_machines();
    let modest = client.create(json!({})).await;
    client.key = "e2b_greedy";
    let mut greedy = Vec::new();
    for _ in 0..50 {
        greedy.push(client.create(json!({})).await);
    }
    let p95 = async || {
        let mut times = Vec::new();
        for _ in 0..40 {
            let began = Instant::now();
            let rows = client.execute(&modest, "sleep 1\nx = 2\nx").await;
            assert!(rows.ends_with("| result 2 | end"), "{rows}");
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times[38]
    };
    let alone = p95().await;
    let endless = futures_util::future::join_all(greedy.iter().map(|sandbox| client.execute(sandbox, "sleep 2000")));
    tokio::select! {
        _ = endless => panic!("an endless cell ended"),
        beside = async { sleep(seconds(1)).await; p95().await } => {
            assert!(beside <= 2 * alone + Duration::from_millis(250), "{alone:?} alone, {beside:?} beside");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_kernel_was_given_to_another_key_gets_the_reason() {
    let sessions = Config { max_native_kernels: 1, native_kernel_idle: seconds(300), ..Config::default() };
    let mut client =
        Client::with_plan(Plan { sessions, native: true, cloud: Cloud::Absent("none"), ..Plan::default() });
    let first = client.create(json!({ "timeout": 3600 })).await;
    client.execute(&first, "x = 1\nimport pandas").await;
    sleep(seconds(301)).await;
    client.key = "e2b_other";
    let second = client.create(json!({ "timeout": 3600 })).await;
    assert_eq!(client.execute(&second, "x = 2\nimport pandas\nx").await, "number 1 | result 2 | end");
    assert_eq!(
        client.execute(&first, "x").await,
        "number 2 | stderr [switchtower] its kernel is gone: it was idle for more than 5m, and another session needed a \
         kernel; the context starts anew: run its earlier cells again | error ContextRestarting: Context was restarted | end"
    );
    assert_eq!(client.execute(&first, "x").await, "number 1 | error NameError: x | end");
}
