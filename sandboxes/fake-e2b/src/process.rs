//! The commands of one sandbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::disk::{HOME, absolute};
use crate::jail::{Group, Jail};

/// What a reader may be behind. A slow one slows the command down.
const ROOM: usize = 64;
/// How long output is awaited that others hold open when the command itself has ended.
const REST: Duration = Duration::from_millis(300);

/// The commands that run.
pub(crate) struct Processes {
    /// `None`: nothing can run here.
    jail: Option<Arc<Jail>>,
    /// Protects the table; held for a few instructions.
    running: Arc<Mutex<BTreeMap<u32, Arc<Running>>>>,
}

/// What to run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    pub(crate) cmd: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) stdin: bool,
    /// When it is killed.
    pub(crate) deadline: Option<Duration>,
}

/// A command that runs.
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) order: Order,
    signals: mpsc::UnboundedSender<Signal>,
    stdin: tokio::sync::Mutex<Option<ChildStdin>>,
    /// Protects the list of readers; held for a few instructions.
    readers: Mutex<Vec<mpsc::Sender<Said>>>,
    over: watch::Sender<bool>,
}

/// What a command says.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// It left with a code, or was ended by a signal.
    Exit(Result<i32, i32>),
    /// It was killed at its deadline.
    Late,
    /// Its sandbox is gone, and the connection with it.
    Gone,
}

impl Processes {
    pub(crate) fn new(jail: Option<Arc<Jail>>) -> Self {
        Self { jail, running: Arc::default() }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Running>> {
        self.table().values().cloned().collect()
    }

    pub(crate) fn by_pid(&self, pid: u32) -> Option<Arc<Running>> {
        self.table().get(&pid).cloned()
    }

    pub(crate) fn by_tag(&self, tag: &str) -> Option<Arc<Running>> {
        self.table().values().find(|running| running.order.tag.as_deref() == Some(tag)).cloned()
    }

    /// Starts a command; it runs on when nobody reads what it says.
    pub(crate) async fn start(&self, order: Order) -> std::io::Result<(u32, mpsc::Receiver<Said>)> {
        let Some(jail) = &self.jail else {
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "scripted sandboxes run no commands"));
        };
        let cwd = absolute(order.cwd.as_deref().unwrap_or(HOME), HOME);
        if !jail.folder.outside(&cwd).is_dir() {
            let missing = format!("cwd '{cwd}' does not exist");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, missing));
        }
        let mut command = jail.command(Path::new(&order.cmd), &order.args, &cwd, &order.env).await;
        let stdin = if order.stdin { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group(command.spawn()?);
        let pid = group.pid().unwrap_or_default();
        let (to, from) = mpsc::channel(ROOM);
        let (signals, asked) = mpsc::unbounded_channel();
        let running = Arc::new(Running {
            pid,
            signals,
            stdin: tokio::sync::Mutex::new(group.0.stdin.take()),
            readers: Mutex::new(vec![to]),
            over: watch::Sender::new(false),
            order,
        });
        self.table().insert(pid, running.clone());
        let table = self.running.clone();
        tokio::spawn(async move {
            let said = running.attend(group, asked).await;
            table.lock().unwrap_or_else(PoisonError::into_inner).remove(&running.pid);
            running.tell(said).await;
        });
        Ok((pid, from))
    }

    /// Breaks the connections to them off; they run on.
    pub(crate) fn break_off(&self) {
        for running in self.all() {
            running.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Kills them all.
    pub(crate) fn end(&self) {
        for running in self.all() {
            running.over.send_replace(true);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end();
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        // Over already is as good.
        let _ = self.signals.send(signal);
    }

    /// What it says from now on.
    pub(crate) fn read(&self) -> mpsc::Receiver<Said> {
        let (to, from) = mpsc::channel(ROOM);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(to);
        from
    }

    pub(crate) async fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stdin = self.stdin.lock().await;
        let stdin = stdin.as_mut().ok_or_else(|| std::io::Error::other("stdin is not open"))?;
        stdin.write_all(bytes).await?;
        stdin.flush().await
    }

    pub(crate) async fn close_stdin(&self) {
        *self.stdin.lock().await = None;
    }

    async fn tell(&self, said: Said) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for reader in readers {
            // A reader that left misses nothing.
            let _ = reader.send(said.clone()).await;
        }
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).retain(|reader| !reader.is_closed());
    }

    /// Stays with a command until its end.
    async fn attend(&self, mut group: Group, mut asked: mpsc::UnboundedReceiver<Signal>) -> Said {
        let deadline = self.order.deadline.map(|time| Instant::now() + time);
        let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
        let mut over = self.over.subscribe();
        // The value itself must not be held over an await.
        let gone = async { drop(over.wait_for(|over| *over).await) };
        tokio::pin!(gone);
        let output = async {
            tokio::join!(self.relay(stdout, Said::Stdout), self.relay(stderr, Said::Stderr));
        };
        tokio::pin!(output);
        let mut open = true;
        let mut late = false;
        let status = loop {
            tokio::select! {
                () = &mut output, if open => open = false,
                status = group.0.wait() => break status,
                Some(signal) = asked.recv() => drop(group.signal(signal)),
                () = &mut gone => {
                    group.end().await;
                    return Said::Gone;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && !late => {
                    late = true;
                    drop(group.signal(Signal::KILL));
                }
            }
        };
        if open {
            // What it started in the background may hold the pipes.
            let _ = timeout(REST, &mut output).await;
        }
        if late {
            return Said::Late;
        }
        use std::os::unix::process::ExitStatusExt;
        Said::Exit(status.map_or(Err(9), |status| status.code().ok_or_else(|| status.signal().unwrap_or(9))))
    }

    async fn relay(&self, from: Option<impl AsyncRead + Unpin>, wrap: fn(Vec<u8>) -> Said) {
        let Some(mut from) = from else { return };
        let mut bytes = vec![0; 32 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            self.tell(wrap(bytes[..read].to_vec())).await;
        }
    }
}
