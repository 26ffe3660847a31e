//! One context of a session: an interpreter's state, and where it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use switchtower_contract::{Kernel, Need};
use tokio::sync::{Mutex, MutexGuard, TryLockError, watch};
use tokio::time::Instant;

use super::files::{Revision, Writer};
use super::history::History;
use super::kernel_permits::{KernelHolder, KernelPermit};
use super::messages::ContextInfo;
use super::placement::{ContextPlacement, LocalKernel, PlacedKernel};
use crate::memory::Charge;
use crate::route::TierName;

/// A context. Cells sent to it run one after the other.
pub(super) struct Context {
    info: ContextInfo,
    /// Distinguishes its changes to files from those of others.
    writer: Writer,
    state: Mutex<ContextState>,
    memory: KernelMemory,
    /// Pays for it.
    _charge: Charge,
    /// Interrupts the cells that were sent before it was restarted or closed.
    interrupts: watch::Sender<()>,
    /// When a cell last began or ended in it.
    used: std::sync::Mutex<Instant>,
    itself: Weak<Context>,
}

/// What belongs to the cell whose turn it is.
pub(super) struct ContextState {
    /// Cells begun.
    count: u32,
    /// What led to its names, in whichever local tiers that ran.
    history: History,
    kernel: PlacedKernel,
    memory: KernelMemory,
    /// The revision of the files that the local kernel has.
    seen_files: Revision,
    /// A cell ended for want of this in a kernel that it could not leave: the next one begins on a machine.
    pending_need: Option<Need>,
    /// Its local kernel was given up: the next cell reports that instead of running.
    given_up: Option<GivenUp>,
}

/// A kernel that was given up while no cell ran in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) tier: TierName,
    pub(super) why: String,
}

/// Bytes that a context's local kernel holds, as far as its last cell reported.
#[derive(Clone, Default)]
struct KernelMemory(Arc<AtomicU64>);

/// Bytes that an instance costs before its program asks for more: pages of the snapshot that it has changed.
const EMPTY_KERNEL: u64 = 3 << 20;

impl KernelMemory {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// `grown`: bytes beyond those of an empty kernel.
    fn set(&self, grown: u64) {
        self.0.store(grown + EMPTY_KERNEL, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Context {
    /// `charge` pays for it; its history is charged to the same caller.
    pub(super) fn new(info: ContextInfo, number: u64, charge: Charge) -> Arc<Self> {
        let memory = KernelMemory::default();
        let state = ContextState::new(History::charged(charge.another()), memory.clone());
        Arc::new_cyclic(|itself| Self {
            info,
            writer: Writer::Kernel(number),
            state: Mutex::new(state),
            memory,
            _charge: charge,
            interrupts: watch::Sender::default(),
            used: std::sync::Mutex::new(Instant::now()),
            itself: Weak::clone(itself),
        })
    }

    pub(super) fn info(&self) -> &ContextInfo {
        &self.info
    }

    pub(super) fn id(&self) -> &str {
        &self.info.id
    }

    /// Returns the folder that its cells begin in.
    pub(super) fn folder(&self) -> &str {
        &self.info.folder
    }

    pub(super) fn writer(&self) -> Writer {
        self.writer
    }

    /// Returns it as the holder of a kernel permit.
    pub(super) fn as_holder(&self) -> Weak<dyn KernelHolder> {
        let itself: Weak<Context> = Weak::clone(&self.itself);
        itself
    }

    /// Waits until no other cell has the state.
    pub(super) async fn lock(&self) -> MutexGuard<'_, ContextState> {
        self.state.lock().await
    }

    /// Returns the state unless a cell has it.
    pub(super) fn try_lock(&self) -> Result<MutexGuard<'_, ContextState>, TryLockError> {
        self.state.try_lock()
    }

    /// Records that a cell begins or ends in it.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends the cell that runs in it, and those that wait.
    pub(super) fn interrupt(&self) {
        self.interrupts.send_replace(());
    }

    /// Returns a receiver that changes when the cells sent until now are interrupted.
    pub(super) fn interrupts(&self) -> watch::Receiver<()> {
        self.interrupts.subscribe()
    }

    /// Returns the bytes that its kernel takes on this machine.
    pub(super) fn kernel_memory(&self) -> u64 {
        self.memory.get()
    }
}

impl KernelHolder for Context {
    fn used_at(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up_kernel(&self, why: &str) -> bool {
        self.state.try_lock().is_ok_and(|mut state| state.give_up_kernel(why))
    }
}

impl ContextState {
    fn new(history: History, memory: KernelMemory) -> Self {
        Self {
            count: 0,
            history,
            kernel: PlacedKernel::None,
            memory,
            seen_files: Revision::default(),
            pending_need: None,
            given_up: None,
        }
    }

    /// Drops everything but who pays for it and where its memory is counted.
    pub(super) fn clear(&mut self) {
        self.memory.clear();
        *self = Self::new(self.history.restart(), self.memory.clone());
    }

    /// Drops all names and the count. The kernel on a machine stays, for its owner to restart.
    pub(super) fn restart(&mut self) {
        let kernel = std::mem::take(&mut self.kernel);
        self.clear();
        if kernel.is_remote() {
            self.kernel = kernel;
        }
    }

    /// Counts one more cell, and returns its number.
    pub(super) fn start_cell(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    /// Returns how many cells have begun.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Starts the count again, after a kernel on a machine has restarted.
    pub(super) fn reset_count(&mut self) {
        self.count = 0;
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    pub(super) fn placement(&self) -> ContextPlacement {
        self.kernel.placement()
    }

    /// Returns the local tier that it is placed in.
    pub(super) fn local_tier(&self) -> Option<&TierName> {
        self.kernel.local_tier()
    }

    pub(super) fn is_placed_in(&self, tier: &TierName) -> bool {
        self.local_tier() == Some(tier)
    }

    pub(super) fn has_local_kernel(&self) -> bool {
        self.kernel.local().is_some_and(LocalKernel::has_kernel)
    }

    /// Returns the revision of the files that its local kernel has.
    pub(super) fn seen_files(&self) -> Revision {
        self.seen_files
    }

    /// Returns the kernel that it has in `tier`, for a use that leaves its state as it is.
    pub(super) fn local_kernel(&mut self, tier: &TierName) -> Option<&mut Box<dyn Kernel>> {
        self.kernel.local_kernel(tier)
    }

    pub(super) fn take_local_kernel(&mut self, tier: &TierName) -> Option<Box<dyn Kernel>> {
        self.kernel.take_local(tier)
    }

    /// Puts a kernel back that was taken and ran no cell to its end. One of another tier is dropped: the context is not
    /// placed there.
    pub(super) fn return_local_kernel(&mut self, tier: &TierName, kernel: Box<dyn Kernel>) {
        drop(self.kernel.put_local(tier, kernel));
    }

    /// Places it in a local tier, with the kernel that its last cell has run in. `grown`: bytes that this kernel holds
    /// beyond those of an empty one.
    pub(super) fn place_locally(
        &mut self,
        tier: &TierName,
        kernel: Box<dyn Kernel>,
        permit: Option<KernelPermit>,
        seen_files: Revision,
        grown: u64,
    ) {
        self.memory.set(grown);
        self.seen_files = seen_files;
        if let Some(kernel) = self.kernel.put_local(tier, kernel) {
            self.kernel = PlacedKernel::Local(LocalKernel::new(tier.clone(), kernel, permit));
        }
    }

    /// Places it on the session's machine. What it was here is not needed any more.
    pub(super) fn place_remotely(&mut self, kernel: Box<dyn Kernel>) {
        let (count, given_up) = (self.count, self.given_up.take());
        self.clear();
        (self.count, self.given_up, self.kernel) = (count, given_up, PlacedKernel::Remote(kernel));
    }

    pub(super) fn remote_kernel(&mut self) -> Option<&mut Box<dyn Kernel>> {
        self.kernel.remote()
    }

    /// Takes the kernel on the machine out of it: it is unplaced then.
    pub(super) fn take_remote_kernel(&mut self) -> Option<Box<dyn Kernel>> {
        match std::mem::take(&mut self.kernel) {
            PlacedKernel::Remote(kernel) => Some(kernel),
            other => {
                self.kernel = other;
                None
            }
        }
    }

    /// Counts no memory for its local kernel, which is gone.
    pub(super) fn record_kernel_lost(&self) {
        self.memory.clear();
    }

    /// Drops its local kernel, which its history can rebuild.
    pub(super) fn evict(&mut self) {
        self.kernel.drop_local();
        self.memory.clear();
    }

    /// Ends its local kernel, with its names; the next cell reports why. Returns false where there is none.
    fn give_up_kernel(&mut self, why: &str) -> bool {
        let Some(tier) = self.local_tier().filter(|_| self.has_local_kernel()).cloned() else { return false };
        let count = self.count;
        self.clear();
        (self.count, self.given_up) = (count, Some(GivenUp { tier, why: why.to_owned() }));
        true
    }

    pub(super) fn given_up(&self) -> Option<&GivenUp> {
        self.given_up.as_ref()
    }

    pub(super) fn pending_need(&self) -> Option<&Need> {
        self.pending_need.as_ref()
    }

    pub(super) fn set_pending_need(&mut self, need: Option<Need>) {
        self.pending_need = need;
    }
}
