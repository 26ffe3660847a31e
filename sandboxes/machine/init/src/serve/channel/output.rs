//! What the program sends to the backend.
//!
//! Before the bytes of the control connection, what standard output and error hold at that moment is forwarded: a program that
//! reports something has its earlier output arrive first.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::OwnedReadHalf;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::{self, to_backend};

/// Most bytes of a frame with output.
const FRAME_BYTES: usize = 64 << 10;
/// After the program's end: how long a silent pipe is read that something still holds open, and how long any pipe.
const SILENCE_TIMEOUT: Duration = Duration::from_millis(200);
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// The program's streams.
pub(super) struct Pipes {
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
    control: Pipe<OwnedReadHalf>,
}

/// A stream, and what was read from it last.
struct Pipe<R> {
    /// `None`: closed.
    reader: Option<R>,
    buffer: Vec<u8>,
}

/// Which stream was read.
enum Source {
    Control,
    Stdout,
    Stderr,
}

/// Forwards until the program has ended, with its end as the last frame, or until the connection has ended.
pub(super) async fn forward(mut pipes: Pipes, exit: oneshot::Receiver<String>, mut writer: impl AsyncWrite + Unpin) {
    if let Ok(end) = pipes.forward_until(exit, &mut writer).await {
        // The backend may have left.
        let _ = frames::write(&mut writer, to_backend::END, end.as_bytes()).await;
        let _ = writer.shutdown().await;
    }
}

impl Pipes {
    pub(super) fn new(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
        control: Option<OwnedReadHalf>,
    ) -> Self {
        Self { stdout: Pipe::new(stdout), stderr: Pipe::new(stderr), control: Pipe::new(control) }
    }

    async fn forward_until(
        &mut self,
        mut exit: oneshot::Receiver<String>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<String> {
        let end = loop {
            tokio::select! {
                (source, length) = self.read() => self.write(source, length, writer).await?,
                end = &mut exit => break end.map_err(|_| io::ErrorKind::BrokenPipe)?,
            }
        };
        let deadline = Instant::now() + REST_TIMEOUT;
        while self.stdout.reader.is_some() || self.stderr.reader.is_some() || self.control.reader.is_some() {
            match timeout_at(deadline, timeout(SILENCE_TIMEOUT, self.read())).await {
                Ok(Ok((source, length))) => self.write(source, length, writer).await?,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(end)
    }

    /// Reads from any of the streams, as many bytes as are returned. Nothing is lost when the future is dropped.
    async fn read(&mut self) -> (Source, usize) {
        tokio::select! {
            length = self.control.read(FRAME_BYTES) => (Source::Control, length),
            length = self.stdout.read(FRAME_BYTES) => (Source::Stdout, length),
            length = self.stderr.read(FRAME_BYTES) => (Source::Stderr, length),
        }
    }

    async fn write(&mut self, source: Source, length: usize, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        match source {
            Source::Stdout => self.stdout.write(to_backend::STDOUT, length, writer).await,
            Source::Stderr => self.stderr.write(to_backend::STDERR, length, writer).await,
            Source::Control => {
                // As many bytes as there are now, so that a program that goes on writing does not delay this for ever.
                let (stdout, stderr) = (self.stdout.held(), self.stderr.held());
                self.stdout.forward(to_backend::STDOUT, stdout, writer).await?;
                self.stderr.forward(to_backend::STDERR, stderr, writer).await?;
                self.control.write(to_backend::CONTROL, length, writer).await
            }
        }
    }
}

impl<R: AsyncRead + AsFd + Unpin> Pipe<R> {
    /// Returns the bytes that can be read at once.
    fn held(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| ioctl_fionread(reader).unwrap_or_default())
    }

    /// Forwards as many bytes.
    async fn forward(&mut self, kind: u8, mut left: u64, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while left > 0 && self.reader.is_some() {
            let length = self.read(usize::try_from(left).unwrap_or(FRAME_BYTES)).await;
            left = left.saturating_sub(length as u64);
            self.write(kind, length, writer).await?;
        }
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: Option<R>) -> Self {
        Self { reader, buffer: vec![0; FRAME_BYTES] }
    }

    /// Reads at most as many bytes, and never ends where the stream is closed. A stream that fails is closed.
    async fn read(&mut self, most: usize) -> usize {
        let Some(reader) = &mut self.reader else { return std::future::pending().await };
        let most = most.min(self.buffer.len());
        let length = reader.read(&mut self.buffer[..most]).await.unwrap_or_default();
        if length == 0 {
            self.reader = None;
        }
        length
    }

    /// Writes what was read last.
    async fn write(&self, kind: u8, length: usize, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        match length {
            0 => Ok(()),
            length => frames::write(writer, kind, &self.buffer[..length]).await,
        }
    }
}
