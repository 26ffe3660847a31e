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
        refused = refused => assert!(matches!(refused, Some(Refusal::Full { retry_after }) if !retry_after.is_zero())),
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end() {
    let queue =
        FairQueue::new("tier".into(), Config { slots: 1, patience: Duration::from_secs(3), ..Config::default() });
    let _busy = queue.slot(&user("a"), Priority::Normal).await.unwrap();
    let late = queue.slot(&user("b"), Priority::Normal).await.err().unwrap();
    assert!(matches!(late, Refusal::Late { waited, .. } if waited >= Duration::from_secs(3)), "{late:?}");
    assert_eq!(queue.load().queued, 0);
}

/// One request of a story: when it comes, who asks, how, how long it runs, and when it loses patience.
type Asked = (u64, u8, u8, u64, Option<u64>);

fn story() -> impl Strategy<Value = Vec<Asked>> {
    prop::collection::vec((0u64..400, 0u8..5, 0u8..3, 1u64..60, prop::option::weighted(0.3, 0u64..80)), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn limits_hold_nobody_starves_and_nothing_is_left_behind(
        story in story(), slots in 1usize..5, per_user in 1usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let queue = Rc::new(FairQueue::new("tier".into(), Config {
            slots, per_user, length: 1000, patience: Duration::from_secs(600), ageing: Duration::from_millis(100),
        }));
        let at_once: Rc<RefCell<BTreeMap<u8, usize>>> = Rc::default();
        let served = Rc::new(RefCell::new(0));
        let patient = story.iter().filter(|asked| asked.4.is_none()).count();
        LocalSet::new().block_on(&runtime, async {
            let mut tasks = Vec::new();
            for (at, who, priority, runs, leaves) in story {
                let (queue, at_once, served) = (queue.clone(), at_once.clone(), served.clone());
                tasks.push(spawn_local(async move {
                    sleep(Duration::from_millis(at)).await;
                    let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
                    let run = async {
                        let slot = queue.slot(&user(&who.to_string()), priority).await.unwrap();
                        *at_once.borrow_mut().entry(who).or_default() += 1;
                        assert!(at_once.borrow().values().sum::<usize>() <= slots);
                        assert!(at_once.borrow()[&who] <= per_user);
                        let _out = Leaving(&at_once, who);
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
        });
        prop_assert_eq!(*served.borrow(), patient);
        prop_assert_eq!(queue.load(), Load { running: 0, queued: 0, slots });
        prop_assert!(queue.shared.state().users.is_empty());
    }
}

struct Leaving<'a>(&'a RefCell<BTreeMap<u8, usize>>, u8);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        *self.0.borrow_mut().get_mut(&self.1).unwrap() -= 1;
    }
}
