//! Contents of files: uploads and downloads.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Answer, Machine};

const BYTES: (&str, &str) = ("content-type", "application/octet-stream");

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn message(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_upload_replaces_the_file_and_its_metadata() {
    let machine = Machine::new();
    let put = async |path: &str, headers: &[(&str, &str)], body: &'static str| {
        machine.post(&format!("/files?path={path}"), &[&[BYTES], headers].concat(), body).await
    };
    let written = put("a/b/c", &[("x-metadata-author", "ada"), ("x-metadata-k", "1")], "longer text").await.json();
    let path = "/home/user/a/b/c";
    assert_eq!(
        (&written[0]["path"], &written[0]["name"], &written[0]["type"]),
        (&json!(path), &json!("c"), &json!("file"))
    );
    let metadata =
        async || machine.filesystem("Stat", &json!({ "path": path })).await.unwrap()["entry"]["metadata"].take();
    // Not every file system has extended attributes.
    let has_metadata = !written[0]["metadata"].is_null();
    if has_metadata {
        assert_eq!(
            (&written[0]["metadata"], metadata().await),
            (&json!({ "author": "ada", "k": "1" }), json!({ "author": "ada", "k": "1" }))
        );
    }
    put("a/b/c", &[("x-metadata-k", "2")], "text").await;
    assert_eq!(std::fs::read_to_string(machine.path(path)).unwrap(), "text");
    assert_eq!(metadata().await, if has_metadata { json!({ "k": "2" }) } else { Value::Null });
    put("a/b/c", &[], "text").await;
    assert_eq!(metadata().await, Value::Null);
    for (path, headers, status) in [
        ("a/b", [("x-o", "1")], 400),
        ("a/b/c/d", [("x-o", "1")], 400),
        ("/usr/x", [("x-o", "1")], 403),
        ("x", [("x-metadata-a", "ä")], 400),
        ("x", [("content-encoding", "br")], 400),
        ("x", [("content-encoding", "gzip")], 400),
        ("", [("x-o", "1")], 400),
        ("x&username=ada", [("x-o", "1")], 401),
    ] {
        assert_eq!(put(path, &headers, "x").await.status.as_u16(), status, "{path} {headers:?}");
    }
    assert_eq!(message(&put("a/b", &[], "x").await), (400, "path is a directory: /home/user/a/b".to_owned()));
}

#[tokio::test]
async fn a_form_has_several_files_and_may_be_compressed() {
    let machine = Machine::new();
    let form = |parts: &[(&str, &str, &str)]| {
        let part = |(field, name, content): &(&str, &str, &str)| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n{content}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--x--\r\n"
    };
    let kind = ("content-type", "multipart/form-data; boundary=x");
    let large = "line\n".repeat(100_000);
    let body = form(&[("file", "one", &large), ("other", "no", "x"), ("file", "/tmp/two", "")]);
    let answer = machine.post("/files", &[kind, ("content-encoding", "gzip")], gzip(body.as_bytes())).await;
    let paths: Vec<_> = answer.json().as_array().unwrap().iter().map(|file| file["path"].clone()).collect();
    assert_eq!(paths, ["/home/user/one", "/tmp/two"]);
    assert_eq!(std::fs::read_to_string(machine.path("/home/user/one")).unwrap(), large);
    assert_eq!(std::fs::read(machine.path("/tmp/two")).unwrap(), b"");
    for (body, named) in [
        (form(&[("other", "a", "x")]), "no files to upload"),
        (form(&[("file", "", "x")]), "path is required"),
        (form(&[("file", "a", "1"), ("file", "~/a", "2")]), "multiple files to the same path '/home/user/a'"),
        ("--x\r\nno form".to_owned(), "error parsing multipart form"),
    ] {
        let (status, text) = message(&machine.post("/files", &[kind], body).await);
        assert!(status == 400 && text.contains(named), "{status} {text}");
    }
}

#[tokio::test]
async fn a_download_is_the_whole_file_a_part_of_it_or_compressed() {
    let machine = Machine::new();
    let text: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    std::fs::write(machine.path("/home/user/numbers.json"), &text).unwrap();
    let get = async |headers: &[(&str, &str)]| machine.get("/files?path=numbers.json", headers).await;
    let whole = get(&[]).await;
    assert_eq!((whole.status.as_u16(), whole.text() == text), (200, true));
    let header = |answer: &Answer, name: &str| {
        answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(header(&whole, "content-type"), "application/json");
    assert_eq!(header(&whole, "content-disposition"), "inline; filename=numbers.json");
    assert_eq!(header(&whole, "content-length"), text.len().to_string());
    let part = get(&[("range", "bytes=4-9"), ("accept-encoding", "gzip")]).await;
    assert_eq!((part.status.as_u16(), part.text().as_str()), (206, &text[4..10]));
    assert_eq!(header(&part, "content-range"), format!("bytes 4-9/{}", text.len()));
    assert_eq!(get(&[("range", "bytes=99999999-")]).await.status.as_u16(), 416);
    let unchanged = header(&whole, "last-modified");
    assert_eq!(get(&[("if-modified-since", &unchanged)]).await.status.as_u16(), 304);
    let compressed = get(&[("accept-encoding", "gzip, deflate")]).await;
    assert_eq!(header(&compressed, "content-encoding"), "gzip");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&compressed.body[..]).read_to_string(&mut plain).unwrap();
    assert!(plain == text && compressed.body.len() < text.len());
    assert_eq!(get(&[("accept-encoding", "identity;q=0")]).await.status.as_u16(), 406);
    assert_eq!(message(&machine.get("/files?path=/no", &[]).await), (404, "path '/no' does not exist".to_owned()));
    assert_eq!(message(&machine.get("/files?path=", &[]).await), (400, "path is a directory: /home/user".to_owned()));
}

#[tokio::test]
async fn a_pipe_or_a_device_does_not_hold_a_call() {
    let machine = Machine::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, machine.path("/pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(message(&machine.get("/files?path=/pipe", &[]).await), (400, "path is not a file: /pipe".to_owned()));
    let written = machine.post("/files?path=/pipe", &[BYTES], "x").await;
    assert_eq!(message(&written), (400, "path is not a file: /pipe".to_owned()));
    // A file of the kernel has no size.
    std::os::unix::fs::symlink("/proc/self/status", machine.path("/status")).unwrap();
    assert!(machine.get("/files?path=/status", &[]).await.text().starts_with("Name:"));
}

#[tokio::test]
async fn a_full_disk_is_reported_as_that() {
    let machine = Machine::new();
    // The only device that every system has and that is always full.
    std::os::unix::fs::symlink("/dev/full", machine.path("/full")).unwrap();
    let answer = machine.post("/files?path=/full", &[BYTES, ("content-length", "3")], "abc").await;
    assert_eq!(message(&answer), (507, "attempted to write 3 bytes: not enough disk space available".to_owned()));
}

#[tokio::test]
async fn composed_files_become_one_or_stay_as_they_were() {
    let machine = Machine::new();
    for (name, text) in [("a", "1"), ("b", "2"), ("old", "old")] {
        std::fs::write(machine.path("/home/user").join(name), text).unwrap();
    }
    let compose = async |message: Value| machine.post("/files/compose", &[], message.to_string()).await;
    for (wrong, status) in [
        (json!({ "source_paths": [], "destination": "x" }), 400),
        (json!({ "source_paths": ["a"] }), 400),
        (json!({ "source_paths": ["a", "no"], "destination": "old" }), 404),
        (json!({ "source_paths": ["a", "old"], "destination": "old" }), 400),
        (json!({ "source_paths": ["/home"], "destination": "x" }), 400),
        (json!({ "source_paths": ["a"], "destination": "x", "username": "ada" }), 401),
    ] {
        assert_eq!(compose(wrong.clone()).await.status.as_u16(), status, "{wrong}");
    }
    let answer = compose(json!({ "source_paths": ["a", "b"], "destination": "new/ab" })).await.json();
    assert_eq!(answer, json!({ "path": "/home/user/new/ab", "name": "ab", "type": "file" }));
    assert_eq!(std::fs::read_to_string(machine.path("/home/user/new/ab")).unwrap(), "12");
    let left: Vec<_> =
        std::fs::read_dir(machine.path("/home/user")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((left.len(), std::fs::read_dir(machine.path("/home/user/new")).unwrap().count()), (2, 1), "{left:?}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_refused() {
    let machine = Machine::new();
    let pieces = [Ok("abc"), Err(std::io::Error::other("the client left"))];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    assert_eq!(machine.post("/files?path=x", &[BYTES], body).await.status.as_u16(), 400);
}

#[tokio::test]
async fn an_upload_that_is_refused_is_read_so_that_its_client_sees_the_answer() {
    let machine = Machine::new();
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let pieces = futures_util::stream::iter((0..100).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(vec![b'x'; 1 << 10])
    }));
    let refused = machine.post("/files?path=/home/user", &[BYTES], Body::from_stream(pieces)).await;
    assert_eq!((refused.status.as_u16(), read.load(Ordering::Relaxed)), (400, 100));

    // A client that sends no more does not hold the answer.
    let silent = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    assert_eq!(machine.post("/files?path=/home/user", &[BYTES], silent).await.status.as_u16(), 400);
}
