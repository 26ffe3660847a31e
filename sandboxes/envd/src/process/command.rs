//! One program that runs: its input, its output and its end.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::CommandSpec;
use crate::launcher::ProcessGroup;
use crate::terminal::{Terminal, TerminalSize};

/// Events that are buffered for a reader. A slow reader slows the program down.
const BUFFERED_EVENTS: usize = 16;
/// Bytes of output in an event.
const EVENT_BYTES: usize = 32 << 10;
/// Most readers of a program.
const MAX_READERS: usize = 64;
/// Signals that wait to be sent.
const BUFFERED_SIGNALS: usize = 16;
/// How long the output of a program is still read after it was killed: what it started may hold its pipes open.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(300);

pub(crate) struct RunningCommand {
    pub(crate) pid: u32,
    pub(crate) spec: CommandSpec,
    signals: mpsc::Sender<Signal>,
    stdin: tokio::sync::Mutex<Option<ChildStdin>>,
    terminal: Option<Terminal>,
    /// Held for a few instructions.
    readers: Mutex<Vec<mpsc::Sender<CommandEvent>>>,
    is_machine_ended: watch::Sender<bool>,
}

/// What the task has that supervises a program.
pub(crate) struct Supervised {
    group: ProcessGroup,
    signals: mpsc::Receiver<Signal>,
}

#[derive(Debug, Clone)]
pub(crate) enum CommandEvent {
    Stdout(Bytes),
    Stderr(Bytes),
    /// What it wrote to its terminal.
    Terminal(Bytes),
    /// It ended: with an exit code, or by a signal with this number.
    Exited(Result<i32, i32>),
    /// It was killed when its time was over.
    TimedOut,
    /// Its machine has ended; the connection breaks.
    MachineEnded,
}

/// Why something was not sent to a program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("tty assigned to process: input should be written to the pty, not the stdin")]
    HasTerminal,
    #[error("tty not assigned to process")]
    NoTerminal,
    #[error("stdin not enabled or closed")]
    StdinClosed,
    #[error("cannot close stdin for PTY process: send Ctrl+D (0x04) instead")]
    TerminalStaysOpen,
    #[error("a process may have {MAX_READERS} readers")]
    TooManyReaders,
    #[error("{BUFFERED_SIGNALS} signals wait already")]
    TooManySignals,
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// Makes pipes the standard streams of a program.
pub(crate) fn set_pipes(command: &mut Command, has_stdin: bool) {
    let stdin = if has_stdin { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
}

impl RunningCommand {
    pub(crate) fn new(
        mut group: ProcessGroup,
        spec: CommandSpec,
        terminal: Option<Terminal>,
    ) -> (Self, mpsc::Receiver<CommandEvent>, Supervised) {
        let (sender, events) = mpsc::channel(BUFFERED_EVENTS);
        let (signals, requested_signals) = mpsc::channel(BUFFERED_SIGNALS);
        let running = Self {
            pid: group.pid(),
            signals,
            stdin: tokio::sync::Mutex::new(group.child.stdin.take()),
            terminal,
            readers: Mutex::new(vec![sender]),
            is_machine_ended: watch::Sender::new(false),
            spec,
        };
        (running, events, Supervised { group, signals: requested_signals })
    }

    /// Sends a signal, unless the program has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), SendError> {
        match self.signals.try_send(signal) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(SendError::TooManySignals),
            // The receiver ends with the program.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Returns a receiver of the events from now on.
    pub(super) fn subscribe(&self) -> Result<mpsc::Receiver<CommandEvent>, SendError> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| !reader.is_closed());
        if readers.len() >= MAX_READERS {
            return Err(SendError::TooManyReaders);
        }
        let (sender, receiver) = mpsc::channel(BUFFERED_EVENTS);
        readers.push(sender);
        Ok(receiver)
    }

    pub(super) fn disconnect_readers(&self) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn end_with_machine(&self) {
        self.is_machine_ended.send_replace(true);
    }

    pub(crate) async fn write_stdin(&self, bytes: &[u8]) -> Result<(), SendError> {
        if self.terminal.is_some() {
            return Err(SendError::HasTerminal);
        }
        let mut stdin = self.stdin.lock().await;
        let stdin = stdin.as_mut().ok_or(SendError::StdinClosed)?;
        stdin.write_all(bytes).await?;
        Ok(stdin.flush().await?)
    }

    pub(crate) async fn write_terminal(&self, bytes: &[u8]) -> Result<(), SendError> {
        Ok(self.terminal.as_ref().ok_or(SendError::NoTerminal)?.write_all(bytes).await?)
    }

    /// Changes the size of its terminal.
    pub(crate) fn resize(&self, size: TerminalSize) -> Result<(), SendError> {
        Ok(self.terminal.as_ref().ok_or(SendError::NoTerminal)?.resize(size)?)
    }

    pub(crate) async fn close_stdin(&self) -> Result<(), SendError> {
        if self.terminal.is_some() {
            return Err(SendError::TerminalStaysOpen);
        }
        *self.stdin.lock().await = None;
        Ok(())
    }

    /// Sends an event to all readers.
    pub(super) async fn send(&self, event: CommandEvent) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for reader in &readers {
            // A reader that left is removed below.
            let _ = reader.send(event.clone()).await;
        }
        if readers.iter().any(mpsc::Sender::is_closed) {
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).retain(|reader| !reader.is_closed());
        }
    }

    /// Runs until the program and its output have ended, and returns how it ended. What a program started in the background may hold
    /// its output open; a signal to end the program ends that wait.
    pub(super) async fn supervise(&self, supervised: Supervised) -> CommandEvent {
        let Supervised { mut group, mut signals } = supervised;
        let deadline = self.spec.timeout.and_then(|time| Instant::now().checked_add(time));
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let mut is_machine_ended = self.is_machine_ended.subscribe();
        // Dropped at once: the value that it returns must not be held over an await.
        let machine_ended = async { drop(is_machine_ended.wait_for(|ended| *ended).await) };
        tokio::pin!(machine_ended);
        let output = async {
            tokio::join!(
                self.copy(stdout, CommandEvent::Stdout),
                self.copy(stderr, CommandEvent::Stderr),
                self.copy_terminal(),
            );
        };
        tokio::pin!(output);
        let (mut is_output_open, mut is_ended_by_caller, mut is_timed_out) = (true, false, false);
        let mut status: Option<io::Result<ExitStatus>> = None;
        // The end of its program hangs a terminal up, which not every kernel reports.
        let is_terminal = self.terminal.is_some();
        while status.is_none() || (is_output_open && !is_ended_by_caller && !is_terminal) {
            tokio::select! {
                () = &mut output, if is_output_open => is_output_open = false,
                waited = group.wait(), if status.is_none() => status = Some(waited),
                Some(signal) = signals.recv() => {
                    is_ended_by_caller |= signal == Signal::KILL || signal == Signal::TERM;
                    // Without its leader, the group belongs to what was started in the background.
                    drop(group.signal(signal));
                }
                () = &mut machine_ended => {
                    group.end().await;
                    return CommandEvent::MachineEnded;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && !is_timed_out => {
                    (is_timed_out, is_ended_by_caller) = (true, true);
                    drop(group.signal(Signal::KILL));
                }
            }
        }
        if is_output_open {
            let _ = timeout(OUTPUT_TIMEOUT, &mut output).await;
        }
        if is_timed_out {
            return CommandEvent::TimedOut;
        }
        let exit = match status {
            Some(Ok(status)) => status.code().ok_or_else(|| status.signal().unwrap_or(Signal::KILL.as_raw())),
            // Another process took its end away.
            Some(Err(_)) | None => Err(Signal::KILL.as_raw()),
        };
        CommandEvent::Exited(exit)
    }

    /// Sends what a pipe delivers as events.
    async fn copy(&self, pipe: Option<impl AsyncRead + Unpin>, event: fn(Bytes) -> CommandEvent) {
        let Some(mut pipe) = pipe else { return };
        let mut bytes = vec![0; EVENT_BYTES];
        while let Ok(read @ 1..) = pipe.read(&mut bytes).await {
            self.send(event(Bytes::copy_from_slice(&bytes[..read]))).await;
        }
    }

    async fn copy_terminal(&self) {
        let Some(terminal) = &self.terminal else { return };
        let mut bytes = vec![0; EVENT_BYTES];
        while let Ok(read @ 1..) = terminal.read(&mut bytes).await {
            self.send(CommandEvent::Terminal(Bytes::copy_from_slice(&bytes[..read]))).await;
        }
    }
}
