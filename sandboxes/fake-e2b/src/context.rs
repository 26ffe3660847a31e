//! A context: one interpreter, and the cells that wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::kernel::{After, Cell, Kernel};
use crate::line::{self, Lines};

/// Makes a new interpreter for a context.
pub(crate) type Start = Arc<dyn Fn() -> Box<dyn Kernel> + Send + Sync>;

pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) language: String,
    pub(crate) cwd: String,
    start: Start,
    /// Protects which interpreter is the current one; held for a few instructions.
    seat: Mutex<Arc<Seat>>,
}

/// One interpreter's place. A restart leaves it and whoever waits there, and takes a new one.
struct Seat {
    /// Cells run one after another.
    kernel: tokio::sync::Mutex<Option<Box<dyn Kernel>>>,
    /// The flaw of the real server: nothing runs any more.
    wedged: AtomicBool,
    left: watch::Sender<Option<Reason>>,
}

/// Why an interpreter was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its context starts anew.
    Restart,
    /// Its sandbox is no longer there, or sleeps.
    Gone,
}

/// How an execution ended, as far as its client may care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    All,
    /// The client left in the middle.
    Nothing,
}

/// Whether an execution's stream breaks off before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    Cut,
}

impl Context {
    pub(crate) fn new(id: String, language: &str, cwd: &str, start: Start) -> Self {
        Self { id, language: language.to_owned(), cwd: cwd.to_owned(), start, seat: Mutex::new(Seat::empty()) }
    }

    /// Gives the interpreter up. What runs there breaks off; the next cell begins with a new one.
    pub(crate) fn leave(&self, reason: Reason) {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        seat.left.send_replace(Some(reason));
        *seat = Seat::empty();
    }

    /// Makes that nothing runs any more in the life that the context leads now; one that began with a restart runs.
    pub(crate) fn wedge(&self) -> impl FnOnce() + use<> {
        let seat = self.seat();
        move || seat.wedged.store(true, Ordering::Relaxed)
    }

    fn seat(&self) -> Arc<Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a cell in its turn and sends all its lines.
    pub(crate) async fn execute(&self, cell: &Cell, lines: &Lines, ending: Ending) -> Told {
        let seat = self.seat();
        let mut left = seat.left.subscribe();
        let given_up = async {
            // The seat holds the sender, so the wait ends only by a reason.
            left.wait_for(Option::is_some).await.ok().and_then(|reason| *reason)
        };
        tokio::pin!(given_up);
        let mut kernel = tokio::select! {
            kernel = seat.kernel.lock() => kernel,
            () = lines.closed() => return Told::Nothing,
            reason = &mut given_up => return broken_off(reason, lines).await,
        };
        if seat.wedged.load(Ordering::Relaxed) {
            tokio::select! {
                () = lines.closed() => return Told::Nothing,
                reason = &mut given_up => return broken_off(reason, lines).await,
            }
        }
        let running = kernel.get_or_insert_with(|| (self.start)());
        let after = tokio::select! {
            after = running.run(cell, lines) => after,
            reason = &mut given_up => {
                *kernel = None;
                return broken_off(reason, lines).await;
            }
        };
        match after {
            After::Idle => {}
            After::Dead => {
                *kernel = None;
                lines.send(&line::error("ContextRestarting", "Context was restarted", "")).await;
            }
            After::Lost => {
                lines.cut().await;
                return Told::All;
            }
        }
        drop(kernel);
        // Asked before the last line: a client that has read that one leaves rightly.
        let told = if lines.is_closed() { Told::Nothing } else { Told::All };
        match ending {
            Ending::Cut => lines.cut().await,
            Ending::Whole => lines.send(&line::end()).await,
        }
        told
    }
}

impl Seat {
    fn empty() -> Arc<Self> {
        let kernel = tokio::sync::Mutex::new(None);
        Arc::new(Self { kernel, wedged: AtomicBool::new(false), left: watch::Sender::new(None) })
    }
}

async fn broken_off(reason: Option<Reason>, lines: &Lines) -> Told {
    match reason {
        Some(Reason::Restart) => {
            lines.send(&line::error("ContextRestarting", "Context was restarted", "")).await;
            lines.send(&line::end()).await;
        }
        Some(Reason::Gone) | None => lines.cut().await,
    }
    Told::All
}
