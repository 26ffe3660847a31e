//! The zygote: forks children ahead, one for each program; a kernel is a child that lives on from cell to cell.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use switchtower_contract::{
    Cell, Escalation, Event, Exit, Failure, Fault, KernelOptions, Limits, Need, Outcome, Program, Randomness,
};
use switchtower_jail::{Fork, Jail};
use switchtower_native::worker_config::WorkerConfig;
use switchtower_worker::frames::KernelNumber;
use switchtower_worker::output::OutputBuffer;

use crate::child::Child;
use crate::child_main;
use crate::child_protocol::ToChild;
use crate::connection::Connection;
use crate::interpreter::Interpreter;
use crate::pipes;
use crate::proc_table::ProcTable;
use crate::supervise::{ChildLimits, ChildRunKind, SuperviseContext, SupervisedRun};

/// How long the worker must be idle before it forks or warms up a child.
const IDLE_BEFORE_FORK: Duration = Duration::from_millis(1);

/// Most killed children that have not been reaped; a further one waits for the oldest.
const MAX_RETIRED: usize = 8;

/// The worker's engine: an interpreter in its jail and its children.
pub(crate) struct Zygote {
    jail: Jail,
    interpreter: Interpreter,
    processes: ProcTable,
    ready: VecDeque<Child>,
    prewarmed: usize,
    /// The last fork ahead did not fail, or a command has come since.
    pub(crate) may_fork: bool,
    /// Free memory has been released since the last command.
    pub(crate) has_released_memory: bool,
    /// Children that were killed and have not ended yet.
    retired: Vec<Child>,
    /// Idle kernels.
    pub(crate) kernels: HashMap<KernelNumber, Child>,
    /// Kernels in which a cell or internal code runs.
    pub(crate) busy_kernels: usize,
    max_kernels: usize,
    child_limits: ChildLimits,
}

/// What internal code printed in a kernel.
#[derive(Default)]
pub(crate) struct InternalOutput {
    text: String,
    failure: Option<Failure>,
}

impl Zygote {
    pub(crate) fn new(jail: Jail, interpreter: Interpreter, processes: ProcTable, settings: &WorkerConfig) -> Self {
        Self {
            jail,
            interpreter,
            processes,
            ready: VecDeque::new(),
            prewarmed: settings.prewarmed,
            may_fork: true,
            has_released_memory: false,
            retired: Vec::new(),
            kernels: HashMap::new(),
            busy_kernels: 0,
            max_kernels: settings.kernels,
            child_limits: ChildLimits {
                bytes: settings.scratch_bytes,
                entries: settings.scratch_entries,
                threads: settings.threads,
            },
        }
    }

    /// Returns the child that has waited longest, or a new one.
    fn child(&mut self) -> Result<Child, Fault> {
        while let Some(mut child) = self.ready.pop_front() {
            if child.is_waiting() {
                return Ok(child);
            }
        }
        self.fork().map_err(|error| Fault::Unavailable { reason: format!("no child can be forked: {error}") })
    }

    #[allow(unsafe_code, reason = "forking an interpreter")]
    fn fork(&self) -> io::Result<Child> {
        let (ours, theirs) = pipes::pipes()?;
        Python::attach(|py| {
            // SAFETY: this is the only thread; the interpreter's fork handlers run before and after, on both sides.
            let forked = unsafe {
                pyo3::ffi::PyOS_BeforeFork();
                let forked = self.jail.fork();
                match &forked {
                    Ok(Fork::Child) => pyo3::ffi::PyOS_AfterFork_Child(),
                    Ok(Fork::Parent(_)) | Err(_) => pyo3::ffi::PyOS_AfterFork_Parent(),
                }
                forked
            };
            match forked? {
                Fork::Parent(forked) => Ok(Child::new(forked, ours)),
                Fork::Child => {
                    drop(ours);
                    self.enter_child(py, theirs)
                }
            }
        })
    }

    /// Runs a new child: installs its descriptors, enters its jail, prepares its interpreter.
    fn enter_child(&self, py: Python<'_>, theirs: pipes::ChildEnds) -> ! {
        let entered = theirs.install().map_err(|error| error.to_string()).and_then(|socket| {
            self.jail.enter_child().map_err(|error| error.to_string())?;
            self.interpreter.born(py).map_err(|error| error.to_string())?;
            Ok(socket)
        });
        match entered {
            Ok(socket) => child_main::run(py, &self.interpreter, socket),
            Err(reason) => {
                eprintln!("{reason}");
                child_main::exit_now(child_main::NOT_JAILED)
            }
        }
    }

    pub(crate) fn context(&self) -> SuperviseContext<'_> {
        SuperviseContext { processes: &self.processes, child_limits: self.child_limits }
    }

    /// # Errors
    /// There is no child to run it, or this tier cannot run it.
    pub(crate) fn start_program(
        &mut self,
        program: Program,
        limits: Limits,
        connection: &Connection,
    ) -> Result<SupervisedRun, Fault> {
        if matches!(program.randomness, Randomness::Seeded(_)) {
            let what = "a seeded clock and random numbers".to_owned();
            return Err(Fault::Unsupported(Need::Language(what)));
        }
        let mut child = self.child()?;
        let processor = limits.wall.as_secs() + 2;
        let given = ToChild::Program { program, on_need: limits.escalation == Escalation::OnNeed };
        let assigned =
            child.forked().limit(limits.memory, Some(processor)).and_then(|()| child.assign(&given, &self.processes));
        if let Err(error) = assigned {
            let reason = format!("a child ended before its run: {error}");
            return Err(Fault::Unavailable { reason });
        }
        let output = OutputBuffer::open(connection.reports().sending(), limits.output);
        Ok(SupervisedRun::new(child, ChildRunKind::Program, limits, output))
    }

    /// Kills a child without waiting for its end, which takes longer than most programs run.
    pub(crate) fn retire(&mut self, child: Child) {
        child.kill();
        self.retired.push(child);
        if self.retired.len() > MAX_RETIRED {
            // Dropping one waits for it.
            self.retired.remove(0);
        }
    }

    /// Drops the children that have ended, which removes their files.
    fn reap(&mut self) {
        self.retired.retain_mut(|child| !matches!(child.ended(), Ok(Some(_)) | Err(_)));
    }

    /// # Errors
    /// The kernel has ended, or the worker has the maximum of kernels.
    pub(crate) fn start_cell(
        &mut self,
        number: KernelNumber,
        options: Option<KernelOptions>,
        cell: Cell,
        limits: Limits,
        connection: &Connection,
    ) -> Result<SupervisedRun, Fault> {
        let mut child = match (self.kernels.remove(&number), &options) {
            (Some(child), None) => child,
            (_, Some(_)) if self.kernels.len() + self.busy_kernels >= self.max_kernels => {
                let reason = format!("this worker has {} kernels, the maximum", self.max_kernels);
                return Err(Fault::Refused { reason, retry_after: None });
            }
            (_, Some(_)) => {
                let child = self.child()?;
                let limited = child.forked().limit(limits.memory, None);
                limited.map_err(|error| Fault::Unavailable { reason: format!("a child has ended: {error}") })?;
                child
            }
            (None, None) => return Err(Fault::Lost { reason: "the kernel has ended".to_owned() }),
        };
        child.signal(libc::SIGCONT);
        let given = ToChild::Cell { options, cell, on_need: limits.escalation == Escalation::OnNeed };
        if let Err(error) = child.assign(&given, &self.processes) {
            self.retire(child);
            return Err(Fault::Lost { reason: format!("the kernel has ended: {error}") });
        }
        let output = OutputBuffer::open(connection.reports().sending(), limits.output);
        Ok(SupervisedRun::new(child, ChildRunKind::Cell, limits, output))
    }

    /// Returns a kernel after a cell. It is stopped between its cells, so that threads that it left use no processor time.
    pub(crate) fn return_kernel(&mut self, number: KernelNumber, child: Child, alive: bool) {
        self.busy_kernels -= 1;
        if alive {
            child.signal(libc::SIGSTOP);
            self.kernels.insert(number, child);
        } else {
            self.retire(child);
        }
    }

    /// Starts internal code in a kernel. Returns the run and where its output is collected.
    ///
    /// # Errors
    /// The kernel has ended.
    pub(crate) fn start_internal(
        &mut self,
        number: KernelNumber,
        code: String,
        most: Duration,
    ) -> Result<(SupervisedRun, Arc<Mutex<InternalOutput>>), Fault> {
        let gone = || Fault::Lost { reason: "the kernel has ended".to_owned() };
        let mut child = self.kernels.remove(&number).ok_or_else(gone)?;
        child.signal(libc::SIGCONT);
        if child.assign(&ToChild::Internal(code), &self.processes).is_err() {
            self.retire(child);
            return Err(gone());
        }
        let limits = Limits { wall: most, output: u64::MAX, ..Limits::default() };
        let printed = Arc::<Mutex<InternalOutput>>::default();
        let collected = Arc::clone(&printed);
        let output = OutputBuffer::open(
            Box::new(move |event| {
                let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    Event::Stdout(text) => collected.text.push_str(&text),
                    Event::Error(failure) => collected.failure = Some(failure),
                    _ => {}
                }
                true
            }),
            limits.output,
        );
        Ok((SupervisedRun::new(child, ChildRunKind::Internal, limits, output), printed))
    }

    /// Returns how long to wait before the next preparation; `None` where there is nothing to prepare.
    pub(crate) fn preparation_pause(&self) -> Option<Duration> {
        let is_full = self.ready.len() >= self.prewarmed;
        let prepares = if is_full { self.ready.front().is_some_and(Child::is_unwarmed) } else { self.may_fork };
        (prepares || !self.retired.is_empty()).then_some(IDLE_BEFORE_FORK)
    }

    /// Does one step of preparation: forks a child ahead, or warms up the next one.
    pub(crate) fn prepare(&mut self) {
        self.reap();
        if self.ready.len() < self.prewarmed {
            if self.may_fork {
                // A command that needs a child tries again, and reports the error.
                match self.fork() {
                    Ok(child) => self.ready.push_back(child),
                    Err(_) => self.may_fork = false,
                }
            }
        } else if let Some(child) = self.ready.front_mut() {
            child.warm_up();
        }
    }
}

impl InternalOutput {
    /// Returns what the internal code printed, where it ran to its end.
    pub(crate) fn evaluate(self, outcome: &Outcome, alive: bool) -> Result<String, Fault> {
        match self.failure {
            Some(failure) => Err(Fault::Lost { reason: format!("{}: {}", failure.name, failure.value) }),
            None if matches!(outcome.exit, Exit::Finished(_)) && alive => Ok(self.text),
            None => {
                let how = outcome.exit.name();
                Err(Fault::Lost { reason: format!("internal code did not finish ({how})") })
            }
        }
    }
}
