//! A greedy caller beside modest ones, on a paused clock: how long the modest ones wait, and what share each gets.

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

const SLICE: Duration = Duration::from_millis(250);

/// The server's API over both local tiers as they are by default, on a machine with so many cores.
fn app(seed: u64, cores: usize) -> axum::Router {
    let config::Tiers { wasm, native } = config::Tiers::default();
    let tier = |name: &str, mut config: tier::Config, number| {
        config.queue.slots = config.queue.slots.min(cores);
        // Opening and running take a drawn time, and nothing goes wrong.
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
        recorder: Recorder::new(&record::Config::default(), wall),
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

/// Batch after batch of whatever a greedy caller may send, several at a time.
async fn greedy(app: axum::Router, tier: &'static str, mut chance: impl Rng) {
    loop {
        let requests: Vec<Value> = (0..100)
            .map(|_| {
                let script = match chance.random_range(0..4) {
                    0 => "spin".to_owned(),
                    1 => "sleep 240ms".to_owned(),
                    2 => format!("sleep {}ms", chance.random_range(1..2000)),
                    _ => "print 1".to_owned(),
                };
                let mut program = program("greedy", tier, &script);
                program["priority"] = json!(["high", "normal", "low"][chance.random_range(0..3)]);
                program["timeout_ms"] = json!(chance.random_range(1000..60_000));
                program
            })
            .collect();
        post(&app, "/v1/batch", &json!({ "requests": requests })).await;
        // All of it may have been refused at once.
        sleep(Duration::from_secs(2)).await;
    }
}

/// How long each of a modest caller's small programs takes, which come one after the other.
async fn modest(app: axum::Router, tier: &'static str, user: String, mut chance: impl Rng) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..100 {
        sleep(Duration::from_millis(chance.random_range(0..400))).await;
        let came = Instant::now();
        let answer = post(&app, "/v1/execute", &program(&user, tier, "sleep 5ms; print 2")).await;
        assert_eq!(answer["stdout"], "2\n", "{answer}");
        took.push(came.elapsed());
    }
    took
}

/// The time that 95 of 100 small programs do not pass; `crowd`: batches of the greedy caller at a time.
async fn p95(seed: u64, cores: usize, tier: &'static str, callers: usize, crowd: usize) -> Duration {
    let app = app(seed, cores);
    let seed = Seed::fixed(seed);
    let greedy: Vec<_> = (0..crowd)
        .map(|number| tokio::spawn(greedy(app.clone(), tier, seed.fork(&format!("greedy {number}")).rng())))
        .collect();
    let modest: Vec<_> = (0..callers)
        .map(|number| {
            let user = format!("modest {number}");
            let chance = seed.fork(&user).rng();
            tokio::spawn(modest(app.clone(), tier, user, chance))
        })
        .collect();
    let mut took = Vec::new();
    for caller in modest {
        took.extend(caller.await.unwrap());
    }
    greedy.iter().for_each(tokio::task::JoinHandle::abort);
    took.sort_unstable();
    took[took.len() * 95 / 100]
}

#[test]
fn a_greedy_caller_costs_a_modest_one_a_slice_at_most() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for seed in 1..=2 {
        for (cores, callers) in [(1, 1), (2, 1), (2, 3), (8, 3)] {
            for tier in ["wasm", "native"] {
                let (alone, beside) = runtime.block_on(async {
                    (p95(seed, cores, tier, callers, 0).await, p95(seed, cores, tier, callers, 12).await)
                });
                let what = format!("{tier}, {cores} cores, {callers} modest callers: {beside:?} against {alone:?}");
                assert!(beside <= 2 * alone + SLICE, "{what}");
            }
        }
    }
}

/// Jain's index: 1 where all have the same, 1/n where one has everything.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

/// Programs of a caller that were answered in a minute, of which so many are asked for at a time.
async fn answered(app: axum::Router, tier: &'static str, user: String, at_once: usize, batches: bool) -> f64 {
    let asks = |app: axum::Router| {
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
                    // Who is refused comes back.
                    if answers.iter().any(|answer| answer["stdout"] != "2\n") {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            })
            .await;
            answered
        }
    };
    futures_util::future::join_all((0..at_once).map(|_| asks(app.clone()))).await.iter().sum()
}

#[test]
fn callers_who_want_all_that_there_is_get_the_same_by_jains_index() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for tier in ["wasm", "native"] {
        let shares = runtime.block_on(async {
            let app = app(7, 2);
            // One has 2,000 requests on the way, the others two.
            let greedy = answered(app.clone(), tier, "greedy".to_owned(), 20, true);
            let modest = (0..4).map(|number| answered(app.clone(), tier, format!("modest {number}"), 2, false));
            let (greedy, mut shares) = tokio::join!(greedy, futures_util::future::join_all(modest));
            shares.push(greedy);
            shares
        });
        assert!(jain(&shares) >= 0.95, "{tier}: {shares:?}");
        assert!(shares.iter().sum::<f64>() > 2000.0, "{tier}: {shares:?}");
    }
}
