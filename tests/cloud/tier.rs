//! What makes the cloud dependable, one promise each, on a paused clock.

use std::time::Duration;

use serde_json::json;
use switchtower::config::Cloud;
use switchtower_contract::{Event, Events, Exit};
use switchtower_core::cache::{CacheStatus, Stored};
use switchtower_core::error::Error;
use switchtower_core::tier::breaker::State;
use switchtower_core::tier::pool;
use switchtower_e2b::Liveness;
use switchtower_fake_e2b::{Plan, Rates, Settings, Template};
use tokio::time::{Instant, advance, sleep};

use super::house::{House, remote, request, scripted, tried};

const SECOND: Duration = Duration::from_secs(1);

fn faulty(faults: &str) -> Settings {
    Settings { faults: faults.parse().unwrap(), plan: Plan::Unlimited, ..scripted() }
}

/// An account that is not held back by its own limits.
fn wide() -> Cloud {
    let mut cloud = Cloud::default();
    cloud.account.limits.creations_per_second = Some(100);
    cloud.account.limits.executions_per_minute = 60_000;
    cloud
}

/// Effect-free by its text; prints this.
fn plain(says: &str) -> String {
    format!("print(1 + 1)\n#: print {says}")
}

/// Reaches out by its text, so that it must not run twice.
fn reaching(says: &str) -> String {
    format!("import requests\nrequests.post('https://example.org')\n#: print {says}")
}

#[tokio::test(start_paused = true)]
async fn a_program_that_turns_out_to_need_the_cloud_moves_on_once_and_nobody_hears_anything_twice() {
    let house = House::new(scripted(), wide());
    // What it needs shows only after its output has begun to flow.
    let source = "__import__('pan' + 'das')\n#: print a; sleep 400ms; need module pandas; print b";
    let (events, mut from) = Events::channel();
    let (answer, heard) = tokio::join!(house.router.execute(request(source), Some(events)), async {
        let mut heard = String::new();
        while let Some(event) = from.recv().await {
            match event {
                Event::Stdout(text) => heard.push_str(&text),
                other => panic!("{other:?}"),
            }
        }
        heard
    });
    let answer = answer.unwrap();
    assert_eq!(tried(&answer), ["wasm unsupported", "e2b finished"]);
    assert_eq!((heard.as_str(), answer.output.stdout.as_str()), ("a\nb\n", "a\nb\n"));
    assert!(answer.outcome.usage.price.dollars() > 0.0);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_one_call_and_the_answer_says_how_to_mend_it() {
    let house = House::new(Settings { key: Some("another".to_owned()), ..scripted() }, wide());
    let Err(Error::Unavailable { reason, attempts, .. }) = house.remote(&plain("a")).await else { panic!("no answer") };
    assert!(reason.contains("check that E2B_API_KEY"), "{reason}");
    assert_eq!((attempts.len(), attempts[0].outcome.as_str()), (1, "refused"));
    assert_eq!(house.fake.counts().api_calls, 1);
    assert_eq!(house.cloud().breaker().unwrap().status().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_not_there_is_named() {
    let templates = [("prod-all".to_owned(), Template { tag: "a".to_owned(), modules: None })].into();
    let house = House::new(Settings { templates, ..scripted() }, wide());
    let Err(error) = house.remote(&plain("a")).await else { panic!("no answer") };
    assert!(error.to_string().contains("template 'code-interpreter-v1' not found"), "{error}");
    assert!(error.to_string().contains("E2B_TEMPLATE_ID"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_waited_out_and_both_waits_are_told() {
    let rates = Rates { executions_per_minute: Some(12), burst: 1, send_retry_after: true };
    let house = House::new(Settings { rates, plan: Plan::Unlimited, ..scripted() }, wide());
    let started = Instant::now();
    let answer = house.remote(&plain("a")).await.unwrap();
    let attempt = &answer.attempts[0];
    let tried = tried(&answer);
    assert_eq!((tried[0].as_str(), tried.last().unwrap().as_str()), ("e2b refused", "e2b finished"));
    let (asked, paused) = (attempt.retry_after.unwrap(), attempt.paused.unwrap());
    assert!(asked >= SECOND && paused >= asked, "{asked:?} {paused:?}");
    assert!(started.elapsed() >= asked);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_that_does_not_say_when_costs_half_a_minute() {
    let rates = Rates { send_retry_after: false, ..Rates::default() };
    let house = House::new(Settings { rates, ..faulty("execute.429=100%x2") }, wide());
    let patient = switchtower_core::request::Request { timeout: 200 * SECOND, ..remote(&plain("a")) };
    let answer = house.run(patient).await.unwrap();
    let waits: Vec<_> = answer.attempts.iter().filter_map(|attempt| attempt.retry_after).collect();
    assert!(waits.iter().all(|wait| *wait == 30 * SECOND) && !waits.is_empty(), "{:?}", answer.attempts);
    house.close().await;

    // No sandbox is given up for it.
    let mut cloud = wide();
    cloud.tier.pool = Some(pool::Config { target: 1, min: 1, max: 1, ..pool::Config::default() });
    let house = House::new(faulty(""), cloud);
    house.start();
    sleep(SECOND).await;
    house.fake.set_faults("execute.429=100%x1".parse().unwrap());
    let patient = switchtower_core::request::Request { timeout: 200 * SECOND, ..remote(&plain("a")) };
    assert_eq!(tried(&house.run(patient).await.unwrap()), ["e2b refused", "e2b finished"]);
    assert_eq!(house.fake.counts().created, 1);
    house.close().await;

    // Where there is no time for that wait, nobody waits for its end.
    let rates = Rates { send_retry_after: false, ..Rates::default() };
    let house = House::new(Settings { rates, ..faulty("execute.429=100%x1") }, wide());
    let started = Instant::now();
    let Err(Error::Unavailable { retry_after, .. }) = house.remote(&plain("b")).await else { panic!("it ran") };
    assert_eq!((retry_after, started.elapsed() < SECOND), (Some(30 * SECOND), true));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn fail_fail_and_then_well_is_three_attempts_with_growing_pauses() {
    let mut cloud = wide();
    cloud.tier.pool = None;
    let house = House::new(faulty("create.500=100%x2"), cloud);
    let answer = house.remote(&plain("a")).await.unwrap();
    assert_eq!(tried(&answer), ["e2b unavailable", "e2b unavailable", "e2b finished"]);
    let paused: Vec<_> = answer.attempts.iter().filter_map(|attempt| attempt.paused).collect();
    assert!(paused[0] <= SECOND && paused[1] <= 2 * SECOND, "{paused:?}");
    house.close().await;
}

/// What the thread of one test logs of metric events. One subscriber serves the whole process: with one for a thread alone,
/// an event that another thread meets first is taken for one that nobody wants.
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
    /// From here on this thread's events are kept. Call it once in the process.
    fn start() {
        let wanted = tracing_subscriber::EnvFilter::new("off,e2b_metrics=info");
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(wanted);
        tracing::subscriber::set_global_default(subscriber.with_writer(|| ThreadLog).finish()).unwrap();
    }

    /// Each creation that was logged since the last call: its event, and which attempt it was.
    fn take_creations() -> Vec<(String, u64)> {
        let text = String::from_utf8(LINES.take()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let creations = lines.filter(|line| line["event"].as_str().is_some_and(|event| event.contains("create")));
        creations.map(|line| (line["event"].as_str().unwrap().to_owned(), line["attempt"].as_u64().unwrap())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_creations_carry_the_number_of_the_attempt() {
    ThreadLog::start();
    let expected = [("sandbox_create_failure", 1), ("sandbox_create_failure", 2), ("sandbox_create_success", 3)];
    let expected = expected.map(|(event, attempt)| (event.to_owned(), attempt));
    // Opened for the request itself, or for it by a pool.
    for pooled in [false, true] {
        let mut cloud = wide();
        cloud.tier.pool = pooled.then(|| pool::Config { min: 0, target: 0, ..pool::Config::default() });
        let house = House::new(faulty("create.500=100%x2"), cloud);
        ThreadLog::take_creations();
        assert!(house.remote(&plain("a")).await.is_ok());
        assert_eq!(ThreadLog::take_creations(), expected, "pooled: {pooled}");
        house.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_end_was_not_confirmed_keeps_its_place_and_is_ended_by_the_next_sweep() {
    use switchtower_contract::{Backend as _, Language, Spec};
    let fake = switchtower_fake_e2b::Fake::new(faulty("kill.500=100%"));
    let account = super::through::account(&fake, wide().account);
    drop(account.open(&Spec::new(Language::Python)).await.unwrap());
    assert!(!account.close(60 * SECOND).await, "one may be left");
    assert_eq!((account.status().unconfirmed, account.status().limits.running, fake.running().len()), (1, 1, 1));
    fake.set_faults("".parse().unwrap());
    assert_eq!(account.sweep().await.unwrap(), 1);
    assert_eq!((account.status().unconfirmed, account.status().limits.running, fake.running().len()), (0, 0, 0));
    // What is held is not swept.
    let held = account.open(&Spec::new(Language::Python)).await.unwrap();
    assert_eq!(account.sweep().await.unwrap(), 0);
    drop(held);
    assert!(account.close(60 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_paused_sandbox_is_renewed_before_others_may_take_it_for_left() {
    use switchtower_contract::{Backend as _, Language, Maintenance, Spec};
    let fake = switchtower_fake_e2b::Fake::new(faulty(""));
    let account = super::through::account(&fake, wide().account);
    let other = super::through::account_of(&fake, wide().account, "other", |_| Liveness::Unknown);
    let mut sandbox = account.open(&Spec::new(Language::Python)).await.unwrap();
    sandbox.maintain(Maintenance::Asleep).await.unwrap();
    for hours in 1..=30 {
        sleep(3600 * SECOND).await;
        account.renew_leases().await;
        let resumed = u64::from(hours >= 12) + u64::from(hours >= 24);
        assert_eq!(fake.counts().resumed, resumed, "after {hours} hours");
        assert_eq!(account.status().limits.running, 0, "it sleeps again");
    }
    // Another process that cannot see this one leaves it alone, and takes it a day after nobody has renewed it.
    assert_eq!(other.sweep().await.unwrap(), 0);
    sleep(25 * 3600 * SECOND).await;
    assert_eq!(other.sweep().await.unwrap(), 1);
    drop(sandbox);
    account.close(60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_the_breaker_then_refusals_are_instant_and_local_work_goes_on() {
    let house = House::new(faulty("create.500=100%"), wide());
    for _ in 0..5 {
        assert!(house.remote(&plain("a")).await.is_err());
    }
    let breaker = house.cloud().breaker().unwrap();
    assert_eq!((breaker.status().state, breaker.status().failures), (State::Open, 5));
    let (calls, started) = (house.fake.counts().api_calls, Instant::now());
    let Err(Error::Unavailable { retry_after, reason, attempts }) = house.remote(&plain("a")).await else {
        panic!("no answer")
    };
    assert!(started.elapsed() < Duration::from_millis(5));
    assert!(retry_after.unwrap() > 50 * SECOND && reason.contains("breaker is open"), "{reason}");
    assert_eq!(attempts[0].outcome, "open");
    assert_eq!(house.fake.counts().api_calls, calls, "E2B is left alone");
    assert_eq!(house.run(request(&plain("local"))).await.unwrap().tier.as_str(), "wasm");

    // It recovers by itself: one probe after a minute.
    house.fake.set_faults("".parse().unwrap());
    advance(60 * SECOND).await;
    assert_eq!(house.remote(&plain("b")).await.unwrap().output.stdout, "b\n");
    assert_eq!(breaker.status().state, State::Closed);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_closed_by_hand() {
    let house = House::new(faulty("create.500=100%x24"), wide());
    for _ in 0..5 {
        assert!(house.remote(&plain("a")).await.is_err());
    }
    house.fake.set_faults("".parse().unwrap());
    house.cloud().breaker().unwrap().reset();
    assert!(house.remote(&plain("a")).await.is_ok());
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_was_deleted_behind_our_back_is_not_seen_by_anyone() {
    let house = House::new(faulty("vanish=100%x2"), wide());
    let answer = house.remote(&plain("a")).await.unwrap();
    assert_eq!(answer.output.stdout, "a\n");
    // It never began, so this holds for programs that reach out too.
    let house = House::new(faulty("vanish=100%x2"), wide());
    assert_eq!(house.remote(&reaching("sent")).await.unwrap().output.stdout, "sent\n");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_runs_again_only_where_it_leaves_nothing_in_the_world() {
    // The first cell is our own.
    let house = House::new(scripted(), wide());
    house.start();
    sleep(5 * SECOND).await;
    house.fake.set_faults("execute.cut=100%x1".parse().unwrap());
    let answer = house.remote(&plain("a")).await.unwrap();
    assert_eq!(tried(&answer), ["e2b lost", "e2b finished"]);
    house.fake.set_faults("execute.cut=100%x1".parse().unwrap());
    let Err(error) = house.remote(&reaching("sent")).await else { panic!("it was run again") };
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_context_that_hangs_is_found_out_and_left() {
    let house = House::new(scripted(), wide());
    house.start();
    sleep(5 * SECOND).await;
    // A caller who leaves; the sandbox would hang from then on, and is not lent again.
    house.fake.set_faults("wedge=100%".parse().unwrap());
    assert!(tokio::time::timeout(SECOND, house.remote("print(1)\n#: sleep 20s")).await.is_err());
    for n in 0..4 {
        assert_eq!(house.remote(&plain(&n.to_string())).await.unwrap().output.stdout, format!("{n}\n"));
    }
    house.fake.set_faults("".parse().unwrap());
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_ours_although_the_stream_stays_alive() {
    let house = House::new(scripted(), wide());
    let slow = remote("print(1)\n#: print begun; sleep 100s");
    let started = Instant::now();
    let answer = house.run(switchtower_core::request::Request { timeout: 12 * SECOND, ..slow }).await.unwrap();
    assert_eq!((answer.outcome.exit, answer.output.stdout.as_str()), (Exit::TimedOut, "begun\n"));
    assert!(started.elapsed() < 15 * SECOND);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_with_another_build_tag_is_never_used() {
    let templates = [("prod".to_owned(), Template { tag: "v2".to_owned(), modules: None })].into();
    let mut cloud = wide();
    (cloud.account.template, cloud.account.build_tag) = (Some("prod".to_owned()), Some("v2".to_owned()));
    // A rollout that is not through: the first few are old.
    let settings = Settings { templates, ..faulty("tag.wrong=100%x3") };
    let house = House::new(settings, cloud);
    for n in 0..10 {
        assert!(house.remote(&plain(&n.to_string())).await.is_ok());
    }
    let status = house.account.status();
    assert_eq!((status.wrong_tags, status.tag.as_deref()), (3, Some("v2")));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_module_that_the_template_lacks_is_refused_before_anything_is_bought() {
    let mut cloud = wide();
    cloud.account.build_tag = Some("own".to_owned());
    let house = House::new(scripted(), cloud);
    let Err(error) = house.remote("import tensorflow as tf\nprint(tf.__version__)").await else { panic!("no answer") };
    assert!(error.to_string().contains("the module tensorflow is not in e2b"), "{error}");
    assert_eq!(house.fake.counts().api_calls, 0);
    // What it installs by itself is let through.
    let installs = house.router.explain(&remote("!pip install tensorflow\nimport tensorflow as tf\nprint(tf)"));
    assert!(installs.decision.is_ok());
    assert!(house.router.explain(&remote("import pandas as pd\nprint(pd)")).decision.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_what_must_be_the_same_again_is_kept_and_only_of_a_known_template() {
    let mut cloud = wide();
    (cloud.account.template, cloud.account.build_tag) = (Some("prod:v2".to_owned()), Some("v2".to_owned()));
    let house = House::new(faulty(""), cloud);
    let asks =
        ["print(1 + 1)\n#: print 2", "import time\nprint(time.time())\n#: clock", "print({1, 2} | {3})\n#: print x"];
    let untagged = House::new(faulty(""), wide());
    for _ in 0..4 {
        assert_eq!(untagged.remote(asks[0]).await.unwrap().cache, CacheStatus::Miss);
    }
    // Before the first sandbox is there, its processors are not known.
    assert_eq!(house.remote(asks[0]).await.unwrap().stored, Stored::No);
    for (source, kept) in asks.into_iter().zip([true, false, false]) {
        let first = house.remote(source).await.unwrap();
        assert_eq!((first.cache, first.stored == Stored::Candidate), (CacheStatus::Miss, kept), "{source}");
        // Two runs, each in a kernel of its own, before there is a hit.
        let second = house.remote(source).await.unwrap();
        assert_eq!((second.cache, second.pure), (CacheStatus::Miss, kept), "{source}");
        assert_eq!(house.remote(source).await.unwrap().cache == CacheStatus::Hit, kept, "{source}");
    }
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_is_ended_and_what_a_living_one_has_is_not() {
    use super::through::account_of;
    let fake = switchtower_fake_e2b::Fake::new(Settings { plan: Plan::Unlimited, ..scripted() });
    let config = || wide().account;
    let lives: fn(&str) -> Liveness = |process| if process == "neighbour" { Liveness::Alive } else { Liveness::Dead };
    let (dead, neighbour) =
        (account_of(&fake, config(), "dead", lives), account_of(&fake, config(), "neighbour", lives));
    let spec = switchtower_contract::Spec::new(switchtower_contract::Language::Python);
    let mut left = Vec::new();
    for _ in 0..3 {
        left.push(switchtower_contract::Backend::open(&dead, &spec).await.unwrap());
    }
    let kept = switchtower_contract::Backend::open(&neighbour, &spec).await.unwrap();
    // As if it had been killed: nobody drops what it held.
    left.into_iter().for_each(std::mem::forget);
    let next = account_of(&fake, config(), "next", lives);
    assert_eq!(next.sweep().await.unwrap(), 3);
    assert_eq!(fake.running().len(), 1);
    drop(kept);
    neighbour.close(60 * SECOND).await;
    assert_eq!(fake.running().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_hours_budget_refuses_with_the_time_of_its_end() {
    let mut cloud = wide();
    cloud.account.limits.max_per_hour = Some(4);
    cloud.tier.pool = None;
    let house = House::new(faulty(""), cloud);
    for _ in 0..4 {
        assert!(house.remote(&plain("a")).await.is_ok());
        sleep(SECOND).await;
    }
    let ended = house.remote(&plain("a")).await;
    let Err(Error::Unavailable { retry_after: Some(after), reason, .. }) = ended else { panic!("{ended:?}") };
    assert!(after > 3500 * SECOND && reason.contains("hour"), "{reason} {after:?}");
    let budget = serde_json::to_value(house.account.limits().budget().check()).unwrap();
    assert_eq!(budget, json!({ "count": 4, "limit": 4, "exceeded": true, "remaining": 0 }));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn idle_sandboxes_sleep_cost_nothing_meanwhile_and_wake_for_the_next_program() {
    let house = House::new(scripted(), wide());
    house.start();
    sleep(400 * SECOND).await;
    assert!(house.fake.counts().paused >= 2, "{:?}", house.fake.counts());
    let asleep = house.account.status();
    assert!(asleep.sandboxes.iter().all(|live| live.asleep) && !asleep.sandboxes.is_empty());
    assert_eq!(asleep.limits.running, 0, "they take none of the account's places");
    sleep(3000 * SECOND).await;
    assert_eq!(house.account.status().cost, asleep.cost);
    let created = house.fake.counts().created;
    assert_eq!(house.remote(&plain("a")).await.unwrap().output.stdout, "a\n");
    assert!(house.fake.counts().resumed >= 1);
    assert!(house.fake.counts().created <= created + 1);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_broken_off_does_not_hang_the_next_one_in_its_sandbox() {
    use switchtower_contract::{Backend, Language, Limits, Program, Spec};
    let fake = switchtower_fake_e2b::Fake::new(faulty(""));
    let account = super::through::account(&fake, wide().account);
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
async fn a_sandbox_whose_creation_was_not_answered_is_found_and_ended() {
    use super::through::{Deaf, account_over};
    let fake = switchtower_fake_e2b::Fake::new(faulty(""));
    let account = account_over(Deaf::new(&fake), wide().account, "one", |_| Liveness::Dead);
    let spec = switchtower_contract::Spec::new(switchtower_contract::Language::Python);
    assert!(switchtower_contract::Backend::open(&account, &spec).await.is_err());
    assert_eq!(fake.running().len(), 1, "it was made, and nobody was told");
    account.close(60 * SECOND).await;
    assert_eq!((fake.running().len(), fake.counts().killed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_turns_out_to_need_more_memory_moves_on_unless_it_set_a_limit_itself() {
    let house = House::new(scripted(), wide());
    let hungry = "held = bytearray(10 ** 9)\n#: alloc 400";
    let answer = house.run(request(hungry)).await.unwrap();
    assert_eq!(tried(&answer)[0], "wasm unsupported");
    assert_eq!(answer.tier.as_str(), "e2b");
    let limited = switchtower_core::request::Request { memory: Some(256 << 20), ..request(hungry) };
    assert_eq!(house.run(limited).await.unwrap().tier.as_str(), "wasm");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_right_is_a_part_of_the_callers_time_and_what_did_not_begin_says_so() {
    let mut cloud = wide();
    cloud.account.limits.executions_per_minute = 6;
    cloud.account.limits.wait_timeout = 200 * SECOND;
    let house = House::new(faulty(""), cloud);
    let ask = |time, n: u32| switchtower_core::request::Request { timeout: time, ..remote(&reaching(&n.to_string())) };
    let patient = house.run(ask(200 * SECOND, 0)).await.unwrap();
    assert_eq!((patient.outcome.exit, patient.output.stdout.as_str()), (Exit::Finished(0), "0\n"));
    let started = Instant::now();
    let late = house.run(ask(2 * SECOND, 1)).await;
    assert!(started.elapsed() <= 2 * SECOND + Duration::from_millis(500), "{:?}", started.elapsed());
    let Err(Error::TimedOut { reason, attempts }) = late else { panic!("{late:?}") };
    assert!(reason.contains("after 2s while waiting for the tier e2b"), "{reason}");
    assert_eq!(attempts.len(), 1);
    assert_eq!(house.run(ask(200 * SECOND, 2)).await.unwrap().output.stdout, "2\n");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_somebody_else_put_to_sleep_wakes_for_the_next_program() {
    use axum::http::Request;
    use switchtower_e2b::Transport as _;
    let house = House::new(faulty(""), wide());
    house.start();
    sleep(5 * SECOND).await;
    for id in house.fake.running() {
        let uri = format!("http://e2b.test/sandboxes/{id}/pause");
        let call = Request::post(uri).header("x-api-key", "any").header("content-type", "application/json");
        let call = call.body(bytes::Bytes::from_static(b"{}")).unwrap();
        assert!(super::through::Through(house.fake.app()).send(call).await.unwrap().status().is_success());
    }
    let created = house.fake.counts().created;
    // The next look finds it out.
    sleep(31 * SECOND).await;
    assert_eq!(tried(&house.remote(&plain("a")).await.unwrap()), ["e2b finished"]);
    // One was woken; another is opened to stand in its place.
    assert!(house.fake.counts().resumed >= 1 && house.fake.counts().created <= created + 1);
    house.close().await;
}
