//! Local kernels and their state after a cell that did not end by itself.

use bytes::Bytes;
use switchtower_contract::Exit;
use switchtower_core::session::ExecuteCell;
use tokio::time::{Instant, sleep, timeout};

use super::harness::{TestHarness, execute, run, seconds, transcript};

#[tokio::test(start_paused = true)]
async fn a_cell_that_is_stopped_leaves_the_state_before_it_and_uses_up_its_number() {
    let harness = TestHarness::without_machines();
    let session = harness.open().await;
    run(&session, "x = 1").await;
    let cell =
        |source: &str| ExecuteCell { source: source.to_owned(), timeout: Some(seconds(1)), ..ExecuteCell::default() };
    // Stopped by its time limit.
    let late = execute(&session, cell("x += 1\nwrite /tmp/a half\nx\nsleep 5")).await;
    let answer = late.result.as_ref().unwrap();
    assert_eq!((answer.outcome.exit, answer.restarted, late.output.as_str()), (Exit::TimedOut, false, "2 | = 2"));
    assert_eq!(transcript(&session, "x").await, "wasm: 3 | = 1");
    assert_eq!(transcript(&session, "read /tmp/a").await, "wasm: 4 | FileNotFoundError: /tmp/a");
    // Stopped because its client disconnects.
    assert!(timeout(seconds(1), run(&session, "x += 1\nsleep 5")).await.is_err());
    assert_eq!((harness.wasm.running(), harness.wasm.kernels()), (0, 0));
    assert_eq!(transcript(&session, "x").await, "wasm: 6 | = 1");
}

#[tokio::test(start_paused = true)]
async fn a_lost_kernel_is_rebuilt_and_its_cells_run_again_without_output() {
    let harness = TestHarness::without_machines();
    let session = harness.open().await;
    run(&session, "x = 1\nprint done").await;
    run(&session, "x += 1").await;
    harness.wasm.log();
    assert_eq!(transcript(&session, "x += 1\ndie once\nx").await, "wasm: 3 | = 3");
    assert_eq!(
        harness.wasm.log(),
        ["ran x += 1; die once; x", "ran x = 1; print done", "ran x += 1", "ran x += 1; die once; x"]
    );
    let lost = run(&session, "x += 1\nprint before\nsleep 1\ndie").await;
    assert_eq!(lost.transcript(), "4 | before / unavailable: wasm: lost: it died");
    assert_eq!(transcript(&session, "x").await, "wasm: 5 | = 3");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_rebuilt_is_one_error_that_names_the_cell_and_then_the_context_starts_empty() {
    let harness = TestHarness::without_machines();
    let session = harness.open().await;
    run(&session, "x = 1").await;
    harness.wasm.behaviour().incomplete_tapes = true;
    run(&session, "y = 2").await;
    harness.wasm.behaviour().incomplete_tapes = false;
    assert_eq!(transcript(&session, "x\ny").await, "wasm: 3 | = 1 | = 2");
    let lost = run(&session, "die").await;
    let error = "the state after cell 2 cannot be rebuilt: it read the clock more often than is kept";
    assert_eq!(lost.error(), format!("{error}; the context starts anew"));
    assert_eq!(transcript(&session, "x").await, "wasm: 1 | NameError: x");

    let large = harness.open().await;
    large.files().write("/tmp/large", Bytes::from(vec![0; 33 << 20])).unwrap();
    run(&large, "x = 1").await;
    let lost = run(&large, "die").await.error();
    assert!(lost.contains("after cell 1 cannot be rebuilt: it and the cells before it are too large"), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_took_long_may_take_as_long_in_a_rebuild() {
    let harness = TestHarness::without_machines();
    let session = harness.open().await;
    run(&session, "x = 1\nwork 200").await;
    assert_eq!(transcript(&session, "die once\nx").await, "wasm: 2 | = 1");
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_failed_for_a_missing_module_keeps_the_state() {
    let harness = TestHarness::without_machines();
    let session = harness.open().await;
    assert_eq!(
        transcript(&session, "x = 1\nimport pandas").await,
        "wasm: 1 | ModuleNotFoundError: No module named 'pandas'"
    );
    assert!(run(&session, "die").await.result.is_err());
    assert_eq!(transcript(&session, "x").await, "wasm: 3 | = 1");
}

#[tokio::test(start_paused = true)]
async fn restarting_a_context_ends_the_cell_that_runs_in_it_and_those_that_wait_locally_and_on_a_machine() {
    for on_machine in [false, true] {
        let harness = TestHarness::new();
        let session = harness.open().await;
        if on_machine {
            session.promote("a command").await.unwrap();
        }
        run(&session, "x = 1").await;
        let id = session.contexts().infos().remove(0).id;
        let began = Instant::now();
        let restart = async {
            sleep(seconds(1)).await;
            session.restart_context(&id).await.unwrap();
            began.elapsed()
        };
        let cells = async { tokio::join!(run(&session, "print one\nsleep 100"), run(&session, "print two")) };
        let ((one, two), restarted) = tokio::join!(cells, restart);
        assert_eq!((restarted, one.output.as_str(), two.output.as_str()), (seconds(1), "2 | one", "3"));
        for answer in [one.result.unwrap(), two.result.unwrap()] {
            assert_eq!((answer.outcome.exit, answer.restarted), (Exit::Killed, true));
        }
        assert_eq!((harness.wasm.running(), harness.machines.running()), (0, 0));
        assert!(transcript(&session, "x").await.ends_with("1 | NameError: x"));
    }
}
