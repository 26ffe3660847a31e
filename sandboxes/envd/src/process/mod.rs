//! The programs that callers have started.

mod command;
mod exit;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::launcher::{Launch, Launcher, ProcessGroup};
use crate::terminal::{Terminal, TerminalSize};
pub(crate) use command::{CommandEvent, RunningCommand, SendError};
pub(crate) use exit::describe as describe_exit;

/// Most programs that run at once.
const MAX_RUNNING: usize = 1000;
/// How long the end of a program is kept for readers that attach afterwards, and of how many.
const KEPT_TIME: Duration = Duration::from_secs(30);
const MAX_KEPT: usize = 1000;

/// A program to run, and how callers reach it.
#[derive(Debug, Clone)]
pub(crate) struct CommandSpec {
    pub(crate) launch: Launch,
    /// As the caller gave them.
    pub(crate) own_env: BTreeMap<String, String>,
    pub(crate) own_cwd: Option<String>,
    pub(crate) tag: Option<String>,
    /// Whether its standard input stays open.
    pub(crate) stdin: bool,
    /// The size of its terminal, if it has one.
    pub(crate) terminal: Option<TerminalSize>,
    /// Time after which it is killed.
    pub(crate) timeout: Option<Duration>,
}

/// How a caller names a program.
#[derive(Debug, Clone)]
pub(crate) enum Selector {
    Pid(u32),
    Tag(String),
}

pub(crate) struct Processes {
    launcher: Arc<dyn Launcher>,
    permits: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
}

/// Locked for a few instructions.
#[derive(Default)]
struct Table {
    /// By process number.
    running: BTreeMap<u32, Arc<RunningCommand>>,
    /// Programs that have ended, the oldest first.
    ended: VecDeque<EndedCommand>,
}

struct EndedCommand {
    pid: u32,
    tag: Option<String>,
    end: CommandEvent,
    at: Instant,
}

/// What a reader gets: the process number, and what follows.
pub(crate) struct Attached {
    pub(crate) pid: u32,
    pub(crate) events: mpsc::Receiver<CommandEvent>,
}

/// Why a program was not started.
pub(crate) enum StartError {
    TooMany,
    Failed(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Processes {
    pub(crate) fn new(launcher: Arc<dyn Launcher>) -> Self {
        Self { launcher, permits: Arc::new(Semaphore::new(MAX_RUNNING)), table: Arc::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    pub(crate) fn all(&self) -> Vec<Arc<RunningCommand>> {
        self.table().running.values().cloned().collect()
    }

    pub(crate) fn find(&self, selector: &Selector) -> Option<Arc<RunningCommand>> {
        self.table().find(selector)
    }

    /// Starts a program. It continues when its events are no longer read.
    pub(crate) async fn start(&self, spec: CommandSpec) -> Result<Attached, StartError> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| StartError::TooMany)?;
        let opened = spec.terminal.map(Terminal::open).transpose()?;
        let (terminal, programs_side) = opened.unzip();
        if let Some(side) = &programs_side {
            side.give_to(&spec.launch.user);
        }
        let group = ProcessGroup::start(&self.launcher, &spec.launch, |command| match &programs_side {
            Some(side) => side.set_streams(command),
            None => {
                command::set_pipes(command, spec.stdin);
                Ok(())
            }
        });
        let group = group.await?;
        // The output of a terminal ends when all have closed the programs' side.
        drop(programs_side);
        let pid = group.pid();
        let (running, events, task) = RunningCommand::new(group, spec, terminal);
        let running = Arc::new(running);
        {
            let mut table = self.table();
            table.forget(pid, running.spec.tag.as_deref());
            table.running.insert(pid, running.clone());
        }
        let table = self.table.clone();
        tokio::spawn(async move {
            let end = running.supervise(task).await;
            drop(permit);
            lock(&table).end(&running, &end);
            running.send(end).await;
        });
        Ok(Attached { pid, events })
    }

    /// Attaches a reader to a program: it gets what follows. `None`: there is no such program.
    pub(crate) fn attach(&self, selector: &Selector) -> Option<Result<Attached, SendError>> {
        let mut table = self.table();
        if let Some(command) = table.find(selector) {
            return Some(command.subscribe().map(|events| Attached { pid: command.pid, events }));
        }
        table.remove_old();
        let ended = table.ended.iter().rev().find(|ended| match selector {
            Selector::Pid(pid) => ended.pid == *pid,
            Selector::Tag(tag) => ended.tag.as_ref() == Some(tag),
        })?;
        let (sender, events) = mpsc::channel(1);
        // There is space for one event.
        let _ = sender.try_send(ended.end.clone());
        Some(Ok(Attached { pid: ended.pid, events }))
    }

    /// Breaks the connections to all programs, which continue.
    pub(crate) fn disconnect_readers(&self) {
        for running in self.all() {
            running.disconnect_readers();
        }
    }

    /// Kills all programs.
    pub(crate) fn end(&self) {
        for running in self.all() {
            running.end_with_machine();
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    fn find(&self, selector: &Selector) -> Option<Arc<RunningCommand>> {
        match selector {
            Selector::Pid(pid) => self.running.get(pid).cloned(),
            Selector::Tag(tag) => self.running.values().find(|command| command.spec.tag.as_ref() == Some(tag)).cloned(),
        }
    }

    /// Forgets ended programs that had the number or the tag of a new one.
    fn forget(&mut self, pid: u32, tag: Option<&str>) {
        self.ended.retain(|ended| ended.pid != pid && (tag.is_none() || ended.tag.as_deref() != tag));
    }

    fn remove_old(&mut self) {
        while self.ended.front().is_some_and(|ended| ended.at.elapsed() > KEPT_TIME || self.ended.len() > MAX_KEPT) {
            self.ended.pop_front();
        }
    }

    fn end(&mut self, command: &RunningCommand, end: &CommandEvent) {
        // What it started in the background may have held it open after its number was given to another program.
        if self.running.get(&command.pid).is_some_and(|running| std::ptr::eq(running.as_ref(), command)) {
            self.running.remove(&command.pid);
        }
        let (pid, tag) = (command.pid, command.spec.tag.clone());
        self.ended.push_back(EndedCommand { pid, tag, end: end.clone(), at: Instant::now() });
        self.remove_old();
    }
}
