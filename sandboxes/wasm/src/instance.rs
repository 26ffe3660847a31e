//! An instance of the guest: created, warmed up, then used for one program or as a kernel, and dropped.

use std::time::Duration;

use switchtower_contract::{
    Cell, CellOutcome, Change, Content, Effect, Escalation, Exit, Failure, Fault, KernelOptions, Limits, Need, Outcome,
    Program, Usage,
};
use switchtower_worker::output::SendEvent;
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::bindings::{self as wit, Ending, File, Sandbox};
use crate::engine::Images;
use crate::host::Host;
use crate::memory_use::MemoryUse;
use crate::run::{Cancel, Run, Stop};
use crate::wasi;

/// Runs in every instance before its program, and writes to the pages that most programs write to. Every instance runs
/// it, made ahead or not, so that all instances are identical to the last address.
const WARM_UP: &str = "import math\nfor i in range(3): print(f'{math.sqrt(i):.2f}')\n1+1";

/// Most bytes that internal code may print: the whole state of a kernel.
pub(crate) const MAX_INTERNAL_OUTPUT: u64 = 48 << 20;

/// An instance of a guest: of Python's or of JavaScript's.
pub(crate) trait Instance: Send {
    /// Runs the one program of this instance. Nothing else may run in it afterwards.
    fn run(
        &mut self,
        images: &Images,
        program: &Program,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<Outcome, Fault>;

    /// Runs a cell; with the first one this instance becomes a kernel. After a fault, or an outcome with `alive` false,
    /// nothing else may run in it.
    fn cell(
        &mut self,
        images: &Images,
        options: &KernelOptions,
        cell: &Cell,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<CellOutcome, Fault>;

    /// Runs internal code outside the kernel's names; its output goes to `send`.
    fn own(
        &mut self,
        images: &Images,
        code: &str,
        most: Duration,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<(), Fault>;
}

/// An instance of Python.
pub(crate) struct PythonInstance {
    store: Store<Host>,
    sandbox: Sandbox,
}

impl PythonInstance {
    pub(crate) fn fresh(images: &Images) -> wasmtime::Result<Self> {
        let mut store = Store::new(&images.engine, Host::new(wasi::context));
        store.limiter(|host| host);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            store.data().run.tick()?;
            Ok(UpdateDeadline::Continue(1))
        });
        let sandbox = images.python.instantiate(&mut store)?;
        let mut instance = Self { store, sandbox };
        instance.call(WARM_UP, &[])?;
        Ok(instance)
    }

    fn outcome(&self, ended: wasmtime::Result<Ending>, limits: &Limits, cpu: Duration) -> Result<Outcome, Fault> {
        let host = self.store.data();
        let mut run = host.run.lock();
        let exit = match ended {
            Ok(Ending::Finished(code)) => Exit::Finished(code),
            Ok(Ending::Raised(raised)) => {
                // A MemoryError with a message has other causes, such as the parser's own stack.
                let out_of_memory = raised.name == "MemoryError" && raised.value.is_empty();
                run.fail(Failure {
                    name: raised.name,
                    value: raised.value,
                    traceback: raised.traceback,
                    line: raised.line,
                });
                if out_of_memory { Exit::OutOfMemory } else { Exit::Raised }
            }
            Err(error) => stopped(&error, host.memory.was_denied(), limits)?,
        };
        run.output.flush();
        if run.output.has_address() {
            run.effects.add(Effect::Identity);
        }
        Ok(outcome(&mut run, &host.memory, exit, cpu))
    }

    fn call(&mut self, code: &str, files: &[File]) -> wasmtime::Result<Ending> {
        self.sandbox.call_execute(&mut self.store, code, files)
    }
}

impl Instance for PythonInstance {
    fn run(
        &mut self,
        images: &Images,
        program: &Program,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<Outcome, Fault> {
        let files: Vec<File> =
            program.files.iter().map(|f| File { path: f.path.clone(), content: f.content.clone() }).collect();
        let cpu = thread_cpu_time();
        self.store.data_mut().assign(program, limits, send, cancel);
        self.store.set_epoch_deadline(1);
        let ended = {
            let _ticking = images.ticking();
            self.call(&program.source, &files)
        };
        self.outcome(ended, limits, cpu)
    }

    fn cell(
        &mut self,
        images: &Images,
        options: &KernelOptions,
        cell: &Cell,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<CellOutcome, Fault> {
        let given = wit::Cell {
            code: cell.source.clone(),
            number: cell.number,
            environment: cell.env.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            folder: options.folder.clone(),
            has_stdin: cell.stdin.is_some(),
            changes: cell.changes.iter().map(to_guest).collect(),
        };
        let cpu = thread_cpu_time();
        self.store.data_mut().assign_cell(options, cell, limits, send, cancel);
        self.store.set_epoch_deadline(1);
        let left = {
            let _ticking = images.ticking();
            self.sandbox.call_run_cell(&mut self.store, &given)
        };
        let alive = left.is_ok();
        let (ended, changes) = match left {
            Ok(left) => (Ok(left.ending), left.changes.into_iter().map(from_guest).collect()),
            Err(error) => (Err(error), Vec::new()),
        };
        let outcome = self.outcome(ended, limits, cpu)?;
        // The channel of the cell is closed, and its inputs are dropped.
        let tape = std::mem::replace(&mut *self.store.data().run.lock(), Run::without_program()).tape();
        Ok(CellOutcome { outcome, changes, tape, alive })
    }

    fn own(
        &mut self,
        images: &Images,
        code: &str,
        most: Duration,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<(), Fault> {
        let limits = Limits { wall: most, memory: 0, output: MAX_INTERNAL_OUTPUT, escalation: Escalation::Never };
        self.store.data_mut().assign(&Program::python(""), &limits, send, cancel);
        self.store.set_epoch_deadline(1);
        let ended = {
            let _ticking = images.ticking();
            self.sandbox.call_run_internal(&mut self.store, code)
        };
        let mut run = std::mem::replace(&mut *self.store.data().run.lock(), Run::without_program());
        run.output.flush();
        match ended {
            Ok(Ending::Finished(_)) if !run.output.is_truncated() => Ok(()),
            Ok(Ending::Finished(_)) => Err(Fault::Unavailable { reason: "internal code printed too much".to_owned() }),
            Ok(Ending::Raised(raised)) => {
                Err(Fault::Unavailable { reason: format!("{}: {}", raised.name, raised.value) })
            }
            Err(error) => Err(Fault::Lost { reason: format!("{error:#}") }),
        }
    }
}

fn to_guest(change: &Change) -> wit::Change {
    let content = match &change.content {
        Content::File(content) => wit::Content::File(content.to_vec()),
        Content::Folder => wit::Content::Folder,
        Content::Removed => wit::Content::Removed,
    };
    wit::Change { path: change.path.clone(), content }
}

fn from_guest(change: wit::Change) -> Change {
    let content = match change.content {
        wit::Content::File(content) => Content::File(content.into()),
        wit::Content::Folder => Content::Folder,
        wit::Content::Removed => Content::Removed,
    };
    Change { path: change.path, content }
}

/// Returns the outcome of a run, whose output is complete.
pub(crate) fn outcome(run: &mut Run, memory: &MemoryUse, exit: Exit, cpu: Duration) -> Outcome {
    run.output.flush();
    Outcome {
        exit,
        observed: Some(run.effects),
        truncated: run.output.is_truncated(),
        usage: Usage {
            wall: run.real_time(),
            cpu: thread_cpu_time().saturating_sub(cpu),
            memory: memory.peak(),
            ..Usage::default()
        },
        unmet_need: run.unmet_need.take(),
    }
}

/// Returns the exit of a program that did not return.
pub(crate) fn stopped(error: &wasmtime::Error, denied_memory: bool, limits: &Limits) -> Result<Exit, Fault> {
    match error.downcast_ref::<Stop>() {
        Some(Stop::TimedOut) => return Ok(Exit::TimedOut),
        Some(Stop::Exited(code)) => return Ok(Exit::Finished(*code)),
        Some(Stop::Need(need)) => return Err(Fault::Unsupported(need.clone())),
        Some(Stop::Cancelled) => return Err(Fault::Lost { reason: "cancelled".into() }),
        None => {}
    }
    // `abort`, a fatal error of the interpreter, a stack overflow: it ended itself. The interpreter also aborts where
    // it cannot continue without memory.
    if denied_memory {
        return match limits.escalation {
            Escalation::OnNeed => Err(Fault::Unsupported(Need::Memory(limits.memory))),
            Escalation::Never => Ok(Exit::OutOfMemory),
        };
    }
    if error.downcast_ref::<Trap>().is_some() || error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() {
        return Ok(Exit::Killed);
    }
    Err(Fault::Unavailable { reason: format!("the engine failed: {error:#}") })
}

pub(crate) fn thread_cpu_time() -> Duration {
    clock_time(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the time of a clock of the host; zero if it has none.
#[allow(unsafe_code, reason = "clock_gettime has no safe wrapper in libc")]
pub(crate) fn clock_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local value.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
