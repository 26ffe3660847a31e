//! Idle kernels give their memory back, and clients do not notice.

use std::time::Duration;

use switchtower_core::session::Config;
use tokio::time::timeout;

use super::harness::{Plan, TestHarness, run, seconds, transcript};

/// The bytes charged for one scripted kernel.
const KERNEL: u64 = (3 + 1) << 20;

#[tokio::test(start_paused = true)]
async fn an_idle_kernel_is_evicted_and_its_cells_run_again_once_when_it_is_needed() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    run(&session, "x = 1\nprint done").await;
    run(&session, "x += 1").await;
    assert_eq!(harness.sessions.kernel_memory(), KERNEL);
    harness.run_maintenance(seconds(599)).await;
    assert_eq!(harness.wasm.kernels(), 1);
    harness.run_maintenance(seconds(3)).await;
    assert_eq!((harness.wasm.kernels(), harness.sessions.kernel_memory()), (0, 0));
    harness.wasm.log();
    assert_eq!(transcript(&session, "x").await, "wasm: 3 | = 2");
    assert_eq!(transcript(&session, "x").await, "wasm: 4 | = 2");
    assert_eq!(harness.wasm.log(), ["ran x = 1; print done", "ran x += 1", "ran x", "ran x"]);
}

#[tokio::test(start_paused = true)]
async fn above_the_memory_limit_the_longest_idle_kernel_is_evicted_first_and_expensive_ones_last() {
    let sessions = Config { max_kernel_memory: 2 * KERNEL, ..Config::default() };
    let harness = TestHarness::with_plan(Plan { sessions, ..Plan::default() });
    let mut opened = Vec::new();
    for cell in ["x = 0\nwork 3", "x = 1", "x = 2", "x = 3"] {
        opened.push(harness.open().await);
        run(opened.last().unwrap(), cell).await;
        tokio::time::sleep(seconds(1)).await;
    }
    assert_eq!((harness.wasm.kernels(), harness.sessions.kernel_memory()), (4, 4 * KERNEL));
    harness.run_maintenance(Duration::from_millis(10)).await;
    assert_eq!((harness.wasm.kernels(), harness.sessions.kernel_memory()), (2, 2 * KERNEL));
    // Kernels 1 and 2 were rebuilt; the expensive one, which was idle for longest, and the latest one had not been evicted.
    harness.wasm.log();
    for (number, session) in opened.iter().enumerate() {
        assert!(transcript(session, "x").await.ends_with(&format!("= {number}")));
    }
    assert_eq!(harness.wasm.log(), ["ran x", "ran x = 1", "ran x", "ran x = 2", "ran x", "ran x"]);
}

#[tokio::test(start_paused = true)]
async fn a_kernel_in_use_or_that_cannot_be_rebuilt_is_not_evicted() {
    let sessions = Config { max_kernel_memory: 0, ..Config::default() };
    let harness = TestHarness::with_plan(Plan { sessions, ..Plan::default() });
    let (busy, incomplete) = (harness.open().await, harness.open().await);
    run(&busy, "x = 1").await;
    harness.wasm.behaviour().incomplete_tapes = true;
    run(&incomplete, "x = 1").await;
    harness.wasm.behaviour().incomplete_tapes = false;
    let (cell, ()) = tokio::join!(run(&busy, "sleep 5\nx"), harness.run_maintenance(seconds(4)));
    assert_eq!(cell.transcript(), "wasm: 2 | = 1");
    assert_eq!((harness.wasm.kernels(), harness.sessions.kernel_memory()), (2, 2 * KERNEL));
    assert_eq!(transcript(&incomplete, "x").await, "wasm: 2 | = 1");
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
