//! The commands that run in one sandbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::disk::{HOME, absolute};
use crate::namespace::{Namespace, ProcessGroup};
use crate::terminal::{self, Terminal, TerminalSize};

/// Events that are buffered for a reader. A slow reader slows the command down.
const BUFFERED_EVENTS: usize = 64;
/// How long output is awaited after the command itself has ended: a process that it started may hold the pipes open.
const OUTPUT_GRACE: Duration = Duration::from_millis(300);

pub(crate) struct Processes {
    /// `None`: commands are not supported, since kernels are scripted.
    namespace: Option<Arc<Namespace>>,
    /// By process number; held for a few instructions.
    running: Arc<Mutex<BTreeMap<u32, Arc<RunningCommand>>>>,
}

/// A command to run.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommandSpec {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<String>,
    pub(crate) tag: Option<String>,
    /// Whether its standard input stays open.
    pub(crate) stdin: bool,
    /// The size of its terminal, if it has one.
    pub(crate) terminal: Option<TerminalSize>,
    /// Time after which it is killed.
    pub(crate) timeout: Option<Duration>,
}

/// What a command reads: a pipe, or its terminal.
type Input = Box<dyn AsyncWrite + Send + Unpin>;

pub(crate) struct RunningCommand {
    pub(crate) pid: u32,
    pub(crate) spec: CommandSpec,
    signals: mpsc::UnboundedSender<Signal>,
    stdin: tokio::sync::Mutex<Option<Input>>,
    terminal: Option<Terminal>,
    /// Held for a few instructions.
    readers: Mutex<Vec<mpsc::Sender<CommandEvent>>>,
    is_sandbox_ended: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
pub(crate) enum CommandEvent {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// What it wrote to its terminal.
    Terminal(Vec<u8>),
    /// It ended: with an exit code, or by a signal with this number.
    Exited(Result<i32, i32>),
    /// It was killed when its time was over.
    TimedOut,
    /// Its sandbox has ended; the connection breaks.
    SandboxEnded,
}

impl Processes {
    pub(crate) fn new(namespace: Option<Arc<Namespace>>) -> Self {
        Self { namespace, running: Arc::default() }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<RunningCommand>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<Arc<RunningCommand>> {
        self.table().values().cloned().collect()
    }

    pub(crate) fn by_pid(&self, pid: u32) -> Option<Arc<RunningCommand>> {
        self.table().get(&pid).cloned()
    }

    pub(crate) fn by_tag(&self, tag: &str) -> Option<Arc<RunningCommand>> {
        self.table().values().find(|command| command.spec.tag.as_deref() == Some(tag)).cloned()
    }

    /// Starts a command. It continues when its events are no longer read.
    pub(crate) async fn start(&self, spec: CommandSpec) -> std::io::Result<(u32, mpsc::Receiver<CommandEvent>)> {
        let Some(namespace) = &self.namespace else {
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "scripted sandboxes run no commands"));
        };
        let cwd = absolute(spec.cwd.as_deref().unwrap_or(HOME), HOME);
        if !namespace.folder.host_path(&cwd).is_dir() {
            let missing = format!("cwd '{cwd}' does not exist");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, missing));
        }
        if spec.terminal.is_some() && !namespace.is_separate().await {
            let why = "terminals need a machine that allows its users namespaces";
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, why));
        }
        let (program, has_terminal) = (Path::new(&spec.program), spec.terminal.is_some());
        let mut command = namespace.command(program, &spec.args, &cwd, &spec.env, has_terminal).await;
        let opened = spec.terminal.map(Terminal::open).transpose()?;
        let terminal = if let Some((terminal, programs)) = opened {
            let [stdin, stdout, stderr] = terminal::streams(&programs)?;
            command.stdin(stdin).stdout(stdout).stderr(stderr);
            Some(terminal)
        } else {
            let stdin = if spec.stdin { Stdio::piped() } else { Stdio::null() };
            command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
            None
        };
        let mut group = ProcessGroup(command.spawn()?);
        // It holds the programs' side of a terminal, whose output ends when all have closed it.
        drop(command);
        let stdin = match &terminal {
            Some(terminal) => Some(Box::new(terminal.file()?) as Input),
            None => group.0.stdin.take().map(|stdin| Box::new(stdin) as Input),
        };
        let pid = group.pid().unwrap_or_default();
        let (sender, receiver) = mpsc::channel(BUFFERED_EVENTS);
        let (signals, requested_signals) = mpsc::unbounded_channel();
        let running = Arc::new(RunningCommand {
            pid,
            signals,
            stdin: tokio::sync::Mutex::new(stdin),
            terminal,
            readers: Mutex::new(vec![sender]),
            is_sandbox_ended: watch::Sender::new(false),
            spec,
        });
        self.table().insert(pid, running.clone());
        let table = self.running.clone();
        tokio::spawn(async move {
            let end = running.supervise(group, requested_signals).await;
            table.lock().unwrap_or_else(PoisonError::into_inner).remove(&running.pid);
            running.send(end).await;
        });
        Ok((pid, receiver))
    }

    /// Breaks the connections to all commands, which continue.
    pub(crate) fn disconnect_readers(&self) {
        for running in self.all() {
            running.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Kills all commands.
    pub(crate) fn end(&self) {
        for running in self.all() {
            running.is_sandbox_ended.send_replace(true);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end();
    }
}

impl RunningCommand {
    /// Sends a signal, unless the command has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // The receiver ends with the command.
        let _ = self.signals.send(signal);
    }

    /// Returns a receiver of the events from now on.
    pub(crate) fn subscribe(&self) -> mpsc::Receiver<CommandEvent> {
        let (sender, receiver) = mpsc::channel(BUFFERED_EVENTS);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    pub(crate) async fn write_stdin(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stdin = self.stdin.lock().await;
        let stdin = stdin.as_mut().ok_or_else(|| std::io::Error::other("stdin is not open"))?;
        stdin.write_all(bytes).await?;
        stdin.flush().await
    }

    /// Changes the size of its terminal, if it has one.
    pub(crate) fn resize(&self, size: TerminalSize) -> std::io::Result<()> {
        self.terminal.as_ref().map_or(Ok(()), |terminal| terminal.resize(size))
    }

    pub(crate) async fn close_stdin(&self) {
        *self.stdin.lock().await = None;
    }

    /// Sends an event to all readers.
    async fn send(&self, event: CommandEvent) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for reader in readers {
            // A reader that left is removed below.
            let _ = reader.send(event.clone()).await;
        }
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).retain(|reader| !reader.is_closed());
    }

    /// Runs until the command has ended, and returns how it ended.
    async fn supervise(
        &self,
        mut group: ProcessGroup,
        mut requested_signals: mpsc::UnboundedReceiver<Signal>,
    ) -> CommandEvent {
        let deadline = self.spec.timeout.map(|time| Instant::now() + time);
        let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
        let terminal = self.terminal.as_ref().and_then(|terminal| terminal.file().ok());
        let mut is_sandbox_ended = self.is_sandbox_ended.subscribe();
        // Dropped at once: the value that it returns must not be held over an await.
        let sandbox_ended = async { drop(is_sandbox_ended.wait_for(|ended| *ended).await) };
        tokio::pin!(sandbox_ended);
        let output = async {
            tokio::join!(
                self.copy(stdout, CommandEvent::Stdout),
                self.copy(stderr, CommandEvent::Stderr),
                self.copy(terminal, CommandEvent::Terminal),
            );
        };
        tokio::pin!(output);
        let mut is_output_open = true;
        let mut is_timed_out = false;
        let status = loop {
            tokio::select! {
                () = &mut output, if is_output_open => is_output_open = false,
                status = group.0.wait() => break status,
                Some(signal) = requested_signals.recv() => drop(group.signal(signal)),
                () = &mut sandbox_ended => {
                    group.end().await;
                    return CommandEvent::SandboxEnded;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && !is_timed_out => {
                    is_timed_out = true;
                    drop(group.signal(Signal::KILL));
                }
            }
        };
        if is_output_open {
            let _ = timeout(OUTPUT_GRACE, &mut output).await;
        }
        if is_timed_out {
            return CommandEvent::TimedOut;
        }
        use std::os::unix::process::ExitStatusExt;
        CommandEvent::Exited(status.map_or(Err(9), |status| status.code().ok_or_else(|| status.signal().unwrap_or(9))))
    }

    /// Sends what a pipe delivers as events.
    async fn copy(&self, pipe: Option<impl AsyncRead + Unpin>, event: fn(Vec<u8>) -> CommandEvent) {
        let Some(mut pipe) = pipe else { return };
        let mut bytes = vec![0; 32 << 10];
        while let Ok(read @ 1..) = pipe.read(&mut bytes).await {
            self.send(event(bytes[..read].to_vec())).await;
        }
    }
}
