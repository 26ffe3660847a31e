//! A greedy caller beside modest ones, on a paused clock: how long the modest ones wait, and the share that each gets.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use rand::{Rng, RngExt};
use serde_json::{Value, json};
use switchtower::config;
use switchtower_contract::scripted::{Scripted, Settings};
use switchtower_core::cache::{self, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{self, Tier, Tiers};
use switchtower_server::{api, service};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;

/// The longest that a greedy caller may delay a modest one: a time slice.
const MAX_DELAY: Duration = Duration::from_millis(250);

/// Returns the API over both local tiers with their default settings, on a machine with this many cores.
fn app(seed: u64, cores: usize) -> axum::Router {
    let config::Tiers { wasm, native, .. } = config::Tiers::default();
    let tier = |name: &str, mut config: tier::Config, number| {
        config.queue.slots = config.queue.slots.min(cores);
        // Opening and running take random times, and there are no faults.
        let settings = Settings {
            open_time: Duration::ZERO..Duration::from_millis(2),
            run_time: Duration::from_millis(1)..Duration::from_millis(6),
            ..Settings::default()
        };
        let backend = Scripted::new(seed * 10 + number, settings);
        Tier::new(name.into(), Arc::new(backend), config, &Seed::fixed(seed))
    };
    let wall = WallClock::starting_at(UNIX_EPOCH);
    let router = Router::new(Parts {
        quota: Quota::new(&quota::Config::default()),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers: Tiers::new([tier("wasm", wasm, 1), tier("native", native, 2)]),
        recorder: Recorder::new(&record::Config::default(), wall).unwrap(),
        wall,
        seed: Seed::fixed(seed),
    });
    api::app(Arc::new(router), &service::Config::default(), api::AppState::default())
}

async fn post(app: &axum::Router, path: &str, body: &Value) -> Value {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = app.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
}

fn program(user: &str, tier: &str, script: &str) -> Value {
    json!({ "code": format!("print()\n#: {script}"), "user": user, "tier": tier, "cache": "bypass" })
}

/// Sends batches of all kinds of programs of a greedy caller, one after the other, without end.
async fn send_greedy_batches(app: axum::Router, tier: &'static str, mut random: impl Rng) {
    loop {
        let requests: Vec<Value> = (0..100)
            .map(|_| {
                let script = match random.random_range(0..4) {
                    0 => "spin".to_owned(),
                    1 => "sleep 240ms".to_owned(),
                    2 => format!("sleep {}ms", random.random_range(1..2000)),
                    _ => "print 1".to_owned(),
                };
                let mut program = program("greedy", tier, &script);
                program["priority"] = json!(["high", "normal", "low"][random.random_range(0..3)]);
                program["timeout_ms"] = json!(random.random_range(1000..60_000));
                program
            })
            .collect();
        post(&app, "/v1/batch", &json!({ "requests": requests })).await;
        // The whole batch may have been refused immediately.
        sleep(Duration::from_secs(2)).await;
    }
}

/// Runs small programs of a modest caller, one after the other, and returns how long each took.
async fn run_modest_caller(app: axum::Router, tier: &'static str, user: String, mut random: impl Rng) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..100 {
        sleep(Duration::from_millis(random.random_range(0..400))).await;
        let started = Instant::now();
        let answer = post(&app, "/v1/execute", &program(&user, tier, "sleep 5ms; print 2")).await;
        assert_eq!(answer["stdout"], "2\n", "{answer}");
        times.push(started.elapsed());
    }
    times
}

/// Returns the 95th percentile of the times of small programs, while the greedy caller has this many batches in flight.
async fn p95(seed: u64, cores: usize, tier: &'static str, callers: usize, greedy_batches: usize) -> Duration {
    let app = app(seed, cores);
    let seed = Seed::fixed(seed);
    let greedy: Vec<_> = (0..greedy_batches)
        .map(|number| {
            tokio::spawn(send_greedy_batches(app.clone(), tier, seed.fork(&format!("greedy {number}")).rng()))
        })
        .collect();
    let modest: Vec<_> = (0..callers)
        .map(|number| {
            let user = format!("modest {number}");
            let random = seed.fork(&user).rng();
            tokio::spawn(run_modest_caller(app.clone(), tier, user, random))
        })
        .collect();
    let mut times = Vec::new();
    for caller in modest {
        times.extend(caller.await.unwrap());
    }
    greedy.iter().for_each(tokio::task::JoinHandle::abort);
    times.sort_unstable();
    times[times.len() * 95 / 100]
}

#[test]
fn a_greedy_caller_delays_a_modest_one_by_at_most_a_time_slice() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for seed in 1..=2 {
        for (cores, callers) in [(1, 1), (2, 1), (2, 3), (8, 3)] {
            for tier in ["wasm", "native"] {
                let (alone, beside) = runtime.block_on(async {
                    (p95(seed, cores, tier, callers, 0).await, p95(seed, cores, tier, callers, 12).await)
                });
                let what = format!("{tier}, {cores} cores, {callers} modest callers: {beside:?} against {alone:?}");
                assert!(beside <= 2 * alone + MAX_DELAY, "{what}");
            }
        }
    }
}

/// Returns Jain's index of fairness: 1 if all shares are equal, 1/n if one caller has everything.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

/// Returns how many programs of a caller are answered in a minute, if it has `at_once` requests or batches of 100 in flight.
async fn answered_in_a_minute(
    app: axum::Router,
    tier: &'static str,
    user: String,
    at_once: usize,
    batches: bool,
) -> f64 {
    let send_all = |app: axum::Router| {
        let user = user.clone();
        async move {
            let program = program(&user, tier, "sleep 20ms; print 2");
            let mut answered = 0.0;
            let _ = timeout(Duration::from_secs(60), async {
                loop {
                    let size = if batches { 100 } else { 1 };
                    let body = json!({ "requests": vec![program.clone(); size] });
                    let answers = post(&app, "/v1/batch", &body).await;
                    let answers = answers["answers"].as_array().unwrap();
                    answered += answers.iter().filter(|answer| answer["stdout"] == "2\n").count() as f64;
                    // A caller that was refused tries again.
                    if answers.iter().any(|answer| answer["stdout"] != "2\n") {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            })
            .await;
            answered
        }
    };
    futures_util::future::join_all((0..at_once).map(|_| send_all(app.clone()))).await.iter().sum()
}

#[test]
fn callers_that_want_more_than_their_share_get_equal_shares_by_jains_index() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for tier in ["wasm", "native"] {
        let shares = runtime.block_on(async {
            let app = app(7, 2);
            // One caller has 2,000 requests in flight, the others two each.
            let greedy = answered_in_a_minute(app.clone(), tier, "greedy".to_owned(), 20, true);
            let modest =
                (0..4).map(|number| answered_in_a_minute(app.clone(), tier, format!("modest {number}"), 2, false));
            let (greedy, mut shares) = tokio::join!(greedy, futures_util::future::join_all(modest));
            shares.push(greedy);
            shares
        });
        assert!(jain(&shares) >= 0.95, "{tier}: {shares:?}");
        assert!(shares.iter().sum::<f64>() > 2000.0, "{tier}: {shares:?}");
    }
}
