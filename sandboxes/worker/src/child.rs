//! The worker's side: takes orders on descriptor 0, one program at a time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_contract::{Cell, Event, Fault, Limits, Opening, Outcome, Program, Ran};

use crate::frames::{self, Number, Order, Report};
use crate::jail::{self, Layer};
use crate::memory;
use crate::parent::ParentProcess;

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

    /// There is nothing to do until this descriptor is readable: time to prepare.
    fn rests(&mut self, _orders: BorrowedFd<'_>) {}
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
    /// Readable when it may be set.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    #[allow(unsafe_code, reason = "peeking at a socket has no safe wrapper in std")]
    pub fn is_set(&self) -> bool {
        let mut byte = 0_u8;
        // SAFETY: the pointer is to one byte of ours, and the descriptor is open as long as the stream lives.
        let got =
            unsafe { libc::recv(self.0.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
        // Refused means that there is nothing to read yet.
        got >= 0
    }
}

/// Speaks to the parent for one program. A clone speaks for the same one.
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<UnixStream>>);

impl Reporter {
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

    fn report(&self, report: &Report) -> bool {
        // Held over a blocking write on purpose: frames of two threads must not mix.
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames::write(&mut *socket, report).is_ok()
    }
}

/// The connection to the parent, as a worker finds it.
pub struct Parent {
    orders: UnixStream,
    reporter: Reporter,
    process: ParentProcess,
}

impl Parent {
    /// Takes it over, binds this process's life to the parent's, and closes whatever else was inherited. Call it before
    /// anything else is done: until then this process may outlive the parent.
    ///
    /// # Errors
    /// Nobody started this as a worker, or the parent has ended already.
    pub fn connect() -> io::Result<Self> {
        let orders = socket_of_the_parent()?;
        let process = ParentProcess::of_socket(&orders)?;
        process.bind()?;
        close_the_rest();
        let orders = out_of_the_way(orders)?;
        let reporter = Reporter(Arc::new(Mutex::new(orders.try_clone()?)));
        Ok(Self { orders, reporter, process })
    }

    /// Says that the engine is loaded, and takes orders on this thread until the parent closes the socket.
    ///
    /// # Errors
    /// What came was no order.
    pub fn serve(self, layers: Vec<Layer>, engine: impl Engine) -> io::Result<()> {
        self.reporter.report(&Report::Ready { layers });
        take_orders(&Arc::new(self.orders), &self.reporter, engine)
    }

    /// Says why it cannot start.
    pub fn fail(self, reason: String) -> io::Error {
        self.reporter.report(&Report::Failed { reason: reason.clone() });
        io::Error::other(reason)
    }
}

/// The whole life of a worker whose engine has threads: `prepare` opens what will be needed, then the jail is entered, then
/// `begin` makes the engine (threads start here, and inherit the jail), then orders are taken until the parent closes the
/// socket. `stack`: bytes that the thread which runs programs gets.
///
/// # Errors
/// Any step failed; the parent has been told why.
pub fn serve<P, E: Engine + Send + 'static>(
    stack: usize,
    prepare: impl FnOnce() -> Result<P, String>,
    begin: impl FnOnce(P) -> Result<E, String>,
) -> io::Result<()> {
    let Parent { orders, reporter, process } = Parent::connect()?;
    let started = prepare()
        .and_then(|prepared| jail::enter(process).map(|layers| (prepared, layers)).map_err(|e| e.to_string()))
        .and_then(|(prepared, layers)| begin(prepared).map(|engine| (engine, layers)))
        .and_then(|(engine, layers)| {
            let speaks = reporter.clone();
            let work = move || take_orders(&Arc::new(orders), &speaks, engine);
            // Orders are read by the thread that runs them: every hand-over would cost a wake-up.
            let thread = std::thread::Builder::new().name("runner".into()).stack_size(stack).spawn(work);
            thread.map(|thread| (thread, layers)).map_err(|e| e.to_string())
        });
    match started {
        Ok((thread, layers)) => {
            reporter.report(&Report::Ready { layers });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the runner panicked")))
        }
        Err(reason) => {
            reporter.report(&Report::Failed { reason: reason.clone() });
            Err(io::Error::other(reason))
        }
    }
}

fn take_orders(orders: &Arc<UnixStream>, reporter: &Reporter, mut engine: impl Engine) -> io::Result<()> {
    let cancel = || Cancel(Arc::clone(orders));
    loop {
        engine.rests(orders.as_fd());
        memory::give_back_while_idle(orders.as_fd());
        match frames::read(&mut &**orders) {
            Ok(Order::Run { program, limits }) => engine.run(program, limits, reporter, cancel()),
            Ok(Order::Cell { kernel, opening, cell, limits }) => {
                engine.cell(kernel, OpenedCell { opening, cell }, limits, reporter, cancel());
            }
            Ok(Order::Own { kernel, code, most }) => engine.own(kernel, &code, most, reporter, cancel()),
            Ok(Order::Forget { kernel }) => engine.forget(kernel),
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
