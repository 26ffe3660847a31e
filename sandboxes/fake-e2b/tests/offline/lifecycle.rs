//! How sandboxes are created, paused, resumed and ended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, settings};

#[tokio::test(start_paused = true)]
async fn a_sandbox_ends_at_its_time_out() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    assert_eq!(client.fake.running(), [sandbox.id.as_str()]);
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(client.get(&sandbox).await.json()["state"], "running");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.get(&sandbox).await.status, 404);
    let gone = client.run(&sandbox, "#: print 1").await;
    assert_eq!(gone.status, 502);
    let body = json!({"sandboxId": sandbox.id, "message": "The sandbox was not found", "code": 502});
    assert_eq!(gone.json(), body);
    let counts = client.fake.counts();
    assert_eq!((counts.expired, counts.running, counts.leaked()), (1, 0, 1));
    assert!((counts.sandbox_seconds - 300.0).abs() < 0.1, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_out_counts_from_when_it_was_set() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    client.call("POST", &format!("/sandboxes/{}/timeout", sandbox.id), &json!({"timeout": 10})).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(client.get(&sandbox).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn connecting_never_shortens_a_sandboxes_life() {
    let client = Client::new(settings());
    let sandbox = client.create_with(json!({"templateID": "base", "timeout": 100})).await.sandbox();
    let path = format!("/v2/sandboxes/{}/connect", sandbox.id);
    assert_eq!(client.call("POST", &path, &json!({"timeout": 10})).await.status, 200);
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(client.call("POST", &path, &json!({})).await.json()["envdAccessToken"], sandbox.token.as_str());
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(client.get(&sandbox).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_paused_at_its_time_out_is_resumed_with_its_state() {
    let client = Client::new(settings());
    let body = json!({"templateID": "base", "timeout": 10, "autoPause": true});
    let sandbox = client.create_with(body).await.sandbox();
    client.run(&sandbox, "#: set x kept").await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(client.get(&sandbox).await.json()["state"], "paused");
    assert_eq!(client.run(&sandbox, "#: get x").await.status, 502);
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    let woken = client.call("POST", &format!("/sandboxes/{}/connect", sandbox.id), &json!({"timeout": 10})).await;
    assert_eq!(woken.status, 201);
    assert!(client.run(&sandbox, "#: get x").await.text.contains("kept"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(client.get(&sandbox).await.json()["state"], "paused");
    let counts = client.fake.counts();
    assert_eq!((counts.paused, counts.resumed, counts.paused_now), (2, 1, 1));
    assert!((counts.sandbox_seconds - 20.0).abs() < 0.1, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_is_filtered_by_metadata_and_comes_in_pages() {
    let client = Client::new(settings());
    for at in 0..5 {
        client.create_with(json!({"templateID": "base", "metadata": {"even": (at % 2 == 0).to_string()}})).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let even = client.call("GET", "/v2/sandboxes?metadata=even%3Dtrue", &Value::Null).await.json();
    assert_eq!(even.as_array().unwrap().len(), 3);
    let first = client.call("GET", "/v2/sandboxes?limit=3", &Value::Null).await;
    let token = first.headers["x-next-token"].to_str().unwrap();
    let second = client.call("GET", &format!("/v2/sandboxes?limit=3&nextToken={token}"), &Value::Null).await;
    assert!(!second.headers.contains_key("x-next-token"));
    assert_eq!((first.json().as_array().unwrap().len(), second.json().as_array().unwrap().len()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_closed_stand_in_has_no_sandboxes() {
    let client = Client::new(settings());
    let one = client.open().await;
    client.open().await;
    client.kill(&one).await;
    assert_eq!(client.kill(&one).await.status, 404);
    client.fake.close().await;
    let counts = client.fake.counts();
    assert_eq!((counts.killed, counts.closed, counts.leaked()), (1, 1, 0));
    assert!(client.fake.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pause_breaks_connections_and_keeps_the_state() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    client.run(&sandbox, "#: set x kept").await;
    let (ran, _) = tokio::join!(client.run(&sandbox, "#: print 1; sleep 100s"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.call("POST", &format!("/sandboxes/{}/pause", sandbox.id), &json!({})).await
    });
    assert!(ran.cut && ran.text.contains("stdout"), "{ran:?}");
    client.call("POST", &format!("/sandboxes/{}/connect", sandbox.id), &json!({})).await;
    assert!(client.run(&sandbox, "#: get x").await.text.contains("kept"));
}
