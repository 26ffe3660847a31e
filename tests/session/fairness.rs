//! No caller holds up others, whatever its cells do and however many there are.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use switchtower_contract::{Backend, Event};
use switchtower_core::seed::Seed;
use switchtower_core::session::{CellEvent, Config, ExecuteCell, Session, Sessions};
use switchtower_core::tier::{self, Tier, Tiers, queue};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::harness::{Cloud, Plan, TestHarness, asked, caller, over, run, seconds, told};
use crate::backend::harness::harness;

/// Sessions of the greedy caller, each with a cell that never ends.
const GREEDY: usize = 8;
/// Within this a cell of another caller is answered.
const PROMPT: Duration = Duration::from_secs(1);
/// A cell that runs for long may keep another one waiting for this long.
const SLICE: Duration = Duration::from_millis(250);

fn sessions_over(name: &str, backend: Arc<dyn Backend>) -> Sessions {
    let tier = Tier::new(name.into(), backend, tier::Config::default(), &Seed::fixed(1));
    over(Tiers::new([tier]), &Plan::default()).1
}

/// Has a cell run until it is dropped; returns when it has begun. From then on nobody reads what it says, where `reads` is
/// not set.
async fn begin(cells: &mut JoinSet<()>, session: Arc<Session>, source: &str, reads: bool) {
    let (to, mut from) = mpsc::channel(64);
    let cell = ExecuteCell { source: source.to_owned(), ..ExecuteCell::default() };
    cells.spawn(async move {
        let ended = session.execute(cell, &to).await;
        panic!("an endless cell ended: {ended:?}");
    });
    loop {
        match from.recv().await {
            Some(CellEvent::Output { event: Event::Stdout(_), .. }) => break,
            Some(_) => {}
            None => panic!("it ended before it began"),
        }
    }
    cells.spawn(async move {
        while reads && from.recv().await.is_some() {}
        std::future::pending::<()>().await;
        drop(from);
    });
}

async fn prompt(tier: &str, session: &Session, source: &str, number: usize) {
    let began = Instant::now();
    let said = timeout(PROMPT, told(session, source)).await;
    assert_eq!(said.as_deref().ok(), Some(&*format!("{tier}: {number} | = 2")), "after {:?}", began.elapsed());
    eprintln!("{tier}: {source:?} beside endless cells: {:?}", began.elapsed());
}

/// Cells of one caller are answered at once while those of another run for ever, in sessions that there are, whose kernels
/// live in the very processes that the endless ones run in, and in new ones.
async fn nobody_waits(tier: &str, sessions: &Sessions) {
    let open = async |user: &str| sessions.create(&caller(user), asked()).await.unwrap();
    let existing = [open("bob").await, open("bob").await, open("bob").await, open("bob").await];
    for session in &existing {
        assert_eq!(told(session, "x = 1").await, format!("{tier}: 1"));
    }
    let mut endless = JoinSet::new();
    let cells = sessions.config().cells();
    assert!(cells.per_user < cells.slots && GREEDY > cells.per_user, "{cells:?}");
    let talks = "while True: print('begun', flush=True)";
    begin(&mut endless, open("ada").await, talks, false).await;
    begin(&mut endless, open("ada").await, talks, true).await;
    for _ in 2..cells.per_user {
        begin(&mut endless, open("ada").await, "print('begun', flush=True)\nwhile True: pass", true).await;
    }
    for _ in cells.per_user..GREEDY {
        let session = open("ada").await;
        // These wait.
        endless.spawn(async move { drop(run(&session, "while True: pass").await) });
    }
    for round in 0..3 {
        for session in &existing {
            prompt(tier, session, "x + 1", round + 2).await;
        }
        prompt(tier, &*open("bob").await, "1 + 1", 1).await;
        prompt(tier, &*open("eve").await, "1 + 1", 1).await;
    }
    endless.shutdown().await;
    sessions.close().await;
}

#[test]
fn endless_cells_of_one_caller_keep_no_cell_of_another_waiting_in_webassembly() {
    let harness = harness();
    harness.block_on(async {
        nobody_waits("wasm", &sessions_over("wasm", Arc::clone(&harness.workers) as Arc<dyn Backend>)).await;
    });
}

#[test]
fn endless_cells_of_one_caller_keep_no_cell_of_another_waiting_in_native_kernels() {
    crate::native::in_each_profile(async |native| nobody_waits("native", &sessions_over("native", native)).await);
}

/// How long each of so many short cells of one caller takes, one after the other.
async fn times(session: &Session, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        run(session, "sleep(1)").await.done.unwrap();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times
}

fn p95(times: &[Duration]) -> Duration {
    times[times.len() * 95 / 100]
}

#[tokio::test(start_paused = true)]
async fn a_modest_callers_cells_take_no_more_than_twice_as_long_beside_a_greedy_one() {
    for (greedy, cells) in [(5, "sleep(10)"), (60, "sleep(10)"), (60, "sleep(2)"), (200, "sleep(2000)")] {
        let harness = TestHarness::without_machines();
        let modest = harness.sessions.create(&caller("bob"), asked()).await.unwrap();
        let alone = p95(&times(&modest, 40).await);
        let mut others = JoinSet::new();
        for _ in 0..greedy {
            let session = harness.sessions.create(&caller("ada"), asked()).await.unwrap();
            others.spawn(async move {
                // Refused cells are sent again, as a greedy caller does.
                loop {
                    run(&session, cells).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        tokio::time::sleep(seconds(1)).await;
        let beside = p95(&times(&modest, 40).await);
        assert!(beside <= 2 * alone + SLICE, "{greedy} of {cells}: {alone:?} alone, {beside:?} beside");
        others.shutdown().await;
    }
}

/// Jain's index of fairness: 1 where all have the same, 1/n where one has all. (Jain, Chiu, Hawe 1984)
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

#[tokio::test(start_paused = true)]
async fn callers_that_want_more_than_there_is_get_equal_shares_however_many_cells_they_send() {
    // Three callers that would each fill their share, and fewer slots than they want together.
    let cells = queue::Config { slots: 8, per_user: 4, wait_timeout: seconds(3600), ..queue::Config::default() };
    let sessions = Config { queue: cells, ..Config::default() };
    let harness = TestHarness::of(Plan { sessions, cloud: Cloud::Absent("none"), ..Plan::default() });
    let until = Instant::now() + seconds(300);
    let of = async |user: &str, count: usize| {
        let one = async |session: Arc<Session>| {
            let mut ran = 0;
            while Instant::now() < until {
                run(&session, "sleep(1)").await.done.unwrap();
                ran += 1;
            }
            ran
        };
        let mut sessions = Vec::new();
        for _ in 0..count {
            sessions.push(harness.sessions.create(&caller(user), asked()).await.unwrap());
        }
        join_all(sessions.into_iter().map(one)).await.into_iter().sum::<u32>()
    };
    let (ada, bob, eve) = tokio::join!(of("ada", 100), of("bob", 10), of("eve", 5));
    let index = jain(&[f64::from(ada), f64::from(bob), f64::from(eve)]);
    assert!(index > 0.98, "{ada}, {bob} and {eve} cells: {index}");
    // Nothing lies idle meanwhile.
    assert!(ada + bob + eve >= 8 * 295, "{ada}, {bob} and {eve} cells");
}

#[tokio::test(start_paused = true)]
async fn one_caller_never_has_every_slot_whatever_the_settings_say() {
    for (slots, per_user) in [(1, 1), (2, 16), (16, 16), (0, 1000), (0, 0)] {
        let queue = queue::Config { slots, per_user, ..Config::default().queue };
        let sessions = Config { queue, ..Config::default() };
        let harness = TestHarness::of(Plan { sessions, cloud: Cloud::Absent("none"), ..Plan::default() });
        let modest = harness.sessions.create(&caller("bob"), asked()).await.unwrap();
        let mut others = JoinSet::new();
        for _ in 0..100 {
            let session = harness.sessions.create(&caller("ada"), asked()).await.unwrap();
            others.spawn(async move { drop(run(&session, "sleep(2000)").await) });
        }
        tokio::time::sleep(seconds(1)).await;
        let began = Instant::now();
        assert_eq!(told(&modest, "x = 2\nx").await, "wasm: 1 | = 2");
        let waited = began.elapsed();
        assert!(waited <= Duration::from_millis(250), "{waited:?}: {slots} slots, {per_user} of one caller");
        others.shutdown().await;
    }
}
