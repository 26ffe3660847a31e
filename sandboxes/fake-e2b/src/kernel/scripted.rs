//! A kernel that follows a script: it interprets no language and runs no process, and all its waiting is on tokio's clock.
//!
//! Code with lines that begin with `#:` is a script of the scripted backend in `switchtower-contract`; for other code the
//! settings say what it prints. `kill` and too much memory end the kernel; a `fault` breaks the connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use switchtower_contract::scripted::{Scripted, Settings as Script};
use switchtower_contract::{
    Backend, Event, Events, Exit, File, Language, Languages, Limits, Modules, Outcome, Program, Sandbox, Spec,
};

use switchtower_e2b_wire::rows::{self, ResultKind, TextForm};

use super::{CellCode, ContextKernel, KernelState};
use crate::clock::WallClock;
use crate::disk::MemoryDisk;
use crate::row_stream::RowSender;
use crate::settings::Template;

/// Longer than any sandbox lives.
const FOREVER: Duration = Duration::from_secs(1 << 31);

pub(crate) struct ScriptedKernel {
    backend: Scripted,
    sandbox: Option<Box<dyn Sandbox>>,
    unscripted: Arc<dyn Fn(&str) -> String + Send + Sync>,
    clock: WallClock,
    disk: Arc<MemoryDisk>,
    env: BTreeMap<String, String>,
    count: u64,
}

/// Returns the backend of a sandbox's scripted kernels.
pub(crate) fn backend(seed: u64, template: &Template) -> Scripted {
    let mut settings = Script::default();
    settings.offer.effectful = true;
    settings.offer.observes = false;
    let modules = template.modules.as_ref().map_or(Modules::Any, |names| Modules::named(names.iter().cloned()));
    settings.offer.languages = Languages::only(Language::Python, modules);
    Scripted::new(seed, settings)
}

impl ScriptedKernel {
    pub(crate) fn new(
        backend: Scripted,
        unscripted: Arc<dyn Fn(&str) -> String + Send + Sync>,
        clock: WallClock,
        disk: Arc<MemoryDisk>,
        env: BTreeMap<String, String>,
    ) -> Self {
        Self { backend, sandbox: None, unscripted, clock, disk, env, count: 0 }
    }

    async fn run_script(&mut self, cell: &CellCode, rows: &RowSender) -> KernelState {
        if self.sandbox.is_none() {
            match self.backend.open(&Spec::new(Language::default())).await {
                Ok(sandbox) => self.sandbox = Some(sandbox),
                Err(_) => return KernelState::Disconnected,
            }
        }
        let Some(sandbox) = &mut self.sandbox else { return KernelState::Disconnected };
        let mut program = Program::python(cell.code.as_str());
        program.env = Some(self.env.iter().chain(&cell.env).map(|(k, v)| (k.clone(), v.clone())).collect());
        program.files = self.disk.files().into_iter().map(|(path, content)| File { path, content }).collect();
        let limits = Limits { wall: FOREVER, memory: 2 << 30, output: u64::MAX, ..Limits::default() };
        let (events, mut receiver) = Events::channel();
        let clock = self.clock;
        let running = async {
            let ended = sandbox.run(&program, &limits, &events).await;
            drop(events);
            ended
        };
        let sending = async {
            while let Some(event) = receiver.recv().await {
                if let Some(row) = row(event, &clock) {
                    rows.send(&row).await;
                }
            }
        };
        let (ended, ()) = tokio::join!(running, sending);
        match ended {
            Ok(outcome) => send_end(&outcome, rows, &clock).await,
            Err(_) => KernelState::Disconnected,
        }
    }
}

#[async_trait]
impl ContextKernel for ScriptedKernel {
    async fn run(&mut self, cell: &CellCode, rows: &RowSender) -> KernelState {
        self.count += 1;
        rows.send(&rows::execution_count(self.count)).await;
        let is_scripted = cell.code.lines().any(|line| line.trim_start().starts_with("#:"));
        if !is_scripted {
            let text = (self.unscripted)(&cell.code);
            if !text.is_empty() {
                rows.send(&rows::stdout(&text, self.clock.now())).await;
            }
            return KernelState::Idle;
        }
        let client = rows.clone();
        tokio::select! {
            biased;
            state = self.run_script(cell, rows) => state,
            // Dropping the run ends the program and keeps the variables, as an interrupt does.
            () = client.closed() => KernelState::Idle,
        }
    }
}

/// Sends what follows the events of a program that has ended.
async fn send_end(outcome: &Outcome, rows: &RowSender, clock: &WallClock) -> KernelState {
    match outcome.exit {
        Exit::Finished(0) | Exit::Raised | Exit::TimedOut => KernelState::Idle,
        Exit::Finished(code) => {
            let warning = "UserWarning: To exit: use 'exit', 'quit', or Ctrl-D.\n";
            rows.send(&rows::stderr(warning, clock.now())).await;
            let value = code.to_string();
            let traceback =
                format!("An exception has occurred, use %tb to see the full traceback.\n\nSystemExit: {value}\n");
            rows.send(&rows::error("SystemExit", &value, &traceback)).await;
            KernelState::Idle
        }
        Exit::OutOfMemory | Exit::Killed => KernelState::Dead,
    }
}

fn row(event: Event, clock: &WallClock) -> Option<Value> {
    Some(match event {
        Event::Stdout(text) => rows::stdout(&text, clock.now()),
        Event::Stderr(text) => rows::stderr(&text, clock.now()),
        Event::Error(failure) => rows::error(&failure.name, &failure.value, &failure.traceback),
        Event::Result { data, main } => {
            let representations = data.iter().map(|(mime, text)| (mime.as_str(), text.as_str()));
            let kind = if main { ResultKind::Main } else { ResultKind::Displayed };
            rows::result(representations, kind, TextForm::Final)
        }
        Event::Restart => return None,
    })
}
