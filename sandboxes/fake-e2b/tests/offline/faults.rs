//! Faults that are injected on demand.

use std::time::Duration;

use serde_json::json;

use crate::client::{Client, settings};

#[tokio::test(start_paused = true)]
async fn creations_fail_as_often_as_the_fault_says() {
    for (faults, status) in [("create.500=100%x2", 500), ("create.503=100%x2", 503), ("create.429=100%x2", 429)] {
        let client = Client::with_faults(faults).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(client.create().await.status.as_u16());
        }
        assert_eq!(seen, [status, status, 201], "{faults}");
        assert_eq!(client.fake.counts().create_refused, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_execution_on_a_vanished_sandbox_did_not_run() {
    let client = Client::with_faults("vanish=100%x1").await;
    let sandbox = client.open().await;
    let gone = client.run(&sandbox, "#: print 1").await;
    assert_eq!((gone.status.as_u16(), gone.json()["message"].as_str()), (502, Some("The sandbox was not found")));
    assert_eq!(client.get(&sandbox).await.status, 404);
    let counts = client.fake.counts();
    assert_eq!((counts.vanished, counts.executions, counts.execute_refused), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn refused_executions_did_not_run_and_cut_ones_did() {
    let client = Client::with_faults("execute.500=100%x1,execute.502=100%x1,execute.429=100%x1").await;
    let sandbox = client.open().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(client.run(&sandbox, "#: set x 1").await.status.as_u16());
    }
    assert_eq!(seen, [429, 502, 500]);
    assert!(client.run(&sandbox, "#: get x").await.text.contains("NameError"));
    client.fake.set_faults("execute.cut=100%x1".parse().unwrap());
    let cut = client.run(&sandbox, "#: set x 1; print done").await;
    assert!(cut.cut && cut.text.contains("done") && !cut.text.contains("end_of_execution"), "{cut:?}");
    assert!(client.run(&sandbox, "#: get x").await.text.contains("end_of_execution"));
}

#[tokio::test(start_paused = true)]
async fn slow_faults_take_as_long_as_they_say() {
    let client = Client::with_faults("create.slow=100%:3s,execute.slow=100%:2s").await;
    let start = tokio::time::Instant::now();
    let sandbox = client.open().await;
    assert_eq!(start.elapsed().as_secs(), 3);
    client.run(&sandbox, "#: print 1").await;
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_wedged_context_runs_again_only_after_a_restart() {
    let client = Client::with_faults("wedge=100%x1").await;
    let sandbox = client.open().await;
    let context = client.call_sandbox(&sandbox, "GET", "/contexts", &json!(null)).await.json()[0]["id"].clone();
    let second = Duration::from_secs(1);
    assert!(tokio::time::timeout(second, client.run(&sandbox, "#: sleep 9s")).await.is_err());
    let (wedged, _) = tokio::join!(client.run(&sandbox, "#: print 1"), async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        let path = format!("/contexts/{}/restart", context.as_str().unwrap());
        client.call_sandbox(&sandbox, "POST", &path, &json!(null)).await
    });
    assert_eq!(wedged.row_types(), ["keepalive", "keepalive", "error", "end_of_execution"]);
    assert!(client.run(&sandbox, "#: print 1").await.text.contains("stdout"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_build_shows_in_its_tag() {
    let client = Client::with_faults("tag.wrong=100%x1").await;
    for tag in ["v1-stale", "v1"] {
        let sandbox = client.create_with(json!({"templateID": "mine:v1"})).await.sandbox();
        let read = client.call_sandbox(&sandbox, "GET", "/files?path=/etc/build-tag", &json!(null)).await;
        assert_eq!(read.text, tag);
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_other_calls_are_injected_too() {
    let client = Client::with_faults("auth=100%x1,files.500=100%x1,contexts.500=100%x1").await;
    assert_eq!(client.create().await.status, 401);
    let sandbox = client.open().await;
    for (path, status) in [("/files?path=/etc/build-tag", 500), ("/contexts", 500), ("/contexts", 200)] {
        assert_eq!(client.call_sandbox(&sandbox, "GET", path, &json!(null)).await.status, status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_and_counts_are_reachable_over_http() {
    let client = Client::new(settings());
    let set = client.fake.app();
    let request = axum::http::Request::post("/fake/faults").body(axum::body::Body::from("create.500=100%")).unwrap();
    assert_eq!(tower::ServiceExt::oneshot(set, request).await.unwrap().status(), 200);
    assert_eq!(client.create().await.status, 500);
    assert_eq!(client.call("GET", "/fake/counts", &json!(null)).await.json()["create_refused"], 1);
    assert_eq!(client.call("POST", "/fake/reset-counts", &json!(null)).await.status, 204);
    assert_eq!(client.fake.counts().create_refused, 0);
    assert_eq!(client.call("POST", "/fake/faults", &json!("nonsense")).await.status, 400);
}
