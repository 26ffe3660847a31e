//! The move of a session from a machine of this host on to a cloud.

use std::sync::Arc;

use switchtower_core::session::{Config, Session};

use super::harness::{Plan, TestHarness, caller, options, run};

fn harness() -> TestHarness {
    TestHarness::with_plan(Plan { local_machines: true, ..Plan::default() })
}

fn tier(session: &Session) -> String {
    session.machine_slot().tier().map_or_else(|| "local".to_owned(), |tier| tier.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_session_moves_on_with_its_files_for_a_command_that_needs_the_internet_and_not_for_others() {
    let harness = harness();
    let session = harness.open().await;
    session.promote_for_command("mkdir a && ls -la").await.unwrap();
    assert_eq!((tier(&session).as_str(), harness.machines.sandboxes()), ("machine", 0));
    let file = switchtower_contract::Change {
        path: "/home/user/a.txt".to_owned(),
        content: switchtower_contract::Content::File("kept".into()),
    };
    session.machine().unwrap().apply(&[file]).await.unwrap();
    session.promote_for_command("cat a.txt; pip list && git status").await.unwrap();
    assert_eq!(tier(&session), "machine");
    session.promote_for_command("curl -s https://example.com").await.unwrap();
    assert_eq!(tier(&session), "e2b");
    assert_eq!((harness.machines.sandboxes(), harness.local_machines.sandboxes()), (1, 0));
    assert_eq!(run(&session, "read /home/user/a.txt").await.transcript(), "e2b: 1 | kept");
    // It does not come back.
    session.promote_for_command("ls").await.unwrap();
    assert_eq!(tier(&session), "e2b");
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_where_variables_or_processes_are_and_where_it_may_not_reach_the_internet() {
    let harness = harness();
    let stays = async |session: &Arc<Session>| {
        session.promote_for_command("git clone https://example.com/a.git").await.unwrap();
        assert_eq!((tier(session).as_str(), harness.machines.sandboxes()), ("machine", 0));
    };
    let with_variables = harness.open().await;
    with_variables.promote_for_command("ls").await.unwrap();
    assert_eq!(run(&with_variables, "x = 1").await.transcript(), "machine: 1");
    stays(&with_variables).await;
    assert_eq!(run(&with_variables, "x").await.transcript(), "machine: 2 | = 1");

    let with_processes = harness.open().await;
    with_processes.promote_for_command("ls").await.unwrap();
    harness.local_machines.behaviour().has_processes = true;
    stays(&with_processes).await;
    harness.local_machines.behaviour().has_processes = false;

    let mut offline = options();
    offline.network.internet = Some(false);
    let offline = harness.open_with(offline).await;
    offline.promote_for_command("ls").await.unwrap();
    stays(&offline).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_beyond_its_share_of_the_machines_of_this_host_gets_one_of_the_cloud_and_others_are_unaffected() {
    let sessions = Config { max_machines_per_caller: 1, ..Config::default() };
    let harness = TestHarness::with_plan(Plan { local_machines: true, sessions, ..Plan::default() });
    let (first, second) = (harness.open().await, harness.open().await);
    let other = harness.sessions.create(&caller("bob"), options()).await.unwrap();
    for session in [&first, &second, &other] {
        session.promote_for_command("ls").await.unwrap();
    }
    assert_eq!([&first, &second, &other].map(|session| tier(session)), ["machine", "e2b", "machine"]);
    first.end();
    harness.run_maintenance(std::time::Duration::from_secs(120)).await;
    let third = harness.open().await;
    third.promote_for_command("ls").await.unwrap();
    assert_eq!(tier(&third), "machine");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_is_finished_before_a_session_moves_on() {
    let harness = harness();
    let session = harness.open().await;
    session.promote_for_command("ls").await.unwrap();
    let call = session.machine_slot().begin_call().await;
    // The call does not end in time.
    session.promote_for_command("curl https://example.com").await.unwrap();
    assert_eq!(tier(&session), "machine");
    drop(call);
    session.promote_for_command("curl https://example.com").await.unwrap();
    assert_eq!(tier(&session), "e2b");
}
