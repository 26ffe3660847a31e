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

/// Everyone asks in this order while one slot is busy; who gets it when?
async fn order_of(queue: FairQueue, asked: &[(&str, Priority)], apart: Duration) -> Vec<String> {
    let (queue, served) = (Rc::new(queue), Rc::new(RefCell::new(Vec::new())));
    let busy = queue.slot(&user("busy"), Priority::High).await.unwrap();
    let local = LocalSet::new();
    for (index, (name, priority)) in asked.iter().copied().enumerate() {
        let (queue, served, name) = (queue.clone(), served.clone(), name.to_owned());
        local.spawn_local(async move {
            sleep(apart * u32::try_from(index).unwrap()).await;
            let _slot = queue.slot(&user(&name), priority).await.unwrap();
            served.borrow_mut().push(format!("{name}{index}"));
            sleep(Duration::from_millis(1)).await;
        });
    }
    local
        .run_until(async {
            sleep(apart * u32::try_from(asked.len()).unwrap()).await;
            yield_now().await;
            drop(busy);
        })
        .await;
    local.await;
    Rc::try_unwrap(served).unwrap().into_inner()
}

#[tokio::test(start_paused = true)]
async fn users_take_turns_and_keep_their_own_order() {
    let normal = Priority::Normal;
    let asked = [("a", normal), ("a", normal), ("a", normal), ("b", normal), ("c", normal), ("b", normal)];
    let served = order_of(queue(1, 1), &asked, Duration::from_millis(1)).await;
    assert_eq!(served, ["a0", "b3", "c4", "a1", "b5", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn the_better_class_goes_first() {
    let asked = [("a", Priority::Low), ("b", Priority::Normal), ("c", Priority::High)];
    assert_eq!(order_of(queue(1, 1), &asked, Duration::from_millis(1)).await, ["c2", "b1", "a0"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_gains_a_class_in_time() {
    let asked = [("a", Priority::Low), ("b", Priority::Normal), ("c", Priority::High)];
    // By the time the slot is free, `a` has waited for 12 s and `b` for 8 s: all are in the first class now.
    assert_eq!(order_of(queue(1, 1), &asked, Duration::from_secs(4)).await, ["a0", "b1", "c2"]);
}

#[tokio::test(start_paused = true)]
async fn a_user_at_its_limit_waits_and_others_pass() {
    let queue = queue(3, 1);
    let first = queue.slot(&user("a"), Priority::High).await.unwrap();
    assert!(timeout(Duration::from_secs(1), queue.slot(&user("a"), Priority::High)).await.is_err());
    let _other = queue.slot(&user("b"), Priority::Low).await.unwrap();
    drop(first);
    let _again = queue.slot(&user("a"), Priority::High).await.unwrap();
    assert_eq!(queue.load(), Load { running: 2, queued: 0, slots: 3 });
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_when_to_come_back() {
    let queue = FairQueue::new("tier".into(), Config { slots: 1, length: 1, ..Config::default() });
    let _busy = queue.slot(&user("a"), Priority::Normal).await.unwrap();
    let (b, c) = (user("b"), user("c"));
    let waiting = queue.slot(&b, Priority::Normal);
    let refused = async {
        yield_now().await;
        queue.slot(&c, Priority::High).await.err()
    };
    tokio::select! {
        _ = waiting => panic!("the slot is busy"),
        refused = refused => assert!(matches!(refused, Some(Refusal::Full { retry_after, .. }) if !retry_after.is_zero())),
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end() {
    let queue =
        FairQueue::new("tier".into(), Config { slots: 1, wait_timeout: Duration::from_secs(3), ..Config::default() });
    let _busy = queue.slot(&user("a"), Priority::Normal).await.unwrap();
    let late = queue.slot(&user("b"), Priority::Normal).await.err().unwrap();
    assert!(matches!(late, Refusal::Late { waited, .. } if waited >= Duration::from_secs(3)), "{late:?}");
    assert_eq!(queue.load().queued, 0);
}

/// What a caller is told at once, who waits no longer than that.
async fn at_once(queue: &FairQueue, name: &str, priority: Priority) -> Result<Slot, Option<Refusal>> {
    match timeout(Duration::ZERO, queue.slot(&user(name), priority)).await {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(refusal)) => Err(Some(refusal)),
        Err(_) => Err(None),
    }
}

/// So many requests of a user that wait, or run for ever; and what became of those that were refused.
fn crowd(queue: &Rc<FairQueue>, name: &'static str, priority: Priority, count: usize) -> Rc<RefCell<Vec<Refusal>>> {
    let refused: Rc<RefCell<Vec<Refusal>>> = Rc::default();
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

/// How long a user waits for its slot, which it has for a moment then.
async fn wait_of(queue: &FairQueue, name: &str) -> Duration {
    let came = Instant::now();
    let _slot = queue.slot(&user(name), Priority::Normal).await.unwrap();
    came.elapsed()
}

/// Everybody has come as far as they come by themselves.
async fn settled() {
    sleep(Duration::from_millis(1)).await;
}

const SLICE: Duration = Duration::from_millis(250);

fn with_extra(slots: usize, per_user: usize, extra_slots: usize) -> Config {
    Config { slots, per_user, extra_slots, ..Config::default() }
}

fn local(config: Config) -> Rc<FairQueue> {
    Rc::new(FairQueue::new("tier".into(), config))
}

#[tokio::test(start_paused = true)]
async fn one_user_never_has_every_slot() {
    for (slots, per_user) in [(2, 2), (3, 8), (6, usize::MAX)] {
        let queue = queue(slots, per_user);
        let mut held = Vec::new();
        while let Ok(slot) = at_once(&queue, "greedy", Priority::High).await {
            held.push(slot);
        }
        assert_eq!(held.len(), slots - 1);
        assert!(at_once(&queue, "modest", Priority::Low).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_with_nothing_running_waits_no_longer_than_a_slice_for_programs_without_end() {
    for (slots, per_user) in [(1, 1), (1, 2), (2, 2), (2, 1), (6, 6)] {
        let alone = LocalSet::new();
        alone
            .run_until(async {
                let queue = local(with_extra(slots, per_user, 1));
                for priority in [Priority::Normal, Priority::High, Priority::Low] {
                    crowd(&queue, "greedy", priority, 100);
                }
                settled().await;
                assert!(wait_of(&queue, "modest").await <= SLICE);
                // By now all of them are long ones.
                sleep(SLICE).await;
                for _ in 0..10 {
                    assert_eq!(wait_of(&queue, "modest").await, Duration::ZERO);
                }
                // The greedy one has what it had.
                assert_eq!(queue.load().running, slots.min(per_user));
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn callers_with_endless_programs_keep_nobody_waiting_while_there_are_extra_slots() {
    let alone = LocalSet::new();
    alone
        .run_until(async {
            let queue = local(with_extra(2, 2, 4));
            for name in ["a", "b", "c", "d"] {
                crowd(&queue, name, Priority::High, 100);
            }
            settled().await;
            assert!(wait_of(&queue, "e").await <= 2 * SLICE);
            // Two programs of the first and one of each other: one more is all that there is.
            assert_eq!(queue.load().running, 5);
            let last = queue.slot(&user("f"), Priority::Normal).await.unwrap();
            assert_eq!(at_once(&queue, "g", Priority::High).await.err(), Some(None));
            drop(last);
            assert!(at_once(&queue, "g", Priority::Normal).await.is_ok());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_slice_ends_where_it_ends_although_others_come_and_go_meanwhile() {
    let alone = LocalSet::new();
    alone
        .run_until(async {
            let queue = local(with_extra(2, 2, 1));
            crowd(&queue, "first", Priority::Normal, 1);
            sleep(Duration::from_millis(100)).await;
            crowd(&queue, "second", Priority::Normal, 1);
            yield_now().await;
            // At 250 ms the first one is a long one, which leaves room for one.
            let (came, b) = (Instant::now(), user("b"));
            let others = async {
                for _ in 0..20 {
                    sleep(Duration::from_millis(7)).await;
                    let _ = at_once(&queue, "hasty", Priority::Normal).await;
                }
            };
            let slot = async {
                let slot = queue.slot(&b, Priority::Normal).await.unwrap();
                (came.elapsed(), slot)
            };
            let ((waited, _slot), ()) = tokio::join!(slot, others);
            assert_eq!(waited, Duration::from_millis(150));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_user_who_asks_for_high_priority_again_and_again_passes_another_once() {
    let queue = Rc::new(queue(1, 1));
    let served: Rc<RefCell<Vec<&str>>> = Rc::default();
    let alone = LocalSet::new();
    let asks = |name: &'static str, priority, times: usize| {
        for _ in 0..times {
            let (queue, served) = (queue.clone(), served.clone());
            alone.spawn_local(async move {
                let _slot = queue.slot(&user(name), priority).await.unwrap();
                served.borrow_mut().push(name);
                sleep(Duration::from_millis(100)).await;
            });
        }
    };
    asks("greedy", Priority::High, 6);
    asks("modest", Priority::Normal, 3);
    asks("patient", Priority::Low, 1);
    alone.await;
    let served = served.borrow();
    assert_eq!(served[..7], ["greedy", "greedy", "modest", "greedy", "modest", "greedy", "modest"]);
    // A low class is the caller's own wish.
    assert_eq!(served.iter().position(|name| *name == "patient"), Some(9));
}

#[tokio::test(start_paused = true)]
async fn the_longest_line_gives_way_to_a_newcomer() {
    let alone = LocalSet::new();
    alone
        .run_until(async {
            let queue = local(Config { slots: 1, length: 10, ..Config::default() });
            let refused = crowd(&queue, "greedy", Priority::Low, 1 + 10 + 5);
            settled().await;
            // Alone it may have the whole line, and no more.
            assert_eq!((queue.load().queued, refused.borrow().len()), (10, 5));
            refused.borrow_mut().clear();
            let modest = crowd(&queue, "modest", Priority::High, 7);
            settled().await;
            assert_eq!((refused.borrow().len(), modest.borrow().len(), queue.load().queued), (5, 2, 10));
            for refusal in refused.borrow().iter().chain(modest.borrow().iter()) {
                let told = refusal.to_string();
                assert_eq!(told, "the queue is full: at most 10 requests wait, 5 of each user while others wait too");
                assert!(!refusal.retry_after().is_zero());
            }
            // As many users as there are places, each has one; then it is full for everybody.
            let names = ["c", "d", "e", "f", "g", "h", "i", "j"];
            let others: Vec<_> = names.iter().map(|name| crowd(&queue, name, Priority::Low, 1)).collect();
            settled().await;
            assert!(others.iter().all(|refused| refused.borrow().is_empty()));
            let late = at_once(&queue, "late", Priority::High).await.err().unwrap();
            assert!(matches!(late, Some(Refusal::Full { share: 1, .. })), "{late:?}");
            assert_eq!(queue.load().queued, 10);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_the_longest_line_the_newest_of_the_lowest_class_goes() {
    let queue = FairQueue::new("tier".into(), Config { slots: 1, length: 3, ..Config::default() });
    let _busy = queue.slot(&user("busy"), Priority::Normal).await.unwrap();
    let greedy = user("greedy");
    let asks = [Priority::Low, Priority::Low, Priority::High].map(|priority| queue.slot(&greedy, priority));
    let [older, newer, high] = asks;
    let refused = async {
        yield_now().await;
        assert_eq!(at_once(&queue, "modest", Priority::Low).await.err(), Some(None));
        yield_now().await;
        queue.load().queued
    };
    tokio::select! {
        biased;
        _ = older => panic!("the slot is busy"),
        _ = high => panic!("the slot is busy"),
        gave_way = newer => assert!(matches!(gave_way.err(), Some(Refusal::Full { share: 1, .. }))),
        queued = refused => panic!("the newer one was not refused: {queued} wait"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_own_line_has_the_length_that_is_set() {
    let alone = LocalSet::new();
    alone
        .run_until(async {
            let queue = local(Config { slots: 1, length_per_user: Some(4), ..Config::default() });
            let refused = crowd(&queue, "greedy", Priority::Normal, 1 + 4 + 2);
            settled().await;
            assert_eq!(refused.borrow().len(), 2);
            let told = refused.borrow()[0].to_string();
            assert_eq!(told, "too many requests of this user wait: at most 4 may");
            assert_eq!(at_once(&queue, "modest", Priority::Normal).await.err(), Some(None));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn limits_over_several_tiers_hold_in_all_of_them_together() {
    let queues = Queues::new(&Overall { slots: Some(6), per_user: Some(2) });
    let [a, b, c] = ["a", "b", "c"].map(|tier| queues.queue(tier.into(), with_extra(6, 6, 2)));
    let all = [&a, &b, &c];
    let mut held = Vec::new();
    for name in ["one", "two", "three", "four"] {
        for queue in all {
            held.extend(at_once(queue, name, Priority::Normal).await.ok().map(|slot| (name, slot)));
        }
    }
    let of = |held: &[(&str, Slot)], name| held.iter().filter(|(user, _)| *user == name).count();
    assert_eq!(["one", "two", "three", "four"].map(|name| of(&held, name)), [2, 2, 2, 0]);
    // Long ones or not: it stays at six.
    sleep(2 * SLICE).await;
    assert_eq!(at_once(&c, "four", Priority::High).await.err(), Some(None));
    assert_eq!(all.map(|queue| queue.load().running).iter().sum::<usize>(), 6);
}

#[tokio::test(start_paused = true)]
async fn with_limits_in_common_a_slot_goes_to_whoever_waits_in_any_tier() {
    let queues = Queues::new(&Overall { slots: Some(2), per_user: None });
    let [a, b] = ["a", "b"].map(|tier| Rc::new(queues.queue(tier.into(), Config::default())));
    let alone = LocalSet::new();
    alone
        .run_until(async {
            // Of two slots one user has one at most.
            crowd(&a, "greedy", Priority::High, 50);
            crowd(&b, "greedy", Priority::High, 50);
            settled().await;
            assert_eq!((a.load().running + b.load().running, a.load().queued + b.load().queued), (1, 99));
            let held = b.slot(&user("second"), Priority::Normal).await.unwrap();
            let third = user("third");
            let waits = a.slot(&third, Priority::Low);
            let (_slot, came) = tokio::join!(waits, async {
                sleep(Duration::from_secs(1)).await;
                drop(held);
                Instant::now()
            });
            // What one tier gave back was given to the other at once.
            assert_eq!(came.elapsed(), Duration::ZERO);
        })
        .await;
}

#[test]
fn settings_under_which_nothing_could_run_are_named() {
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
async fn times_without_measure_are_as_good_as_none() {
    let forever = Duration::MAX;
    let config = Config { time_slice: forever, wait_timeout: forever, ageing_interval: forever, ..with_extra(1, 1, 1) };
    let queue = FairQueue::new("tier".into(), config);
    let _busy = queue.slot(&user("a"), Priority::Normal).await.unwrap();
    assert!(timeout(Duration::from_secs(3600), queue.slot(&user("b"), Priority::Normal)).await.is_err());
    assert_eq!(queue.load(), Load { running: 1, queued: 0, slots: 1 });
}

/// One request of a story: when it comes, who asks, how, in which of two tiers, how long it runs, and when it loses
/// patience.
type Asked = (u64, u8, u8, bool, u64, Option<u64>);

fn story() -> impl Strategy<Value = Vec<Asked>> {
    let leaves = prop::option::weighted(0.3, 0u64..80);
    prop::collection::vec((0u64..400, 0u8..5, 0u8..3, any::<bool>(), 1u64..60, leaves), 1..120)
}

/// What limits a story.
fn limits() -> impl Strategy<Value = (usize, usize, usize, Overall)> {
    let overall = (prop::option::of(1usize..8), prop::option::of(1usize..4));
    let overall = overall.prop_map(|(slots, per_user)| Overall { slots, per_user });
    (1usize..5, 1usize..4, 0usize..3, overall)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn limits_hold_nobody_starves_and_nothing_is_left_behind(
        story in story(), (slots, per_user, extra_slots, overall) in limits(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let queues = Queues::new(&overall);
        let config = Config {
            slots, per_user, extra_slots, length: 1000, length_per_user: None,
            wait_timeout: Duration::from_secs(600), ageing_interval: Duration::from_millis(100), time_slice: Duration::from_millis(20),
        };
        let tiers = Rc::new(["one", "other"].map(|tier| queues.queue(tier.into(), config.clone())));
        let all_but_one = |slots: usize| slots.max(2) - 1;
        let of_user = per_user.min(if extra_slots > 0 { slots } else { all_but_one(slots) });
        let (most, most_of_user) = (overall.slots.unwrap_or(usize::MAX), overall.per_user.unwrap_or(usize::MAX));
        let most_of_user = most_of_user.min(all_but_one(most));
        // By user and tier.
        let at_once: Rc<RefCell<BTreeMap<(u8, bool), usize>>> = Rc::default();
        let served = Rc::new(RefCell::new(0));
        let patient = story.iter().filter(|asked| asked.5.is_none()).count();
        LocalSet::new().block_on(&runtime, async {
            let mut tasks = Vec::new();
            for (at, who, priority, tier, runs, leaves) in story {
                let (tiers, at_once, served) = (tiers.clone(), at_once.clone(), served.clone());
                tasks.push(spawn_local(async move {
                    sleep(Duration::from_millis(at)).await;
                    let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
                    let run = async {
                        let slot = tiers[usize::from(tier)].slot(&user(&who.to_string()), priority).await.unwrap();
                        *at_once.borrow_mut().entry((who, tier)).or_default() += 1;
                        {
                            let all = at_once.borrow();
                            let sum = |is: &dyn Fn(&(u8, bool)) -> bool| {
                                all.iter().filter(|(who, _)| is(who)).map(|(_, running)| running).sum::<usize>()
                            };
                            assert!(sum(&|(_, of)| *of == tier) <= slots + extra_slots);
                            assert!(all[&(who, tier)] <= of_user);
                            assert!(sum(&|_| true) <= most);
                            assert!(sum(&|(of, _)| *of == who) <= most_of_user);
                        }
                        let _out = Leaving(&at_once, (who, tier));
                        sleep(Duration::from_millis(runs)).await;
                        drop(slot);
                    };
                    match leaves {
                        None => { run.await; *served.borrow_mut() += 1; }
                        Some(after) => { let _ = timeout(Duration::from_millis(after), run).await; }
                    }
                }));
            }
            for task in tasks { task.await.unwrap(); }
            // The task that looks for long programs has ended, or ends now.
            sleep(Duration::from_millis(100)).await;
        });
        prop_assert_eq!(*served.borrow(), patient);
        for tier in &*tiers {
            prop_assert_eq!(tier.load(), Load { running: 0, queued: 0, slots });
        }
        let state = queues.0.state();
        prop_assert!(state.is_empty() && !state.is_watched);
    }

    #[test]
    fn whoever_has_nothing_waiting_finds_a_place_while_fewer_users_wait_than_there_are_places(
        asked in prop::collection::vec((0u8..8, 0u8..3), 1..200), length in 1usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let queue = local(Config { slots: 1, length, ..Config::default() });
            let _busy = queue.slot(&user("busy"), Priority::Normal).await.unwrap();
            let waiting: Rc<RefCell<BTreeMap<u8, usize>>> = Rc::default();
            for (who, priority) in asked {
                let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
                let others = waiting.borrow().values().filter(|waiting| **waiting > 0).count();
                let mine = waiting.borrow().get(&who).copied().unwrap_or(0);
                *waiting.borrow_mut().entry(who).or_default() += 1;
                let (at, seen) = (queue.clone(), waiting.clone());
                spawn_local(async move {
                    let refused = at.slot(&user(&who.to_string()), priority).await.err();
                    assert!(matches!(refused, Some(Refusal::Full { .. })));
                    *seen.borrow_mut().get_mut(&who).unwrap() -= 1;
                });
                yield_now().await;
                yield_now().await;
                let waiting = waiting.borrow();
                assert_eq!(waiting.values().sum::<usize>(), queue.load().queued);
                assert!(queue.load().queued <= length);
                if mine == 0 && others < length {
                    assert_eq!(waiting[&who], 1, "a newcomer was refused: {waiting:?}");
                }
            }
        });
    }
}

struct Leaving<'a>(&'a RefCell<BTreeMap<(u8, bool), usize>>, (u8, bool));

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        *self.0.borrow_mut().get_mut(&self.1).unwrap() -= 1;
    }
}
