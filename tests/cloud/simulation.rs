//! The cloud tier for hours on a paused clock: many users, faults, callers who leave. What E2B would see is written down,
//! and held against what was promised. The same seed tells the same story.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Request, Response};
use rand::RngExt;
use switchtower::config::Cloud;
use switchtower_core::error::Error;
use switchtower_core::request::{CacheMode, Priority};
use switchtower_core::seed::Seed;
use switchtower_e2b::{Address, BodyStream, E2b, Identity, Key, Liveness, Transport, TransportError};
use switchtower_fake_e2b::{Fake, Latency, Plan, Settings};
use tokio::time::{Instant, sleep, timeout};

use super::house::{House, of_user, remote, scripted};
use super::through::Through;

const SECOND: Duration = Duration::from_secs(1);

/// What E2B saw.
#[derive(Default)]
struct Seen {
    creations: Vec<Instant>,
    creating: usize,
    most_creating: usize,
    executions: Vec<Instant>,
    /// Answers that were a refusal for too many.
    refused: u32,
    /// Programs of users, by sandbox.
    runs: BTreeMap<String, u32>,
    /// How often each program began.
    began: BTreeMap<String, u32>,
}

/// Writes down what goes by.
struct Watched {
    inner: Through,
    seen: Arc<Mutex<Seen>>,
}

/// A creation that goes on.
struct Creating(Arc<Mutex<Seen>>);

impl Drop for Creating {
    fn drop(&mut self) {
        self.0.lock().unwrap().creating -= 1;
    }
}

#[async_trait]
impl Transport for Watched {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let path = request.uri().path().to_owned();
        let mut creating = None;
        {
            let mut seen = self.seen.lock().unwrap();
            if path == "/v2/sandboxes" && request.method() == "POST" {
                seen.creations.push(Instant::now());
                seen.creating += 1;
                seen.most_creating = seen.most_creating.max(seen.creating);
                creating = Some(Creating(self.seen.clone()));
            }
            if path == "/execute" {
                seen.executions.push(Instant::now());
                let body = String::from_utf8_lossy(request.body()).into_owned();
                if let Some((_, rest)) = body.split_once("# program ") {
                    let sandbox = request.headers()["e2b-sandbox-id"].to_str().unwrap().to_owned();
                    *seen.runs.entry(sandbox).or_default() += 1;
                    let number = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                    *seen.began.entry(number.to_owned()).or_default() += 1;
                }
            }
        }
        let response = self.inner.send(request).await;
        if response.as_ref().is_ok_and(|response| response.status() == 429) {
            self.seen.lock().unwrap().refused += 1;
        }
        drop(creating);
        response
    }
}

struct World {
    house: House,
    seen: Arc<Mutex<Seen>>,
}

fn world(seed: u64, settings: Settings, mut cloud: Cloud) -> World {
    let fake = Fake::new(Settings { seed, ..settings });
    let seen = Arc::<Mutex<Seen>>::default();
    let watched = Watched { inner: Through(fake.app()), seen: seen.clone() };
    let address = Address::new(Some("http://e2b.test"), Some("http://e2b.test"), None);
    let identity =
        Identity { owner: "test".to_owned(), process: "one".to_owned(), liveness: Arc::new(|_| Liveness::Dead) };
    let started = Instant::now();
    let now = Arc::new(move || std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + started.elapsed());
    let key = Key::new("e2b_0123456789abcdef").unwrap();
    cloud.account.budget_file = None;
    let account = E2b::new(cloud.account, address, key, Arc::new(watched), identity, now);
    World { house: House::of(fake, account, cloud.tier, seed), seen }
}

/// Most events in any window of this length.
fn densest(times: &[Instant], window: Duration) -> usize {
    (0..times.len())
        .map(|at| times[at..].iter().take_while(|time| **time - times[at] < window).count())
        .max()
        .unwrap_or(0)
}

fn story<T>(told: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(told)
}

/// What became of one request.
#[derive(Debug, PartialEq)]
enum Ending {
    Answered(String, Vec<String>),
    Refused(&'static str),
    Left,
}

async fn busy_hours(seed: u64, faults: &str) -> (Vec<Ending>, u64) {
    let settings = Settings { latency: Latency::E2b2026, faults: faults.parse().unwrap(), ..scripted() };
    let World { house, seen } = world(seed, settings, Cloud::default());
    house.start();
    let house = Arc::new(house);
    let mut chance = Seed::fixed(seed).fork("callers").rng();
    let callers: Vec<_> = (0..600u32)
        .map(|number| {
            let house = house.clone();
            let at = Duration::from_millis(chance.random_range(0..3_600_000));
            // Half of them come in crowds.
            let at = if chance.random_ratio(1, 2) { Duration::from_secs(at.as_secs() / 300 * 300) } else { at };
            let leaves = chance.random_ratio(1, 8).then(|| Duration::from_millis(chance.random_range(0..3000)));
            let effectful = chance.random_ratio(1, 5);
            let head = if effectful { "import requests\nrequests.get('https://x.org')" } else { "print(1)" };
            let millis = chance.random_range(10..3000);
            let source = format!("# program {number}\n{head}\n#: print {number}; sleep {millis}ms");
            let mut request = of_user(&format!("user {}", number % 7), remote(&source));
            request.priority = [Priority::High, Priority::Normal, Priority::Low][chance.random_range(0..3)];
            request.cache = CacheMode::Bypass;
            tokio::spawn(async move {
                sleep(at).await;
                let ended = match leaves {
                    Some(after) => timeout(after, house.run(request)).await.ok(),
                    None => Some(house.run(request).await),
                };
                let ending = match ended {
                    Some(Ok(answer)) => {
                        assert_eq!(answer.output.stdout, format!("{number}\n"));
                        let tried = answer.attempts.iter().map(|attempt| attempt.outcome.clone()).collect();
                        Ending::Answered(answer.output.stdout, tried)
                    }
                    Some(Err(error)) => Ending::Refused(error.name()),
                    None => Ending::Left,
                };
                (effectful, number, ending)
            })
        })
        .collect();
    let mut endings = Vec::new();
    for caller in callers {
        let (effectful, number, ending) = caller.await.unwrap();
        let began = seen.lock().unwrap().began.get(&number.to_string()).copied().unwrap_or(0);
        // What was refused before it began may be begun again; what broke off may not, and this is one of the few faults.
        if effectful && matches!(ending, Ending::Refused("lost")) {
            assert!(began >= 1);
        }
        endings.push(ending);
    }
    // In every window of a second one creation, never two under way: the smallest plan's rule.
    {
        let seen = seen.lock().unwrap();
        assert_eq!(densest(&seen.creations, SECOND), 1);
        assert_eq!(seen.most_creating, 1);
        assert!(seen.runs.values().all(|runs| *runs <= 50), "{:?}", seen.runs.values().max());
        assert!(densest(&seen.executions, 60 * SECOND) <= 610);
    }
    let counts = house.fake.counts();
    assert!(counts.max_running <= 10, "{counts:?}");
    assert_eq!(seen.lock().unwrap().refused, 0, "our limits come before E2B's");
    // Nothing leaks: no permit, no lease, no sandbox.
    let standing = house.cloud().standing();
    assert_eq!((standing.running, standing.queued), (0, 0));
    sleep(120 * SECOND).await;
    let status = house.cloud().pool().unwrap().status();
    assert_eq!((status.busy, status.starting, status.waiting), (0, 0, 0), "{status:?}");
    assert!((2..=3).contains(&status.warm), "{status:?}");
    let account = house.account.status();
    assert_eq!(account.limits.running + account.sandboxes.iter().filter(|live| live.asleep).count(), status.size);
    let created = counts.created;
    let house = Arc::into_inner(house).unwrap();
    house.close().await;
    (endings, created)
}

#[test]
fn limits_hold_for_hours_nothing_leaks_and_the_same_seed_tells_the_same_story() {
    let faults = "create.500=3%,execute.500=3%,vanish=2%,get.500=2%,files.500=1%,kill.500=5%";
    for seed in 1..=2 {
        let (one, two) = (story(busy_hours(seed, faults)), story(busy_hours(seed, faults)));
        assert_eq!(one, two, "seed {seed} told two stories");
        let answered = one.0.iter().filter(|ending| matches!(ending, Ending::Answered(..))).count();
        let left = one.0.iter().filter(|ending| matches!(ending, Ending::Left)).count();
        assert!(answered + left >= 595, "{answered} answered, {left} left");
    }
}

/// One request after the other of several callers, all of it in the cloud; how many came to nothing.
async fn surfaced(faults: &str, requests: u32, seed: u64) -> (u32, BTreeMap<&'static str, u32>) {
    let settings = Settings { faults: faults.parse().unwrap(), plan: Plan::Unlimited, ..scripted() };
    let mut cloud = Cloud::default();
    cloud.account.limits.creations_per_second = Some(50);
    let World { house, .. } = world(seed, settings, cloud);
    house.start();
    let house = Arc::new(house);
    let callers: Vec<_> = (0..6)
        .map(|user| {
            let house = house.clone();
            tokio::spawn(async move {
                let mut failed = BTreeMap::<&'static str, u32>::new();
                for number in 0..requests / 6 {
                    let source = format!("# program {user}{number}\nprint(1)\n#: print {number}; sleep 50ms");
                    match house.run(of_user(&format!("user {user}"), remote(&source))).await {
                        Ok(answer) => assert_eq!(answer.output.stdout, format!("{number}\n")),
                        Err(error) => *failed.entry(error.name()).or_default() += 1,
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
    house.fake.set_faults("".parse().unwrap());
    Arc::into_inner(house).unwrap().close().await;
    (failed.values().sum(), failed)
}

#[test]
fn of_twenty_percent_injected_errors_at_most_one_percent_is_surfaced() {
    for seed in 1..=3 {
        let faults = "create.500=10%,create.503=10%,execute.500=10%,execute.502=10%,contexts.500=10%";
        let (failed, how) = story(surfaced(faults, 1200, seed));
        assert!(failed <= 12, "{failed} of 1200: {how:?}");
    }
}

/// A network that takes up to 300 ms each way.
struct Jittered {
    inner: Through,
    chance: Mutex<rand_chacha::ChaCha8Rng>,
}

impl Jittered {
    async fn way(&self) {
        let millis = self.chance.lock().unwrap().random_range(0..300);
        sleep(Duration::from_millis(millis)).await;
    }
}

#[async_trait]
impl Transport for Jittered {
    async fn send(&self, request: Request<bytes::Bytes>) -> Result<Response<BodyStream>, TransportError> {
        self.way().await;
        let response = self.inner.send(request).await;
        self.way().await;
        response
    }
}

#[test]
fn of_a_thousand_creations_over_a_network_that_is_now_quick_and_now_slow_the_plan_refuses_none() {
    use switchtower_contract::{Backend as _, Language, Spec};
    for (plan, seed) in [(Plan::Hobby, 1), (Plan::Hobby, 2), (Plan::Pro, 3)] {
        story(async move {
            let fake = Fake::new(Settings { plan, seed, latency: Latency::E2b2026, ..scripted() });
            let transport = Jittered { inner: Through(fake.app()), chance: Mutex::new(Seed::fixed(seed).rng()) };
            let mut config = Cloud::default().account;
            config.limits.wait_timeout = 3600 * SECOND;
            config.limits.executions_per_minute = 60_000;
            config.limits.plan = match plan {
                Plan::Pro => switchtower_e2b::limits::Plan::Pro,
                _ => switchtower_e2b::limits::Plan::Hobby,
            };
            let account = super::through::account_over(transport, config, "one", |_| Liveness::Dead);
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
fn of_three_percent_silent_deletions_none_is_surfaced() {
    for seed in 1..=3 {
        let (failed, how) = story(surfaced("vanish=3%", 1200, seed));
        assert_eq!(failed, 0, "{how:?}");
    }
}

#[test]
fn a_greedy_user_takes_nothing_from_the_others() {
    story(async {
        let World { house, .. } = world(1, Settings { plan: Plan::Unlimited, ..scripted() }, {
            let mut cloud = Cloud::default();
            cloud.account.limits.creations_per_second = Some(50);
            cloud.account.limits.executions_per_minute = 60_000;
            cloud
        });
        house.start();
        let house = Arc::new(house);
        let until = Instant::now() + 600 * SECOND;
        // The first user has forty requests waiting at all times, the others two each.
        let workers: Vec<_> = (0..6usize)
            .flat_map(|user| std::iter::repeat_n(user, if user == 0 { 40 } else { 2 }))
            .map(|user| {
                let house = house.clone();
                tokio::spawn(async move {
                    let mut done = 0u32;
                    while Instant::now() < until {
                        let mut request = of_user(&format!("user {user}"), remote("print(1)\n#: sleep 500ms"));
                        request.cache = CacheMode::Bypass;
                        match house.run(request).await {
                            Ok(_) => done += 1,
                            Err(Error::Overloaded { .. }) => {}
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
        // Jain's index: 1 where all have the same.
        let (sum, squares) = (done.iter().sum::<f64>(), done.iter().map(|x| x * x).sum::<f64>());
        let jain = sum * sum / (6.0 * squares);
        assert!(jain >= 0.95, "{jain}: {done:?}");
        Arc::into_inner(house).unwrap().close().await;
    });
}
