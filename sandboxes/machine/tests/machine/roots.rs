//! Machines with root file systems of the user's: imported, or of an image layout.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchtower_contract::{Backend as _, Fault, Language, Need, Program};
use switchtower_machine::{Config, ImportLimits, Roots, Source};

use crate::harness::{Tested, built_in, config, run, started};

const RUNTIME: &str = "own root";

/// Returns the program of a shell that needs no library. `None`, with a message, where it is not installed.
fn static_shell() -> Option<PathBuf> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| {
        // Without an interpreter for libraries, it runs in a root that has nothing else.
        fs::read(path).is_ok_and(|bytes| {
            !bytes
                .windows(12)
                .take(1 << 16)
                .any(|text| text.starts_with(b"/lib64/ld-") || text.starts_with(b"/lib/ld-"))
        })
    });
    if found.is_none() {
        eprintln!("skipped: there is no static busybox: on Debian, `apt-get install busybox-static`");
    }
    found
}

/// Makes a root file system with a shell and its tools, without a list of users.
fn small_root(folder: &Path, shell: &Path) {
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::create_dir_all(folder.join("etc")).unwrap();
    fs::copy(shell, folder.join("bin/busybox")).unwrap();
    fs::set_permissions(folder.join("bin/busybox"), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["sh", "cat", "id", "env", "ls", "rm", "whoami", "stat", "chmod"] {
        symlink("busybox", folder.join("bin").join(name)).unwrap();
    }
    fs::write(folder.join("etc/image"), "small\n").unwrap();
    fs::write(folder.join("etc/key"), "of root\n").unwrap();
    fs::set_permissions(folder.join("etc/key"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn archive_of(folder: &Path, archive: &Path) {
    let done = Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(archive).arg(".").status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_in_an_imported_root_without_bash_and_lists_of_users() {
    let (Some(_), Some(shell)) = (built_in().await, static_shell()) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let [unpacked, archive] = ["unpacked", "small.tar"].map(|name| scratch.path().join(name));
    small_root(&unpacked, &shell);
    archive_of(&unpacked, &archive);
    let roots = Roots::new(scratch.path().join("roots"));
    let (root, _) = roots.import(&Source::Path(archive), None, None, ImportLimits::default()).unwrap();
    let machines = started(Config { root: Some(root.folder.clone()), ..config() }).await.unwrap();
    assert_eq!(machines.offer().languages.first(), None, "it has no interpreter");
    let open = Tested { runtime: RUNTIME, machines }.open().await;
    let user = open.command("user", "exec 2>&1; cat /etc/image; id -u; whoami; echo $HOME; cat /etc/key").await;
    let (seen, refused) = user.printed.split_at(user.printed.find("cat: ").unwrap());
    assert_eq!(seen, "small\n1000\nuser\n/home/user\n");
    assert!(refused.contains("Permission denied"), "{user:?}");
    let changes = "cat /etc/key; rm /etc/image; echo changed > /etc/key; id -u; test -e /etc/image || cat /etc/key";
    assert_eq!(open.command("root", changes).await.printed, "of root\n0\nchanged\n");
    // Only the machine's own layer has changed.
    assert_eq!(fs::read_to_string(root.folder.join("rootfs/etc/image")).unwrap(), "small\n");
    assert_eq!(fs::read_to_string(root.folder.join("rootfs/etc/key")).unwrap(), "of root\n");
}

/// Writes an image layout with one layer.
fn layout(folder: &Path, layer: &[u8], env: &[&str]) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let add = |kind: &str, bytes: &[u8]| -> Value {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(blobs.join(&hex), bytes).unwrap();
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{hex}"), "size": bytes.len() })
    };
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let image = json!({ "architecture": architecture, "os": "linux", "config": { "Env": env } });
    let image = add("config.v1+json", image.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": image, "layers": [add("layer.v1.tar", layer)] });
    let manifest = add("manifest.v1+json", manifest.to_string().as_bytes());
    fs::write(folder.join("index.json"), json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_layout_is_the_root_of_machines_with_the_variables_of_its_image() {
    let (Some(_), Some(shell)) = (built_in().await, static_shell()) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let [unpacked, archive, folder] = ["unpacked", "layer.tar", "layout"].map(|name| scratch.path().join(name));
    small_root(&unpacked, &shell);
    fs::rename(unpacked.join("bin"), unpacked.join("tools")).unwrap();
    archive_of(&unpacked, &archive);
    layout(&folder, &fs::read(&archive).unwrap(), &["PATH=/tools", "EDITION=small one", "HOME=/nowhere"]);
    let roots = Some(Roots::new(scratch.path().join("roots")));
    let config = Config { root: Some(folder), roots, ..config() };
    let machines = started(config).await.unwrap();
    let tested = Tested { runtime: RUNTIME, machines };
    let open = tested.open().await;
    // It has no shell where clients look for one.
    let end = open.command("user", "echo shell").await.end;
    assert!(end.contains("/bin/bash") || end.contains("error starting process"), "{end}");
    let message = json!({ "process": { "cmd": "sh", "args": ["-c", "echo $EDITION; echo $HOME; echo $PATH"] } });
    let printed = open.process("user", &message).await.printed;
    assert_eq!(printed, "small one\n/home/user\n/tools\n");
    let (outcome, _) = run(&tested.machines, &Program::new(Language::C, "int main(){}"), Duration::from_secs(20)).await;
    // It goes on to another tier, or is refused with the language.
    assert!(matches!(&outcome, Err(Fault::Unsupported(Need::Language(_)))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_without_any_program_has_files() {
    if built_in().await.is_none() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/image"), "no programs").unwrap();
    // A list of the host's users is none of the root's.
    symlink("/etc/shadow", root.path().join("etc/group")).unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let machines = started(Config { root: Some(root.path().to_owned()), ..config() }).await.unwrap();
    let open = Tested { runtime: RUNTIME, machines }.open().await;
    let get = async |path: &str| {
        let request = Request::get(format!("/files?path={path}&username=root")).body(bytes::Bytes::new()).unwrap();
        let (status, body) = open.files(request).await;
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    assert_eq!(get("/etc/image").await, (200, "no programs".to_owned()));
    let (status, group) = get("/etc/group").await;
    assert!(status == 200 && group.contains("user:x:1000:"), "{group}");
    assert_eq!(open.write("user", "/home/user/file", "written").await, 200);
    let run = open.command_with("user", "true", &BTreeMap::new()).await;
    assert!(run.end.contains("error starting process"), "{run:?}");
}
