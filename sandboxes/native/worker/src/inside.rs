//! The child's side: jailed, it waits for what it is to do, does it, and says how that ended.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyModule;
use switchtower_contract::Effect;
use switchtower_jail::notice;
use switchtower_worker::frames;

use crate::interpreter::Interpreter;
use crate::wire::{self, Ending, Given, Said};

/// The way to the worker, in a child.
static VOICE: OnceLock<Voice> = OnceLock::new();

struct Voice {
    socket: Mutex<UnixStream>,
    /// A need ends what runs.
    on_need: std::sync::atomic::AtomicBool,
}

/// Where standard input is for the moment in which it is given.
const INPUT: &str = "/tmp/.switchtower-input";
/// Why a child ends without having been given anything to do.
pub(crate) const NOT_JAILED: i32 = 120;

/// The rest of a child's life. `born` has been called, and the jail stands.
pub(crate) fn lives(py: Python<'_>, interpreter: &Interpreter, socket: UnixStream) -> ! {
    let Ok(mut hears) = socket.try_clone() else { leaves(1) };
    let voice = Voice { socket: Mutex::new(socket), on_need: false.into() };
    if VOICE.set(voice).is_err() {
        leaves(1);
    }
    loop {
        // The lock is let go: nothing of Python's runs while nothing is asked.
        let given = py.detach(|| frames::read::<Given>(&mut hears));
        let Ok(given) = given else { leaves(0) };
        if matches!(given, Given::Ahead) {
            if interpreter.warm(py).is_err() {
                // The next child may fare better.
                leaves(1);
            }
            continue;
        }
        let said = does(py, interpreter, given).unwrap_or_else(|error| Said::Ended(failed(py, &error)));
        if says(&said).is_err() {
            // A program closed the way to the worker: then its end is all that can be seen of it.
            let Said::Left { ending, .. } = said else { leaves(1) };
            // Or it is longer than anything may be: what it did to files is left out.
            eprintln!("what the cell did to files is too much to be kept");
            if says(&Said::Left { ending, changes: Vec::new() }).is_err() {
                leaves(1);
            }
        }
        // The worker ends a program's child when it has heard this: it looks at what the child used first, and the end of
        // a process takes longer than most programs.
    }
}

fn does(py: Python<'_>, interpreter: &Interpreter, given: Given) -> PyResult<Said> {
    match given {
        Given::Ahead => Err(pyo3::exceptions::PyRuntimeError::new_err("nothing is said to that")),
        Given::Program { program, on_need } => {
            begins(on_need, program.stdin.as_deref())?;
            notice::clear();
            let ended = interpreter.program(py, &program)?;
            says(&Said::Noticed(notice::noticed().map(effect).collect()))?;
            Ok(Said::Ended(ended))
        }
        Given::Cell { opening, cell, on_need } => {
            begins(on_need, cell.stdin.as_deref())?;
            interpreter.cell(py, opening.as_ref(), &cell).map(|(ending, changes)| Said::Left { ending, changes })
        }
        Given::Own(code) => {
            begins(false, None)?;
            interpreter.own(py, &code).map(Said::Ended)
        }
    }
}

fn effect(noticed: notice::Kind) -> Effect {
    match noticed {
        notice::Kind::Clock => Effect::Clock,
        notice::Kind::Chance => Effect::Chance,
        notice::Kind::Identity => Effect::Identity,
    }
}

fn begins(on_need: bool, stdin: Option<&str>) -> io::Result<()> {
    if let Some(voice) = VOICE.get() {
        voice.on_need.store(on_need, std::sync::atomic::Ordering::Relaxed);
    }
    stdin.map_or(Ok(()), reads)
}

/// Makes a text the standard input: a file of the child's own that has no name, since the jail counts those and knows no
/// other memory that can be read as one.
#[allow(unsafe_code, reason = "dup2 has no safe wrapper in std")]
fn reads(text: &str) -> io::Result<()> {
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
fn failed(py: Python<'_>, error: &PyErr) -> Ending {
    let name = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    let value = error.value(py).to_string();
    let traceback = format!("{name}: {value}\n");
    Ending::Raised(switchtower_contract::Failure { name, value, traceback, line: None })
}

fn says(said: &Said) -> io::Result<()> {
    let Some(voice) = VOICE.get() else { return Ok(()) };
    let mut socket = voice.socket.lock().unwrap_or_else(PoisonError::into_inner);
    frames::write(&mut *socket, said)
}

/// Ends this process at once: nothing of the worker's is run or flushed a second time.
#[allow(unsafe_code, reason = "the end of a forked child")]
pub(crate) fn leaves(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// What the Python of ours asks of the host.
pub(crate) fn module<'py>(py: Python<'py>, canon: &str) -> PyResult<Bound<'py, PyModule>> {
    let module = PyModule::new(py, "_switchtower_host")?;
    module.add_function(wrap_pyfunction!(show, &module)?)?;
    module.add_function(wrap_pyfunction!(lack, &module)?)?;
    module.add_function(wrap_pyfunction!(leave, &module)?)?;
    module.add_function(wrap_pyfunction!(crate::watch::watch, &module)?)?;
    module.add("_canon", canon)?;
    module.add_function(wrap_pyfunction!(self::canon, &module)?)?;
    Ok(module)
}

/// Shows a value, and waits until it has its place among what is printed.
#[pyfunction]
fn show(data: Vec<(String, String)>, main: bool) -> PyResult<()> {
    let Some(voice) = VOICE.get() else { return Ok(()) };
    let mut socket = voice.socket.lock().unwrap_or_else(PoisonError::into_inner);
    frames::write(&mut *socket, &Said::Show { data: wire::bundle(data), main })?;
    let mut taken = [0];
    socket.read_exact(&mut taken)?;
    Ok(())
}

/// Names what is missing. It returns where no other tier stands ready.
#[pyfunction]
fn lack(what: &str, detail: String) -> PyResult<()> {
    let Some(voice) = VOICE.get() else { return Ok(()) };
    says(&Said::Lacks(wire::need(what, detail)))?;
    while voice.on_need.load(std::sync::atomic::Ordering::Relaxed) {
        // The worker ends this process.
        std::thread::park();
    }
    Ok(())
}

/// The end of the process, as `os._exit` has it.
#[pyfunction]
fn leave(code: i32) {
    leaves(code)
}

/// The text that makes digests of a session's state.
#[pyfunction]
#[pyo3(pass_module)]
fn canon(module: &Bound<'_, PyModule>) -> PyResult<String> {
    module.getattr("_canon")?.extract()
}
