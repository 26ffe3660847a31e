//! A context of the interpreter: one kernel, and the executions that wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use switchtower_e2b_wire::rows;
use tokio::sync::watch;

use crate::kernel::{CellCode, ContextKernel, KernelState, Language};
use crate::row_stream::RowSender;

/// Makes a new kernel for a context.
pub(crate) type KernelFactory = Arc<dyn Fn() -> Box<dyn ContextKernel> + Send + Sync>;

pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) language: Language,
    /// Whether it serves the cells of its language that name no context.
    pub(crate) is_default: bool,
    pub(crate) cwd: String,
    new_kernel: KernelFactory,
    /// Which kernel is the current one; held for a few instructions.
    slot: Mutex<Arc<KernelSlot>>,
}

/// A kernel with its queue. A restart discards the slot with all that wait in it, and takes a new one.
struct KernelSlot {
    /// Executions run one after another. `None` before the first.
    kernel: tokio::sync::Mutex<Option<Box<dyn ContextKernel>>>,
    /// The known fault of E2B's server: nothing runs here any more.
    is_wedged: AtomicBool,
    discarded: watch::Sender<Option<DiscardReason>>,
}

/// Why a kernel was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiscardReason {
    /// Its context is restarted.
    Restart,
    /// Its sandbox has ended.
    SandboxEnded,
}

/// How an execution ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExecutionEnd {
    /// All rows were sent, or the connection was broken from this side.
    Sent,
    /// The client left in the middle.
    ClientLeft,
}

/// Whether the stream of an execution is sent whole, or breaks off before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    Complete,
    Cut,
}

impl Context {
    pub(crate) fn new(id: String, language: Language, cwd: &str, is_default: bool, new_kernel: KernelFactory) -> Self {
        let slot = Mutex::new(KernelSlot::empty());
        Self { id, language, is_default, cwd: cwd.to_owned(), new_kernel, slot }
    }

    /// Discards the kernel. What runs in it ends; the next execution gets a new one.
    pub(crate) fn discard_kernel(&self, reason: DiscardReason) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.discarded.send_replace(Some(reason));
        *slot = KernelSlot::empty();
    }

    /// Returns what wedges the kernel that the context has now. One that a restart has brought since then is not affected.
    pub(crate) fn wedge(&self) -> impl FnOnce() + use<> {
        let slot = self.slot();
        move || slot.is_wedged.store(true, Ordering::Relaxed)
    }

    fn slot(&self) -> Arc<KernelSlot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a cell in its turn and sends all its rows.
    pub(crate) async fn execute(&self, cell: &CellCode, sender: &RowSender, stream_end: StreamEnd) -> ExecutionEnd {
        let slot = self.slot();
        let mut discarded = slot.discarded.subscribe();
        let discarded = async {
            // The slot holds the sender, so the wait ends only with a reason.
            discarded.wait_for(Option::is_some).await.ok().and_then(|reason| *reason)
        };
        tokio::pin!(discarded);
        let mut kernel = tokio::select! {
            biased;
            reason = &mut discarded => return send_discarded(reason, sender).await,
            () = sender.closed() => return ExecutionEnd::ClientLeft,
            kernel = slot.kernel.lock() => kernel,
        };
        if slot.is_wedged.load(Ordering::Relaxed) {
            tokio::select! {
                biased;
                () = sender.closed() => return ExecutionEnd::ClientLeft,
                reason = &mut discarded => return send_discarded(reason, sender).await,
            }
        }
        let running = kernel.get_or_insert_with(|| (self.new_kernel)());
        let state = tokio::select! {
            biased;
            reason = &mut discarded => {
                *kernel = None;
                return send_discarded(reason, sender).await;
            }
            state = running.run(cell, sender) => state,
        };
        match state {
            KernelState::Idle => {}
            KernelState::Dead => {
                *kernel = None;
                sender.send(&rows::context_restarted()).await;
            }
            KernelState::Disconnected => {
                sender.cut().await;
                return ExecutionEnd::Sent;
            }
        }
        drop(kernel);
        // Before the last row: a client that has read it may leave.
        let end = if sender.is_closed() { ExecutionEnd::ClientLeft } else { ExecutionEnd::Sent };
        match stream_end {
            StreamEnd::Cut => sender.cut().await,
            StreamEnd::Complete => sender.send(&rows::end()).await,
        }
        end
    }
}

impl KernelSlot {
    fn empty() -> Arc<Self> {
        let kernel = tokio::sync::Mutex::new(None);
        Arc::new(Self { kernel, is_wedged: AtomicBool::new(false), discarded: watch::Sender::new(None) })
    }
}

/// Ends the stream of an execution whose kernel was discarded.
async fn send_discarded(reason: Option<DiscardReason>, sender: &RowSender) -> ExecutionEnd {
    match reason {
        Some(DiscardReason::Restart) => {
            sender.send(&rows::context_restarted()).await;
            sender.send(&rows::end()).await;
        }
        Some(DiscardReason::SandboxEnded) | None => sender.cut().await,
    }
    ExecutionEnd::Sent
}
