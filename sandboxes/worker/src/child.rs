//! The worker's side: takes orders on descriptor 0, one program at a time.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use switchtower_contract::{Event, Fault, Limits, Outcome, Program};

use crate::frames::{self, Order, Report};
use crate::jail;

/// Ends the program that runs, from another thread.
pub type Cancel = Box<dyn Fn() + Send>;

/// What runs programs in a worker.
pub trait Engine {
    /// Starts a program on a thread of its own and returns at once. The reporter is told everything, `done` last.
    fn start(&mut self, program: Program, limits: Limits, reporter: Reporter) -> Cancel;
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

    fn report(&self, report: &Report) -> bool {
        // Held over a blocking write on purpose: frames of two threads must not mix.
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames::write(&mut *socket, report).is_ok()
    }
}

/// The whole life of a worker: `prepare` opens what will be needed, then the jail is entered, then `begin` makes the
/// engine (threads start here, and inherit the jail), then orders are taken until the parent closes the socket.
///
/// # Errors
/// Any step failed; the parent has been told why.
pub fn serve<P, E: Engine>(
    prepare: impl FnOnce() -> Result<P, String>,
    begin: impl FnOnce(P) -> Result<E, String>,
) -> io::Result<()> {
    let mut orders = socket_of_the_parent()?;
    close_the_rest();
    let reporter = Reporter(Arc::new(Mutex::new(orders.try_clone()?)));
    let started = prepare()
        .and_then(|prepared| jail::enter().map(|layers| (prepared, layers)).map_err(|e| e.to_string()))
        .and_then(|(prepared, layers)| begin(prepared).map(|engine| (engine, layers)));
    let mut engine = match started {
        Ok((engine, layers)) => {
            reporter.report(&Report::Ready { layers });
            engine
        }
        Err(reason) => {
            reporter.report(&Report::Failed { reason: reason.clone() });
            return Err(io::Error::other(reason));
        }
    };
    let mut cancel: Option<Cancel> = None;
    loop {
        match frames::read(&mut orders) {
            Ok(Order::Run { program, limits }) => cancel = Some(engine.start(program, limits, reporter.clone())),
            Ok(Order::Cancel) => {
                if let Some(cancel) = cancel.take() {
                    cancel();
                }
            }
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
