//! The share of the server's memory that a caller may hold, and the answers beyond it.

use axum::body::Body;
use serde_json::{Value, json};
use switchtower_core::memory;

use super::harness::{Client, ENVD, INTERPRETER, Sandbox, frames};
use crate::session::harness::{Cloud, Plan, caller};

fn client(cloud: Cloud, total: u64, per_caller: u64) -> Client {
    Client::with_plan(Plan { cloud, memory: memory::Config { total, per_caller }, ..Plan::default() })
}

/// A client of a server without machines, on which each caller may hold `share` bytes.
fn local_client(share: u64) -> Client {
    client(Cloud::Absent("none"), 4 * share, share)
}

async fn upload(client: &Client, sandbox: &Sandbox, path: &str, bytes: usize) -> (u16, String) {
    let answer = client.send(sandbox.to(ENVD, &format!("POST /files?path={path}"), vec![7; bytes])).await;
    (answer.status, answer.json["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_share_is_full_gets_e2bs_status_and_others_are_unaffected() {
    let mut client = local_client(1_000_000);
    let (one, two) = (client.create(json!({})).await, client.create(json!({})).await);
    assert_eq!(upload(&client, &one, "/tmp/a", 600_000).await.0, 200);
    let (status, message) = upload(&client, &two, "/tmp/a", 600_000).await;
    assert_eq!(status, 507);
    assert!(message.starts_with("no space left: ") && message.ends_with("remove files or end sandboxes"), "{message}");
    assert_eq!(client.send(two.to(ENVD, "GET /files?path=/tmp/a", Body::empty())).await.status, 404);
    let create =
        client.call("POST /v2/sandboxes", json!({ "templateID": "t", "metadata": { "m": "x".repeat(500_000) } }));
    let create = create.await;
    assert_eq!((create.status, create.header("should-retry"), &create.json["code"]), (507, "false", &json!(507)));
    // Another caller has a share of its own.
    client.key = "e2b_two";
    let other = client.create(json!({})).await;
    assert_eq!(upload(&client, &other, "/tmp/a", 600_000).await.0, 200);
    // Released memory is available again.
    client.key = "e2b_one";
    client.call(&format!("DELETE /sandboxes/{}", one.id), Value::Null).await;
    assert_eq!(upload(&client, &two, "/tmp/a", 600_000).await.0, 200);
    let smaller = upload(&client, &two, "/tmp/a", 10).await;
    assert_eq!((smaller.0, upload(&client, &two, "/tmp/b", 600_000).await.0), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn many_callers_together_stay_within_the_total_and_a_late_one_gets_its_share() {
    let mut client = client(Cloud::Absent("none"), 8_000_000, 2_000_000);
    let names: Vec<&'static str> = (0..24).map(|number| &*format!("e2b_{number}").leak()).collect();
    for name in &names {
        client.key = name;
        let sandbox = client.create(json!({})).await;
        let mut size = 1 << 20;
        let mut number = 0;
        while size > 1000 {
            if upload(&client, &sandbox, &format!("/tmp/{number}"), size).await.0 == 507 {
                size /= 2;
            }
            number += 1;
            assert!(client.harness.sessions.memory().total() <= 8_000_000);
        }
        assert!(client.harness.sessions.memory().held_by(&caller("x")) == 0);
        if names.iter().position(|one| one == name).is_some_and(|at| at > 6) {
            break;
        }
    }
    assert!(client.harness.sessions.memory().total() > 7_000_000);
    client.key = "e2b_late";
    let late = client.create(json!({})).await;
    assert_eq!(upload(&client, &late, "/tmp/a", 1000).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_fit_locally_goes_to_a_machine_and_the_local_memory_is_released() {
    let client = client(Cloud::Available, 4_000_000, 1_000_000);
    let sandbox = client.create(json!({})).await;
    assert_eq!(upload(&client, &sandbox, "/tmp/a", 500_000).await.0, 200);
    let moved = client.send(sandbox.to(ENVD, "POST /files?path=/tmp/b", vec![7; 495_000])).await;
    assert_eq!((moved.status, client.harness.machines.sandboxes()), (200, 1));
    let read = client.send(sandbox.to(ENVD, "GET /files?path=/tmp/a", Body::empty())).await;
    assert_eq!((read.status, read.bytes.len()), (200, 500_000));
    assert!(client.harness.sessions.memory().total() < 50_000);
}

#[tokio::test(start_paused = true)]
async fn a_cell_whose_files_do_not_fit_ends_with_pythons_own_exception() {
    let client = local_client(200_000);
    let sandbox = client.create(json!({})).await;
    upload(&client, &sandbox, "/tmp/a", 120_000).await;
    let output = client.execute(&sandbox, &format!("write /tmp/b {}", "x".repeat(45_000))).await;
    let start = "number 1 | error OSError: [Errno 28] No space left on device: the files that this cell wrote are not kept: no space left";
    assert!(output.starts_with(start) && output.ends_with("| end"), "{output}");
    assert_eq!(client.send(sandbox.to(ENVD, "GET /files?path=/tmp/b", Body::empty())).await.status, 404);
    assert_eq!(client.send(sandbox.to(ENVD, "GET /files?path=/tmp/a", Body::empty())).await.status, 200);
    client.send(sandbox.rpc("filesystem.Filesystem/Remove", &json!({ "path": "/tmp/a" }))).await;
    assert_eq!(client.execute(&sandbox, "write /tmp/b here").await, "number 2 | end");
    assert_eq!(
        client.send(sandbox.to(ENVD, "GET /files?path=/tmp/b", Body::empty())).await.status_and_body(),
        "200 here"
    );
}

#[tokio::test(start_paused = true)]
async fn cells_contexts_watchers_variables_and_ids_are_charged_and_all_of_it_is_released_at_the_end() {
    let client = local_client(300_000);
    let memory = client.harness.sessions.memory().clone();
    let mut before = memory.total();
    assert_eq!(before, 0);
    let grows = |what: &str, least: u64, before: &mut u64| {
        let now = memory.total();
        assert!(now >= *before + least, "{what}: {before} -> {now}");
        *before = now;
    };
    let sandbox = client.create(json!({ "envVars": { "A": "v".repeat(20_000) } })).await;
    grows("a sandbox", 20_000 + 8192, &mut before);
    client.execute(&sandbox, &format!("x = 1\nprint {}", "c".repeat(10_000))).await;
    grows("a cell", 10_000, &mut before);
    client.send(sandbox.cell(&json!({ "code": "x", "env_vars": { "B": "w".repeat(10_000) } }))).await;
    grows("a cell's variables", 10_000, &mut before);
    client.send(sandbox.to(INTERPRETER, "POST /contexts", "{}")).await;
    grows("a context", 2048, &mut before);
    let folder = format!("/tmp/{}", ["n".repeat(200).as_str(); 18].join("/"));
    client.send(sandbox.rpc("filesystem.Filesystem/MakeDir", &json!({ "path": folder }))).await;
    grows("folders", 30_000, &mut before);
    let watch = json!({ "path": "/tmp", "recursive": true });
    let created = client.send(sandbox.rpc("filesystem.Filesystem/CreateWatcher", &watch)).await;
    grows("a watcher", 30_000, &mut before);
    let mut last = created.status;
    while last == 200 {
        last = client.send(sandbox.rpc("filesystem.Filesystem/CreateWatcher", &watch)).await.status;
    }
    assert_eq!(last, 429);
    let stream = client.send(sandbox.streamed("filesystem.Filesystem/WatchDir", &watch)).await;
    assert!(frames(&stream.bytes)[0].contains("resource_exhausted"), "{:?}", frames(&stream.bytes));
    let removed = json!({ "watcherId": created.json["watcherId"] });
    client.send(sandbox.rpc("filesystem.Filesystem/RemoveWatcher", &removed)).await;
    let again = client.send(sandbox.rpc("filesystem.Filesystem/CreateWatcher", &watch)).await;
    assert_eq!(again.status, 200);
    client.call(&format!("DELETE /sandboxes/{}", sandbox.id), Value::Null).await;
    // Watchers of a sandbox that has ended are removed when the next watcher is created.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let other = client.create(json!({})).await;
    client.send(other.rpc("filesystem.Filesystem/CreateWatcher", &json!({ "path": "/tmp" }))).await;
    client.call(&format!("DELETE /sandboxes/{}", other.id), Value::Null).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(memory.total() < 10_000, "{}", memory.total());
}

#[tokio::test(start_paused = true)]
async fn a_history_that_does_not_fit_is_dropped_and_cells_go_on() {
    let client = local_client(150_000);
    let sandbox = client.create(json!({})).await;
    client.execute(&sandbox, &format!("x = 1\nprint {}", "c".repeat(30_000))).await;
    upload(&client, &sandbox, "/tmp/fill", 70_000).await;
    // The body of the cell fits, its entry in the history does not.
    let output = client.execute(&sandbox, &format!("print {}\nx", "c".repeat(9_000))).await;
    assert!(output.starts_with("number 2 | stdout ccc") && output.ends_with("c | result 1 | end"), "{output}");
    let held = client.harness.sessions.memory().total();
    assert!(held < 90_000, "{held}");
}
