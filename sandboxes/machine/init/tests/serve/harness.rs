//! An init on a socket in a folder, and a client of it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use switchtower_machine_streams::Opener;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longest that any step may take.
const STEP: Duration = Duration::from_secs(20);

pub(crate) struct Init {
    process: Child,
    folder: TempDir,
    /// `None`: it accepts the connections of a socket.
    streams: Option<Opener>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A connection to an init.
pub(crate) type Connection = Pin<Box<dyn ReadWrite>>;

pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> ReadWrite for T {}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// Returns the messages of a stream.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let (mut rest, mut messages) = (&self.body[..], Vec::new());
        while let [_, a, b, c, d, tail @ ..] = rest {
            let (message, tail) = tail.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
            messages.push(serde_json::from_slice(message).unwrap());
            rest = tail;
        }
        messages
    }
}

impl Init {
    /// Starts an init. Where this process may, the machine's `user` has other ids than this process.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        Self::start_with(folder, "--listen-fd", listener.into(), None)
    }

    /// Starts an init that has one connection as its standard input.
    pub(crate) fn start_connected() -> Self {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let streams = Opener::new(UnixStream::from_std(here).unwrap());
        Self::start_with(tempfile::tempdir().unwrap(), "--connection-fd", there.into(), Some(streams))
    }

    fn start_with(folder: TempDir, option: &str, socket: OwnedFd, streams: Option<Opener>) -> Self {
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let (uid, gid) = match rustix::process::geteuid().as_raw() {
            0 => (12_345, 12_346),
            own => (own, rustix::process::getegid().as_raw()),
        };
        std::os::unix::fs::chown(&home, Some(uid), Some(gid)).unwrap();
        // The user passes through it to the home folder.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        // As its launcher does: where tests are started in the background, a shell has made them ignore interrupts.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,QUIT", env!("CARGO_BIN_EXE_switchtower-init")]);
        command.args(["serve", option, "0", "--user-home"]).arg(&home);
        command.args(["--user-id", &uid.to_string(), "--group-id", &gid.to_string(), "--env", "MACHINE=m"]);
        if let Ok(mark) = std::env::var("LEFTOVERS_OF") {
            // By it, CI finds processes that tests leave behind.
            command.args(["--env", &format!("LEFTOVERS_OF={mark}")]);
        }
        let process = command.stdin(socket).spawn().unwrap();
        Self { process, folder, streams, uid, gid }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) async fn connect(&self) -> Connection {
        match &self.streams {
            Some(streams) => Box::pin(streams.open().await.unwrap()),
            None => Box::pin(UnixStream::connect(self.folder.path().join("socket")).await.unwrap()),
        }
    }

    /// Ends the connection of an init that has one. Returns whether it exits.
    pub(crate) async fn disconnect(&mut self) -> bool {
        self.streams = None;
        let process = self.pid();
        eventually("it exits", || self.process.try_wait().unwrap().is_some()).await;
        !is_alive(process)
    }

    /// Sends a request and returns the whole answer.
    pub(crate) async fn call(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        let headers = [headers, &[("connection", "close")]].concat();
        stream.write_all(&request_bytes(request, &headers, body)).await.unwrap();
        let mut all = Vec::new();
        timeout(STEP, stream.read_to_end(&mut all)).await.expect("the answer ends").unwrap();
        let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(all[..end].to_vec()).unwrap().to_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(&all[end..]) } else { all[end..].to_vec() };
        Answer { status: status(&head), body }
    }

    /// Starts a script of a shell and returns its messages when it has ended.
    pub(crate) async fn run(&self, script: &str) -> Vec<Value> {
        let message =
            serde_json::json!({ "process": { "cmd": "/bin/sh", "args": ["-c", script] }, "stdin": false }).to_string();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [&[0], &length[..], message.as_bytes()].concat();
        let kind = [("content-type", "application/connect+json")];
        self.call("POST /process.Process/Start", &kind, &body).await.messages()
    }

    /// Sends a request whose connection is used further, and returns the status and the connection.
    pub(crate) async fn upgrade(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Connection) {
        let mut stream = self.connect().await;
        stream.write_all(&request_bytes(request, headers, body)).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(STEP, stream.read_u8()).await.expect("there is an answer").unwrap());
        }
        (status(&String::from_utf8(head).unwrap()), stream)
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request_bytes(request: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    [format!("{request} HTTP/1.1\r\nhost: machine\r\n{headers}{length}\r\n").as_bytes(), body].concat()
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn unchunk(mut chunked: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunked.windows(2).position(|bytes| bytes == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunked[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&chunked[end + 2..end + 2 + length]);
        chunked = &chunked[end + 2 + length + 2..];
    }
    body
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + STEP;
    while !is_true() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(STEP, future).await.expect("it ends in time")
}
