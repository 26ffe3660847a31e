use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{advance, sleep, timeout};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn account(config: Config) -> Arc<Limits> {
    let limit = config.max_per_hour;
    Arc::new(Limits::new(&config, Budget::in_memory(limit, Arc::new(|| UNIX_EPOCH)), Egress::own()))
}

fn patient(plan: Plan) -> Config {
    Config { plan, wait_timeout: 1000 * SECOND, ..Config::default() }
}

/// Polls once: into the line, and no further.
async fn begun<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::ZERO, future).await.ok()
}

/// What a random crowd saw: when creations started, and the most under way and running.
#[derive(Default)]
struct Seen {
    starts: Mutex<Vec<(Instant, usize)>>,
    under_way: AtomicUsize,
    running: AtomicUsize,
}

impl Seen {
    fn enter(count: &AtomicUsize, most: usize) {
        assert!(count.fetch_add(1, Ordering::SeqCst) < most);
    }
}

/// Creations that arrive, fail, end and are given up at random.
async fn crowd(plan: Plan, cap: usize, seed: u64) {
    let limits = account(Config { max_concurrent: Some(cap), ..patient(plan) });
    let seen = Arc::new(Seen::default());
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut tasks = Vec::new();
    for number in 0..80 {
        sleep(Duration::from_millis(chance.random_range(0..600))).await;
        let (limits, seen) = (limits.clone(), seen.clone());
        let mut millis = |most| Duration::from_millis(chance.random_range(0..most));
        let (leaves, takes, lives) = (millis(60_000), millis(2_500), millis(20_000));
        let works = millis(4) != Duration::ZERO;
        tasks.push(tokio::spawn(async move {
            let Ok(creation) = timeout(leaves, limits.creation()).await else { return };
            let creation = creation.unwrap();
            seen.starts.lock().unwrap().push((Instant::now(), number));
            Seen::enter(&seen.under_way, plan.creations_at_once());
            Seen::enter(&seen.running, cap);
            sleep(takes).await;
            seen.under_way.fetch_sub(1, Ordering::SeqCst);
            let place = works.then(|| creation.created());
            if place.is_some() {
                sleep(lives).await;
            }
            seen.running.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let starts = seen.starts.lock().unwrap();
    let most = plan.creations_per_second() as usize;
    assert!(starts.windows(most + 1).all(|window| window[most].0 - window[0].0 >= SECOND), "seed {seed}");
    assert!(starts.is_sorted_by_key(|(_, number)| *number), "seed {seed}: overtaken");
    assert!(starts.len() > 10, "seed {seed}: {}", starts.len());
    let status = limits.status();
    assert_eq!((status.running, status.creation.waiting), (0, 0), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn no_crowd_exceeds_the_rate_the_cap_or_the_plans_creations_at_once() {
    for seed in 0..40 {
        crowd(Plan::Hobby, 3, seed).await;
        crowd(Plan::Pro, 4, seed).await;
        crowd(Plan::Pro, 100, seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_dropped_half_way_frees_all_but_the_rate() {
    let limits = account(patient(Plan::Hobby));
    let started = Instant::now();
    drop(limits.creation().await.unwrap());
    assert_eq!(limits.status().running, 0);
    let place = limits.creation().await.unwrap().created();
    assert_eq!((started.elapsed(), limits.status().running), (SECOND, 1));
    drop(place);
    assert_eq!(limits.status().running, 0);
}

#[tokio::test(start_paused = true)]
async fn waiters_who_leave_hold_up_nobody_and_spend_nothing() {
    let limits = account(Config { max_concurrent: Some(1), max_per_hour: Some(2), ..patient(Plan::Hobby) });
    let place = limits.creation().await.unwrap().created();
    {
        let (mut first, mut second) = (pin!(limits.creation()), pin!(limits.creation()));
        assert!(begun(&mut first).await.is_none() && begun(&mut second).await.is_none());
        assert_eq!(limits.status().creation.waiting, 2);
    }
    assert_eq!((limits.status().creation.waiting, limits.status().running), (0, 1));
    let behind = limits.clone();
    let behind = tokio::spawn(async move { behind.creation().await.map(|_| Instant::now()) });
    sleep(5 * SECOND).await;
    let freed = Instant::now();
    drop(place);
    assert_eq!(behind.await.unwrap(), Ok(freed));
    let spent = Limited::Budget { count: 2, limit: 2, retry_after: 3600 * SECOND };
    assert_eq!(limits.creation().await.unwrap_err(), spent);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_wakes_takes_a_place_and_nothing_else() {
    let limits = account(Config { max_concurrent: Some(2), max_per_hour: Some(0), ..Config::default() });
    let (one, _two) = (limits.place().await.unwrap(), limits.place().await.unwrap());
    let asked = Instant::now();
    let full = limits.place().await.unwrap_err();
    assert!(matches!(full, Limited::Concurrency { cap: 2, .. }));
    assert_eq!((asked.elapsed(), full.retry_after()), (30 * SECOND, 5 * SECOND));
    drop(one);
    let _one = limits.place().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_that_others_filled_lets_nothing_start_for_five_seconds() {
    let limits = account(Config { wait_timeout: 4 * SECOND, ..Config::default() });
    let started = Instant::now();
    limits.concurrency_capped();
    let refused = limits.creation().await.unwrap_err();
    assert_eq!(refused, Limited::Concurrency { cap: 20, retry_after: 5 * SECOND });
    assert_eq!(started.elapsed(), Duration::ZERO);
    advance(2 * SECOND).await;
    drop(limits.place().await.unwrap());
    assert_eq!(started.elapsed(), 5 * SECOND);
    // It holds for one that already waits for its turn, too.
    let limits = account(patient(Plan::Hobby));
    drop(limits.creation().await.unwrap());
    let mut waiting = pin!(limits.creation());
    assert!(begun(&mut waiting).await.is_none());
    limits.concurrency_capped();
    sleep(2 * SECOND).await;
    assert!(begun(&mut waiting).await.is_none());
    drop(waiting.await.unwrap());
    assert_eq!(started.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_e2b_holds_back_everything_of_its_kind_and_nothing_else() {
    let limits = account(Config::default());
    for (kind, what) in [Kind::Creation, Kind::Lifecycle, Kind::Operation, Kind::Execution].into_iter().enumerate() {
        let ask = async |what| match what {
            Kind::Creation => limits.creation().await.map(drop),
            Kind::Lifecycle => limits.lifecycle().await.map(drop),
            Kind::Operation => limits.operation().await.map(drop),
            Kind::Execution => limits.execution().await.map(drop),
        };
        let refused = Instant::now();
        limits.rate_limited(what, Some(7 * SECOND));
        limits.rate_limited(what, None);
        for other in [Kind::Lifecycle, Kind::Operation, Kind::Execution].into_iter().skip(kind) {
            if other != what {
                ask(other).await.unwrap();
            }
        }
        assert_eq!(refused.elapsed(), Duration::ZERO);
        ask(what).await.unwrap();
        assert_eq!(refused.elapsed(), 7 * SECOND);
        // What nobody waits for is refused at once, and says when to come back.
        limits.rate_limited(what, Some(60 * SECOND));
        let limited = ask(what).await.unwrap_err();
        assert_eq!(limited, Limited::Rate { what, retry_after: 60 * SECOND });
        assert_eq!(refused.elapsed(), 7 * SECOND);
    }
    limits.rate_limited(Kind::Creation, Some(Duration::MAX));
    assert_eq!(limits.creation().await.unwrap_err().retry_after(), LONGEST_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn executions_halve_after_a_refusal_and_recover() {
    let limits = account(Config { executions_per_minute: 60, ..patient(Plan::Hobby) });
    let rate = || (limits.status().execution.per_second * 60.0).round();
    assert_eq!(rate(), 60.0);
    limits.rate_limited(Kind::Execution, Some(SECOND));
    (0..200).for_each(|_| limits.succeeded(Kind::Execution));
    assert_eq!(rate(), 30.0);
    advance(11 * SECOND).await;
    assert_eq!(rate(), 36.0);
    advance(40 * SECOND).await;
    assert_eq!(rate(), 60.0);
    let started = Instant::now();
    for _ in 0..61 {
        drop(limits.execution().await.unwrap());
    }
    assert_eq!(started.elapsed(), 60 * SECOND);
    (0..200).for_each(|_| limits.failed(Kind::Operation));
    assert_eq!((limits.health(), rate()), (0, 6.0));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_is_refused_at_its_end_at_once() {
    let limits = account(Config { executions_per_minute: 60, wait_timeout: 3 * SECOND, ..Config::default() });
    drop(limits.execution().await.unwrap());
    let started = Instant::now();
    let (mut one, mut two, mut three) = (pin!(limits.execution()), pin!(limits.execution()), pin!(limits.execution()));
    assert!(begun(&mut one).await.is_none() && begun(&mut two).await.is_none() && begun(&mut three).await.is_none());
    let late = limits.execution().await.map(drop);
    assert_eq!(late, Err(Limited::Rate { what: Kind::Execution, retry_after: 4 * SECOND }));
    assert_eq!(started.elapsed(), Duration::ZERO);
    // The line itself is served in the order of asking.
    for waiter in [one.as_mut(), two.as_mut(), three.as_mut()] {
        drop(waiter.await.unwrap());
    }
    assert_eq!(started.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_overtake_one_who_has_not_looked_up_yet() {
    let limits = account(Config { executions_per_minute: 60, ..Config::default() });
    drop(limits.execution().await.unwrap());
    let (mut first, mut newcomer) = (pin!(limits.execution()), pin!(limits.execution()));
    assert!(begun(&mut first).await.is_none());
    advance(SECOND).await;
    assert!(begun(&mut newcomer).await.is_none());
    assert!(matches!(begun(&mut first).await, Some(Ok(_))));
}

/// A provider that counts arrivals: no more than `most` in any window, as strict as one can be.
struct Provider {
    most: usize,
    window: Duration,
    arrivals: Mutex<std::collections::VecDeque<Instant>>,
    refused: AtomicUsize,
}

impl Provider {
    fn new(most: usize, window: Duration) -> Arc<Self> {
        Arc::new(Self { most, window, arrivals: Mutex::default(), refused: AtomicUsize::new(0) })
    }

    fn arrive(&self) {
        let now = Instant::now();
        let mut arrivals = self.arrivals.lock().unwrap();
        while arrivals.front().is_some_and(|first| now - *first >= self.window) {
            arrivals.pop_front();
        }
        if arrivals.len() >= self.most {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        arrivals.push_back(now);
    }
}

/// A call's way there, what it takes there, and its way back: up to 300 ms each way, now and then much more.
fn journey(chance: &mut ChaCha8Rng, takes: u64) -> (Duration, Duration) {
    let mut way = || {
        let late = chance.random_ratio(1, 50);
        Duration::from_millis(chance.random_range(0..if late { 3_000 } else { 300 }))
    };
    let (there, back) = (way(), way());
    (there, back + Duration::from_millis(takes))
}

/// Makes so many creations as fast as the limits let it; how many the provider refused, and how long it took.
async fn creations(plan: Plan, count: u32, takes: u64, seed: u64) -> (usize, Duration) {
    let limits = account(Config { wait_timeout: FAR, max_concurrent: Some(1_000_000), ..patient(plan) });
    let provider = Provider::new(plan.creations_per_second() as usize, SECOND);
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..count {
        let (limits, provider, (there, back)) = (limits.clone(), provider.clone(), journey(&mut chance, takes));
        tasks.push(tokio::spawn(async move {
            let creation = limits.creation().await.unwrap();
            sleep(there).await;
            provider.arrive();
            sleep(back).await;
            drop(creation.created());
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    (provider.refused.load(Ordering::SeqCst), started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_creations_none_is_refused_however_long_each_is_on_its_way() {
    for seed in 0..5 {
        for (plan, takes, most) in [(Plan::Hobby, 0, 1_500), (Plan::Hobby, 500, 2_000), (Plan::Pro, 500, 420)] {
            let (refused, took) = creations(plan, 1_000, takes, seed).await;
            assert_eq!(refused, 0, "{plan:?}, seed {seed}");
            // What it costs: the time of each call beside its second, and no more.
            assert!(took < SECOND * most, "{plan:?}, seed {seed}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_window_of_any_rate_is_overrun_however_long_calls_are_on_their_way() {
    for (kind, most, window, count) in [
        (Kind::Lifecycle, 20_000, 30 * SECOND, 45_000),
        (Kind::Operation, 40_000, 60 * SECOND, 90_000),
        (Kind::Execution, 600, 60 * SECOND, 2_000),
    ] {
        let limits = account(Config { wait_timeout: FAR, ..Config::default() });
        let provider = Provider::new(most, window);
        let mut chance = ChaCha8Rng::seed_from_u64(most as u64);
        let (started, mut tasks) = (Instant::now(), Vec::new());
        for _ in 0..count {
            let (limits, provider, (there, back)) = (limits.clone(), provider.clone(), journey(&mut chance, 0));
            tasks.push(tokio::spawn(async move {
                let right = match kind {
                    Kind::Lifecycle => limits.lifecycle().await,
                    Kind::Operation => limits.operation().await,
                    Kind::Execution | Kind::Creation => limits.execution().await,
                };
                let right = right.unwrap();
                sleep(there).await;
                provider.arrive();
                sleep(back).await;
                drop(right);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(provider.refused.load(Ordering::SeqCst), 0, "{kind:?}");
        // Hardly slower than the rate itself.
        let rate = window * u32::try_from(count / most + 1).unwrap();
        assert!(started.elapsed() < rate + window / 4, "{kind:?}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_behind_one_address_share_what_is_counted_by_address_and_nothing_else() {
    let mut rates = EgressRates::default();
    let address = |api: &str| crate::address::Address::new(Some(api), None, None);
    let of = |egress: Egress| {
        let config = Config { wait_timeout: Duration::ZERO, executions_per_minute: 1, ..Config::default() };
        Limits::new(&config, Budget::in_memory(None, Arc::new(|| UNIX_EPOCH)), egress)
    };
    let (one, two) =
        (of(rates.towards(&address("https://api.x.org"))), of(rates.towards(&address("https://API.x.org/"))));
    let other = of(rates.towards(&address("https://api.y.org")));
    // The burst of one is the burst of both.
    let mut held = Vec::new();
    while let Ok(right) = one.lifecycle().await {
        held.push(right);
    }
    assert_eq!(held.len(), 2_000);
    assert!(matches!(two.lifecycle().await, Err(Limited::Rate { what: Kind::Lifecycle, .. })));
    assert!(other.lifecycle().await.is_ok());
    // Sandboxes are at the same place here, whatever the API is.
    one.rate_limited(Kind::Operation, Some(SECOND));
    assert!(two.operation().await.is_err() && other.operation().await.is_err());
    // What is counted by account is each one's own.
    let _running = one.execution().await.unwrap();
    assert!(one.execution().await.is_err());
    assert!(two.execution().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn status_and_settings_read_as_people_expect() {
    let config: Config = serde_json::from_str(r#"{"plan":"pro","max_concurrent":7,"wait_timeout":"5s"}"#).unwrap();
    let limits = account(config);
    let _place = limits.creation().await.unwrap().created();
    drop(limits.execution().await.unwrap());
    let status = serde_json::to_value(limits.status()).unwrap();
    assert_eq!(status["plan"], "pro");
    assert_eq!((&status["health"], &status["running"], &status["cap"]), (&100.into(), &1.into(), &7.into()));
    assert_eq!((&status["creation"]["perSecond"], &status["creation"]["available"]), (&5.0.into(), &0.into()));
    assert_eq!(status["byOperation"], serde_json::json!({"execution": 1, "sandbox_create": 1}));
    assert_eq!(status["budget"]["limit"], serde_json::Value::Null);
    let messages = [
        Limited::Rate { what: Kind::Creation, retry_after: SECOND },
        Limited::Concurrency { cap: 20, retry_after: 5 * SECOND },
        Limited::Budget { count: 50, limit: 50, retry_after: 90 * SECOND },
    ];
    assert_eq!(
        messages.map(|limited| limited.to_string()),
        [
            "no more sandbox creations for now: come back in 1s",
            "no more than 20 sandboxes at once: come back in 5s",
            "no more than 50 sandboxes an hour, and there were 50: come back in 90s",
        ]
    );
}
