//! The machine of a session: kept alive, put to sleep, returned to its provider.

use switchtower_contract::NetworkPolicy;
use switchtower_core::session::{AtEnd, Config, CreateSession, ExecuteCell, MachineUse, SessionState};
use tokio::time::sleep;

use super::harness::{Plan, TestHarness, execute, options, run, seconds, transcript};

fn one_day() -> CreateSession {
    CreateSession { timeout: seconds(86_400), ..options() }
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_kept_alive_while_it_is_used_and_sleeps_when_it_is_not() {
    let harness = TestHarness::new();
    let session = harness.open_with(one_day()).await;
    session.promote("a command").await.unwrap();
    harness.machines.log();
    harness.run_maintenance(seconds(599)).await;
    let log = harness.machines.log();
    assert!(log.len() >= 9 && log.iter().all(|what| what == "lifetime 180"), "{log:?}");
    harness.run_maintenance(seconds(3600)).await;
    let log = harness.machines.log();
    assert!(!log.is_empty() && log.iter().all(|what| what == "asleep"), "{log:?}");
    run(&session, "x = 1").await;
    harness.machines.log();
    harness.run_maintenance(seconds(60)).await;
    assert_eq!(harness.machines.log(), ["lifetime 180"]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_on_which_a_process_was_started_stays_awake() {
    let harness = TestHarness::new();
    let session = harness.open_with(one_day()).await;
    session.promote("a command").await.unwrap();
    session.record_machine_use(MachineUse::StartsProcess);
    harness.run_maintenance(seconds(7200)).await;
    assert!(!harness.machines.log().contains(&"asleep".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_machine_does_not_sleep_while_a_cell_runs() {
    let sessions = Config { machine_idle: seconds(60), ..Config::default() };
    let harness = TestHarness::with_plan(Plan { sessions, ..Plan::default() });
    let session = harness.open_with(one_day()).await;
    session.promote("a command").await.unwrap();
    harness.machines.log();
    let cell = ExecuteCell { source: "sleep 280".to_owned(), ..ExecuteCell::default() };
    let (cell, ()) = tokio::join!(execute(&session, cell), harness.run_maintenance(seconds(280)));
    assert_eq!(cell.transcript(), "e2b: 1");
    let log = harness.machines.log();
    assert!(log.contains(&"lifetime 180".to_owned()) && !log.contains(&"asleep".to_owned()), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_session_lets_its_machine_sleep_until_it_is_resumed() {
    let harness = TestHarness::new();
    let session = harness.open_with(CreateSession { at_end: AtEnd::Pause, timeout: seconds(100), ..options() }).await;
    run(&session, "x = 1").await;
    session.promote("a command").await.unwrap();
    harness.machines.log();
    // The session reaches its timeout.
    harness.run_maintenance(seconds(500)).await;
    assert_eq!(session.lifetime().state(), SessionState::Paused);
    assert_eq!(harness.machines.log(), ["lifetime 180", "asleep"]);
    assert!(run(&session, "x").await.error().contains("is paused"));
    assert!(session.resume(seconds(100)).await.unwrap());
    assert_eq!(transcript(&session, "x").await, "e2b: 2 | = 1");
    // An explicit pause interrupts the running cell.
    harness.machines.log();
    let pause = async {
        sleep(seconds(5)).await;
        session.pause().await.unwrap()
    };
    let (cell, paused) = tokio::join!(run(&session, "sleep 50"), pause);
    assert!(paused && cell.error().contains("is paused") && !session.pause().await.unwrap());
    harness.run_maintenance(seconds(500)).await;
    let log = harness.machines.log();
    assert!(log[1..].iter().all(|what| what == "asleep"), "{log:?}");
    assert_eq!(harness.machines.sandboxes(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_machine_may_reach_is_charged_once_and_no_longer_than_it_is_in_force() {
    let harness = TestHarness::new();
    let memory = harness.sessions.memory();
    let empty = memory.total();
    let open = harness.open_with(options()).await;
    let of_session = memory.total() - empty;
    let host = "h".repeat(5000);
    let network = NetworkPolicy { deny_out: vec![host], ..NetworkPolicy::OPEN };
    let closed = harness.open_with(CreateSession { network: network.clone(), ..options() }).await;
    let of_network = memory.total() - empty - 2 * of_session;
    assert!((5000..6000).contains(&of_network), "{of_network}");
    assert_eq!((open.network(), closed.network()), (NetworkPolicy::OPEN, network.clone()));
    closed.set_network(NetworkPolicy::OPEN).await.unwrap();
    assert_eq!(memory.total() - empty, 2 * of_session);
    open.set_network(network).await.unwrap();
    assert_eq!(memory.total() - empty, 2 * of_session + of_network);
}
