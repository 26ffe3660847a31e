//! A command in a machine with its streams: frames over one connection to the first process.
//!
//! A frame is one byte for its kind, four for its length (big endian), and its payload.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use switchtower_contract::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::client::{InitClient, lost};
use crate::language::HOME;

/// Most bytes of one frame.
const MAX_FRAME: usize = 1 << 20;
/// Bytes before the payload.
const HEADER: usize = 5;
/// Bytes of one frame to the process.
const PIECE: usize = 256 << 10;
/// Frames and signals that wait for the writer.
const BUFFERED_FRAMES: usize = 2;
const BUFFERED_SIGNALS: usize = 8;

/// A command to start.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CommandSpec<'a> {
    pub(crate) program: &'a str,
    pub(crate) args: &'a [&'a str],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) cwd: &'a str,
    pub(crate) user: &'a str,
    /// Whether it has a socket as descriptor 3.
    pub(crate) control: bool,
}

/// What comes from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Control(Bytes),
    Stdout(Bytes),
    Stderr(Bytes),
    Ended(CommandEnd),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommandEnd {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

/// A running command. Dropping it kills the command's group of processes.
pub(crate) struct Channel {
    read: ReadHalf<TokioIo<Upgraded>>,
    buffer: BytesMut,
    input: Input,
    /// The task that writes. It holds the connection open.
    writer: AbortHandle,
}

/// What is written to a command; every copy of this writes to the same input. The command may read it slowly or never: only what
/// waits for the next frame waits with it, and a signal waits for nothing.
#[derive(Clone)]
pub(crate) struct Input {
    frames: mpsc::Sender<(u8, Bytes)>,
    signals: mpsc::Sender<u8>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl Channel {
    /// Starts a command.
    pub(crate) async fn start(client: &InitClient, spec: &CommandSpec<'_>) -> Result<Self, Fault> {
        let body = serde_json::to_vec(spec).map_err(lost)?;
        let request = Request::post("/switchtower/channel")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "switchtower-channel")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body))
            .map_err(lost)?;
        let (read, write) = tokio::io::split(TokioIo::new(client.upgrade(request).await?));
        let (frames, frames_from) = mpsc::channel(BUFFERED_FRAMES);
        let (signals, signals_from) = mpsc::channel(BUFFERED_SIGNALS);
        let writer = tokio::spawn(write_frames(write, frames_from, signals_from)).abort_handle();
        Ok(Self { read, buffer: BytesMut::new(), input: Input { frames, signals }, writer })
    }

    /// Runs a command as root to its end. Returns how it ended, and its standard output, of at most [`MAX_FRAME`] bytes.
    pub(crate) async fn run_as_root(
        client: &InitClient,
        program: &str,
        args: &[&str],
    ) -> Result<(CommandEnd, String), Fault> {
        let none = BTreeMap::new();
        let spec = CommandSpec { program, args, env: &none, cwd: HOME, user: "root", control: false };
        let mut channel = Self::start(client, &spec).await?;
        let mut printed = Vec::new();
        loop {
            match channel.next().await? {
                Frame::Stdout(bytes) => {
                    let left = MAX_FRAME.saturating_sub(printed.len());
                    printed.extend_from_slice(&bytes[..bytes.len().min(left)]);
                }
                Frame::Stderr(_) | Frame::Control(_) => {}
                Frame::Ended(end) => return Ok((end, String::from_utf8_lossy(&printed).into_owned())),
            }
        }
    }

    /// Returns the next frame. It may be cancelled: nothing is lost then.
    pub(crate) async fn next(&mut self) -> Result<Frame, Fault> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            if self.read.read_buf(&mut self.buffer).await.map_err(lost)? == 0 {
                return Err(lost("it closed the connection"));
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Frame>, Fault> {
        let Some(head) = self.buffer.get(..HEADER) else { return Ok(None) };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > MAX_FRAME {
            return Err(lost("it sent a frame that is too long"));
        }
        if self.buffer.len() < HEADER + length {
            self.buffer.reserve(HEADER + length - self.buffer.len());
            return Ok(None);
        }
        let kind = head[0];
        self.buffer.advance(HEADER);
        let payload = self.buffer.split_to(length).freeze();
        Ok(Some(match kind {
            0 => Frame::Control(payload),
            1 => Frame::Stdout(payload),
            2 => Frame::Stderr(payload),
            3 => Frame::Ended(serde_json::from_slice(&payload).map_err(lost)?),
            _ => return Err(lost("it sent a frame of an unknown kind")),
        }))
    }

    pub(crate) fn input(&self) -> &Input {
        &self.input
    }
}

impl Input {
    async fn send(&self, kind: u8, mut bytes: Bytes) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.frame(kind, piece).await?;
        }
        Ok(())
    }

    async fn frame(&self, kind: u8, payload: Bytes) -> Result<(), Fault> {
        self.frames.send((kind, payload)).await.map_err(|_| lost("it reads no more"))
    }

    /// Writes to descriptor 3.
    pub(crate) async fn control(&self, bytes: Bytes) -> Result<(), Fault> {
        self.send(CONTROL, bytes).await
    }

    /// Writes the whole of standard input and closes it.
    pub(crate) async fn stdin(&self, bytes: Bytes) -> Result<(), Fault> {
        self.send(STDIN, bytes).await?;
        self.frame(CLOSE_STDIN, Bytes::new()).await
    }

    /// Sends a signal to the command's group of processes, before what waits to be written. One that comes while others wait
    /// is left out.
    pub(crate) fn signal(&self, signal: u8) {
        // Where the command has ended, it needs no signal.
        let _ = self.signals.try_send(signal);
    }
}

/// Kinds of frames to the first process.
const CONTROL: u8 = 0;
const STDIN: u8 = 1;
const CLOSE_STDIN: u8 = 2;
const SIGNAL: u8 = 3;

/// Writes frames until the channel is gone or the connection has ended.
async fn write_frames(
    mut write: WriteHalf<TokioIo<Upgraded>>,
    mut frames: mpsc::Receiver<(u8, Bytes)>,
    mut signals: mpsc::Receiver<u8>,
) {
    loop {
        let (kind, payload) = tokio::select! {
            biased;
            Some(signal) = signals.recv() => (SIGNAL, Bytes::copy_from_slice(&[signal])),
            Some(frame) = frames.recv() => frame,
            else => return,
        };
        let mut frame = Vec::with_capacity(HEADER + payload.len());
        frame.push(kind);
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(&payload);
        if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
}
