//! The child's side: jailed, it waits for what it is to do, does it, and says how that ended.

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

use crate::child_protocol::{self, FromChild, RunEnd, ToChild};
use crate::interpreter::Interpreter;

/// The way to the worker, in a child.
static WORKER_SOCKET: OnceLock<WorkerSocket> = OnceLock::new();

struct WorkerSocket {
    socket: Mutex<UnixStream>,
    /// A need ends what runs.
    on_need: std::sync::atomic::AtomicBool,
}

/// Where standard input is for the moment in which it is given.
const INPUT: &str = "/tmp/.switchtower-input";
/// Why a child ends without having been given anything to do.
pub(crate) const NOT_JAILED: i32 = 120;

/// The rest of a child's life. `born` has been called, and the jail stands.
pub(crate) fn run(py: Python<'_>, interpreter: &Interpreter, socket: UnixStream) -> ! {
    let Ok(mut hears) = socket.try_clone() else { exit_now(1) };
    let worker = WorkerSocket { socket: Mutex::new(socket), on_need: false.into() };
    if WORKER_SOCKET.set(worker).is_err() {
        exit_now(1);
    }
    loop {
        // The lock is let go: nothing of Python's runs while nothing is asked.
        let given = py.detach(|| frames::read::<ToChild>(&mut hears));
        let Ok(given) = given else { exit_now(0) };
        if matches!(given, ToChild::WarmUp) {
            if interpreter.warm(py).is_err() {
                // The next child may fare better.
                exit_now(1);
            }
            continue;
        }
        let said = execute(py, interpreter, given).unwrap_or_else(|error| FromChild::Ended(failed(py, &error)));
        if send(&said).is_err() {
            // A program closed the way to the worker: then its end is all that can be seen of it.
            let FromChild::CellEnded { ending, .. } = said else { exit_now(1) };
            // Or it is longer than anything may be: what it did to files is left out.
            eprintln!("what the cell did to files is too much to be kept");
            if send(&FromChild::CellEnded { ending, changes: Vec::new() }).is_err() {
                exit_now(1);
            }
        }
        // The worker ends a program's child when it has heard this: it looks at what the child used first, and the end of
        // a process takes longer than most programs.
    }
}

fn execute(py: Python<'_>, interpreter: &Interpreter, given: ToChild) -> PyResult<FromChild> {
    match given {
        ToChild::WarmUp => Err(pyo3::exceptions::PyRuntimeError::new_err("nothing is said to that")),
        ToChild::Program { program, on_need } => {
            prepare(on_need, program.stdin.as_deref())?;
            observation::clear();
            let ended = interpreter.program(py, &program)?;
            send(&FromChild::Observed(observation::observed().map(effect).collect()))?;
            Ok(FromChild::Ended(ended))
        }
        ToChild::Cell { opening, cell, on_need } => {
            prepare(on_need, cell.stdin.as_deref())?;
            interpreter
                .cell(py, opening.as_ref(), &cell)
                .map(|(ending, changes)| FromChild::CellEnded { ending, changes })
        }
        ToChild::Internal(code) => {
            prepare(false, None)?;
            interpreter.own(py, &code).map(FromChild::Ended)
        }
    }
}

fn effect(noticed: observation::Observation) -> Effect {
    match noticed {
        observation::Observation::Clock => Effect::Clock,
        observation::Observation::Chance => Effect::Randomness,
        observation::Observation::Identity => Effect::Identity,
    }
}

fn prepare(on_need: bool, stdin: Option<&str>) -> io::Result<()> {
    if let Some(worker) = WORKER_SOCKET.get() {
        worker.on_need.store(on_need, std::sync::atomic::Ordering::Relaxed);
    }
    stdin.map_or(Ok(()), set_stdin)
}

/// Makes a text the standard input: a file of the child's own that has no name, since the jail counts those and knows no
/// other memory that can be read as one.
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

/// Our own Python failed: what the program did cannot be told any better.
fn failed(py: Python<'_>, error: &PyErr) -> RunEnd {
    let name = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    let value = error.value(py).to_string();
    let traceback = format!("{name}: {value}\n");
    RunEnd::Raised(switchtower_contract::Failure { name, value, traceback, line: None })
}

fn send(said: &FromChild) -> io::Result<()> {
    let Some(worker) = WORKER_SOCKET.get() else { return Ok(()) };
    let mut socket = worker.socket.lock().unwrap_or_else(PoisonError::into_inner);
    frames::write(&mut *socket, said)
}

/// Ends this process at once: nothing of the worker's is run or flushed a second time.
#[allow(unsafe_code, reason = "the end of a forked child")]
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// What the Python of ours asks of the host.
pub(crate) fn module<'py>(py: Python<'py>, canon: &str) -> PyResult<Bound<'py, PyModule>> {
    let module = PyModule::new(py, "_switchtower_host")?;
    module.add_function(wrap_pyfunction!(show, &module)?)?;
    module.add_function(wrap_pyfunction!(lack, &module)?)?;
    module.add_function(wrap_pyfunction!(leave, &module)?)?;
    module.add_function(wrap_pyfunction!(crate::audit_hook::watch, &module)?)?;
    module.add("_canon", canon)?;
    module.add_function(wrap_pyfunction!(self::canon, &module)?)?;
    Ok(module)
}

/// Shows a value, and waits until it has its place among what is printed.
#[pyfunction]
fn show(data: Vec<(String, String)>, main: bool) -> PyResult<()> {
    let Some(worker) = WORKER_SOCKET.get() else { return Ok(()) };
    let mut socket = worker.socket.lock().unwrap_or_else(PoisonError::into_inner);
    frames::write(&mut *socket, &FromChild::Show { data: child_protocol::bundle(data), main })?;
    let mut taken = [0];
    socket.read_exact(&mut taken)?;
    Ok(())
}

/// Names what is missing. It returns where no other tier stands ready.
#[pyfunction]
fn lack(what: &str, detail: String) -> PyResult<()> {
    let Some(worker) = WORKER_SOCKET.get() else { return Ok(()) };
    send(&FromChild::Need(child_protocol::need(what, detail)))?;
    while worker.on_need.load(std::sync::atomic::Ordering::Relaxed) {
        // The worker ends this process.
        std::thread::park();
    }
    Ok(())
}

/// The end of the process, as `os._exit` has it.
#[pyfunction]
fn leave(code: i32) {
    exit_now(code)
}

/// The text that makes digests of a session's state.
#[pyfunction]
#[pyo3(pass_module)]
fn canon(module: &Bound<'_, PyModule>) -> PyResult<String> {
    module.getattr("_canon")?.extract()
}
