//! Programs in jailed worker processes: what servers use.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Backend, Fault, Kernel, KernelOptions, Limits, Offer, Program, Sandbox, Spec};
use switchtower_worker::child::{self, CellToRun, Engine, Reporter};
use switchtower_worker::jail::Layer;
use switchtower_worker::output::SendEvent;
use switchtower_worker::{KernelConfig, KernelPool, LaunchConfig, PoolConfig, StartError};

use crate::compiled::{self, Compiled};
use crate::engine::THREAD_STACK;
use crate::runner::{CellJob, Job, Reserve, Runner};

/// A worker says that it is ready when its reserve is full, or after this.
const RESERVE_WITHIN: Duration = Duration::from_millis(200);

/// A cell that does not heed its deadline takes all kernels of its process with it. Many cells share the cores, so it is
/// given more time for that than a program is, which is alone in its process.
const KERNEL_GRACE: Duration = Duration::from_secs(1);

/// The WebAssembly tier in processes of its own: some that run programs, some that keep kernels.
pub struct WasmWorkers {
    programs: switchtower_worker::WorkerPool,
    kernels: Option<KernelPool>,
}

/// How many processes there are, and what they prepare.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Processes that run programs.
    pub workers: usize,
    /// Processes that keep kernels; 0: none are kept.
    pub kernel_workers: usize,
    /// Cells that run in each of them at once, on a thread each.
    pub concurrent_cells: usize,
    /// Kernels that each of them has room for.
    pub kernels_per_worker: usize,
    /// Instances that each process keeps made ahead.
    pub prewarmed: usize,
}

impl WasmWorkers {
    /// Starts the processes and waits for those that run programs. `program` is this very program, and `arguments` lead it
    /// to [`main`], which takes three more: the compiled guest, the reserve, and the kernels that it has room for.
    ///
    /// # Errors
    /// A worker does not come up.
    pub async fn start(
        compiled: &Compiled,
        program: PathBuf,
        arguments: &[&str],
        config: Config,
    ) -> Result<Self, StartError> {
        let command = |room: usize| {
            let mut all: Vec<OsString> = arguments.iter().map(Into::into).collect();
            all.push(compiled.path().as_os_str().to_owned());
            all.extend([config.prewarmed, room].map(|count| count.to_string().into()));
            LaunchConfig::new(program.clone(), all)
        };
        let pool = PoolConfig { launch: command(0), workers: config.workers };
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
            };
            let mut command = command(config.kernels_per_worker);
            command.timeouts.grace = KERNEL_GRACE;
            KernelPool::start(&command, kernel_config)
        });
        Ok(Self { programs, kernels })
    }

    /// The layers of the workers' jail, as the workers found them.
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
        Offer { kernels: self.kernels.is_some(), ..self.programs.offer() }
    }

    fn runtime(&self) -> Arc<str> {
        self.programs.runtime()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.programs.open(spec).await
    }

    async fn kernel(&self, opening: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let none = || Fault::Unavailable { reason: "no kernels are kept here".to_owned() };
        self.kernels.as_ref().map(|kernels| kernels.open(opening)).ok_or_else(none)
    }
}

/// The whole life of a worker process. Call it before anything else is opened or started.
///
/// # Errors
/// The worker could not start, or its parent said something that is no order.
pub fn main(compiled: &Path, reserve: usize, kernels: usize) -> std::io::Result<()> {
    child::serve(
        THREAD_STACK,
        // On each connection one instance runs and one is cleared away; one is being made.
        |cells| {
            let instances = reserve + kernels + 2 * (cells + 1) + 1;
            compiled::load(compiled, u32::try_from(instances).unwrap_or(u32::MAX)).map_err(|e| e.to_string())
        },
        |image| {
            let reserve = Reserve::start(&image, reserve).map_err(|e| e.to_string())?;
            let runner = Runner::new(image, Arc::clone(&reserve)).map_err(|e| e.to_string())?;
            reserve.wait_until_full(RESERVE_WITHIN);
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
        self.0.run(Job {
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
        self.0.cell(CellJob {
            kernel,
            opening: cell.options,
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
        self.0.forget(kernel);
    }
}

fn sending(reporter: &Reporter) -> SendEvent {
    let reporter = reporter.clone();
    Box::new(move |event| reporter.event(event))
}
