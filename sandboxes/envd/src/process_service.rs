//! `process.Process`: programs are started, listed, reached and signalled.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use rustix::process::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{self, Code, Error, FrameReader};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::basic_auth::user_name;
use crate::daemon::{Daemon, read_body};
use crate::process::{
    Attached, CommandEvent, CommandSpec, RunningCommand, Selector, SendError, StartError, describe_exit,
};
use crate::stream_times::StreamTimes;
use crate::terminal::TerminalSize;

/// The fields of all messages together; each method reads its own.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ProcessRequest {
    process: Value,
    stdin: Option<bool>,
    tag: Option<String>,
    pty: Option<TerminalRequest>,
    input: Value,
    signal: Value,
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

pub(crate) async fn call(daemon: &Daemon, method: &str, headers: &HeaderMap, body: Body) -> Result<Response, Error> {
    if method == "StreamInput" {
        return stream_input(daemon, headers, body).await;
    }
    let body = read_body(body).await?;
    let request: ProcessRequest = connect::read_message(headers, &body)?;
    let is_stream = connect::is_stream(headers);
    match method {
        "Start" if is_stream => start(daemon, headers, request).await,
        "Connect" if is_stream => {
            let selector = selector(&request.process)?;
            let attached = daemon.processes.attach(&selector).ok_or_else(|| not_found(&selector))?;
            let attached = attached.map_err(|error| Error::new(Code::ResourceExhausted, error.to_string()))?;
            let times = StreamTimes::of(headers)?;
            Ok(connect::stream(event_stream(attached, times, true)))
        }
        "List" => {
            let all: Vec<Value> = daemon.processes.all().iter().map(|command| describe(command)).collect();
            Ok(connect::unary(&json!({ "processes": all })))
        }
        _ => unary(daemon, method, request).await,
    }
}

async fn unary(daemon: &Daemon, method: &str, request: ProcessRequest) -> Result<Response, Error> {
    if !matches!(method, "SendInput" | "CloseStdin" | "SendSignal" | "Update") {
        return Err(Error::new(Code::Unimplemented, format!("unknown method {method}")));
    }
    let command = select(daemon, &request.process)?;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: SendError| Error::new(Code::Internal, format!("error {what}: {error}"))
    };
    match method {
        "SendInput" => write_input(&command, &request.input).await?,
        "CloseStdin" => {
            let closed = command.close_stdin().await;
            closed.map_err(|error| Error::new(Code::Unknown, format!("error closing stdin: {error}")))?;
        }
        "SendSignal" => command.signal(signal(&request.signal)?).map_err(failed("sending signal"))?,
        _ => {
            if let Some(terminal) = request.pty {
                command.resize(terminal.size).map_err(failed("resizing tty"))?;
            }
        }
    }
    Ok(connect::unary(&json!({})))
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::new(Code::InvalidArgument, error.to_string()))
}

/// Returns the signal with this name or number.
fn signal(signal: &Value) -> Result<Signal, Error> {
    match (signal.as_str(), signal.as_i64()) {
        (Some("SIGNAL_SIGKILL"), _) | (_, Some(9)) => Ok(Signal::KILL),
        (Some("SIGNAL_SIGTERM"), _) | (_, Some(15)) => Ok(Signal::TERM),
        _ => Err(Error::new(Code::Unimplemented, format!("invalid signal: {signal}"))),
    }
}

async fn write_input(command: &RunningCommand, input: &Value) -> Result<(), Error> {
    let decoded = |encoded: &Value| {
        let encoded = encoded.as_str().unwrap_or_default();
        STANDARD.decode(encoded).map_err(|error| Error::new(Code::InvalidArgument, format!("bytes: {error}")))
    };
    let (written, what) = match (input.get("stdin"), input.get("pty")) {
        (Some(stdin), _) => (command.write_stdin(&decoded(stdin)?).await, "stdin"),
        (_, Some(pty)) => (command.write_terminal(&decoded(pty)?).await, "tty"),
        _ => return Err(Error::new(Code::Unimplemented, "invalid input: it must be stdin or pty")),
    };
    written.map_err(|error| Error::new(Code::Internal, format!("error writing to {what}: {error}")))
}

/// Returns the selector of a process, by its tag or its number.
fn selector(selector: &Value) -> Result<Selector, Error> {
    if let Some(tag) = selector["tag"].as_str() {
        return Ok(Selector::Tag(tag.to_owned()));
    }
    let pid = selector["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    pid.map(Selector::Pid).ok_or_else(|| Error::new(Code::InvalidArgument, "a process is named by its pid or its tag"))
}

fn not_found(selector: &Selector) -> Error {
    let what = match selector {
        Selector::Pid(pid) => format!("pid {pid}"),
        Selector::Tag(tag) => format!("tag {tag}"),
    };
    Error::new(Code::NotFound, format!("process with {what} not found"))
}

fn select(daemon: &Daemon, process: &Value) -> Result<Arc<RunningCommand>, Error> {
    let selector = selector(process)?;
    daemon.processes.find(&selector).ok_or_else(|| not_found(&selector))
}

fn describe(command: &RunningCommand) -> Value {
    let spec = &command.spec;
    let mut config = json!({ "cmd": spec.launch.program, "args": spec.launch.args, "envs": spec.own_env });
    if let Some(cwd) = &spec.own_cwd {
        config["cwd"] = cwd.as_str().into();
    }
    let mut described = json!({ "config": config, "pid": command.pid });
    if let Some(tag) = &spec.tag {
        described["tag"] = tag.as_str().into();
    }
    described
}

async fn start(daemon: &Daemon, headers: &HeaderMap, request: ProcessRequest) -> Result<Response, Error> {
    let times = StreamTimes::of(headers)?;
    let config: ProcessConfig = parse(request.process)?;
    let terminal = request.pty.map(|terminal| terminal.size);
    let mut launch = daemon
        .launch(user_name(headers).as_deref(), config.cmd, config.args, &config.envs, config.cwd.as_deref())
        .await?;
    launch.has_terminal = terminal.is_some();
    if launch.has_terminal {
        launch.env.entry("TERM".to_owned()).or_insert_with(|| "xterm-256color".to_owned());
    }
    let spec = CommandSpec {
        launch,
        own_env: config.envs,
        own_cwd: config.cwd,
        tag: request.tag,
        // Clients that know the field always send it.
        stdin: request.stdin.unwrap_or(true),
        terminal,
        timeout: times.timeout,
    };
    let attached = daemon.processes.start(spec).await.map_err(|error| match error {
        StartError::TooMany => Error::new(Code::ResourceExhausted, "too many processes run: end some"),
        StartError::Failed(error) if error.kind() == io::ErrorKind::Unsupported => {
            Error::new(Code::Unimplemented, error.to_string())
        }
        StartError::Failed(error) => Error::new(Code::InvalidArgument, format!("error starting process: {error}")),
    })?;
    // The program ends when its time is over, and the stream with it.
    Ok(connect::stream(event_stream(attached, times, false)))
}

/// Writes the input of a stream whose first message selects the process, as the messages arrive.
async fn stream_input(daemon: &Daemon, headers: &HeaderMap, body: Body) -> Result<Response, Error> {
    if !connect::is_stream(headers) {
        return Err(Error::new(Code::InvalidArgument, "StreamInput takes a stream"));
    }
    let (mut body, mut reader, mut command) = (body.into_data_stream(), FrameReader::default(), None);
    while let Some(piece) = body.next().await {
        reader.push(&piece.map_err(|error| Error::new(Code::Unknown, format!("error streaming input: {error}")))?);
        while let Some(message) = reader.next_message::<Value>()? {
            match (message.get("start"), message.get("data"), &command) {
                (Some(start), ..) => command = Some(select(daemon, &start["process"])?),
                (_, Some(data), Some(command)) => write_input(command, &data["input"]).await?,
                (_, Some(_), None) => {
                    return Err(Error::new(Code::InvalidArgument, "the first message must select a process"));
                }
                // A keepalive.
                _ => {}
            }
        }
    }
    reader.finish()?;
    let answer = [connect::frame(&json!({})), connect::end_frame(None)].concat();
    Ok(connect::stream(Body::from(answer)))
}

/// What a stream of events sends next.
enum Stage {
    Start,
    Events,
    End,
    Done,
}

/// Returns the events as frames. `ends_alone`: the stream has a time-out of its own, after which the program continues.
fn event_stream(attached: Attached, times: StreamTimes, ends_alone: bool) -> Body {
    let deadline = times.timeout.filter(|_| ends_alone).and_then(|time| Instant::now().checked_add(time));
    let next = move |(stage, mut events): (Stage, mpsc::Receiver<CommandEvent>)| async move {
        let frame = |event: Value| Ok::<Bytes, io::Error>(connect::frame(&json!({ "event": event })));
        let data = |stream: &str, bytes: &[u8]| frame(json!({ "data": { stream: STANDARD.encode(bytes) } }));
        let timed_out = || {
            let error = Error::new(Code::DeadlineExceeded, "context deadline exceeded");
            (Ok(connect::end_frame(Some(&error))), Stage::Done)
        };
        let (piece, stage) = match stage {
            Stage::Start => (frame(json!({ "start": { "pid": attached.pid } })), Stage::Events),
            Stage::End => (Ok(connect::end_frame(None)), Stage::Done),
            Stage::Done => return None,
            Stage::Events => {
                let keepalive_at = Instant::now().checked_add(times.keepalive);
                let event = match [keepalive_at, deadline].into_iter().flatten().min() {
                    Some(until) => tokio::time::timeout_at(until, events.recv()).await,
                    None => Ok(events.recv().await),
                };
                match event {
                    Err(_) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => timed_out(),
                    Err(_) => (frame(json!({ "keepalive": {} })), Stage::Events),
                    Ok(Some(CommandEvent::Stdout(bytes))) => (data("stdout", &bytes), Stage::Events),
                    Ok(Some(CommandEvent::Stderr(bytes))) => (data("stderr", &bytes), Stage::Events),
                    Ok(Some(CommandEvent::Terminal(bytes))) => (data("pty", &bytes), Stage::Events),
                    Ok(Some(CommandEvent::Exited(exit))) => (frame(json!({ "end": describe_exit(exit) })), Stage::End),
                    Ok(Some(CommandEvent::TimedOut)) => timed_out(),
                    Ok(Some(CommandEvent::MachineEnded) | None) => {
                        (Err(io::ErrorKind::ConnectionReset.into()), Stage::Done)
                    }
                }
            }
        };
        Some((piece, (stage, events)))
    };
    Body::from_stream(stream::unfold((Stage::Start, attached.events), next))
}
