//! One kernel of a session, wherever it is.

use std::sync::atomic::{AtomicU64, Ordering};

use switchtower_contract::{Kernel, Need};
use tokio::sync::{Mutex, watch};

use super::asked::ContextInfo;
use super::files::{Mark, Writer};
use super::history::History;
use super::place::Place;

/// A context: cells sent to it run one after the other.
pub(super) struct Context {
    pub(super) info: ContextInfo,
    /// Tells its changes to files from those of others.
    number: u64,
    pub(super) seat: Mutex<Seat>,
    /// Bytes that its kernel holds here, as far as its last cell told.
    held: AtomicU64,
    /// Told to cells that were asked for before it was restarted or closed.
    breaks: watch::Sender<()>,
}

/// What a context has, for whoever's turn it is.
#[derive(Default)]
pub(super) struct Seat {
    /// Cells begun.
    pub(super) count: u32,
    /// What led to its names, in whichever local tiers that ran.
    pub(super) history: History,
    pub(super) place: Place,
    /// Up to where the kernel here knows the files.
    pub(super) mark: Mark,
    /// A cell ended for want of this in a kernel that it could not leave: the next one begins where it is to be had.
    pub(super) wants: Option<Need>,
}

/// What an instance costs before its program asks for more: pages of the snapshot that it has changed.
const EMPTY: u64 = 3 << 20;

impl Context {
    pub(super) fn new(info: ContextInfo, number: u64) -> Self {
        Self { info, number, seat: Mutex::default(), held: AtomicU64::new(0), breaks: watch::Sender::default() }
    }

    pub(super) fn writer(&self) -> Writer {
        Writer::Kernel(self.number)
    }

    /// Ends the cell that runs in it, and those that wait.
    pub(super) fn break_off(&self) {
        self.breaks.send_replace(());
    }

    /// Hears when what was asked for until now is broken off.
    pub(super) fn breaks(&self) -> watch::Receiver<()> {
        self.breaks.subscribe()
    }

    /// Bytes that its kernel takes on this machine.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Its kernel here has asked for so much beyond its beginning; None: there is no kernel here any more.
    pub(super) fn holds(&self, beyond: Option<u64>) {
        self.held.store(beyond.map_or(0, |beyond| beyond + EMPTY), Ordering::Relaxed);
    }
}

impl Seat {
    /// It goes on there: what it was here is not needed any more.
    pub(super) fn begin_there(&mut self, kernel: Box<dyn Kernel>) {
        *self = Self { count: self.count, place: Place::There(kernel), ..Self::default() };
    }

    /// All names are gone; the count begins anew. A kernel on a machine is for its owner to restart.
    pub(super) fn begin_anew(&mut self) {
        let place = match std::mem::take(&mut self.place) {
            there @ Place::There(_) => there,
            Place::Nowhere | Place::Here(_) => Place::Nowhere,
        };
        *self = Self { place, ..Self::default() };
    }
}
