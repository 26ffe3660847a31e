//! Files and folders: look up, list, make, move, remove.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use crate::harness::Machine;

impl Machine {
    pub(crate) async fn filesystem(&self, method: &str, message: &Value) -> Result<Value, (String, String)> {
        self.call(&format!("/filesystem.Filesystem/{method}"), message).await
    }

    /// Returns the paths that a folder has, as they are listed.
    async fn list(&self, path: &str, depth: u32) -> Result<Vec<String>, String> {
        let listed =
            self.filesystem("ListDir", &json!({ "path": path, "depth": depth })).await.map_err(|(code, _)| code)?;
        let path = |entry: &Value| entry["path"].as_str().unwrap().to_owned();
        Ok(listed["entries"].as_array().unwrap().iter().map(path).collect())
    }
}

#[tokio::test]
async fn a_file_is_described_with_its_owner_its_mode_and_its_target() {
    let machine = Machine::new();
    std::fs::write(machine.path("/home/user/a"), "1234").unwrap();
    std::fs::set_permissions(machine.path("/home/user/a"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("a", machine.path("/home/user/link")).unwrap();
    symlink("nothing", machine.path("/home/user/broken")).unwrap();
    let stat = async |path: &str| machine.filesystem("Stat", &json!({ "path": path })).await;
    let mut entry = stat("a").await.unwrap()["entry"].take();
    assert!(entry["modifiedTime"].take().as_str().unwrap().ends_with('Z'));
    let expected = json!({ "name": "a", "type": "FILE_TYPE_FILE", "path": "/home/user/a", "size": "4", "mode": 0o640,
        "permissions": "-rw-r-----", "owner": "user", "group": "user", "modifiedTime": null });
    assert_eq!(entry, expected);
    let link = stat("~/link").await.unwrap()["entry"].take();
    assert_eq!((&link["type"], &link["symlinkTarget"]), (&json!("FILE_TYPE_FILE"), &json!("/home/user/a")));
    assert_eq!((&link["mode"], &link["permissions"]), (&json!(0o640), &json!("Lrwxrwxrwx")));
    let broken = stat("broken").await.unwrap()["entry"].take();
    assert_eq!((&broken["type"], &broken["symlinkTarget"]), (&Value::Null, &json!("/home/user/broken")));
    let (code, message) = stat("/no").await.unwrap_err();
    assert_eq!((code.as_str(), message.as_str()), ("not_found", "path '/no' does not exist"));
    assert_eq!(stat("a/b").await.unwrap_err().0, "invalid_argument");
    assert_eq!(stat("~root").await.unwrap_err().0, "invalid_argument");
}

#[tokio::test]
async fn a_listing_has_each_folder_before_its_content_and_does_not_follow_links() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.path("/d/b/inner")).unwrap();
    std::fs::write(machine.path("/d/c"), "").unwrap();
    std::fs::write(machine.path("/d/b/x"), "").unwrap();
    symlink("b", machine.path("/d/a")).unwrap();
    assert_eq!(machine.list("/d", 0).await.unwrap(), ["/d/a", "/d/b", "/d/c"]);
    assert_eq!(machine.list("/d", 2).await.unwrap(), ["/d/a", "/d/b", "/d/b/inner", "/d/b/x", "/d/c"]);
    assert_eq!(machine.list("/d/a", 1).await.unwrap(), ["/d/a/inner", "/d/a/x"]);
    assert_eq!(machine.list("/d/c", 1).await.unwrap_err(), "invalid_argument");
    assert_eq!(machine.list("/e", 1).await.unwrap_err(), "not_found");
}

#[tokio::test]
async fn folders_are_made_moved_and_removed_with_their_content() {
    let machine = Machine::new();
    let code = |answer: Result<Value, (String, String)>| answer.unwrap_err().0;
    let make = async |path: &str| machine.filesystem("MakeDir", &json!({ "path": path })).await;
    let rename =
        async |from: &str, to: &str| machine.filesystem("Move", &json!({ "source": from, "destination": to })).await;
    let remove = async |path: &str| machine.filesystem("Remove", &json!({ "path": path })).await;
    assert_eq!(make("a/b/c").await.unwrap()["entry"]["path"], "/home/user/a/b/c");
    assert_eq!(code(make("a/b").await), "already_exists");
    std::fs::write(machine.path("/home/user/a/f"), "1").unwrap();
    assert_eq!(
        (code(make("a/f").await), code(make("a/f/g").await)),
        ("invalid_argument".into(), "invalid_argument".into())
    );
    assert_eq!(rename("a", "/other/place/a").await.unwrap()["entry"]["type"], "FILE_TYPE_DIRECTORY");
    assert!(machine.path("/other/place/a/b/c").is_dir() && !machine.path("/home/user/a").exists());
    assert_eq!(code(rename("a", "b").await), "not_found");
    assert_eq!(code(rename("/other", "/other/place/in").await), "invalid_argument");
    assert_eq!((remove("/other").await.unwrap(), remove("/other").await.unwrap()), (json!({}), json!({})));
    assert!(!machine.path("/other").exists());
    for refused in [make("/usr/x").await, rename("/home", "/usr/x").await, remove("/usr/lib").await] {
        assert_eq!(code(refused), "permission_denied");
    }
    assert_eq!(code(machine.filesystem("Chmod", &json!({})).await), "unimplemented");
}
