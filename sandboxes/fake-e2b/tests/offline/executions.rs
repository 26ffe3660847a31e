//! Answers of the interpreter.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchtower_fake_e2b::{KernelMode, Settings};

use crate::client::{Client, settings};

#[tokio::test(start_paused = true)]
async fn the_rows_of_an_execution_have_a_fixed_order() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    let ran = client.run(&sandbox, "#: print a; eprint b; show 42").await;
    assert_eq!(ran.row_types(), ["number_of_executions", "stdout", "stderr", "result", "end_of_execution"]);
    let lines = ran.rows();
    assert_eq!(
        (&lines[1]["text"], &lines[3]["text"], &lines[3]["is_main_result"]),
        (&json!("a\n"), &json!("42"), &json!(true))
    );
    assert!(lines[1]["timestamp"].as_str().unwrap().ends_with("+00:00"));
    let left = client.run(&sandbox, "#: exit 3").await;
    assert_eq!(left.row_types(), ["number_of_executions", "stderr", "error", "end_of_execution"]);
    assert_eq!((&left.rows()[0]["execution_count"], &left.rows()[2]["value"]), (&json!(2), &json!("3")));
}

#[tokio::test(start_paused = true)]
async fn code_without_a_script_prints_what_the_settings_say() {
    let kernels = KernelMode::Scripted { unscripted: Arc::new(|code| format!("{} bytes\n", code.len())) };
    let client = Client::new(Settings { kernels, ..settings() });
    let sandbox = client.open().await;
    assert!(client.run(&sandbox, "1 + 1").await.text.contains("5 bytes"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_execution_sends_keepalives() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    let ran = client.run(&sandbox, "#: sleep 12s").await;
    assert_eq!(ran.row_types(), ["number_of_executions", "keepalive", "keepalive", "end_of_execution"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_kernel_is_replaced_without_its_state() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    client.run(&sandbox, "#: set x 1").await;
    let died = client.run(&sandbox, "#: kill").await;
    assert_eq!(died.rows()[1]["name"], "ContextRestarting");
    let ran = client.run(&sandbox, "#: get x").await;
    assert_eq!((&ran.rows()[0]["execution_count"], &ran.rows()[1]["name"]), (&json!(1), &json!("NameError")));
}

#[tokio::test(start_paused = true)]
async fn one_context_runs_cells_in_turn_and_two_run_them_in_parallel() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    let context = client.call_sandbox(&sandbox, "POST", "/contexts", &json!({"cwd": "/tmp"})).await.json();
    let start = tokio::time::Instant::now();
    tokio::join!(client.run(&sandbox, "#: sleep 1s"), client.run(&sandbox, "#: sleep 1s"));
    assert_eq!(start.elapsed().as_secs(), 2);
    let start = tokio::time::Instant::now();
    let other = json!({"code": "#: sleep 1s", "context_id": context["id"]});
    tokio::join!(client.run(&sandbox, "#: sleep 1s"), client.call_sandbox(&sandbox, "POST", "/execute", &other));
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_execution_ends_when_its_client_leaves() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    let left = tokio::time::timeout(Duration::from_secs(1), client.run(&sandbox, "#: sleep 100s")).await;
    assert!(left.is_err());
    let start = tokio::time::Instant::now();
    assert_eq!(client.run(&sandbox, "#: print 1").await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_an_execution_breaks_when_its_sandbox_ends() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    let (ran, _) = tokio::join!(client.run(&sandbox, "#: print 1; sleep 100s"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.kill(&sandbox).await
    });
    assert!(ran.cut && !ran.text.contains("end_of_execution"), "{ran:?}");
}

#[tokio::test(start_paused = true)]
async fn wrong_calls_are_refused_with_their_reason() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    let both = json!({"code": "1", "context_id": "x", "language": "python"});
    let refused = client.call_sandbox(&sandbox, "POST", "/execute", &both).await;
    assert_eq!(refused.text, "Only one of context_id or language can be provided");
    let refused = client.call_sandbox(&sandbox, "POST", "/execute", &json!({"code": "1", "context_id": "x"})).await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (404, "Context x not found"));
    assert_eq!(client.call_sandbox(&sandbox, "POST", "/execute", &json!({"text": "1"})).await.status, 422);
    let mut stranger = sandbox.clone();
    stranger.token = "wrong".to_owned();
    assert_eq!(client.run(&stranger, "1").await.status, 401);
    assert_eq!(client.call("POST", "/execute", &json!({"code": "1"})).await.text, "missing header");
    assert_eq!(client.call_sandbox(&sandbox, "GET", "/health", &Value::Null).await.text, "\"OK\"");
}
