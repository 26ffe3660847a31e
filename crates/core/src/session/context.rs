//! One kernel of a session, wherever it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use switchtower_contract::{Kernel, Need};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::files::{Revision, Writer};
use super::history::History;
use super::messages::ContextInfo;
use super::place::Place;
use crate::memory::Charge;
use crate::route::TierName;

/// A context: cells sent to it run one after the other.
pub(super) struct Context {
    pub(super) info: ContextInfo,
    /// Tells its changes to files from those of others.
    number: u64,
    pub(super) seat: Mutex<Seat>,
    /// Bytes that its kernel holds here, as far as its last cell told.
    held: AtomicU64,
    /// Pays for it.
    _charge: Charge,
    /// Told to cells that were asked for before it was restarted or closed.
    breaks: watch::Sender<()>,
    /// When a cell last began or ended in it.
    used: std::sync::Mutex<Instant>,
    itself: Weak<Context>,
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
    pub(super) mark: Revision,
    /// A cell ended for want of this in a kernel that it could not leave: the next one begins where it is to be had.
    pub(super) wants: Option<Need>,
    /// Its kernel here was given up: the next cell says so instead of running.
    pub(super) given_up: Option<GivenUp>,
}

/// A kernel that was given up while nobody used it.
pub(super) struct GivenUp {
    pub(super) tier: TierName,
    pub(super) why: String,
}

/// What an instance costs before its program asks for more: pages of the snapshot that it has changed.
const EMPTY: u64 = 3 << 20;

impl Context {
    /// `charge` pays for it; what it remembers of its cells is charged to the same caller.
    pub(super) fn new(info: ContextInfo, number: u64, charge: Charge) -> Arc<Self> {
        let seat = Mutex::new(Seat { history: History::charged(charge.another()), ..Seat::default() });
        Arc::new_cyclic(|itself| Self {
            info,
            number,
            seat,
            held: AtomicU64::new(0),
            _charge: charge,
            breaks: watch::Sender::default(),
            used: std::sync::Mutex::new(Instant::now()),
            itself: Weak::clone(itself),
        })
    }

    pub(super) fn itself(&self) -> &Weak<Self> {
        &self.itself
    }

    /// A cell begins or ends in it.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When a cell last began or ended in it.
    pub(super) fn used_at(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends its kernel here, with its names; the next cell says why. False: there is none, or a cell runs in it.
    pub(super) fn give_up_kernel(&self, why: &str) -> bool {
        let Ok(mut seat) = self.seat.try_lock() else { return false };
        let Some(local) = seat.place.here().filter(|local| local.kernel.is_some()) else { return false };
        let given_up = GivenUp { tier: local.tier.clone(), why: why.to_owned() };
        let history = seat.history.begin_anew();
        *seat = Seat { count: seat.count, history, given_up: Some(given_up), ..Seat::default() };
        self.holds(None);
        true
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
        let (count, given_up, history) = (self.count, self.given_up.take(), self.history.begin_anew());
        *self = Self { count, history, place: Place::There(kernel), given_up, ..Self::default() };
    }

    /// All names are gone; the count begins anew. A kernel on a machine is for its owner to restart.
    pub(super) fn begin_anew(&mut self) {
        let place = match std::mem::take(&mut self.place) {
            there @ Place::There(_) => there,
            Place::Nowhere | Place::Here(_) => Place::Nowhere,
        };
        *self = Self { history: self.history.begin_anew(), place, ..Self::default() };
    }
}
