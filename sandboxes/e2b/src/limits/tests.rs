use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{advance, sleep, timeout};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn account(config: Config) -> Arc<AccountLimits> {
    let limit = config.hourly_limit();
    Arc::new(AccountLimits::new(&config, Budget::in_memory(limit, Arc::new(|| UNIX_EPOCH)), Egress::unshared()))
}

fn long_wait(plan: Plan) -> Config {
    Config { plan, wait_timeout: 1000 * SECOND, ..Config::default() }
}

/// Polls once, which enters the queue.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::ZERO, future).await.ok()
}

/// When creations of a random load started, and how many were in flight and running.
#[derive(Default)]
struct Observed {
    starts: Mutex<Vec<(Instant, usize)>>,
    in_flight: AtomicUsize,
    running: AtomicUsize,
}

impl Observed {
    fn enter(count: &AtomicUsize, limit: usize) {
        assert!(count.fetch_add(1, Ordering::SeqCst) < limit);
    }
}

/// Runs creations that arrive, fail, end and are abandoned at random.
async fn random_load(plan: Plan, cap: usize, seed: u64) {
    let limits = account(Config { max_sandboxes: Some(cap), ..long_wait(plan) });
    let seen = Arc::new(Observed::default());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut tasks = Vec::new();
    for number in 0..80 {
        sleep(Duration::from_millis(random.random_range(0..600))).await;
        let (limits, seen) = (limits.clone(), seen.clone());
        let mut millis = |limit| Duration::from_millis(random.random_range(0..limit));
        let (leaves, takes, lives) = (millis(60_000), millis(2_500), millis(20_000));
        let works = millis(4) != Duration::ZERO;
        tasks.push(tokio::spawn(async move {
            let Ok(creation) = timeout(leaves, limits.creation()).await else { return };
            let creation = creation.unwrap();
            seen.starts.lock().unwrap().push((Instant::now(), number));
            Observed::enter(&seen.in_flight, plan.max_creations_in_flight());
            Observed::enter(&seen.running, cap);
            sleep(takes).await;
            seen.in_flight.fetch_sub(1, Ordering::SeqCst);
            let sandbox = works.then(|| creation.created());
            if sandbox.is_some() {
                sleep(lives).await;
            }
            seen.running.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let starts = seen.starts.lock().unwrap();
    let limit = plan.creations_per_second() as usize;
    assert!(starts.windows(limit + 1).all(|window| window[limit].0 - window[0].0 >= SECOND), "seed {seed}");
    assert!(starts.is_sorted_by_key(|(_, number)| *number), "seed {seed}: overtaken");
    assert!(starts.len() > 10, "seed {seed}: {}", starts.len());
    let status = limits.status();
    assert_eq!((status.running, status.creation.waiting), (0, 0), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn no_load_exceeds_the_rate_the_cap_or_the_creations_in_flight() {
    for seed in 0..40 {
        random_load(Plan::Hobby, 3, seed).await;
        random_load(Plan::Pro, 4, seed).await;
        random_load(Plan::Pro, 100, seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_creation_frees_everything_but_the_rate() {
    let limits = account(long_wait(Plan::Hobby));
    let started = Instant::now();
    drop(limits.creation().await.unwrap());
    assert_eq!(limits.status().running, 0);
    let sandbox = limits.creation().await.unwrap().created();
    assert_eq!((started.elapsed(), limits.status().running), (SECOND, 1));
    drop(sandbox);
    assert_eq!(limits.status().running, 0);
}

#[tokio::test(start_paused = true)]
async fn callers_that_leave_the_queue_delay_nobody_and_spend_nothing() {
    let limits = account(Config {
        max_sandboxes: Some(1),
        max_creations_per_hour: Some(CreationBudget::Number(2)),
        ..long_wait(Plan::Hobby)
    });
    let sandbox = limits.creation().await.unwrap().created();
    {
        let (mut first, mut second) = (pin!(limits.creation()), pin!(limits.creation()));
        assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
        assert_eq!(limits.status().creation.waiting, 2);
    }
    assert_eq!((limits.status().creation.waiting, limits.status().running), (0, 1));
    let behind = limits.clone();
    let behind = tokio::spawn(async move { behind.creation().await.map(|_| Instant::now()) });
    sleep(5 * SECOND).await;
    let freed = Instant::now();
    drop(sandbox);
    assert_eq!(behind.await.unwrap(), Ok(freed));
    let spent = LimitExceeded::Budget { count: 2, limit: 2, retry_after: 3600 * SECOND };
    assert_eq!(limits.creation().await.unwrap_err(), spent);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_sandbox_counts_against_the_cap_and_nothing_else() {
    let limits = account(Config {
        max_sandboxes: Some(2),
        max_creations_per_hour: Some(CreationBudget::Number(0)),
        ..Config::default()
    });
    let (one, _two) = (limits.sandbox().await.unwrap(), limits.sandbox().await.unwrap());
    let started = Instant::now();
    let full = limits.sandbox().await.unwrap_err();
    assert!(matches!(full, LimitExceeded::Concurrency { cap: 2, .. }));
    assert_eq!((started.elapsed(), full.retry_after()), (30 * SECOND, 5 * SECOND));
    drop(one);
    let _one = limits.sandbox().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_that_others_have_filled_starts_no_sandbox_for_five_seconds() {
    let limits = account(Config { wait_timeout: 4 * SECOND, ..Config::default() });
    let started = Instant::now();
    limits.concurrency_capped();
    let refused = limits.creation().await.unwrap_err();
    assert_eq!(refused, LimitExceeded::Concurrency { cap: 20, retry_after: 5 * SECOND });
    assert_eq!(started.elapsed(), Duration::ZERO);
    advance(2 * SECOND).await;
    drop(limits.sandbox().await.unwrap());
    assert_eq!(started.elapsed(), 5 * SECOND);
    // This also delays a caller that is already waiting.
    let limits = account(long_wait(Plan::Hobby));
    drop(limits.creation().await.unwrap());
    let mut waiting = pin!(limits.creation());
    assert!(poll_once(&mut waiting).await.is_none());
    limits.concurrency_capped();
    sleep(2 * SECOND).await;
    assert!(poll_once(&mut waiting).await.is_none());
    drop(waiting.await.unwrap());
    assert_eq!(started.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_e2b_delays_every_call_of_its_class_and_no_other() {
    let limits = account(Config::default());
    for (kind, class) in
        [CallClass::Creation, CallClass::Lifecycle, CallClass::Operation, CallClass::Execution].into_iter().enumerate()
    {
        let ask = async |class| match class {
            CallClass::Creation => limits.creation().await.map(drop),
            CallClass::Lifecycle => limits.lifecycle().await.map(drop),
            CallClass::Operation => limits.operation().await.map(drop),
            CallClass::Execution => limits.execution().await.map(drop),
        };
        let refused = Instant::now();
        limits.rate_limited(class, Some(7 * SECOND));
        limits.rate_limited(class, None);
        for other in [CallClass::Lifecycle, CallClass::Operation, CallClass::Execution].into_iter().skip(kind) {
            if other != class {
                ask(other).await.unwrap();
            }
        }
        assert_eq!(refused.elapsed(), Duration::ZERO);
        ask(class).await.unwrap();
        assert_eq!(refused.elapsed(), 7 * SECOND);
        // A wait beyond the time-out is refused at once, with the retry time.
        limits.rate_limited(class, Some(60 * SECOND));
        let limited = ask(class).await.unwrap_err();
        assert_eq!(limited, LimitExceeded::Rate { class, retry_after: 60 * SECOND });
        assert_eq!(refused.elapsed(), 7 * SECOND);
    }
    limits.rate_limited(CallClass::Creation, Some(Duration::MAX));
    assert_eq!(limits.creation().await.unwrap_err().retry_after(), MAX_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_executions_halves_after_a_refusal_and_recovers() {
    let limits = account(Config { executions_per_minute: 60, ..long_wait(Plan::Hobby) });
    let rate = || (limits.status().execution.per_second * 60.0).round();
    assert_eq!(rate(), 60.0);
    limits.rate_limited(CallClass::Execution, Some(SECOND));
    (0..200).for_each(|_| limits.succeeded(CallClass::Execution));
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
    (0..200).for_each(|_| limits.failed(CallClass::Operation));
    assert_eq!((limits.health(), rate()), (0, 6.0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_behind_too_long_a_queue_is_refused_at_once() {
    let limits = account(Config { executions_per_minute: 60, wait_timeout: 3 * SECOND, ..Config::default() });
    drop(limits.execution().await.unwrap());
    let started = Instant::now();
    let (mut one, mut two, mut three) = (pin!(limits.execution()), pin!(limits.execution()), pin!(limits.execution()));
    assert!(
        poll_once(&mut one).await.is_none()
            && poll_once(&mut two).await.is_none()
            && poll_once(&mut three).await.is_none()
    );
    let late = limits.execution().await.map(drop);
    assert_eq!(late, Err(LimitExceeded::Rate { class: CallClass::Execution, retry_after: 4 * SECOND }));
    assert_eq!(started.elapsed(), Duration::ZERO);
    // The queue is served in order.
    for waiter in [one.as_mut(), two.as_mut(), three.as_mut()] {
        drop(waiter.await.unwrap());
    }
    assert_eq!(started.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_later_call_does_not_overtake_an_earlier_one_that_was_not_polled_yet() {
    let limits = account(Config { executions_per_minute: 60, ..Config::default() });
    drop(limits.execution().await.unwrap());
    let (mut first, mut newcomer) = (pin!(limits.execution()), pin!(limits.execution()));
    assert!(poll_once(&mut first).await.is_none());
    advance(SECOND).await;
    assert!(poll_once(&mut newcomer).await.is_none());
    assert!(matches!(poll_once(&mut first).await, Some(Ok(_))));
}

/// A provider that counts arrivals, as strictly as possible: at most `limit` in any window.
struct Provider {
    limit: usize,
    window: Duration,
    arrivals: Mutex<std::collections::VecDeque<Instant>>,
    refused: AtomicUsize,
}

impl Provider {
    fn new(limit: usize, window: Duration) -> Arc<Self> {
        Arc::new(Self { limit, window, arrivals: Mutex::default(), refused: AtomicUsize::new(0) })
    }

    fn arrive(&self) {
        let now = Instant::now();
        let mut arrivals = self.arrivals.lock().unwrap();
        while arrivals.front().is_some_and(|first| now - *first >= self.window) {
            arrivals.pop_front();
        }
        if arrivals.len() >= self.limit {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        arrivals.push_back(now);
    }
}

/// Returns the time until a call arrives, and the time from then until its response: up to 300 ms of transport each,
/// sometimes much more.
fn latencies(random: &mut ChaCha8Rng, takes: u64) -> (Duration, Duration) {
    let mut way = || {
        let late = random.random_ratio(1, 50);
        Duration::from_millis(random.random_range(0..if late { 3_000 } else { 300 }))
    };
    let (there, back) = (way(), way());
    (there, back + Duration::from_millis(takes))
}

/// Makes so many creations as fast as the limits allow. Returns how many the provider refused, and how long they took.
async fn creations(plan: Plan, count: u32, takes: u64, seed: u64) -> (usize, Duration) {
    let limits = account(Config { wait_timeout: MAX_WAIT, max_sandboxes: Some(1_000_000), ..long_wait(plan) });
    let provider = Provider::new(plan.creations_per_second() as usize, SECOND);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..count {
        let (limits, provider, (there, back)) = (limits.clone(), provider.clone(), latencies(&mut random, takes));
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
async fn of_a_thousand_creations_none_is_refused_however_long_each_is_in_flight() {
    for seed in 0..5 {
        for (plan, takes, limit) in [(Plan::Hobby, 0, 1_500), (Plan::Hobby, 500, 2_000), (Plan::Pro, 500, 420)] {
            let (refused, took) = creations(plan, 1_000, takes, seed).await;
            assert_eq!(refused, 0, "{plan:?}, seed {seed}");
            // Each creation costs the time of its call beside its second, and no more.
            assert!(took < SECOND * limit, "{plan:?}, seed {seed}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_window_of_any_rate_is_exceeded_however_long_calls_are_in_flight() {
    for (kind, limit, window, count) in [
        (CallClass::Lifecycle, 20_000, 30 * SECOND, 45_000),
        (CallClass::Operation, 40_000, 60 * SECOND, 90_000),
        (CallClass::Execution, 600, 60 * SECOND, 2_000),
    ] {
        let limits = account(Config { wait_timeout: MAX_WAIT, ..Config::default() });
        let provider = Provider::new(limit, window);
        let mut random = ChaCha8Rng::seed_from_u64(limit as u64);
        let (started, mut tasks) = (Instant::now(), Vec::new());
        for _ in 0..count {
            let (limits, provider, (there, back)) = (limits.clone(), provider.clone(), latencies(&mut random, 0));
            tasks.push(tokio::spawn(async move {
                let reservation = match kind {
                    CallClass::Lifecycle => limits.lifecycle().await,
                    CallClass::Operation => limits.operation().await,
                    CallClass::Execution | CallClass::Creation => limits.execution().await,
                };
                let reservation = reservation.unwrap();
                sleep(there).await;
                provider.arrive();
                sleep(back).await;
                drop(reservation);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(provider.refused.load(Ordering::SeqCst), 0, "{kind:?}");
        // Only slightly slower than the rate allows.
        let rate = window * u32::try_from(count / limit + 1).unwrap();
        assert!(started.elapsed() < rate + window / 4, "{kind:?}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_behind_one_address_share_the_rates_by_address_and_no_others() {
    let mut rates = EgressRates::default();
    let address = |api: &str| crate::address::Address::new(Some(api), None, None);
    let of = |egress: Egress| {
        let config = Config { wait_timeout: Duration::ZERO, executions_per_minute: 1, ..Config::default() };
        AccountLimits::new(&config, Budget::in_memory(config.hourly_limit(), Arc::new(|| UNIX_EPOCH)), egress)
    };
    let (one, two) =
        (of(rates.towards(&address("https://api.x.org"))), of(rates.towards(&address("https://API.x.org/"))));
    let other = of(rates.towards(&address("https://api.y.org")));
    // Both accounts share one burst.
    let mut reservations = Vec::new();
    while let Ok(reservation) = one.lifecycle().await {
        reservations.push(reservation);
    }
    assert_eq!(reservations.len(), 2_000);
    assert!(matches!(two.lifecycle().await, Err(LimitExceeded::Rate { class: CallClass::Lifecycle, .. })));
    assert!(other.lifecycle().await.is_ok());
    // The sandboxes of all these APIs have the same address.
    one.rate_limited(CallClass::Operation, Some(SECOND));
    assert!(two.operation().await.is_err() && other.operation().await.is_err());
    // Rates by account are not shared.
    let _running = one.execution().await.unwrap();
    assert!(one.execution().await.is_err());
    assert!(two.execution().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn status_and_settings_have_the_documented_keys() {
    let config: Config = serde_json::from_str(r#"{"plan":"pro","max_sandboxes":7,"wait_timeout":"5s"}"#).unwrap();
    let limits = account(config);
    let _place = limits.creation().await.unwrap().created();
    drop(limits.execution().await.unwrap());
    let status = serde_json::to_value(limits.status()).unwrap();
    assert_eq!(status["plan"], "pro");
    assert_eq!((&status["health"], &status["running"], &status["cap"]), (&100.into(), &1.into(), &7.into()));
    assert_eq!((&status["creation"]["perSecond"], &status["creation"]["available"]), (&5.0.into(), &0.into()));
    assert_eq!(status["byOperation"], serde_json::json!({"execution": 1, "sandbox_create": 1}));
    assert_eq!(status["budget"]["limit"], 100);
    let messages = [
        LimitExceeded::Rate { class: CallClass::Creation, retry_after: SECOND },
        LimitExceeded::Concurrency { cap: 20, retry_after: 5 * SECOND },
        LimitExceeded::Budget { count: 50, limit: 50, retry_after: 90 * SECOND },
    ];
    assert_eq!(
        messages.map(|limited| limited.to_string()),
        [
            "rate limit of sandbox creations reached; retry after 1s",
            "limit of 20 concurrent sandboxes reached; retry after 5s",
            "hourly budget of 50 sandboxes used up, 50 created; retry after 90s",
        ]
    );
}
