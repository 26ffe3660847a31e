//! envd's `process.Process`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use rustix::process::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{self, Code, Error};
use tokio::sync::mpsc;

use super::errors::Refusal;
use super::target;
use crate::fake::Fake;
use crate::process::{CommandEvent, CommandSpec, RunningCommand};
use crate::sandbox::Sandbox;
use crate::terminal::TerminalSize;

/// Seconds between the keepalives of a silent stream, where the client names no interval.
const KEEPALIVE_SECONDS: u64 = 90;

/// The fields of all messages together.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ProcessRequest {
    process: Value,
    stdin: Option<bool>,
    tag: Option<String>,
    pty: Option<TerminalRequest>,
    input: Value,
    signal: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TerminalRequest {
    size: TerminalSize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ProcessConfig {
    cmd: String,
    args: Vec<String>,
    envs: BTreeMap<String, String>,
    cwd: Option<String>,
}

pub(super) async fn call(
    State(fake): State<Fake>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let sandbox = target::delayed_sandbox_with_token(&fake, &headers).await?;
    let answered = if connect::is_stream(&headers) {
        streaming(&fake, &sandbox, &method, &headers, &body).await
    } else {
        unary(&sandbox, &method, &headers, &body).await.map(|answer| Json(answer).into_response())
    };
    Ok(answered.unwrap_or_else(|error| error.response(&headers)))
}

fn unimplemented(what: &str) -> Error {
    Error::new(Code::Unimplemented, format!("this stand-in has no {what}"))
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::new(Code::InvalidArgument, error.to_string()))
}

async fn unary(sandbox: &Sandbox, method: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Error> {
    let request: ProcessRequest = connect::read_message(headers, body)?;
    if method == "List" {
        let all: Vec<Value> = sandbox.processes.all().iter().map(|command| describe(command)).collect();
        return Ok(json!({ "processes": all }));
    }
    let command = select(sandbox, &request.process)?;
    match method {
        "SendInput" => write_stdin(&command, &request.input).await?,
        "CloseStdin" => command.close_stdin().await,
        "SendSignal" => command.signal(signal(&request.signal)?),
        "Update" => {
            let failed =
                |error: std::io::Error| Error::new(Code::Internal, format!("error resizing terminal: {error}"));
            request.pty.map_or(Ok(()), |terminal| command.resize(terminal.size)).map_err(failed)?;
        }
        method => return Err(unimplemented(method)),
    }
    Ok(json!({}))
}

fn signal(name: &str) -> Result<Signal, Error> {
    match name {
        "SIGNAL_SIGKILL" => Ok(Signal::KILL),
        "SIGNAL_SIGTERM" => Ok(Signal::TERM),
        other => Err(Error::new(Code::InvalidArgument, format!("invalid signal: {other}"))),
    }
}

async fn write_stdin(command: &RunningCommand, input: &Value) -> Result<(), Error> {
    let Some(stdin) = input["stdin"].as_str().or_else(|| input["pty"].as_str()) else {
        return Err(Error::new(Code::InvalidArgument, "input must be stdin or pty"));
    };
    let invalid = |error| Error::new(Code::InvalidArgument, format!("bytes: {error}"));
    let bytes = STANDARD.decode(stdin).map_err(invalid)?;
    let failed = |error: std::io::Error| Error::new(Code::Internal, format!("error writing to stdin: {error}"));
    command.write_stdin(&bytes).await.map_err(failed)
}

/// Returns the process that a selector names, by its tag or its number.
fn select(sandbox: &Sandbox, selector: &Value) -> Result<Arc<RunningCommand>, Error> {
    let missing = |what: String| Error::new(Code::NotFound, format!("process with {what} not found"));
    if let Some(tag) = selector["tag"].as_str() {
        return sandbox.processes.by_tag(tag).ok_or_else(|| missing(format!("tag {tag}")));
    }
    let pid = selector["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
    sandbox.processes.by_pid(pid).ok_or_else(|| missing(format!("pid {pid}")))
}

fn describe(command: &RunningCommand) -> Value {
    let spec = &command.spec;
    let mut config = json!({ "cmd": spec.program, "args": spec.args, "envs": spec.env });
    if let Some(cwd) = &spec.cwd {
        config["cwd"] = cwd.as_str().into();
    }
    let mut described = json!({ "config": config, "pid": command.pid });
    if let Some(tag) = &spec.tag {
        described["tag"] = tag.as_str().into();
    }
    described
}

async fn streaming(
    fake: &Fake,
    sandbox: &Sandbox,
    method: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Error> {
    let messages: Vec<Value> = connect::read_messages(body)?;
    if method == "StreamInput" {
        return stream_input(sandbox, &messages).await;
    }
    let request: ProcessRequest = parse(messages.into_iter().next().unwrap_or_else(|| json!({})))?;
    let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let (pid, events) = match method {
        "Start" => {
            fake.state.sandboxes.count(|counts| counts.commands += 1);
            start(sandbox, request, number("connect-timeout-ms").map(Duration::from_millis)).await?
        }
        "Connect" => {
            let command = select(sandbox, &request.process)?;
            (command.pid, command.subscribe())
        }
        method => return Err(unimplemented(method)),
    };
    let keepalive = Duration::from_secs(number("keepalive-ping-interval").unwrap_or(KEEPALIVE_SECONDS).max(1));
    Ok(connect::stream(event_stream(pid, events, keepalive)))
}

async fn start(
    sandbox: &Sandbox,
    request: ProcessRequest,
    timeout: Option<Duration>,
) -> Result<(u32, mpsc::Receiver<CommandEvent>), Error> {
    let config: ProcessConfig = parse(request.process)?;
    let spec = CommandSpec {
        program: config.cmd,
        args: config.args,
        env: config.envs,
        cwd: config.cwd,
        tag: request.tag,
        // Clients that know the field always send it.
        stdin: request.stdin.unwrap_or(true),
        terminal: request.pty.map(|terminal| terminal.size),
        timeout,
    };
    sandbox.processes.start(spec).await.map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::InvalidInput => Code::InvalidArgument,
            std::io::ErrorKind::Unsupported => Code::Unimplemented,
            _ => Code::Internal,
        };
        Error::new(code, error.to_string())
    })
}

/// Writes the input of a stream whose first message selects the process.
async fn stream_input(sandbox: &Sandbox, messages: &[Value]) -> Result<Response, Error> {
    let mut command = None;
    for message in messages {
        if let Some(start) = message.get("start") {
            command = Some(select(sandbox, &start["process"])?);
        } else if let (Some(data), Some(command)) = (message.get("data"), &command) {
            write_stdin(command, &data["input"]).await?;
        }
    }
    let answer = [connect::frame(&json!({})), connect::end_frame(None)].concat();
    Ok(connect::stream(Body::from(answer)))
}

/// What a stream of events sends next.
enum Stage {
    Start(u32),
    Events,
    End(Option<Error>),
    Done,
}

fn event_stream(pid: u32, events: mpsc::Receiver<CommandEvent>, keepalive: Duration) -> Body {
    let next = move |(stage, mut events): (Stage, mpsc::Receiver<CommandEvent>)| async move {
        let frame = |event: Value| Ok::<Bytes, std::io::Error>(connect::frame(&json!({ "event": event })));
        let data = |stream: &str, bytes: &[u8]| frame(json!({ "data": { stream: STANDARD.encode(bytes) } }));
        let (piece, stage) = match stage {
            Stage::Start(pid) => (frame(json!({ "start": { "pid": pid } })), Stage::Events),
            Stage::End(error) => (Ok(connect::end_frame(error.as_ref())), Stage::Done),
            Stage::Done => return None,
            Stage::Events => match tokio::time::timeout(keepalive, events.recv()).await {
                Err(_) => (frame(json!({ "keepalive": {} })), Stage::Events),
                Ok(Some(CommandEvent::Stdout(bytes))) => (data("stdout", &bytes), Stage::Events),
                Ok(Some(CommandEvent::Stderr(bytes))) => (data("stderr", &bytes), Stage::Events),
                Ok(Some(CommandEvent::Terminal(bytes))) => (data("pty", &bytes), Stage::Events),
                Ok(Some(CommandEvent::Exited(exit))) => {
                    (frame(json!({ "end": describe_exit(exit) })), Stage::End(None))
                }
                Ok(Some(CommandEvent::TimedOut)) => {
                    let error = Error::new(Code::DeadlineExceeded, "context deadline exceeded");
                    (Ok(connect::end_frame(Some(&error))), Stage::Done)
                }
                Ok(Some(CommandEvent::SandboxEnded) | None) => {
                    (Err(std::io::ErrorKind::ConnectionReset.into()), Stage::Done)
                }
            },
        };
        Some((piece, (stage, events)))
    };
    Body::from_stream(stream::unfold((Stage::Start(pid), events), next))
}

/// Describes an exit code, or the number of the signal that ended a command.
fn describe_exit(exit: Result<i32, i32>) -> Value {
    match exit {
        Ok(0) => json!({ "exited": true, "status": "exit status 0" }),
        Ok(code) => {
            let status = format!("exit status {code}");
            json!({ "exited": true, "status": status, "exitCode": code, "error": status })
        }
        Err(signal) => {
            let name = match signal {
                2 => "interrupt",
                9 => "killed",
                15 => "terminated",
                _ => "unknown",
            };
            let status = format!("signal: {name}");
            json!({ "status": status, "exitCode": -1, "error": status })
        }
    }
}
