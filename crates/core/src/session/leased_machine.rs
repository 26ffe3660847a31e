//! The machine of a session: leased from a tier of machines when it is first needed, and held until the session ends.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use switchtower_contract::{Change, Fault, Kernel, KernelOptions, Language, Machine, Maintenance};
use tokio::sync::{Mutex, MutexGuard, RwLockReadGuard, RwLockWriteGuard, SetOnce};

use super::machine_shares::MachineShare;
use crate::error::Error;
use crate::route::TierName;
use crate::tier::MachineLease;

/// A machine that a session has moved to.
pub(super) struct LeasedMachine {
    tier: TierName,
    /// `None` after [`MachineSlot::give_back`].
    lease: Mutex<Option<MachineLease>>,
    /// Its caller's share of the machines of this host; `None` in a cloud, whose account has limits. Freed with the machine.
    share: std::sync::Mutex<Option<MachineShare>>,
    machine: Arc<dyn Machine>,
}

impl LeasedMachine {
    pub(super) fn new(
        tier: TierName,
        lease: MachineLease,
        share: Option<MachineShare>,
        machine: Arc<dyn Machine>,
    ) -> Self {
        Self { tier, lease: Mutex::new(Some(lease)), share: std::sync::Mutex::new(share), machine }
    }

    pub(super) fn tier(&self) -> &TierName {
        &self.tier
    }

    pub(super) fn machine(&self) -> &Arc<dyn Machine> {
        &self.machine
    }

    /// Keeps it awake or puts it to sleep.
    pub(super) async fn maintain(&self, how: Maintenance) -> Result<(), Fault> {
        self.lease.lock().await.as_mut().ok_or_else(given_back)?.sandbox().maintain(how).await
    }

    /// Extends its lifetime to at least `time` from now.
    pub(super) async fn ensure_lifetime(&self, time: Duration) -> Result<(), Fault> {
        self.machine.ensure_lifetime(time).await
    }

    /// Applies changes to its files.
    pub(super) async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        self.machine.apply(changes).await
    }

    pub(super) async fn open_kernel(
        &self,
        language: Language,
        options: &KernelOptions,
    ) -> Result<Box<dyn Kernel>, Fault> {
        let lease = self.lease.lock().await;
        lease.as_ref().ok_or_else(given_back)?;
        self.machine.open_kernel(language, options).await
    }

    /// Ends it, even if other references to it exist.
    pub(super) async fn give_back(&self) {
        drop(self.lease.lock().await.take());
        drop(self.share.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn given_back() -> Fault {
    Fault::Unavailable { reason: "the machine was given up".to_owned() }
}

/// Holds the machine of a session, once it has one.
#[derive(Default)]
pub struct MachineSlot {
    /// Locked while the session moves. `None` before the move, and after the session's end.
    current: Mutex<Option<Arc<LeasedMachine>>>,
    /// The same machine, for callers that must not wait for a move. Never cleared. Held for a moment.
    machine: RwLock<Option<Arc<LeasedMachine>>>,
    /// Set with the first machine.
    has_moved: SetOnce<()>,
    /// Read by calls of clients to the machine, written by a move from one machine to another: what a call has changed is moved.
    calls: tokio::sync::RwLock<()>,
    /// Held by the cell that may move the session on to another machine.
    onward: Mutex<()>,
    /// Set when a client has started a process on the machine: the session does not know how long it runs.
    has_processes: OnceLock<()>,
    /// Why its state cannot move on to another machine, once that was tried.
    stuck: OnceLock<String>,
}

impl MachineSlot {
    /// Returns the machine, once the session has moved to it.
    pub(super) fn get(&self) -> Option<Arc<LeasedMachine>> {
        self.machine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the tier of the machine; `None` while the session is local.
    pub fn tier(&self) -> Option<TierName> {
        self.get().map(|leased| leased.tier().clone())
    }

    /// Waits for a move to the machine that is in progress. Afterwards the files are either local or on the machine.
    pub async fn wait_for_move(&self) {
        drop(self.after_move().await);
    }

    /// Waits for a move from one machine to another, and holds the next one up until the guard is dropped. Take it before
    /// the machine, and hold it until the machine has answered.
    pub async fn begin_call(&self) -> MachineCall<'_> {
        MachineCall(self.calls.read().await)
    }

    /// Waits until no call runs; new ones wait until the guard is dropped.
    pub(super) async fn hold_calls(&self) -> RwLockWriteGuard<'_, ()> {
        self.calls.write().await
    }

    /// Puts the machine to sleep, if there is one.
    pub(super) async fn put_to_sleep(&self) -> Result<(), Error> {
        let Some(leased) = self.get() else { return Ok(()) };
        leased.maintain(Maintenance::Asleep).await.map_err(|fault| Error::from_fault(leased.tier(), &fault))
    }

    /// Waits for a move that is in progress, then returns the machine if there is one.
    pub(super) async fn after_move(&self) -> Option<Arc<LeasedMachine>> {
        self.current.lock().await.clone()
    }

    /// Resolves when the session has moved to a machine.
    pub(super) async fn moved(&self) {
        self.has_moved.wait().await;
    }

    /// Waits until no other cell may move the session on to another machine. Take it before the state of a context: the move
    /// takes that of each.
    pub(super) async fn begin_onward(&self) -> MutexGuard<'_, ()> {
        self.onward.lock().await
    }

    /// Starts a move, after one that is in progress has ended.
    pub(super) async fn begin_move(&self) -> MachineMove<'_> {
        MachineMove { slot: self, current: self.current.lock().await }
    }

    /// Starts a move; `None` while another one is in progress.
    pub(super) fn try_begin_move(&self) -> Option<MachineMove<'_>> {
        Some(MachineMove { slot: self, current: self.current.try_lock().ok()? })
    }

    /// Ends the machine.
    pub(super) async fn give_back(&self) {
        if let Some(machine) = self.current.lock().await.take() {
            machine.give_back().await;
        }
    }

    /// Records that a client has started a process on the machine.
    pub(super) fn record_processes(&self) {
        let _ = self.has_processes.set(());
    }

    /// Records that the state cannot move on to another machine, so that this is not tried again.
    pub(super) fn set_stuck(&self, why: &str) {
        let _ = self.stuck.set(why.to_owned());
    }

    pub(super) fn stuck(&self) -> Option<String> {
        self.stuck.get().cloned()
    }

    pub(super) fn has_processes(&self) -> bool {
        self.has_processes.get().is_some()
    }
}

/// A call of a client to the machine.
pub struct MachineCall<'a>(#[expect(dead_code, reason = "a guard")] RwLockReadGuard<'a, ()>);

/// A move of a session to a machine. If it is dropped before [`complete`](Self::complete), the session stays local.
pub(super) struct MachineMove<'a> {
    slot: &'a MachineSlot,
    current: MutexGuard<'a, Option<Arc<LeasedMachine>>>,
}

impl MachineMove<'_> {
    /// Returns the machine if the session has moved already.
    pub(super) fn existing(&self) -> Option<&Arc<LeasedMachine>> {
        self.current.as_ref()
    }

    /// Completes the move: the session is on this machine from now on. Returns the one that it was on before.
    pub(super) fn complete(&mut self, machine: Arc<LeasedMachine>) -> Option<Arc<LeasedMachine>> {
        *self.slot.machine.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&machine));
        // It has moved before.
        let _ = self.slot.has_moved.set(());
        self.current.replace(machine)
    }
}
