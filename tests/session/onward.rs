//! The move of a session from a machine of this host on to a cloud.

use std::sync::Arc;

use switchtower_core::session::{Config, Session};

use super::harness::{Cloud, Plan, TestHarness, caller, options, run, run_in};

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

/// A cell that needs the internet, as its text shows.
const FETCH: &str = "import urllib.request\nprint(urllib.request.urlopen('https://example.com').read())";

#[tokio::test(start_paused = true)]
async fn the_variables_of_all_contexts_move_on_with_the_session() {
    let harness = harness();
    let session = harness.open().await;
    let other = session.open_context(switchtower_contract::Language::Python, None).await.unwrap().id;
    assert_eq!(run(&session, "a = 1").await.transcript(), "wasm: 1");
    session.promote_for_command("ls").await.unwrap();
    assert_eq!(run(&session, "a += 2\nwrite /home/user/a.txt one").await.transcript(), "machine: 2");
    assert_eq!(run_in(&session, &other, "b = 5").await.transcript(), "machine: 1");
    let changed = switchtower_contract::Change {
        path: "/home/user/a.txt".to_owned(),
        content: switchtower_contract::Content::File("two".into()),
    };
    session.machine().unwrap().apply(&[changed]).await.unwrap();
    session.promote_for_command("curl https://example.com").await.unwrap();
    assert_eq!((tier(&session).as_str(), harness.local_machines.sandboxes()), ("e2b", 0));
    assert_eq!(run(&session, "a\nread /home/user/a.txt").await.transcript(), "e2b: 3 | = 3 | two");
    assert_eq!(run_in(&session, &other, "b").await.transcript(), "e2b: 2 | = 5");
    assert_eq!(harness.machines.kernels(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_needs_the_internet_moves_its_session_on_and_says_so() {
    let harness = harness();
    // In a context in which a cell has run, in one without a cell, and in one without a kernel.
    for before in ["x = 5", "", "-"] {
        let session = harness.open().await;
        session.promote_for_command("ls").await.unwrap();
        if before != "-" {
            assert_eq!(run(&session, before).await.result.unwrap().tier.as_str(), "machine");
        }
        let fetched = run(&session, FETCH).await;
        let output = fetched.output.clone();
        let answer = fetched.result.unwrap();
        assert_eq!((answer.tier.as_str(), answer.note), ("e2b", None), "{output}");
        assert!(answer.moved.unwrap().contains("network"), "{output}");
        assert_eq!(harness.machines.kernels(), 1, "{output}");
        session.end();
        harness.run_maintenance(std::time::Duration::from_secs(60)).await;
        assert_eq!((harness.machines.kernels(), harness.local_machines.kernels()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_where_its_state_or_processes_cannot_move_and_where_it_may_not_reach_the_internet() {
    let harness = harness();
    let stays = async |session: &Arc<Session>, why: &str| {
        session.promote_for_command("git clone https://example.com/a.git").await.unwrap();
        assert_eq!((tier(session).as_str(), harness.machines.sandboxes()), ("machine", 0), "{why}");
        let answer = run(session, FETCH).await.result.unwrap();
        assert_eq!(answer.tier.as_str(), "machine");
        let note = answer.note.unwrap();
        assert!(note.starts_with("the session stays in machine: ") && note.contains(why), "{note}");
    };
    let stuck = harness.open().await;
    stuck.promote_for_command("ls").await.unwrap();
    assert_eq!(run(&stuck, "x = TIER").await.transcript(), "machine: 1");
    stays(&stuck, "x: it came out different there").await;
    stays(&stuck, "x: it came out different there").await;
    assert_eq!(harness.machines.log().iter().filter(|event| *event == "opened").count(), 1, "it is tried once");
    assert_eq!(run(&stuck, "x").await.transcript(), "machine: 4 | = machine");

    let with_processes = harness.open().await;
    with_processes.promote_for_command("ls").await.unwrap();
    harness.local_machines.behaviour().has_processes = true;
    stays(&with_processes, "processes of it run").await;
    harness.local_machines.behaviour().has_processes = false;

    let mut offline = options();
    offline.network.internet = Some(false);
    let offline = harness.open_with(offline).await;
    offline.promote_for_command("ls").await.unwrap();
    stays(&offline, "it may not reach the internet").await;
}

#[tokio::test(start_paused = true)]
async fn of_a_kernel_that_has_ended_on_the_machine_nothing_is_restored() {
    let harness = harness();
    let session = harness.open().await;
    session.promote_for_command("ls").await.unwrap();
    assert_eq!(run(&session, "x = 1").await.transcript(), "machine: 1");
    assert!(run(&session, "exit").await.result.unwrap().restarted);
    assert_eq!(run(&session, "y = 2").await.transcript(), "machine: 1");
    session.promote_for_command("curl https://example.com").await.unwrap();
    assert_eq!(run(&session, "y").await.transcript(), "e2b: 2 | = 2");
    assert_eq!(run(&session, "x").await.transcript(), "e2b: 3 | NameError: x");
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

#[tokio::test(start_paused = true)]
async fn cells_that_need_the_internet_at_once_move_their_session_once_with_all_its_contexts() {
    let harness = harness();
    let session = harness.open().await;
    let other = session.open_context(switchtower_contract::Language::Python, None).await.unwrap().id;
    session.promote_for_command("ls").await.unwrap();
    assert_eq!(run(&session, "a = 1").await.transcript(), "machine: 1");
    assert_eq!(run_in(&session, &other, "b = 2").await.transcript(), "machine: 1");
    let both =
        tokio::join!(run(&session, FETCH), run_in(&session, &other, FETCH), session.promote_for_command("curl x.org"));
    for ran in [both.0, both.1] {
        let answer = ran.result.unwrap();
        assert_eq!((answer.tier.as_str(), answer.note), ("e2b", None), "{}", ran.output);
    }
    both.2.unwrap();
    assert_eq!(harness.machines.sandboxes(), 1);
    assert_eq!(run(&session, "a").await.transcript(), "e2b: 3 | = 1");
    assert_eq!(run_in(&session, &other, "b").await.transcript(), "e2b: 3 | = 2");
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_cells_where_its_machine_would_not_have_their_language() {
    let absent = Cloud::Absent("set E2B_API_KEY");
    let harness = TestHarness::with_plan(Plan { bash_machines: true, cloud: absent, ..Plan::default() });
    let session = harness.open().await;
    assert_eq!(run(&session, "a = 1").await.transcript(), "wasm: 1");
    let error = session.promote_for_command("ls").await.err().unwrap().to_string();
    assert!(error.contains("cells in python") && error.contains("Debian, Ubuntu: python3"), "{error}");
    assert_eq!((tier(&session).as_str(), harness.local_machines.sandboxes()), ("local", 0));
    assert_eq!(run(&session, "a").await.transcript(), "wasm: 2 | = 1");
    // Without cells nothing is lost; a later one says why it cannot run.
    let empty = harness.open().await;
    empty.promote_for_command("ls").await.unwrap();
    assert_eq!(tier(&empty), "machine");
    assert!(run(&empty, "a = 1").await.error().contains("which machines of machine do not run: install it"));

    // A machine of the next tier has it.
    let harness = TestHarness::with_plan(Plan { bash_machines: true, ..Plan::default() });
    let session = harness.open().await;
    assert_eq!(run(&session, "a = 1").await.transcript(), "wasm: 1");
    session.promote_for_command("ls").await.unwrap();
    assert_eq!(run(&session, "a").await.transcript(), "e2b: 2 | = 1");
}

#[tokio::test(start_paused = true)]
async fn the_sandboxes_of_a_caller_who_may_not_leave_reach_nothing_whatever_they_ask_for() {
    let harness = harness();
    let offline = switchtower_core::request::Caller { offline: true, ..caller("eve") };
    let mut asking = options();
    asking.network.internet = Some(true);
    let session = harness.sessions.create(&offline, asking).await.unwrap();
    assert_eq!(session.network().internet, Some(false));
    // The policy goes with the machine, wherever it is.
    session.promote_for_command("curl https://example.com").await.unwrap();
    assert!(harness.machines.log().iter().any(|event| event.starts_with("network")), "the machine reaches nothing");
    session.set_network(switchtower_contract::NetworkPolicy::OPEN).await.unwrap();
    assert_eq!(session.network().internet, Some(false), "an update does not widen it");
}
