//! Files and commands of a sandbox: envd, over HTTP and Connect.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::cause::{Cause, Trouble};
use crate::connect::{Frame, Frames, frame};
use crate::inside::Inside;
use crate::limits::Kind;

/// Longest that a call about files may take, its content included.
const FILES: Duration = Duration::from_secs(30);
/// How much longer than its own time a command is waited for.
const GRACE: Duration = Duration::from_secs(5);
/// Most bytes kept of what a command says, of each of its streams.
const SAID: usize = 4 << 20;

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) path: String,
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    /// A number as text: JSON's numbers are too small for it.
    #[serde(default)]
    size: serde_json::Value,
    #[serde(default)]
    modified_time: Option<String>,
}

impl Entry {
    /// What tells whether a file is the same as before. A folder changes with what is in it.
    pub(crate) fn print(&self) -> Option<(String, String)> {
        let file = self.kind == "FILE_TYPE_FILE";
        file.then(|| (self.size.to_string(), self.modified_time.clone().unwrap_or_default()))
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) exit_code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The content of a file. Relative paths begin in the user's home.
pub(crate) async fn read(inside: &Inside, path: &str, deadline: Duration) -> Result<Bytes, Trouble> {
    let path = format!("/files?path={}", query(path));
    let call = async || {
        let ask = inside.envd(Method::GET, &path, deadline);
        ask.whole(inside.transport.as_ref()).await.map(|(_, body)| body)
    };
    inside.counted(call).await
}

/// Writes files, with the folders they lie in, in one call.
pub(crate) async fn write(inside: &Inside, files: &[(&str, &[u8])]) -> Result<(), Trouble> {
    let (kind, body) = multipart(files);
    let call = async || {
        let ask = inside.envd(Method::POST, "/files", FILES).body(&kind, body.clone());
        ask.whole(inside.transport.as_ref()).await.map(drop)
    };
    inside.counted(call).await
}

/// What lies in a folder; nothing where there is none.
pub(crate) async fn list(inside: &Inside, path: &str) -> Result<BTreeMap<String, Entry>, Trouble> {
    #[derive(Deserialize)]
    struct Listing {
        #[serde(default)]
        entries: Vec<Entry>,
    }
    match unary::<Listing>(inside, "filesystem.Filesystem/ListDir", &json!({ "path": path, "depth": 1 })).await {
        Ok(listing) => Ok(listing.entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect()),
        Err(trouble) if trouble.cause == Cause::Gone && trouble.status == Some(404) => Ok(BTreeMap::new()),
        Err(trouble) => Err(trouble),
    }
}

/// Makes a folder, with those above it; one that is there already is as good.
pub(crate) async fn make_folder(inside: &Inside, path: &str) -> Result<(), Trouble> {
    let made = unary::<serde_json::Value>(inside, "filesystem.Filesystem/MakeDir", &json!({ "path": path })).await;
    match made {
        Err(trouble) if trouble.status == Some(409) => Ok(()),
        made => made.map(drop),
    }
}

/// Removes a file, or a folder with all in it.
pub(crate) async fn remove(inside: &Inside, path: &str) -> Result<(), Trouble> {
    unary::<serde_json::Value>(inside, "filesystem.Filesystem/Remove", &json!({ "path": path })).await.map(drop)
}

/// Runs a command of the shell to its end, as long as `time` at most: envd ends it then.
pub(crate) async fn command(inside: &Inside, line: &str, time: Duration) -> Result<Done, Trouble> {
    let body = json!({
        "process": { "cmd": "/bin/bash", "args": ["-l", "-c", line] },
        "stdin": false,
    });
    let millis = HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let ask = inside
        .envd(Method::POST, "/process.Process/Start", time + GRACE)
        .header(HeaderName::from_static("connect-protocol-version"), HeaderValue::from_static("1"))
        .header(HeaderName::from_static("connect-timeout-ms"), millis)
        .body("application/connect+json", frame(&body));
    // Not made again: it may have run.
    let right = inside.limits.operation().await?;
    let opened = ask.open(inside.transport.as_ref()).await;
    drop(right);
    let done = async { said(opened?.into_body(), time + GRACE).await }.await;
    inside.limits.hears(Kind::Operation, done.as_ref().err());
    done
}

async fn said(mut body: crate::transport::Pieces, most: Duration) -> Result<Done, Trouble> {
    let deadline = Instant::now() + most;
    let (mut frames, mut stdout, mut stderr, mut exit) = (Frames::default(), Vec::new(), Vec::new(), None);
    loop {
        let piece = timeout_at(deadline, body.next()).await;
        let piece = piece.map_err(|_| Trouble::nonsense("a command did not end in its time"))?;
        let Some(piece) = piece else { return Err(Trouble::nonsense("a command's stream broke off")) };
        frames.add(&piece.map_err(|broken| Trouble::broken(&broken))?);
        while let Some(frame) = frames.next().map_err(|_| Trouble::nonsense("a frame is too long"))? {
            match frame {
                Frame::Message(message) => {
                    let event: Event = crate::wire::parsed(&message)?;
                    if let Some(data) = event.event.data {
                        for (to, from) in [(&mut stdout, data.stdout), (&mut stderr, data.stderr)] {
                            let bytes = from.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
                            let room = SAID.saturating_sub(to.len());
                            to.extend_from_slice(&bytes[..bytes.len().min(room)]);
                        }
                    }
                    exit = event.event.end.map(|end| end.exit_code).or(exit);
                }
                Frame::End(Some(failure)) => {
                    return Err(Trouble::nonsense(&format!("a command failed: {} {}", failure.code, failure.message)));
                }
                Frame::End(None) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let exit_code = exit.ok_or_else(|| Trouble::nonsense("a command ended without an end"))?;
                    return Ok(Done { exit_code, stdout: text(&stdout), stderr: text(&stderr) });
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Event {
    event: What,
}

#[derive(Deserialize)]
struct What {
    data: Option<Data>,
    end: Option<End>,
}

#[derive(Deserialize)]
struct Data {
    stdout: Option<String>,
    stderr: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    /// Left out where it is 0.
    #[serde(default)]
    exit_code: i32,
}

async fn unary<T: serde::de::DeserializeOwned>(
    inside: &Inside,
    method: &str,
    body: &serde_json::Value,
) -> Result<T, Trouble> {
    let call = async || {
        let ask = inside
            .envd(Method::POST, &format!("/{method}"), FILES)
            .header(HeaderName::from_static("connect-protocol-version"), HeaderValue::from_static("1"))
            .json(body);
        ask.read(inside.transport.as_ref()).await
    };
    inside.counted(call).await
}

/// Files as a form: each part is named `file`, and its file name is the path.
fn multipart(files: &[(&str, &[u8])]) -> (String, Bytes) {
    // A boundary that is in no content: the first of a row of names.
    let boundary = (0u32..)
        .map(|n| format!("switchtower-{n}"))
        .find(|name| !files.iter().any(|(_, content)| contains(content, name.as_bytes())))
        .unwrap_or_default();
    let mut body = BytesMut::new();
    for (path, content) in files {
        let path = path.replace('\\', "\\\\").replace('"', "%22").replace(['\r', '\n'], "");
        body.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{path}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body.freeze())
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

fn query(text: &str) -> String {
    crate::control::encoded(text)
}
