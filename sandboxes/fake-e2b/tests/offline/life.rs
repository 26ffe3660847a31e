//! How sandboxes come and go.

use std::time::Duration;

use serde_json::{Value, json};

use crate::account::{Account, settings};

#[tokio::test(start_paused = true)]
async fn a_time_out_really_ends_a_sandbox() {
    let account = Account::new(settings());
    let opened = account.open().await;
    assert_eq!(account.fake.live(), [opened.id.as_str()]);
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(account.get(&opened).await.json()["state"], "running");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(account.get(&opened).await.status, 404);
    let gone = account.run(&opened, "#: print 1").await;
    assert_eq!(gone.status, 502);
    let body = json!({"sandboxId": opened.id, "message": "The sandbox was not found", "code": 502});
    assert_eq!(gone.json(), body);
    let counts = account.fake.counts();
    assert_eq!((counts.expired, counts.running, counts.leaked()), (1, 0, 1));
    assert!((counts.sandbox_seconds - 300.0).abs() < 0.1, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_out_counts_from_when_it_was_set() {
    let account = Account::new(settings());
    let opened = account.open().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    account.call("POST", &format!("/sandboxes/{}/timeout", opened.id), &json!({"timeout": 10})).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(account.get(&opened).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_connection_only_moves_the_end_out() {
    let account = Account::new(settings());
    let opened = account.create_with(json!({"templateID": "base", "timeout": 100})).await.opened();
    let path = format!("/v2/sandboxes/{}/connect", opened.id);
    assert_eq!(account.call("POST", &path, &json!({"timeout": 10})).await.status, 200);
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(account.call("POST", &path, &json!({})).await.json()["envdAccessToken"], opened.token.as_str());
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(account.get(&opened).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn one_that_pauses_at_its_time_out_wakes_with_its_state() {
    let account = Account::new(settings());
    let body = json!({"templateID": "base", "timeout": 10, "autoPause": true});
    let opened = account.create_with(body).await.opened();
    account.run(&opened, "#: set x kept").await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(account.get(&opened).await.json()["state"], "paused");
    assert_eq!(account.run(&opened, "#: get x").await.status, 502);
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    let woken = account.call("POST", &format!("/sandboxes/{}/connect", opened.id), &json!({"timeout": 10})).await;
    assert_eq!(woken.status, 201);
    assert!(account.run(&opened, "#: get x").await.text.contains("kept"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(account.get(&opened).await.json()["state"], "paused");
    let counts = account.fake.counts();
    assert_eq!((counts.paused, counts.resumed, counts.paused_now), (2, 1, 1));
    assert!((counts.sandbox_seconds - 20.0).abs() < 0.1, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_is_chosen_by_metadata_and_comes_in_pages() {
    let account = Account::new(settings());
    for at in 0..5 {
        account.create_with(json!({"templateID": "base", "metadata": {"even": (at % 2 == 0).to_string()}})).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let even = account.call("GET", "/v2/sandboxes?metadata=even%3Dtrue", &Value::Null).await.json();
    assert_eq!(even.as_array().unwrap().len(), 3);
    let first = account.call("GET", "/v2/sandboxes?limit=3", &Value::Null).await;
    let token = first.headers["x-next-token"].to_str().unwrap();
    let second = account.call("GET", &format!("/v2/sandboxes?limit=3&nextToken={token}"), &Value::Null).await;
    assert!(!second.headers.contains_key("x-next-token"));
    assert_eq!((first.json().as_array().unwrap().len(), second.json().as_array().unwrap().len()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_closed_stand_in_has_no_sandboxes() {
    let account = Account::new(settings());
    let one = account.open().await;
    account.open().await;
    account.kill(&one).await;
    assert_eq!(account.kill(&one).await.status, 404);
    account.fake.close().await;
    let counts = account.fake.counts();
    assert_eq!((counts.killed, counts.closed, counts.leaked()), (1, 1, 0));
    assert!(account.fake.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pause_breaks_connections_off_and_keeps_the_state() {
    let account = Account::new(settings());
    let opened = account.open().await;
    account.run(&opened, "#: set x kept").await;
    let (ran, _) = tokio::join!(account.run(&opened, "#: print 1; sleep 100s"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        account.call("POST", &format!("/sandboxes/{}/pause", opened.id), &json!({})).await
    });
    assert!(ran.cut && ran.text.contains("stdout"), "{ran:?}");
    account.call("POST", &format!("/sandboxes/{}/connect", opened.id), &json!({})).await;
    assert!(account.run(&opened, "#: get x").await.text.contains("kept"));
}
