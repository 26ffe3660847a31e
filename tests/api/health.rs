//! Health, readiness and metrics.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use switchtower_contract::Backend as _;
use switchtower_core::clock::WallClock;
use switchtower_core::record::Record;
use switchtower_core::record::sink::Sink;
use switchtower_core::tier::AbsentTier;
use switchtower_server::api::app;
use switchtower_server::service::{Config, startup};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use crate::api::harness::{Answer, TestHarness, get, recorder};
use crate::api::openapi::{assert_matches, document};

/// A sink that cannot write.
struct Broken;

#[async_trait]
impl Sink for Broken {
    async fn write(&mut self, _: &[Arc<Record>]) -> Result<(), String> {
        Err("the disk is full".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn health_has_its_three_keys_and_the_tiers() {
    let harness = TestHarness::new();
    let answer = harness.get("/health").await;
    insta::assert_snapshot!(answer.pretty(), @r#"
{
  "e2bKey": "missing",
  "records_dropped": 0,
  "status": "healthy",
  "tiers": [
    {
      "isolation": "wasm",
      "queued": 0,
      "running": 0,
      "slots": 6,
      "tier": "wasm",
      "up": true
    }
  ],
  "timestamp": "2025-07-31T02:14:51.023Z",
  "version": "0.1.0"
}
"#);
    let ready = harness.get("/ready").await;
    assert_eq!((ready.status, &ready.json["ready"]), (200, &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn health_counts_the_records_that_the_sink_did_not_write() {
    let harness = TestHarness::with_recorder(Config::default(), recorder().with_sink(Broken, 8));
    for _ in 0..3 {
        harness.post("/v1/execute", &json!({ "code": "#: print 1", "cache": "bypass" })).await;
    }
    harness.router.recorder().close_sink(Duration::from_secs(1)).await;
    let health = harness.get("/health").await;
    assert_matches(&document(), "get", "/health", &health);
    assert_eq!((&health.json["records_dropped"], &health.json["status"]), (&json!(3), &json!("healthy")));
}

#[tokio::test(start_paused = true)]
async fn metrics_have_the_keys_that_dashboards_use() {
    let harness = TestHarness::new();
    for _ in 0..2 {
        harness.post("/v1/execute", &json!({ "code": "#: print 1" })).await;
    }
    let metrics = harness.get("/v1/metrics").await.json;
    for (section, keys) in [
        ("orchestrator", &["totalRequests", "cacheHitRate", "e2bRate"][..]),
        ("pool", &["poolSize", "created", "reused", "errors"]),
        ("queue", &["enqueued", "completed", "successRate"]),
        ("circuitBreaker", &["state", "failureRate"]),
        ("cache", &["hits", "misses", "hitRate"]),
        ("rateLimiter", &["healthScore", "availableTokens"]),
    ] {
        for key in keys {
            assert!(metrics[section].get(key).is_some(), "{section}.{key} is missing in {metrics}");
        }
    }
    assert_eq!((&metrics["orchestrator"]["totalRequests"], &metrics["cache"]["hits"]), (&json!(2), &json!(1)));
    assert!(harness.get("/metrics").await.text.contains("switchtower_"));
    assert_eq!(harness.get("/metrics.json").await.json, harness.get("/v1/metrics").await.json);
}

#[tokio::test(start_paused = true)]
async fn a_server_answers_while_a_tier_starts_and_says_which_and_why() {
    let (harness, late) = TestHarness::starting();
    let execute = json!({ "code": "#: print 1", "timeout_ms": 5000 });
    // Its offer is not known yet, then its workers start.
    for known in [false, true] {
        if known {
            late.set_offer(harness.backend.offer(), Vec::new());
        }
        for path in ["/v1/openapi.json", "/metrics", "/v1/metrics"] {
            assert_eq!(harness.get(path).await.status, 200, "{path}");
        }
        let (health, ready) = (harness.get("/health").await, harness.get("/ready").await);
        assert_matches(&document(), "get", "/health", &health);
        assert_matches(&document(), "get", "/ready", &ready);
        assert_eq!((health.status, &health.json["status"]), (200, &json!("starting")));
        assert_eq!((ready.status, &ready.json["ready"]), (503, &json!(false)));
        let tier = &ready.json["tiers"][0];
        assert_eq!(
            (&tier["tier"], &tier["up"], &tier["starting"], &tier["reason"]),
            (&json!("wasm"), &json!(false), &json!(true), &json!("its workers load the guest"))
        );
        // A program waits no longer than its time-out.
        let began = Instant::now();
        let refused = harness.post("/v1/execute", &execute).await;
        assert!(began.elapsed() <= Duration::from_secs(5), "{}", refused.text);
        assert!(refused.status == 504 && refused.text.contains("it is still starting"), "{}", refused.text);
    }
    let waiting = harness.post("/v1/execute", &execute);
    let opening = async {
        sleep(Duration::from_secs(2)).await;
        late.open(Arc::new(harness.backend.clone()));
    };
    let (answer, ()) = tokio::join!(waiting, opening);
    assert_eq!((answer.status, &answer.json["stdout"]), (200, &json!("1\n")), "{}", answer.text);
    assert_eq!(
        (harness.get("/ready").await.status, &harness.get("/health").await.json["status"]),
        (200, &json!("healthy"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_program_that_waits_for_a_tier_that_cannot_start_is_refused_at_once_with_the_reason() {
    let (harness, late) = TestHarness::starting();
    late.set_offer(harness.backend.offer(), Vec::new());
    let absent = AbsentTier { tier: "wasm".into(), reason: "no memory".to_owned(), remedy: None, machine: false };
    let execute = json!({ "code": "#: print 1" });
    let failing = async {
        sleep(Duration::from_secs(2)).await;
        late.fail(absent);
    };
    let (began, (refused, ())) = (Instant::now(), tokio::join!(harness.post("/v1/execute", &execute), failing));
    assert!(refused.status == 503 && refused.text.contains("no memory"), "{}", refused.text);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    let ready = harness.get("/ready").await.json;
    assert_eq!((&ready["tiers"][0]["reason"], &ready["tiers"][0]["starting"]), (&json!("no memory"), &json!(null)));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_waits_for_a_tier_at_shutdown_may_be_sent_again() {
    for is_offer_known in [false, true] {
        for execute in [json!({ "code": "#: print 1" }), json!({ "code": "#: print 1", "tier": "wasm" })] {
            let (harness, late) = TestHarness::starting();
            if is_offer_known {
                late.set_offer(harness.backend.offer(), Vec::new());
            }
            let shutdown = async {
                sleep(Duration::from_secs(2)).await;
                harness.router.tiers().refuse_waiting();
            };
            let (began, (refused, ())) =
                (Instant::now(), tokio::join!(harness.post("/v1/execute", &execute), shutdown));
            assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text);
            assert!(refused.text.contains("the server is shutting down"), "{}", refused.text);
            assert_eq!(began.elapsed(), Duration::from_secs(2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_starting_server_answers_503_until_it_is_ready() {
    let harness = TestHarness::new();
    let (startup_handle, router) = startup(WallClock::starting_at(std::time::UNIX_EPOCH), false);
    let send = |path: &'static str| {
        let router = router.clone();
        async move { Answer::read(router.oneshot(get(path)).await.unwrap()).await }
    };
    let health = send("/health").await;
    assert_eq!((health.status, &health.json["status"]), (200, &json!("starting")));
    let ready = send("/ready").await;
    assert_eq!((ready.status, ready.header("retry-after")), (503, "1"));

    startup_handle.set_ready(app(harness.router.clone(), &Default::default(), Default::default()));
    assert_eq!(send("/ready").await.status, 200);
}
