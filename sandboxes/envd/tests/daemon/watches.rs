//! Watches of folders, as a stream and collected.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Machine;

impl Machine {
    async fn watch(&self, message: &Value) -> Result<String, String> {
        let created = self.filesystem("CreateWatcher", message).await.map_err(|(code, _)| code)?;
        Ok(created["watcherId"].as_str().unwrap().to_owned())
    }

    async fn events(&self, id: &str) -> Vec<String> {
        let events = self.filesystem("GetWatcherEvents", &json!({ "watcherId": id })).await.unwrap();
        events["events"].as_array().unwrap().iter().map(line).collect()
    }
}

fn line(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap().trim_start_matches("EVENT_TYPE_").to_lowercase();
    format!("{kind} {}", event["name"].as_str().unwrap())
}

#[tokio::test]
async fn changes_are_collected_in_their_order_until_they_are_fetched() {
    let machine = Machine::new();
    let home = machine.path("/home/user");
    fs::create_dir(home.join("sub")).unwrap();
    let id = machine.watch(&json!({ "path": "~" })).await.unwrap();
    machine.post("/files?path=new", &[("content-type", "application/octet-stream")], "text").await;
    assert_eq!(machine.events(&id).await, ["create new", "chmod new", "write new"]);
    fs::rename(home.join("new"), home.join("moved")).unwrap();
    fs::write(home.join("sub/deep"), "x").unwrap();
    fs::remove_file(home.join("moved")).unwrap();
    assert_eq!(machine.events(&id).await, ["rename new", "create moved", "remove moved"]);
    assert_eq!(machine.events(&id).await, [""; 0]);
    fs::remove_dir_all(&home).unwrap();
    assert_eq!(machine.events(&id).await.last().map(String::as_str), Some("remove ."));
    let by_id = json!({ "watcherId": id });
    machine.filesystem("RemoveWatcher", &by_id).await.unwrap();
    let (code, message) = machine.filesystem("GetWatcherEvents", &by_id).await.unwrap_err();
    assert_eq!((code.as_str(), message), ("not_found", format!("watcher with id {id} not found")));
    assert_eq!(machine.filesystem("RemoveWatcher", &by_id).await.unwrap_err().0, "not_found");
}

#[tokio::test]
async fn a_recursive_watch_has_new_and_moved_folders() {
    let machine = Machine::new();
    let home = machine.path("/home/user");
    let watch = json!({ "path": "/home/user", "recursive": true, "includeEntry": true });
    let id = machine.watch(&watch).await.unwrap();
    // Before the watch has seen the folder.
    fs::create_dir_all(home.join("a/b")).unwrap();
    fs::write(home.join("a/b/early"), "x").unwrap();
    let early = machine.events(&id).await;
    assert_eq!(early, ["create a", "create a/b", "create a/b/early", "write a/b/early"]);
    fs::write(home.join("a/b/late"), "x").unwrap();
    fs::rename(home.join("a"), home.join("z")).unwrap();
    let events = machine.filesystem("GetWatcherEvents", &json!({ "watcherId": id })).await.unwrap();
    let lines: Vec<String> = events["events"].as_array().unwrap().iter().map(line).collect();
    let moved = ["create z", "create z/b", "create z/b/early", "write z/b/early", "create z/b/late", "write z/b/late"];
    assert_eq!(lines[..3], ["create a/b/late", "write a/b/late", "rename a"]);
    let mut found = lines[3..].to_vec();
    found.sort_unstable();
    let mut expected = moved.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(events["events"][2].get("entry"), None);
    let entry = |path: &str| {
        events["events"].as_array().unwrap().iter().find(|event| event["name"] == path).unwrap()["entry"].clone()
    };
    assert_eq!(entry("z/b")["type"], "FILE_TYPE_DIRECTORY");
    fs::write(home.join("z/b/late"), "y").unwrap();
    fs::remove_dir_all(home.join("z/b")).unwrap();
    let lines = machine.events(&id).await;
    assert!(lines.contains(&"write z/b/late".to_owned()) && lines.contains(&"remove z/b".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("a/b")), "{lines:?}");
}

#[tokio::test]
async fn a_stream_has_changes_as_they_happen_and_its_own_end() {
    let machine = Machine::new();
    let watch = json!({ "path": "/home/user" });
    let mut stream = machine.stream("/filesystem.Filesystem/WatchDir", &[("connect-timeout-ms", "500")], &watch).await;
    assert_eq!(stream.next().await, Some(json!({ "start": {} })));
    fs::write(machine.path("/home/user/x"), "1").unwrap();
    let lines = [line(&stream.next().await.unwrap()["filesystem"]), line(&stream.next().await.unwrap()["filesystem"])];
    assert_eq!(lines, ["create x", "write x"]);
    assert_eq!((stream.next().await, stream.error_code()), (None, "deadline_exceeded".to_owned()));
}

#[tokio::test]
async fn only_folders_are_watched_and_only_so_many() {
    let machine = Machine::new();
    fs::write(machine.path("/file"), "").unwrap();
    assert_eq!(machine.watch(&json!({ "path": "/no" })).await.unwrap_err(), "not_found");
    assert_eq!(machine.watch(&json!({ "path": "/file" })).await.unwrap_err(), "invalid_argument");
    let mut ids = Vec::new();
    let refused = loop {
        match machine.watch(&json!({ "path": "/" })).await {
            Ok(id) => ids.push(id),
            Err(code) => break code,
        }
    };
    assert_eq!((ids.len(), refused.as_str()), (64, "resource_exhausted"));
    machine.filesystem("RemoveWatcher", &json!({ "watcherId": ids[0] })).await.unwrap();
    // A stream that its client leaves gives its watch back.
    for _ in 0..3 {
        let mut stream = machine.stream("/filesystem.Filesystem/WatchDir", &[], &json!({ "path": "/" })).await;
        assert_eq!(stream.next().await, Some(json!({ "start": {} })));
    }
}
