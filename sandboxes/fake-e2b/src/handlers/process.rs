//! envd's `process.Process`. It has no terminals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::connect::{self, Code, Error};
use super::plane;
use crate::fake::Fake;
use crate::latency::Act;
use crate::process::{Order, Running, Said};
use crate::sandbox::Sandbox;

/// How often a silent stream says that it lives, where the client did not ask for another time.
const KEEPALIVE: u64 = 90;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    process: Value,
    stdin: Option<bool>,
    tag: Option<String>,
    pty: Option<Value>,
    input: Value,
    signal: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
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
) -> Response {
    fake.pass(Act::Other).await;
    let sandbox = match plane::with_token(&fake, &headers) {
        Ok(sandbox) => sandbox,
        Err(refused) => return *refused,
    };
    if !connect::is_stream(&headers) {
        return match unary(&sandbox, &method, &body).await {
            Ok(answer) => Json(answer).into_response(),
            Err(error) => error.into_response(),
        };
    }
    match streamed(&fake, &sandbox, &method, &headers, &body).await {
        Ok(response) => response,
        Err(error) => connect::failed(&error),
    }
}

async fn unary(sandbox: &Sandbox, method: &str, body: &[u8]) -> Result<Value, Error> {
    let asked: Asked = connect::message(body)?;
    if method == "List" {
        let all: Vec<Value> = sandbox.processes.all().iter().map(|running| described(running)).collect();
        return Ok(json!({ "processes": all }));
    }
    let running = selected(sandbox, &asked.process)?;
    match method {
        "SendInput" => input(&running, &asked.input).await?,
        "CloseStdin" => running.close_stdin().await,
        "SendSignal" => running.signal(signal(&asked.signal)?),
        "Update" => {}
        method => return Err(Error::unimplemented(method)),
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

async fn input(running: &Running, input: &Value) -> Result<(), Error> {
    let Some(stdin) = input["stdin"].as_str() else {
        return Err(Error::unimplemented("terminals"));
    };
    let failed = |e: std::io::Error| Error::new(Code::Internal, format!("error writing to stdin: {e}"));
    running.write(&connect::read_bytes(stdin)?).await.map_err(failed)
}

/// The process that a selector means.
fn selected(sandbox: &Sandbox, selector: &Value) -> Result<Arc<Running>, Error> {
    let missing = |what: String| Error::new(Code::NotFound, format!("process with {what} not found"));
    if let Some(tag) = selector["tag"].as_str() {
        return sandbox.processes.by_tag(tag).ok_or_else(|| missing(format!("tag {tag}")));
    }
    let pid = selector["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
    sandbox.processes.by_pid(pid).ok_or_else(|| missing(format!("pid {pid}")))
}

fn described(running: &Running) -> Value {
    let order = &running.order;
    let mut config = json!({"cmd": order.cmd, "args": order.args, "envs": order.env});
    if let Some(cwd) = &order.cwd {
        config["cwd"] = cwd.as_str().into();
    }
    let mut described = json!({"config": config, "pid": running.pid});
    if let Some(tag) = &order.tag {
        described["tag"] = tag.as_str().into();
    }
    described
}

async fn streamed(
    fake: &Fake,
    sandbox: &Sandbox,
    method: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Error> {
    let messages = connect::messages(body)?;
    if method == "StreamInput" {
        return put_in(sandbox, &messages).await;
    }
    let first = messages.into_iter().next().unwrap_or_else(|| json!({}));
    let asked: Asked = serde_json::from_value(first).map_err(|e| Error::new(Code::InvalidArgument, e.to_string()))?;
    let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let (pid, from) = match method {
        "Start" => {
            fake.parts.fleet.count(|counts| counts.commands += 1);
            start(sandbox, asked, number("connect-timeout-ms").map(Duration::from_millis)).await?
        }
        "Connect" => {
            let running = selected(sandbox, &asked.process)?;
            (running.pid, running.read())
        }
        method => return Err(Error::unimplemented(method)),
    };
    let every = Duration::from_secs(number("keepalive-ping-interval").unwrap_or(KEEPALIVE).max(1));
    Ok(connect::stream(events(pid, from, every)))
}

async fn start(
    sandbox: &Sandbox,
    asked: Asked,
    deadline: Option<Duration>,
) -> Result<(u32, mpsc::Receiver<Said>), Error> {
    if asked.pty.is_some() {
        return Err(Error::unimplemented("terminals"));
    }
    let config: Config =
        serde_json::from_value(asked.process).map_err(|e| Error::new(Code::InvalidArgument, e.to_string()))?;
    let order = Order {
        cmd: config.cmd,
        args: config.args,
        env: config.envs,
        cwd: config.cwd,
        tag: asked.tag,
        // Clients that know of the flag always send it.
        stdin: asked.stdin.unwrap_or(true),
        deadline,
    };
    sandbox.processes.start(order).await.map_err(|e| {
        let code = match e.kind() {
            std::io::ErrorKind::InvalidInput => Code::InvalidArgument,
            std::io::ErrorKind::Unsupported => Code::Unimplemented,
            _ => Code::Internal,
        };
        Error::new(code, e.to_string())
    })
}

/// Input as a stream: the first message says whose it is.
async fn put_in(sandbox: &Sandbox, messages: &[Value]) -> Result<Response, Error> {
    let mut running = None;
    for message in messages {
        if let Some(start) = message.get("start") {
            running = Some(selected(sandbox, &start["process"])?);
        } else if let (Some(data), Some(running)) = (message.get("data"), &running) {
            input(running, &data["input"]).await?;
        }
    }
    let answer = [connect::data(&json!({})), connect::last(None)].concat();
    Ok(connect::stream(Body::from(answer)))
}

/// Where a stream of events stands.
enum Stage {
    Start(u32),
    Said,
    Last(Option<Error>),
    Over,
}

fn events(pid: u32, from: mpsc::Receiver<Said>, every: Duration) -> Body {
    let next = move |(stage, mut from): (Stage, mpsc::Receiver<Said>)| async move {
        let event = |event: Value| connect::data(&json!({ "event": event }));
        let (frame, stage) = match stage {
            Stage::Start(pid) => (Ok::<Bytes, std::io::Error>(event(json!({"start": {"pid": pid}}))), Stage::Said),
            Stage::Last(error) => (Ok(connect::last(error.as_ref())), Stage::Over),
            Stage::Over => return None,
            Stage::Said => match tokio::time::timeout(every, from.recv()).await {
                Err(_) => (Ok(event(json!({"keepalive": {}}))), Stage::Said),
                Ok(Some(Said::Stdout(bytes))) => {
                    (Ok(event(json!({"data": {"stdout": connect::bytes(&bytes)}}))), Stage::Said)
                }
                Ok(Some(Said::Stderr(bytes))) => {
                    (Ok(event(json!({"data": {"stderr": connect::bytes(&bytes)}}))), Stage::Said)
                }
                Ok(Some(Said::Exit(exit))) => (Ok(event(json!({ "end": ended(exit) }))), Stage::Last(None)),
                Ok(Some(Said::Late)) => {
                    let error = Error::new(Code::DeadlineExceeded, "context deadline exceeded");
                    (Ok(connect::last(Some(&error))), Stage::Over)
                }
                Ok(Some(Said::Gone) | None) => (Err(std::io::ErrorKind::ConnectionReset.into()), Stage::Over),
            },
        };
        Some((frame, (stage, from)))
    };
    Body::from_stream(stream::unfold((Stage::Start(pid), from), next))
}

/// A code, or the number of a signal.
fn ended(exit: Result<i32, i32>) -> Value {
    match exit {
        Ok(0) => json!({"exited": true, "status": "exit status 0"}),
        Ok(code) => {
            let status = format!("exit status {code}");
            json!({"exited": true, "status": status, "exitCode": code, "error": status})
        }
        Err(signal) => {
            let name = match signal {
                2 => "interrupt",
                9 => "killed",
                15 => "terminated",
                _ => "unknown",
            };
            let status = format!("signal: {name}");
            json!({"status": status, "exitCode": -1, "error": status})
        }
    }
}
