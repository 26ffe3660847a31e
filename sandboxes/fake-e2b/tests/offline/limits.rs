//! What a plan allows.

use std::time::Duration;

use serde_json::json;
use switchtower_fake_e2b::{Latency, Plan, Rates, Settings, Template};

use crate::account::{Account, settings};

fn on(plan: Plan) -> Account {
    Account::new(Settings { plan, ..settings() })
}

#[tokio::test(start_paused = true)]
async fn a_second_creation_within_a_second_is_told_to_come_back() {
    let account = on(Plan::Hobby);
    account.open().await;
    let refused = account.create().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json(), json!({"code": 429, "message": "Rate limit exceeded, please try again later."}));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    tokio::time::advance(Duration::from_secs(1)).await;
    account.open().await;
    assert_eq!((account.fake.counts().created, account.fake.counts().create_refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rate_can_keep_silent_about_when_to_come_back() {
    let rates = Rates { retry_after: false, ..Rates::default() };
    let account = Account::new(Settings { plan: Plan::Hobby, rates, ..settings() });
    account.open().await;
    assert!(!account.create().await.headers.contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn each_plan_has_its_rate() {
    for (plan, rate) in [(Plan::Hobby, 1), (Plan::Pro, 5), (Plan::Enterprise, 50)] {
        let account = on(plan);
        let mut created = 0;
        for _ in 0..rate + 3 {
            created += u32::from(account.create().await.status == 201);
        }
        assert_eq!(created, rate, "{plan}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_twenty_first_sandbox_of_a_hobby_is_refused_without_a_time_to_come_back() {
    let account = on(Plan::Hobby);
    let mut opened = Vec::new();
    for _ in 0..20 {
        opened.push(account.open().await);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let refused = account.create().await;
    assert_eq!(refused.status, 429);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("you have reached the maximum number of concurrent E2B sandboxes (20)"), "{message}");
    assert!(!refused.headers.contains_key("retry-after"));
    // One that sleeps does not count, and one that wakes does.
    account.call("POST", &format!("/sandboxes/{}/pause", opened[0].id), &json!({})).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    account.open().await;
    let woken = account.call("POST", &format!("/v2/sandboxes/{}/connect", opened[0].id), &json!({})).await;
    assert_eq!(woken.status, 429);
    assert_eq!(account.fake.counts().most_running, 20);
}

#[tokio::test(start_paused = true)]
async fn nobody_lives_longer_than_the_plan_allows() {
    let account = on(Plan::Hobby);
    let refused = account.create_with(json!({"templateID": "base", "timeout": 3601})).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_u64()), (400, Some(400)));
    assert_eq!(refused.json()["message"], "Timeout cannot be greater than 1 hours");
    let opened = account.open().await;
    let path = format!("/sandboxes/{}/timeout", opened.id);
    assert_eq!(account.call("POST", &path, &json!({"timeout": 3601})).await.status, 400);
    assert_eq!(account.call("POST", &path, &json!({"timeout": 3600})).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn executions_have_a_rate_of_their_own() {
    let rates = Rates { executions_per_minute: Some(60), burst: 2, retry_after: true };
    let account = Account::new(Settings { rates, ..settings() });
    let opened = account.open().await;
    assert_eq!(account.run(&opened, "#: print 1").await.status, 200);
    assert_eq!(account.run(&opened, "#: print 1").await.status, 200);
    let refused = account.run(&opened, "#: print 1").await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (429, "Rate limit exceeded, please try again later."));
    assert_eq!(refused.headers["retry-after"], "1");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(account.run(&opened, "#: print 1").await.status, 200);
    assert_eq!((account.fake.counts().executions, account.fake.counts().execute_refused), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn only_the_known_key_and_known_templates_are_served() {
    let template = Template { tag: "v7".to_owned(), modules: None };
    let templates = [("mine".to_owned(), template)].into();
    let account = Account::new(Settings { key: Some("e2b_any".to_owned()), templates, ..settings() });
    let opened = account.create_with(json!({"templateID": "mine"})).await.opened();
    let tag = account.inside(&opened, "GET", "/files?path=/etc/build-tag", &json!(null)).await;
    assert_eq!(tag.text, "v7");
    account.create_with(json!({"templateID": "mine:v7"})).await.opened();
    for (name, message) in
        [("other", "template 'other' not found"), ("mine:v8", "tag 'v8' does not exist for template 'mine'")]
    {
        let refused = account.create_with(json!({"templateID": name})).await;
        assert_eq!((refused.status.as_u16(), refused.json()["message"].as_str()), (404, Some(message)));
    }
    let stranger = Account::new(Settings { key: Some("e2b_other".to_owned()), ..settings() });
    let refused = stranger.create().await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_u64()), (401, Some(401)));
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_creations_is_slower_than_one() {
    let account = Account::new(Settings { latency: Latency::E2b2026, ..settings() });
    let begun = tokio::time::Instant::now();
    let opened = account.open().await;
    let alone = begun.elapsed();
    assert!((250..900).contains(&alone.as_millis()), "{alone:?}");
    let begun = tokio::time::Instant::now();
    let all = futures_util::future::join_all((0..100).map(|_| account.create())).await;
    assert!(all.iter().all(|created| created.status == 201));
    assert!((850..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let begun = tokio::time::Instant::now();
    account.run(&opened, "#: print 1").await;
    let first = begun.elapsed();
    account.run(&opened, "#: print 1").await;
    assert!(begun.elapsed() - first < first, "the first run is the slow one");
}
