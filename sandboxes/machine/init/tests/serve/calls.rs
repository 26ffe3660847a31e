//! Calls of the daemon, ports, and orphans.

use std::os::unix::fs::MetadataExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{Init, eventually, within};

fn output(messages: &[Value]) -> String {
    let bytes = messages
        .iter()
        .flat_map(|message| STANDARD.decode(message["event"]["data"]["stdout"].as_str().unwrap_or_default()).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn exit_code(messages: &[Value]) -> i64 {
    let end = messages.iter().find_map(|message| message["event"].get("end")).unwrap_or_else(|| panic!("{messages:?}"));
    end["exitCode"].as_i64().unwrap_or_default()
}

#[tokio::test]
async fn programs_and_files_belong_to_the_user() {
    let init = Init::start();
    let ran = init.run("id -u; id -g; id -G; pwd; echo $HOME $USER $MACHINE; umask; ls -l /proc/self/fd | wc -l").await;
    let (uid, gid, home) = (init.uid, init.gid, init.home().display().to_string());
    // Four lines: its own folder of descriptors and its streams, and the heading.
    assert_eq!(output(&ran), format!("{uid}\n{gid}\n{gid}\n{home}\n{home} user m\n0022\n5\n"));
    let kind = [("content-type", "application/octet-stream")];
    let written = init.call("POST /files?path=a/b", &kind, b"text").await;
    assert_eq!((written.status, &written.json()[0]["path"]), (200, &json!(format!("{home}/a/b"))));
    for path in ["a", "a/b"] {
        let data = std::fs::metadata(init.home().join(path)).unwrap();
        assert_eq!((data.uid(), data.gid()), (uid, gid), "{path}");
    }
    let stat = init.call("POST /filesystem.Filesystem/Stat", &[], br#"{"path":"a/b"}"#).await.json();
    assert_eq!((&stat["entry"]["owner"], &stat["entry"]["mode"]), (&json!("user"), &json!(0o644)));
    assert_eq!(init.call("GET /files?path=a/b", &[], b"").await.text(), "text");
    assert_eq!(init.call("GET /health", &[], b"").await.status, 204);
}

#[tokio::test]
async fn a_folder_that_the_user_may_not_enter_is_no_folder_to_start_in() {
    let init = Init::start();
    let message = json!({ "process": { "cmd": "true", "cwd": "/proc/1/fd" } }).to_string();
    let body = [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message.as_bytes()].concat();
    let kind = [("content-type", "application/connect+json")];
    let refused = init.call("POST /process.Process/Start", &kind, &body).await.messages();
    // As root, everything can be entered.
    if rustix::process::geteuid().as_raw() == 0 {
        assert_eq!(refused[0]["error"]["code"], "invalid_argument", "{refused:?}");
    } else {
        assert!(refused[0]["error"]["message"].as_str().unwrap().contains("does not exist"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_command_that_becomes_setsid_keeps_its_output_and_its_exit_code() {
    let init = Init::start();
    let ran = init.run("exec setsid sh -c 'echo said; exit 3'").await;
    assert_eq!((output(&ran), exit_code(&ran)), ("said\n".to_owned(), 3));
}

#[tokio::test]
async fn orphans_are_reaped_and_every_program_keeps_its_own_end() {
    let init = Init::start();
    // Each leaves orphans that end at about the same time.
    let (init, mut runs) = (std::sync::Arc::new(init), tokio::task::JoinSet::new());
    for number in 0..60 {
        let init = init.clone();
        runs.spawn(async move {
            let script = format!("(sleep 0.0{} & sleep 0.02 &); exit {number}", number % 5);
            (number, exit_code(&init.run(&script).await))
        });
    }
    for (number, code) in within(runs.join_all()).await {
        assert_eq!(code, number);
    }
    let pid = init.pid();
    let children = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    eventually("no child is left", || children().trim().is_empty()).await;
}

#[tokio::test]
async fn ports_of_the_machine_are_reached_and_no_others() {
    let init = Init::start();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let (status, mut stream) = init.upgrade(&format!("CONNECT 127.0.0.1:{port}"), &[], b"").await;
    assert_eq!(status, 200);
    let (mut served, _) = within(server.accept()).await.unwrap();
    stream.write_all(b"\0ping").await.unwrap();
    let mut bytes = [0; 5];
    within(served.read_exact(&mut bytes)).await.unwrap();
    served.write_all(b"pong").await.unwrap();
    drop(served);
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!((&bytes, answer.as_slice()), (b"\0ping", b"pong".as_slice()));
    drop(server);
    assert_eq!(init.upgrade(&format!("CONNECT 127.0.0.1:{port}"), &[], b"").await.0, 502);
    for other in ["10.0.0.1:80", "example.com:80", "127.0.0.1"] {
        assert_eq!(init.upgrade(&format!("CONNECT {other}"), &[], b"").await.0, 400, "{other}");
    }
}

#[tokio::test]
async fn a_call_that_is_no_http_ends_its_connection_alone() {
    let init = Init::start();
    let mut odd = init.connect().await;
    odd.write_all(b"\xff\xfe no http\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within(odd.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(init.call("GET /nothing", &[], b"").await.status, 404);
}

#[tokio::test]
async fn calls_share_one_connection_whose_end_is_that_of_the_machine() {
    let mut init = Init::start_connected();
    let waits = init.run("cat; sleep 0.1; echo first");
    let (first, second) = tokio::join!(waits, init.run("echo second"));
    for (messages, text) in [(first, "Zmlyc3QK"), (second, "c2Vjb25kCg==")] {
        assert!(messages.iter().any(|message| message["event"]["data"]["stdout"] == text), "{messages:?}");
    }
    assert!(init.disconnect().await);
}
