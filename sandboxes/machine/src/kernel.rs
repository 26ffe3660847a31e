//! A kernel of a machine.

use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Cell, CellOutcome, Events, Exit, Fault, Kernel, KernelOptions, Language, Limits};
use switchtower_typescript::Imports;
use tokio::time::{Instant, timeout_at};

use crate::channel::CommandEnd;
use crate::files;
use crate::kernel_process::{KernelProcess, Operation, RunEnd};
use crate::language::HOME;
use crate::output::RunOutput;
use crate::shared::SharedInstance;
use crate::translate::Code;

/// Most bytes that code of Switchtower's own prints.
const INTERNAL_OUTPUT: u64 = 512 << 20;
/// The end of a process whose messages cannot be read: it is killed.
const KILLED: RunEnd = RunEnd::Process(CommandEnd::Signal(9));

/// A kernel: a process of its own in the machine. When it ends, the next cell starts another one, as a notebook does.
pub(crate) struct MachineKernel {
    machine: SharedInstance,
    language: Language,
    options: KernelOptions,
    /// `None`: it starts with the next cell.
    process: Option<KernelProcess>,
    /// Whether the process has the options.
    has_options: bool,
    /// Whether a process with the values of cells is gone and no answer has said so.
    is_state_lost: bool,
}

/// Interrupts the running code when its future is dropped.
struct InterruptGuard<I: Fn()>(Option<I>);

impl<I: Fn()> Drop for InterruptGuard<I> {
    fn drop(&mut self) {
        if let Some(interrupt) = &self.0 {
            interrupt();
        }
    }
}

impl MachineKernel {
    pub(crate) async fn open(
        machine: SharedInstance,
        language: Language,
        options: KernelOptions,
    ) -> Result<Self, Fault> {
        let mut kernel = Self { machine, language, options, process: None, has_options: false, is_state_lost: false };
        kernel.ensure_started().await?;
        Ok(kernel)
    }

    async fn ensure_started(&mut self) -> Result<(), Fault> {
        if self.process.is_some() {
            return Ok(());
        }
        let client = self.machine.client()?;
        let folder = self.options.folder.as_deref();
        if let Some(folder) = folder.filter(|folder| *folder != HOME) {
            // Where it cannot be made, the start of the process says so.
            let _ = files::make_folder(&client, folder).await?;
        }
        self.process = Some(KernelProcess::start(&client, self.language, &self.options.env, folder).await?);
        self.has_options = false;
        Ok(())
    }

    /// Runs code until its end. After a process that is gone, the next one starts anew.
    async fn execute(
        &mut self,
        operation: &Operation<'_>,
        deadline: Instant,
        output: &mut RunOutput<'_>,
    ) -> Result<RunEnd, Fault> {
        let Some(process) = self.process.take() else {
            return Err(Fault::Unavailable { reason: "no kernel".into() });
        };
        let mut guard = InterruptGuard(Some(process.interrupter()));
        // Put back while it runs, so that it survives when this future is dropped.
        let running = self.process.insert(process);
        let end = running.execute(operation, deadline, output).await;
        guard.0 = None;
        if !matches!(end, Ok(RunEnd::Code(_) | RunEnd::Interrupted)) {
            self.process = None;
        }
        end
    }
}

#[async_trait]
impl Kernel for MachineKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let before = self.machine.usage()?;
        // The cell's time includes everything before it starts.
        let deadline = Instant::now() + limits.wall;
        let ready = async {
            self.ensure_started().await?;
            files::apply(&self.machine.client()?, &cell.changes).await
        };
        let late = || Fault::Unavailable { reason: "the kernel was not ready in time".to_owned() };
        timeout_at(deadline, ready).await.unwrap_or_else(|_| Err(late()))?;
        if std::mem::take(&mut self.is_state_lost) {
            // The cell would miss the names of those before it.
            let outcome = self.machine.outcome(KILLED, &before, false, None);
            return Ok(CellOutcome { outcome, changes: Vec::new(), tape: None, alive: false });
        }
        let mut output = RunOutput::new(events, limits.output);
        let code = match Code::of(self.language, &cell.source, Imports::All) {
            Ok(code) => code,
            Err(failure) => {
                output.fail(failure).await;
                let outcome = self.machine.outcome(RunEnd::Code(Exit::Raised), &before, false, None);
                return Ok(CellOutcome { outcome, changes: Vec::new(), tape: None, alive: true });
            }
        };
        let source = code.text().to_owned();
        output.set_translated(code.into_translated());
        let options = (!self.has_options).then(|| self.options.clone());
        self.has_options = true;
        let operation = Operation::Cell {
            source: &source,
            number: cell.number,
            env: &cell.env,
            stdin: cell.stdin.as_deref(),
            options: options.as_ref(),
        };
        let end = self.execute(&operation, deadline, &mut output).await;
        let (end, alive) = match self.machine.end_of(end, &before).await {
            // The program broke what its kernel says to the host. That a new process starts shows that the machine is there.
            Err(Fault::Lost { .. }) if self.ensure_started().await.is_ok() => (KILLED, false),
            end => (end?, self.process.is_some()),
        };
        if self.language == Language::Bash {
            // As E2B's kernel, which sends whole lines.
            output.end_line().await;
        }
        let truncated = output.finish().await;
        let outcome = self.machine.outcome(end, &before, truncated, output.unmet_need());
        // Without its process, the state is gone.
        Ok(CellOutcome { outcome, changes: Vec::new(), tape: None, alive })
    }

    async fn run_internal(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        self.ensure_started().await?;
        let options = (!std::mem::replace(&mut self.has_options, true)).then(|| self.options.clone());
        let (events, mut from) = Events::channel();
        let printed = async {
            let mut text = String::new();
            let mut failure = None;
            while let Some(event) = from.recv().await {
                match event {
                    switchtower_contract::Event::Stdout(piece) => text.push_str(&piece),
                    switchtower_contract::Event::Error(raised) => failure = Some(raised),
                    _ => {}
                }
            }
            (text, failure)
        };
        let run = async {
            let events = events;
            let mut output = RunOutput::new(&events, INTERNAL_OUTPUT);
            let end = {
                let operation = Operation::Internal { code, options: options.as_ref() };
                self.execute(&operation, Instant::now() + most, &mut output).await
            };
            output.finish().await;
            end
        };
        let (end, (text, failure)) = tokio::join!(run, printed);
        self.is_state_lost |= self.process.is_none();
        match (end?, failure) {
            (RunEnd::Code(_), None) => Ok(text),
            (RunEnd::Code(_), Some(failure)) => {
                let reason = format!("internal code raised {}: {}", failure.name, failure.value);
                Err(Fault::Refused { reason, retry_after: None })
            }
            (RunEnd::Interrupted | RunEnd::TimedOut, _) => {
                Err(Fault::Unavailable { reason: "internal code did not end in time".to_owned() })
            }
            (RunEnd::Process(_), _) => Err(Fault::Lost { reason: "the kernel ended in internal code".to_owned() }),
        }
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.process = None;
        self.is_state_lost = false;
        self.ensure_started().await
    }

    fn survives_interrupt(&self) -> bool {
        true
    }
}
