//! The worker processes with kernels: they end when there has been no kernel for a while, and start again with the next
//! one. Each needs the memory of all packages, whether it has kernels or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Cell, CellOutcome, Events, Fault, Kernel, KernelOptions, Language, Limits};
use switchtower_worker::{KernelPool, StartError};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

/// The processes, while they run.
#[derive(Default)]
pub(crate) struct KernelProcesses {
    /// The lock serialises start and end: no kernel is opened in processes that are being ended.
    running: Arc<Mutex<Option<KernelPool>>>,
    open: Arc<KernelCount>,
}

/// The number of kernels.
#[derive(Default)]
struct KernelCount {
    count: AtomicUsize,
    /// Notified when the count changes.
    changed: Notify,
}

impl KernelProcesses {
    /// A kernel. `start` starts the processes, and is polled where there are none; they end when there has been no kernel for `idle`, if
    /// that is given.
    ///
    /// # Errors
    /// The processes cannot be started.
    pub(crate) async fn open(
        &self,
        options: &KernelOptions,
        idle: Option<Duration>,
        start: impl Future<Output = Result<KernelPool, StartError>> + Send,
    ) -> Result<Box<dyn Kernel>, StartError> {
        let mut running = self.running.lock().await;
        let kernel = self.started(&mut running, idle, start).await?.open(Language::Python, options);
        Ok(Box::new(CountedKernel { kernel, _counted: CountGuard::new(&self.open) }))
    }

    /// Starts the processes, where they do not run.
    ///
    /// # Errors
    /// They cannot be started.
    pub(crate) async fn ensure_started(
        &self,
        idle: Option<Duration>,
        start: impl Future<Output = Result<KernelPool, StartError>> + Send,
    ) -> Result<(), StartError> {
        self.started(&mut *self.running.lock().await, idle, start).await.map(drop)
    }

    async fn started<'a>(
        &self,
        running: &'a mut Option<KernelPool>,
        idle: Option<Duration>,
        start: impl Future<Output = Result<KernelPool, StartError>> + Send,
    ) -> Result<&'a KernelPool, StartError> {
        let kernels = match running.take() {
            Some(kernels) => kernels,
            None => {
                let kernels = start.await?;
                if let Some(idle) = idle {
                    tokio::spawn(end_when_idle(Arc::clone(&self.running), Arc::clone(&self.open), idle));
                }
                kernels
            }
        };
        Ok(running.insert(kernels))
    }

    /// Ends the processes and waits for them.
    pub(crate) async fn shutdown(&self) {
        if let Some(kernels) = self.running.lock().await.take() {
            kernels.shutdown().await;
        }
        // The task that ends idle processes sees that they have ended.
        self.open.changed.notify_one();
    }
}

/// Ends the processes once there has been no kernel for so long.
async fn end_when_idle(running: Arc<Mutex<Option<KernelPool>>>, open: Arc<KernelCount>, idle: Duration) {
    loop {
        let changed = open.changed.notified();
        if open.count.load(Ordering::SeqCst) > 0 {
            changed.await;
            continue;
        }
        tokio::select! {
            () = changed => {}
            () = sleep(idle) => {
                let mut running = running.lock().await;
                // A kernel is counted before the lock is released.
                if open.count.load(Ordering::SeqCst) == 0 {
                    if let Some(kernels) = running.take() {
                        kernels.shutdown().await;
                        tracing::debug!("the worker processes for native kernels were idle and have ended");
                    }
                    return;
                }
            }
        }
        if running.lock().await.is_none() {
            return;
        }
    }
}

/// A kernel that is counted until it is dropped.
struct CountedKernel {
    kernel: Box<dyn Kernel>,
    _counted: CountGuard,
}

struct CountGuard(Arc<KernelCount>);

impl CountGuard {
    fn new(open: &Arc<KernelCount>) -> Self {
        open.count.fetch_add(1, Ordering::SeqCst);
        open.changed.notify_one();
        Self(Arc::clone(open))
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

#[async_trait]
impl Kernel for CountedKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        self.kernel.run(cell, limits, events).await
    }

    async fn run_internal(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        self.kernel.run_internal(code, most).await
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.kernel.restart().await
    }

    async fn close(self: Box<Self>) -> Result<(), Fault> {
        let Self { kernel, _counted } = *self;
        kernel.close().await
    }

    fn survives_interrupt(&self) -> bool {
        self.kernel.survives_interrupt()
    }
}
