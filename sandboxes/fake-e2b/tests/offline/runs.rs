//! What the interpreter answers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchtower_fake_e2b::{Kernels, Settings};

use crate::account::{Account, settings};

#[tokio::test(start_paused = true)]
async fn the_lines_of_a_run_have_their_order() {
    let account = Account::new(settings());
    let opened = account.open().await;
    let ran = account.run(&opened, "#: print a; eprint b; show 42").await;
    assert_eq!(ran.kinds(), ["number_of_executions", "stdout", "stderr", "result", "end_of_execution"]);
    let lines = ran.lines();
    assert_eq!(
        (&lines[1]["text"], &lines[3]["text"], &lines[3]["is_main_result"]),
        (&json!("a\n"), &json!("42"), &json!(true))
    );
    assert!(lines[1]["timestamp"].as_str().unwrap().ends_with("+00:00"));
    let left = account.run(&opened, "#: exit 3").await;
    assert_eq!(left.kinds(), ["number_of_executions", "stderr", "error", "end_of_execution"]);
    assert_eq!((&left.lines()[0]["execution_count"], &left.lines()[2]["value"]), (&json!(2), &json!("3")));
}

#[tokio::test(start_paused = true)]
async fn code_without_a_script_prints_what_the_settings_say() {
    let kernels = Kernels::Scripted { unscripted: Arc::new(|code| format!("{} bytes\n", code.len())) };
    let account = Account::new(Settings { kernels, ..settings() });
    let opened = account.open().await;
    assert!(account.run(&opened, "1 + 1").await.text.contains("5 bytes"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_run_says_that_it_lives() {
    let account = Account::new(settings());
    let opened = account.open().await;
    let ran = account.run(&opened, "#: sleep 12s").await;
    assert_eq!(ran.kinds(), ["number_of_executions", "keepalive", "keepalive", "end_of_execution"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_kernel_begins_again_without_its_state() {
    let account = Account::new(settings());
    let opened = account.open().await;
    account.run(&opened, "#: set x 1").await;
    let died = account.run(&opened, "#: kill").await;
    assert_eq!(died.lines()[1]["name"], "ContextRestarting");
    let ran = account.run(&opened, "#: get x").await;
    assert_eq!((&ran.lines()[0]["execution_count"], &ran.lines()[1]["name"]), (&json!(1), &json!("NameError")));
}

#[tokio::test(start_paused = true)]
async fn one_context_runs_one_by_one_and_two_side_by_side() {
    let account = Account::new(settings());
    let opened = account.open().await;
    let context = account.inside(&opened, "POST", "/contexts", &json!({"cwd": "/tmp"})).await.json();
    let begun = tokio::time::Instant::now();
    tokio::join!(account.run(&opened, "#: sleep 1s"), account.run(&opened, "#: sleep 1s"));
    assert_eq!(begun.elapsed().as_secs(), 2);
    let begun = tokio::time::Instant::now();
    let other = json!({"code": "#: sleep 1s", "context_id": context["id"]});
    tokio::join!(account.run(&opened, "#: sleep 1s"), account.inside(&opened, "POST", "/execute", &other));
    assert_eq!(begun.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_with_its_client() {
    let account = Account::new(settings());
    let opened = account.open().await;
    let left = tokio::time::timeout(Duration::from_secs(1), account.run(&opened, "#: sleep 100s")).await;
    assert!(left.is_err());
    let begun = tokio::time::Instant::now();
    assert_eq!(account.run(&opened, "#: print 1").await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_run_breaks_off_with_its_sandbox() {
    let account = Account::new(settings());
    let opened = account.open().await;
    let (ran, _) = tokio::join!(account.run(&opened, "#: print 1; sleep 100s"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        account.kill(&opened).await
    });
    assert!(ran.cut && !ran.text.contains("end_of_execution"), "{ran:?}");
}

#[tokio::test(start_paused = true)]
async fn wrong_calls_are_told_so() {
    let account = Account::new(settings());
    let opened = account.open().await;
    let both = json!({"code": "1", "context_id": "x", "language": "python"});
    let refused = account.inside(&opened, "POST", "/execute", &both).await;
    assert_eq!(refused.text, "Only one of context_id or language can be provided");
    let refused = account.inside(&opened, "POST", "/execute", &json!({"code": "1", "context_id": "x"})).await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (404, "Context x not found"));
    assert_eq!(account.inside(&opened, "POST", "/execute", &json!({"text": "1"})).await.status, 422);
    let mut stranger = opened.clone();
    stranger.token = "wrong".to_owned();
    assert_eq!(account.run(&stranger, "1").await.status, 401);
    assert_eq!(account.call("POST", "/execute", &json!({"code": "1"})).await.text, "missing header");
    assert_eq!(account.inside(&opened, "GET", "/health", &Value::Null).await.text, "\"OK\"");
}
