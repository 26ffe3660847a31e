//! A machine in a folder, whose only user is the one who runs the tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{self, FrameReader};
use switchtower_envd::{Daemon, DaemonOptions, FileRoot, Launch, Launcher, User, Users};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

/// Longest that any step may take.
const STEP: Duration = Duration::from_secs(20);

pub(crate) struct Machine {
    pub(crate) daemon: Arc<Daemon>,
    folder: TempDir,
}

/// Files in the folder; programs see the whole system.
struct InFolder(PathBuf);

impl FileRoot for InFolder {
    fn locate(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    fn path_of(&self, located: &Path) -> PathBuf {
        located.strip_prefix(&self.0).map_or_else(|_| located.to_owned(), |inside| Path::new("/").join(inside))
    }

    fn is_writable(&self, path: &str) -> bool {
        !path.starts_with("/usr")
    }

    fn parts_of(&self, path: &str) -> Vec<PathBuf> {
        vec![self.locate(path)]
    }
}

#[async_trait]
impl Launcher for InFolder {
    async fn command(&self, launch: &Launch) -> io::Result<Command> {
        let mut command = if launch.has_terminal {
            let mut command = Command::new("setsid");
            command.args(["--ctty", "--wait"]).arg(&launch.program);
            command
        } else {
            Command::new(&launch.program)
        };
        command.args(&launch.args).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).envs(&launch.env);
        // By it, CI finds processes that tests leave behind.
        command.envs(std::env::var_os("LEFTOVERS_OF").map(|mark| ("LEFTOVERS_OF", mark)));
        command.current_dir(self.locate(&launch.cwd)).process_group(0);
        Ok(command)
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Arc::new(InFolder(folder.path().canonicalize().unwrap()));
        std::fs::create_dir_all(folder.path().join("home/user")).unwrap();
        let user = User {
            name: "user".to_owned(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            home: "/home/user".to_owned(),
            groups: Vec::new(),
        };
        let daemon = Daemon::new(DaemonOptions {
            launcher: root.clone(),
            root,
            users: Users::Listed { folder: folder.path().join("etc"), own: vec![user] },
            default_user: "user".to_owned(),
            env: BTreeMap::from([("MACHINE".to_owned(), "m".to_owned())]),
        });
        Self { daemon: Arc::new(daemon), folder }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = timeout(STEP, self.daemon.call(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = timeout(STEP, axum::body::to_bytes(body, usize::MAX)).await.unwrap().unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(with(Request::get(path), headers).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.send(with(Request::post(path), headers).body(body.into()).unwrap()).await
    }

    /// Makes a unary call, and returns its message, or the code and the message of its error.
    pub(crate) async fn call(&self, method: &str, message: &Value) -> Result<Value, (String, String)> {
        let answer = self.post(method, &[("content-type", "application/json")], message.to_string()).await;
        let json = answer.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        if answer.status.is_success() { Ok(json) } else { Err((text("code"), text("message"))) }
    }

    pub(crate) async fn stream(&self, method: &str, headers: &[(&str, &str)], message: &Value) -> Messages {
        let request = with(Request::post(method), headers).header("content-type", "application/connect+json");
        let request = request.body(Body::from(connect::frame(message))).unwrap();
        let response = timeout(STEP, self.daemon.call(request)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Messages {
            body: response.into_body().into_data_stream(),
            reader: FrameReader::default(),
            end: None,
            raw: Vec::new(),
        }
    }

    pub(crate) async fn start(&self, script: &str, more: &Value) -> Messages {
        self.start_with(script, more, &[]).await
    }

    /// Starts a script of a shell. `more`: further fields of the message.
    pub(crate) async fn start_with(&self, script: &str, more: &Value, headers: &[(&str, &str)]) -> Messages {
        let mut message = json!({ "process": { "cmd": "/bin/sh", "args": ["-c", script] }, "stdin": false });
        for (name, value) in more.as_object().into_iter().flatten() {
            message[name] = value.clone();
        }
        self.stream("/process.Process/Start", headers, &message).await
    }
}

fn with(mut request: axum::http::request::Builder, headers: &[(&str, &str)]) -> axum::http::request::Builder {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

/// The messages of a stream.
pub(crate) struct Messages {
    body: BodyDataStream,
    reader: FrameReader,
    raw: Vec<u8>,
    /// The error that ended it; null where it ended without one.
    pub(crate) end: Option<Value>,
}

/// What a program did.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: String,
    pub(crate) end: Value,
}

impl Messages {
    /// Returns the next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.reader.next_message::<Value>().unwrap() {
                return Some(message);
            }
            let piece = timeout(STEP, self.body.next()).await.expect("the stream gives a sign of life")?;
            let piece = piece.ok()?;
            self.reader.push(&piece);
            self.raw.extend_from_slice(&piece);
            if let Some(Ok(connect::Frame::End(end))) = connect::frames(&self.raw).last() {
                let end: Value = serde_json::from_slice(end).unwrap();
                self.end = Some(end["error"].clone());
            }
        }
    }

    /// Returns the number of the process, from the first message.
    pub(crate) async fn pid(&mut self) -> u64 {
        let start = self.next().await.unwrap_or_else(|| panic!("{:?}", self.end));
        start["event"]["start"]["pid"].as_u64().unwrap()
    }

    /// Reads until the output contains a text.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut output = String::new();
        while !output.contains(text) {
            let message = self.next().await.unwrap_or_else(|| panic!("no {text:?} in {output:?}"));
            for stream in ["stdout", "stderr", "pty"] {
                output.push_str(&decoded(&message["event"]["data"][stream]));
            }
        }
        output
    }

    /// Reads the rest.
    pub(crate) async fn rest(&mut self) -> Ran {
        let mut ran = Ran::default();
        while let Some(message) = self.next().await {
            let event = &message["event"];
            ran.stdout.push_str(&decoded(&event["data"]["stdout"]));
            ran.stderr.push_str(&decoded(&event["data"]["stderr"]));
            ran.terminal.push_str(&decoded(&event["data"]["pty"]));
            if let Some(end) = event.get("end") {
                ran.end = end.clone();
            }
        }
        ran
    }

    /// Returns the code of the error that ended the stream.
    pub(crate) fn error_code(&self) -> String {
        self.end.as_ref().and_then(|end| end["code"].as_str()).unwrap_or_default().to_owned()
    }
}

fn decoded(output: &Value) -> String {
    String::from_utf8(STANDARD.decode(output.as_str().unwrap_or_default()).unwrap()).unwrap()
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + STEP;
    while !is_true() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
