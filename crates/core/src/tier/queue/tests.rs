use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{sleep, timeout};

use super::*;

fn queue(slots: usize, per_user: usize) -> FairQueue {
    FairQueue::new("tier".into(), Config { slots, per_user, ..Config::default() })
}

fn user(name: &str) -> Arc<str> {
    name.into()
}

/// Queues these requests in this order, `apart` in time, while the only slot is busy. Returns the order in which they
/// get it, as user and index.
async fn grant_order(queue: FairQueue, requests: &[(&str, Priority)], apart: Duration) -> Vec<String> {
    let (queue, granted) = (Rc::new(queue), Rc::new(RefCell::new(Vec::new())));
    let busy = queue.slot(&user("busy"), Priority::High).await.unwrap();
    let local = LocalSet::new();
    for (index, (name, priority)) in requests.iter().copied().enumerate() {
        let (queue, granted, name) = (queue.clone(), granted.clone(), name.to_owned());
        local.spawn_local(async move {
            sleep(apart * u32::try_from(index).unwrap()).await;
            let _slot = queue.slot(&user(&name), priority).await.unwrap();
            granted.borrow_mut().push(format!("{name}{index}"));
            sleep(Duration::from_millis(1)).await;
        });
    }
    local
        .run_until(async {
            sleep(apart * u32::try_from(requests.len()).unwrap()).await;
            yield_now().await;
            drop(busy);
        })
        .await;
    local.await;
    Rc::try_unwrap(granted).unwrap().into_inner()
}

#[tokio::test(start_paused = true)]
async fn users_take_turns_and_keep_their_own_order() {
    let normal = Priority::Normal;
    let requests = [("a", normal), ("a", normal), ("a", normal), ("b", normal), ("c", normal), ("b", normal)];
    let order = grant_order(queue(1, 1), &requests, Duration::from_millis(1)).await;
    assert_eq!(order, ["a0", "b3", "c4", "a1", "b5", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn the_higher_priority_goes_first() {
    let requests = [("a", Priority::Low), ("b", Priority::Normal), ("c", Priority::High)];
    assert_eq!(grant_order(queue(1, 1), &requests, Duration::from_millis(1)).await, ["c2", "b1", "a0"]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_is_promoted_with_time() {
    let requests = [("a", Priority::Low), ("b", Priority::Normal), ("c", Priority::High)];
    // When the slot is free, `a` has waited for 12 s and `b` for 8 s: all requests have high priority by then.
    assert_eq!(grant_order(queue(1, 1), &requests, Duration::from_secs(4)).await, ["a0", "b1", "c2"]);
}

#[tokio::test(start_paused = true)]
async fn others_overtake_a_user_that_is_at_its_limit() {
    let queue = queue(3, 1);
    let first = queue.slot(&user("a"), Priority::High).await.unwrap();
    assert!(timeout(Duration::from_secs(1), queue.slot(&user("a"), Priority::High)).await.is_err());
    let _other = queue.slot(&user("b"), Priority::Low).await.unwrap();
    drop(first);
    let _again = queue.slot(&user("a"), Priority::High).await.unwrap();
    assert_eq!(queue.load(), Load { running: 2, queued: 0, slots: 3 });
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_with_a_time_to_retry_after() {
    let queue = FairQueue::new("tier".into(), Config { slots: 1, length: 1, ..Config::default() });
    let _busy = queue.slot(&user("a"), Priority::Normal).await.unwrap();
    let (b, c) = (user("b"), user("c"));
    let waiting = queue.slot(&b, Priority::Normal);
    let refused = async {
        yield_now().await;
        queue.slot(&c, Priority::High).await.err()
    };
    tokio::select! {
        biased;
        _ = waiting => panic!("the slot is busy"),
        refusal = refused => {
            assert!(matches!(refusal, Some(SlotRefusal::QueueFull { retry_after, .. }) if !retry_after.is_zero()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_is_bounded() {
    let queue =
        FairQueue::new("tier".into(), Config { slots: 1, wait_timeout: Duration::from_secs(3), ..Config::default() });
    let _busy = queue.slot(&user("a"), Priority::Normal).await.unwrap();
    let refusal = queue.slot(&user("b"), Priority::Normal).await.err().unwrap();
    assert!(matches!(refusal, SlotRefusal::TimedOut { waited, .. } if waited >= Duration::from_secs(3)), "{refusal:?}");
    assert_eq!(queue.load().queued, 0);
}

/// Requests a slot without waiting. `Err(None)`: the request would have to wait.
async fn try_slot(queue: &FairQueue, name: &str, priority: Priority) -> Result<Slot, Option<SlotRefusal>> {
    match timeout(Duration::ZERO, queue.slot(&user(name), priority)).await {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(refusal)) => Err(Some(refusal)),
        Err(_) => Err(None),
    }
}

/// Queues `count` requests of a user, whose programs never end. Returns the refusals so far.
fn queue_endless(
    queue: &Rc<FairQueue>,
    name: &'static str,
    priority: Priority,
    count: usize,
) -> Rc<RefCell<Vec<SlotRefusal>>> {
    let refused: Rc<RefCell<Vec<SlotRefusal>>> = Rc::default();
    for _ in 0..count {
        let (queue, refused) = (queue.clone(), refused.clone());
        spawn_local(async move {
            match queue.slot(&user(name), priority).await {
                Ok(_slot) => std::future::pending().await,
                Err(refusal) => refused.borrow_mut().push(refusal),
            }
        });
    }
    refused
}

/// Requests a slot and releases it at once. Returns how long the user waited for it.
async fn waiting_time(queue: &FairQueue, name: &str) -> Duration {
    let joined = Instant::now();
    let _slot = queue.slot(&user(name), Priority::Normal).await.unwrap();
    joined.elapsed()
}

/// Waits until all tasks are blocked.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

const SLICE: Duration = Duration::from_millis(250);

fn with_extra(slots: usize, per_user: usize, extra_slots: usize) -> Config {
    Config { slots, per_user, extra_slots, ..Config::default() }
}

fn shared(config: Config) -> Rc<FairQueue> {
    Rc::new(FairQueue::new("tier".into(), config))
}

#[tokio::test(start_paused = true)]
async fn one_user_never_has_every_slot() {
    for (slots, per_user) in [(2, 2), (3, 8), (6, usize::MAX)] {
        let queue = queue(slots, per_user);
        let mut held = Vec::new();
        while let Ok(slot) = try_slot(&queue, "greedy", Priority::High).await {
            held.push(slot);
        }
        assert_eq!(held.len(), slots - 1);
        assert!(try_slot(&queue, "modest", Priority::Low).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_with_nothing_running_waits_at_most_a_time_slice_for_endless_programs() {
    for (slots, per_user) in [(1, 1), (1, 2), (2, 2), (2, 1), (6, 6)] {
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                let queue = shared(with_extra(slots, per_user, 1));
                for priority in [Priority::Normal, Priority::High, Priority::Low] {
                    queue_endless(&queue, "greedy", priority, 100);
                }
                settle().await;
                assert!(waiting_time(&queue, "modest").await <= SLICE);
                // By now all programs have used up their time slices.
                sleep(SLICE).await;
                for _ in 0..10 {
                    assert_eq!(waiting_time(&queue, "modest").await, Duration::ZERO);
                }
                // The greedy user keeps its slots.
                assert_eq!(queue.load().running, slots.min(per_user));
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn users_with_endless_programs_delay_nobody_while_extra_slots_are_free() {
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let queue = shared(with_extra(2, 2, 4));
            for name in ["a", "b", "c", "d"] {
                queue_endless(&queue, name, Priority::High, 100);
            }
            settle().await;
            assert!(waiting_time(&queue, "e").await <= 2 * SLICE);
            // Two programs of the first user and one of each other: one extra slot is left.
            assert_eq!(queue.load().running, 5);
            let last = queue.slot(&user("f"), Priority::Normal).await.unwrap();
            assert_eq!(try_slot(&queue, "g", Priority::High).await.err(), Some(None));
            drop(last);
            assert!(try_slot(&queue, "g", Priority::Normal).await.is_ok());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_time_slice_ends_on_time_while_other_requests_come_and_go() {
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let queue = shared(with_extra(2, 2, 1));
            queue_endless(&queue, "first", Priority::Normal, 1);
            sleep(Duration::from_millis(100)).await;
            queue_endless(&queue, "second", Priority::Normal, 1);
            yield_now().await;
            // At 250 ms the first program has used up its time slice, which frees an extra slot.
            let (joined, b) = (Instant::now(), user("b"));
            let others = async {
                for _ in 0..20 {
                    sleep(Duration::from_millis(7)).await;
                    let _ = try_slot(&queue, "hasty", Priority::Normal).await;
                }
            };
            let slot = async {
                let slot = queue.slot(&b, Priority::Normal).await.unwrap();
                (joined.elapsed(), slot)
            };
            let ((waited, _slot), ()) = tokio::join!(slot, others);
            assert_eq!(waited, Duration::from_millis(150));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_user_with_many_requests_of_high_priority_overtakes_another_user_only_once() {
    let queue = Rc::new(queue(1, 1));
    let served: Rc<RefCell<Vec<&str>>> = Rc::default();
    let tasks = LocalSet::new();
    let request = |name: &'static str, priority, times: usize| {
        for _ in 0..times {
            let (queue, served) = (queue.clone(), served.clone());
            tasks.spawn_local(async move {
                let _slot = queue.slot(&user(name), priority).await.unwrap();
                served.borrow_mut().push(name);
                sleep(Duration::from_millis(100)).await;
            });
        }
    };
    request("greedy", Priority::High, 6);
    request("modest", Priority::Normal, 3);
    request("patient", Priority::Low, 1);
    tasks.await;
    let served = served.borrow();
    assert_eq!(served[..7], ["greedy", "greedy", "modest", "greedy", "modest", "greedy", "modest"]);
    // Requests of low priority can be overtaken again and again.
    assert_eq!(served.iter().position(|name| *name == "patient"), Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_requests_of_the_user_with_the_most_to_admit_another_user() {
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let queue = shared(Config { slots: 1, length: 10, ..Config::default() });
            let refused = queue_endless(&queue, "greedy", Priority::Low, 1 + 10 + 5);
            settle().await;
            // A user that waits alone may fill the whole queue, and no more.
            assert_eq!((queue.load().queued, refused.borrow().len()), (10, 5));
            refused.borrow_mut().clear();
            let modest = queue_endless(&queue, "modest", Priority::High, 7);
            settle().await;
            assert_eq!((refused.borrow().len(), modest.borrow().len(), queue.load().queued), (5, 2, 10));
            for refusal in refused.borrow().iter().chain(modest.borrow().iter()) {
                let message = refusal.to_string();
                assert_eq!(
                    message,
                    "the queue is full: at most 10 requests may wait, 5 per user while other users wait"
                );
                assert!(!refusal.retry_after().is_zero());
            }
            // Ten users with one waiting request each fill the queue for everybody.
            let names = ["c", "d", "e", "f", "g", "h", "i", "j"];
            let others: Vec<_> = names.iter().map(|name| queue_endless(&queue, name, Priority::Low, 1)).collect();
            settle().await;
            assert!(others.iter().all(|refused| refused.borrow().is_empty()));
            let refusal = try_slot(&queue, "late", Priority::High).await.err().unwrap();
            assert!(matches!(refusal, Some(SlotRefusal::QueueFull { share: 1, .. })), "{refusal:?}");
            assert_eq!(queue.load().queued, 10);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_the_newest_request_of_the_lowest_priority() {
    let queue = FairQueue::new("tier".into(), Config { slots: 1, length: 3, ..Config::default() });
    let _busy = queue.slot(&user("busy"), Priority::Normal).await.unwrap();
    let greedy = user("greedy");
    let requests = [Priority::Low, Priority::Low, Priority::High].map(|priority| queue.slot(&greedy, priority));
    let [older, newer, high] = requests;
    let refused = async {
        yield_now().await;
        assert_eq!(try_slot(&queue, "modest", Priority::Low).await.err(), Some(None));
        yield_now().await;
        queue.load().queued
    };
    tokio::select! {
        biased;
        _ = older => panic!("the slot is busy"),
        _ = high => panic!("the slot is busy"),
        replaced = newer => assert!(matches!(replaced.err(), Some(SlotRefusal::QueueFull { share: 1, .. }))),
        queued = refused => panic!("the newer request was not refused: {queued} requests wait"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_waiting_requests_of_one_user_are_limited() {
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let queue = shared(Config { slots: 1, length_per_user: Some(4), ..Config::default() });
            let refused = queue_endless(&queue, "greedy", Priority::Normal, 1 + 4 + 2);
            settle().await;
            assert_eq!(refused.borrow().len(), 2);
            let message = refused.borrow()[0].to_string();
            assert_eq!(message, "too many waiting requests of this user: at most 4 may wait");
            assert_eq!(try_slot(&queue, "modest", Priority::Normal).await.err(), Some(None));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn shared_limits_hold_for_all_tiers_together() {
    let queues = Queues::new(&Overall { slots: Some(6), per_user: Some(2) });
    let [a, b, c] = ["a", "b", "c"].map(|tier| queues.queue(tier.into(), with_extra(6, 6, 2)));
    let all = [&a, &b, &c];
    let mut held = Vec::new();
    for name in ["one", "two", "three", "four"] {
        for queue in all {
            held.extend(try_slot(queue, name, Priority::Normal).await.ok().map(|slot| (name, slot)));
        }
    }
    let of = |held: &[(&str, Slot)], name| held.iter().filter(|(user, _)| *user == name).count();
    assert_eq!(["one", "two", "three", "four"].map(|name| of(&held, name)), [2, 2, 2, 0]);
    // Used-up time slices do not raise the shared limit.
    sleep(2 * SLICE).await;
    assert_eq!(try_slot(&c, "four", Priority::High).await.err(), Some(None));
    assert_eq!(all.map(|queue| queue.load().running).iter().sum::<usize>(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_slot_under_shared_limits_goes_to_a_request_that_waits_in_any_tier() {
    let queues = Queues::new(&Overall { slots: Some(2), per_user: None });
    let [a, b] = ["a", "b"].map(|tier| Rc::new(queues.queue(tier.into(), Config::default())));
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            // One user gets at most one of two slots.
            queue_endless(&a, "greedy", Priority::High, 50);
            queue_endless(&b, "greedy", Priority::High, 50);
            settle().await;
            assert_eq!((a.load().running + b.load().running, a.load().queued + b.load().queued), (1, 99));
            let held = b.slot(&user("second"), Priority::Normal).await.unwrap();
            let third = user("third");
            let waiting = a.slot(&third, Priority::Low);
            let (_slot, released) = tokio::join!(waiting, async {
                sleep(Duration::from_secs(1)).await;
                drop(held);
                Instant::now()
            });
            // The slot that was released in one tier was granted in the other at once.
            assert_eq!(released.elapsed(), Duration::ZERO);
        })
        .await;
}

#[test]
fn settings_with_which_nothing_could_run_are_reported_by_name() {
    let problem = |config: Config| config.problem().unwrap_or_default();
    assert_eq!(Config::default().problem(), None);
    assert_eq!(
        problem(Config { slots: 0, ..Config::default() }),
        "slots must be at least 1: with 0 nothing would ever run"
    );
    assert!(problem(Config { per_user: 0, ..Config::default() }).starts_with("per_user must be"));
    assert!(problem(Config { length_per_user: Some(0), ..Config::default() }).starts_with("length_per_user must be"));
    assert!(problem(Config { extra_slots: 5000, ..Config::default() }).starts_with("extra_slots is 5000"));
    assert!(Overall { slots: Some(0), per_user: None }.problem().unwrap().starts_with("slots must be"));
    assert!(Overall { slots: None, per_user: Some(0) }.problem().unwrap().starts_with("per_user must be"));
    assert_eq!(Overall { slots: Some(6), per_user: Some(2) }.problem(), None);
}

#[tokio::test(start_paused = true)]
async fn the_longest_possible_durations_mean_no_limit() {
    let max = Duration::MAX;
    let config = Config { time_slice: max, wait_timeout: max, ageing_interval: max, ..with_extra(1, 1, 1) };
    let queue = FairQueue::new("tier".into(), config);
    let _busy = queue.slot(&user("a"), Priority::Normal).await.unwrap();
    assert!(timeout(Duration::from_secs(3600), queue.slot(&user("b"), Priority::Normal)).await.is_err());
    assert_eq!(queue.load(), Load { running: 1, queued: 0, slots: 1 });
}

/// A request of a random workload: when it arrives, its user, its priority, which of two tiers, how long it runs, and
/// after which time it is cancelled; times in milliseconds.
type TestRequest = (u64, u8, u8, bool, u64, Option<u64>);

fn workload() -> impl Strategy<Value = Vec<TestRequest>> {
    let cancelled_after = prop::option::weighted(0.3, 0u64..80);
    prop::collection::vec((0u64..400, 0u8..5, 0u8..3, any::<bool>(), 1u64..60, cancelled_after), 1..120)
}

/// Random limits: slots, per user, extra slots, shared limits.
fn limits() -> impl Strategy<Value = (usize, usize, usize, Overall)> {
    let overall = (prop::option::of(1usize..8), prop::option::of(1usize..4));
    let overall = overall.prop_map(|(slots, per_user)| Overall { slots, per_user });
    (1usize..5, 1usize..4, 0usize..3, overall)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn limits_hold_no_request_starves_and_no_state_is_left(
        workload in workload(), (slots, per_user, extra_slots, overall) in limits(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let queues = Queues::new(&overall);
        let config = Config {
            slots, per_user, extra_slots, length: 1000, length_per_user: None,
            wait_timeout: Duration::from_secs(600), ageing_interval: Duration::from_millis(100),
            time_slice: Duration::from_millis(20),
        };
        let tiers = Rc::new(["one", "other"].map(|tier| queues.queue(tier.into(), config.clone())));
        let all_but_one = |slots: usize| slots.max(2) - 1;
        let per_user_in_tier = per_user.min(if extra_slots > 0 { slots } else { all_but_one(slots) });
        let (max, max_per_user) = (overall.slots.unwrap_or(usize::MAX), overall.per_user.unwrap_or(usize::MAX));
        let max_per_user = max_per_user.min(all_but_one(max));
        // Running programs by user and tier.
        let running: Rc<RefCell<BTreeMap<(u8, bool), usize>>> = Rc::default();
        let completed = Rc::new(RefCell::new(0));
        let uncancelled = workload.iter().filter(|request| request.5.is_none()).count();
        LocalSet::new().block_on(&runtime, async {
            let mut tasks = Vec::new();
            for (at, name, priority, tier, duration, cancelled_after) in workload {
                let (tiers, running, completed) = (tiers.clone(), running.clone(), completed.clone());
                tasks.push(spawn_local(async move {
                    sleep(Duration::from_millis(at)).await;
                    let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
                    let run = async {
                        let slot = tiers[usize::from(tier)].slot(&user(&name.to_string()), priority).await.unwrap();
                        *running.borrow_mut().entry((name, tier)).or_default() += 1;
                        {
                            let all = running.borrow();
                            let sum = |matches: &dyn Fn(&(u8, bool)) -> bool| {
                                all.iter().filter(|(key, _)| matches(key)).map(|(_, running)| running).sum::<usize>()
                            };
                            assert!(sum(&|(_, of)| *of == tier) <= slots + extra_slots);
                            assert!(all[&(name, tier)] <= per_user_in_tier);
                            assert!(sum(&|_| true) <= max);
                            assert!(sum(&|(of, _)| *of == name) <= max_per_user);
                        }
                        let _guard = RunningGuard(&running, (name, tier));
                        sleep(Duration::from_millis(duration)).await;
                        drop(slot);
                    };
                    match cancelled_after {
                        None => { run.await; *completed.borrow_mut() += 1; }
                        Some(after) => { let _ = timeout(Duration::from_millis(after), run).await; }
                    }
                }));
            }
            for task in tasks { task.await.unwrap(); }
            // Lets the task that grants extra slots end.
            sleep(Duration::from_millis(100)).await;
        });
        prop_assert_eq!(*completed.borrow(), uncancelled);
        for tier in &*tiers {
            prop_assert_eq!(tier.load(), Load { running: 0, queued: 0, slots });
        }
        let state = queues.0.state();
        prop_assert!(state.is_empty() && !state.has_extra_slot_task);
    }

    #[test]
    fn a_user_with_no_waiting_request_is_admitted_while_fewer_users_wait_than_the_queue_is_long(
        requests in prop::collection::vec((0u8..8, 0u8..3), 1..200), length in 1usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let queue = shared(Config { slots: 1, length, ..Config::default() });
            let _busy = queue.slot(&user("busy"), Priority::Normal).await.unwrap();
            let waiting: Rc<RefCell<BTreeMap<u8, usize>>> = Rc::default();
            for (name, priority) in requests {
                let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
                let others = waiting.borrow().values().filter(|waiting| **waiting > 0).count();
                let own = waiting.borrow().get(&name).copied().unwrap_or(0);
                *waiting.borrow_mut().entry(name).or_default() += 1;
                let (queue_of_task, waiting_in_task) = (queue.clone(), waiting.clone());
                spawn_local(async move {
                    let refusal = queue_of_task.slot(&user(&name.to_string()), priority).await.err();
                    assert!(matches!(refusal, Some(SlotRefusal::QueueFull { .. })));
                    *waiting_in_task.borrow_mut().get_mut(&name).unwrap() -= 1;
                });
                yield_now().await;
                yield_now().await;
                let waiting = waiting.borrow();
                assert_eq!(waiting.values().sum::<usize>(), queue.load().queued);
                assert!(queue.load().queued <= length);
                if own == 0 && others < length {
                    assert_eq!(waiting[&name], 1, "a new user was refused: {waiting:?}");
                }
            }
        });
    }
}

/// Decrements the count of running programs when it is dropped.
struct RunningGuard<'a>(&'a RefCell<BTreeMap<(u8, bool), usize>>, (u8, bool));

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        *self.0.borrow_mut().get_mut(&self.1).unwrap() -= 1;
    }
}
