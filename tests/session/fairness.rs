//! No caller delays the cells of others, independent of the kind and the number of its own cells.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use switchtower_contract::{Backend, Event};
use switchtower_core::seed::Seed;
use switchtower_core::session::{CellEvent, CellQueue, Config, ExecuteCell, Session, Sessions};
use switchtower_core::tier::{self, Tier, Tiers};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::harness::{Cloud, Plan, TestHarness, assemble, caller, options, run, seconds, transcript};
use crate::backend::harness::harness;

/// Sessions of the greedy caller, each with a cell that never ends.
const GREEDY: usize = 8;
/// The longest that a cell of another caller may take.
const MAX_LATENCY: Duration = Duration::from_secs(1);
/// The longest that a long-running cell may delay another one.
const MAX_DELAY: Duration = Duration::from_millis(250);

fn sessions_in(name: &str, backend: Arc<dyn Backend>) -> Sessions {
    let tier = Tier::new(name.into(), backend, tier::Config::default(), &Seed::fixed(1));
    assemble(Tiers::new([tier]), &Plan::default()).1
}

/// Whether the output of a cell is read after its first event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    Stalls,
}

/// Starts a cell that runs until `cells` is dropped. Returns after its first output.
async fn start(cells: &mut JoinSet<()>, session: Arc<Session>, source: &str, reader: Reader) {
    let (sender, mut receiver) = mpsc::channel(64);
    let cell = ExecuteCell { source: source.to_owned(), ..ExecuteCell::default() };
    cells.spawn(async move {
        let ended = session.execute(cell, &sender).await;
        panic!("an endless cell ended: {ended:?}");
    });
    loop {
        match receiver.recv().await {
            Some(CellEvent::Output { event: Event::Stdout(_), .. }) => break,
            Some(_) => {}
            None => panic!("the cell ended before its first output"),
        }
    }
    cells.spawn(async move {
        while reader == Reader::Reads && receiver.recv().await.is_some() {}
        std::future::pending::<()>().await;
        drop(receiver);
    });
}

/// Asserts that a cell is answered within the highest latency, with the result 2.
async fn assert_prompt(tier: &str, session: &Session, source: &str, number: usize) {
    let began = Instant::now();
    let output = timeout(MAX_LATENCY, transcript(session, source)).await;
    assert_eq!(output.as_deref().ok(), Some(&*format!("{tier}: {number} | = 2")), "after {:?}", began.elapsed());
    eprintln!("{tier}: {source:?} beside endless cells: {:?}", began.elapsed());
}

/// Asserts that cells of one caller are answered while endless cells of another one run: in existing sessions, whose kernels
/// are in the same processes as the endless cells, and in new ones.
async fn assert_nobody_waits(tier: &str, sessions: &Sessions) {
    let open = async |user: &str| sessions.create(&caller(user), options()).await.unwrap();
    let existing = [open("bob").await, open("bob").await, open("bob").await, open("bob").await];
    for session in &existing {
        assert_eq!(transcript(session, "x = 1").await, format!("{tier}: 1"));
    }
    let mut endless = JoinSet::new();
    let cells = sessions.config().cells();
    assert!(cells.per_user < cells.slots && GREEDY > cells.per_user, "{cells:?}");
    let prints = "while True: print('begun', flush=True)";
    start(&mut endless, open("ada").await, prints, Reader::Stalls).await;
    start(&mut endless, open("ada").await, prints, Reader::Reads).await;
    for _ in 2..cells.per_user {
        start(&mut endless, open("ada").await, "print('begun', flush=True)\nwhile True: pass", Reader::Reads).await;
    }
    for _ in cells.per_user..GREEDY {
        let session = open("ada").await;
        // These wait in the queue.
        endless.spawn(async move { drop(run(&session, "while True: pass").await) });
    }
    for round in 0..3 {
        for session in &existing {
            assert_prompt(tier, session, "x + 1", round + 2).await;
        }
        assert_prompt(tier, &*open("bob").await, "1 + 1", 1).await;
        assert_prompt(tier, &*open("eve").await, "1 + 1", 1).await;
    }
    endless.shutdown().await;
    sessions.close().await;
}

#[test]
fn endless_cells_of_one_caller_delay_no_cell_of_another_in_webassembly() {
    let harness = harness();
    harness.block_on(async {
        assert_nobody_waits("wasm", &sessions_in("wasm", Arc::clone(&harness.workers) as Arc<dyn Backend>)).await;
    });
}

#[test]
fn endless_cells_of_one_caller_delay_no_cell_of_another_in_native_kernels() {
    crate::native::in_each_profile(async |native| assert_nobody_waits("native", &sessions_in("native", native)).await);
}

/// Returns the sorted times that `count` short cells of one caller take, run one after the other.
async fn cell_times(session: &Session, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        run(session, "sleep(1)").await.result.unwrap();
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
        let modest = harness.sessions.create(&caller("bob"), options()).await.unwrap();
        let alone = p95(&cell_times(&modest, 40).await);
        let mut others = JoinSet::new();
        for _ in 0..greedy {
            let session = harness.sessions.create(&caller("ada"), options()).await.unwrap();
            others.spawn(async move {
                // Refused cells are sent again, as a greedy caller does.
                loop {
                    run(&session, cells).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        tokio::time::sleep(seconds(1)).await;
        let beside = p95(&cell_times(&modest, 40).await);
        assert!(beside <= 2 * alone + MAX_DELAY, "{greedy} of {cells}: {alone:?} alone, {beside:?} beside");
        others.shutdown().await;
    }
}

/// Returns Jain's index of fairness: 1 if all shares are equal, 1/n if one caller has everything (Jain, Chiu, Hawe 1984).
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

#[tokio::test(start_paused = true)]
async fn callers_that_want_more_than_their_share_get_equal_shares_however_many_cells_they_send() {
    // Each of three callers would fill its share, and there are fewer slots than they want together.
    // Without extra slots, which would hide an idle slot.
    let queue = CellQueue {
        slots: Some(8),
        per_user: Some(4),
        wait_timeout: seconds(3600),
        extra_slots: 0,
        ..CellQueue::default()
    };
    let sessions = Config { queue, ..Config::default() };
    let harness = TestHarness::with_plan(Plan { sessions, cloud: Cloud::Absent("none"), ..Plan::default() });
    let until = Instant::now() + seconds(300);
    let completed_cells = async |user: &str, count: usize| {
        let run_cells = async |session: Arc<Session>| {
            let mut ran = 0;
            while Instant::now() < until {
                run(&session, "sleep(1)").await.result.unwrap();
                ran += 1;
            }
            ran
        };
        let mut sessions = Vec::new();
        for _ in 0..count {
            sessions.push(harness.sessions.create(&caller(user), options()).await.unwrap());
        }
        join_all(sessions.into_iter().map(run_cells)).await.into_iter().sum::<u32>()
    };
    let (ada, bob, eve) =
        tokio::join!(completed_cells("ada", 100), completed_cells("bob", 10), completed_cells("eve", 5));
    let index = jain(&[f64::from(ada), f64::from(bob), f64::from(eve)]);
    assert!(index > 0.98, "{ada}, {bob} and {eve} cells: {index}");
    // No slot is idle meanwhile.
    assert!(ada + bob + eve >= 8 * 295, "{ada}, {bob} and {eve} cells");
}

#[tokio::test(start_paused = true)]
async fn one_caller_never_has_every_slot_whatever_the_settings_say() {
    for (slots, per_user) in
        [(Some(1), Some(1)), (Some(2), Some(16)), (Some(16), Some(16)), (None, Some(1000)), (None, None)]
    {
        let queue = CellQueue { slots, per_user, ..CellQueue::default() };
        let sessions = Config { queue, ..Config::default() };
        let harness = TestHarness::with_plan(Plan { sessions, cloud: Cloud::Absent("none"), ..Plan::default() });
        let modest = harness.sessions.create(&caller("bob"), options()).await.unwrap();
        let mut others = JoinSet::new();
        for _ in 0..100 {
            let session = harness.sessions.create(&caller("ada"), options()).await.unwrap();
            others.spawn(async move { drop(run(&session, "sleep(2000)").await) });
        }
        tokio::time::sleep(seconds(1)).await;
        let began = Instant::now();
        assert_eq!(transcript(&modest, "x = 2\nx").await, "wasm: 1 | = 2");
        let waited = began.elapsed();
        assert!(waited <= Duration::from_millis(250), "{waited:?}: {slots:?} slots, {per_user:?} of one caller");
        others.shutdown().await;
    }
}
