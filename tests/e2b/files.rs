//! envd while a sandbox is local: files, folders, watches.

use std::io::Write as _;

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchtower_core::session;
use tokio::time::{Instant, sleep};

use super::harness::{Client, ENVD, Sandbox, frames, with, without};
use crate::session::harness::{Cloud, Plan, seconds};

#[tokio::test(start_paused = true)]
async fn files_are_uploaded_as_a_form_or_raw_and_downloaded_unchanged() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"/tmp/one\"\r\n\r\n1\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sub/two\"\r\n\r\n2\r\n--b--\r\n";
    let form = |call: &str| with(sandbox.to(ENVD, call, form), "content-type", "multipart/form-data; boundary=b");
    let uploaded = client.send(form("POST /files")).await;
    let entry = |path: &str, name: &str| json!({ "path": path, "name": name, "type": "file" });
    let all = json!([entry("/tmp/one", "one"), entry("/home/user/sub/two", "two")]);
    assert_eq!((uploaded.status, uploaded.json), (200, all));
    // The path of the query takes precedence over the names in the form.
    let uploaded = client.send(form("POST /files?path=/tmp/named&username=user")).await;
    assert_eq!(uploaded.json[0], entry("/tmp/named", "named"));
    let bytes = sandbox.to(ENVD, "POST /files?path=a%20b", "\u{fffd}\0");
    let uploaded = client.send(with(bytes, "content-type", "application/octet-stream")).await;
    assert_eq!(uploaded.json, json!([entry("/home/user/a b", "a b")]));
    for (path, content) in [("/tmp/one", "1"), ("/home/user/sub/two", "2"), ("a%20b", "\u{fffd}\0")] {
        let read = client.send(sandbox.to(ENVD, &format!("GET /files?path={path}"), Body::empty())).await;
        assert_eq!((read.status, read.text.as_str()), (200, content));
        assert_eq!(read.header("content-type"), "application/octet-stream");
    }
    assert_eq!(client.execute(&sandbox, "read /tmp/one").await, "number 1 | stdout 1 | end");
    client.execute(&sandbox, "write /tmp/made cell").await;
    let read = client.send(sandbox.to(ENVD, "GET /files?path=/tmp/made", Body::empty())).await;
    assert_eq!((read.text.as_str(), client.harness.machines.sandboxes()), ("cell", 0));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_available_is_refused_as_envd_does() {
    let sessions = session::Config { max_files_size: 10, ..session::Config::default() };
    let client = Client::with_plan(Plan { sessions, cloud: Cloud::Absent("none"), ..Plan::default() });
    let sandbox = client.create(json!({})).await;
    let mut text = String::new();
    for (call, kind, coding) in [
        ("GET /files?path=/tmp/none", "", ""),
        ("GET /files?path=/tmp", "", ""),
        ("GET /files?path=/etc/hosts", "", ""),
        ("GET /files?path=/tmp/%00", "", ""),
        ("POST /files?path=/etc/hosts", "", ""),
        ("POST /files?path=/tmp", "", ""),
        ("POST /files", "", ""),
        ("POST /files", "multipart/form-data; boundary=b", ""),
        ("POST /files?path=/tmp/a", "", "gzip"),
        ("POST /files?path=/tmp/a", "", "br"),
        ("POST /files?path=/tmp/a", "", ""),
        ("POST /files?path=a&username=root", "", ""),
        ("GET /files?path=a&username=ada", "", ""),
        ("GET /files?path=a&path=b", "", ""),
        ("POST /files?username=root&path=a&username=user", "", ""),
        ("GET /nothing", "", ""),
    ] {
        let mut request = sandbox.to(ENVD, call, "eleven bytes");
        for (name, value) in [("content-type", kind), ("content-encoding", coding)] {
            if !value.is_empty() {
                request = with(request, name, value);
            }
        }
        text.push_str(&format!("{call}: {}\n", client.send(request).await.status_and_body()));
    }
    insta::assert_snapshot!(text, @r#"
    GET /files?path=/tmp/none: 404 {"code":404,"message":"path \"/tmp/none\" does not exist"}
    GET /files?path=/tmp: 400 {"code":400,"message":"path is a directory: \"/tmp\""}
    GET /files?path=/etc/hosts: 404 {"code":404,"message":"path \"/etc/hosts\" is outside /home/user and /tmp, the folders of this session: use a path there, or none"}
    GET /files?path=/tmp/%00: 400 {"code":400,"message":"path \"/tmp/\\0\" has a NUL in it"}
    POST /files?path=/etc/hosts: 403 {"code":403,"message":"path \"/etc/hosts\" is outside /home/user and /tmp, the folders of this session: use a path there, or none"}
    POST /files?path=/tmp: 400 {"code":400,"message":"path is a directory: \"/tmp\""}
    POST /files: 400 {"code":400,"message":"path is required"}
    POST /files: 400 {"code":400,"message":"error parsing multipart form"}
    POST /files?path=/tmp/a: 400 {"code":400,"message":"the body is not valid gzip: invalid gzip header"}
    POST /files?path=/tmp/a: 400 {"code":400,"message":"the Content-Encoding of a body must be gzip or identity"}
    POST /files?path=/tmp/a: 507 {"code":507,"message":"the files of a session may have 10 bytes together: remove some"}
    POST /files?path=a&username=root: 403 {"code":403,"message":"path \"/root/a\" is outside /home/user and /tmp, the folders of this session: use a path there, or none"}
    GET /files?path=a&username=ada: 401 {"code":401,"message":"user \"ada\" does not exist: use \"user\" or \"root\""}
    GET /files?path=a&path=b: 400 {"code":400,"message":"the query is invalid: Failed to deserialize query string: duplicate field `path`"}
    POST /files?username=root&path=a&username=user: 400 {"code":400,"message":"the query is invalid: Failed to deserialize query string: duplicate field `username`"}
    GET /nothing: 404 {"code":404,"message":"there is nothing at /nothing"}
    "#);
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_compressed_upload_is_stored_as_it_was_before_its_compression() {
    let sessions = session::Config { max_files_size: 1000, ..session::Config::default() };
    let client = Client::with_plan(Plan { sessions, cloud: Cloud::Absent("none"), ..Plan::default() });
    let sandbox = client.create(json!({})).await;
    let upload = async |call: &str, kind: &str, body: Vec<u8>| {
        let request = with(sandbox.to(ENVD, call, body), "content-encoding", "gzip");
        client.send(with(request, "content-type", kind)).await
    };
    let raw = upload("POST /files?path=/tmp/a", "application/octet-stream", gzip(b"plain")).await;
    assert_eq!((raw.status, &raw.json[0]["path"]), (200, &json!("/tmp/a")));
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"/tmp/b\"\r\n\r\nform\r\n--b--\r\n";
    let form = upload("POST /files", "multipart/form-data; boundary=b", gzip(form.as_bytes())).await;
    assert_eq!((form.status, &form.json[0]["path"]), (200, &json!("/tmp/b")));
    for (path, content) in [("/tmp/a", "plain"), ("/tmp/b", "form")] {
        let read = client.send(sandbox.to(ENVD, &format!("GET /files?path={path}"), Body::empty())).await;
        assert_eq!(read.text, content);
    }
    let held = client.harness.sessions.memory().total();
    // Both are larger than they look: one than the files may be, one than a body may be.
    for size in [2000, 64 << 20] {
        let bomb = upload("POST /files?path=/tmp/c", "application/octet-stream", gzip(&vec![0; size])).await;
        assert_eq!((bomb.status, bomb.text.contains("1000 bytes together")), (507, true), "{}", bomb.text);
    }
    assert_eq!(client.harness.sessions.memory().total(), held);
}

#[tokio::test(start_paused = true)]
async fn a_compressed_upload_that_needs_a_machine_is_forwarded_as_it_came() {
    let sessions = session::Config { max_files_size: 1000, ..session::Config::default() };
    let client = Client::with_plan(Plan { sessions, ..Plan::default() });
    let sandbox = client.create(json!({})).await;
    let body = gzip(&[0; 2000]);
    let upload = with(sandbox.to(ENVD, "POST /files?path=/tmp/a", body.clone()), "content-encoding", "gzip");
    let answer = client.send(upload).await;
    assert_eq!((answer.status, answer.header("x-answered-by")), (200, "machine"));
    assert_eq!(client.harness.machines.sandboxes(), 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_of_an_upload_is_shown_with_the_file_until_it_is_uploaded_again() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    let upload = async |call: &str, headers: &[(&'static str, &str)]| {
        let mut request = sandbox.to(ENVD, call, "1");
        for (name, value) in headers {
            request = with(request, name, value);
        }
        client.send(request).await
    };
    let metadata = json!({ "author": "ada", "purpose": "test" });
    let headers = [("x-metadata-author", "ada"), ("x-metadata-purpose", "test")];
    let written = upload("POST /files?path=d/a", &headers).await;
    assert_eq!(written.json[0]["metadata"], metadata);
    let call = async |method: &str, message: Value| {
        client.send(sandbox.rpc(&format!("filesystem.Filesystem/{method}"), &message)).await.json
    };
    assert_eq!(call("Stat", json!({ "path": "d/a" })).await["entry"]["metadata"], metadata);
    assert_eq!(call("ListDir", json!({ "path": "d" })).await["entries"][0]["metadata"], metadata);
    let moved = call("Move", json!({ "source": "d/a", "destination": "/tmp/b" })).await;
    assert_eq!(moved["entry"]["metadata"], metadata);
    let again = upload("POST /files?path=/tmp/b", &[]).await;
    assert_eq!((again.status, &again.json[0]["metadata"]), (200, &Value::Null));
    assert_eq!(call("Stat", json!({ "path": "/tmp/b" })).await["entry"]["metadata"], Value::Null);
    let long = "v".repeat(4096);
    let refused = upload("POST /files?path=/tmp/c", &[("x-metadata-k", &long)]).await;
    assert_eq!(
        refused.status_and_body(),
        r#"400 {"code":400,"message":"the metadata of a file may have 4096 bytes together"}"#
    );
    assert_eq!(call("Stat", json!({ "path": "/tmp/c" })).await["code"], "not_found");
}

#[tokio::test(start_paused = true)]
async fn metadata_moves_with_its_file_to_a_machine() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    let upload = |path: &str| sandbox.to(ENVD, &format!("POST /files?path={path}"), "1");
    client.send(with(upload("/tmp/a"), "x-metadata-author", "ada")).await;
    client.send(upload("/tmp/b")).await;
    client.execute(&sandbox, "import pandas").await;
    let log = client.harness.machines.log();
    let with_metadata: Vec<_> = log.iter().filter(|line| line.contains("author")).collect();
    assert_eq!(with_metadata, ["/tmp/a author: ada"]);
    let read = client.send(sandbox.to(ENVD, "GET /files?path=/tmp/a", Body::empty())).await;
    assert_eq!((read.text.as_str(), read.header("x-answered-by")), ("1", "machine"));
}

#[tokio::test(start_paused = true)]
async fn the_boot_id_of_a_sandbox_is_its_own_and_stays_the_same_over_a_pause() {
    let client = Client::new();
    let (sandbox, other) = (client.create(json!({})).await, client.create(json!({})).await);
    let boot_id = async |sandbox: &Sandbox| {
        let read = sandbox.to(ENVD, "GET /files?path=/proc/sys/kernel/random/boot_id", Body::empty());
        let read = client.send(read).await;
        assert_eq!((read.status, read.text.len()), (200, 37), "{}", read.text);
        read.text
    };
    let before = boot_id(&sandbox).await;
    assert_ne!(before, boot_id(&other).await);
    client.call(&format!("POST /sandboxes/{}/pause", sandbox.id), json!({})).await;
    client.call(&format!("POST /v2/sandboxes/{}/connect", sandbox.id), json!({})).await;
    assert_eq!(boot_id(&sandbox).await, before);
    assert_eq!(client.harness.machines.sandboxes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_outside_the_own_folders_is_refused_as_a_permission_with_what_is_allowed() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/a", "1")).await;
    let mut text = String::new();
    for (user, method, message) in [
        ("user", "MakeDir", json!({ "path": "/workspace" })),
        ("root", "MakeDir", json!({ "path": "d" })),
        ("root", "Stat", json!({ "path": "/tmp/a" })),
        ("user", "Move", json!({ "source": "/tmp/a", "destination": "/opt/a" })),
        ("user", "Remove", json!({ "path": "/etc" })),
        ("user", "ListDir", json!({ "path": "/" })),
        ("user", "CreateWatcher", json!({ "path": "/etc" })),
        ("ada", "Stat", json!({ "path": "/tmp/a" })),
    ] {
        let request = sandbox.rpc(&format!("filesystem.Filesystem/{method}"), &message);
        let shown = format!("Basic {}", STANDARD.encode(format!("{user}:")));
        let answer = client.send(with(request, "authorization", &shown)).await;
        let detail = answer.json["message"].as_str().unwrap_or_default();
        text.push_str(&format!("{user} {method} {message}: {} {} {detail}\n", answer.status, answer.json["code"]));
    }
    insta::assert_snapshot!(text, @r#"
    user MakeDir {"path":"/workspace"}: 403 "permission_denied" path "/workspace" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY
    root MakeDir {"path":"d"}: 403 "permission_denied" path "/root/d" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY
    root Stat {"path":"/tmp/a"}: 200 null 
    user Move {"destination":"/opt/a","source":"/tmp/a"}: 403 "permission_denied" path "/opt/a" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY
    user Remove {"path":"/etc"}: 403 "permission_denied" path "/etc" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY
    user ListDir {"path":"/"}: 404 "not_found" path "/" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY
    user CreateWatcher {"path":"/etc"}: 404 "not_found" path "/etc" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY
    ada Stat {"path":"/tmp/a"}: 401 "unauthenticated" user "ada" does not exist: use "user" or "root"
    "#);
}

#[tokio::test(start_paused = true)]
async fn files_that_are_moving_are_refused_as_a_fault_and_not_as_a_sandbox_that_is_gone() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    let session = client.harness.sessions.find_any(&sandbox.id).unwrap();
    session.files().close();
    let upload = || sandbox.to(ENVD, "POST /files?path=/tmp/a", "1");
    let folder = || sandbox.rpc("filesystem.Filesystem/MakeDir", &json!({ "path": "/tmp/b" }));
    for (request, code) in [(upload(), json!(500)), (folder(), json!("internal"))] {
        let answer = client.send(request).await;
        assert_eq!((answer.status, &answer.json["code"]), (500, &code));
        assert_eq!(answer.json["message"], "the files are on the session's machine");
    }
    session.files().reopen();
    for request in [upload(), folder()] {
        assert_eq!(client.send(request).await.status, 200);
    }
}

fn signed_link(sandbox: &Sandbox, operation: &str, path: &str, until: u64) -> String {
    let signed = format!("{path}:{operation}::{}:{until}", sandbox.token);
    let signature = STANDARD_NO_PAD.encode(Sha256::digest(signed)).replace('+', "%2B");
    format!("/files?path={path}&signature=v1_{signature}&signature_expiration={until}")
}

#[tokio::test(start_paused = true)]
async fn a_signed_link_needs_neither_a_token_nor_the_id_of_its_sandbox() {
    let client = Client::new();
    let (sandbox, _other) = (client.create(json!({})).await, client.create(json!({})).await);
    let until = 1_753_928_091 + 60;
    let write = Request::post(signed_link(&sandbox, "write", "/tmp/a", until)).body(Body::from("linked")).unwrap();
    assert_eq!(client.send(write).await.status, 200);
    let link = signed_link(&sandbox, "read", "/tmp/a", until);
    let read = || Request::get(&link).header("host", "localhost:3001").body(Body::empty()).unwrap();
    assert_eq!(client.send(read()).await.status_and_body(), "200 linked");
    let named = || without(sandbox.to(ENVD, &format!("GET {link}"), Body::empty()), "x-access-token");
    assert_eq!(client.send(named()).await.status_and_body(), "200 linked");
    let other_path = link.replace("/tmp/a", "/tmp/b");
    let forged = without(sandbox.to(ENVD, &format!("GET {other_path}"), Body::empty()), "x-access-token");
    let invalid = r#"401 {"code":401,"message":"invalid signature"}"#;
    assert_eq!(client.send(forged).await.status_and_body(), invalid);
    let unsigned = Request::get("/files?path=/tmp/a").body(Body::empty()).unwrap();
    let missing = r#"401 {"code":401,"message":"missing signature query parameter"}"#;
    assert_eq!(client.send(unsigned).await.status_and_body(), missing);
    sleep(seconds(61)).await;
    let expired = r#"401 {"code":401,"message":"signature is already expired"}"#;
    assert_eq!(client.send(named()).await.status_and_body(), expired);
    assert_eq!(client.send(read()).await.status_and_body(), expired);
}

#[tokio::test(start_paused = true)]
async fn a_link_without_a_sandbox_id_is_checked_against_the_1024_sandboxes_used_last_and_the_refusal_says_what_to_do() {
    const RECENT: usize = 1024;
    let sessions = session::Config { max_per_caller: 4000, ..session::Config::default() };
    let client = Client::with_plan(Plan { sessions, ..Plan::default() });
    let (old, used) = (client.create(json!({})).await, client.create(json!({})).await);
    for sandbox in [&old, &used] {
        client.send(sandbox.to(ENVD, "POST /files?path=/tmp/a", "linked")).await;
    }
    let link = |sandbox: &Sandbox| signed_link(sandbox, "read", "/tmp/a", 1_753_928_091 + 60);
    let open = |link: String| Request::get(link).header("host", "localhost:3001").body(Body::empty()).unwrap();
    let create = async |count: usize| {
        for _ in 0..count {
            client.create(json!({})).await;
        }
    };
    let ended = client.create(json!({})).await;
    client.call(&format!("DELETE /sandboxes/{}", ended.id), Value::Null).await;
    // Together with `old` and `used`, as many as are tried. The sandbox that has ended does not count.
    create(RECENT - 2).await;
    assert_eq!(client.send(open(link(&old))).await.status_and_body(), "200 linked");
    assert_eq!(client.send(open(link(&used))).await.status_and_body(), "200 linked");
    create(RECENT - 1).await;
    assert_eq!(client.send(open(link(&used))).await.status_and_body(), "200 linked");
    let refused = client.send(open(link(&old))).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json["message"], "invalid signature");
    let hint = refused.json["hint"].as_str().unwrap();
    assert!(hint.contains("49983-SANDBOX_ID.DOMAIN") && hint.contains("E2b-Sandbox-Id"), "{hint}");
    let hosted = with(open(link(&old)), "host", &format!("49983-{}.e2b.localhost:3001", old.id));
    assert_eq!(client.send(hosted).await.status_and_body(), "200 linked");
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_many_sandboxes_does_not_make_the_links_of_others_fail() {
    let mut client = Client::new();
    let sandbox = client.create(json!({})).await;
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/a", "linked")).await;
    client.key = "e2b_two";
    for _ in 0..1500 {
        client.create(json!({})).await;
    }
    let link = signed_link(&sandbox, "read", "/tmp/a", 1_753_928_091 + 60);
    let open = Request::get(link).header("host", "localhost:3001").body(Body::empty()).unwrap();
    assert_eq!(client.send(open).await.status_and_body(), "200 linked");
}

#[tokio::test(start_paused = true)]
async fn folders_are_created_listed_moved_and_removed() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/d/a", "12345")).await;
    let mut text = String::new();
    for (method, message) in [
        ("Stat", json!({ "path": "/tmp/d/a" })),
        ("MakeDir", json!({ "path": "d" })),
        ("MakeDir", json!({ "path": "/home/user/d" })),
        ("Move", json!({ "source": "/tmp/d/a", "destination": "d/b" })),
        ("ListDir", json!({ "path": "/home/user", "depth": 2 })),
        ("Remove", json!({ "path": "d" })),
        ("Remove", json!({ "path": "d" })),
        ("Stat", json!({ "path": "d" })),
        ("ListDir", json!({ "path": "/home/user/none" })),
        ("ListDir", json!({ "path": "/etc" })),
        ("Remove", json!({ "path": "/tmp" })),
        ("Fly", json!({ "path": "/tmp" })),
        ("Stat", json!(3)),
    ] {
        let answer = client.send(sandbox.rpc(&format!("filesystem.Filesystem/{method}"), &message)).await;
        text.push_str(&format!("{method} {message}: {}\n", answer.status_and_body()));
    }
    insta::assert_snapshot!(text, @r#"
    Stat {"path":"/tmp/d/a"}: 200 {"entry":{"group":"user","mode":420,"modifiedTime":"2025-07-31T02:14:51.023Z","name":"a","owner":"user","path":"/tmp/d/a","permissions":"-rw-r--r--","size":"5","type":"FILE_TYPE_FILE"}}
    MakeDir {"path":"d"}: 200 {"entry":{"group":"user","mode":493,"modifiedTime":"2025-07-31T02:14:51.023Z","name":"d","owner":"user","path":"/home/user/d","permissions":"drwxr-xr-x","size":"4096","type":"FILE_TYPE_DIRECTORY"}}
    MakeDir {"path":"/home/user/d"}: 409 {"code":"already_exists","message":"path already exists: \"/home/user/d\""}
    Move {"destination":"d/b","source":"/tmp/d/a"}: 200 {"entry":{"group":"user","mode":420,"modifiedTime":"2025-07-31T02:14:51.023Z","name":"b","owner":"user","path":"/home/user/d/b","permissions":"-rw-r--r--","size":"5","type":"FILE_TYPE_FILE"}}
    ListDir {"depth":2,"path":"/home/user"}: 200 {"entries":[{"group":"user","mode":493,"modifiedTime":"2025-07-31T02:14:51.023Z","name":"d","owner":"user","path":"/home/user/d","permissions":"drwxr-xr-x","size":"4096","type":"FILE_TYPE_DIRECTORY"},{"group":"user","mode":420,"modifiedTime":"2025-07-31T02:14:51.023Z","name":"b","owner":"user","path":"/home/user/d/b","permissions":"-rw-r--r--","size":"5","type":"FILE_TYPE_FILE"}]}
    Remove {"path":"d"}: 200 {}
    Remove {"path":"d"}: 200 {}
    Stat {"path":"d"}: 404 {"code":"not_found","message":"path \"/home/user/d\" does not exist"}
    ListDir {"path":"/home/user/none"}: 404 {"code":"not_found","message":"path \"/home/user/none\" does not exist"}
    ListDir {"path":"/etc"}: 404 {"code":"not_found","message":"path \"/etc\" is outside /home/user and /tmp, the folders of this session: use a path there, or set E2B_API_KEY"}
    Remove {"path":"/tmp"}: 400 {"code":"invalid_argument","message":"/tmp cannot be removed"}
    Fly {"path":"/tmp"}: 501 {"code":"unimplemented","message":"unknown method Fly"}
    Stat 3: 400 {"code":"invalid_argument","message":"unmarshal message: invalid type: integer `3`, expected struct FilesystemMessage at line 1 column 1"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_collects_changes_until_it_is_polled() {
    let client = Client::new();
    let (sandbox, other) = (client.create(json!({})).await, client.create(json!({})).await);
    let call = async |sandbox: &Sandbox, method: &str, message: Value| {
        client.send(sandbox.rpc(&format!("filesystem.Filesystem/{method}"), &message)).await
    };
    let made = call(&sandbox, "CreateWatcher", json!({ "path": "/tmp", "recursive": true })).await;
    let id = json!({ "watcherId": made.json["watcherId"] });
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/d/a", "1")).await;
    client.execute(&sandbox, "write /tmp/b cell").await;
    let events = call(&sandbox, "GetWatcherEvents", id.clone()).await;
    let list = |events: &Value| {
        let event = |event: &Value| format!("{} {}", event["name"], event["type"]).replace(['"'], "");
        events["events"].as_array().unwrap().iter().map(event).collect::<Vec<_>>().join(", ")
    };
    let made = |name: &str| format!("{name} EVENT_TYPE_CREATE, {name} EVENT_TYPE_WRITE");
    let uploaded = format!("{}, d/a EVENT_TYPE_CHMOD", made("d/a"));
    assert_eq!(list(&events.json), format!("{}, d EVENT_TYPE_CREATE, {uploaded}", made("b")));
    assert_eq!(call(&sandbox, "GetWatcherEvents", id.clone()).await.json, json!({ "events": [] }));
    assert_eq!(call(&other, "GetWatcherEvents", id.clone()).await.status, 404);
    assert_eq!(call(&sandbox, "CreateWatcher", json!({ "path": "/tmp/b" })).await.status, 400);
    // After a promotion the watcher keeps its id.
    client.execute(&sandbox, "import pandas").await;
    let remote = call(&sandbox, "GetWatcherEvents", id.clone()).await;
    assert_eq!(
        (remote.header("x-answered-by"), &remote.json["body"]),
        ("machine", &json!(r#"{"watcherId":"remote"}"#))
    );
    assert_eq!(call(&sandbox, "RemoveWatcher", id.clone()).await.json["uri"], "/filesystem.Filesystem/RemoveWatcher");
    assert_eq!(call(&other, "RemoveWatcher", id).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn an_event_has_the_entry_of_its_path_if_the_watch_wants_it_and_the_path_still_exists() {
    let client = Client::without_machines();
    let sandbox = client.create(json!({})).await;
    let call = async |method: &str, message: Value| {
        client.send(sandbox.rpc(&format!("filesystem.Filesystem/{method}"), &message)).await.json
    };
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/old", "1")).await;
    let options = json!({ "path": "/tmp", "includeEntry": true, "allowNetworkMounts": true });
    let id = json!({ "watcherId": call("CreateWatcher", options).await["watcherId"] });
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/new", "12")).await;
    call("Remove", json!({ "path": "/tmp/old" })).await;
    let events = call("GetWatcherEvents", id).await;
    let events: Vec<_> = events["events"].as_array().unwrap().iter().map(|it| (&it["type"], &it["entry"])).collect();
    assert_eq!(events[0], (&json!("EVENT_TYPE_REMOVE"), &Value::Null));
    let entry = &call("Stat", json!({ "path": "/tmp/new" })).await["entry"];
    assert_eq!(entry["size"], "2");
    assert_eq!(events[1..].iter().map(|(_, it)| *it).collect::<Vec<_>>(), [entry, entry, entry]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_streams_changes_and_keepalives() {
    let client = Client::new();
    let sandbox = client.create(json!({ "timeout": 100 })).await;
    let watch = sandbox.streamed("filesystem.Filesystem/WatchDir", &json!({ "path": "/tmp" }));
    let response = client.respond(with(watch, "keepalive-ping-interval", "50")).await;
    assert_eq!(response.headers()["content-type"], "application/connect+json");
    let began = Instant::now();
    let watch = async {
        let (mut pieces, mut received) = (response.into_body().into_data_stream(), String::new());
        while let Some(Ok(piece)) = pieces.next().await {
            received.push_str(&format!("{} s: {}\n", began.elapsed().as_secs(), frames(&piece).join(", ")));
        }
        received.push_str(&format!("{} s: broken off", began.elapsed().as_secs()));
        received
    };
    let write = async {
        sleep(seconds(10)).await;
        client.send(sandbox.to(ENVD, "POST /files?path=/tmp/a", "1")).await;
        sleep(seconds(10)).await;
        client.execute(&sandbox, "write /tmp/a cell\nwrite /tmp/d/deeper x").await;
    };
    let (received, ()) = tokio::join!(watch, write);
    insta::assert_snapshot!(received, @r#"
    0 s: 0 {"start":{}}
    10 s: 0 {"filesystem":{"name":"a","type":"EVENT_TYPE_CREATE"}}, 0 {"filesystem":{"name":"a","type":"EVENT_TYPE_WRITE"}}, 0 {"filesystem":{"name":"a","type":"EVENT_TYPE_CHMOD"}}
    20 s: 0 {"filesystem":{"name":"a","type":"EVENT_TYPE_WRITE"}}, 0 {"filesystem":{"name":"d","type":"EVENT_TYPE_CREATE"}}
    70 s: 0 {"keepalive":{}}
    100 s: broken off
    "#);
    let sandbox = client.create(json!({})).await;
    let unary = sandbox.rpc("filesystem.Filesystem/MakeDir", &json!({ "path": "/tmp/\u{2028}\u{1f600}" }));
    let unary = client.send(unary).await;
    assert!(unary.bytes.is_ascii() && unary.text.contains(r"\u2028\ud83d\ude00"), "{}", unary.text);
    let odd = sandbox.streamed("filesystem.Filesystem/WatchDir", &json!({ "path": "/tmp/none\u{2028}\u{1f600}" }));
    let odd = client.send(odd).await;
    assert!(odd.bytes.is_ascii() && frames(&odd.bytes)[0].contains(r"/tmp/none\\u{2028}\ud83d\ude00"), "{}", odd.text);
    let nothing = sandbox.streamed("filesystem.Filesystem/WatchDir", &json!({ "path": "/tmp/none" }));
    let nothing = client.send(nothing).await;
    let error = r#"2 {"error":{"code":"not_found","message":"path \"/tmp/none\" does not exist"}}"#;
    assert_eq!((nothing.status, frames(&nothing.bytes)), (200, vec![error.to_owned()]));
}
