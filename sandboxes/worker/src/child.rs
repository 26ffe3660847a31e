//! The worker's side: takes orders on descriptor 0, one program at a time, and on the connections that come over it, one
//! cell at a time on each.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_contract::{Cell, Event, Fault, Limits, Opening, Outcome, Program, Ran};

use crate::descriptors;
use crate::frames::{self, Number, Order, Report};
use crate::jail::{self, Layer};
use crate::memory;
use crate::parent::ParentProcess;
use crate::protocol::{self, Started};

/// What runs programs in a worker.
pub trait Engine {
    /// Runs a program to its end. The reporter is told everything, `done` last; the call may go on after that to clear
    /// away. `cancel` is looked at now and then.
    fn run(&mut self, program: Program, limits: Limits, reporter: &Reporter, cancel: Cancel);

    /// Runs a cell in the kernel of this number; it is made where an opening is given. The report, `ran`, comes last.
    fn cell(&mut self, kernel: Number, cell: OpenedCell, limits: Limits, reporter: &Reporter, cancel: Cancel);

    /// What code of the parent's own prints beside a kernel's names. The report, `printed`, comes last.
    fn own(&mut self, kernel: Number, code: &str, most: Duration, reporter: &Reporter, cancel: Cancel);

    /// Gives a kernel up.
    fn forget(&mut self, kernel: Number);
}

/// A cell, with the opening of its kernel where that is a new one.
pub struct OpenedCell {
    pub opening: Option<Opening>,
    pub cell: Cell,
}

/// Whether the program that runs is to be ended: the parent has said something, or is gone. While a program runs it has
/// nothing else to say.
pub struct Cancel(Arc<UnixStream>);

impl Cancel {
    pub fn is_set(&self) -> bool {
        something_is_said(&self.0)
    }
}

/// Whether the parent has said something that is not read yet, or is gone.
#[allow(unsafe_code, reason = "peeking at a socket has no safe wrapper in std")]
pub fn something_is_said(parent: &UnixStream) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the pointer is to one byte of ours, and the descriptor is open as long as the stream lives.
    let got = unsafe { libc::recv(parent.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    // Refused means that there is nothing to read yet.
    got >= 0
}

/// Speaks to the parent on one connection. A clone speaks on the same one.
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<Arc<UnixStream>>>);

impl Reporter {
    fn new(parent: &Arc<UnixStream>) -> Self {
        Self(Arc::new(Mutex::new(Arc::clone(parent))))
    }

    /// False: the parent is gone.
    pub fn event(&self, event: Event) -> bool {
        self.report(&Report::Event(event))
    }

    /// The last word of a program.
    pub fn done(&self, ended: Result<Outcome, Fault>) -> bool {
        self.report(&Report::Done(ended))
    }

    /// The last word of a cell.
    pub fn ran(&self, ended: Result<Ran, Fault>) -> bool {
        self.report(&Report::Ran(ended))
    }

    /// The last word of code of the parent's own.
    pub fn printed(&self, printed: Result<String, Fault>) -> bool {
        self.report(&Report::Printed(printed))
    }

    /// Sends the ready report, which is the first frame of a worker.
    fn started(&self, started: &Started) -> bool {
        self.send(protocol::encode(started).and_then(|bytes| frames::with_prefix(&bytes)))
    }

    fn report(&self, report: &Report) -> bool {
        self.send(frames::encode_report(report))
    }

    fn send(&self, frame: io::Result<Vec<u8>>) -> bool {
        // Held over a blocking write on purpose: frames of two threads must not mix.
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frame.and_then(|frame| (&**socket).write_all(&frame)).is_ok()
    }
}

/// The connections to the parent, as a worker finds them.
pub struct Parent {
    /// The one on descriptor 0.
    first: Arc<UnixStream>,
    /// Those that came over it: for cells.
    connections: Vec<Arc<UnixStream>>,
    reporter: Reporter,
    process: ParentProcess,
}

impl Parent {
    /// Takes them over, binds this process's life to the parent's, and closes whatever else was inherited. Call it before
    /// anything else is done: until then this process may outlive the parent.
    ///
    /// # Errors
    /// Nobody started this as a worker, or the parent has ended already.
    pub fn connect() -> io::Result<Self> {
        let first = socket_of_the_parent()?;
        let process = ParentProcess::of_socket(&first)?;
        process.bind()?;
        close_the_rest();
        let first = Arc::new(out_of_the_way(first)?);
        let connections =
            descriptors::receive(first.as_fd())?.into_iter().map(|connection| Arc::new(connection.into())).collect();
        let reporter = Reporter::new(&first);
        Ok(Self { first, connections, reporter, process })
    }

    /// Says that the engine is loaded; returns the connections that orders come on, the first of them first.
    pub fn ready(self, layers: Vec<Layer>) -> Vec<Arc<UnixStream>> {
        self.reporter.started(&Ok(layers));
        [self.first].into_iter().chain(self.connections).collect()
    }

    /// Says why it cannot start.
    pub fn fail(self, reason: String) -> io::Error {
        self.reporter.started(&Err(reason.clone()));
        io::Error::other(reason)
    }
}

/// The whole life of a worker whose engine has threads: `prepare` opens what will be needed for so many connections that
/// cells come on, then the jail is entered, then `begin` makes the engine (threads start here, and inherit the jail), then
/// orders are taken, on a thread for each connection, until the parent closes the first. `stack`: bytes that each of these
/// threads gets.
///
/// # Errors
/// Any step failed; the parent has been told why.
pub fn serve<P, E: Engine + Clone + Send + 'static>(
    stack: usize,
    prepare: impl FnOnce(usize) -> Result<P, String>,
    begin: impl FnOnce(P) -> Result<E, String>,
) -> io::Result<()> {
    let Parent { first, connections, reporter, process } = Parent::connect()?;
    let started = prepare(connections.len())
        .and_then(|prepared| jail::enter(process).map(|layers| (prepared, layers)).map_err(|e| e.to_string()))
        .and_then(|(prepared, layers)| begin(prepared).map(|engine| (engine, layers)))
        .and_then(|(engine, layers)| {
            let runner = |parent: Arc<UnixStream>| {
                let (engine, reporter) = (engine.clone(), Reporter::new(&parent));
                // Orders are read by the thread that runs them: every hand-over would cost a wake-up.
                let work = move || take_orders(&parent, &reporter, engine);
                std::thread::Builder::new().name("runner".into()).stack_size(stack).spawn(work)
            };
            // One that panics closes its connection, and the parent ends the process.
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

fn take_orders(orders: &Arc<UnixStream>, reporter: &Reporter, mut engine: impl Engine) -> io::Result<()> {
    let cancel = || Cancel(Arc::clone(orders));
    loop {
        memory::give_back_while_idle(orders.as_fd());
        match frames::read(&mut &**orders) {
            Ok(Order::Run { program, limits }) => engine.run(program, limits, reporter, cancel()),
            Ok(Order::Cell { kernel, opening, cell, limits }) => {
                engine.cell(kernel, OpenedCell { opening, cell }, limits, reporter, cancel());
            }
            Ok(Order::Own { kernel, code, most }) => engine.own(kernel, &code, most, reporter, cancel()),
            Ok(Order::Forget { kernel }) => {
                engine.forget(kernel);
                reporter.report(&Report::Forgotten);
            }
            // The program that it was for has ended by itself.
            Ok(Order::Cancel) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

#[allow(unsafe_code, reason = "descriptor 0 is taken over")]
fn socket_of_the_parent() -> io::Result<UnixStream> {
    // SAFETY: descriptor 0 is the socket that the parent gave, and nothing else in this process uses standard input.
    let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    // Fails where descriptor 0 is no socket: somebody started a worker by hand.
    socket.local_addr()?;
    Ok(socket)
}

/// Standard input is nothing from here on: whoever is forked from a worker would find its parent's orders there, and
/// could answer them.
#[allow(unsafe_code, reason = "dup2 has no safe wrapper in std")]
fn out_of_the_way(orders: UnixStream) -> io::Result<UnixStream> {
    let moved = orders.try_clone()?;
    let nothing = File::open("/dev/null")?;
    // SAFETY: the call takes numbers, and descriptor 0 belongs to nobody any more.
    if unsafe { libc::dup2(nothing.as_raw_fd(), orders.into_raw_fd()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(moved)
}

/// Nothing inherited beside the standard three.
#[allow(unsafe_code, reason = "close_range has no safe wrapper in libc")]
fn close_the_rest() {
    #[cfg(target_os = "linux")]
    // SAFETY: nothing has been opened yet in this process but the standard three. A kernel without the call refuses it:
    // then only descriptors that were not marked close-on-exec remain, and the parent marks all of its own.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
}
