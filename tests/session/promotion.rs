//! The move of a session to a machine: when, with what, and what happens where it cannot move.

use std::time::Duration;

use bytes::Bytes;
use switchtower_contract::Fault;
use switchtower_core::error::Error;
use switchtower_core::session::CreateSession;
use tokio::time::{Instant, sleep, timeout};

use super::harness::{Cloud, Plan, TestHarness, asked, run, run_in, seconds, told};

/// A cell that no look at it shows to need a machine.
const NEEDY: &str = "import pandas";
/// One that does at first sight.
const OBVIOUS: &str = "import pandas\npandas.x = 1";

#[tokio::test(start_paused = true)]
async fn a_cell_that_needs_a_machine_in_the_middle_starts_there_from_the_state_before_it() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    run(&session, "x = 1\nprint heard").await;
    let moved = run(&session, "x += 1\nprint(\"a\")\nsleep(1)\nimport pandas\nprint(\"b\")\nx").await;
    // What was heard of its first half is not heard again.
    assert_eq!(moved.told(), "e2b: 2 | a | b | = 2");
    assert_eq!(moved.done.unwrap().moved.as_deref(), Some("it needs the module pandas"));
    assert_eq!(harness.machines.log()[..2], ["opened", "ran x = 1; print heard"]);
    // It stays there, whatever its cells need.
    assert_eq!(told(&session, "x").await, "e2b: 3 | = 2");
    assert_eq!((harness.here.kernels(), harness.machines.sandboxes()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn output_that_comes_out_different_on_the_machine_starts_again() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let moved = told(&session, "x = PLACE\nx\nsleep(1)\nimport pandas\nx").await;
    assert_eq!(moved, "e2b: 1 | = here | restart | = there | = there");
}

#[tokio::test(start_paused = true)]
async fn a_cell_or_command_that_obviously_needs_a_machine_opens_no_local_kernel() {
    let harness = TestHarness::new();
    let (cell, command) = (harness.open().await, harness.open().await);
    cell.files().write("/tmp/a", "given".into()).unwrap();
    assert!(told(&cell, OBVIOUS).await.starts_with("e2b: 1"));
    assert_eq!(told(&cell, "read /tmp/a").await, "e2b: 2 | given");
    command.promote("a command").await.unwrap();
    assert_eq!(told(&command, "x = PLACE\nx").await, "e2b: 1 | = there");
    assert_eq!((harness.here.opened(), harness.machines.sandboxes()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn the_contexts_of_a_session_share_one_machine_and_take_their_own_state_there() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let other = session.open_context(None).await.unwrap().id;
    session.files().write("/tmp/a", "client".into()).unwrap();
    run(&session, "x = 1\nwrite /tmp/b cell").await;
    run_in(&session, &other, "x = 2").await;
    let (one, two) = tokio::join!(run(&session, NEEDY), run_in(&session, &other, NEEDY));
    assert_eq!((one.told().as_str(), two.told().as_str()), ("e2b: 2", "e2b: 2"));
    assert_eq!(told(&session, "x\nread /tmp/a").await, "e2b: 3 | = 1 | client");
    assert_eq!(run_in(&session, &other, "x\nread /tmp/b").await.told(), "e2b: 3 | = 2 | cell");
    let opened = harness.machines.log().iter().filter(|what| *what == "opened").count();
    assert_eq!((opened, harness.machines.sandboxes(), harness.here.kernels()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn idle_contexts_move_along_at_once_and_a_removed_file_does_not() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let other = session.open_context(None).await.unwrap().id;
    run_in(&session, &other, "x = 2\nwrite /tmp/b cell").await;
    session.files().remove("/tmp/b").unwrap();
    run(&session, NEEDY).await;
    assert_eq!((harness.here.kernels(), harness.machines.kernels()), (0, 2));
    assert_eq!(run_in(&session, &other, "x").await.told(), "e2b: 2 | = 2");
    assert!(!harness.machines.log().is_empty());
    let read = told(&session, "read /tmp/b").await;
    assert!(read.contains("FileNotFoundError"), "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_prewarmed_sandbox_that_is_gone_is_replaced_without_an_error() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    run(&session, "x = 1").await;
    harness.machines.mood().vanished = 2;
    run(&session, NEEDY).await;
    assert_eq!(told(&session, "x").await, "e2b: 3 | = 1");
    let opened = harness.machines.log().iter().filter(|what| *what == "opened").count();
    assert_eq!((opened, harness.machines.sandboxes()), (3, 1));
    // There is an end to that.
    let another = harness.open().await;
    harness.machines.mood().vanished = 9;
    assert!(run(&another, NEEDY).await.error().contains("it is gone"));
    assert_eq!(told(&another, "y = 1\ny").await, "wasm: 2 | = 1");
}

#[tokio::test(start_paused = true)]
async fn a_busy_context_follows_later_unless_it_wrote_files() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let (reads, writes) = (session.open_context(None).await.unwrap().id, session.open_context(None).await.unwrap().id);
    tokio::join!(
        run(&session, "sleep(1)\nimport pandas"),
        run_in(&session, &reads, "sleep 2\nx = 2"),
        run_in(&session, &writes, "sleep 2\nwrite /tmp/b late"),
    );
    assert_eq!(run_in(&session, &reads, "x").await.told(), "e2b: 2 | = 2");
    let stays = run_in(&session, &writes, "y = 1").await.error();
    assert!(stays.contains("after cell 1") && stays.contains("it wrote files"), "{stays}");
    assert_eq!(told(&session, "read /tmp/b").await, "e2b: 2 | late");
    session.restart_context(&writes).await.unwrap();
    assert_eq!(run_in(&session, &writes, "read /tmp/b").await.told(), "e2b: 1 | late");
}

#[tokio::test(start_paused = true)]
async fn what_another_context_writes_during_the_move_reaches_the_machine() {
    let harness = TestHarness::new();
    harness.machines.mood().applying = seconds(5);
    let session = harness.open().await;
    let other = session.open_context(None).await.unwrap().id;
    session.files().write("/tmp/a", "client".into()).unwrap();
    let writes = run_in(&session, &other, "sleep 2\nwrite /tmp/b late\nprint written");
    let (moved, written) = tokio::join!(run(&session, NEEDY), writes);
    assert_eq!((moved.told().as_str(), written.told().as_str()), ("e2b: 1", "wasm: 1 | written"));
    assert_eq!(told(&session, "read /tmp/a\nread /tmp/b").await, "e2b: 2 | clientlate");
}

#[tokio::test(start_paused = true)]
async fn a_command_gets_the_machine_as_soon_as_there_is_one() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let cell = run(&session, "sleep(2)\nimport pandas\nsleep(100)");
    let began = Instant::now();
    let command = async {
        sleep(seconds(1)).await;
        session.promote("a command").await.unwrap();
        began.elapsed()
    };
    let (cell, waited) = tokio::join!(cell, command);
    // The cell runs its first two seconds once more.
    assert_eq!((cell.told().as_str(), waited), ("e2b: 1", seconds(2)));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_move_leaves_the_session_where_it_was() {
    let harness = TestHarness::new();
    harness.machines.mood().applying = seconds(5);
    let session = harness.open().await;
    session.files().write("/tmp/a", "client".into()).unwrap();
    run(&session, "x = 1").await;
    assert!(timeout(seconds(2), run(&session, NEEDY)).await.is_err());
    assert_eq!((harness.machines.sandboxes(), harness.machines.kernels()), (0, 0));
    assert!(session.machine().is_none() && session.files().write("/tmp/b", Bytes::new()).is_ok());
    assert_eq!(told(&session, "x\nwrite /tmp/c mine").await, "wasm: 3 | = 1");
    assert_eq!(session.files().read("/tmp/c").unwrap(), "mine");
    assert_eq!(told(&session, NEEDY).await, "e2b: 4");
    assert_eq!(told(&session, "x\nread /tmp/c").await, "e2b: 5 | = 1 | mine");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_move_stays_where_it_is_and_the_error_says_why() {
    let harness = TestHarness::new();
    let stay = async |first: &str, why: &str| {
        let session = harness.open().await;
        run(&session, "x = 1").await;
        run(&session, first).await;
        let failed = run(&session, NEEDY).await;
        assert_eq!(failed.error(), format!("the session cannot move to e2b: {why}"));
        assert!(session.promote("a command").await.is_err() && session.machine().is_none());
        assert_eq!((harness.machines.sandboxes(), harness.machines.kernels()), (0, 0));
        assert!(session.files().write("/tmp/a", "still here".into()).is_ok());
        session
    };
    let again = "the state after cell 2 cannot be rebuilt";
    let session = stay("x = PLACE", &format!("{again}: x: it came out different there")).await;
    assert_eq!(told(&session, "x\nread /tmp/a").await, "wasm: 4 | = here | still here");
    // Nobody could tell that this one had to be elsewhere. There it would do what it did not do here.
    let refused = "y = 2\nprint no Python\nimport pandas";
    let session = stay(refused, &format!("{again}: y: it came out different there")).await;
    assert_eq!(told(&session, "x\ny\nread /tmp/a").await, "wasm: 4 | = 1 | = 2 | still here");
}

#[tokio::test(start_paused = true)]
async fn where_no_machine_is_available_the_error_says_so_and_when_to_retry() {
    let refused = Fault::Refused { reason: "20 are running".to_owned(), retry_after: Some(seconds(7)) };
    let down = Fault::Unavailable { reason: "nobody answers".to_owned() };
    let mut text = String::new();
    for (cloud, fault, offline) in [
        (Cloud::There, Some(refused), false),
        (Cloud::Guarded(1), Some(down), false),
        (Cloud::There, None, true),
        (Cloud::Absent("set E2B_API_KEY"), None, false),
    ] {
        let harness = TestHarness::of(Plan { cloud, ..Plan::default() });
        harness.machines.mood().refuses = fault;
        let session = harness.open_with(CreateSession { offline, ..asked() }).await;
        run(&session, "x = 1").await;
        for error in [run(&session, OBVIOUS).await.done.err(), session.promote("a command").await.err()] {
            let after = match &error {
                Some(Error::Overloaded { retry_after, .. }) => Some(*retry_after),
                Some(Error::Unavailable { retry_after, .. }) => *retry_after,
                _ => None,
            };
            let said = error.map_or_else(|| "its own exception".to_owned(), |error| error.to_string());
            text.push_str(&format!("{said} [{}]\n", after.unwrap_or(Duration::ZERO).as_secs()));
        }
        assert_eq!(told(&session, "x").await, "wasm: 3 | = 1");
        assert_eq!(harness.machines.sandboxes(), 0);
    }
    insta::assert_snapshot!(text, @r"
    unavailable: e2b: refused: 20 are running [7]
    unavailable: e2b: refused: 20 are running [7]
    unavailable: e2b: the circuit breaker is open [59]
    unavailable: e2b: the circuit breaker is open [59]
    no tier can run this: tier wasm does not provide module pandas: runs in e2b, but this session was created without the internet [0]
    no tier can run this: a command needs a cloud sandbox, but this session was created without the internet [0]
    its own exception [0]
    no tier can run this: a command needs a cloud sandbox: set E2B_API_KEY [0]
    ");
}
