//! Promotion, the move of a session to a machine: when it happens, what moves, and the errors where it is impossible.

use std::time::Duration;

use bytes::Bytes;
use switchtower_contract::{Fault, Language, NetworkPolicy};
use switchtower_core::error::Error;
use switchtower_core::session::CreateSession;
use tokio::time::{Instant, sleep, timeout};

use super::harness::{Cloud, Plan, TestHarness, options, run, run_in, seconds, transcript};

/// A cell that needs a machine, as only its run shows: the module is imported and not used.
const NEEDS_MACHINE: &str = "import pandas";
/// A cell that the analysis finds to need a machine.
const OBVIOUSLY_NEEDS_MACHINE: &str = "import pandas\npandas.x = 1";

#[tokio::test(start_paused = true)]
async fn a_cell_that_turns_out_to_need_a_machine_runs_there_from_the_state_before_it() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    run(&session, "x = 1\nprint done").await;
    let moved = run(&session, "x += 1\nprint(\"a\")\nsleep(1)\nimport pandas\nprint(\"b\")\nx").await;
    // The output of its first half is not sent again.
    assert_eq!(moved.transcript(), "e2b: 2 | a | b | = 2");
    assert_eq!(moved.result.unwrap().moved.as_deref(), Some("it needs the module pandas"));
    assert_eq!(harness.machines.log()[..2], ["opened", "ran x = 1; print done"]);
    // The session stays on the machine, even if its next cells need less.
    assert_eq!(transcript(&session, "x").await, "e2b: 3 | = 2");
    assert_eq!((harness.wasm.kernels(), harness.machines.sandboxes()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn output_that_differs_on_the_machine_is_sent_again_after_a_restart_event() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let moved = transcript(&session, "x = TIER\nx\nsleep(1)\nimport pandas\nx").await;
    assert_eq!(moved, "e2b: 1 | = wasm | restart | = e2b | = e2b");
}

#[tokio::test(start_paused = true)]
async fn a_cell_or_command_that_obviously_needs_a_machine_opens_no_local_kernel() {
    let harness = TestHarness::new();
    let (cell, command) = (harness.open().await, harness.open().await);
    cell.files().write("/tmp/a", "given".into()).unwrap();
    assert!(transcript(&cell, OBVIOUSLY_NEEDS_MACHINE).await.starts_with("e2b: 1"));
    assert_eq!(transcript(&cell, "read /tmp/a").await, "e2b: 2 | given");
    command.promote("a command").await.unwrap();
    assert_eq!(transcript(&command, "x = TIER\nx").await, "e2b: 1 | = e2b");
    assert_eq!((harness.wasm.opened(), harness.machines.sandboxes()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn the_contexts_of_a_session_share_one_machine_and_each_keeps_its_state() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let other = session.open_context(Language::Python, None).await.unwrap().id;
    session.files().write("/tmp/a", "client".into()).unwrap();
    run(&session, "x = 1\nwrite /tmp/b cell").await;
    run_in(&session, &other, "x = 2").await;
    let (one, two) = tokio::join!(run(&session, NEEDS_MACHINE), run_in(&session, &other, NEEDS_MACHINE));
    assert_eq!((one.transcript().as_str(), two.transcript().as_str()), ("e2b: 2", "e2b: 2"));
    assert_eq!(transcript(&session, "x\nread /tmp/a").await, "e2b: 3 | = 1 | client");
    assert_eq!(run_in(&session, &other, "x\nread /tmp/b").await.transcript(), "e2b: 3 | = 2 | cell");
    let opened = harness.machines.log().iter().filter(|what| *what == "opened").count();
    assert_eq!((opened, harness.machines.sandboxes(), harness.wasm.kernels()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn idle_contexts_move_with_the_session_and_removed_files_do_not() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let other = session.open_context(Language::Python, None).await.unwrap().id;
    run_in(&session, &other, "x = 2\nwrite /tmp/b cell").await;
    session.files().remove("/tmp/b").unwrap();
    run(&session, NEEDS_MACHINE).await;
    assert_eq!((harness.wasm.kernels(), harness.machines.kernels()), (0, 2));
    assert_eq!(run_in(&session, &other, "x").await.transcript(), "e2b: 2 | = 2");
    assert!(!harness.machines.log().is_empty());
    let read = transcript(&session, "read /tmp/b").await;
    assert!(read.contains("FileNotFoundError"), "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_prewarmed_sandbox_that_is_gone_is_replaced_without_an_error() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    run(&session, "x = 1").await;
    harness.machines.behaviour().missing_sandboxes = 2;
    run(&session, NEEDS_MACHINE).await;
    assert_eq!(transcript(&session, "x").await, "e2b: 3 | = 1");
    let opened = harness.machines.log().iter().filter(|what| *what == "opened").count();
    assert_eq!((opened, harness.machines.sandboxes()), (3, 1));
    // The number of replacements is limited.
    let another = harness.open().await;
    harness.machines.behaviour().missing_sandboxes = 9;
    assert!(run(&another, NEEDS_MACHINE).await.error().contains("it is gone"));
    assert_eq!(transcript(&another, "y = 1\ny").await, "wasm: 2 | = 1");
}

#[tokio::test(start_paused = true)]
async fn a_busy_context_moves_after_its_cell_unless_it_wrote_files() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let (reads, writes) = (
        session.open_context(Language::Python, None).await.unwrap().id,
        session.open_context(Language::Python, None).await.unwrap().id,
    );
    tokio::join!(
        run(&session, "sleep(1)\nimport pandas"),
        run_in(&session, &reads, "sleep 2\nx = 2"),
        run_in(&session, &writes, "sleep 2\nwrite /tmp/b late"),
    );
    assert_eq!(run_in(&session, &reads, "x").await.transcript(), "e2b: 2 | = 2");
    let stays = run_in(&session, &writes, "y = 1").await.error();
    assert!(stays.contains("after cell 1") && stays.contains("it wrote files"), "{stays}");
    assert_eq!(transcript(&session, "read /tmp/b").await, "e2b: 2 | late");
    session.restart_context(&writes).await.unwrap();
    assert_eq!(run_in(&session, &writes, "read /tmp/b").await.transcript(), "e2b: 1 | late");
}

#[tokio::test(start_paused = true)]
async fn files_that_another_context_writes_during_the_move_reach_the_machine() {
    let harness = TestHarness::new();
    harness.machines.behaviour().apply_time = seconds(5);
    let session = harness.open().await;
    let other = session.open_context(Language::Python, None).await.unwrap().id;
    session.files().write("/tmp/a", "client".into()).unwrap();
    let writes = run_in(&session, &other, "sleep 2\nwrite /tmp/b late\nprint written");
    let (moved, written) = tokio::join!(run(&session, NEEDS_MACHINE), writes);
    assert_eq!((moved.transcript().as_str(), written.transcript().as_str()), ("e2b: 1", "wasm: 1 | written"));
    assert_eq!(transcript(&session, "read /tmp/a\nread /tmp/b").await, "e2b: 2 | clientlate");
}

#[tokio::test(start_paused = true)]
async fn a_command_gets_the_machine_as_soon_as_it_is_open() {
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
    // The cell runs its first two seconds again.
    assert_eq!((cell.transcript().as_str(), waited), ("e2b: 1", seconds(2)));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_move_leaves_the_session_where_it_was() {
    let harness = TestHarness::new();
    harness.machines.behaviour().apply_time = seconds(5);
    let session = harness.open().await;
    session.files().write("/tmp/a", "client".into()).unwrap();
    run(&session, "x = 1").await;
    assert!(timeout(seconds(2), run(&session, NEEDS_MACHINE)).await.is_err());
    assert_eq!((harness.machines.sandboxes(), harness.machines.kernels()), (0, 0));
    assert!(session.machine().is_none() && session.files().write("/tmp/b", Bytes::new()).is_ok());
    assert_eq!(transcript(&session, "x\nwrite /tmp/c mine").await, "wasm: 3 | = 1");
    assert_eq!(session.files().read("/tmp/c").unwrap(), "mine");
    assert_eq!(transcript(&session, NEEDS_MACHINE).await, "e2b: 4");
    assert_eq!(transcript(&session, "x\nread /tmp/c").await, "e2b: 5 | = 1 | mine");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_move_stays_where_it_is_and_the_error_says_why() {
    let harness = TestHarness::new();
    let assert_stays = async |first: &str, why: &str| {
        let session = harness.open().await;
        run(&session, "x = 1").await;
        run(&session, first).await;
        let failed = run(&session, NEEDS_MACHINE).await;
        assert_eq!(failed.error(), format!("the session cannot move to e2b: {why}"));
        assert!(session.promote("a command").await.is_err() && session.machine().is_none());
        assert_eq!((harness.machines.sandboxes(), harness.machines.kernels()), (0, 0));
        assert!(session.files().write("/tmp/a", "still here".into()).is_ok());
        session
    };
    let error = "the state after cell 2 cannot be rebuilt";
    let session = assert_stays("x = TIER", &format!("{error}: x: it came out different there")).await;
    assert_eq!(transcript(&session, "x\nread /tmp/a").await, "wasm: 4 | = wasm | still here");
    // This cell does not parse, so nothing showed that it needs a machine. A replay there would run past the import that
    // failed here.
    let unreadable = "y = 2\nprint no Python\nimport pandas";
    let session = assert_stays(unreadable, &format!("{error}: y: it came out different there")).await;
    assert_eq!(transcript(&session, "x\ny\nread /tmp/a").await, "wasm: 4 | = 1 | = 2 | still here");
}

#[tokio::test(start_paused = true)]
async fn if_no_machine_is_available_the_error_says_so_and_when_to_retry() {
    let refused = Fault::Refused { reason: "20 are running".to_owned(), retry_after: Some(seconds(7)) };
    let down = Fault::Unavailable { reason: "nobody answers".to_owned() };
    let mut text = String::new();
    for (cloud, fault) in [
        (Cloud::Available, Some(refused)),
        (Cloud::WithBreaker(1), Some(down)),
        (Cloud::Absent("set E2B_API_KEY"), None),
    ] {
        let harness = TestHarness::with_plan(Plan { cloud, ..Plan::default() });
        harness.machines.behaviour().open_fault = fault;
        let session = harness.open_with(options()).await;
        run(&session, "x = 1").await;
        for error in
            [run(&session, OBVIOUSLY_NEEDS_MACHINE).await.result.err(), session.promote("a command").await.err()]
        {
            let after = match &error {
                Some(Error::Overloaded { retry_after, .. }) => Some(*retry_after),
                Some(Error::Unavailable { retry_after, .. }) => *retry_after,
                _ => None,
            };
            let message = error.map_or_else(|| "its own exception".to_owned(), |error| error.to_string());
            text.push_str(&format!("{message} [{}]\n", after.unwrap_or(Duration::ZERO).as_secs()));
        }
        assert_eq!(transcript(&session, "x").await, "wasm: 3 | = 1");
        assert_eq!(harness.machines.sandboxes(), 0);
    }
    insta::assert_snapshot!(text, @r"
    unavailable: e2b: refused: 20 are running [7]
    unavailable: e2b: refused: 20 are running [7]
    unavailable: e2b: Circuit breaker is OPEN [59]
    unavailable: e2b: Circuit breaker is OPEN [59]
    its own exception [0]
    no tier can run this: a command needs a machine: set E2B_API_KEY [0]
    ");
}

#[tokio::test(start_paused = true)]
async fn a_restricted_session_gets_a_machine_that_was_opened_for_its_policy_and_keeps_later_changes() {
    let harness = TestHarness::with_plan(Plan::default());
    let deny = |address: &str| NetworkPolicy { deny_out: vec![address.to_owned()], ..NetworkPolicy::OPEN };
    let session = harness.open_with(CreateSession { network: deny("0.0.0.0/0"), ..options() }).await;
    // Changed before there is a machine: it is opened with the policy of that time.
    session.set_network(deny("8.8.8.8")).await.unwrap();
    session.promote("a command").await.unwrap();
    session.set_network(deny("1.1.1.1")).await.unwrap();
    let log: Vec<String> = harness.machines.log().into_iter().filter(|event| event.starts_with("network")).collect();
    assert_eq!(log, ["network 8.8.8.8", "network 1.1.1.1"]);
    assert_eq!(session.network(), deny("1.1.1.1"));
    session.end();
    assert!(session.set_network(NetworkPolicy::OPEN).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn contexts_that_wrote_files_move_together_when_their_cells_need_a_machine_at_once() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let other = session.open_context(Language::Python, None).await.unwrap().id;
    assert_eq!(run(&session, "a = 1\nwrite /home/user/a.txt one").await.transcript(), "wasm: 1");
    assert_eq!(run_in(&session, &other, "b = 2\nwrite /home/user/b.txt two").await.transcript(), "wasm: 1");
    let both = tokio::join!(
        run(&session, "import pandas\na"),
        run_in(&session, &other, "import pandas\nb"),
        session.promote_for_command("ls"),
    );
    assert_eq!((both.0.transcript().as_str(), both.1.transcript().as_str()), ("e2b: 2 | = 1", "e2b: 2 | = 2"));
    both.2.unwrap();
    assert_eq!(harness.machines.sandboxes(), 1);
    assert_eq!(run_in(&session, &other, "read /home/user/b.txt").await.transcript(), "e2b: 3 | two");
}
