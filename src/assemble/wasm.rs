//! The WebAssembly tier from settings: an engine in this process for one command, jailed worker processes for a server.

use std::path::Path;
use std::sync::Arc;

use switchtower_contract::Backend;
use switchtower_core::tier::late::LateBackend;
use switchtower_core::tier::{self, AbsentTier};
use switchtower_wasm::workers;
use switchtower_wasm::{Compiled, InProcess, SetupStage, WasmWorkers};
use tokio::task::JoinHandle;

use super::{BuildError, NamedBackend, TierBackend, TierStart, WasmReport, fit_queue, wasm_kernel_workers};
use crate::config::Config;

/// The tier's backend, or why it is absent.
pub(super) struct WasmTier {
    backend: Option<NamedBackend>,
    /// The start of a server's processes.
    start: Option<JoinHandle<Option<Arc<WasmWorkers>>>>,
    pub(super) absent: Option<AbsentTier>,
}

impl WasmTier {
    /// Returns the tier for one command: an engine in this process.
    ///
    /// # Errors
    /// The guest cannot be used.
    pub(super) fn for_command(config: &Config, report: &dyn Fn(&str)) -> Result<Self, BuildError> {
        Self::in_process(config, 1, 0, config.tiers.wasm.clone(), report)
    }

    /// Returns the tier for a measurement: an engine in this process, for as many programs at once as a server runs.
    ///
    /// # Errors
    /// The guest cannot be used.
    #[cfg(feature = "e2b")]
    pub(super) fn for_measurement(config: &Config, report: &dyn Fn(&str)) -> Result<Self, BuildError> {
        let (threads, queue) = fit_queue(super::cores(), &config.tiers.wasm.queue);
        Self::in_process(config, threads, 1, tier::Config { queue, ..config.tiers.wasm.clone() }, report)
    }

    fn in_process(
        config: &Config,
        threads: usize,
        prewarmed: usize,
        tier: tier::Config,
        report: &dyn Fn(&str),
    ) -> Result<Self, BuildError> {
        let engine = InProcess::new(&guest(config, report)?, threads, prewarmed).map_err(BuildError::new)?;
        let engine = TierBackend::Started(Arc::new(engine));
        Ok(Self { backend: Some((config.wasm.tier.clone(), engine, tier)), start: None, absent: None })
    }

    /// Returns the tier for a server. Its worker processes start from now on.
    pub(super) fn for_server(config: &Config, report: fn(&str)) -> Self {
        let (count, queue) = fit_queue(config.wasm.workers, &config.tiers.wasm.queue);
        let size = workers::Config {
            workers: count,
            kernel_workers: wasm_kernel_workers(config),
            concurrent_cells: config.sessions.cells_at_once(),
            kernels_per_worker: config.wasm.kernels_per_worker,
            prewarmed: config.wasm.prewarmed,
        };
        let name = config.wasm.tier.clone();
        let late = LateBackend::new("it looks for its compiled guest", size.kernel_workers > 0);
        let (starting, settings, tier) = (Arc::clone(&late), config.clone(), name.clone());
        let tier_start = TierStart { late: Arc::clone(&late), tier: tier.clone(), report };
        let start = async move {
            let step = Arc::clone(&starting);
            let set_step = move |text: &str| step.set_step(text);
            let set_guest = |guest: &Compiled| starting.set_offer(guest.offer(), guest.packages());
            let started = start_workers(&settings, size, report, set_step, set_guest).await.map(Arc::new);
            let workers = started.as_ref().ok().cloned();
            let started = started.map(|workers| workers as Arc<dyn Backend>);
            let absent = |error: BuildError| AbsentTier {
                tier: tier.clone(),
                reason: error.to_string(),
                remedy: None,
                machine: false,
            };
            tier_start.end(started.map_err(absent));
            workers
        };
        let tier = tier::Config { queue, ..config.tiers.wasm.clone() };
        let backend = Some((name, TierBackend::Late(late), tier));
        Self { backend, start: Some(tokio::spawn(start)), absent: None }
    }

    pub(super) fn backends(&self) -> Option<NamedBackend> {
        self.backend.clone()
    }

    pub(super) async fn close(self) {
        let Some(start) = self.start else { return };
        if !start.is_finished() {
            start.abort();
        }
        if let Ok(Some(workers)) = start.await {
            workers.shutdown().await;
        }
    }
}

/// Starts a WebAssembly worker, looks at its jail and ends it.
pub async fn check_workers(config: &Config, report: fn(&str)) -> WasmReport {
    let size =
        workers::Config { workers: 1, kernel_workers: 0, concurrent_cells: 0, kernels_per_worker: 0, prewarmed: 0 };
    match start_workers(config, size, report, |_| (), |_| ()).await {
        Ok(workers) => {
            let layers = workers.layers().iter().map(|layer| (layer.name.clone(), layer.status.clone())).collect();
            workers.shutdown().await;
            WasmReport::Working { layers }
        }
        Err(error) => WasmReport::Failed(error),
    }
}

/// The command, and the arguments before those that [`workers::main`] takes, that lead to [`run_worker`].
const WORKER: [&str; 1] = ["worker"];

/// Starts the worker processes. `set_step` gets each step, `set_guest` the guest as soon as it is known.
async fn start_workers(
    config: &Config,
    size: workers::Config,
    report: fn(&str),
    set_step: impl Fn(&str) + Clone + Send + 'static,
    set_guest: impl Fn(&Compiled),
) -> Result<WasmWorkers, BuildError> {
    let (settings, set_setup_step) = (config.clone(), set_step.clone());
    let report = move |text: &str| {
        set_setup_step(text);
        report(text);
    };
    let guest = tokio::task::spawn_blocking(move || guest(&settings, &report)).await.map_err(BuildError::new)??;
    set_guest(&guest);
    set_step("its workers load the guest and test their jail");
    let program = std::env::current_exe().map_err(BuildError::new)?;
    WasmWorkers::start(&guest, program, &WORKER, size).await.map_err(BuildError::new)
}

/// Runs a worker process until its parent ends it. Call it before anything else is opened or started.
///
/// # Errors
/// The worker could not start, or its parent sent something that is not a command.
pub fn run_worker(python: &Path, javascript: &Path, prewarmed: usize, kernels: usize) -> Result<(), BuildError> {
    workers::main(python, javascript, prewarmed, kernels).map_err(BuildError::new)
}

/// Returns the compiled guest. The first use on a machine unpacks and compiles it, some tens of seconds.
fn guest(config: &Config, report: &dyn Fn(&str)) -> Result<Compiled, BuildError> {
    let progress = |stage| {
        report(match stage {
            SetupStage::Unpacking => "first use on this machine: unpacking the guest",
            SetupStage::Compiling => "compiling the guest for this processor, some tens of seconds",
            SetupStage::ListingModules => "listing the modules of the guest",
        });
    };
    Compiled::locate(config.wasm.cache_folder.as_deref(), &progress).map_err(BuildError::new)
}
