//! A command in a machine with its streams: frames over one connection to the first process.
//!
//! A frame is one byte for its kind, four for its length (big endian), and its payload.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use switchtower_contract::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::client::{InitClient, lost};

/// Most bytes of one frame.
const MAX_FRAME: usize = 1 << 20;
/// Bytes before the payload.
const HEADER: usize = 5;
/// Bytes of one frame to the process.
const PIECE: usize = 256 << 10;

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
    write: Arc<Mutex<WriteHalf<TokioIo<Upgraded>>>>,
    buffer: BytesMut,
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
        Ok(Self { read, write: Arc::new(Mutex::new(write)), buffer: BytesMut::new() })
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

    async fn send(&mut self, kind: u8, payload: &[u8]) -> Result<(), Fault> {
        send(&self.write, kind, payload).await.map_err(lost)
    }

    /// Writes to descriptor 3.
    pub(crate) async fn control(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for piece in bytes.chunks(PIECE) {
            self.send(0, piece).await?;
        }
        Ok(())
    }

    /// Writes the whole of standard input and closes it.
    pub(crate) async fn stdin(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for piece in bytes.chunks(PIECE) {
            self.send(1, piece).await?;
        }
        self.send(2, &[]).await
    }

    /// Sends a signal to the command's group of processes.
    pub(crate) async fn signal(&mut self, signal: u8) -> Result<(), Fault> {
        self.send(SIGNAL, &[signal]).await
    }

    /// Returns what sends the signal of an interrupt, after the channel's owner has stopped using it.
    pub(crate) fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let write = Arc::downgrade(&self.write);
        Arc::new(move || {
            // The command has ended otherwise.
            if let (Some(write), Ok(runtime)) = (write.upgrade(), Handle::try_current()) {
                runtime.spawn(async move { send(&write, SIGNAL, &[SIGINT]).await });
            }
        })
    }
}

const SIGNAL: u8 = 3;
const SIGINT: u8 = 2;

async fn send(write: &Mutex<WriteHalf<TokioIo<Upgraded>>>, kind: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.push(kind);
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(payload);
    let mut write = write.lock().await;
    write.write_all(&frame).await?;
    write.flush().await
}
