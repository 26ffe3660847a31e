//! The main loop of a jailed child: reads a message, runs it, and reports how it ended.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyModule;
use switchtower_contract::Effect;
use switchtower_jail::observation;
use switchtower_worker::frames;

use crate::child_protocol::{self, ChildRunEnd, FromChild, ToChild};
use crate::interpreter::Interpreter;

/// The socket to the worker, in a child.
static WORKER_SOCKET: OnceLock<WorkerSocket> = OnceLock::new();

struct WorkerSocket {
    socket: Mutex<UnixStream>,
    /// A need ends the run.
    on_need: std::sync::atomic::AtomicBool,
}

/// A temporary path of standard input.
const INPUT: &str = "/tmp/.switchtower-input";
/// The exit code of a child that could not enter its jail.
pub(crate) const NOT_JAILED: i32 = 120;

/// Runs a child until the worker closes its socket. The child has entered its jail.
pub(crate) fn run(py: Python<'_>, interpreter: &Interpreter, socket: UnixStream) -> ! {
    let Ok(mut commands) = socket.try_clone() else { exit_now(1) };
    let worker = WorkerSocket { socket: Mutex::new(socket), on_need: false.into() };
    if WORKER_SOCKET.set(worker).is_err() {
        exit_now(1);
    }
    loop {
        // Releases the interpreter's lock: no Python code runs between messages.
        let message = py.detach(|| frames::read::<ToChild>(&mut commands));
        let Ok(message) = message else { exit_now(0) };
        if matches!(message, ToChild::WarmUp) {
            if interpreter.warm(py).is_err() {
                // The worker takes another child.
                exit_now(1);
            }
            continue;
        }
        let report = execute(py, interpreter, message).unwrap_or_else(|error| FromChild::Ended(failed(py, &error)));
        if send(&report).is_err() {
            // A program closed the socket: then only the end of the process can be observed.
            let FromChild::CellEnded { ending, .. } = report else { exit_now(1) };
            // Or the report is too long for a frame: the changes of files are left out.
            eprintln!("the cell changed more in files than can be reported");
            if send(&FromChild::CellEnded { ending, changes: Vec::new() }).is_err() {
                exit_now(1);
            }
        }
        // The worker kills a program's child after this report: it reads the usage of the child first, and the end of a
        // process takes longer than most programs.
    }
}

fn execute(py: Python<'_>, interpreter: &Interpreter, message: ToChild) -> PyResult<FromChild> {
    match message {
        ToChild::WarmUp => Err(pyo3::exceptions::PyRuntimeError::new_err("this message has no answer")),
        ToChild::Program { program, on_need } => {
            prepare(on_need, program.stdin.as_deref())?;
            observation::clear();
            let ended = interpreter.program(py, &program)?;
            send(&FromChild::Observed(observation::observed().map(effect).collect()))?;
            Ok(FromChild::Ended(ended))
        }
        ToChild::Cell { options, cell, on_need } => {
            prepare(on_need, cell.stdin.as_deref())?;
            interpreter
                .cell(py, options.as_ref(), &cell)
                .map(|(ending, changes)| FromChild::CellEnded { ending, changes })
        }
        ToChild::Internal(code) => {
            prepare(false, None)?;
            interpreter.own(py, &code).map(FromChild::Ended)
        }
    }
}

fn effect(observed: observation::Observation) -> Effect {
    match observed {
        observation::Observation::Clock => Effect::Clock,
        observation::Observation::Randomness => Effect::Randomness,
        observation::Observation::Identity => Effect::Identity,
    }
}

fn prepare(on_need: bool, stdin: Option<&str>) -> io::Result<()> {
    if let Some(worker) = WORKER_SOCKET.get() {
        worker.on_need.store(on_need, std::sync::atomic::Ordering::Relaxed);
    }
    stdin.map_or(Ok(()), set_stdin)
}

/// Makes a text the standard input: an unnamed private file, which counts against the limit of files.
#[allow(unsafe_code, reason = "dup2 has no safe wrapper in std")]
fn set_stdin(text: &str) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).create_new(true).open(INPUT)?;
    std::fs::remove_file(INPUT)?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    // SAFETY: it takes numbers, and the descriptor is open.
    if unsafe { libc::dup2(file.as_raw_fd(), 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reports an exception in the runtime's own Python as that of the program.
fn failed(py: Python<'_>, error: &PyErr) -> ChildRunEnd {
    let name = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    let value = error.value(py).to_string();
    let traceback = format!("{name}: {value}\n");
    ChildRunEnd::Raised(switchtower_contract::Failure { name, value, traceback, line: None })
}

fn send(report: &FromChild) -> io::Result<()> {
    let Some(worker) = WORKER_SOCKET.get() else { return Ok(()) };
    let mut socket = worker.socket.lock().unwrap_or_else(PoisonError::into_inner);
    frames::write(&mut *socket, report)
}

/// Ends this process at once, without the exit handlers and buffers that it inherited from the worker.
#[allow(unsafe_code, reason = "the end of a forked child")]
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// Returns the module by which the runtime's Python calls the host.
pub(crate) fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let module = PyModule::new(py, "_switchtower_host")?;
    module.add_function(wrap_pyfunction!(show, &module)?)?;
    module.add_function(wrap_pyfunction!(report_need, &module)?)?;
    module.add_function(wrap_pyfunction!(leave, &module)?)?;
    module.add_function(wrap_pyfunction!(crate::audit_hook::add_audit_hook, &module)?)?;
    Ok(module)
}

/// Shows a value, and waits until the worker has confirmed it.
#[pyfunction]
fn show(data: Vec<(String, String)>, main: bool) -> PyResult<()> {
    let Some(worker) = WORKER_SOCKET.get() else { return Ok(()) };
    let mut socket = worker.socket.lock().unwrap_or_else(PoisonError::into_inner);
    frames::write(&mut *socket, &FromChild::Show { data: child_protocol::bundle(data), main })?;
    let mut taken = [0];
    socket.read_exact(&mut taken)?;
    Ok(())
}

fn unknown(need: &str) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(format!("there is no need {need}"))
}

/// Reports a need. Does not return where another tier is available.
#[pyfunction]
fn report_need(what: &str, detail: String) -> PyResult<()> {
    let Some(worker) = WORKER_SOCKET.get() else { return Ok(()) };
    send(&FromChild::Need(child_protocol::need(what, detail).ok_or_else(|| unknown(what))?))?;
    while worker.on_need.load(std::sync::atomic::Ordering::Relaxed) {
        // The worker ends this process.
        std::thread::park();
    }
    Ok(())
}

/// Ends the process, as `os._exit` does.
#[pyfunction]
fn leave(code: i32) {
    exit_now(code)
}
