//! Endless programs of some callers and small ones of another, at the real server with real worker processes.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::server::Server;

/// The longest that a small program may take, under any load by other callers.
const MAX_LATENCY: Duration = Duration::from_secs(1);

/// Sends endless programs of this many callers, each in more requests than it has slots, of every priority and in a batch.
async fn run_endless_programs(server: &Server, tier: &str, callers: usize) {
    let request = |caller: usize, number: usize| {
        let priority = ["high", "normal", "low"][number % 3];
        // No two programs are equal, so that none waits for the result of another.
        let code = format!("# {caller} {number}\nn = 0\nwhile True: n += 1");
        let user = format!("greedy {caller}");
        json!({ "code": code, "tier": tier, "user": user, "priority": priority, "timeout_ms": 60_000 })
    };
    let send_all = |caller| async move {
        let single = (0..10).map(|number| server.try_call("POST", "/v1/execute", None, request(caller, number)));
        let batch: Vec<Value> = (10..40).map(|number| request(caller, number)).collect();
        let batch = server.try_call("POST", "/v1/batch", None, json!({ "requests": batch }));
        tokio::join!(join_all(single), batch)
    };
    join_all((0..callers).map(send_all)).await;
}

/// Waits until every slot of the tier is in use and requests are queued.
async fn wait_until_full(server: &Server, tier: &str) {
    let full = async {
        loop {
            let (_, health) = server.call("GET", "/health", None, Value::Null).await;
            let tiers = health["tiers"].as_array().unwrap();
            let tier = tiers.iter().find(|it| it["tier"] == tier).unwrap_or_else(|| panic!("{health}"));
            if tier["running"].as_u64() >= tier["slots"].as_u64() && tier["queued"].as_u64() > Some(0) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), full).await.expect("the greedy callers' programs run");
}

/// Runs small programs of one caller, one after the other, and returns how long each took.
async fn run_small_programs(server: &Server, tier: &str) -> Vec<Duration> {
    wait_until_full(server, tier).await;
    let mut times = Vec::new();
    for number in 0..7 {
        let code = format!("print(1 + 1) # {number}");
        let body = json!({ "code": code, "tier": tier, "user": "modest", "cache": "bypass" });
        let started = Instant::now();
        let (status, answer) = server.call("POST", "/v1/execute", None, body).await;
        times.push(started.elapsed());
        assert_eq!((status, answer["stdout"].as_str()), (200, Some("2\n")), "{answer}");
        sleep(Duration::from_millis(20)).await;
    }
    times
}

/// Asserts that small programs are answered in time beside endless ones of this many other callers.
pub(crate) async fn assert_fair(server: &Server, tier: &str, callers: usize) {
    let times = tokio::select! {
        times = run_small_programs(server, tier) => times,
        () = run_endless_programs(server, tier, callers) => panic!("an endless program ended"),
    };
    let mut sorted = times.clone();
    sorted.sort_unstable();
    // One program may be late for a reason other than the queue: the tests share this machine with other processes.
    assert!(
        sorted[sorted.len() - 2] <= MAX_LATENCY && sorted[0] <= MAX_LATENCY / 2,
        "{tier}, {callers} others: {times:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_programs_of_others_do_not_delay_a_small_one() {
    let server = Server::start_with_default_workers(&[]).await;
    for callers in [1, 3] {
        assert_fair(&server, "wasm", callers).await;
    }
    server.signal("-TERM");
    server.wait_for_log();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_slot_callers_take_turns() {
    // One slot by the setting of the tier, and by the number of workers.
    for variables in [&[("SWITCHTOWER_TIERS_WASM_QUEUE_SLOTS", "1")][..], &[]] {
        let server = match variables {
            [] => Server::start(None).await,
            _ => Server::start_with_default_workers(variables).await,
        };
        assert_fair(&server, "wasm", 1).await;
        server.signal("-TERM");
        server.wait_for_log();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_keeps_the_limits_over_all_tiers() {
    let limits = [("SWITCHTOWER_QUEUE_SLOTS", "2"), ("SWITCHTOWER_QUEUE_PER_USER", "2")];
    let server = Server::start_with_default_workers(&limits).await;
    let load = async {
        // Of two slots in total one caller gets one, and the extra slots of a tier do not exceed the total.
        tokio::select! {
            () = run_endless_programs(&server, "wasm", 2) => panic!("an endless program ended"),
            () = sleep(Duration::from_secs(3)) => {}
        }
    };
    let observe = async {
        let mut max_running = 0;
        for _ in 0..25 {
            let (_, health) = server.call("GET", "/health", None, Value::Null).await;
            let running = health["tiers"].as_array().unwrap().iter().filter_map(|tier| tier["running"].as_u64());
            max_running = max_running.max(running.sum());
            sleep(Duration::from_millis(100)).await;
        }
        max_running
    };
    let ((), max_running) = tokio::join!(load, observe);
    assert_eq!(max_running, 2);
    server.signal("-TERM");
    server.wait_for_log();
}
