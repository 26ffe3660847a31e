//! Scripted kernels: each cell is a script, and variables last until the kernel is restarted.

use std::time::Duration;

use async_trait::async_trait;

use super::random::Splitmix;
use super::run::{Run, Workspace};
use super::script::Script;
use super::{AfterInterrupt, Files, RunGuard, Scripted};
use crate::events::{Events, Output};
use crate::fault::Fault;
use crate::kernel::{Cell, CellOutcome, Kernel, KernelOptions, Tape};
use crate::language::Language;
use crate::limits::Limits;
use crate::outcome::{Exit, Outcome};
use crate::program::{Program, Randomness};

pub(super) struct ScriptedKernel {
    backend: Scripted,
    options: KernelOptions,
    workspace: Workspace,
    after_interrupt: AfterInterrupt,
    /// A cell is running, or was dropped while it ran.
    busy: bool,
    ended: bool,
}

impl ScriptedKernel {
    pub(super) fn open(
        backend: &Scripted,
        options: &KernelOptions,
        files: Files,
        after_interrupt: AfterInterrupt,
    ) -> Self {
        let mut state = backend.state();
        state.counts.kernels += 1;
        drop(state);
        let workspace = Workspace { files, ..Workspace::default() };
        Self {
            backend: backend.clone(),
            options: options.clone(),
            workspace,
            after_interrupt,
            busy: false,
            ended: false,
        }
    }

    fn check_alive(&self) -> Result<(), Fault> {
        let lost = self.ended || self.busy && self.after_interrupt == AfterInterrupt::Lost;
        if lost { Err(Fault::Lost { reason: "the kernel has ended, as scripted".to_owned() }) } else { Ok(()) }
    }

    async fn run_cell(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let is_machine = self.backend.settings.offer.machine;
        self.workspace.apply(&cell.changes);
        self.workspace.changes.clear();
        let tape = self.backend.settings.offer.replayable.then(|| cell.tape.clone().unwrap_or_else(|| self.new_tape()));
        let randomness = tape.as_ref().map_or(Randomness::Fresh, |tape| Randomness::Seeded(seed_of(tape)));
        let mut env = self.options.env.clone();
        env.extend(cell.env.clone());
        let program = Program {
            language: Language::default(),
            source: cell.source.clone(),
            stdin: cell.stdin.clone(),
            files: Vec::new(),
            env: Some(env),
            randomness,
        };
        let delay = self.backend.draw_between(&self.backend.settings.run_time);
        let script = Script::parse(&program.source);
        let run = Run::new(&self.backend, &mut self.workspace, &program, limits, events);
        let outcome = run.run(&script, delay).await?;
        let alive = match outcome.exit {
            Exit::Finished(_) | Exit::Raised => true,
            Exit::TimedOut => self.after_interrupt == AfterInterrupt::StateKept,
            Exit::OutOfMemory | Exit::Killed => false,
        };
        let changes = std::mem::take(&mut self.workspace.changes);
        Ok(CellOutcome { outcome, changes: if is_machine { Vec::new() } else { changes }, tape, alive })
    }

    fn new_tape(&self) -> Tape {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.backend.state().random.draw().to_le_bytes());
        Tape { seed, ..Tape::default() }
    }
}

/// A tape's seed, which gives clock readings too: a scripted tape lists none.
fn seed_of(tape: &Tape) -> u64 {
    let mut seed = [0; 8];
    seed.copy_from_slice(&tape.seed[..8]);
    Splitmix::new(u64::from_le_bytes(seed)).draw()
}

#[async_trait]
impl Kernel for ScriptedKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        self.check_alive()?;
        let _running = RunGuard::start(&self.backend);
        if let Some(fault) = self.backend.state().next_run.pop_front() {
            self.ended = true;
            return Err(fault);
        }
        self.busy = true;
        let ended = self.run_cell(cell, limits, events).await;
        self.busy = false;
        self.ended = !ended.as_ref().is_ok_and(|cell| cell.alive);
        ended
    }

    async fn run_internal(&mut self, code: &str, time_limit: Duration) -> Result<String, Fault> {
        self.check_alive()?;
        let (events, mut from) = Events::channel();
        let (program, limits) = (Program::python(code), Limits { wall: time_limit, ..Limits::default() });
        let mut workspace = Workspace { files: self.workspace.files.clone(), ..Workspace::default() };
        let run = Run::new(&self.backend, &mut workspace, &program, &limits, &events);
        let (script, mut output) = (Script::parse(code), Output::default());
        let mut run = std::pin::pin!(run.run(&script, Duration::ZERO));
        let ended: Result<Outcome, Fault> = loop {
            tokio::select! {
                biased;
                Some(event) = from.recv() => output.push(event),
                ended = &mut run => break ended,
            }
        };
        while let Ok(event) = from.try_recv() {
            output.push(event);
        }
        match ended?.exit {
            Exit::Finished(0) => Ok(output.stdout),
            exit => Err(Fault::Lost { reason: format!("internal code ended as {}", exit.name()) }),
        }
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.workspace.variables.clear();
        (self.busy, self.ended) = (false, false);
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }

    fn survives_interrupt(&self) -> bool {
        self.after_interrupt == AfterInterrupt::StateKept
    }
}

impl Drop for ScriptedKernel {
    fn drop(&mut self) {
        self.backend.state().counts.kernels -= 1;
    }
}
