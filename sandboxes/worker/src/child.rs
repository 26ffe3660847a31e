//! The worker's side: reads commands from the socket on descriptor 0, one program at a time, and from the connections
//! that were sent over it, one cell at a time on each.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use switchtower_contract::{Cell, CellOutcome, Event, Fault, KernelOptions, Language, Limits, Outcome, Program};

use crate::descriptors;
use crate::frames::{self, KernelNumber, WorkerCommand, WorkerReport};
use crate::jail::{self, Layer};
use crate::memory;
use crate::parent::ParentProcess;
use crate::protocol::{self, Started};
use crate::signals;

/// Runs programs and cells in a worker.
pub trait Engine {
    /// Runs a program to its end and reports what it prints, and at last [`program_ended`](Reporter::program_ended).
    /// The call may clean up after that. It looks at `cancel` from time to time.
    fn run(&mut self, program: Program, limits: Limits, reporter: &Reporter, cancel: Cancel);

    /// Runs a cell in this kernel, which it creates where options are given. The last report is
    /// [`cell_ended`](Reporter::cell_ended).
    fn run_cell(&mut self, kernel: KernelNumber, cell: CellToRun, limits: Limits, reporter: &Reporter, cancel: Cancel);

    /// Runs internal code in a kernel, outside the program's names. The last report is
    /// [`internal_output`](Reporter::internal_output): what the code printed.
    fn run_internal(
        &mut self,
        kernel: KernelNumber,
        code: &str,
        max_time: Duration,
        reporter: &Reporter,
        cancel: Cancel,
    );

    /// Ends a kernel.
    fn close_kernel(&mut self, kernel: KernelNumber);
}

/// A cell, with the options of its kernel where that is to be created.
pub struct CellToRun {
    /// The kernel's.
    pub language: Language,
    pub options: Option<KernelOptions>,
    pub cell: Cell,
}

/// Whether the running program is to be ended: the parent has sent a frame or closed the connection. While a program
/// runs it sends only a cancellation.
pub struct Cancel(Arc<UnixStream>);

impl Cancel {
    pub fn is_set(&self) -> bool {
        has_input_or_eof(&self.0)
    }
}

/// Returns whether bytes from the parent can be read, or its end of the connection is closed.
pub fn has_input_or_eof(parent: &UnixStream) -> bool {
    // An error (EAGAIN) means that no byte has arrived yet.
    recv(parent, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_ok()
}

/// Sends reports to the parent on one connection. A clone uses the same one.
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<Arc<UnixStream>>>);

impl Reporter {
    fn new(parent: &Arc<UnixStream>) -> Self {
        Self(Arc::new(Mutex::new(Arc::clone(parent))))
    }

    /// Sends an event. Returns false where the parent has closed the connection; so do the methods below.
    pub fn event(&self, event: Event) -> bool {
        self.report(&WorkerReport::Event(event))
    }

    /// Sends the last report of a program.
    pub fn program_ended(&self, ended: Result<Outcome, Fault>) -> bool {
        self.report(&WorkerReport::ProgramEnded(ended))
    }

    /// Sends the last report of a cell.
    pub fn cell_ended(&self, ended: Result<CellOutcome, Fault>) -> bool {
        self.report(&WorkerReport::CellEnded(ended))
    }

    /// Sends the last report of internal code: what it printed.
    pub fn internal_output(&self, printed: Result<String, Fault>) -> bool {
        self.report(&WorkerReport::InternalOutput(printed))
    }

    /// Sends the ready report, which is the first frame of a worker.
    fn started(&self, started: &Started) -> bool {
        self.send(protocol::encode(started).and_then(|bytes| frames::with_prefix(&bytes)))
    }

    fn report(&self, report: &WorkerReport) -> bool {
        self.send(frames::encode_report(report))
    }

    fn send(&self, frame: io::Result<Vec<u8>>) -> bool {
        // The lock is held during a blocking write on purpose: frames of two threads must not mix.
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frame.and_then(|frame| (&**socket).write_all(&frame)).is_ok()
    }
}

/// The connections of a worker to its parent.
pub struct Parent {
    /// The connection on descriptor 0.
    first: Arc<UnixStream>,
    /// The connections that were sent over it, which cells run on.
    connections: Vec<Arc<UnixStream>>,
    reporter: Reporter,
    process: ParentProcess,
}

impl Parent {
    /// Takes the connections over, makes this process end with its parent, and closes all other inherited descriptors.
    /// Call it first of all: until then this process may outlive the parent.
    ///
    /// # Errors
    /// This process was not started as a worker, or the parent has ended already.
    pub fn connect() -> io::Result<Self> {
        let first = parent_socket()?;
        let process = ParentProcess::of_socket(&first)?;
        process.bind()?;
        close_inherited();
        let first = Arc::new(move_from_stdin(first)?);
        let connections =
            descriptors::receive(first.as_fd())?.into_iter().map(|connection| Arc::new(connection.into())).collect();
        let reporter = Reporter::new(&first);
        Ok(Self { first, connections, reporter, process })
    }

    /// Reports that the worker is ready. Returns the connections that commands come on, the first of them first.
    pub fn ready(self, layers: Vec<Layer>) -> Vec<Arc<UnixStream>> {
        self.reporter.started(&Ok(layers));
        [self.first].into_iter().chain(self.connections).collect()
    }

    /// Reports why the worker cannot start, and returns that as an error.
    pub fn fail(self, reason: String) -> io::Error {
        self.reporter.started(&Err(reason.clone()));
        io::Error::other(reason)
    }
}

/// Runs a worker whose engine has threads, until the parent closes the first connection. `prepare` opens what is needed
/// for the given number of connections for cells; then the process enters its jail; then `begin` makes the engine
/// (threads start here, and inherit the jail); then commands are read, on a thread for each connection. `stack`: bytes
/// of stack for each of these threads.
///
/// # Errors
/// A step failed. The reason has been reported to the parent.
pub fn serve<P, E: Engine + Clone + Send + 'static>(
    stack: usize,
    prepare: impl FnOnce(usize) -> Result<P, String>,
    begin: impl FnOnce(P) -> Result<E, String>,
) -> io::Result<()> {
    let Parent { first, connections, reporter, process } = Parent::connect()?;
    signals::ignore_ending();
    let started = prepare(connections.len())
        .and_then(|prepared| jail::enter(process).map(|layers| (prepared, layers)).map_err(|e| e.to_string()))
        .and_then(|(prepared, layers)| begin(prepared).map(|engine| (engine, layers)))
        .and_then(|(engine, layers)| {
            let runner = |parent: Arc<UnixStream>| {
                let (engine, reporter) = (engine.clone(), Reporter::new(&parent));
                // The thread that reads a command runs it: a hand-over to another would cost a wake-up.
                let work = move || serve_commands(&parent, &reporter, engine);
                std::thread::Builder::new().name("runner".into()).stack_size(stack).spawn(work)
            };
            // A thread that panics closes its connection, and the parent ends the process.
            let others = connections.into_iter().map(runner).collect::<io::Result<Vec<_>>>();
            let thread = others.and_then(|_others| runner(first));
            thread.map(|thread| (thread, layers)).map_err(|e| e.to_string())
        });
    match started {
        Ok((thread, layers)) => {
            reporter.started(&Ok(layers));
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the runner panicked")))
        }
        Err(reason) => {
            reporter.started(&Err(reason.clone()));
            Err(io::Error::other(reason))
        }
    }
}

fn serve_commands(parent: &Arc<UnixStream>, reporter: &Reporter, mut engine: impl Engine) -> io::Result<()> {
    let cancel = || Cancel(Arc::clone(parent));
    loop {
        memory::release_while_idle(parent.as_fd());
        match frames::read(&mut &**parent) {
            Ok(WorkerCommand::RunProgram { program, limits }) => engine.run(program, limits, reporter, cancel()),
            Ok(WorkerCommand::RunCell { kernel, language, options, cell, limits }) => {
                engine.run_cell(kernel, CellToRun { language, options, cell }, limits, reporter, cancel());
            }
            Ok(WorkerCommand::RunInternal { kernel, code, max_time }) => {
                engine.run_internal(kernel, &code, max_time, reporter, cancel());
            }
            Ok(WorkerCommand::CloseKernel { kernel }) => {
                engine.close_kernel(kernel);
                reporter.report(&WorkerReport::KernelClosed);
            }
            // The program that it was for has ended by itself.
            Ok(WorkerCommand::Cancel) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

#[allow(unsafe_code, reason = "descriptor 0 is taken over")]
fn parent_socket() -> io::Result<UnixStream> {
    // SAFETY: descriptor 0 is the socket that the parent gave, and nothing else in this process uses standard input.
    let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    // Fails if descriptor 0 is no socket because the worker was started by hand.
    socket.local_addr()?;
    Ok(socket)
}

/// Puts /dev/null in the place of standard input: a process that is forked from a worker would find the commands of its
/// parent there, and could answer them.
fn move_from_stdin(socket: UnixStream) -> io::Result<UnixStream> {
    let moved = socket.try_clone()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // Descriptor 0 stays open from here on, and nothing owns it.
    let _stdin = socket.into_raw_fd();
    Ok(moved)
}

/// Closes all inherited descriptors but the standard three.
#[allow(unsafe_code, reason = "close_range has no safe wrapper in libc")]
fn close_inherited() {
    // SAFETY: nothing has been opened yet in this process but the standard three. A kernel without the call refuses it:
    // then only descriptors that were not marked close-on-exec remain, and the parent marks all of its own.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
}
