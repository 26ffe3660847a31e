//! The limits of plans and settings.

use std::time::Duration;

use serde_json::json;
use switchtower_fake_e2b::{Latency, Plan, Rates, Settings, Template};

use crate::client::{Client, settings};

fn on(plan: Plan) -> Client {
    Client::new(Settings { plan, ..settings() })
}

#[tokio::test(start_paused = true)]
async fn a_second_creation_within_a_second_is_refused_with_a_retry_time() {
    let client = on(Plan::Hobby);
    client.open().await;
    let refused = client.create().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json(), json!({"code": 429, "message": "Rate limit exceeded, please try again later."}));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    tokio::time::advance(Duration::from_secs(1)).await;
    client.open().await;
    assert_eq!((client.fake.counts().created, client.fake.counts().create_refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_a_rate_can_omit_the_retry_time() {
    let rates = Rates { send_retry_after: false, ..Rates::default() };
    let client = Client::new(Settings { plan: Plan::Hobby, rates, ..settings() });
    client.open().await;
    assert!(!client.create().await.headers.contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn each_plan_has_its_rate() {
    for (plan, rate) in [(Plan::Hobby, 1), (Plan::Pro, 5), (Plan::Enterprise, 50)] {
        let client = on(plan);
        let mut created = 0;
        for _ in 0..rate + 3 {
            created += u32::from(client.create().await.status == 201);
        }
        assert_eq!(created, rate, "{plan}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_twenty_first_sandbox_on_hobby_is_refused_without_a_retry_time() {
    let client = on(Plan::Hobby);
    let mut sandbox = Vec::new();
    for _ in 0..20 {
        sandbox.push(client.open().await);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let refused = client.create().await;
    assert_eq!(refused.status, 429);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("you have reached the maximum number of concurrent E2B sandboxes (20)"), "{message}");
    assert!(!refused.headers.contains_key("retry-after"));
    // A paused sandbox does not count, and one that is resumed does.
    client.call("POST", &format!("/sandboxes/{}/pause", sandbox[0].id), &json!({})).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    client.open().await;
    let woken = client.call("POST", &format!("/v2/sandboxes/{}/connect", sandbox[0].id), &json!({})).await;
    assert_eq!(woken.status, 429);
    assert_eq!(client.fake.counts().max_running, 20);
}

#[tokio::test(start_paused = true)]
async fn no_sandbox_lives_longer_than_its_plan_allows() {
    let client = on(Plan::Hobby);
    let refused = client.create_with(json!({"templateID": "base", "timeout": 3601})).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_u64()), (400, Some(400)));
    assert_eq!(refused.json()["message"], "Timeout cannot be greater than 1 hours");
    let sandbox = client.open().await;
    let path = format!("/sandboxes/{}/timeout", sandbox.id);
    assert_eq!(client.call("POST", &path, &json!({"timeout": 3601})).await.status, 400);
    assert_eq!(client.call("POST", &path, &json!({"timeout": 3600})).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn executions_have_their_own_rate() {
    let rates = Rates { executions_per_minute: Some(60), burst: 2, send_retry_after: true };
    let client = Client::new(Settings { rates, ..settings() });
    let sandbox = client.open().await;
    assert_eq!(client.run(&sandbox, "#: print 1").await.status, 200);
    assert_eq!(client.run(&sandbox, "#: print 1").await.status, 200);
    let refused = client.run(&sandbox, "#: print 1").await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (429, "Rate limit exceeded, please try again later."));
    assert_eq!(refused.headers["retry-after"], "1");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(client.run(&sandbox, "#: print 1").await.status, 200);
    assert_eq!((client.fake.counts().executions, client.fake.counts().execute_refused), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn only_the_configured_key_and_templates_are_accepted() {
    let template = Template { tag: "v7".to_owned(), modules: None };
    let templates = [("mine".to_owned(), template)].into();
    let client = Client::new(Settings { key: Some("e2b_any".to_owned()), templates, ..settings() });
    let sandbox = client.create_with(json!({"templateID": "mine"})).await.sandbox();
    let tag = client.call_sandbox(&sandbox, "GET", "/files?path=/etc/build-tag", &json!(null)).await;
    assert_eq!(tag.text, "v7");
    client.create_with(json!({"templateID": "mine:v7"})).await.sandbox();
    for (name, message) in
        [("other", "template 'other' not found"), ("mine:v8", "tag 'v8' does not exist for template 'mine'")]
    {
        let refused = client.create_with(json!({"templateID": name})).await;
        assert_eq!((refused.status.as_u16(), refused.json()["message"].as_str()), (404, Some(message)));
    }
    let stranger = Client::new(Settings { key: Some("e2b_other".to_owned()), ..settings() });
    let refused = stranger.create().await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_u64()), (401, Some(401)));
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_creations_is_slower_than_one_creation() {
    let client = Client::new(Settings { latency: Latency::E2b2026, ..settings() });
    let start = tokio::time::Instant::now();
    let sandbox = client.open().await;
    let alone = start.elapsed();
    assert!((250..900).contains(&alone.as_millis()), "{alone:?}");
    let start = tokio::time::Instant::now();
    let all = futures_util::future::join_all((0..100).map(|_| client.create())).await;
    assert!(all.iter().all(|created| created.status == 201));
    assert!((850..1500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let start = tokio::time::Instant::now();
    client.run(&sandbox, "#: print 1").await;
    let first = start.elapsed();
    client.run(&sandbox, "#: print 1").await;
    assert!(start.elapsed() - first < first, "the first run is the slow one");
}
