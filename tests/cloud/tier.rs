//! The promises of the cloud tier, one test each, on a paused clock.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use switchtower::config::Cloud;
use switchtower_contract::{Event, Events, Exit, NetworkPolicy};
use switchtower_core::cache::{CacheStatus, Stored};
use switchtower_core::error::{Error, RequestError};
use switchtower_core::request::{Caller, Priority};
use switchtower_core::tier::breaker::BreakerState;
use switchtower_core::tier::pool;
use switchtower_e2b::Liveness;
use switchtower_e2b::limits::CreationBudget;
use switchtower_fake_e2b::{Plan, Rates, Settings, Template};
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt as _;

use super::harness::{TestHarness, attempts_of, remote, request, scripted};

const SECOND: Duration = Duration::from_secs(1);

fn faulty(faults: &str) -> Settings {
    Settings { faults: faults.parse().unwrap(), plan: Plan::Unlimited, ..scripted() }
}

/// Returns settings whose limits no test reaches, with a pool that is filled from the start.
fn high_limits() -> Cloud {
    let mut cloud = Cloud::default();
    let pool = cloud.tier.pool.get_or_insert_default();
    (pool.min, pool.follow_demand) = (2, false);
    cloud.account.limits.creations_per_second = Some(100);
    cloud.account.limits.executions_per_minute = 60_000;
    cloud
}

/// Returns a program without side effects that prints this.
fn harmless(text: &str) -> String {
    format!("print(1 + 1)\n#: print {text}")
}

/// Returns a program with side effects, which must not run twice.
fn effectful(text: &str) -> String {
    format!("import requests\nrequests.post('https://example.org')\n#: print {text}")
}

#[tokio::test(start_paused = true)]
async fn a_program_that_turns_out_to_need_the_cloud_moves_once_and_no_output_arrives_twice() {
    let harness = TestHarness::new(scripted(), high_limits());
    // The need shows only after output was sent.
    let source = "__import__('pan' + 'das')\n#: print a; sleep 400ms; need module pandas; print b";
    let (events, mut from) = Events::channel();
    let (answer, received) = tokio::join!(harness.router.execute(request(source), Some(events)), async {
        let mut received = String::new();
        while let Some(event) = from.recv().await {
            match event {
                Event::Stdout(text) => received.push_str(&text),
                other => panic!("{other:?}"),
            }
        }
        received
    });
    let answer = answer.unwrap();
    assert_eq!(attempts_of(&answer), ["wasm unsupported", "e2b finished"]);
    assert_eq!((received.as_str(), answer.output.stdout.as_str()), ("a\nb\n", "a\nb\n"));
    assert!(answer.outcome.usage.price.dollars() > 0.0);
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_costs_one_call_and_the_answer_says_how_to_fix_it() {
    let harness = TestHarness::new(Settings { key: Some("another".to_owned()), ..scripted() }, high_limits());
    let Err(RequestError { error: Error::Unavailable { reason, .. }, attempts }) = harness.remote(&harmless("a")).await
    else {
        panic!("no answer")
    };
    assert!(reason.contains("check that E2B_API_KEY"), "{reason}");
    assert_eq!((attempts.len(), attempts[0].outcome.as_str()), (1, "refused"));
    assert_eq!(harness.fake.counts().api_calls, 1);
    assert_eq!(harness.cloud().breaker().unwrap().status().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_template_that_does_not_exist_is_named() {
    let templates = [("prod-all".to_owned(), Template { tag: "a".to_owned(), modules: None })].into();
    let harness = TestHarness::new(Settings { templates, ..scripted() }, high_limits());
    let Err(error) = harness.remote(&harmless("a")).await else { panic!("no answer") };
    assert!(error.to_string().contains("template 'code-interpreter-v1' not found"), "{error}");
    assert!(error.to_string().contains("E2B_TEMPLATE_ID"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_waited_out_and_the_record_has_both_waits() {
    let rates = Rates { executions_per_minute: Some(12), burst: 1, send_retry_after: true };
    let harness = TestHarness::new(Settings { rates, plan: Plan::Unlimited, ..scripted() }, high_limits());
    let started = Instant::now();
    let answer = harness.remote(&harmless("a")).await.unwrap();
    let attempt = &answer.attempts[0];
    let attempted = attempts_of(&answer);
    assert_eq!((attempted[0].as_str(), attempted.last().unwrap().as_str()), ("e2b refused", "e2b finished"));
    let (retry_after, paused) = (attempt.retry_after.unwrap(), attempt.paused.unwrap());
    assert!(retry_after >= SECOND && paused >= retry_after, "{retry_after:?} {paused:?}");
    assert!(started.elapsed() >= retry_after);
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_without_a_retry_time_costs_half_a_minute() {
    let rates = Rates { send_retry_after: false, ..Rates::default() };
    let harness = TestHarness::new(Settings { rates, ..faulty("execute.429=100%x2") }, high_limits());
    let request = switchtower_core::request::Request { timeout: 200 * SECOND, ..remote(&harmless("a")) };
    let answer = harness.run(request).await.unwrap();
    let waits: Vec<_> = answer.attempts.iter().filter_map(|attempt| attempt.retry_after).collect();
    assert!(waits.iter().all(|wait| *wait == 30 * SECOND) && !waits.is_empty(), "{:?}", answer.attempts);
    harness.close().await;

    // The sandbox is kept meanwhile.
    let mut cloud = high_limits();
    cloud.tier.pool = Some(pool::Config { target: 1, min: 1, max: 1, ..pool::Config::default() });
    let harness = TestHarness::new(faulty(""), cloud);
    harness.start();
    sleep(SECOND).await;
    harness.fake.set_faults("execute.429=100%x1".parse().unwrap());
    let request = switchtower_core::request::Request { timeout: 200 * SECOND, ..remote(&harmless("a")) };
    assert_eq!(attempts_of(&harness.run(request).await.unwrap()), ["e2b refused", "e2b finished"]);
    assert_eq!(harness.fake.counts().created, 1);
    harness.close().await;

    // If the time limit is shorter than that wait, the refusal is immediate.
    let rates = Rates { send_retry_after: false, ..Rates::default() };
    let harness = TestHarness::new(Settings { rates, ..faulty("execute.429=100%x1") }, high_limits());
    let started = Instant::now();
    let Err(RequestError { error: Error::Unavailable { retry_after, .. }, .. }) = harness.remote(&harmless("b")).await
    else {
        panic!("it ran")
    };
    assert_eq!((retry_after, started.elapsed() < SECOND), (Some(30 * SECOND), true));
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn two_failures_before_a_success_are_three_attempts_with_growing_pauses() {
    let mut cloud = high_limits();
    cloud.tier.pool = None;
    let harness = TestHarness::new(faulty("create.500=100%x2"), cloud);
    let answer = harness.remote(&harmless("a")).await.unwrap();
    assert_eq!(attempts_of(&answer), ["e2b unavailable", "e2b unavailable", "e2b finished"]);
    let paused: Vec<_> = answer.attempts.iter().filter_map(|attempt| attempt.paused).collect();
    assert!(paused[0] <= SECOND && paused[1] <= 2 * SECOND, "{paused:?}");
    harness.close().await;
}

/// The metric events of the thread of one test. The subscriber is that of the whole process: with a subscriber of one thread, an
/// event that another thread emits first is disabled for all threads.
struct ThreadLog;

thread_local! {
    static LINES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl std::io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl ThreadLog {
    /// Records events from now on. Call it once in the process.
    fn start() {
        let wanted = tracing_subscriber::EnvFilter::new("off,e2b_metrics=info");
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(wanted);
        tracing::subscriber::set_global_default(subscriber.with_writer(|| ThreadLog).finish()).unwrap();
    }

    /// Returns the creations that were logged since the last call: the event and the number of the attempt.
    fn take_creations() -> Vec<(String, u64)> {
        let text = String::from_utf8(LINES.take()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let creations = lines.filter(|line| line["event"].as_str().is_some_and(|event| event.contains("create")));
        creations.map(|line| (line["event"].as_str().unwrap().to_owned(), line["attempt"].as_u64().unwrap())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_creations_have_the_number_of_the_attempt() {
    ThreadLog::start();
    let expected = [("sandbox_create_failure", 1), ("sandbox_create_failure", 2), ("sandbox_create_success", 3)];
    let expected = expected.map(|(event, attempt)| (event.to_owned(), attempt));
    // Opened for the request, by the tier or by its pool.
    for pooled in [false, true] {
        let mut cloud = high_limits();
        cloud.tier.pool = pooled.then(|| pool::Config { min: 0, target: 0, ..pool::Config::default() });
        let harness = TestHarness::new(faulty("create.500=100%x2"), cloud);
        ThreadLog::take_creations();
        assert!(harness.remote(&harmless("a")).await.is_ok());
        assert_eq!(ThreadLog::take_creations(), expected, "pooled: {pooled}");
        harness.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_end_was_not_confirmed_counts_until_the_next_sweep_ends_it() {
    use switchtower_contract::{Backend as _, Language, Spec};
    let fake = switchtower_fake_e2b::Fake::new(faulty("kill.500=100%"));
    let account = super::in_process::account(&fake, high_limits().account);
    drop(account.open(&Spec::new(Language::Python)).await.unwrap());
    assert!(!account.close(60 * SECOND).await, "one may remain");
    assert_eq!((account.status().unconfirmed, account.status().limits.running, fake.running().len()), (1, 1, 1));
    fake.set_faults("".parse().unwrap());
    assert_eq!(account.sweep().await.unwrap(), 1);
    assert_eq!((account.status().unconfirmed, account.status().limits.running, fake.running().len()), (0, 0, 0));
    // A sandbox in use is not swept.
    let held = account.open(&Spec::new(Language::Python)).await.unwrap();
    assert_eq!(account.sweep().await.unwrap(), 0);
    drop(held);
    assert!(account.close(60 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_paused_sandbox_is_renewed_before_others_may_take_it_for_an_orphan() {
    use switchtower_contract::{Backend as _, Language, Maintenance, Spec};
    let fake = switchtower_fake_e2b::Fake::new(faulty(""));
    let account = super::in_process::account(&fake, high_limits().account);
    let other = super::in_process::account_of_process(&fake, high_limits().account, "other", |_| Liveness::Unknown);
    let mut sandbox = account.open(&Spec::new(Language::Python)).await.unwrap();
    sandbox.maintain(Maintenance::Asleep).await.unwrap();
    for hours in 1..=30 {
        sleep(3600 * SECOND).await;
        account.renew_leases().await;
        let resumed = u64::from(hours >= 12) + u64::from(hours >= 24);
        assert_eq!(fake.counts().resumed, resumed, "after {hours} hours");
        assert_eq!(account.status().limits.running, 0, "it is paused again");
    }
    // Another process that cannot see this one ends the sandbox only a day after its last renewal.
    assert_eq!(other.sweep().await.unwrap(), 0);
    sleep(25 * 3600 * SECOND).await;
    assert_eq!(other.sweep().await.unwrap(), 1);
    drop(sandbox);
    account.close(60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_the_breaker_then_refusals_are_instant_and_local_work_continues() {
    let harness = TestHarness::new(faulty("create.500=100%"), high_limits());
    for _ in 0..5 {
        assert!(harness.remote(&harmless("a")).await.is_err());
    }
    let breaker = harness.cloud().breaker().unwrap();
    assert_eq!((breaker.status().state, breaker.status().failures), (BreakerState::Open, 5));
    let (calls, started) = (harness.fake.counts().api_calls, Instant::now());
    let Err(RequestError { error: Error::Unavailable { retry_after, reason }, attempts }) =
        harness.remote(&harmless("a")).await
    else {
        panic!("no answer")
    };
    assert!(started.elapsed() < Duration::from_millis(5));
    assert!(retry_after.unwrap() > 50 * SECOND && reason.contains("Circuit breaker is OPEN"), "{reason}");
    assert_eq!(attempts[0].outcome, "open");
    assert_eq!(harness.fake.counts().api_calls, calls, "E2B is not called");
    assert_eq!(harness.run(request(&harmless("local"))).await.unwrap().tier.as_str(), "wasm");

    // It recovers after a minute with one probe.
    harness.fake.set_faults("".parse().unwrap());
    advance(60 * SECOND).await;
    assert_eq!(harness.remote(&harmless("b")).await.unwrap().output.stdout, "b\n");
    assert_eq!(breaker.status().state, BreakerState::Closed);
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_can_be_reset() {
    let harness = TestHarness::new(faulty("create.500=100%x24"), high_limits());
    for _ in 0..5 {
        assert!(harness.remote(&harmless("a")).await.is_err());
    }
    harness.fake.set_faults("".parse().unwrap());
    harness.cloud().breaker().unwrap().reset();
    assert!(harness.remote(&harmless("a")).await.is_ok());
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_was_deleted_elsewhere_fails_no_request() {
    let harness = TestHarness::new(faulty("vanish=100%x2"), high_limits());
    let answer = harness.remote(&harmless("a")).await.unwrap();
    assert_eq!(answer.output.stdout, "a\n");
    // The program was not started, so one with side effects is repeated too.
    let harness = TestHarness::new(faulty("vanish=100%x2"), high_limits());
    assert_eq!(harness.remote(&effectful("sent")).await.unwrap().output.stdout, "sent\n");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_may_have_run_runs_again_only_if_it_has_no_side_effects() {
    // The first executions are Switchtower's own: the pool is filled before the fault is set.
    let harness = TestHarness::new(scripted(), high_limits());
    harness.start();
    sleep(5 * SECOND).await;
    harness.fake.set_faults("execute.cut=100%x1".parse().unwrap());
    let answer = harness.remote(&harmless("a")).await.unwrap();
    assert_eq!(attempts_of(&answer), ["e2b lost", "e2b finished"]);
    harness.fake.set_faults("execute.cut=100%x1".parse().unwrap());
    let Err(RequestError { error, .. }) = harness.remote(&effectful("sent")).await else { panic!("it was run again") };
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_context_that_hangs_is_detected_and_not_reused() {
    let harness = TestHarness::new(scripted(), high_limits());
    harness.start();
    sleep(5 * SECOND).await;
    // A caller leaves; its sandbox would hang from then on, and is not reused.
    harness.fake.set_faults("wedge=100%".parse().unwrap());
    assert!(tokio::time::timeout(SECOND, harness.remote("print(1)\n#: sleep 20s")).await.is_err());
    for n in 0..4 {
        assert_eq!(harness.remote(&harmless(&n.to_string())).await.unwrap().output.stdout, format!("{n}\n"));
    }
    harness.fake.set_faults("".parse().unwrap());
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_although_the_stream_sends_keepalives() {
    let harness = TestHarness::new(scripted(), high_limits());
    let slow = remote("print(1)\n#: print begun; sleep 100s");
    let started = Instant::now();
    let answer = harness.run(switchtower_core::request::Request { timeout: 12 * SECOND, ..slow }).await.unwrap();
    assert_eq!((answer.outcome.exit, answer.output.stdout.as_str()), (Exit::TimedOut, "begun\n"));
    assert!(started.elapsed() < 15 * SECOND);
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_with_another_build_tag_is_never_used() {
    let templates = [("prod".to_owned(), Template { tag: "v2".to_owned(), modules: None })].into();
    let mut cloud = high_limits();
    (cloud.account.template, cloud.account.build_tag) = (Some("prod".to_owned()), Some("v2".to_owned()));
    // During a rollout, the first few sandboxes are old.
    let settings = Settings { templates, ..faulty("tag.wrong=100%x3") };
    let harness = TestHarness::new(settings.clone(), cloud);
    for n in 0..10 {
        assert!(harness.remote(&harmless(&n.to_string())).await.is_ok());
    }
    let status = harness.account.status();
    assert_eq!((status.wrong_tags, status.tag.as_deref()), (3, Some("v2")));
    harness.close().await;

    // If no sandbox has the tag, a request buys one of them and says what to change.
    let mut cloud = high_limits();
    (cloud.account.template, cloud.account.build_tag) = (Some("prod".to_owned()), Some("v3".to_owned()));
    let harness = TestHarness::new(settings, cloud);
    for n in 0..6 {
        let error = harness.remote(&harmless(&n.to_string())).await.unwrap_err();
        let advised = error.to_string().contains("build_tag");
        assert!(n == 0 || advised, "{error}");
    }
    // The pool may have opened some for requests that waited.
    let bought = harness.account.status().wrong_tags;
    assert!(bought <= 4 + 5 + 3, "{bought}");
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_module_that_the_template_does_not_have_is_refused_before_anything_is_billed() {
    let mut cloud = high_limits();
    cloud.account.build_tag = Some("own".to_owned());
    let harness = TestHarness::new(scripted(), cloud);
    let Err(error) = harness.remote("import tensorflow as tf\nprint(tf.__version__)").await else {
        panic!("no answer")
    };
    assert!(error.to_string().contains("tier e2b does not provide module tensorflow"), "{error}");
    assert_eq!(harness.fake.counts().api_calls, 0);
    // A module that the program installs itself is not refused.
    let installs = harness.router.explain(&remote("!pip install tensorflow\nimport tensorflow as tf\nprint(tf)"));
    assert!(installs.decision.is_ok());
    assert!(harness.router.explain(&remote("import pandas as pd\nprint(pd)")).decision.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_deterministic_results_are_stored_and_only_of_a_tagged_template() {
    let mut cloud = high_limits();
    (cloud.account.template, cloud.account.build_tag) = (Some("prod:v2".to_owned()), Some("v2".to_owned()));
    let harness = TestHarness::new(faulty(""), cloud);
    let sources =
        ["print(1 + 1)\n#: print 2", "import time\nprint(time.time())\n#: clock", "print({1, 2} | {3})\n#: print x"];
    let untagged = TestHarness::new(faulty(""), high_limits());
    for _ in 0..4 {
        assert_eq!(untagged.remote(sources[0]).await.unwrap().cache, CacheStatus::Miss);
    }
    // Before the first sandbox exists, its processors are not known.
    assert_eq!(harness.remote(sources[0]).await.unwrap().stored, Stored::No);
    for (source, kept) in sources.into_iter().zip([true, false, false]) {
        let first = harness.remote(source).await.unwrap();
        assert_eq!((first.cache, first.stored == Stored::Candidate), (CacheStatus::Miss, kept), "{source}");
        // Two runs in different kernels come before the first hit.
        let second = harness.remote(source).await.unwrap();
        assert_eq!((second.cache, second.pure), (CacheStatus::Miss, kept), "{source}");
        assert_eq!(harness.remote(source).await.unwrap().cache == CacheStatus::Hit, kept, "{source}");
    }
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn sandboxes_of_an_ended_process_are_ended_and_those_of_a_running_one_are_not() {
    use super::in_process::account_of_process;
    let fake = switchtower_fake_e2b::Fake::new(Settings { plan: Plan::Unlimited, ..scripted() });
    let config = || high_limits().account;
    let liveness: fn(&str) -> Liveness =
        |process| if process == "neighbour" { Liveness::Alive } else { Liveness::Dead };
    let (dead, neighbour) = (
        account_of_process(&fake, config(), "dead", liveness),
        account_of_process(&fake, config(), "neighbour", liveness),
    );
    let spec = switchtower_contract::Spec::new(switchtower_contract::Language::Python);
    let mut left = Vec::new();
    for _ in 0..3 {
        left.push(switchtower_contract::Backend::open(&dead, &spec).await.unwrap());
    }
    let kept = switchtower_contract::Backend::open(&neighbour, &spec).await.unwrap();
    // As when the process is killed: nothing is dropped.
    left.into_iter().for_each(std::mem::forget);
    let next = account_of_process(&fake, config(), "next", liveness);
    assert_eq!(next.sweep().await.unwrap(), 3);
    assert_eq!(fake.running().len(), 1);
    drop(kept);
    neighbour.close(60 * SECOND).await;
    assert_eq!(fake.running().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_hourly_budget_refuses_with_its_retry_time() {
    let mut cloud = high_limits();
    cloud.account.limits.max_creations_per_hour = Some(CreationBudget::Number(4));
    cloud.tier.pool = None;
    let harness = TestHarness::new(faulty(""), cloud);
    for _ in 0..4 {
        assert!(harness.remote(&harmless("a")).await.is_ok());
        sleep(SECOND).await;
    }
    let ended = harness.remote(&harmless("a")).await;
    let Err(RequestError { error: Error::Unavailable { retry_after: Some(after), reason }, .. }) = ended else {
        panic!("{ended:?}")
    };
    assert!(after > 3500 * SECOND && reason.contains("hour"), "{reason} {after:?}");
    let budget = serde_json::to_value(harness.account.limits().budget().check()).unwrap();
    assert_eq!(budget, json!({ "count": 4, "limit": 4, "exceeded": true, "remaining": 0 }));
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn idle_sandboxes_are_paused_cost_nothing_and_are_resumed_for_the_next_program() {
    let harness = TestHarness::new(scripted(), high_limits());
    harness.start();
    sleep(400 * SECOND).await;
    assert!(harness.fake.counts().paused >= 2, "{:?}", harness.fake.counts());
    let asleep = harness.account.status();
    assert!(asleep.sandboxes.iter().all(|live| live.asleep) && !asleep.sandboxes.is_empty());
    assert_eq!(asleep.limits.running, 0, "paused sandboxes do not count");
    sleep(3000 * SECOND).await;
    assert_eq!(harness.account.status().cost, asleep.cost);
    let created = harness.fake.counts().created;
    assert_eq!(harness.remote(&harmless("a")).await.unwrap().output.stdout, "a\n");
    assert!(harness.fake.counts().resumed >= 1);
    assert!(harness.fake.counts().created <= created + 1);
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_does_not_make_the_next_one_in_its_sandbox_hang() {
    use switchtower_contract::{Backend, Language, Limits, Program, Spec};
    let fake = switchtower_fake_e2b::Fake::new(faulty(""));
    let account = super::in_process::account(&fake, high_limits().account);
    let mut sandbox = account.open(&Spec::new(Language::Python)).await.unwrap();
    fake.set_faults("wedge=100%".parse().unwrap());
    let (limits, (events, _from)) = (Limits::default(), Events::channel());
    let endless = Program::python("#: sleep 60m");
    assert!(tokio::time::timeout(SECOND, sandbox.run(&endless, &limits, &events)).await.is_err());
    let outcome = sandbox.run(&Program::python("#: print a"), &limits, &events).await.unwrap();
    assert_eq!(outcome.exit, Exit::Finished(0));
    drop(sandbox);
    account.close(60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_creation_had_no_response_is_found_and_ended() {
    use super::in_process::{LostResponse, account_with_transport};
    let fake = switchtower_fake_e2b::Fake::new(faulty(""));
    let account = account_with_transport(LostResponse::new(&fake), high_limits().account, "one", |_| Liveness::Dead);
    let spec = switchtower_contract::Spec::new(switchtower_contract::Language::Python);
    assert!(switchtower_contract::Backend::open(&account, &spec).await.is_err());
    assert_eq!(fake.running().len(), 1, "it was created, and its client has no answer");
    account.close(60 * SECOND).await;
    assert_eq!((fake.running().len(), fake.counts().killed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_turns_out_to_need_more_memory_moves_unless_its_request_has_a_limit() {
    let harness = TestHarness::new(scripted(), high_limits());
    let hungry = "held = bytearray(10 ** 9)\n#: alloc 400";
    let answer = harness.run(request(hungry)).await.unwrap();
    assert_eq!(attempts_of(&answer)[0], "wasm unsupported");
    assert_eq!(answer.tier.as_str(), "e2b");
    let limited = switchtower_core::request::Request { memory: Some(256 << 20), ..request(hungry) };
    assert_eq!(harness.run(limited).await.unwrap().tier.as_str(), "wasm");
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_limit_counts_against_the_callers_time_and_the_error_says_so() {
    let mut cloud = high_limits();
    cloud.account.limits.executions_per_minute = 6;
    cloud.account.limits.wait_timeout = 200 * SECOND;
    let harness = TestHarness::new(faulty(""), cloud);
    let request_of =
        |time, n: u32| switchtower_core::request::Request { timeout: time, ..remote(&effectful(&n.to_string())) };
    let answer = harness.run(request_of(200 * SECOND, 0)).await.unwrap();
    assert_eq!((answer.outcome.exit, answer.output.stdout.as_str()), (Exit::Finished(0), "0\n"));
    let started = Instant::now();
    let late = harness.run(request_of(2 * SECOND, 1)).await;
    assert!(started.elapsed() <= 2 * SECOND + Duration::from_millis(500), "{:?}", started.elapsed());
    let Err(RequestError { error: Error::TimedOut { reason }, attempts }) = late else { panic!("{late:?}") };
    assert!(reason.contains("after 2s while waiting for tier e2b"), "{reason}");
    assert_eq!(attempts.len(), 1);
    assert_eq!(harness.run(request_of(200 * SECOND, 2)).await.unwrap().output.stdout, "2\n");
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_another_client_paused_is_resumed_for_the_next_program() {
    use axum::http::Request;
    use switchtower_e2b::Transport as _;
    let harness = TestHarness::new(faulty(""), high_limits());
    harness.start();
    sleep(5 * SECOND).await;
    for id in harness.fake.running() {
        let uri = format!("http://e2b.test/sandboxes/{id}/pause");
        let call = Request::post(uri).header("x-api-key", "any").header("content-type", "application/json");
        let call = call.body(bytes::Bytes::from_static(b"{}")).unwrap();
        assert!(super::in_process::InProcess(harness.fake.app()).send(call).await.unwrap().status().is_success());
    }
    let created = harness.fake.counts().created;
    // The pool's next check notices it.
    sleep(31 * SECOND).await;
    assert_eq!(attempts_of(&harness.remote(&harmless("a")).await.unwrap()), ["e2b finished"]);
    // One is resumed, and another one may be opened for the pool.
    assert!(harness.fake.counts().resumed >= 1 && harness.fake.counts().created <= created + 1);
    harness.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_with_a_network_policy_is_created_with_it_and_is_never_one_of_the_pool() {
    let policy = NetworkPolicy {
        internet: Some(false),
        allow_out: vec!["1.1.1.1".to_owned()],
        deny_out: vec!["8.8.8.8".to_owned()],
        private_ports: true,
        host: Some("a.example:${PORT}".to_owned()),
    };
    for operator_allows_internet in [true, false] {
        let mut cloud = high_limits();
        cloud.account.internet = operator_allows_internet;
        let harness = TestHarness::new(scripted(), cloud);
        harness.start();
        sleep(SECOND * 20).await;
        let pooled = harness.fake.running();
        assert!(!pooled.is_empty());
        let (caller, deadline, mut attempts) = (Caller::default(), Instant::now() + SECOND * 60, Vec::new());
        let lease = harness.cloud().lease_machine(&caller, Priority::Normal, &policy, deadline, &mut attempts);
        let mut lease = lease.await.unwrap();
        let machine = harness.fake.running().into_iter().find(|id| !pooled.contains(id)).unwrap();
        let asked_for = async || {
            let request = Request::get(format!("/sandboxes/{machine}")).header("x-api-key", "e2b_0123456789abcdef");
            let answer = harness.fake.app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let detail: Value = serde_json::from_slice(&body).unwrap();
            (detail["allowInternetAccess"].clone(), detail["network"].clone())
        };
        let mut rules = json!({
            "allowOut": ["1.1.1.1"], "denyOut": ["8.8.8.8"], "allowPublicTraffic": false,
            "maskRequestHost": "a.example:${PORT}",
        });
        if !operator_allows_internet {
            rules.as_object_mut().unwrap().remove("allowOut");
        }
        assert_eq!(asked_for().await, (json!(false), rules));
        // What it reaches is replaced; how its ports are reached stays.
        let open = NetworkPolicy { deny_out: vec!["9.9.9.9".to_owned()], ..NetworkPolicy::OPEN };
        lease.sandbox().machine().unwrap().set_network(&open).await.unwrap();
        let rules =
            json!({ "denyOut": ["9.9.9.9"], "allowPublicTraffic": false, "maskRequestHost": "a.example:${PORT}" });
        assert_eq!(asked_for().await, (json!(operator_allows_internet), rules));
        drop(lease);
        sleep(SECOND * 20).await;
        assert!(!harness.fake.running().contains(&machine), "it was kept");
        harness.close().await;
    }
}
