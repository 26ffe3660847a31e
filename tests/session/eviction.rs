//! Idle kernels give their memory back, and clients do not notice.

use std::time::Duration;

use switchtower_core::session::Config;
use tokio::time::timeout;

use super::harness::{Plan, TestHarness, run, seconds, told};

/// What a kernel of the toy counts for.
const KERNEL: u64 = (3 + 1) << 20;

#[tokio::test(start_paused = true)]
async fn an_idle_kernel_is_evicted_and_its_cells_run_again_once_when_it_is_needed() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    run(&session, "x = 1\nprint heard").await;
    run(&session, "x += 1").await;
    assert_eq!(harness.sessions.kernel_memory(), KERNEL);
    harness.run_maintenance(seconds(599)).await;
    assert_eq!(harness.here.kernels(), 1);
    harness.run_maintenance(seconds(3)).await;
    assert_eq!((harness.here.kernels(), harness.sessions.kernel_memory()), (0, 0));
    harness.here.log();
    assert_eq!(told(&session, "x").await, "wasm: 3 | = 2");
    assert_eq!(told(&session, "x").await, "wasm: 4 | = 2");
    assert_eq!(harness.here.log(), ["ran x = 1; print heard", "ran x += 1", "ran x", "ran x"]);
}

#[tokio::test(start_paused = true)]
async fn above_the_memory_limit_the_longest_idle_kernel_is_evicted_first_and_expensive_ones_last() {
    let sessions = Config { memory: 2 * KERNEL, ..Config::default() };
    let harness = TestHarness::of(Plan { sessions, ..Plan::default() });
    let mut opened = Vec::new();
    for cell in ["x = 0\nwork 3", "x = 1", "x = 2", "x = 3"] {
        opened.push(harness.open().await);
        run(opened.last().unwrap(), cell).await;
        tokio::time::sleep(seconds(1)).await;
    }
    assert_eq!((harness.here.kernels(), harness.sessions.kernel_memory()), (4, 4 * KERNEL));
    harness.run_maintenance(Duration::from_millis(10)).await;
    assert_eq!((harness.here.kernels(), harness.sessions.kernel_memory()), (2, 2 * KERNEL));
    // One and two were made again; the dear one, which was idle for longest, and the latest were not.
    harness.here.log();
    for (number, session) in opened.iter().enumerate() {
        assert!(told(session, "x").await.ends_with(&format!("= {number}")));
    }
    assert_eq!(harness.here.log(), ["ran x", "ran x = 1", "ran x", "ran x = 2", "ran x", "ran x"]);
}

#[tokio::test(start_paused = true)]
async fn a_kernel_in_use_or_that_cannot_be_rebuilt_is_not_evicted() {
    let sessions = Config { memory: 0, ..Config::default() };
    let harness = TestHarness::of(Plan { sessions, ..Plan::default() });
    let (busy, torn) = (harness.open().await, harness.open().await);
    run(&busy, "x = 1").await;
    harness.here.mood().tears = true;
    run(&torn, "x = 1").await;
    harness.here.mood().tears = false;
    let (heard, ()) = tokio::join!(run(&busy, "sleep 5\nx"), harness.run_maintenance(seconds(4)));
    assert_eq!(heard.told(), "wasm: 2 | = 1");
    assert_eq!((harness.here.kernels(), harness.sessions.kernel_memory()), (2, 2 * KERNEL));
    assert_eq!(told(&torn, "x").await, "wasm: 2 | = 1");
}

#[tokio::test(start_paused = true)]
async fn a_kernel_lost_to_an_interrupt_counts_no_memory() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    run(&session, "x = 1").await;
    assert!(timeout(seconds(1), run(&session, "sleep 5")).await.is_err());
    harness.run_maintenance(Duration::from_millis(10)).await;
    assert_eq!(harness.sessions.kernel_memory(), 0);
}
