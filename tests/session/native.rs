//! A second local tier, whose kernels cannot be rebuilt: when contexts move to it and on to a machine, what moves, and what is
//! lost.

use std::sync::Arc;

use switchtower_contract::{Exit, Fault, Language};
use switchtower_core::error::Error;
use switchtower_core::session::{AtEnd, Config, CreateSession, ExecuteCell, Session};
use tokio::time::{sleep, timeout};

use super::harness::{Cloud, Plan, TestHarness, caller, execute, options, run, run_in, seconds, transcript};

/// Cells that need the native tier. The analysis sees it in the second one only; the first one has to run.
const NEEDS_NATIVE: &str = "import pandas";
const OBVIOUSLY_NEEDS_NATIVE: &str = "import pandas\npandas.x = 1";
/// The same for a machine.
const NEEDS_MACHINE: &str = "import torch";
const OBVIOUSLY_NEEDS_MACHINE: &str = "import torch\ntorch.x = 1";

fn without_machines() -> TestHarness {
    TestHarness::with_plan(Plan { native: true, cloud: Cloud::Absent("set E2B_API_KEY"), ..Plan::default() })
}

/// Returns the numbers of kernels in WebAssembly, of native kernels, and of machines.
fn kernel_counts(harness: &TestHarness) -> (u32, u32, u32) {
    (harness.wasm.kernels(), harness.native.kernels(), harness.machines.sandboxes())
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_turns_out_to_need_the_native_tier_runs_there_from_the_state_before_it_and_its_context_stays() {
    let harness = TestHarness::with_native();
    let session = harness.open().await;
    run(&session, "x = 1\nprint done").await;
    let moved = run(&session, "x += 1\nprint(\"a\")\nsleep(1)\nimport pandas\nprint(\"b\")\nx").await;
    assert_eq!(moved.transcript(), "native: 2 | a | b | = 2");
    assert_eq!(moved.result.unwrap().moved.as_deref(), Some("it needs the module pandas"));
    assert_eq!(harness.native.log()[0], "ran x = 1; print done");
    let stays = run(&session, "x").await;
    assert_eq!((stays.transcript().as_str(), stays.result.unwrap().moved), ("native: 3 | = 2", None));
    assert!(session.machine().is_none() && session.machine_slot().tier().is_none());
    assert_eq!(kernel_counts(&harness), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_obviously_needs_the_native_tier_starts_there_or_moves_there_before_it_runs() {
    let harness = TestHarness::with_native();
    let (fresh, used) = (harness.open().await, harness.open().await);
    let first = run(&fresh, OBVIOUSLY_NEEDS_NATIVE).await;
    assert_eq!((first.transcript().as_str(), first.result.unwrap().moved), ("native: 1", None));
    assert_eq!(harness.wasm.opened(), 0);
    run(&used, "x = 1").await;
    let moved = run(&used, OBVIOUSLY_NEEDS_NATIVE).await;
    assert_eq!(moved.transcript(), "native: 2");
    assert!(moved.result.unwrap().moved.unwrap().starts_with("tier wasm does not provide module pandas"));
    assert_eq!(transcript(&used, "x").await, "native: 3 | = 1");
}

#[tokio::test(start_paused = true)]
async fn a_machine_gets_the_state_of_all_cells_wherever_they_ran() {
    let harness = TestHarness::with_native();
    let session = harness.open().await;
    run(&session, "x = 1").await;
    run(&session, "x += 1\nimport pandas").await;
    run(&session, "y = 3").await;
    let moved = run(&session, OBVIOUSLY_NEEDS_MACHINE).await;
    assert_eq!(moved.transcript(), "e2b: 4");
    assert!(moved.result.unwrap().moved.is_some());
    assert_eq!(harness.machines.log()[1..4], ["ran x = 1", "ran x += 1; import pandas", "ran y = 3"]);
    assert_eq!(transcript(&session, "x\ny").await, "e2b: 5 | = 2 | = 3");
    assert_eq!(kernel_counts(&harness), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_move_is_reported_with_its_cell_and_the_kernel_stays_unchanged() {
    let harness = TestHarness::with_native();
    let session = harness.open().await;
    run(&session, "x = 1").await;
    run(&session, "y = TIER\nimport pandas").await;
    for number in [3, 5] {
        let stays = run(&session, OBVIOUSLY_NEEDS_MACHINE).await.error();
        let why = "the state after cell 2 cannot be rebuilt: y: it came out different there";
        assert_eq!(stays, format!("the session cannot move to e2b: {why}"));
        assert_eq!(transcript(&session, "x\ny").await, format!("native: {} | = 1 | = native", number + 1));
    }
    assert_eq!((harness.native.opened(), kernel_counts(&harness)), (1, (0, 1, 0)));
    // The same for a move to the native tier: the context stays where it was.
    let harness = without_machines();
    let session = harness.open().await;
    run(&session, "z = TIER").await;
    assert!(
        run(&session, NEEDS_NATIVE)
            .await
            .error()
            .contains("cannot move to native: the state after cell 1 cannot be rebuilt: z")
    );
    assert_eq!(transcript(&session, "z").await, "wasm: 3 | = wasm");
    assert_eq!(kernel_counts(&harness), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_move_whose_client_disconnects_leaves_the_names_where_they_were() {
    let harness = TestHarness::with_native();
    harness.machines.behaviour().apply_time = seconds(5);
    let session = harness.open().await;
    session.files().write("/tmp/a", "client".into()).unwrap();
    run(&session, "x = 1\nimport pandas").await;
    assert!(timeout(seconds(2), run(&session, OBVIOUSLY_NEEDS_MACHINE)).await.is_err());
    assert_eq!(transcript(&session, "x").await, "native: 3 | = 1");
    assert_eq!((harness.native.opened(), kernel_counts(&harness)), (1, (0, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_dies_loses_its_names_and_the_next_cell_reports_it_once() {
    for (dies, note) in [("exit", false), ("x += 1\ndie", true)] {
        let harness = TestHarness::with_native();
        let session = harness.open().await;
        run(&session, "x = 1\nimport pandas\nwrite /tmp/a kept").await;
        harness.native.log();
        let died = run(&session, dies).await;
        assert_eq!((died.transcript().as_str(), harness.native.log().len()), ("native: 2", 1));
        let answer = died.result.unwrap();
        assert_eq!((answer.outcome.exit, answer.restarted, answer.note.is_some()), (Exit::Killed, true, note));
        assert_eq!(kernel_counts(&harness), (0, 0, 0));
        assert_eq!(transcript(&session, "read /tmp/a\nx").await, "wasm: 1 | kept | NameError: x");
    }
}

#[tokio::test(start_paused = true)]
async fn above_the_limit_of_kernels_cells_take_the_next_leg_of_their_route_or_are_refused_with_a_time_to_retry() {
    let sessions = Config { max_native_kernels: 1, ..Config::default() };
    for cloud in [Cloud::Available, Cloud::Absent("set E2B_API_KEY")] {
        let machines = matches!(cloud, Cloud::Available);
        let harness =
            TestHarness::with_plan(Plan { sessions: sessions.clone(), cloud, native: true, ..Plan::default() });
        let (first, second) = (harness.open().await, harness.open().await);
        run(&first, NEEDS_NATIVE).await;
        run(&second, "x = 2").await;
        let full = run(&second, OBVIOUSLY_NEEDS_NATIVE).await;
        if machines {
            assert_eq!(full.transcript(), "e2b: 2");
            assert!(
                full.result.unwrap().moved.unwrap().contains("native keeps 1 kernel for the sessions of one caller")
            );
            continue;
        }
        assert!(matches!(&full.result, Err(Error::LimitReached { .. })), "{}", full.transcript());
        assert_eq!(
            full.error(),
            "limit reached: native keeps 1 kernel for the sessions of one caller: end a session, restart or close a \
             context that has one, or wait until one of another session is idle for 5m"
        );
        assert_eq!(transcript(&second, "x").await, "wasm: 3 | = 2");
        first.end();
        sleep(seconds(1)).await;
        assert_eq!(transcript(&second, "import pandas\nx").await, "native: 4 | = 2");
        // A refusal by the tier itself.
        second.end();
        sleep(seconds(1)).await;
        let third = harness.open().await;
        harness.native.behaviour().open_fault =
            Some(Fault::Refused { reason: "busy".to_owned(), retry_after: Some(seconds(3)) });
        let full = run(&third, OBVIOUSLY_NEEDS_NATIVE).await;
        assert!(matches!(full.result, Err(Error::Unavailable { retry_after: Some(after), .. }) if after == seconds(3)));
    }
}

/// A harness with at most two native kernels, in total and for one caller.
fn with_two_kernels() -> TestHarness {
    let sessions = Config {
        max_native_kernels: 2,
        max_native_kernels_per_caller: 2,
        native_kernel_idle: seconds(300),
        ..Config::default()
    };
    TestHarness::with_plan(Plan { sessions, native: true, cloud: Cloud::Absent("none"), ..Plan::default() })
}

async fn open_for(harness: &TestHarness, user: &str) -> Arc<Session> {
    harness.sessions.create(&caller(user), options()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_caller_gets_at_most_a_quarter_of_the_kernels_and_others_get_theirs() {
    let harness = without_machines();
    let mut kept = Vec::new();
    for _ in 0..8 {
        let session = open_for(&harness, "ada").await;
        assert_eq!(transcript(&session, "x = 1\nimport pandas\nx").await, "native: 1 | = 1");
        kept.push(session);
    }
    let ninth = open_for(&harness, "ada").await;
    let full = run(&ninth, NEEDS_NATIVE).await;
    assert!(matches!(&full.result, Err(Error::LimitReached { retry_after: Some(after), .. }) if !after.is_zero()));
    assert!(full.error().contains("native keeps 8 kernels for the sessions of one caller: end a session"));
    for user in ["bob", "eve"] {
        assert_eq!(transcript(&*open_for(&harness, user).await, "x = 1\nimport pandas\nx").await, "native: 1 | = 1");
    }
    // A kernel that is released can be used again.
    kept.pop().unwrap().end();
    sleep(seconds(1)).await;
    assert_eq!(transcript(&ninth, "x = 1\nimport pandas\nx").await, "native: 2 | = 1");
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_kernel_is_ended_for_another_caller_and_its_next_cell_reports_it() {
    let harness = with_two_kernels();
    let (first, second) = (open_for(&harness, "ada").await, open_for(&harness, "ada").await);
    run(&first, "x = 1\nimport pandas\nwrite /tmp/a kept").await;
    sleep(seconds(1)).await;
    run(&second, "x = 2\nimport pandas").await;
    let other = open_for(&harness, "bob").await;
    // No kernel has been idle for long enough.
    let full = run(&other, NEEDS_NATIVE).await;
    let Err(Error::Overloaded { retry_after, .. }) = &full.result else { panic!("{}", full.transcript()) };
    assert!(*retry_after > seconds(290) && *retry_after <= seconds(300), "{retry_after:?}");
    assert!(full.error().contains("native keeps 2 kernels for all sessions together: end a session, or wait until"));
    sleep(seconds(300)).await;
    assert_eq!(transcript(&other, "y = 3\nimport pandas\ny").await, "native: 2 | = 3");
    assert_eq!(kernel_counts(&harness).1, 2);
    // The next cell of a kernel that was ended does not run; its answer has the reason.
    harness.native.log();
    let gone = run(&first, "write /tmp/b never\nx").await;
    assert_eq!((gone.output.as_str(), harness.native.log()), ("2", Vec::new()));
    let answer = gone.result.unwrap();
    assert_eq!((answer.outcome.exit, answer.restarted, answer.tier.as_str()), (Exit::Killed, true, "native"));
    assert_eq!(
        answer.note.as_deref(),
        Some(
            "its kernel is gone: it was idle for more than 5m, and another session needed a kernel; the context starts \
             anew: run its earlier cells again"
        )
    );
    assert_eq!(transcript(&first, "read /tmp/a\nx").await, "wasm: 1 | kept | NameError: x");
    assert_eq!(transcript(&second, "x").await, "native: 2 | = 2");
}

#[tokio::test(start_paused = true)]
async fn a_kernel_in_which_a_cell_runs_is_not_ended_and_an_idle_one_of_the_same_caller_is() {
    let harness = with_two_kernels();
    let (first, second) = (open_for(&harness, "ada").await, open_for(&harness, "bob").await);
    run(&first, "x = 1\nimport pandas").await;
    run(&second, "x = 2\nimport pandas").await;
    let runs = run(&first, "sleep(1000)\nx");
    let move_later = async {
        sleep(seconds(400)).await;
        // This caller's own kernel is idle, that of the other caller is not.
        let another = open_for(&harness, "bob").await;
        assert_eq!(transcript(&another, "y = 3\nimport pandas\ny").await, "native: 1 | = 3");
    };
    let (ran, ()) = tokio::join!(runs, move_later);
    assert_eq!(ran.transcript(), "native: 2 | = 1");
    let gone = run(&second, "x").await.result.unwrap();
    assert!(gone.restarted && gone.note.unwrap().contains("another session needed a kernel"));
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_idle_kernel_is_ended_for_its_next_session_and_a_refusal_says_when() {
    let sessions = Config { max_native_kernels_per_caller: 1, ..Config::default() };
    let harness =
        TestHarness::with_plan(Plan { sessions, native: true, cloud: Cloud::Absent("none"), ..Plan::default() });
    let (first, second) = (harness.open().await, harness.open().await);
    run(&first, "x = 1\nimport pandas").await;
    sleep(seconds(100)).await;
    let full = run(&second, NEEDS_NATIVE).await.result;
    assert!(
        matches!(full, Err(Error::LimitReached { retry_after: Some(after), .. }) if after == seconds(200)),
        "{full:?}"
    );
    sleep(seconds(200)).await;
    assert_eq!(transcript(&second, "x = 2\nimport pandas\nx").await, "native: 2 | = 2");
    let gone = run(&first, "x").await.result.unwrap();
    assert!(gone.restarted && gone.note.unwrap().contains("another session of the same caller needed a kernel"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_idle_kernel_is_reported_on_the_machine_that_its_session_has_moved_to() {
    let sessions = Config { max_native_kernels: 1, native_kernel_idle: seconds(300), ..Config::default() };
    let harness = TestHarness::with_plan(Plan { sessions, native: true, ..Plan::default() });
    let first = open_for(&harness, "ada").await;
    run(&first, "x = 1\nimport pandas").await;
    sleep(seconds(301)).await;
    assert_eq!(transcript(&*open_for(&harness, "bob").await, NEEDS_NATIVE).await, "native: 1");
    first.promote("a command").await.unwrap();
    let gone = run(&first, "x").await.result.unwrap();
    assert!(gone.restarted && gone.note.unwrap().contains("another session needed a kernel"));
    assert_eq!(transcript(&first, "x").await, "e2b: 1 | NameError: x");
}

#[tokio::test(start_paused = true)]
async fn the_files_of_a_session_are_the_same_in_every_tier() {
    let harness = TestHarness::with_native();
    let session = harness.open().await;
    session.files().write("/tmp/a", "client".into()).unwrap();
    run(&session, "write /tmp/b wasm\nwrite /tmp/gone wasm").await;
    session.files().remove("/tmp/gone").unwrap();
    assert_eq!(
        transcript(&session, "import pandas\nread /tmp/a\nread /tmp/b\nwrite /tmp/c native").await,
        "native: 2 | clientwasm"
    );
    assert!(transcript(&session, "read /tmp/gone").await.ends_with("FileNotFoundError: /tmp/gone"));
    assert_eq!(session.files().read("/tmp/c").unwrap(), "native");
    session.files().write("/tmp/a", "anew".into()).unwrap();
    assert_eq!(transcript(&session, "read /tmp/a").await, "native: 4 | anew");
    assert_eq!(transcript(&session, "import torch\ntorch.x = 1").await, "e2b: 5");
    assert_eq!(transcript(&session, "read /tmp/a\nread /tmp/b\nread /tmp/c").await, "e2b: 6 | anewwasmnative");
}

#[tokio::test(start_paused = true)]
async fn each_context_is_placed_by_its_own_cells_and_a_promotion_moves_all_of_them() {
    let harness = TestHarness::with_native();
    let session = harness.open().await;
    let other = session.open_context(Language::Python, None).await.unwrap().id;
    run(&session, "x = 1\nimport pandas\nwrite /tmp/a native").await;
    assert_eq!(run_in(&session, &other, "x = 2\nread /tmp/a").await.transcript(), "wasm: 1 | native");
    assert_eq!((transcript(&session, "x").await.as_str(), kernel_counts(&harness)), ("native: 2 | = 1", (1, 1, 0)));
    run_in(&session, &other, OBVIOUSLY_NEEDS_MACHINE).await;
    assert_eq!((kernel_counts(&harness), harness.machines.kernels()), ((0, 0, 1), 2));
    assert_eq!(transcript(&session, "x").await, "e2b: 3 | = 1");
    assert_eq!(run_in(&session, &other, "x").await.transcript(), "e2b: 3 | = 2");
}

#[tokio::test(start_paused = true)]
async fn restarting_or_closing_a_context_releases_its_kernel_and_ends_the_cell_in_it() {
    let sessions = Config { max_native_kernels: 1, ..Config::default() };
    let harness =
        TestHarness::with_plan(Plan { sessions, native: true, cloud: Cloud::Absent("none"), ..Plan::default() });
    let session = harness.open().await;
    let id = session.contexts().infos().remove(0).id;
    run(&session, "x = 1\nimport pandas").await;
    let restart = async {
        sleep(seconds(1)).await;
        session.restart_context(&id).await.unwrap()
    };
    let (cell, restarted) = tokio::join!(run(&session, "sleep(100)"), restart);
    assert!(restarted && cell.transcript() == "native: 2", "{}", cell.transcript());
    let answer = cell.result.unwrap();
    assert_eq!((answer.outcome.exit, answer.restarted, kernel_counts(&harness)), (Exit::Killed, true, (0, 0, 0)));
    assert_eq!(transcript(&session, "import pandas\nx").await, "native: 1 | NameError: x");
    session.close_context(&id).await.unwrap();
    let another = harness.open().await;
    assert_eq!(transcript(&another, OBVIOUSLY_NEEDS_NATIVE).await, "native: 1");
}

#[tokio::test(start_paused = true)]
async fn a_pause_keeps_the_names_and_an_idle_kernel_is_not_evicted() {
    let sessions = Config { max_kernel_memory: 0, evict_after: seconds(1), ..Config::default() };
    let harness = TestHarness::with_plan(Plan { sessions, native: true, ..Plan::default() });
    let session = harness.open_with(CreateSession { timeout: seconds(100), at_end: AtEnd::Pause, ..options() }).await;
    run(&session, "x = 1\nimport pandas").await;
    harness.run_maintenance(seconds(99)).await;
    assert_eq!((kernel_counts(&harness), harness.sessions.kernel_memory()), ((0, 1, 0), 4 << 20));
    sleep(seconds(500)).await;
    assert!(session.resume(seconds(100)).await.unwrap());
    assert_eq!(transcript(&session, "x").await, "native: 2 | = 1");
    let pause = async {
        sleep(seconds(5)).await;
        session.pause().await.unwrap()
    };
    let (cell, _) = tokio::join!(run(&session, "x += 1\nsleep(50)"), pause);
    assert!(cell.error().contains("is paused"));
    session.resume(seconds(100)).await.unwrap();
    // As in every kernel that is interrupted, the effects of the cell before the interrupt remain.
    assert_eq!(transcript(&session, "x").await, "native: 4 | = 2");
    assert_eq!((harness.native.opened(), harness.native.running()), (1, 0));
    // A kernel that ignores the interrupt is lost, and that is reported as any other loss.
    harness.native.behaviour().ignores_interrupts = true;
    assert!(timeout(seconds(1), run(&session, "sleep(50)")).await.is_err());
    let died = run(&session, "x").await.result.unwrap();
    assert_eq!((died.outcome.exit, died.restarted, died.number), (Exit::Killed, true, 6));
    assert_eq!(transcript(&session, "import pandas\nx").await, "native: 1 | NameError: x");
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_takes_longer_than_its_budget_moves_on_while_its_kernel_can_be_rebuilt() {
    let harness = TestHarness::with_native();
    let session = harness.open().await;
    // The budget is ten seconds in wasm; the next tier has no budget.
    assert_eq!(transcript(&session, "x = 1\nsleep(60)\nx").await, "native: 1 | = 1");
    assert_eq!(transcript(&session, "sleep(600)\nx").await, "native: 2 | = 1");
    assert_eq!(kernel_counts(&harness), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_exceeds_its_time_limit_leaves_the_names_unless_it_ignores_the_interrupt() {
    let harness = TestHarness::with_native();
    let session = harness.open().await;
    run(&session, "x = 1\nimport pandas").await;
    let late =
        |source: &str| ExecuteCell { source: source.to_owned(), timeout: Some(seconds(1)), ..ExecuteCell::default() };
    let answer = execute(&session, late("x += 1\nsleep(5)")).await.result.unwrap();
    assert_eq!((answer.outcome.exit, answer.restarted), (Exit::TimedOut, false));
    assert_eq!(transcript(&session, "x").await, "native: 3 | = 2");
    // A replay elsewhere would run such a cell to its end, so it is not replayed: what it did is transferred or reported.
    let stays = run(&session, OBVIOUSLY_NEEDS_MACHINE).await.error();
    assert!(stays.contains("x: it came out different there"), "{stays}");
    harness.native.behaviour().ignores_interrupts = true;
    let answer = execute(&session, late("sleep(5)")).await.result.unwrap();
    assert_eq!((answer.outcome.exit, answer.restarted), (Exit::TimedOut, true));
    assert!(transcript(&session, "x").await.ends_with("1 | NameError: x"));
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_needs_a_machine_moves_to_one_unless_its_kernel_has_state_and_then_the_next_cell_does() {
    let harness = TestHarness::with_native();
    let fresh = harness.open().await;
    assert_eq!(transcript(&fresh, "import pandas\npandas.x = 1\nimport torch").await, "e2b: 1");
    let session = harness.open().await;
    run(&session, "x = 1").await;
    // Its state came from a replayable kernel and can still be rebuilt.
    assert_eq!(transcript(&session, "x += 1\nimport pandas\nimport torch\nx").await, "e2b: 2 | = 2");

    let session = harness.open().await;
    run(&session, "x = 1\nimport pandas").await;
    let failed = run(&session, NEEDS_MACHINE).await;
    assert_eq!(failed.transcript(), "native: 2 | ModuleNotFoundError: No module named 'torch'");
    let note = "it needs the module torch; its effects so far remain, and the next cell runs in e2b";
    assert_eq!(failed.result.unwrap().note.as_deref(), Some(note));
    harness.machines.behaviour().open_fault = Some(Fault::Refused { reason: "busy".to_owned(), retry_after: None });
    assert_eq!(transcript(&session, "x").await, "native: 3 | = 1");
    harness.machines.behaviour().open_fault = None;
    let moved = run(&session, "import torch\nx").await;
    assert_eq!(moved.transcript(), "e2b: 4 | = 1");
    assert_eq!(moved.result.unwrap().moved.as_deref(), Some("a cell before it needed the module torch"));

    let harness = without_machines();
    let session = harness.open().await;
    run(&session, "x = 1\nimport pandas").await;
    assert!(transcript(&session, NEEDS_MACHINE).await.starts_with("native: 2 | ModuleNotFoundError"));
    assert_eq!(transcript(&session, "x").await, "native: 3 | = 1");
}
