//! The order of the stages that a request passes.

use std::time::Duration;

use serde_json::{Value, json};
use switchtower_contract::Fault;
use switchtower_core::quota;
use switchtower_core::tier::{self, backoff, breaker, queue};

use crate::api::harness::{Answer, TestHarness};

/// Requests that the caller may send at once.
const BURST: u32 = 6;

async fn run(harness: &TestHarness, code: &str) -> Answer {
    harness.post("/v1/execute", &json!({ "code": code })).await
}

/// Returns the outcomes of the attempts that an answer or a refusal names.
fn attempts(answer: &Answer) -> Vec<&str> {
    let attempts = answer.json["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    attempts.iter().filter_map(|attempt| attempt["outcome"].as_str()).collect()
}

/// A stage that refuses lets nothing through to the next one, and the one before it has answered what it can.
#[tokio::test(start_paused = true)]
async fn a_request_passes_the_rate_limit_the_cache_the_queue_the_breaker_and_the_sandbox_in_this_order() {
    let quota = quota::Config { per_minute: 1, burst: BURST };
    let queue = queue::Config { slots: 1, per_user: 1, length: 0, ..queue::Config::default() };
    let backoff = backoff::Config { max_retries: 0, ..backoff::Config::default() };
    let breaker = Some(breaker::Config { failure_threshold: 1, open_for: Duration::from_secs(3600) });
    let harness = TestHarness::with_limits(&quota, tier::Config { queue, backoff, breaker, ..tier::Config::default() });
    let (stored, other) = ("#: print 1", "#: print 2");
    let opened = || harness.backend.counts().opened;

    assert_eq!(run(&harness, stored).await.json["cache"], "miss");
    assert_eq!(opened(), 1);

    // The only slot is in use: the cache answers, and the queue refuses before a sandbox is opened.
    let busy = tokio::join!(run(&harness, "#: sleep 5s"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (run(&harness, stored).await, run(&harness, other).await, opened())
    });
    let (sleeper, (hit, refused, opened_meanwhile)) = busy;
    assert_eq!((sleeper.status, &hit.json["cache"], attempts(&hit)), (200, &Value::from("hit"), vec![]));
    assert_eq!(
        (refused.status, attempts(&refused), opened_meanwhile),
        (503, vec!["overloaded"], 2),
        "{}",
        refused.text
    );

    // The breaker is open: a slot is free, and no sandbox is opened.
    harness.backend.fail_open(Fault::Unavailable { reason: "down".to_owned() });
    assert_eq!(attempts(&run(&harness, other).await), ["unavailable"]);
    let opened_before = opened();
    let refused = run(&harness, other).await;
    assert_eq!((attempts(&refused), opened()), (vec!["open"], opened_before), "{}", refused.text);

    // The caller has sent what it may: not even the cache answers, and nothing is tried.
    let limited = run(&harness, stored).await;
    assert_eq!((limited.status, attempts(&limited)), (429, vec![]), "{}", limited.text);
}
