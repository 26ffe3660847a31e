//! The cloud tier for hours on a paused clock: many users, faults, callers that disconnect. The calls that E2B receives are
//! recorded and checked against the promises. The same seed gives the same run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Request, Response};
use rand::RngExt;
use switchtower::config::Cloud;
use switchtower_core::error::{Error, RequestError};
use switchtower_core::request::{CacheMode, Priority};
use switchtower_core::seed::Seed;
use switchtower_e2b::{Address, BodyStream, E2b, Identity, Key, Liveness, Transport, TransportError};
use switchtower_fake_e2b::{Fake, Latency, Plan, Settings};
use tokio::time::{Instant, sleep, timeout};

use super::harness::{TestHarness, remote, scripted, with_user};
use super::in_process::InProcess;

const SECOND: Duration = Duration::from_secs(1);

/// The calls that E2B receives.
#[derive(Default)]
struct Observations {
    creations: Vec<Instant>,
    creating: usize,
    max_creating: usize,
    executions: Vec<Instant>,
    /// Responses with status 429.
    refused: u32,
    /// Programs of users, by sandbox.
    runs: BTreeMap<String, u32>,
    /// How often each program was started.
    starts: BTreeMap<String, u32>,
}

/// A transport that records calls.
struct RecordingTransport {
    inner: InProcess,
    observed: Arc<Mutex<Observations>>,
}

/// A creation in flight.
struct CreationInFlight(Arc<Mutex<Observations>>);

impl Drop for CreationInFlight {
    fn drop(&mut self) {
        self.0.lock().unwrap().creating -= 1;
    }
}

#[async_trait]
impl Transport for RecordingTransport {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let path = request.uri().path().to_owned();
        let mut creating = None;
        {
            let mut observed = self.observed.lock().unwrap();
            if path == "/v2/sandboxes" && request.method() == "POST" {
                observed.creations.push(Instant::now());
                observed.creating += 1;
                observed.max_creating = observed.max_creating.max(observed.creating);
                creating = Some(CreationInFlight(self.observed.clone()));
            }
            if path == "/execute" {
                observed.executions.push(Instant::now());
                let body = String::from_utf8_lossy(request.body()).into_owned();
                if let Some((_, rest)) = body.split_once("# program ") {
                    let sandbox = request.headers()["e2b-sandbox-id"].to_str().unwrap().to_owned();
                    *observed.runs.entry(sandbox).or_default() += 1;
                    let number = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                    *observed.starts.entry(number.to_owned()).or_default() += 1;
                }
            }
        }
        let response = self.inner.send(request).await;
        if response.as_ref().is_ok_and(|response| response.status() == 429) {
            self.observed.lock().unwrap().refused += 1;
        }
        drop(creating);
        response
    }
}

struct Simulation {
    harness: TestHarness,
    observed: Arc<Mutex<Observations>>,
}

fn simulate_account(seed: u64, settings: Settings, mut cloud: Cloud) -> Simulation {
    let fake = Fake::new(Settings { seed, ..settings });
    let observed = Arc::<Mutex<Observations>>::default();
    let watched = RecordingTransport { inner: InProcess(fake.app()), observed: observed.clone() };
    let address = Address::new(Some("http://e2b.test"), Some("http://e2b.test"), None);
    let identity =
        Identity { owner: "test".to_owned(), process: "one".to_owned(), liveness: Arc::new(|_| Liveness::Dead) };
    let started = Instant::now();
    let now = Arc::new(move || std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + started.elapsed());
    let key = Key::new("e2b_0123456789abcdef").unwrap();
    cloud.account.budget_file = None;
    let account = E2b::new(cloud.account, address, key, Arc::new(watched), identity, now);
    Simulation { harness: TestHarness::with(fake, account, cloud.tier, seed), observed }
}

/// Returns the most events in any window of this length.
fn most_in_window(times: &[Instant], window: Duration) -> usize {
    (0..times.len())
        .map(|at| times[at..].iter().take_while(|time| **time - times[at] < window).count())
        .max()
        .unwrap_or(0)
}

fn run_simulation<T>(simulation: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(simulation)
}

/// How one request ended.
#[derive(Debug, PartialEq)]
enum RequestEnd {
    Answered(String, Vec<String>),
    Refused(&'static str),
    Disconnected,
}

async fn busy_hours(seed: u64, faults: &str) -> (Vec<RequestEnd>, u64) {
    let settings = Settings { latency: Latency::E2b2026, faults: faults.parse().unwrap(), ..scripted() };
    let Simulation { harness, observed } = simulate_account(seed, settings, Cloud::default());
    harness.start();
    let harness = Arc::new(harness);
    let mut random = Seed::fixed(seed).fork("callers").rng();
    let callers: Vec<_> = (0..600u32)
        .map(|number| {
            let harness = harness.clone();
            let at = Duration::from_millis(random.random_range(0..3_600_000));
            // Half of them arrive in bursts.
            let at = if random.random_ratio(1, 2) { Duration::from_secs(at.as_secs() / 300 * 300) } else { at };
            let leaves = random.random_ratio(1, 8).then(|| Duration::from_millis(random.random_range(0..3000)));
            let effectful = random.random_ratio(1, 5);
            let head = if effectful { "import requests\nrequests.get('https://x.org')" } else { "print(1)" };
            let millis = random.random_range(10..3000);
            let source = format!("# program {number}\n{head}\n#: print {number}; sleep {millis}ms");
            let mut request = with_user(&format!("user {}", number % 7), remote(&source));
            request.priority = [Priority::High, Priority::Normal, Priority::Low][random.random_range(0..3)];
            request.cache = CacheMode::Bypass;
            tokio::spawn(async move {
                sleep(at).await;
                let ended = match leaves {
                    Some(after) => timeout(after, harness.run(request)).await.ok(),
                    None => Some(harness.run(request).await),
                };
                let end = match ended {
                    Some(Ok(answer)) => {
                        assert_eq!(answer.output.stdout, format!("{number}\n"));
                        let attempted = answer.attempts.iter().map(|attempt| attempt.outcome.clone()).collect();
                        RequestEnd::Answered(answer.output.stdout, attempted)
                    }
                    Some(Err(error)) => RequestEnd::Refused(error.error.name()),
                    None => RequestEnd::Disconnected,
                };
                (effectful, number, end)
            })
        })
        .collect();
    let mut ends = Vec::new();
    for caller in callers {
        let (effectful, number, end) = caller.await.unwrap();
        let starts = observed.lock().unwrap().starts.get(&number.to_string()).copied().unwrap_or(0);
        // Only a program that was started can be lost.
        if effectful && matches!(end, RequestEnd::Refused("lost")) {
            assert!(starts >= 1);
        }
        ends.push(end);
    }
    // The smallest plan allows one creation a second, and none is in flight beside another.
    {
        let observed = observed.lock().unwrap();
        assert_eq!(most_in_window(&observed.creations, SECOND), 1);
        assert_eq!(observed.max_creating, 1);
        assert!(observed.runs.values().all(|runs| *runs <= 50), "{:?}", observed.runs.values().max());
        assert!(most_in_window(&observed.executions, 60 * SECOND) <= 610);
    }
    let counts = harness.fake.counts();
    assert!(counts.max_running <= 10, "{counts:?}");
    assert_eq!(observed.lock().unwrap().refused, 0, "our limits refuse before E2B does");
    // No permit, lease or sandbox leaks.
    let status = harness.cloud().status();
    assert_eq!((status.running, status.queued), (0, 0));
    sleep(120 * SECOND).await;
    let status = harness.cloud().pool().unwrap().status();
    assert_eq!((status.busy, status.starting, status.waiting), (0, 0, 0), "{status:?}");
    assert_eq!((status.warm, status.wanted), (0, 0), "nothing stays without requests: {status:?}");
    let account = harness.account.status();
    assert_eq!(account.limits.running + account.sandboxes.iter().filter(|live| live.asleep).count(), status.size);
    let created = counts.created;
    let harness = Arc::into_inner(harness).unwrap();
    harness.close().await;
    (ends, created)
}

#[test]
fn limits_hold_for_hours_nothing_leaks_and_the_same_seed_gives_the_same_run() {
    let faults = "create.500=3%,execute.500=3%,vanish=2%,get.500=2%,files.500=1%,kill.500=5%";
    for seed in 1..=2 {
        let (one, two) = (run_simulation(busy_hours(seed, faults)), run_simulation(busy_hours(seed, faults)));
        assert_eq!(one, two, "seed {seed} gave two different runs");
        let answered = one.0.iter().filter(|end| matches!(end, RequestEnd::Answered(..))).count();
        let left = one.0.iter().filter(|end| matches!(end, RequestEnd::Disconnected)).count();
        assert!(answered + left >= 595, "{answered} answered, {left} left");
    }
}

/// Runs sequential requests of several callers in the cloud. Returns how many failed, and by error.
async fn failures_with(faults: &str, requests: u32, seed: u64) -> (u32, BTreeMap<&'static str, u32>) {
    let settings = Settings { faults: faults.parse().unwrap(), plan: Plan::Unlimited, ..scripted() };
    let mut cloud = Cloud::default();
    cloud.account.limits.creations_per_second = Some(50);
    let Simulation { harness, .. } = simulate_account(seed, settings, cloud);
    harness.start();
    let harness = Arc::new(harness);
    let callers: Vec<_> = (0..6)
        .map(|user| {
            let harness = harness.clone();
            tokio::spawn(async move {
                let mut failed = BTreeMap::<&'static str, u32>::new();
                for number in 0..requests / 6 {
                    let source = format!("# program {user}{number}\nprint(1)\n#: print {number}; sleep 50ms");
                    match harness.run(with_user(&format!("user {user}"), remote(&source))).await {
                        Ok(answer) => assert_eq!(answer.output.stdout, format!("{number}\n")),
                        Err(error) => *failed.entry(error.error.name()).or_default() += 1,
                    }
                }
                failed
            })
        })
        .collect();
    let mut failed = BTreeMap::new();
    for caller in callers {
        for (name, times) in caller.await.unwrap() {
            *failed.entry(name).or_default() += times;
        }
    }
    harness.fake.set_faults("".parse().unwrap());
    Arc::into_inner(harness).unwrap().close().await;
    (failed.values().sum(), failed)
}

#[test]
fn of_twenty_percent_injected_errors_at_most_one_percent_reaches_callers() {
    for seed in 1..=3 {
        let faults = "create.500=10%,create.503=10%,execute.500=10%,execute.502=10%,contexts.500=10%";
        let (failed, how) = run_simulation(failures_with(faults, 1200, seed));
        assert!(failed <= 12, "{failed} of 1200: {how:?}");
    }
}

/// A transport that takes up to 300 ms each way.
struct SlowTransport {
    inner: InProcess,
    random: Mutex<rand_chacha::ChaCha8Rng>,
}

impl SlowTransport {
    async fn delay(&self) {
        let millis = self.random.lock().unwrap().random_range(0..300);
        sleep(Duration::from_millis(millis)).await;
    }
}

#[async_trait]
impl Transport for SlowTransport {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        self.delay().await;
        let response = self.inner.send(request).await;
        self.delay().await;
        response
    }
}

#[test]
fn of_a_thousand_creations_over_a_network_with_jitter_the_plan_refuses_none() {
    use switchtower_contract::{Backend as _, Language, Spec};
    for (plan, seed) in [(Plan::Hobby, 1), (Plan::Hobby, 2), (Plan::Pro, 3)] {
        run_simulation(async move {
            let fake = Fake::new(Settings { plan, seed, latency: Latency::E2b2026, ..scripted() });
            let transport = SlowTransport { inner: InProcess(fake.app()), random: Mutex::new(Seed::fixed(seed).rng()) };
            let mut config = Cloud::default().account;
            config.limits.wait_timeout = 3600 * SECOND;
            config.limits.executions_per_minute = 60_000;
            config.limits.plan = match plan {
                Plan::Pro => switchtower_e2b::limits::Plan::Pro,
                _ => switchtower_e2b::limits::Plan::Hobby,
            };
            let account = super::in_process::account_with_transport(transport, config, "one", |_| Liveness::Dead);
            let openers = (0..10).map(|_| {
                let account = account.clone();
                tokio::spawn(async move {
                    for _ in 0..100 {
                        drop(account.open(&Spec::new(Language::Python)).await.unwrap());
                    }
                })
            });
            for opener in openers.collect::<Vec<_>>() {
                opener.await.unwrap();
            }
            account.close(600 * SECOND).await;
            let counts = fake.counts();
            assert_eq!((counts.created, counts.create_refused), (1_000, 0), "{plan}, seed {seed}");
            assert_eq!(account.status().limits.creation.rate_limited, 0);
            assert_eq!(fake.running(), Vec::<String>::new());
        });
    }
}

#[test]
fn of_three_percent_silent_deletions_none_reaches_callers() {
    for seed in 1..=3 {
        let (failed, how) = run_simulation(failures_with("vanish=3%", 1200, seed));
        assert_eq!(failed, 0, "{how:?}");
    }
}

#[test]
fn a_user_with_many_requests_does_not_reduce_the_shares_of_others() {
    run_simulation(async {
        let Simulation { harness, .. } = simulate_account(1, Settings { plan: Plan::Unlimited, ..scripted() }, {
            let mut cloud = Cloud::default();
            cloud.account.limits.creations_per_second = Some(50);
            cloud.account.limits.executions_per_minute = 60_000;
            cloud
        });
        harness.start();
        let harness = Arc::new(harness);
        let until = Instant::now() + 600 * SECOND;
        // The first user has forty requests waiting at all times, the others two each.
        let workers: Vec<_> = (0..6usize)
            .flat_map(|user| std::iter::repeat_n(user, if user == 0 { 40 } else { 2 }))
            .map(|user| {
                let harness = harness.clone();
                tokio::spawn(async move {
                    let mut done = 0u32;
                    while Instant::now() < until {
                        let mut request = with_user(&format!("user {user}"), remote("print(1)\n#: sleep 500ms"));
                        request.cache = CacheMode::Bypass;
                        match harness.run(request).await {
                            Ok(_) => done += 1,
                            Err(RequestError { error: Error::Overloaded { .. }, .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                    (user, done)
                })
            })
            .collect();
        let mut done = [0f64; 6];
        for worker in workers {
            let (user, times) = worker.await.unwrap();
            done[user] += f64::from(times);
        }
        // Jain's index of fairness: 1 if all shares are equal.
        let (sum, squares) = (done.iter().sum::<f64>(), done.iter().map(|x| x * x).sum::<f64>());
        let jain = sum * sum / (6.0 * squares);
        assert!(jain >= 0.95, "{jain}: {done:?}");
        Arc::into_inner(harness).unwrap().close().await;
    });
}
