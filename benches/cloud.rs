//! The overhead of the cloud tier: the time of one run over a transport that takes no time, the memory of ten thousand waiting
//! requests, and the time of a refusal by an open breaker. Then, against the stand-in with E2B's published latencies, a warm
//! sandbox compared with a new one for each program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::{Request as Call, Response};
use switchtower::config::Cloud;
use switchtower_contract::Program;
use switchtower_core::cache::{self, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::request::{CacheMode, Caller, Request, RequestLimits};
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{Tier, Tiers};
use switchtower_e2b::{Address, BodyStream, E2b, HttpTransport, Identity, Key, Liveness, Transport, TransportError};
use switchtower_fake_e2b::{Fake, KernelMode, Latency, Plan, Settings};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// E2B without a network: it answers every call immediately.
struct InstantE2b {
    /// Whether programs never end.
    never_ends: AtomicBool,
    /// Whether creations fail.
    is_down: AtomicBool,
}

const ENDS: &str = "{\"type\":\"number_of_executions\",\"execution_count\":1}\n\
                    {\"type\":\"stdout\",\"text\":\"2\\n\",\"timestamp\":\"2026-11-20T10:19:10.368520+00:00\"}\n\
                    {\"type\":\"end_of_execution\"}\n";

#[async_trait]
impl Transport for InstantE2b {
    async fn send(&self, call: Call<Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let path = call.uri().path();
        let (status, body) = match (call.method().as_str(), path) {
            ("POST", "/v2/sandboxes") if self.is_down.load(Ordering::Relaxed) => (500, "{\"code\":500}"),
            ("POST", "/v2/sandboxes") => (
                201,
                r#"{"templateID":"t","sandboxID":"i0","clientID":"c","envdVersion":"0.6.9","envdAccessToken":"x"}"#,
            ),
            ("GET", "/contexts") => (200, r#"[{"id":"c","language":"python","cwd":"/home/user"}]"#),
            ("POST", "/execute") => {
                // Switchtower's own code ends; a program may not.
                let own = call.body().windows(12).any(|window| window == b"_switchtower");
                if !own && self.never_ends.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                (200, ENDS)
            }
            ("POST", "/filesystem.Filesystem/ListDir") => (200, r#"{"entries":[]}"#),
            ("DELETE", _) => (204, ""),
            _ => (200, "{}"),
        };
        let pieces: BodyStream = Box::pin(stream::iter([Ok(Bytes::from_static(body.as_bytes()))]));
        Ok(Response::builder().status(status).body(pieces).expect("a number and a body make a response"))
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime needs threads and a timer")
}

/// A router whose only tier is the cloud.
struct CloudRouter {
    router: Arc<Router>,
    account: E2b,
}

fn harness(transport: Arc<dyn Transport>, origin: &str, cloud: Cloud) -> CloudRouter {
    let address = Address::new(Some(origin), Some(origin), None);
    let identity = Identity { owner: "bench".into(), process: "bench".into(), liveness: Arc::new(|_| Liveness::Alive) };
    let key = Key::new("e2b_bench").expect("it is not empty");
    let wall = WallClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let account = E2b::new(cloud.account, address, key, transport, identity, Arc::new(move || wall.now()));
    let seed = Seed::fixed(1);
    let tier = Tier::new("e2b".into(), Arc::new(account.clone()), cloud.tier, &seed);
    let router = Router::new(Parts {
        quota: Quota::new(&quota::Config::default()),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers: Tiers::new([tier]),
        recorder: Recorder::new(&record::Config::default(), wall).expect("no file is configured"),
        wall,
        seed,
    });
    CloudRouter { router: Arc::new(router), account }
}

/// Returns settings whose limits are never reached.
fn high_limits() -> Cloud {
    let mut cloud = Cloud::default();
    cloud.account.limits.creations_per_second = Some(1000);
    cloud.account.limits.executions_per_minute = 100_000_000;
    cloud.tier.queue.length = 20_000;
    cloud
}

fn request(user: &str) -> Request {
    let request = Request::new(Program::python("print(1 + 1)"), &RequestLimits::default())
        .expect("the request is within the limits");
    Request { cache: CacheMode::Bypass, caller: Caller::named(user), ..request }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn warm_pool(harness: &CloudRouter) {
    harness.router.tiers().iter().for_each(Tier::start);
    let pool = harness.router.tiers().iter().find_map(Tier::pool).expect("it has a pool");
    while pool.status().warm < pool.status().target {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn overhead() {
    let nothing = Arc::new(InstantE2b { never_ends: AtomicBool::new(false), is_down: AtomicBool::new(false) });
    let harness = harness(nothing.clone(), "http://e2b.bench", high_limits());
    warm_pool(&harness).await;
    let mut times = Vec::new();
    // Few enough not to reach the account's own limit of calls.
    for _ in 0..300 {
        let request = request("one");
        let started = Instant::now();
        let answer = harness.router.execute(request, None).await.expect("it answers");
        times.push(started.elapsed());
        assert_eq!(answer.output.stdout, "2\n");
        // A caller takes a moment for the answer; the sandbox is reset meanwhile.
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let run = median(times);
    // The same call with the transport alone.
    let mut bare = Vec::new();
    for _ in 0..4000 {
        let started = Instant::now();
        let call = Call::post("http://e2b.bench/execute").body(Bytes::new()).expect("it is a call");
        let mut body = nothing.send(call).await.expect("it answers").into_body();
        while let Some(piece) = futures_util::StreamExt::next(&mut body).await {
            std::hint::black_box(piece.expect("it is whole"));
        }
        bare.push(started.elapsed());
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    println!(
        "a run over a transport that takes no time: p50 {run:?} (target 100 µs); the bare call {:?}",
        median(bare)
    );

    nothing.is_down.store(true, Ordering::Relaxed);
    harness.router.tiers().close().await;
}

async fn refusals() {
    let nothing = Arc::new(InstantE2b { never_ends: AtomicBool::new(false), is_down: AtomicBool::new(true) });
    let mut cloud = high_limits();
    (cloud.tier.pool, cloud.tier.backoff.max_retries) = (None, 0);
    let harness = harness(nothing, "http://e2b.bench", cloud);
    let mut times = Vec::new();
    for at in 0..1005 {
        let started = Instant::now();
        assert!(harness.router.execute(request("one"), None).await.is_err());
        if at >= 5 {
            times.push(started.elapsed());
        }
    }
    times.sort_unstable();
    println!("a refusal while the breaker is open: p50 {:?}, p99 {:?} (target 5 ms)", times[500], times[990]);
}

async fn queued() {
    let nothing = Arc::new(InstantE2b { never_ends: AtomicBool::new(true), is_down: AtomicBool::new(false) });
    let harness = harness(nothing, "http://e2b.bench", high_limits());
    warm_pool(&harness).await;
    let before = resident();
    let waiting: Vec<_> = (0..10_006)
        .map(|number| {
            let router = harness.router.clone();
            tokio::spawn(async move { router.execute(request(&format!("user {number}")), None).await.is_ok() })
        })
        .collect();
    while harness.router.tiers().statuses()[0].queued < 10_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let held = resident().saturating_sub(before);
    println!("10,000 waiting requests: {:.1} MB (target 60 MB)", held as f64 / f64::from(1 << 20));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Returns the resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Prints medians over loopback, with E2B's published latencies.
async fn warm_against_new() {
    let settings = Settings {
        plan: Plan::Unlimited,
        latency: Latency::E2b2026,
        kernels: KernelMode::python(),
        ..Settings::default()
    };
    let fake = Fake::new(settings);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(switchtower_fake_e2b::serve(listener, fake.clone(), std::future::pending()));
    let mut medians = Vec::new();
    for pooled in [true, false] {
        let mut cloud = high_limits();
        if !pooled {
            cloud.tier.pool = None;
        }
        let web = Arc::new(HttpTransport::new().expect("this machine has certificates"));
        let harness = harness(web, &origin, cloud);
        if pooled {
            warm_pool(&harness).await;
        }
        let mut times = Vec::new();
        for _ in 0..15 {
            let started = Instant::now();
            harness.router.execute(request("one"), None).await.expect("it answers");
            times.push(started.elapsed());
            tokio::time::sleep(Duration::from_millis(if pooled { 700 } else { 0 })).await;
        }
        medians.push(median(times));
        harness.router.tiers().close().await;
        harness.account.close(Duration::from_secs(10)).await;
    }
    let ratio = medians[1].as_secs_f64() / medians[0].as_secs_f64();
    println!("stand-in with E2B's latencies: warm {:?}, new for each {:?}, {ratio:.1} times", medians[0], medians[1]);
    fake.close().await;
}

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("on {cores} cores, Linux {}", kernel.trim());
    runtime().block_on(async {
        overhead().await;
        refusals().await;
        queued().await;
        warm_against_new().await;
    });
}
