//! Calls to envd, the daemon in every sandbox: files over HTTP, folders and commands over Connect.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Frame, FrameReader, frame};
use crate::control::percent_encode;
use crate::error::{CallError, Cause};
use crate::limits::CallClass;
use crate::sandbox_client::SandboxClient;

/// The maximum time of a call for files, including their content.
const FILE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time beyond its own time-out that a command is waited for.
const GRACE_PERIOD: Duration = Duration::from_secs(5);
/// Most bytes that are kept of each of a command's output streams.
const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) path: String,
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    /// Bytes: a text, or a number by older versions.
    #[serde(default)]
    size: serde_json::Value,
    #[serde(default)]
    modified_time: Option<String>,
}

impl Entry {
    /// Returns the size and the time of a file, by which changes are detected. `None` for a folder: it changes with its
    /// content.
    pub(crate) fn fingerprint(&self) -> Option<(String, String)> {
        let is_file = self.kind == "FILE_TYPE_FILE";
        is_file.then(|| (self.size.to_string(), self.modified_time.clone().unwrap_or_default()))
    }
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandResult {
    pub(crate) exit_code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Reads a file. Relative paths begin in the home folder.
pub(crate) async fn read(client: &SandboxClient, path: &str, deadline: Duration) -> Result<Bytes, CallError> {
    let path = format!("/files?path={}", percent_encode(path));
    let call = async || {
        let request = client.envd(Method::GET, &path, deadline);
        request.send_and_read(client.transport.as_ref()).await.map(|(_, body)| body)
    };
    client.call_limited(call).await
}

/// Writes files, and the folders that their paths name, in one call.
pub(crate) async fn write(client: &SandboxClient, files: &[(&str, &[u8])]) -> Result<(), CallError> {
    let (kind, body) = multipart(files);
    let call = async || {
        let request = client.envd(Method::POST, "/files", FILE_TIMEOUT).body(&kind, body.clone());
        request.send_and_read(client.transport.as_ref()).await.map(drop)
    };
    client.call_limited(call).await
}

/// Writes a file with its metadata. Returns whether envd has kept it: versions before 0.6.2 do not.
pub(crate) async fn write_with(
    client: &SandboxClient,
    path: &str,
    content: &[u8],
    metadata: &BTreeMap<String, String>,
) -> Result<bool, CallError> {
    #[derive(Deserialize)]
    struct Written {
        #[serde(default)]
        metadata: BTreeMap<String, String>,
    }
    let mut headers = HeaderMap::new();
    for (key, value) in metadata {
        let header = HeaderName::try_from(format!("x-metadata-{key}")).ok().zip(HeaderValue::try_from(value).ok());
        let Some((name, value)) = header else { return Err(CallError::unexpected("metadata that is no header")) };
        headers.insert(name, value);
    }
    let (kind, body) = multipart(&[(path, content)]);
    let call = async || {
        let request = client.envd(Method::POST, "/files", FILE_TIMEOUT).headers(headers.clone());
        request.body(&kind, body.clone()).send_and_read(client.transport.as_ref()).await.map(|(_, answer)| answer)
    };
    let answer = client.call_limited(call).await?;
    let written: Vec<Written> = serde_json::from_slice(&answer).unwrap_or_default();
    Ok(written.iter().any(|file| file.metadata == *metadata))
}

/// Lists a folder, by path. Returns nothing where there is no folder.
pub(crate) async fn list(client: &SandboxClient, path: &str) -> Result<BTreeMap<String, Entry>, CallError> {
    #[derive(Deserialize)]
    struct Listing {
        #[serde(default)]
        entries: Vec<Entry>,
    }
    match unary::<Listing>(client, "filesystem.Filesystem/ListDir", &json!({ "path": path, "depth": 1 })).await {
        Ok(listing) => Ok(listing.entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect()),
        Err(error) if error.cause == Cause::Gone && error.status == Some(404) => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Creates a folder, and those that its path names. Succeeds where it exists.
pub(crate) async fn make_folder(client: &SandboxClient, path: &str) -> Result<(), CallError> {
    let made = unary::<serde_json::Value>(client, "filesystem.Filesystem/MakeDir", &json!({ "path": path })).await;
    match made {
        Err(error) if error.status == Some(409) => Ok(()),
        made => made.map(drop),
    }
}

/// Removes a file, or a folder with all in it.
pub(crate) async fn remove(client: &SandboxClient, path: &str) -> Result<(), CallError> {
    unary::<serde_json::Value>(client, "filesystem.Filesystem/Remove", &json!({ "path": path })).await.map(drop)
}

/// Runs a shell command to its end. envd ends it after `time`.
pub(crate) async fn command(client: &SandboxClient, line: &str, time: Duration) -> Result<CommandResult, CallError> {
    let body = json!({
        "process": { "cmd": "/bin/bash", "args": ["-l", "-c", line] },
        "stdin": false,
    });
    let millis = HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let request = client
        .envd(Method::POST, "/process.Process/Start", time + GRACE_PERIOD)
        .header(HeaderName::from_static("connect-protocol-version"), HeaderValue::from_static("1"))
        .header(HeaderName::from_static("connect-timeout-ms"), millis)
        .body("application/connect+json", frame(&body));
    // Not repeated: it may have run.
    let reservation = client.limits.operation().await?;
    let opened = request.send(client.transport.as_ref()).await;
    drop(reservation);
    let result = async { read_events(opened?.into_body(), time + GRACE_PERIOD).await }.await;
    client.limits.record_outcome(CallClass::Operation, result.as_ref().err());
    result
}

/// Reads the events of a command until it has ended, for at most `limit`.
async fn read_events(mut body: crate::transport::BodyStream, limit: Duration) -> Result<CommandResult, CallError> {
    let deadline = Instant::now() + limit;
    let (mut frames, mut stdout, mut stderr, mut exit) = (FrameReader::default(), Vec::new(), Vec::new(), None);
    loop {
        let piece = timeout_at(deadline, body.next()).await;
        let piece = piece.map_err(|_| CallError::unexpected("a command did not end within its time limit"))?;
        let Some(piece) = piece else { return Err(CallError::unexpected("a command's stream broke off")) };
        frames.add(&piece.map_err(|error| CallError::from_transport(&error))?);
        while let Some(frame) = frames.next().map_err(|_| CallError::unexpected("a frame is too long"))? {
            match frame {
                Frame::Message(message) => {
                    let event: Event = crate::request::parse_json(&message)?;
                    if let Some(data) = event.event.data {
                        for (to, from) in [(&mut stdout, data.stdout), (&mut stderr, data.stderr)] {
                            let bytes = from.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
                            let remaining = MAX_OUTPUT_BYTES.saturating_sub(to.len());
                            to.extend_from_slice(&bytes[..bytes.len().min(remaining)]);
                        }
                    }
                    exit = event.event.end.map(|end| end.exit_code).or(exit);
                }
                Frame::End(Some(error)) => {
                    return Err(CallError::unexpected(&format!("a command failed: {} {}", error.code, error.message)));
                }
                Frame::End(None) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let exit_code = exit
                        .ok_or_else(|| CallError::unexpected("the stream of a command ended without its exit code"))?;
                    return Ok(CommandResult { exit_code, stdout: text(&stdout), stderr: text(&stderr) });
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Event {
    event: EventBody,
}

#[derive(Deserialize)]
struct EventBody {
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
    client: &SandboxClient,
    method: &str,
    body: &serde_json::Value,
) -> Result<T, CallError> {
    let call = async || {
        let request = client
            .envd(Method::POST, &format!("/{method}"), FILE_TIMEOUT)
            .header(HeaderName::from_static("connect-protocol-version"), HeaderValue::from_static("1"))
            .json(body);
        request.send_and_parse(client.transport.as_ref()).await
    };
    client.call_limited(call).await
}

/// Returns the content type and the body of a form with these files: fields named `file` whose file names are the
/// paths.
fn multipart(files: &[(&str, &[u8])]) -> (String, Bytes) {
    // The first of these names that no content contains.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn files_of_a_form_are_read_by_the_servers_as_they_were_written(
            files in prop::collection::vec(("/[a-z\"/. ä]{1,20}", "(\r\n|--|switchtower-[01]|x|\r){0,12}"), 1..5),
        ) {
            let written: Vec<(&str, &[u8])> =
                files.iter().map(|(path, content)| (path.as_str(), content.as_bytes())).collect();
            let (content_type, body) = multipart(&written);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let parts = runtime.block_on(switchtower_e2b_wire::multipart::read_form(&content_type, &body)).unwrap();
            let read: Vec<(&str, &[u8])> =
                parts.iter().map(|part| (part.file_name.as_str(), part.content.as_ref())).collect();
            prop_assert_eq!(read, written);
        }
    }
}
