//! Runs programs in jailed worker processes: for servers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Backend, Fault, Kernels, Limits, Offer, Program, Sandbox, Spec};
use switchtower_worker::child::{self, CellToRun, Engine, Reporter};
use switchtower_worker::jail::Layer;
use switchtower_worker::output::SendEvent;
use switchtower_worker::{KernelConfig, KernelPool, LaunchConfig, PoolConfig, StartError};

use crate::compiled::{self, Compiled};
use crate::engine::THREAD_STACK;
use crate::runner::{GuestCellRun, Prewarmed, ProgramRun, Runner};

/// A worker reports that it is ready when its instances are made ahead, or after this long.
const PREWARM_TIMEOUT: Duration = Duration::from_millis(200);

/// A cell that does not end within its grace period takes all kernels of its process with it. Many cells share the
/// cores, so that it has more time than a program, which is alone in its process.
const KERNEL_GRACE: Duration = Duration::from_secs(1);

/// The WebAssembly tier in worker processes: some for programs, some for kernels.
pub struct WasmWorkers {
    programs: switchtower_worker::WorkerPool,
    kernels: Option<KernelPool>,
}

/// How many processes there are, and what they prepare.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Processes that run programs.
    pub workers: usize,
    /// Processes with kernels; 0: there are no kernels.
    pub kernel_workers: usize,
    /// Cells that run in each of them at once, on a thread each.
    pub concurrent_cells: usize,
    /// Most kernels in each of them.
    pub kernels_per_worker: usize,
    /// Instances that each process makes ahead.
    pub prewarmed: usize,
}

impl WasmWorkers {
    /// Starts the processes and waits for those that run programs. `program` is this executable, and `arguments` make
    /// it call [`main`] with four more: the two compiled guests, the number of instances made ahead, and the most kernels.
    ///
    /// # Errors
    /// A worker cannot be started.
    pub async fn start(
        compiled: &Compiled,
        program: PathBuf,
        arguments: &[&str],
        config: Config,
    ) -> Result<Self, StartError> {
        let launch = |max_kernels: usize| {
            let mut all: Vec<OsString> = arguments.iter().map(Into::into).collect();
            all.extend([&compiled.path, &compiled.javascript].map(|path| path.as_os_str().to_owned()));
            all.extend([config.prewarmed, max_kernels].map(|count| count.to_string().into()));
            LaunchConfig::new(program.clone(), all)
        };
        let pool = PoolConfig { launch: launch(0), workers: config.workers };
        let programs =
            switchtower_worker::WorkerPool::start(crate::offer::offer(compiled), compiled.runtime.clone(), &pool)
                .await?;
        let kernels = (config.kernel_workers > 0).then(|| {
            let memory = Limits::default().memory;
            let kernel_config = KernelConfig {
                workers: config.kernel_workers,
                concurrent_cells: config.concurrent_cells,
                memory,
                survives_interrupt: false,
                languages: &crate::offer::LANGUAGES,
            };
            let mut launch = launch(config.kernels_per_worker);
            launch.timeouts.grace = KERNEL_GRACE;
            KernelPool::start(&launch, kernel_config)
        });
        Ok(Self { programs, kernels })
    }

    /// Returns the layers of the workers' jail, as the workers reported them.
    pub fn layers(&self) -> &[Layer] {
        self.programs.layers()
    }

    /// Ends every worker and waits for it.
    pub async fn shutdown(&self) {
        if let Some(kernels) = &self.kernels {
            kernels.shutdown().await;
        }
        self.programs.shutdown().await;
    }
}

#[async_trait]
impl Backend for WasmWorkers {
    fn offer(&self) -> Offer {
        self.programs.offer()
    }

    fn runtime(&self) -> Arc<str> {
        self.programs.runtime()
    }

    fn packages(&self) -> Vec<(String, String)> {
        crate::offer::packages()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.programs.open(spec).await
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        self.kernels.as_ref().map(|kernels| kernels as &dyn Kernels)
    }
}

/// Runs a worker process to its end. Call it before anything else is opened or started.
///
/// # Errors
/// The worker could not start, or its parent sent an invalid command.
pub fn main(python: &Path, javascript: &Path, prewarmed: usize, kernels: usize) -> std::io::Result<()> {
    child::serve(
        THREAD_STACK,
        // On each connection one instance runs and one is being dropped; one is being made.
        |cells| {
            let instances = prewarmed + kernels + 2 * (cells + 1) + 1;
            compiled::load(python, javascript, u32::try_from(instances).unwrap_or(u32::MAX)).map_err(|e| e.to_string())
        },
        |images| {
            let prewarmed = Prewarmed::start(&images, prewarmed).map_err(|e| e.to_string())?;
            let runner = Runner::new(images, Arc::clone(&prewarmed)).map_err(|e| e.to_string())?;
            prewarmed.wait_until_full(PREWARM_TIMEOUT);
            Ok(Guest(Arc::new(runner)))
        },
    )
}

/// The engine of a worker.
#[derive(Clone)]
struct Guest(Arc<Runner>);

impl Engine for Guest {
    fn run(&mut self, program: Program, limits: Limits, reporter: &Reporter, cancel: child::Cancel) {
        let done = reporter.clone();
        self.0.run(ProgramRun {
            program,
            limits,
            send: sending(reporter),
            cancel: Box::new(move || cancel.is_set()),
            done: Box::new(move |ended| {
                done.program_ended(ended);
            }),
        });
    }

    fn run_cell(&mut self, kernel: u64, cell: CellToRun, limits: Limits, reporter: &Reporter, cancel: child::Cancel) {
        let done = reporter.clone();
        self.0.cell(GuestCellRun {
            kernel,
            language: cell.language,
            options: cell.options,
            cell: cell.cell,
            limits,
            send: sending(reporter),
            cancel: Box::new(move || cancel.is_set()),
            done: Box::new(move |ran| {
                done.cell_ended(ran);
            }),
        });
    }

    fn run_internal(
        &mut self,
        kernel: u64,
        code: &str,
        max_time: Duration,
        reporter: &Reporter,
        cancel: child::Cancel,
    ) {
        reporter.internal_output(self.0.own(kernel, code, max_time, Box::new(move || cancel.is_set())));
    }

    fn close_kernel(&mut self, kernel: u64) {
        self.0.close_kernel(kernel);
    }
}

fn sending(reporter: &Reporter) -> SendEvent {
    let reporter = reporter.clone();
    Box::new(move |event| reporter.event(event))
}
