//! The files of a sandbox with processes: its own, beside this machine's, which it does not change.

use serde_json::{Value, json};

use crate::harness::TestHarness;

impl TestHarness {
    async fn filesystem(&self, method: &str, message: Value) -> (u16, Value) {
        let path = format!("/filesystem.Filesystem/{method}");
        let answer = self.client.call_sandbox(&self.sandbox, "POST", &path, &message).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn upload(&self, path: &str) -> u16 {
        let path = format!("/files?path={path}");
        self.client.call_sandbox(&self.sandbox, "POST", &path, &json!("text")).await.status.as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_see_the_sandboxes_own_files_and_change_no_others() {
    let harness = TestHarness::new().await;
    assert_eq!((harness.upload("/workspace/a").await, harness.upload("b").await), (200, 200));
    assert_eq!((harness.upload("/etc/of-the-machine").await, harness.upload("/usr/x").await), (403, 403));
    assert!(!std::path::Path::new("/etc/of-the-machine").exists());
    let (_, root) = harness.filesystem("ListDir", json!({ "path": "/" })).await;
    let paths: Vec<&str> =
        root["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"/usr") && paths.contains(&"/workspace") && paths.contains(&"/home"), "{paths:?}");
    for (method, message) in [
        ("MakeDir", json!({ "path": "/etc/new" })),
        ("Remove", json!({ "path": "/usr/bin/env" })),
        ("Move", json!({ "source": "b", "destination": "/etc/b" })),
        ("Move", json!({ "source": "/usr/bin/env", "destination": "c" })),
    ] {
        assert_eq!(harness.filesystem(method, message).await.1["code"], "permission_denied");
    }
    harness.run("import os; os.symlink('b', '/home/user/link')").await;
    let link = harness.filesystem("Stat", json!({ "path": "link" })).await.1["entry"].take();
    assert_eq!((&link["symlinkTarget"], &link["owner"]), (&json!("/home/user/b"), &json!("user")));
    let (_, watch) = harness.filesystem("CreateWatcher", json!({ "path": "/workspace" })).await;
    harness.run("open('/workspace/a', 'a').write('x')").await;
    let (_, events) = harness.filesystem("GetWatcherEvents", json!({ "watcherId": watch["watcherId"] })).await;
    assert!(
        events["events"].as_array().unwrap().contains(&json!({ "name": "a", "type": "EVENT_TYPE_WRITE" })),
        "{events}"
    );
    let counts = harness.client.fake.counts();
    assert_eq!((counts.file_writes, counts.file_reads), (2, 0));
}
