//! `POST /switchtower/channel`: a program with a connection of its own, which carries its streams and a control connection in frames.
//!
//! The answer is 101; then both sides send frames. The connection's end kills the program's group of processes.

mod frames;
mod input;
mod output;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::process::{Signal, kill_process_group};
use serde::Deserialize;
use serde_json::json;
use switchtower_e2b_wire::errors;
use switchtower_envd::{ProcessGroup, group_of};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

use super::Services;

/// Most bytes of a request.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// The value of the header `Upgrade`.
const PROTOCOL: &str = "switchtower-channel";
/// The descriptor of the program that is its control connection.
const CONTROL: i32 = 3;
/// Signals that wait to be sent.
const BUFFERED_SIGNALS: usize = 16;

#[derive(Deserialize)]
struct ChannelRequest {
    program: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<String>,
    user: Option<String>,
    #[serde(default)]
    control: bool,
}

/// Starts the program, and answers with the connection's upgrade.
pub(super) async fn open(services: &Services, mut request: Request<Incoming>) -> Response {
    let is_upgrade = request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == PROTOCOL);
    if !is_upgrade {
        return errors::api(StatusCode::UPGRADE_REQUIRED, "a channel needs the header Upgrade: switchtower-channel");
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let (group, control) = match start(services, request).await {
        Ok(started) => started,
        Err(message) => return errors::api(StatusCode::BAD_REQUEST, &message),
    };
    tokio::spawn(async move {
        // Without a connection, the program ends here.
        if let Ok(upgraded) = upgraded.await {
            run(upgraded, group, control).await;
        }
    });
    let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, PROTOCOL)];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

async fn start(services: &Services, request: Request<Incoming>) -> Result<(ProcessGroup, Option<UnixStream>), String> {
    let body = axum::body::to_bytes(Body::new(request.into_body()), MAX_REQUEST_BYTES).await;
    let body = body.map_err(|error| format!("the request was not read: {error}"))?;
    let request: ChannelRequest = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let ChannelRequest { program, args, env, cwd, user, control } = request;
    let launch = services.daemon.launch(user.as_deref(), program, args, &env, cwd.as_deref()).await;
    let launch = launch.map_err(|error| error.message)?;
    let failed = |error: io::Error| format!("error starting process: {error}");
    let (own, program_side) = if control {
        let (own, program_side) = StdUnixStream::pair().map_err(failed)?;
        own.set_nonblocking(true).map_err(failed)?;
        (Some(UnixStream::from_std(own).map_err(failed)?), Some(OwnedFd::from(program_side)))
    } else {
        (None, None)
    };
    let group = ProcessGroup::start(&services.launcher, &launch, |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(side) = &program_side {
            set_control(command, side.try_clone()?);
        }
        Ok(())
    });
    Ok((group.await.map_err(failed)?, own))
}

/// Gives a program its control connection.
fn set_control(command: &mut Command, side: OwnedFd) {
    let place = move || {
        #[allow(unsafe_code, reason = "the safe wrapper needs an owner of the new descriptor")]
        // SAFETY: nothing in the new process uses the descriptor: this process never has it free, see `inherited_socket`.
        let placed = unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&side), CONTROL) };
        if placed == CONTROL { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    #[allow(unsafe_code, reason = "a descriptor is placed between fork and exec")]
    // SAFETY: it makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(place);
    }
}

/// Runs until the program or the connection has ended.
async fn run(upgraded: Upgraded, mut group: ProcessGroup, control: Option<UnixStream>) {
    let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
    let (control_reader, control_writer) = control.map(UnixStream::into_split).unzip();
    let stdin = group.child.stdin.take();
    let pipes = output::Pipes::new(group.child.stdout.take(), group.child.stderr.take(), control_reader);
    let (signals, requested_signals) = mpsc::channel(BUFFERED_SIGNALS);
    let (report_exit, exit) = oneshot::channel();
    let program = async {
        let exit = supervise(&mut group, requested_signals).await;
        // The output may have ended with the connection.
        let _ = report_exit.send(exit);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = output::forward(pipes, exit, writer) => {}
        () = input::forward(reader, stdin, control_writer, signals) => {}
        () = program => {}
    }
}

/// Sends signals to the program until it has ended, and returns its end as JSON. What remains of its group ends with it.
async fn supervise(group: &mut ProcessGroup, mut signals: mpsc::Receiver<Signal>) -> String {
    let number = group_of(group.pid());
    let waited = loop {
        tokio::select! {
            waited = group.wait() => break waited,
            Some(signal) = signals.recv() => drop(group.signal(signal)),
        }
    };
    if let Some(number) = number {
        // Mostly, nothing remains.
        let _ = kill_process_group(number, Signal::KILL);
    }
    describe(waited)
}

fn describe(waited: io::Result<ExitStatus>) -> String {
    let signal = |number: i32| json!({ "signal": number });
    let end = match waited {
        Ok(status) => {
            status.code().map_or_else(|| signal(status.signal().unwrap_or(9)), |code| json!({ "code": code }))
        }
        Err(_) => signal(9),
    };
    end.to_string()
}
