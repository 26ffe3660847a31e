//! One context of a session: the state of an interpreter, and its placement.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use switchtower_contract::{Kernel, KernelOptions, Language, Need};
use tokio::sync::{Mutex, MutexGuard, TryLockError, watch};
use tokio::time::Instant;

use super::files::{Revision, Writer};
use super::history::History;
use super::kernel_permits::{KernelHolder, KernelPermit};
use super::messages::ContextInfo;
use super::placement::{ContextPlacement, LocalKernel, PlacedKernel, RemoteKernel};
use crate::memory::Charge;
use crate::route::TierName;

/// A context. Its cells run one after the other.
pub(super) struct Context {
    info: ContextInfo,
    /// Distinguishes its changes to files from those of others.
    writer: Writer,
    /// Held by the first of the cells and restarts that have been sent, until it has ended.
    queue: Mutex<()>,
    state: Mutex<ContextState>,
    memory: KernelMemory,
    /// The bytes of the context itself.
    _charge: Charge,
    /// Notifies the running and waiting cells when the context is restarted or closed.
    interrupts: watch::Sender<()>,
    /// When a cell last started or ended in it.
    used: std::sync::Mutex<Instant>,
    itself: Weak<Context>,
}

/// The part of a context that the running cell holds locked.
pub(super) struct ContextState {
    /// Cells started.
    count: u32,
    /// The cells that led to the current state, in all local tiers.
    history: History,
    kernel: PlacedKernel,
    memory: KernelMemory,
    /// The revision of the files that the local kernel has.
    seen_files: Revision,
    /// What a cell lacked in a kernel that it could not leave: the next cell runs on a machine.
    pending_need: Option<Need>,
    /// Set when the local kernel was given up: the next cell reports that instead of running.
    given_up: Option<GivenUp>,
}

/// A local kernel that was ended while it was idle, because another session needed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) tier: TierName,
    pub(super) why: String,
}

/// Bytes that a context's local kernel holds, as its last cell reported.
#[derive(Clone, Default)]
struct KernelMemory(Arc<AtomicU64>);

/// Bytes of a kernel in which no cell has run: the pages of the snapshot that it has changed.
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
    /// `charge` has the bytes of the context; its history is charged to the same caller.
    pub(super) fn new(info: ContextInfo, number: u64, charge: Charge) -> Arc<Self> {
        let memory = KernelMemory::default();
        let state = ContextState::new(History::charged(charge.another()), memory.clone());
        Arc::new_cyclic(|itself| Self {
            info,
            writer: Writer::Kernel(number),
            queue: Mutex::default(),
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

    /// Returns the working folder that its cells start in.
    pub(super) fn folder(&self) -> &str {
        &self.info.folder
    }

    /// Returns the language of its cells.
    pub(super) fn language(&self) -> Language {
        self.info.language
    }

    /// Returns the options of its kernels. `env`: the environment variables of the session.
    pub(super) fn kernel_options(&self, env: &BTreeMap<String, String>) -> KernelOptions {
        KernelOptions { env: env.clone(), folder: Some(self.info.folder.clone()) }
    }

    pub(super) fn writer(&self) -> Writer {
        self.writer
    }

    /// Returns it as the holder of a kernel permit.
    pub(super) fn as_holder(&self) -> Weak<dyn KernelHolder> {
        let itself: Weak<Context> = Weak::clone(&self.itself);
        itself
    }

    /// Waits for the cells and restarts that were sent before. A cell holds its turn until it has ended; it has the state only while it runs, so
    /// that the session can move while it waits for something else.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.queue.lock().await
    }

    /// Waits until no other cell has the state.
    pub(super) async fn lock(&self) -> MutexGuard<'_, ContextState> {
        self.state.lock().await
    }

    /// Returns the state unless a cell has it.
    pub(super) fn try_lock(&self) -> Result<MutexGuard<'_, ContextState>, TryLockError> {
        self.state.try_lock()
    }

    /// Records that a cell starts or ends in it.
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

    /// Returns the bytes that its local kernel holds; 0 if it has none.
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

    /// Resets it to the state of a new context.
    pub(super) fn clear(&mut self) {
        self.memory.clear();
        *self = Self::new(self.history.restart(), self.memory.clone());
    }

    /// Resets it to the state of a new context. A kernel on a machine is kept; the caller must restart it.
    pub(super) fn restart(&mut self) {
        let kernel = std::mem::take(&mut self.kernel);
        self.clear();
        if kernel.is_remote() {
            self.kernel = kernel;
        }
    }

    /// Returns the number of the next cell. A blank one is not counted, as in IPython: the cell after it has the same number.
    pub(super) fn start_cell(&mut self, source: &str) -> u32 {
        let number = self.count + 1;
        if !source.chars().all(is_space) {
            self.count = number;
        }
        number
    }

    /// Returns the number of cells that have been counted.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Records that its kernel on a machine has restarted, without the state of its cells.
    pub(super) fn record_remote_restart(&mut self) {
        self.count = 0;
        self.history = self.history.restart();
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

    /// Returns the kernel that it has in `tier`, for a use that does not change the interpreter's state, and the history.
    pub(super) fn local_kernel(&mut self, tier: &TierName) -> Option<(&mut Box<dyn Kernel>, &History)> {
        self.kernel.local_kernel(tier).map(|kernel| (kernel, &self.history))
    }

    pub(super) fn take_local_kernel(&mut self, tier: &TierName) -> Option<Box<dyn Kernel>> {
        self.kernel.take_local(tier)
    }

    /// Puts back a kernel that was taken and has completed no cell. If the context is not placed in `tier`, the kernel is
    /// dropped.
    pub(super) fn return_local_kernel(&mut self, tier: &TierName, kernel: Box<dyn Kernel>) {
        drop(self.kernel.put_local(tier, kernel));
    }

    /// Places it in a local tier, with the kernel in which its last cell ran. `grown`: bytes that the kernel holds in addition
    /// to those of an empty one.
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

    /// Places it on the session's machine, and drops its local kernel. The history is kept where `kernel` records its cells.
    pub(super) fn place_remotely(&mut self, kernel: RemoteKernel) {
        let (count, given_up) = (self.count, self.given_up.take());
        let history = if kernel.is_recorded { std::mem::take(&mut self.history) } else { self.history.restart() };
        self.memory.clear();
        *self = Self::new(history, self.memory.clone());
        (self.count, self.given_up, self.kernel) = (count, given_up, PlacedKernel::Remote(kernel));
    }

    /// Returns the history, if its kernel is on a machine and its cells are recorded.
    pub(super) fn remote_history(&mut self) -> Option<&mut History> {
        self.kernel.is_recorded_remote().then_some(&mut self.history)
    }

    /// Returns its kernel on a machine for a use that does not change the interpreter's state, and the history of its cells; `None` if there
    /// is none, or its cells are not recorded.
    pub(super) fn recorded_remote_kernel(&mut self) -> Option<(&mut Box<dyn Kernel>, &History)> {
        let is_recorded = self.kernel.is_recorded_remote();
        self.kernel.remote().filter(|_| is_recorded).map(|kernel| (kernel, &self.history))
    }

    pub(super) fn remote_kernel(&mut self) -> Option<&mut Box<dyn Kernel>> {
        self.kernel.remote()
    }

    /// Takes the kernel on the machine; the context is unplaced afterwards.
    pub(super) fn take_remote_kernel(&mut self) -> Option<Box<dyn Kernel>> {
        match std::mem::take(&mut self.kernel) {
            PlacedKernel::Remote(remote) => Some(remote.kernel),
            other => {
                self.kernel = other;
                None
            }
        }
    }

    /// Sets the memory of its local kernel to zero, after the kernel was lost.
    pub(super) fn record_kernel_lost(&self) {
        self.memory.clear();
    }

    /// Drops its local kernel, which its history can rebuild.
    pub(super) fn evict(&mut self) {
        self.kernel.drop_local();
        self.memory.clear();
    }

    /// Ends its local kernel and drops its state; the next cell reports `why`. Returns false if it has no local kernel.
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

/// Whether Python's `str.isspace` counts a character as space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
