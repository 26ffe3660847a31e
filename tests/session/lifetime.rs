//! How long sessions live, and how many there may be.

use std::sync::Arc;
use switchtower_contract::Language;

use switchtower_core::error::Error;
use switchtower_core::session::{AtEnd, Config, CreateSession, ExecuteCell, Session, SessionState};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::harness::{Plan, TestHarness, caller, options, run, seconds, transcript};

#[tokio::test(start_paused = true)]
async fn a_session_ends_at_its_timeout_and_a_cell_with_it() {
    let harness = TestHarness::new();
    let session = harness.open_with(CreateSession { timeout: seconds(10), ..options() }).await;
    let began = Instant::now();
    let cell = run(&session, "sleep 100").await;
    assert_eq!((cell.output.as_str(), began.elapsed()), ("1", seconds(10)));
    assert!(matches!(cell.result, Err(Error::Gone { .. })));
    assert_eq!((session.lifetime().state(), harness.wasm.kernels()), (SessionState::Ended, 0));
    assert!(harness.sessions.find_any(session.id()).is_none() && harness.sessions.list_all().is_empty());
    assert!(session.promote("a command").await.is_err() && session.resume(seconds(10)).await.is_err());
    assert_eq!(harness.machines.sandboxes(), 0);
}

#[tokio::test(start_paused = true)]
async fn killing_a_session_frees_everything_it_has_even_while_references_to_it_exist() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    let other = session.open_context(Language::Python, None).await.unwrap().id;
    super::harness::run_in(&session, &other, "x = 1").await;
    run(&session, "import pandas\npandas.x = 1").await;
    assert_eq!((harness.machines.sandboxes(), harness.machines.kernels(), harness.wasm.kernels()), (1, 2, 0));
    let kill = async {
        sleep(seconds(5)).await;
        assert_eq!(harness.machines.running(), 1);
        session.end()
    };
    let (cell, killed) = tokio::join!(run(&session, "sleep 50"), kill);
    assert!(killed && !session.end() && matches!(cell.result, Err(Error::Gone { .. })));
    sleep(seconds(1)).await;
    assert_eq!((harness.machines.sandboxes(), harness.machines.kernels(), harness.wasm.kernels()), (0, 0, 0));
    assert_eq!(harness.machines.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_ends_with_its_session_even_if_a_client_stops_reading() {
    let harness = TestHarness::new();
    let session = harness.open().await;
    session.promote("a command").await.unwrap();
    let (sender, mut receiver) = mpsc::channel(1);
    let cell = ExecuteCell { source: "sleep 50".to_owned(), ..ExecuteCell::default() };
    let mut cell = Box::pin(session.execute(cell, &sender));
    // From here on the future of the cell is not polled.
    assert!(timeout(seconds(1), &mut cell).await.is_err() && receiver.recv().await.is_some());
    session.end();
    sleep(seconds(1)).await;
    assert_eq!(harness.machines.sandboxes(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_the_registry_ends_every_session_and_every_machine() {
    let harness = TestHarness::new();
    let sessions: [Arc<Session>; 2] = [harness.open().await, harness.open().await];
    sessions[0].promote("a command").await.unwrap();
    run(&sessions[1], "x = 1").await;
    harness.sessions.close().await;
    assert_eq!((harness.machines.sandboxes(), harness.wasm.kernels()), (0, 0));
    assert!(sessions.iter().all(|session| session.lifetime().state() == SessionState::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_pauses_at_its_end_resumes_with_its_state() {
    let harness = TestHarness::new();
    let session = harness.open_with(CreateSession { timeout: seconds(10), at_end: AtEnd::Pause, ..options() }).await;
    run(&session, "x = 1").await;
    sleep(seconds(10)).await;
    assert_eq!(session.lifetime().state(), SessionState::Paused);
    assert!(run(&session, "x").await.error().contains("is paused"));
    sleep(seconds(3600)).await;
    assert!(session.resume(seconds(20)).await.unwrap());
    assert_eq!(transcript(&session, "x").await, "wasm: 2 | = 1");
    sleep(seconds(19)).await;
    assert_eq!(session.lifetime().state(), SessionState::Running);
    sleep(seconds(1)).await;
    assert_eq!(session.lifetime().state(), SessionState::Paused);
    assert!(session.end() && harness.sessions.find_any(session.id()).is_none());
}

#[tokio::test(start_paused = true)]
async fn sessions_are_limited_per_caller_and_in_all_and_contexts_per_session_and_ended_ones_do_not_count() {
    let sessions = Config { max_sessions: 3, max_per_caller: 2, max_contexts: 2, ..Config::default() };
    let harness = TestHarness::with_plan(Plan { sessions, ..Plan::default() });
    let open = async |user: &str| harness.sessions.create(&caller(user), options()).await;
    let first = open("ada").await.unwrap();
    open("ada").await.unwrap();
    assert!(matches!(open("ada").await, Err(Error::LimitReached { retry_after: Some(_), .. })));
    let bobs = open("bob").await.unwrap();
    assert!(matches!(open("bob").await, Err(Error::Overloaded { .. })));
    first.end();
    open("bob").await.unwrap();
    for timeout in [0, 86_401] {
        let wrong =
            harness.sessions.create(&caller("eve"), CreateSession { timeout: seconds(timeout), ..options() }).await;
        assert!(matches!(wrong, Err(Error::Invalid(_))), "{timeout}");
    }
    let id = bobs.open_context(Language::Python, None).await.unwrap().id;
    assert!(matches!(bobs.open_context(Language::Python, None).await, Err(Error::LimitReached { .. })));
    assert!(bobs.close_context(&id).await.unwrap() && !bobs.close_context(&id).await.unwrap());
    bobs.open_context(Language::Python, None).await.unwrap();
}
